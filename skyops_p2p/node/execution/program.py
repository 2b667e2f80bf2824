"""A program in its sandbox, from its start to its end: its output goes to the log, its end is told in words."""

import logging
from collections.abc import Awaitable, Callable

import trio

from skyops_p2p.core.execution import run_events as ev
from skyops_p2p.core.machine import Event
from skyops_p2p.errors import SkyopsError
from skyops_p2p.node.execution.log_book import LogBook
from skyops_p2p.node.execution.steps import RunSteps
from skyops_p2p.ports import ExitKind, RunningSandbox, SandboxExit, Usage

log = logging.getLogger(__name__)


class RunProgram:
    """One program.

    Args:
        steps: Starts it.
        book: Takes its output.
        is_paused: It is to be frozen as soon as it has started.
    """

    def __init__(self, steps: RunSteps, book: LogBook, *, is_paused: bool = False) -> None:
        self._steps = steps
        self._book = book
        self._sandbox: RunningSandbox | None = None
        self._stop_grace_s: float | None = None
        """Set when it is to be stopped; also before it has started."""
        self._usage = Usage(wall_s=0.0)
        self._is_paused = is_paused

    @property
    def is_running(self) -> bool:
        """Whether its sandbox stands."""
        return self._sandbox is not None

    async def run(self, report: Callable[[Event], Awaitable[None]]) -> ev.ProgramExit:
        """Start it, and wait for its end; `report` is told that it has started.

        Raises:
            ExecutionError: It could not be started.
        """
        async with self._steps.start() as sandbox:
            self._sandbox = sandbox
            if self._is_paused:
                await sandbox.pause()
            await report(ev.ProgramStarted())
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._copy_output, sandbox)
                if self._stop_grace_s is not None:
                    await sandbox.stop(grace_s=self._stop_grace_s)
                ended = await sandbox.wait()
                if self._steps.seat is not None:
                    await self._steps.seat.program_ended(is_well=is_well(ended))
            self._usage = await sandbox.usage()
            self._sandbox = None
        if ended.log_bytes_dropped:
            self._book.note(f"{ended.log_bytes_dropped} bytes of output past its limit were dropped")
        self._book.note(f"the program {ended.text}")
        return exit_of(ended)

    async def stop(self, grace_s: float) -> None:
        """Ask it to end, and kill it after `grace_s`; run() returns how it ended."""
        self._stop_grace_s = grace_s
        if self._steps.seat is not None:
            self._steps.seat.hold()
        if self._sandbox is not None:
            self._book.note(f"the program is asked to end within {grace_s:g} s")
            await self._sandbox.stop(grace_s=grace_s)

    async def set_paused(self, *, is_paused: bool) -> None:
        """Freeze it, or let it go on; also before it has started.

        Raises:
            ExecutionError: The runtime cannot.
        """
        self._is_paused = is_paused
        if self._sandbox is not None and is_paused:
            self._book.note("the program is paused: it is not paid")
            await self._sandbox.pause()
        elif self._sandbox is not None:
            self._book.note("the program goes on: it is paid")
            await self._sandbox.resume()

    async def usage(self) -> Usage:
        """Return what it has used so far, or in all.

        Raises:
            ExecutionError: The runtime does not answer.
        """
        if self._sandbox is not None:
            self._usage = await self._sandbox.usage()
        return self._usage

    async def snapshot(self) -> bool:
        """Have the runtime save the whole program; False where it cannot, or nothing runs.

        Raises:
            ExecutionError: It tried and failed.
        """
        return self._sandbox is not None and await self._sandbox.snapshot()

    def note_trouble(self, error: SkyopsError) -> None:
        """Log that the runtime could not be asked; the next beat asks again."""
        log.info("usage_unknown code=%s", error.code)

    async def _copy_output(self, sandbox: RunningSandbox) -> None:
        async for chunk in sandbox.output:
            self._book.add(chunk.stream, chunk.data)


def is_well(ended: SandboxExit) -> bool:
    """Tell whether a program has ended by itself and without complaint."""
    return ended.kind is ExitKind.EXITED and ended.exit_code == 0


def exit_of(ended: SandboxExit) -> ev.ProgramExit:
    """Return how a program ended as the core has it."""
    return ev.ProgramExit(ended.kind.value, ended.exit_code, ended.signal, ended.text)
