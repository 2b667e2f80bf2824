"""The node's side of the preloaded parent: it is started on first use, and asked for children."""

import array
import contextlib
import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass

import trio

from skyops_p2p import limits
from skyops_p2p.errors import ExecutionError

_PARENT_MODULE = "skyops_p2p.adapters.wasm.child.parent"


@dataclass
class Child:
    """A process that waits for its request, and this side's ends of all that connects us to it."""

    pid: int
    process: int
    """Descriptor of the process: signals by it reach this process or none."""
    conversation: trio.SocketStream
    out: trio.lowlevel.FdStream
    err: trio.lowlevel.FdStream
    end: trio.lowlevel.FdStream
    """Its parent writes here how it ended."""

    def send_signal(self, number: int) -> bool:
        """Send a signal; return whether the process was still there."""
        try:
            signal.pidfd_send_signal(self.process, number)
        except ProcessLookupError:
            return False
        return True

    def close(self) -> None:
        """Give up all ends; what still runs dies of it."""
        self.send_signal(signal.SIGKILL)
        os.close(self.process)
        self.conversation.socket.close()
        for stream in (self.out, self.err, self.end):
            stream.close()


class Launcher:
    """Asks the parent process for children; starts it when there is none."""

    def __init__(self) -> None:
        self._lock = trio.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: trio.socket.SocketType | None = None

    async def launch(self) -> Child:
        """Have a child forked.

        Raises:
            ExecutionError: `sandbox_failed`: the parent process does not start, or has too many children.
        """
        async with self._lock:
            # Once begun, an exchange is finished: a late answer must not be taken for the next one's.
            with trio.CancelScope(shield=True), trio.move_on_after(limits.SANDBOX_START_TIMEOUT_S):
                for _ in range(2):  # the parent may have left because nobody wanted anything for long
                    with contextlib.suppress(OSError):
                        if (child := await self._ask()) is not None:
                            return child
                    await self._end_parent()
            await self._end_parent()
        raise ExecutionError(
            "the process that starts wasm jobs does not answer",
            code="sandbox_failed",
            hint="Look at the end of the node's log and at free memory.",
        )

    async def aclose(self) -> None:
        """End the parent and with it all children."""
        async with self._lock:
            with trio.CancelScope(shield=True):
                await self._end_parent()

    async def _ask(self) -> Child | None:
        """Return a child, or None if the parent is gone.

        Raises:
            ExecutionError: `sandbox_failed`: too many children.
            OSError: The parent is gone, or there are no descriptors left.
        """
        control = self._control or await self._start_parent()
        with contextlib.ExitStack() as theirs, contextlib.ExitStack() as ours:
            near, far = socket.socketpair()
            ours.callback(near.close)
            theirs.callback(far.close)
            pipes = []
            for _ in range(3):
                reading, writing = os.pipe()
                ours.callback(os.close, reading)
                theirs.callback(os.close, writing)
                pipes.append((reading, writing))
            given = array.array("i", [far.fileno(), *(writing for _, writing in pipes)])
            await control.sendmsg([b"1"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, given)])
            answer, process = await _read_answer(control)
            if answer == b"0":
                raise ExecutionError(
                    f"more than {limits.WASM_CHILDREN_MAX} wasm jobs at once", code="sandbox_failed"
                )
            if process is None:
                return None
            ours.pop_all()
        near.setblocking(False)
        out, err, end = (trio.lowlevel.FdStream(reading) for reading, _ in pipes)
        conversation = trio.SocketStream(trio.socket.from_stdlib_socket(near))
        return Child(int(answer), process, conversation, out, err, end)

    async def _start_parent(self) -> trio.socket.SocketType:
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with far:
            try:
                self._process = await trio.to_thread.run_sync(_spawn, far.fileno())
            except BaseException:
                near.close()
                raise
        near.setblocking(False)
        self._control = trio.socket.from_stdlib_socket(near)
        return self._control

    async def _end_parent(self) -> None:
        control, self._control = self._control, None
        process, self._process = self._process, None
        if control is not None:
            control.close()
        if process is not None:
            await trio.to_thread.run_sync(_end_process, process)


def _spawn(descriptor: int) -> subprocess.Popen[bytes]:
    """Start the parent process with its end of the control socket."""
    return subprocess.Popen(  # noqa: S603 - our own module, by our own interpreter
        [sys.executable, "-P", "-m", _PARENT_MODULE, str(descriptor)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=[descriptor],
        start_new_session=True,
        # Nothing of the node's environment: it may hold keys. The import path, so that a checkout works too.
        env={"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONDONTWRITEBYTECODE": "1"},
    )


async def _read_answer(control: trio.socket.SocketType) -> tuple[bytes, int | None]:
    space = socket.CMSG_SPACE(array.array("i").itemsize)
    answer, ancillary, _, _ = await control.recvmsg(16, space, socket.MSG_CMSG_CLOEXEC)
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            return answer, array.array("i", data)[0]
    return answer, None


def _end_process(process: subprocess.Popen[bytes]) -> None:
    """Wait for a parent that was told to end; one that does not listen is killed."""
    try:
        process.wait(limits.WASM_PARENT_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
