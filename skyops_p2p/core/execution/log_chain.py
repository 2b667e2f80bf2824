"""The hash chain over a run's log: nobody can drop, change or reorder a record without the head changing. Pure.

Spec: protocol/05-execution.md, "Logs".
"""

from collections.abc import Iterable

from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.wire import canonical
from skyops_p2p.wire.messages.execution import LogPart

DOMAIN = b"skyops/log/1"
START = bytes(32)
"""The head before the first record."""


def next_head(head: bytes, number: int, record: LogPart) -> bytes:
    """Return the head after one more record: SHA-256 of domain, head, number (8 bytes), the record's encoding.

    Args:
        head: Before it, 32 bytes.
        number: Its number, from 0.
        record: What it holds.

    Rules: EXE-14.
    """
    return sha256(DOMAIN + head + number.to_bytes(8, "big") + canonical.encode(record.to_wire()))


def head_after(head: bytes, first: int, records: Iterable[LogPart]) -> bytes:
    """Return the head after several records that follow each other, the first numbered `first`."""
    for number, record in enumerate(records, first):
        head = next_head(head, number, record)
    return head
