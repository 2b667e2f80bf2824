"""What happens to the two machines of a pair, and what they want done. Spec: protocol/07-settlement.md.

A message comes decoded; that it came from the pair's other side is the session's business.
"""

from dataclasses import dataclass, field

from skyops_p2p.core.machine import Effect, Event
from skyops_p2p.core.settlement.lanes import FactsPart, LaneTerms
from skyops_p2p.core.settlement.meters import NOTHING, Counts
from skyops_p2p.core.settlement.receipts import ChainPlace
from skyops_p2p.types import MonotonicS
from skyops_p2p.wire.messages.settlement import LaneAnswer, LaneOffer, LaneStop, Meter, Voucher, VoucherAnswer
from skyops_p2p.wire.model import Message


@dataclass(slots=True)
class ReceiptChain:
    """Where a wallet's chain of receipts ends: one object for all pairs of a node, restored from the journal."""

    place: ChainPlace = field(default_factory=ChainPlace)


# --- events of both sides -----------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class MeterRead(Event):
    """This side has read its meter of a lane, about once a second while the program runs."""

    lane: bytes
    counts: Counts
    """Totals since the lane began, or since this machine was restored."""
    unseen_ms: int = 0
    """Likewise, at a requester: how long it could not see whether the program runs. Not in `counts`."""


@dataclass(frozen=True, slots=True)
class LaneFinished(Event):
    """The run is over, and both sides know its result; what was read before counts, nothing after."""

    lane: bytes
    facts: FactsPart | None
    """For the receipt; None: there is no result to be signed."""


@dataclass(frozen=True, slots=True)
class LaneLapsed(Event):
    """The lease is over without an end in order: given up, lapsed, or this side's run was lost."""

    lane: bytes


@dataclass(frozen=True, slots=True)
class LaneStopHeard(Event):
    """The other side ends a lane."""

    message: LaneStop


@dataclass(frozen=True, slots=True)
class FundsSeen(Event):
    """What the chain says of the pair's money, wei. Each event replaces the one before."""

    redeemed: int
    """Of the pair, ever."""
    allotted: int
    """For this worker alone."""
    shared: int
    """Of the deposit, as far as this side counts on it."""
    leaves_at: MonotonicS | None = None
    """When the allotment can be taken back; None: nobody has asked for it."""


@dataclass(frozen=True, slots=True)
class LinkRestored(Event):
    """A session of the pair stands (again)."""


# --- events of the requester --------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class LaneBegun(Event):
    """A lease is to be paid."""

    terms: LaneTerms


@dataclass(frozen=True, slots=True)
class LaneAnswerHeard(Event):
    """The worker's answer to an offer."""

    message: LaneAnswer


@dataclass(frozen=True, slots=True)
class MeterHeard(Event):
    """The worker's meter."""

    message: Meter


@dataclass(frozen=True, slots=True)
class VoucherAnswerHeard(Event):
    """The worker's answer to a voucher."""

    message: VoucherAnswer


# --- events of the worker -----------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class LaneExpected(Event):
    """A lease stands, or is about to; its requester must offer this lane."""

    terms: LaneTerms


@dataclass(frozen=True, slots=True)
class LaneOfferHeard(Event):
    """The requester offers a lane."""

    message: LaneOffer


@dataclass(frozen=True, slots=True)
class VoucherHeard(Event):
    """A voucher has come."""

    message: Voucher


# --- effects ------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class StoreAccount(Effect):
    """Write the pair's record, and with it in one transaction the end of this wallet's chain of receipts."""

    record: bytes
    place: ChainPlace


@dataclass(frozen=True, slots=True)
class SendToPeer(Effect):
    """Send a message in the pair's session; it is lost if there is none."""

    message: Message


@dataclass(frozen=True, slots=True)
class StartLane(Effect):
    """The worker may let the program run."""

    lane: bytes


@dataclass(frozen=True, slots=True)
class PauseLane(Effect):
    """The worker stops computing until ResumeLane or StopLane."""

    lane: bytes
    code: str


@dataclass(frozen=True, slots=True)
class ResumeLane(Effect):
    """What was paused may go on."""

    lane: bytes


@dataclass(frozen=True, slots=True)
class StopLane(Effect):
    """End the lease: it is not paid any more."""

    lane: bytes
    code: str


@dataclass(frozen=True, slots=True)
class CloseLane(Effect):
    """A lane is over, and this is what it came to."""

    lane: bytes
    code: str
    paid: int
    """Wei."""
    billed: Counts = NOTHING
    """The smaller counts, as they were paid."""


@dataclass(frozen=True, slots=True)
class KeepReceipt(Effect):
    """Keep a SignedReceipt; `index` is its place in the pair's tree."""

    data: bytes
    index: int


@dataclass(frozen=True, slots=True)
class RedeemVoucher(Effect):
    """Bring the newest voucher to the chain now: the money behind it may leave."""

    code: str


@dataclass(frozen=True, slots=True)
class WarnRunway(Effect):
    """What is deposited lasts only so much longer."""

    seconds: int
