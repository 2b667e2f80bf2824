"""Measure what a class index is made of: dense products and memory traffic, of each GPU and of the processor.

Blocking, for some seconds; called by `skyops benchmark`, on a machine that does nothing else. GPUs are measured through
torch where it is installed; without it, or without a device, they are not, and the provisional table stands. Spec:
protocol/04-auction.md, "Class index".
"""

import importlib
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from skyops_p2p import limits
from skyops_p2p.adapters.cuda.arithmetic import DEVICE_ERRORS
from skyops_p2p.core.auction.poc import matrices
from skyops_p2p.core.auction.poc_arithmetic import PlainArithmetic
from skyops_p2p.ports import Benchmark

log = logging.getLogger(__name__)

GPU_SIZE, NUMPY_SIZE, PLAIN_SIZE = 4096, 1024, 48
"""Rows and columns of the products."""
GPU_COPY_BYTES, HOST_COPY_BYTES = 256 << 20, 64 << 20
"""What is copied: more than the largest cache holds."""
_DOUBLINGS_MAX = 24
_WARM_UPS = 2
"""Libraries load kernels at first use, and clocks rise."""

Steps = Callable[[int], None]
"""Does a step so often, and returns when the last is done."""
Clock = Callable[[], float]


def measure_processor(*, clock: Clock = time.perf_counter) -> Benchmark:
    """Measure all cores together: products of 32-bit floats with numpy, else in plain Python, which says little.

    Args:
        clock: Seconds.
    """
    size, multiply = _host_product()
    source, target = memoryview(bytes(HOST_COPY_BYTES)), memoryview(bytearray(HOST_COPY_BYTES))

    def copy(count: int) -> None:
        for _ in range(count):
            target[:] = source

    return _benchmark(seconds_each(multiply, clock), size, seconds_each(copy, clock), HOST_COPY_BYTES)


def measure_gpus(*, clock: Clock = time.perf_counter) -> Mapping[str, Benchmark]:
    """Measure each CUDA device that torch sees, one after the other; empty without torch.

    A device that fails, or of which torch cannot tell which one it is, is left out.

    Returns:
        By UUID as NVML writes it, "GPU-…".
    """
    try:
        torch: Any = importlib.import_module("torch")
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    except ImportError:
        return {}
    except DEVICE_ERRORS as error:
        log.info("device_unusable library=torch: %r", error)
        return {}
    found = {}
    for index in range(min(count, limits.RECORD_GPUS_MAX)):
        try:
            uuid = f"GPU-{torch.cuda.get_device_properties(index).uuid}"
            found[uuid] = _measure_gpu(torch, f"cuda:{index}", clock)
        except (*DEVICE_ERRORS, AttributeError) as error:  # an old torch does not know the UUID
            log.warning("device_not_measured index=%d: %r", index, error)
    return found


def seconds_each(steps: Steps, clock: Clock) -> float:
    """Return how long one step takes: of so many in a row that they take BENCHMARK_S."""
    steps(_WARM_UPS)
    count, took_s = 1, 0.0
    for _ in range(_DOUBLINGS_MAX):
        began = clock()
        steps(count)
        took_s = clock() - began
        if took_s >= limits.BENCHMARK_S:
            break
        count *= 2
    return max(took_s, 1e-9) / count


def _measure_gpu(torch: Any, device: str, clock: Clock) -> Benchmark:
    left = torch.ones((GPU_SIZE, GPU_SIZE), dtype=torch.float16, device=device)
    right, product = torch.ones_like(left), torch.empty_like(left)
    source = torch.zeros(GPU_COPY_BYTES, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)

    def multiply(count: int) -> None:
        for _ in range(count):
            torch.matmul(left, right, out=product)
        torch.cuda.synchronize(device)

    def copy(count: int) -> None:
        for _ in range(count):
            target.copy_(source)
        torch.cuda.synchronize(device)

    return _benchmark(seconds_each(multiply, clock), GPU_SIZE, seconds_each(copy, clock), GPU_COPY_BYTES)


def _host_product() -> tuple[int, Steps]:
    try:
        import numpy as np
    except ImportError:
        left, right = matrices(bytes(32), PLAIN_SIZE)

        def plain(count: int) -> None:
            for _ in range(count):
                PlainArithmetic().multiply(left, right, PLAIN_SIZE)

        return PLAIN_SIZE, plain
    ones = np.ones((NUMPY_SIZE, NUMPY_SIZE), np.float32)
    product = np.empty_like(ones)

    def with_numpy(count: int) -> None:
        for _ in range(count):
            np.matmul(ones, ones, out=product)

    return NUMPY_SIZE, with_numpy


def _benchmark(product_s: float, size: int, copy_s: float, copied_bytes: int) -> Benchmark:
    return Benchmark(
        mflops=max(1, int(2 * size**3 / product_s / 1e6)),
        mb_per_s=max(1, int(2 * copied_bytes / copy_s / 1e6)),  # read and written
    )
