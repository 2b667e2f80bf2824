"""How a run stands at this moment: progress, usage and devices, gathered for the next WorkerBeat."""

from collections.abc import Callable

import trio

from skyops_p2p import limits
from skyops_p2p.core.execution.layout import CONTROL, PROGRESS_FILE
from skyops_p2p.core.execution.opening import OpenedLease
from skyops_p2p.core.execution.progress import ProgressLine, parse_progress
from skyops_p2p.core.settlement.meters import Counts
from skyops_p2p.errors import SkyopsError
from skyops_p2p.node.execution.program import RunProgram
from skyops_p2p.node.execution.small_files import read_end
from skyops_p2p.node.execution.steps import RunSteps
from skyops_p2p.node.execution.tools import RunTools
from skyops_p2p.ports import Usage
from skyops_p2p.wire.messages.execution import GpuLoadPart, MetricPart, UsagePart, WorkerBeat

NO_PROGRESS = ProgressLine(0, 0, ())


class RunPulse:
    """The moment's figures of one run.

    Args:
        opened: The lease.
        tools: Of the node.
    """

    def __init__(self, opened: OpenedLease, tools: RunTools) -> None:
        self.is_paused = False
        self.progress = NO_PROGRESS
        """As the program last told it."""
        self.last_usage = Usage(wall_s=0.0)
        self.gpu_ms = 0
        """Integral of the devices' utilisation; beats are its samples."""
        self._opened = opened
        self._tools = tools
        self._sequence = 0
        self._done, self._total = 0, 0
        self._sampled_at: float | None = None

    def phase_moved(self, done: int, total: int) -> None:
        """Note how far the step under way is, in bytes."""
        self._done, self._total = done, total

    async def beat(
        self, phase: Callable[[], str], program: RunProgram | None, steps: RunSteps | None
    ) -> WorkerBeat:
        """Look at everything and return what the requester is told; the phase is asked last, for looking takes time."""
        gpus = await self.look(program, steps)
        self._sequence += 1
        return WorkerBeat.model_validate(
            {
                "epoch": self._opened.facts.epoch,
                "sequence": self._sequence,
                "phase": phase(),
                "phase_done": self._done,
                "phase_total": self._total,
                "done": self.progress.done,
                "total": self.progress.total,
                "metrics": tuple(
                    MetricPart(name=name, millionths=value) for name, value in self.progress.metrics
                ),
                "usage": usage_part(self.last_usage, gpu_ms=self._gpu_ms()),
                "gpus": gpus,
            }
        )

    async def look(self, program: RunProgram | None, steps: RunSteps | None) -> tuple[GpuLoadPart, ...]:
        """Read the program's progress and what it has used; what cannot be read stays as it was."""
        if steps is not None:
            path = steps.folder(f"{CONTROL}/{PROGRESS_FILE}")
            text = await trio.to_thread.run_sync(
                lambda: read_end(path, bytes_max=limits.PROGRESS_LINE_BYTES_MAX)
            )
            self.progress = (parse_progress(text) if text else None) or self.progress
        if program is None or not program.is_running:
            return ()
        try:
            self.last_usage = await program.usage()
        except SkyopsError as error:
            program.note_trouble(error)
        gpus = await self._tools.gpu_meter(self._devices)
        self._integrate(gpus)
        return gpus

    def counts(self) -> Counts:
        """Return what the run has used, besides time, as its meter says it."""
        cpu_s = self.last_usage.cpu_s
        return Counts(gpu_ms=self.gpu_ms, cpu_ms=0 if cpu_s is None else round(cpu_s * 1000))

    @property
    def _devices(self) -> tuple[str, ...]:
        return tuple(device.name for device in self._opened.terms.claim.devices)

    def _integrate(self, gpus: tuple[GpuLoadPart, ...]) -> None:
        now, before = trio.current_time(), self._sampled_at
        self._sampled_at = now
        if before is not None:
            permille = sum(gpu.utilisation_permille for gpu in gpus)
            self.gpu_ms += round((now - before) * permille)

    def _gpu_ms(self) -> int | None:
        return self.gpu_ms if self._devices else None


def usage_part(usage: Usage, *, gpu_ms: int | None) -> UsagePart:
    """Return what a sandbox has used as messages have it."""
    return UsagePart(
        wall_ms=round(usage.wall_s * 1000),
        cpu_ms=None if usage.cpu_s is None else round(usage.cpu_s * 1000),
        memory_bytes=usage.memory_bytes,
        memory_peak_bytes=usage.memory_peak_bytes,
        written_bytes=usage.written_bytes,
        fuel=usage.fuel,
        gpu_ms=gpu_ms,
    )
