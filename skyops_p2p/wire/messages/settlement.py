"""Settlement messages: lanes, meters, vouchers and co-signed receipts.

They travel sealed in a session of the pair (chapter 01); what convinces others carries wallet signatures of its own.
An amount is 32 bytes, big-endian, in wei. Spec: protocol/07-settlement.md.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from skyops_p2p import limits
from skyops_p2p.wire.messages.auction import Code, ModeName
from skyops_p2p.wire.messages.execution import Epoch, Shard
from skyops_p2p.wire.messages.identity import NetworkText
from skyops_p2p.wire.model import Bytes16, Bytes20, Bytes32, Count, Instant, Message, N, Part, Signature65

Number = Annotated[int, Field(ge=1, le=2**31)]
"""Of an interval of a lane, from 1."""
Bps = Annotated[int, Field(ge=0, le=10_000)]
"""Hundredths of a per cent."""
Pace = Annotated[int, Field(ge=limits.PAY_INTERVAL_MS, le=limits.PAY_INTERVAL_TRUSTED_MS_MAX)]
VerificationName = Literal["exact", "numeric", "generation", "training", "interactive"]
"""How a job's results are checked, as in its specification; `interactive`: they are not."""
Redundancy = Annotated[int, Field(ge=1, le=7)]
"""Workers that compute the same."""
HalfBytes = Annotated[bytes, Field(min_length=1, max_length=limits.SIGNED_RECEIPT_BYTES_MAX)]


class CountsPart(Part):
    """What one side has metered since the lane began; 0 where it does not meter that."""

    runtime_ms: Annotated[Count, N(1)]
    """Of the program; what the price is for."""
    gpu_ms: Annotated[Count, N(2)]
    """Integral of the devices' utilisation."""
    cpu_ms: Annotated[Count, N(3)]
    memory_mib_s: Annotated[Count, N(4)]
    """Integral of the memory in use."""
    moved_bytes: Annotated[Count, N(5)]
    """Inputs, outputs, checkpoints and logs, both ways."""


class HalfPart(Part):
    """One party's signature under a receipt, and its place in the chain of all receipts of that party."""

    sequence: Annotated[int, Field(ge=1, le=2**53 - 1), N(1)]
    previous: Annotated[Bytes32, N(2)]
    """Link of the receipt before in that chain; zero for the first."""
    signature: Annotated[Signature65, N(3)]


class LaneOffer(Message):
    """Requester: what it pays for one lease, and by what."""

    number: ClassVar[int] = 80
    name: ClassVar[str] = "lane-offer"

    lane: Annotated[Bytes32, N(1)]
    job_id: Annotated[Bytes16, N(2)]
    shard: Annotated[Shard, N(3)]
    epoch: Annotated[Epoch, N(4)]
    award: Annotated[Bytes32, N(5)]
    """Digest of the enveloped Award that the rate is from."""
    chain_id: Annotated[Count, N(6)]
    contract: Annotated[Bytes20, N(7)]
    """Settlement."""
    token: Annotated[Bytes20, N(8)]
    """Zero: ETH."""
    requester: Annotated[Bytes20, N(9)]
    """Wallet that signs the vouchers."""
    rate: Annotated[Bytes32, N(10)]
    """Wei for an hour."""
    prepaid_ms: Annotated[int, Field(ge=0, le=limits.PAY_INTERVAL_TRUSTED_MS_MAX), N(11)]
    """Runtime that is paid ahead; 0: none."""
    interval_ms_max: Annotated[Pace, N(12)]
    """Longest interval."""
    holdback_bps: Annotated[Bps, N(13)]


class LaneAnswer(Message):
    """Worker: the lane stands (`taken`), or why not."""

    number: ClassVar[int] = 81
    name: ClassVar[str] = "lane-answer"

    lane: Annotated[Bytes32, N(1)]
    code: Annotated[Code, N(2)]


class Meter(Message):
    """Worker: an interval is over; what it has metered so far."""

    number: ClassVar[int] = 82
    name: ClassVar[str] = "meter"

    lane: Annotated[Bytes32, N(1)]
    interval: Annotated[Number, N(2)]
    counts: Annotated[CountsPart, N(3)]
    is_last: Annotated[bool, N(4)]
    """The run is over."""


class VoucherItemPart(Part):
    """One interval that a voucher pays."""

    lane: Annotated[Bytes32, N(1)]
    interval: Annotated[Number, N(2)]
    counts: Annotated[CountsPart, N(3)]
    """What the requester has metered."""


class Voucher(Message):
    """Requester: all that the pair's jobs have cost so far; what the contract redeems, and what it is for."""

    number: ClassVar[int] = 83
    name: ClassVar[str] = "voucher"

    chain_id: Annotated[Count, N(1)]
    contract: Annotated[Bytes20, N(2)]
    requester: Annotated[Bytes20, N(3)]
    worker: Annotated[Bytes20, N(4)]
    token: Annotated[Bytes20, N(5)]
    cumulative: Annotated[Bytes32, N(6)]
    """Wei, below 2^96."""
    holdback_bps: Annotated[Bps, N(7)]
    receipts_root: Annotated[Bytes32, N(8)]
    """Of the tree of all receipts of the pair; zero while there is none."""
    signature: Annotated[Signature65, N(9)]
    """Over the contract's Voucher (EIP-712), by the requester's wallet."""
    items: Annotated[
        tuple[VoucherItemPart, ...], Field(min_length=1, max_length=limits.VOUCHER_ITEMS_MAX), N(10)
    ]
    receipts: Annotated[tuple[HalfBytes, ...], Field(max_length=limits.VOUCHER_ITEMS_MAX), N(11)]
    """SignedReceipts with the requester's half, in the order in which the tree takes them."""


class VoucherAnswer(Message):
    """Worker: the voucher is taken and stored, or why not."""

    number: ClassVar[int] = 84
    name: ClassVar[str] = "voucher-answer"

    answers: Annotated[Bytes32, N(1)]
    """`cumulative` of the voucher that this answers."""
    newest: Annotated[Bytes32, N(2)]
    """`cumulative` of the newest voucher that the worker has taken."""
    code: Annotated[Code, N(3)]
    """`taken`, or why not."""
    halves: Annotated[tuple[HalfPart, ...], Field(max_length=limits.VOUCHER_ITEMS_MAX), N(4)]
    """The worker's halves of the voucher's receipts, in their order."""


class LaneStop(Message):
    """Either side: nothing more is metered or paid on this lane, and why."""

    number: ClassVar[int] = 85
    name: ClassVar[str] = "lane-stop"

    lane: Annotated[Bytes32, N(1)]
    code: Annotated[Code, N(2)]


class Receipt(Message):
    """What one lease came to: the facts that both sides sign."""

    number: ClassVar[int] = 86
    name: ClassVar[str] = "receipt"

    network: Annotated[NetworkText, N(1)]
    chain_id: Annotated[Count, N(2)]
    contract: Annotated[Bytes20, N(3)]
    token: Annotated[Bytes20, N(4)]
    requester: Annotated[Bytes20, N(5)]
    worker: Annotated[Bytes20, N(6)]
    lane: Annotated[Bytes32, N(7)]
    job_id: Annotated[Bytes16, N(8)]
    shard: Annotated[Shard, N(9)]
    epoch: Annotated[Epoch, N(10)]
    award: Annotated[Bytes32, N(11)]
    spec_digest: Annotated[Bytes32, N(12)]
    mode: Annotated[ModeName, N(13)]
    class_milli: Annotated[int, Field(ge=0, le=2**31), N(14)]
    """Class index of all devices together, in thousandths."""
    outcome: Annotated[Code, N(15)]
    """As in the ResultReceipt."""
    result: Annotated[Bytes32, N(16)]
    """Digest of the enveloped ResultReceipt: the execution hash."""
    log_head: Annotated[Bytes32, N(17)]
    metering_root: Annotated[Bytes32, N(18)]
    """Of the tree of the lane's paid intervals."""
    started_unix_ms: Annotated[Instant, N(19)]
    ended_unix_ms: Annotated[Instant, N(20)]
    requester_counts: Annotated[CountsPart, N(21)]
    worker_counts: Annotated[CountsPart, N(22)]
    rate: Annotated[Bytes32, N(23)]
    amount: Annotated[Bytes32, N(24)]
    """What the lane has cost."""
    cumulative: Annotated[Bytes32, N(25)]
    """Of the voucher that brings this receipt."""
    verification: Annotated[VerificationName, N(26)]
    redundancy: Annotated[Redundancy, N(27)]


class SignedReceipt(Message):
    """A receipt with one half, or with both."""

    number: ClassVar[int] = 87
    name: ClassVar[str] = "signed-receipt"

    receipt: Annotated[bytes, Field(min_length=1, max_length=limits.RECEIPT_BYTES_MAX), N(1)]
    requester: Annotated[HalfPart | None, N(2)] = None
    worker: Annotated[HalfPart | None, N(3)] = None
