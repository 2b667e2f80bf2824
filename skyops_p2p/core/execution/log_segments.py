"""Sealed segments of a run's log: the bytes of a bundle's one file. Pure. Spec: protocol/05-execution.md, "Logs"."""

from dataclasses import dataclass

from skyops_p2p import limits
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.wire import canonical
from skyops_p2p.wire.messages.content import BundleRef
from skyops_p2p.wire.messages.execution import LogPart

SEGMENT_FILE = "log"
"""The one file of a segment's bundle."""
RECORD_COST_BYTES = 64
"""What a record counts beside its text, so that a flood of empty lines is bounded too."""
SEGMENT_BYTES_MAX = 2 * limits.LOG_SEGMENT_BYTES
"""Encoded."""
SEGMENT_RECORDS_MAX = limits.LOG_SEGMENT_BYTES // RECORD_COST_BYTES


@dataclass(frozen=True, slots=True)
class LogSegment:
    """Consecutive records of one run."""

    epoch: int
    first: int
    """Number of the first record."""
    head: bytes
    """Chain before it."""
    records: tuple[LogPart, ...]
    previous: BundleRef | None
    """The segment before; None for the first."""


def cost_of(record: LogPart) -> int:
    """Return what a record counts against the bounds, in bytes."""
    return len(record.data) + RECORD_COST_BYTES


def encode_segment(segment: LogSegment) -> bytes:
    """Return a segment's file."""
    fields = {
        1: segment.epoch,
        2: segment.first,
        3: segment.head,
        4: [record.to_wire() for record in segment.records],
    }
    if segment.previous is not None:
        fields[5] = segment.previous.to_wire()
    return canonical.encode(fields, items_max=SEGMENT_RECORDS_MAX)


def decode_segment(data: bytes) -> LogSegment:
    """Read a segment's file.

    Raises:
        RemoteProtocolError: `malformed`, `oversized` or `non_canonical`.

    Rules: EXE-14.
    """
    fields = canonical.decode(data, bytes_max=SEGMENT_BYTES_MAX, items_max=SEGMENT_RECORDS_MAX)
    match fields:
        case {1: int(epoch), 2: int(first), 3: bytes(head), 4: list(records)} if (
            fields.keys() <= {1, 2, 3, 4, 5}
            and len(head) == 32
            and first >= 0
            and bool not in map(type, (epoch, first))
        ):
            previous = BundleRef.from_wire(fields[5]) if 5 in fields else None
            parts = tuple(LogPart.from_wire(record) for record in records)
            return LogSegment(epoch, first, head, parts, previous)
    raise RemoteProtocolError("no segment of a log", code="malformed", rule="EXE-14")
