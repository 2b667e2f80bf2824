"""One container, from its start to its last trace."""

import logging
import struct
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import trio

from skyops_p2p import limits
from skyops_p2p.adapters.confine.cgroups import Cgroup, group_of
from skyops_p2p.adapters.confine.disk import DiskWatch
from skyops_p2p.adapters.confine.ending import Circumstances, lost, not_started, tell_end
from skyops_p2p.adapters.confine.output import OutputTap
from skyops_p2p.adapters.docker.containers import Containers
from skyops_p2p.errors import ExecutionError
from skyops_p2p.ports import ExitKind, OutputChunk, SandboxExit, SandboxSpec, Usage

logger = logging.getLogger(__name__)
_HEADER_BYTES = 8
_STREAMS = {1: "stdout", 2: "stderr"}
_INIT_COMPLAINT = b"[FATAL tini ("
_COMPLAINT_BYTES_MAX = 512
_NOT_EXECUTED = (126, 127)
_READ_BYTES = 64 * 1024


class DockerRun:
    """Implements ports.RunningSandbox.

    Args:
        spec: What runs.
        containers: Of the engine.
        config: Body of the request that makes the container.
        snapshot: Saves the running container, see DockerSandbox; None where that cannot be done.
    """

    def __init__(
        self,
        spec: SandboxSpec,
        containers: Containers,
        config: dict[str, Any],
        snapshot: Callable[["DockerRun"], Awaitable[bool]] | None = None,
    ) -> None:
        self._spec = spec
        self._containers = containers
        self._config = config
        self._snapshot = snapshot
        self.container_id = ""
        self._output: trio.lowlevel.FdStream | None = None
        self._group: Cgroup | None = None
        self._tap = OutputTap(spec.limits.log_bytes_max)
        self._disk = DiskWatch(spec.mounts, spec.limits.disk_bytes)
        self._cause: ExitKind | None = None
        self._complaint = b""
        self._begun_s = trio.current_time()
        self._usage = Usage(wall_s=0.0)
        self._is_between = False  # saved and not yet up again: an end of its output is not its own
        self._came_back = trio.Event()
        self._end: SandboxExit | None = None
        self._is_over = trio.Event()
        self._company = trio.CancelScope(shield=True)

    @property
    def output(self) -> trio.MemoryReceiveChannel[OutputChunk]:
        """See the port."""
        return self._tap.output

    async def begin(self, name: str, *, prepare: Callable[[str], Awaitable[str]] | None = None) -> None:
        """Make the container, attach to it, start it.

        Args:
            name: Of the container.
            prepare: Called with its id before the start; returns the checkpoint from which it goes on, or "".

        Raises:
            ExecutionError: `sandbox_failed`, `gpu_unavailable`, `runtime_unavailable`.
        """
        try:
            self.container_id = await self._containers.create(name, self._config)
            checkpoint = await prepare(self.container_id) if prepare is not None else ""
            await self.attach_and_start(checkpoint)
        except BaseException:
            self.begin_in_vain("the engine refused")  # nobody will accompany it: it is over
            raise
        self._begun_s = trio.current_time()

    async def attach_and_start(self, checkpoint: str = "") -> None:
        """Start the container, with its output coming here from the first byte on."""
        self._output = trio.lowlevel.FdStream(await self._containers.attach(self.container_id))
        await self._containers.start(self.container_id, checkpoint=checkpoint)
        pid = await self._containers.main_pid(self.container_id)
        self._group = group_of(pid) if pid else None

    def begin_in_vain(self, reason: str) -> None:
        """Tell an end without a start: the program cannot be executed."""
        self._end = not_started(reason)
        self._is_over.set()

    async def accompany(self) -> None:
        """Bring its output, watch its bounds, tell its end; the owner's task."""
        # Shielded until `remove` is done: whoever is cancelled still has to learn how the program ended.
        with self._company:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._tap.run)
                if not self._is_over.is_set():
                    self._end = await self._see_it_through()
                    self._is_over.set()
                await self._tap.close()

    async def wait(self) -> SandboxExit:
        """See the port."""
        await self._is_over.wait()
        assert self._end is not None
        return self._end

    async def stop(self, *, grace_s: float) -> SandboxExit:
        """See the port."""
        if not self._is_over.is_set() and await self._containers.is_running(self.container_id):
            self._cause = self._cause or ExitKind.STOPPED
            await self._containers.unpause(self.container_id)
            self._note_usage()
            if grace_s > 0 and await self._containers.kill(self.container_id, "SIGTERM"):
                with trio.move_on_after(grace_s):
                    await self._is_over.wait()
            if not self._is_over.is_set():
                self._note_usage()
                await self._containers.kill(self.container_id, "SIGKILL")
        return await self.wait()

    async def pause(self) -> None:
        """See the port."""
        await self._alive()
        await self._containers.pause(self.container_id)

    async def resume(self) -> None:
        """See the port."""
        if not self._is_over.is_set():
            await self._containers.unpause(self.container_id)

    async def signal(self, number: int) -> None:
        """See the port."""
        await self._alive()
        if not await self._containers.kill(self.container_id, str(number)):
            raise ExecutionError("the program has ended", code="sandbox_ended")

    async def usage(self) -> Usage:
        """See the port; the engine's figures vanish with the end, so the last are those of a second before it."""
        await trio.lowlevel.checkpoint()
        self._note_usage()
        return self._usage

    async def snapshot(self) -> bool:
        """See the port."""
        if self._snapshot is None or self._is_over.is_set():
            await trio.lowlevel.checkpoint()
            return False
        return await self._snapshot(self)

    async def save_and_go_on(self, checkpoint: str, saved: Callable[[], None]) -> None:
        """Save the container's whole state, which ends it, and start it again from that.

        Args:
            checkpoint: Its name.
            saved: Called in between.

        Raises:
            ExecutionError: The engine refused; if it came down and not up again, the run ends as lost.
        """
        self._is_between = True
        try:
            await self._containers.checkpoint(self.container_id, checkpoint)
            saved()
            old = self._output
            await self.attach_and_start(checkpoint)
            if old is not None:
                await old.aclose()
        finally:
            self._is_between = False
            self._came_back.set()
            self._came_back = trio.Event()

    async def remove(self, name: str) -> None:
        """End what is left and remove all traces; call it in a shielded scope, while `accompany` still runs."""
        with trio.move_on_after(limits.SANDBOX_STOP_TIMEOUT_S) as scope:
            self._cause = self._cause or ExitKind.STOPPED
            await self._tap.lift()
            if self.container_id and not self._is_over.is_set():
                self._note_usage()
                await self._tried(self._containers.kill(self.container_id, "SIGKILL"))
                await self._is_over.wait()
            await self._tried(self._containers.remove(name))
        if scope.cancelled_caught:
            logger.warning("container_lingers name=%s", name)
        self._company.cancel()
        if self._output is not None:
            await self._output.aclose()

    async def _see_it_through(self) -> SandboxExit:
        async with trio.open_nursery() as watchers:
            wall = partial(trio.sleep, self._spec.limits.wall_s)
            watchers.start_soon(self._end_after, wall, ExitKind.TIMED_OUT)
            watchers.start_soon(self._end_after, self._disk.wait_exceeded, ExitKind.OUT_OF_DISK)
            watchers.start_soon(self._sample_usage)
            try:
                await self._read_all()
                state = await self._containers.wait(self.container_id)
            except ExecutionError as error:
                return lost(str(error), dropped_bytes=self._tap.dropped_bytes)
            finally:
                watchers.cancel_scope.cancel()
        return self._tell(state)

    async def _end_after(self, wait: Callable[[], Awaitable[None]], cause: ExitKind) -> None:
        await wait()
        self._cause = self._cause or cause
        self._note_usage()
        await self._tried(self._containers.unpause(self.container_id))
        await self._tried(self._containers.kill(self.container_id, "SIGKILL"))

    async def _tried(self, call: Awaitable[object]) -> None:
        """Make a call that an engine which is gone cannot answer: `reap` finds what stays behind."""
        try:
            await call
        except ExecutionError as error:
            logger.warning("container_call_failed name=%s error=%s", self._spec.name, error.message)

    async def _read_all(self) -> None:
        while True:
            stream = self._output
            assert stream is not None
            await self._read(stream)
            while self._is_between:
                await self._came_back.wait()
            if self._output is stream:
                return

    async def _read(self, output: trio.lowlevel.FdStream) -> None:
        """Take frames until the engine closes the stream: a byte for the stream, three zeros, four for the length."""
        waiting = bytearray()
        while data := await output.receive_some(_READ_BYTES):
            waiting += data
            while len(waiting) >= _HEADER_BYTES:
                number, length = struct.unpack(">BxxxL", waiting[:_HEADER_BYTES])
                taken = bytes(waiting[_HEADER_BYTES : _HEADER_BYTES + length])
                if len(taken) < length and len(taken) < _READ_BYTES:
                    break
                del waiting[: _HEADER_BYTES + len(taken)]
                if len(taken) < length:  # a long frame is handed on in parts
                    waiting[:0] = struct.pack(">BxxxL", number, length - len(taken))
                await self._take(_STREAMS.get(number, "stdout"), taken)

    async def _take(self, stream: str, data: bytes) -> None:
        if stream == "stderr":
            self._complaint = (self._complaint + data)[-_COMPLAINT_BYTES_MAX:]
        await self._tap.take(stream, data)

    def _tell(self, state: dict[str, Any]) -> SandboxExit:
        code, dropped = int(state.get("ExitCode", 0)), self._tap.dropped_bytes
        last_line = self._complaint.rstrip(b"\n").rpartition(b"\n")[2]
        if self._cause is None and code in _NOT_EXECUTED and last_line.startswith(_INIT_COMPLAINT):
            reason = last_line.partition(b"exec ")[2].decode("utf-8", "replace")
            return not_started(reason, dropped_bytes=dropped)
        known = Circumstances(
            self._spec.limits,
            self._cause,
            killed_for_memory=bool(state.get("OOMKilled")),
            is_disk_full=self._disk.is_full(),
            dropped_bytes=dropped,
        )
        return tell_end(code, known)

    async def _sample_usage(self) -> None:
        while True:
            self._note_usage()
            await trio.sleep(limits.USAGE_SAMPLE_S)

    def _note_usage(self) -> None:
        if self._is_over.is_set() or self._group is None:
            return
        used, last = self._group.usage(), self._usage
        self._usage = Usage(
            wall_s=trio.current_time() - self._begun_s,
            cpu_s=last.cpu_s if used.cpu_s is None else used.cpu_s,
            memory_bytes=last.memory_bytes if used.memory_bytes is None else used.memory_bytes,
            memory_peak_bytes=last.memory_peak_bytes
            if used.memory_peak_bytes is None
            else used.memory_peak_bytes,
            pids=last.pids if used.pids is None else used.pids,
            read_bytes=last.read_bytes if used.read_bytes is None else used.read_bytes,
            written_bytes=last.written_bytes if used.written_bytes is None else used.written_bytes,
        )

    async def _alive(self) -> None:
        if self._is_over.is_set() or not await self._containers.is_running(self.container_id):
            raise ExecutionError("the program has ended", code="sandbox_ended")
