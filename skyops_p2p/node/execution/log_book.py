"""A run's log on the worker: numbered, hash-chained, bounded in memory, sealed in segments for the rest.

Records live in memory until the requester has them, at most LOG_BUFFER_BYTES_MAX; older ones are in sealed segments
of the content store, which also go to the peers that keep copies. Each segment names the one before, so the newest
leads to all. Spec: protocol/05-execution.md, "Logs".
"""

import itertools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import trio

from skyops_p2p import limits
from skyops_p2p.core.execution.log_chain import START, next_head
from skyops_p2p.core.execution.log_segments import SEGMENT_RECORDS_MAX, LogSegment, cost_of
from skyops_p2p.types import UnixMs
from skyops_p2p.wire.messages.content import BundleRef
from skyops_p2p.wire.messages.execution import LogBatch, LogPart

SealSegment = Callable[[LogSegment], Awaitable[BundleRef]]
OpenSegment = Callable[[BundleRef], Awaitable[LogSegment]]


NODE_STREAM = "skyops"
"""What the node itself says of a run."""


@dataclass(frozen=True, slots=True)
class _Kept:
    record: LogPart
    head_before: bytes
    """Chain before it, 32 bytes."""


class LogBook:
    """The log of one run.

    Args:
        epoch: Of the lease.
        seal: Seals a segment into the store and returns its name.
        open_: Opens one again, for a requester that was away.
        now_ms: The wall clock.
    """

    def __init__(
        self, epoch: int, *, seal: SealSegment, open_: OpenSegment, now_ms: Callable[[], UnixMs]
    ) -> None:
        self.count = 0
        """Records so far."""
        self.head = START
        """Chain over all of them."""
        self.newest: BundleRef | None = None
        """The last sealed segment."""
        self.segments: list[tuple[int, BundleRef]] = []
        """(number of the first record, name) of all sealed segments, in order; LOG_BYTES_MAX bounds them."""
        self.bytes_dropped = 0
        """Output past LOG_BYTES_MAX."""
        self._epoch = epoch
        self._seal = seal
        self._open = open_
        self._now_ms = now_ms
        self._bytes = 0
        self._kept: list[_Kept] = []
        """The newest records; the first is number `_first`."""
        self._first = 0
        self._kept_bytes = 0
        self._sealed = 0
        """Records below this number are in segments."""
        self._unsealed_bytes = 0
        self._sealing = trio.Lock()
        self._grown = trio.Event()

    def add(self, stream: str, data: bytes) -> None:
        """Append output; what is past LOG_BYTES_MAX is counted instead."""
        for start in range(0, len(data), limits.LOG_CHUNK_BYTES_MAX):
            self._append(stream, data[start : start + limits.LOG_CHUNK_BYTES_MAX])
        self._grown.set()
        self._grown = trio.Event()

    def note(self, text: str) -> None:
        """Append what the node itself has to say of the run."""
        self.add(NODE_STREAM, text.encode() + b"\n")

    async def wait_past(self, number: int) -> None:
        """Wait until there is a record with this number."""
        while self.count <= number:
            await self._grown.wait()

    @property
    def is_due(self) -> bool:
        """Whether enough has come for another segment."""
        return self._unsealed_bytes >= limits.LOG_SEGMENT_BYTES

    async def seal(self) -> None:
        """Seal all records that are in no segment yet, in segments of at most LOG_SEGMENT_BYTES.

        Raises:
            SkyopsError: The store failed; the records stay where they are.
        """
        async with self._sealing:
            while self._sealed < self.count:
                segment = self._next_segment()
                self.newest = await self._seal(segment)
                self.segments.append((segment.first, self.newest))
                self._sealed = segment.first + len(segment.records)
                self._unsealed_bytes -= sum(cost_of(record) for record in segment.records)
            self._trim()

    async def batch(self, number: int) -> LogBatch | None:
        """Return records from `number` on, as many as fit a batch; None if there are none yet.

        Raises:
            SkyopsError: A segment could not be opened.
        """
        if number >= self.count:
            return None
        if number < self._first:
            return self._from_segment(await self._segment_with(number), number)
        return self._cut(self._kept, number - self._first, number)

    def _append(self, stream: str, data: bytes) -> None:
        record = LogPart.model_validate({"unix_ms": self._now_ms(), "stream": stream, "data": data})
        cost = cost_of(record)
        if self._bytes + cost > limits.LOG_BYTES_MAX and stream != NODE_STREAM:
            if not self.bytes_dropped:
                self.note(f"the log is full at {limits.LOG_BYTES_MAX} bytes; what comes now is dropped")
            self.bytes_dropped += len(data)
            return
        self._kept.append(_Kept(record, self.head))
        self.head = next_head(self.head, self.count, record)
        self.count += 1
        self._bytes += cost
        self._kept_bytes += cost
        self._unsealed_bytes += cost

    def _next_segment(self) -> LogSegment:
        """Cut the next segment from what is kept, which always holds what is not sealed."""
        start = self._sealed - self._first
        chosen = _fitting(self._kept, start, bytes_max=limits.LOG_SEGMENT_BYTES)
        head = self._kept[start].head_before
        return LogSegment(self._epoch, self._sealed, head, chosen, self.newest)

    def _trim(self) -> None:
        """Forget sealed records while too much is kept."""
        surplus = 0
        for kept in self._kept[: self._sealed - self._first]:
            if self._kept_bytes <= limits.LOG_BUFFER_BYTES_MAX:
                break
            self._kept_bytes -= cost_of(kept.record)
            surplus += 1
        del self._kept[:surplus]
        self._first += surplus

    async def _segment_with(self, number: int) -> LogSegment:
        """Walk back from the newest segment to the one with a record."""
        ref = self.newest
        while ref is not None:
            segment = await self._open(ref)
            if segment.first <= number:
                return segment
            ref = segment.previous
        raise LookupError(f"record {number} is in no segment")  # our own invariant: sealed before trimmed

    def _from_segment(self, segment: LogSegment, number: int) -> LogBatch:
        head, kept = segment.head, []
        for place, record in enumerate(segment.records, segment.first):
            kept.append(_Kept(record, head))
            head = next_head(head, place, record)
        return self._cut(kept, number - segment.first, number)

    def _cut(self, kept: Sequence[_Kept], start: int, number: int) -> LogBatch:
        chosen = _fitting(
            kept, start, bytes_max=limits.LOG_BATCH_BYTES_MAX, records_max=limits.LOG_BATCH_RECORDS_MAX
        )
        return LogBatch(epoch=self._epoch, first=number, head=kept[start].head_before, records=chosen)


def _fitting(
    kept: Sequence[_Kept], start: int, *, bytes_max: int, records_max: int = SEGMENT_RECORDS_MAX
) -> tuple[LogPart, ...]:
    """Return the records from `start` on that fit together; at least one."""
    chosen: list[LogPart] = []
    size = 0
    for entry in itertools.islice(kept, start, start + records_max):
        size += cost_of(entry.record)
        if chosen and size > bytes_max:
            break
        chosen.append(entry.record)
    return tuple(chosen)
