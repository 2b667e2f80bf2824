"""Looks at the machine from threads, each part with its own deadline: a broken driver may hang for ever."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import trio

from skyops_p2p import limits
from skyops_p2p.adapters.hardware.gpus import GpuReport, report_gpus
from skyops_p2p.adapters.hardware.machine import Machine, look_at_machine
from skyops_p2p.adapters.hardware.runtimes import find_docker, find_native, find_wasm
from skyops_p2p.ports import Hardware, Runtime

logger = logging.getLogger(__name__)
T = TypeVar("T")
_UNKNOWN_MACHINE = Machine(cpu_model="", cpu_cores=1, memory_mib=0, disk_mib=0, has_hard_limits=False)


class NvmlHardwareProbe:
    """Implements ports.HardwareProbe for the machine we run on.

    Args:
        data_dir: The disk below it is the one that jobs use.
        timeout_s: Seconds for each part (GPUs, machine, each runtime); a part that is late counts as absent,
            and its thread is left behind.
    """

    def __init__(self, data_dir: Path, *, timeout_s: float = limits.HARDWARE_PROBE_TIMEOUT_S) -> None:
        self._data_dir = data_dir
        self._timeout_s = timeout_s

    async def probe(self) -> Hardware:
        """See ports.HardwareProbe."""
        machine = await self._look("machine", lambda: look_at_machine(self._data_dir), _UNKNOWN_MACHINE)
        found: dict[str, Runtime | None] = {}
        gpus = GpuReport()

        async def find(name: str, look: Callable[[], Runtime | None]) -> None:
            found[name] = await self._look(name, look, None)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(find, "wasm", find_wasm)
            nursery.start_soon(find, "docker", find_docker)
            nursery.start_soon(find, "native", lambda: find_native(has_hard_limits=machine.has_hard_limits))
            gpus = await self._look("gpus", report_gpus, GpuReport(failure="timeout"))
        if gpus.failure:
            logger.info("gpus_absent reason=%s", gpus.failure)
        runtimes = (found["wasm"], found["docker"], found["native"])
        return Hardware(
            source="nvml" if gpus.gpus else "none",
            gpus=gpus.gpus,
            driver=gpus.driver,
            cuda=gpus.cuda,
            cpu_model=machine.cpu_model,
            cpu_cores=machine.cpu_cores,
            memory_mib=machine.memory_mib,
            disk_mib=machine.disk_mib,
            runtimes=tuple(runtime for runtime in runtimes if runtime is not None),
        )

    async def _look(self, part: str, look: Callable[[], T], absent: T) -> T:
        """Run one blocking look in a thread; return `absent` if it is late."""
        result = absent
        with trio.move_on_after(self._timeout_s) as scope:
            result = await trio.to_thread.run_sync(look, abandon_on_cancel=True)
        if scope.cancelled_caught:
            logger.warning("probe_timeout part=%s timeout_s=%s", part, self._timeout_s)
        return result
