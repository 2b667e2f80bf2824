"""How busy GPUs are at this moment, through NVML: utilisation, memory, power, temperature.

NVML is opened at the first question and kept, since opening it takes as long as many questions. A driver that hangs
costs one thread and no more questions: what it cannot tell is left out. Source: NVML API reference.
"""

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

import pynvml
import trio

from skyops_p2p import limits
from skyops_p2p.wire.messages.execution import GpuLoadPart

logger = logging.getLogger(__name__)
T = TypeVar("T")

PROBED = "GPU-"
"""Begins every UUID that NVML gives; a declared device has none, and nothing to be seen."""


class GpuLoads:
    """Answers the meter of one node; see node/execution/tools.GpuMeter."""

    def __init__(self, *, timeout_s: float = limits.GPU_LOAD_TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._is_open: bool | None = None
        """None before the first question."""
        self._is_hanging = False

    async def __call__(self, uuids: tuple[str, ...]) -> tuple[GpuLoadPart, ...]:
        """Look at the devices with these UUIDs; those that do not answer are left out."""
        probed = [uuid for uuid in uuids if uuid.startswith(PROBED)]
        if not probed or self._is_hanging or self._is_open is False:
            return ()
        with trio.move_on_after(self._timeout_s):
            return await trio.to_thread.run_sync(self._look, probed, abandon_on_cancel=True)
        self._is_hanging = True
        logger.warning("gpu_loads_hanging timeout_s=%g", self._timeout_s)
        return ()

    def _look(self, uuids: Sequence[str]) -> tuple[GpuLoadPart, ...]:
        if self._is_open is None:
            self._is_open = _open()
        if not self._is_open:
            return ()
        loads = (_load(index, uuid) for index, uuid in enumerate(uuids))
        return tuple(load for load in loads if load is not None)


def _open() -> bool:
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        logger.info("gpu_loads_absent error=%s", error)
        return False
    return True


def _load(index: int, uuid: str) -> GpuLoadPart | None:
    """Return one device's moment; zero stands for what it does not tell."""
    handle = _ask(lambda: pynvml.nvmlDeviceGetHandleByUUID(uuid), None)
    if handle is None:
        return None
    percent = _ask(lambda: pynvml.nvmlDeviceGetUtilizationRates(handle).gpu, 0)
    return GpuLoadPart(
        index=index,
        utilisation_permille=min(1000, max(0, percent * 10)),
        memory_mib=_ask(lambda: pynvml.nvmlDeviceGetMemoryInfo(handle).used, 0) >> 20,
        power_mw=_ask(lambda: pynvml.nvmlDeviceGetPowerUsage(handle), 0),
        temperature_c=_ask(lambda: pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU), 0),
    )


def _ask(question: Callable[[], T], unknown: T) -> T:
    try:
        return question()
    except pynvml.NVMLError as error:
        logger.debug("nvml_no_answer error=%s", error)
        return unknown
