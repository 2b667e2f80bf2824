"""One program while it runs and after: the node's side."""

import contextlib
import json
import logging
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import trio

from skyops_p2p import limits
from skyops_p2p.adapters.confine.output import OutputTap
from skyops_p2p.adapters.wasm.endings import Facts, tell_end
from skyops_p2p.adapters.wasm.frames import BrokenFrame, FrameReader, RunRequest, encode, encode_request
from skyops_p2p.adapters.wasm.launcher import Child
from skyops_p2p.errors import ExecutionError
from skyops_p2p.ports import ExitKind, OutputChunk, SandboxExit, SandboxSpec, Usage

logger = logging.getLogger(__name__)
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class RunningWasm:
    """A module in a child process. `run` is its life and the owner's task; the rest may be called by anybody.

    Args:
        spec: As it was asked for.
        request: The same in the child's words.
        child: The process, waiting for its request.
    """

    def __init__(self, spec: SandboxSpec, request: RunRequest, child: Child) -> None:
        self._spec = spec
        self._request = request
        self._child = child
        self._tap = OutputTap(spec.limits.log_bytes_max)
        self._scope = trio.CancelScope(shield=True)
        self._sending = trio.Lock()
        self._began_s = trio.current_time()
        self._wall_s: float | None = None
        self._cause: ExitKind | None = None
        self._is_paused = False
        self._told: dict[str, Any] | None = None  # how the module ended, in the child's words
        self._failure = ""
        self._buried: dict[str, Any] = {}  # how the process ended, in its parent's words
        self._fuel = 0
        self._snapshot_answer: bool | None = None
        self._news = trio.Condition()  # of the four above
        self._ended = trio.Event()
        self._end: SandboxExit | None = None

    @property
    def output(self) -> trio.MemoryReceiveChannel[OutputChunk]:
        """See RunningSandbox."""
        return self._tap.output

    async def begin(self) -> None:
        """Send the request, before anybody can send an order."""
        await self._send(encode_request(self._request))

    async def run(self) -> None:
        """Live until the program has ended and its output is read, or until `close`; not cancelled from outside."""
        with self._scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._tap.run)
                async with trio.open_nursery() as timed:
                    timed.start_soon(self._end_in_time)
                    await self._live()
                    timed.cancel_scope.cancel()

    async def close(self) -> None:
        """End what is left; afterwards `wait` answers at once."""
        with trio.CancelScope(shield=True), trio.move_on_after(limits.SANDBOX_STOP_TIMEOUT_S):
            if not self._ended.is_set():
                self._set_cause(ExitKind.STOPPED)
                self._child.send_signal(signal.SIGKILL)
                await self._ended.wait()
        self._scope.cancel()
        if self._end is None:
            self._conclude()

    async def wait(self) -> SandboxExit:
        """See RunningSandbox."""
        await self._ended.wait()
        assert self._end is not None
        return self._end

    async def stop(self, *, grace_s: float) -> SandboxExit:
        """Tell a module that can hear it, wait, interrupt, and kill; see docs/wasm-jobs.md."""
        if self._told is None and not self._ended.is_set():
            self._set_cause(ExitKind.STOPPED)
            await self.resume()
            with trio.move_on_after(grace_s):
                if grace_s > 0:
                    await self._order("stop")
                    await self._ended.wait()
            await self._end_now()
        return await self.wait()

    async def pause(self) -> None:
        """See RunningSandbox; the process has stopped when this returns."""
        if self._ended.is_set() or not self._child.send_signal(signal.SIGSTOP):
            raise ExecutionError("the program has ended", code="sandbox_ended")
        self._is_paused = True
        # The kernel tells nobody but the parent that a process has stopped.
        while not self._ended.is_set() and _stat_of(self._child.pid)[:1] not in ([], ["T"], ["Z"]):  # noqa: ASYNC110
            await trio.sleep(0.001)

    async def resume(self) -> None:
        """See RunningSandbox."""
        if self._is_paused:
            self._is_paused = False
            self._child.send_signal(signal.SIGCONT)

    async def signal(self, number: int) -> None:
        """Refuse: a module has no signals.

        Raises:
            ExecutionError: `sandbox_ended` or `not_supported`.
        """
        if self._ended.is_set():
            raise ExecutionError("the program has ended", code="sandbox_ended")
        raise ExecutionError(
            f"a WebAssembly module cannot hear signal {number}",
            code="not_supported",
            hint="Export `skyops_stop`, which is called when the job is to end.",
        )

    async def usage(self) -> Usage:
        """See RunningSandbox; the fuel of a module in a loop without calls is that of its last call."""
        if not self._ended.is_set() and not self._is_paused:
            with trio.move_on_after(limits.WASM_ANSWER_S):
                async with self._news:
                    await self._order("fuel")
                    await self._news.wait()
        wall_s = self._wall_s if self._wall_s is not None else trio.current_time() - self._began_s
        if self._ended.is_set():
            cpu_s, peak = self._buried.get("cpu_s"), self._buried.get("memory_peak_bytes")
            return Usage(wall_s, cpu_s=cpu_s, memory_peak_bytes=peak, pids=0, fuel=self._fuel)
        memory = _memory_of(self._child.pid)
        return Usage(
            wall_s,
            cpu_s=_cpu_s_of(self._child.pid),
            memory_bytes=memory.get("VmRSS"),
            memory_peak_bytes=memory.get("VmHWM"),
            pids=1,
            fuel=self._fuel,
        )

    async def snapshot(self) -> bool:
        """See RunningSandbox; only a module in steps can, and only while it is not paused."""
        if not self._request.snapshot or self._request.hidden_state or self._is_paused:
            return False
        with trio.move_on_after(limits.WASM_SNAPSHOT_TIMEOUT_S):
            async with self._news:
                self._snapshot_answer = None
                await self._order("snapshot")
                while not self._has_answered():
                    await self._news.wait()
        return bool(self._snapshot_answer)

    async def _live(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read_output, "stdout", self._child.out)
            nursery.start_soon(self._read_output, "stderr", self._child.err)
            nursery.start_soon(self._converse)
            await self._read_end()
            await self._tap.lift()
        await self._tap.close()
        self._conclude()
        async with self._news:
            self._news.notify_all()

    async def _read_output(self, stream: str, pipe: trio.lowlevel.FdStream) -> None:
        while data := await pipe.receive_some(limits.WASM_READ_BYTES):
            await self._tap.take(stream, data)

    async def _converse(self) -> None:
        reader = FrameReader(bytes_max=limits.WASM_ANSWER_BYTES_MAX)
        try:
            while data := await self._child.conversation.receive_some(limits.WASM_READ_BYTES):
                for message in reader.feed(data):
                    await self._hear(message)
        except (trio.BrokenResourceError, BrokenFrame) as error:
            logger.debug("wasm_child_lost name=%s error=%r", self._spec.name, error)

    async def _hear(self, message: dict[str, Any]) -> None:
        async with self._news:
            match message:
                case {"fuel": int(used)}:
                    self._fuel = max(self._fuel, used)
                case {"snapshot": bool(is_saved)}:
                    self._snapshot_answer = is_saved
                case {"end": dict(told)}:
                    self._told = told
                    self._fuel = max(self._fuel, int(told["fuel"]))
                case {"failure": str(text)}:
                    self._failure = text
                case {"note": str(text)}:
                    logger.info("wasm_note name=%s text=%s", self._spec.name, text)
            self._news.notify_all()

    async def _read_end(self) -> None:
        pieces = bytearray()
        while data := await self._child.end.receive_some(limits.WASM_READ_BYTES):
            pieces += data
        with contextlib.suppress(ValueError):  # nothing at all if the parent was killed
            self._buried = json.loads(pieces)

    async def _end_in_time(self) -> None:
        await trio.sleep(self._spec.limits.wall_s)
        if not self._ended.is_set():
            self._set_cause(ExitKind.TIMED_OUT)
            await self.resume()
            await self._end_now()

    async def _end_now(self) -> None:
        """Interrupt the module, and kill its process if that does not help."""
        with trio.move_on_after(limits.WASM_INTERRUPT_S):
            await self._order("interrupt")
            await self._ended.wait()
        if not self._ended.is_set():
            self._child.send_signal(signal.SIGKILL)
            await self._ended.wait()

    def _has_answered(self) -> bool:
        return self._snapshot_answer is not None or self._ended.is_set()

    async def _order(self, order: str) -> None:
        await self._send(encode({"order": order}))

    async def _send(self, frame: bytes) -> None:
        async with self._sending:
            with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await self._child.conversation.send_all(frame)

    def _set_cause(self, cause: ExitKind) -> None:
        if self._cause is None and self._told is None:
            self._cause = cause

    def _conclude(self) -> None:
        self._wall_s = trio.current_time() - self._began_s
        facts = Facts(self._spec.limits, self._cause, self._told, self._failure, self._buried.get("status"))
        self._end = replace(tell_end(facts), log_bytes_dropped=self._tap.dropped_bytes)
        self._ended.set()


def _stat_of(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the third on (the state)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return []
    return text.rpartition(")")[2].split()


def _cpu_s_of(pid: int) -> float | None:
    fields = _stat_of(pid)
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S if len(fields) > 12 else None


def _memory_of(pid: int) -> dict[str, int]:
    """Return {field of /proc/PID/status: bytes}."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    words = [line.split() for line in lines if line.endswith(" kB")]
    return {word[0].rstrip(":"): int(word[1]) * 1024 for word in words}
