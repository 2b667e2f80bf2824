"""One program under bubblewrap, from its start to its last trace."""

import logging
import signal
from collections.abc import Awaitable, Callable
from functools import partial

import trio

from skyops_p2p import limits
from skyops_p2p.adapters.confine.cgroups import Cgroup, GroupUsage
from skyops_p2p.adapters.confine.disk import DiskWatch
from skyops_p2p.adapters.confine.ending import Circumstances, lost, not_started, tell_end
from skyops_p2p.adapters.confine.output import OutputTap
from skyops_p2p.adapters.native.bubblewrap import BubblewrapProcess
from skyops_p2p.errors import ExecutionError
from skyops_p2p.ports import ExitKind, OutputChunk, SandboxExit, SandboxSpec, Usage

logger = logging.getLogger(__name__)
_POLL_S = 0.002
_READ_BYTES = 64 * 1024
_COMPLAINT = b"bwrap: "
_EXEC_COMPLAINT = b"bwrap: execvp "
_COMPLAINT_BYTES_MAX = 512


class NativeRun:
    """Implements ports.RunningSandbox.

    Args:
        spec: What runs.
        group: Its control group, None where the kernel gives none.
        launch: Starts bubblewrap; raises OSError.
    """

    def __init__(
        self, spec: SandboxSpec, group: Cgroup | None, launch: Callable[[], BubblewrapProcess]
    ) -> None:
        self._spec = spec
        self._group = group
        self._launch = launch
        self._process: BubblewrapProcess | None = None
        self._tap = OutputTap(spec.limits.log_bytes_max)
        self._disk = DiskWatch(spec.mounts, spec.limits.disk_bytes)
        self._cause: ExitKind | None = None
        self._complaint = b""
        self._begun_s = trio.current_time()
        self._end: SandboxExit | None = None
        self._final_usage: Usage | None = None
        self._is_over = trio.Event()
        self._company = trio.CancelScope(shield=True)

    @property
    def output(self) -> trio.MemoryReceiveChannel[OutputChunk]:
        """See the port."""
        return self._tap.output

    def begin(self) -> None:
        """Start the program.

        Raises:
            OSError: There is no launcher, or no room for a process.
        """
        self._begun_s = trio.current_time()
        self._process = self._launch()

    def begin_in_vain(self, reason: str) -> None:
        """Tell an end without a start: the program cannot be executed."""
        self._end = not_started(reason)
        self._final_usage = Usage(wall_s=0.0)
        self._is_over.set()

    async def accompany(self) -> None:
        """Bring its output, watch its bounds, tell its end; the owner's task."""
        # Shielded until `remove` is done: whoever is cancelled still has to learn how the program ended.
        with self._company:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._tap.run)
                if self._process is not None:
                    await self._see_it_through(self._process)
                await self._tap.close()

    async def wait(self) -> SandboxExit:
        """See the port."""
        await self._is_over.wait()
        assert self._end is not None
        return self._end

    async def stop(self, *, grace_s: float) -> SandboxExit:
        """See the port."""
        process = self._process
        if process is not None and not self._is_over.is_set() and not process.has_ended:
            self._cause = self._cause or ExitKind.STOPPED
            await self.resume()
            if grace_s > 0 and process.signal(signal.SIGTERM):
                with trio.move_on_after(grace_s):
                    await self._is_over.wait()
            process.kill()
        return await self.wait()

    async def pause(self) -> None:
        """See the port."""
        self._alive()
        await self._freeze(is_frozen=True)

    async def resume(self) -> None:
        """See the port."""
        if self._group is not None and not self._is_over.is_set():
            await self._freeze(is_frozen=False)

    async def signal(self, number: int) -> None:
        """See the port."""
        process = self._alive()
        with trio.fail_after(limits.SANDBOX_START_TIMEOUT_S):
            while not process.signal(number):  # until bubblewrap has made the room, some milliseconds
                self._alive()
                await trio.sleep(_POLL_S)

    async def usage(self) -> Usage:
        """See the port."""
        await trio.lowlevel.checkpoint()
        return self._final_usage or self._usage_now()

    async def snapshot(self) -> bool:
        """See the port: a process tree cannot be saved without its help."""
        await trio.lowlevel.checkpoint()
        return False

    async def remove(self) -> None:
        """End what is left and remove all traces; call it in a shielded scope, while `accompany` still runs."""
        with trio.move_on_after(limits.SANDBOX_STOP_TIMEOUT_S) as scope:
            if self._process is not None:
                await self.stop(grace_s=0)
            await self._remove_group()
        if scope.cancelled_caught:
            logger.warning("sandbox_lingers name=%s", self._spec.name)
        self._company.cancel()
        if self._process is not None:
            self._process.close()

    async def _see_it_through(self, process: BubblewrapProcess) -> None:
        code = -signal.SIGKILL
        async with trio.open_nursery() as readers:
            for stream, descriptor in process.streams.items():
                readers.start_soon(self._read, stream, descriptor)
            readers.start_soon(process.follow_status)
            async with trio.open_nursery() as watchers:
                wall = partial(trio.sleep, self._spec.limits.wall_s)
                watchers.start_soon(self._end_after, wall, ExitKind.TIMED_OUT)
                watchers.start_soon(self._end_after, self._disk.wait_exceeded, ExitKind.OUT_OF_DISK)
                code = await process.wait()
                watchers.cancel_scope.cancel()
            self._final_usage = self._usage_now()
            await self._tap.lift()
        self._end = self._tell(process, code)
        self._is_over.set()

    async def _end_after(self, wait: Callable[[], Awaitable[None]], cause: ExitKind) -> None:
        await wait()
        self._cause = self._cause or cause
        await self.resume()
        assert self._process is not None
        self._process.kill()

    async def _read(self, stream: str, descriptor: int) -> None:
        async with trio.lowlevel.FdStream(descriptor) as pipe:
            while data := await pipe.receive_some(_READ_BYTES):
                if stream == "stderr":
                    self._complaint = (self._complaint + data)[-_COMPLAINT_BYTES_MAX:]
                await self._tap.take(stream, data)

    def _tell(self, process: BubblewrapProcess, code: int) -> SandboxExit:
        dropped = self._tap.dropped_bytes
        last_line = self._complaint.rstrip(b"\n").rpartition(b"\n")[2]
        if self._cause is None and code == 1 and last_line.startswith(_EXEC_COMPLAINT):
            reason = last_line.removeprefix(_EXEC_COMPLAINT).decode("utf-8", "replace")
            return not_started(reason, dropped_bytes=dropped)
        killed_for_memory = self._group is not None and self._group.was_killed_for_memory()
        if self._cause is None and process.exit_code is None and not killed_for_memory:
            reason = last_line.removeprefix(_COMPLAINT).decode("utf-8", "replace")
            return lost(reason or "bubblewrap was killed from outside", dropped_bytes=dropped)
        known = Circumstances(
            self._spec.limits, self._cause, killed_for_memory, self._disk.is_full(), dropped_bytes=dropped
        )
        return tell_end(code if code >= 0 else 128 - code, known)

    def _usage_now(self) -> Usage:
        used = self._group.usage() if self._group is not None else GroupUsage()
        return Usage(
            wall_s=trio.current_time() - self._begun_s,
            cpu_s=used.cpu_s,
            memory_bytes=used.memory_bytes,
            memory_peak_bytes=used.memory_peak_bytes,
            pids=used.pids,
            read_bytes=used.read_bytes,
            written_bytes=used.written_bytes,
        )

    def _alive(self) -> BubblewrapProcess:
        if self._process is None or self._is_over.is_set() or self._process.has_ended:
            raise ExecutionError("the program has ended", code="sandbox_ended")
        return self._process

    async def _freeze(self, *, is_frozen: bool) -> None:
        try:
            if self._group is None:
                raise OSError("no control group")
            self._group.freeze(is_frozen=is_frozen)
        except (OSError, KeyError) as error:
            if not is_frozen:
                return
            raise ExecutionError("this machine cannot pause programs", code="not_supported") from error
        with trio.move_on_after(limits.SANDBOX_STOP_TIMEOUT_S):
            while self._group.is_frozen is not is_frozen and not self._is_over.is_set():  # noqa: ASYNC110
                await trio.sleep(_POLL_S)

    async def _remove_group(self) -> None:
        if self._group is None:
            return
        while not self._group.remove_nowait():
            self._group.kill()
            await trio.sleep(_POLL_S)
