"""Messages of the exchange of receipts and verdicts: names by gossip, questions and answers, and proofs of double
histories.

Spec: protocol/07b-receipts.md.
"""

from typing import Annotated, ClassVar

from pydantic import Field

from skyops_p2p import limits
from skyops_p2p.wire.messages.settlement import HalfBytes
from skyops_p2p.wire.model import Bytes20, Bytes32, Count, Message, N, Signature65

VerdictBytes = Annotated[bytes, Field(min_length=1, max_length=limits.VERDICT_TOLD_BYTES_MAX)]
"""An enveloped Verdict."""
Place = Annotated[int, Field(ge=1, le=2**53 - 1)]
"""In a party's chain, from 1."""


class ReceiptNames(Message):
    """Gossip: receipts that the author holds, and gives to whoever asks."""

    number: ClassVar[int] = 88
    name: ClassVar[str] = "receipt-names"

    names: Annotated[tuple[Bytes32, ...], Field(min_length=1, max_length=limits.RECEIPT_NAMES_TOLD_MAX), N(1)]


class ReceiptsRequest(Message):
    """Please give me these receipts."""

    number: ClassVar[int] = 89
    name: ClassVar[str] = "receipts-request"

    names: Annotated[tuple[Bytes32, ...], Field(min_length=1, max_length=limits.RECEIPTS_ASKED_MAX), N(1)]


class ReceiptRangeRequest(Message):
    """Please give me what you hold of this stretch of one party's chain."""

    number: ClassVar[int] = 90
    name: ClassVar[str] = "receipt-range-request"

    account: Annotated[Bytes20, N(1)]
    first: Annotated[Place, N(2)]
    count: Annotated[int, Field(ge=1, le=limits.RECEIPTS_ASKED_MAX), N(3)]


class ReceiptsReply(Message):
    """What is held of what was asked for: SignedReceipts, and DoubleHistories in place of receipts."""

    number: ClassVar[int] = 91
    name: ClassVar[str] = "receipts-reply"

    items: Annotated[tuple[HalfBytes, ...], Field(max_length=limits.RECEIPTS_ASKED_MAX), N(1)]


class ReceiptSyncRequest(Message):
    """Name what you hold in the buckets that differ from these, from `after` on."""

    number: ClassVar[int] = 92
    name: ClassVar[str] = "receipt-sync-request"

    digests: Annotated[bytes, Field(min_length=512, max_length=512), N(1)]
    """64 buckets of 8 bytes: the XOR of the first 8 bytes of the names in it."""
    after: Annotated[bytes, Field(max_length=32), N(2)]
    """Continue behind this name; empty at first."""


class ReceiptSyncReply(Message):
    """Names of the buckets that differ, ascending."""

    number: ClassVar[int] = 93
    name: ClassVar[str] = "receipt-sync-reply"

    names: Annotated[tuple[Bytes32, ...], Field(max_length=limits.RECEIPT_SYNC_NAMES_MAX), N(1)]
    is_complete: Annotated[bool, N(2)]


class VerdictNames(Message):
    """Gossip: verdicts that the author has made, and gives to whoever asks."""

    number: ClassVar[int] = 100
    name: ClassVar[str] = "verdict-names"

    names: Annotated[tuple[Bytes32, ...], Field(min_length=1, max_length=limits.RECEIPT_NAMES_TOLD_MAX), N(1)]


class VerdictsRequest(Message):
    """Please give me these verdicts."""

    number: ClassVar[int] = 101
    name: ClassVar[str] = "verdicts-request"

    names: Annotated[tuple[Bytes32, ...], Field(min_length=1, max_length=limits.VERDICTS_ASKED_MAX), N(1)]


class VerdictsReply(Message):
    """What is held of what was asked for, as much as fits: enveloped Verdicts."""

    number: ClassVar[int] = 102
    name: ClassVar[str] = "verdicts-reply"

    items: Annotated[tuple[VerdictBytes, ...], Field(max_length=limits.VERDICTS_ASKED_MAX), N(1)]


class VerdictSyncRequest(Message):
    """Name the verdicts that you hold in the buckets that differ from these; ReceiptSyncReply is the answer."""

    number: ClassVar[int] = 103
    name: ClassVar[str] = "verdict-sync-request"

    digests: Annotated[bytes, Field(min_length=512, max_length=512), N(1)]
    """As of ReceiptSyncRequest."""
    after: Annotated[bytes, Field(max_length=32), N(2)]
    """Continue behind this name; empty at first."""


class DoubleHistoryProof(Message):
    """Two signatures of one wallet over one place of its chain of receipts; anyone may relay it."""

    number: ClassVar[int] = 94
    name: ClassVar[str] = "double-history"

    chain_id: Annotated[Count, N(1)]
    contract: Annotated[Bytes20, N(2)]
    """Disputes."""
    account: Annotated[Bytes20, N(3)]
    sequence: Annotated[Place, N(4)]
    first: Annotated[Bytes32, N(5)]
    """Link; the smaller of the two."""
    first_signature: Annotated[Signature65, N(6)]
    second: Annotated[Bytes32, N(7)]
    """Link; the greater."""
    second_signature: Annotated[Signature65, N(8)]
