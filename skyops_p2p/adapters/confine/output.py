"""What a program writes, on its way to whoever reads it: cut into chunks, bounded in all, counted beyond the bound."""

from collections import deque

import trio

from skyops_p2p import limits
from skyops_p2p.ports import OutputChunk


class OutputTap:
    """Takes bytes of both streams and hands them on in order; `run` moves them and is the owner's task.

    While the program runs, whoever brings its bytes waits when OUTPUT_WAITING_BYTES_MAX of them are unread: the pipe
    fills, and the program waits too. After `lift` the rest, at most what pipes held, is taken without waiting, so
    that the end of a program can be told although nobody reads.

    Args:
        bytes_max: Bytes handed on, of both streams together; those after them are dropped and counted.
    """

    def __init__(self, bytes_max: int) -> None:
        self._send, self.output = trio.open_memory_channel[OutputChunk](0)
        self._room = bytes_max
        self._waiting: deque[OutputChunk] = deque()
        self._waiting_bytes = 0
        self._changed = trio.Condition()
        self._is_lifted = False
        self._is_closed = False
        self.dropped_bytes = 0

    async def take(self, stream: str, data: bytes) -> None:
        """Take what came from one stream; returns when there is room for more."""
        kept = data[: self._room]
        self._room -= len(kept)
        self.dropped_bytes += len(data) - len(kept)
        async with self._changed:
            for start in range(0, len(kept), limits.LOG_CHUNK_BYTES_MAX):
                self._waiting.append(OutputChunk(stream, kept[start : start + limits.LOG_CHUNK_BYTES_MAX]))
            self._waiting_bytes += len(kept)
            self._changed.notify_all()
            while self._waiting_bytes > limits.OUTPUT_WAITING_BYTES_MAX and not self._is_lifted:
                await self._changed.wait()

    async def lift(self) -> None:
        """Stop the back-pressure: the program has ended."""
        async with self._changed:
            self._is_lifted = True
            self._changed.notify_all()

    async def close(self) -> None:
        """Say that nothing more will come; the channel ends after what is waiting."""
        async with self._changed:
            self._is_closed = self._is_lifted = True
            self._changed.notify_all()

    async def run(self) -> None:
        """Hand on until closed, or until the reader closed its end: the rest is then thrown away."""
        with self._send:
            while (chunk := await self._next()) is not None:
                try:
                    await self._send.send(chunk)
                except trio.BrokenResourceError:
                    self._room = 0
                await self._made_room(len(chunk.data))

    async def _next(self) -> OutputChunk | None:
        async with self._changed:
            while not self._waiting and not self._is_closed:
                await self._changed.wait()
            return self._waiting.popleft() if self._waiting else None

    async def _made_room(self, size: int) -> None:
        async with self._changed:
            self._waiting_bytes -= size
            self._changed.notify_all()
