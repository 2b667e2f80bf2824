"""Tasks of a warm lease on the worker: handed to the running program through named pipes, answered as they come.

The node opens both pipes before the program starts and keeps them open, so that nothing the program does to their
names matters. A task is never run twice: its number is remembered, and its answer as long as there is room.
"""

import logging
import os
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from pathlib import Path

import trio

from skyops_p2p import limits
from skyops_p2p.core.execution.task_lines import (
    IN_FILE,
    LINE_BYTES_MAX,
    OUT_FILE,
    TaskAnswer,
    decode_answer,
    encode_task,
)
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.wire.messages.execution import TaskEnded, TaskStart

log = logging.getLogger(__name__)

READ_BYTES = 64 * 1024
ANSWERS_KEPT = 2 * limits.TASKS_IN_FLIGHT_MAX


class TaskPipe:
    """The tasks of one warm lease.

    Args:
        folder: What the program sees as /skyops.
        epoch: Of the lease.
        send: Takes each answer.
    """

    def __init__(self, folder: Path, epoch: int, send: Callable[[TaskEnded], Awaitable[None]]) -> None:
        self._epoch = epoch
        self._send = send
        self._begun: dict[int, float] = {}
        """Task -> when it was handed over; at most TASKS_IN_FLIGHT_MAX."""
        self._answers: OrderedDict[int, TaskEnded] = OrderedDict()
        self._newest = -1
        self._to_program = trio.lowlevel.FdStream(_make_pipe(folder / IN_FILE))
        self._from_program = trio.lowlevel.FdStream(_make_pipe(folder / OUT_FILE))
        self._write_lock = trio.Lock()

    async def start(self, message: TaskStart) -> None:
        """Hand a task to the program; one that is known is answered again, or is under way. Rules: EXE-17."""
        task = message.task
        if task in self._answers:
            await self._send(self._answers[task])
            return
        if task in self._begun or task <= self._newest:
            return
        if len(self._begun) >= limits.TASKS_IN_FLIGHT_MAX:
            raise RemoteProtocolError("too many tasks at once", code="flood", rule="EXE-17")
        self._newest = task
        self._begun[task] = trio.current_time()
        async with self._write_lock:
            await self._to_program.send_all(encode_task(task, message.arguments, message.stdin))

    async def read(self) -> None:
        """Take the program's answers until cancelled, or until it says something that is none."""
        rest = b""
        while True:
            chunk = await self._from_program.receive_some(READ_BYTES)
            *lines, rest = (rest + bytes(chunk)).split(b"\n")
            if len(rest) > LINE_BYTES_MAX:
                raise RemoteProtocolError("a line without an end", code="oversized", rule="EXE-17")
            for line in lines:
                await self._take(decode_answer(line))

    async def give_up(self) -> None:
        """Answer what the program left open: it has ended."""
        for task in list(self._begun):
            await self._answer(
                TaskEnded(epoch=self._epoch, task=task, exit_kind="lost", stdout=b"", stderr=b"", wall_us=0)
            )

    async def aclose(self) -> None:
        """Close both pipes: the program reads the end of its input."""
        await self._to_program.aclose()
        await self._from_program.aclose()

    async def _take(self, answer: TaskAnswer) -> None:
        begun = self._begun.get(answer.task)
        if begun is None:
            return  # it answers twice, or what nobody asked
        await self._answer(
            TaskEnded(
                epoch=self._epoch,
                task=answer.task,
                exit_kind="exited",
                exit_code=answer.exit_code,
                stdout=answer.stdout,
                stderr=answer.stderr,
                wall_us=round((trio.current_time() - begun) * 1_000_000),
            )
        )

    async def _answer(self, ended: TaskEnded) -> None:
        self._begun.pop(ended.task, None)
        self._answers[ended.task] = ended
        while len(self._answers) > ANSWERS_KEPT:
            self._answers.popitem(last=False)
        await self._send(ended)


def _make_pipe(path: Path) -> int:
    """Make a named pipe that everybody may open, and open it both ways, which never blocks (fifo(7))."""
    os.mkfifo(path, 0o666)
    path.chmod(0o666)  # whatever the umask says
    return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
