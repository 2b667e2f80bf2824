"""The sandbox and workspace ports in virtual time: programs are Python functions that see real directories.

    async def train(box):
        for step in range(10):
            await box.work(1.0)
            box.write("/results/model", b"...")
        return 0

    sandboxes = {"native": SimSandbox({"train": train})}

A program is named by the first word of its command. It enforces no limits but time and says so.
"""

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import trio

from skyops_p2p.errors import ExecutionError
from skyops_p2p.ports import ExitKind, Limit, OutputChunk, SandboxExit, SandboxSpec, Usage
from skyops_p2p.ports.sandbox import Progress

OUTPUT_CHUNKS_MAX = 64
SIGTERM_CODE = 143
_CLOCK_STEP_S = 1e-9
"""What is left below this is rounding: added to a clock it may change nothing, and time would stand still."""


class StopAsked(Exception):  # noqa: N818 - named after what happened
    """Raised inside a program by `work` once it is asked to end; catching it is its handler of SIGTERM."""


@dataclass(slots=True)
class SimBox:
    """What a program sees."""

    spec: SandboxSpec
    output: trio.MemorySendChannel[OutputChunk]
    is_stopping: bool = False
    is_paused: bool = False
    worked_s: float = 0.0
    _woken: trio.Event = field(default_factory=trio.Event)

    @property
    def env(self) -> Mapping[str, str]:
        """Its environment."""
        return self.spec.env

    def path(self, target: str) -> Path:
        """Return where a path of the program lies."""
        place = PurePosixPath(target)
        mount = next(mount for mount in self.spec.mounts if place.is_relative_to(mount.target))
        return mount.source / place.relative_to(mount.target)

    def write(self, target: str, data: bytes) -> None:
        """Write a file as a whole: a temporary name, then a rename."""
        path = self.path(target)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(path.name + ".tmp")
        draft.write_bytes(data)
        draft.rename(path)

    def read(self, target: str) -> bytes:
        """Read a file."""
        return self.path(target).read_bytes()

    async def print(self, text: str, *, stream: str = "stdout") -> None:
        """Write a line."""
        await self.output.send(OutputChunk(stream, text.encode() + b"\n"))

    async def work(self, seconds: float) -> None:
        """Let virtual time pass.

        Raises:
            StopAsked: It is asked to end.
        """
        left_s = seconds
        while left_s > _CLOCK_STEP_S and not self.is_stopping:
            began, was_paused = trio.current_time(), self.is_paused
            with trio.move_on_after(float("inf") if was_paused else left_s):
                await self._woken.wait()
            if not was_paused:
                left_s -= trio.current_time() - began
        self.worked_s += seconds
        if self.is_stopping:
            raise StopAsked

    def ask_to_stop(self) -> None:
        """Tell the program to end, once."""
        self.is_stopping = True
        self._wake()

    def set_paused(self, *, is_paused: bool) -> None:
        """Let it work no further for now, or go on."""
        self.is_paused = is_paused
        self._wake()

    def _wake(self) -> None:
        self._woken.set()
        self._woken = trio.Event()


SimProgram = Callable[[SimBox], Awaitable[int]]
"""Returns its exit code."""


class SimRunning:
    """Implements ports.RunningSandbox; made by SimSandbox."""

    def __init__(self, box: SimBox, output: trio.MemoryReceiveChannel[OutputChunk]) -> None:
        self.output = output
        self._box = box
        self._started = trio.current_time()
        self._exit: SandboxExit | None = None
        self._ended = trio.Event()
        self._scope = trio.CancelScope()

    async def run(self, program: SimProgram) -> None:
        """Run the program to its end."""
        ended = SandboxExit(ExitKind.STOPPED, None, None, "stopped")
        wall_s = self._box.spec.limits.wall_s
        with self._scope, self._box.output:
            with trio.move_on_after(wall_s) as timer:
                try:
                    code = await program(self._box)
                    ended = SandboxExit(ExitKind.EXITED, code, None, f"ended with exit code {code}")
                except StopAsked:
                    ended = SandboxExit(ExitKind.STOPPED, SIGTERM_CODE, None, "stopped as asked")
            if timer.cancelled_caught:
                ended = SandboxExit(ExitKind.TIMED_OUT, None, None, f"ran longer than {wall_s:g} s")
        self._exit = ended
        self._ended.set()

    async def wait(self) -> SandboxExit:
        """See ports.RunningSandbox."""
        await self._ended.wait()
        assert self._exit is not None, "ended without an end"
        return self._exit

    async def stop(self, *, grace_s: float) -> SandboxExit:
        """See ports.RunningSandbox."""
        self._box.ask_to_stop()
        with trio.move_on_after(grace_s):
            return await self.wait()
        self._scope.cancel()
        return await self.wait()

    async def pause(self) -> None:
        """See ports.RunningSandbox."""
        await trio.lowlevel.checkpoint()
        self._box.set_paused(is_paused=True)

    async def resume(self) -> None:
        """See ports.RunningSandbox."""
        await trio.lowlevel.checkpoint()
        self._box.set_paused(is_paused=False)

    async def signal(self, number: int) -> None:
        """See ports.RunningSandbox."""
        raise ExecutionError(f"simulated programs take no signal {number}", code="not_supported")

    async def usage(self) -> Usage:
        """See ports.RunningSandbox."""
        return Usage(wall_s=trio.current_time() - self._started, cpu_s=self._box.worked_s)

    async def snapshot(self) -> bool:
        """See ports.RunningSandbox."""
        return False


class SimSandbox:
    """Implements ports.Sandbox.

    Args:
        programs: By the first word of the command.
        runtime: Which it stands for.
    """

    def __init__(self, programs: Mapping[str, SimProgram], *, runtime: str = "native") -> None:
        self.runtime = runtime
        self.enforces = frozenset({Limit.WALL, Limit.LOG, Limit.NETWORK})
        self.started = 0
        """Programs so far."""
        self._programs = programs

    async def prepare(self, spec: SandboxSpec, *, progress: Progress) -> None:
        """See ports.Sandbox."""
        await trio.lowlevel.checkpoint()
        progress(0, 0)
        if not spec.command or spec.command[0] not in self._programs:
            raise ExecutionError(f"there is no program {spec.command[:1]}", code="not_started")

    @asynccontextmanager
    async def start(self, spec: SandboxSpec) -> AsyncIterator[SimRunning]:
        """See ports.Sandbox."""
        self.started += 1
        send, receive = trio.open_memory_channel[OutputChunk](OUTPUT_CHUNKS_MAX)
        running = SimRunning(SimBox(spec, send), receive)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(running.run, self._programs[spec.command[0]])
            yield running
            nursery.cancel_scope.cancel()

    async def reap(self) -> int:
        """See ports.Sandbox."""
        await trio.lowlevel.checkpoint()
        return 0


class SimWorkspace:
    """Implements ports.Workspace with plain directories.

    Args:
        folder: Holds them; the caller's to delete.
    """

    is_capped = False
    is_volatile = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @asynccontextmanager
    async def open(self, name: str, *, bytes_max: int) -> AsyncIterator[Path]:
        """See ports.Workspace."""
        del bytes_max
        await trio.lowlevel.checkpoint()
        path = self._folder / name
        path.mkdir(parents=True)
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    async def reap(self) -> int:
        """See ports.Workspace."""
        await trio.lowlevel.checkpoint()
        left = sorted(self._folder.iterdir()) if self._folder.exists() else []
        for path in left:
            shutil.rmtree(path, ignore_errors=True)
        return len(left)
