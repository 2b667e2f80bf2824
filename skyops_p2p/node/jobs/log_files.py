"""The log of a shard at the requester: all epochs in one append-only file, whole records or none.

Each record is a length, a checksum and canonical msgpack. A record that a crash cut short is dropped when the file is
opened again, and fetched again from the worker. Files block: they are small appends, made in a thread by the caller.
"""

import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from skyops_p2p import limits
from skyops_p2p.core.execution.log_chain import START, head_after
from skyops_p2p.core.execution.log_segments import cost_of
from skyops_p2p.errors import RemoteProtocolError, StoreError
from skyops_p2p.wire import canonical
from skyops_p2p.wire.messages.execution import LogBatch, LogPart

_HEADER = 8
RECORD_BYTES_MAX = 64 * 1024
READ_BYTES_MAX = 1 << 20
"""What one call of `read` takes into memory."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """One record as it is shown."""

    epoch: int
    number: int
    unix_ms: int
    stream: str
    data: bytes


class ShardLog:
    """One shard's log file.

    Args:
        path: Made if it is not there; its directory must be.

    Raises:
        StoreError: `store_full` or `store_unusable`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._heads: dict[int, tuple[int, bytes]] = {}
        """Epoch -> (records, chain after them)."""
        self._costs: dict[int, int] = {}
        """Epoch -> what its records count against LOG_TAKEN_BYTES_MAX."""
        self._size = self._recover()

    def next_number(self, epoch: int) -> int:
        """Return the number of the first record of an epoch that is not here."""
        return self._heads.get(epoch, (0, START))[0]

    def head(self, epoch: int) -> bytes:
        """Return the chain after all records of an epoch that are here."""
        return self._heads.get(epoch, (0, START))[1]

    def append(self, batch: LogBatch) -> tuple[LogLine, ...]:
        """Add a batch; records that are here already are skipped.

        Returns:
            The new records.

        Raises:
            RemoteProtocolError: `log_broken`: a gap, or another chain than that of what is here; `flood`: an epoch
                has more than LOG_TAKEN_BYTES_MAX.
            StoreError: `store_full`, or the file cannot be written; nothing is added.

        Rules: EXE-11.
        """
        count, head = self._heads.get(batch.epoch, (0, START))
        skipped = count - batch.first
        if skipped < 0:
            raise _broken("records are missing")
        if skipped >= len(batch.records):
            return ()
        if head_after(batch.head, batch.first, batch.records[:skipped]) != head:
            raise _broken("it is another log than before")
        fresh = batch.records[skipped:]
        cost = self._costs.get(batch.epoch, 0) + sum(map(cost_of, fresh))
        if cost > limits.LOG_TAKEN_BYTES_MAX:
            raise RemoteProtocolError("log: it is longer than any", code="flood", rule="EXE-11")
        lines = tuple(_line(batch.epoch, count + index, record) for index, record in enumerate(fresh))
        self._write(b"".join(_frame(line) for line in lines))
        self._heads[batch.epoch] = (count + len(fresh), head_after(head, count, fresh))
        self._costs[batch.epoch] = cost
        return lines

    def read(self, position: int = 0) -> tuple[tuple[LogLine, ...], int]:
        """Read the records from a position on, at most READ_BYTES_MAX of them.

        Args:
            position: 0, or what an earlier call returned.

        Returns:
            The records, and the position behind them.
        """
        if position >= self._size:
            return (), position
        with self._path.open("rb") as file:
            file.seek(position)
            lines = tuple(_read(file.read(min(READ_BYTES_MAX, self._size - position))))
        return lines, position + sum(len(_frame(line)) for line in lines)

    def _write(self, data: bytes) -> None:
        try:
            handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                _write_at(handle, data, self._size)
            finally:
                os.close(handle)
        except OSError as error:
            raise StoreError(f"{self._path}: {error.strerror}", code="store_full") from error
        self._size += len(data)

    def _recover(self) -> int:
        """Read what is there and return where the last whole record ends."""
        size = 0
        try:
            data = self._path.read_bytes() if self._path.exists() else b""
        except OSError as error:
            raise StoreError(f"{self._path}: {error.strerror}") from error
        for line in _read(data):
            record = LogPart.model_validate(
                {"unix_ms": line.unix_ms, "stream": line.stream, "data": line.data}
            )
            count, head = self._heads.get(line.epoch, (0, START))
            self._heads[line.epoch] = (count + 1, head_after(head, count, (record,)))
            self._costs[line.epoch] = self._costs.get(line.epoch, 0) + cost_of(record)
            size += len(_frame(line))
        return size


def _write_at(handle: int, data: bytes, offset: int) -> None:
    """Write all of it, and cut the file behind it: nothing of an older, longer attempt stays."""
    view = memoryview(data)
    while view:
        written = os.pwrite(handle, view, offset)
        view, offset = view[written:], offset + written
    os.ftruncate(handle, offset)


def _line(epoch: int, number: int, record: LogPart) -> LogLine:
    return LogLine(epoch, number, record.unix_ms, record.stream, record.data)


def _frame(line: LogLine) -> bytes:
    body = canonical.encode([line.epoch, line.number, line.unix_ms, line.stream, line.data])
    return len(body).to_bytes(4, "big") + zlib.crc32(body).to_bytes(4, "big") + body


def _read(data: bytes) -> Iterator[LogLine]:
    """Yield whole records; end silently at the first that is cut short or damaged."""
    offset = 0
    while offset + _HEADER <= len(data):
        length = int.from_bytes(data[offset : offset + 4], "big")
        body = data[offset + _HEADER : offset + _HEADER + length]
        checksum = int.from_bytes(data[offset + 4 : offset + _HEADER], "big")
        if length > RECORD_BYTES_MAX or len(body) < length or zlib.crc32(body) != checksum:
            return
        fields = canonical.decode(body, bytes_max=RECORD_BYTES_MAX)
        match fields:
            case [int(epoch), int(number), int(unix_ms), str(stream), bytes(text)]:
                yield LogLine(epoch, number, unix_ms, stream, text)
            case _:
                return
        offset += _HEADER + length


def _broken(text: str) -> RemoteProtocolError:
    return RemoteProtocolError(f"log: {text}", code="log_broken", rule="EXE-11")
