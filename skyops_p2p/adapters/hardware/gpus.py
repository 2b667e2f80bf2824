"""GPUs through NVIDIA's management library. Blocking: called in a thread, with a deadline, by the probe.

What one device or driver cannot tell is left empty and the rest is reported: laptop, integrated and very new
GPUs answer NotSupported here and there, and an old driver lacks functions.

Source: NVML API reference; nvidia-ml-py, which imports as pynvml.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import pynvml

from skyops_p2p import limits
from skyops_p2p.ports import Gpu

logger = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class GpuReport:
    """What NVML says, or why it says nothing."""

    gpus: tuple[Gpu, ...] = ()
    driver: str = ""
    cuda: str = ""
    """Newest CUDA that the driver supports, "12.4"."""
    failure: str = ""
    """Why there is no answer: "no_driver" (the library is not there), "driver_not_loaded", or NVML's words."""


def report_gpus() -> GpuReport:
    """Ask NVML once, and release it again."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return GpuReport(failure=_failure(error))
    try:
        count = _ask(pynvml.nvmlDeviceGetCount, 0)
        gpus = tuple(
            gpu for index in range(min(count, limits.RECORD_GPUS_MAX)) if (gpu := _gpu(index)) is not None
        )
        cuda = _ask(pynvml.nvmlSystemGetCudaDriverVersion, 0)
        return GpuReport(
            gpus=gpus,
            driver=_ask(pynvml.nvmlSystemGetDriverVersion, ""),
            cuda=f"{cuda // 1000}.{cuda % 1000 // 10}" if cuda else "",
        )
    finally:
        _ask(pynvml.nvmlShutdown, None)


def _gpu(index: int) -> Gpu | None:
    """Return one device, or None if the driver does not let us have it (lost, in use, no permission)."""
    handle = _ask(lambda: pynvml.nvmlDeviceGetHandleByIndex(index), None)
    if handle is None:
        return None
    capability = _ask(lambda: pynvml.nvmlDeviceGetCudaComputeCapability(handle), None)
    memory = _ask(lambda: pynvml.nvmlDeviceGetMemoryInfo(handle).total, 0)
    return Gpu(
        model=_ask(lambda: pynvml.nvmlDeviceGetName(handle), "") or "unknown",
        vram_mib=memory // 2**20,
        compute_capability=f"{capability[0]}.{capability[1]}" if capability else "",
        uuid=_ask(lambda: pynvml.nvmlDeviceGetUUID(handle), ""),
    )


def _ask(question: Callable[[], T], unknown: T) -> T:
    """Return NVML's answer, or `unknown` if it has none; names that are not UTF-8 count as none."""
    try:
        return question()
    except (pynvml.NVMLError, UnicodeDecodeError) as error:
        logger.debug("nvml_no_answer error=%s", error)
        return unknown


def _failure(error: pynvml.NVMLError) -> str:
    known = {
        pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: "no_driver",
        pynvml.NVML_ERROR_DRIVER_NOT_LOADED: "driver_not_loaded",
        pynvml.NVML_ERROR_FUNCTION_NOT_FOUND: "driver_too_old",
    }
    return known.get(error.value, str(error))
