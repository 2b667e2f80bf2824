"""Which arithmetic is the fastest here: a CUDA device through cupy or torch, else numpy, else plain Python.

A library is taken only if it can be imported, sees a device, and gives the same bytes as plain Python in a small trial:
a wrong product would cost the worker its proof. Importing torch takes seconds; call this in a thread.
"""

import importlib
import logging
from typing import Any

from skyops_p2p.adapters.cuda.arithmetic import (
    BLOCK,
    DEVICE_ERRORS,
    CupyArithmetic,
    DeviceArithmetic,
    TorchArithmetic,
)
from skyops_p2p.core.auction.poc_arithmetic import (
    Arithmetic,
    NumpyArithmetic,
    PlainArithmetic,
    best_arithmetic,
)

log = logging.getLogger(__name__)

TRIAL_SIZE = BLOCK + 3
"""More than one block, and no round number."""


def fastest_arithmetic() -> Arithmetic:
    """Return the fastest arithmetic of this machine; blocks while libraries are imported."""
    host = best_arithmetic()
    for name, find in (("cupy", _with_cupy), ("torch", _with_torch)):
        try:
            unit = find(host)
        except ImportError:
            continue
        except DEVICE_ERRORS as error:  # a library without its driver, or half installed
            log.info("device_unusable library=%s: %r", name, error)
            continue
        if unit is not None and _is_right(unit):
            return unit
    return host


def describe_arithmetic(unit: Arithmetic) -> str:
    """Name an arithmetic for people."""
    names: dict[type, str] = {
        CupyArithmetic: "the GPU, through cupy",
        TorchArithmetic: "the GPU, through torch",
        NumpyArithmetic: "the processor, through numpy",
        PlainArithmetic: "the processor, in plain Python: slow; `pip install numpy` makes it faster",
    }
    return names.get(type(unit), type(unit).__name__)


def _with_cupy(host: Arithmetic) -> DeviceArithmetic | None:
    cupy: Any = importlib.import_module("cupy")
    numpy: Any = importlib.import_module("numpy")
    return CupyArithmetic(cupy, numpy, host) if cupy.cuda.runtime.getDeviceCount() > 0 else None


def _with_torch(host: Arithmetic) -> DeviceArithmetic | None:
    torch: Any = importlib.import_module("torch")
    return TorchArithmetic(torch, host) if torch.cuda.is_available() else None


def _is_right(unit: DeviceArithmetic) -> bool:
    """Compare with plain Python on one row, with the entries of the largest size among them."""
    plain, size = PlainArithmetic(), TRIAL_SIZE
    left = b"\x80" * BLOCK + bytes(range(size - BLOCK))
    right = b"\x80" * size + bytes((7 * n + n // size) % 256 for n in range(size * (size - 1)))
    wanted = plain.multiply(left, right, size)
    is_right = unit.multiply(left, right, size) == wanted
    if not is_right or unit.advance(left, right, size) != plain.fold(wanted):
        log.warning("device_wrong library=%s: it is not used", type(unit).__name__)
        return False
    return True
