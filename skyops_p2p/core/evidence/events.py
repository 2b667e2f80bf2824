"""What happens to the exchange of receipts, and what it wants done."""

from dataclasses import dataclass

from skyops_p2p.core.machine import Effect, Event
from skyops_p2p.core.settlement.receipts import DoubleHistory
from skyops_p2p.core.verification.check import CheckedVerdict
from skyops_p2p.types import PeerId, UnixMs

Pair = tuple[bytes, bytes]
"""Requester and worker, 20 bytes each."""


# --- events -------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Restored(Event):
    """What was held before a restart, as it was kept; it is not checked again."""

    items: tuple[bytes, ...]
    """SignedReceipts and DoubleHistoryProofs, encoded."""
    unix_ms: UnixMs


@dataclass(frozen=True, slots=True)
class OwnReceiptKept(Event):
    """This node has a receipt of its own, or has more halves of it."""

    data: bytes
    """Encoded SignedReceipt."""
    unix_ms: UnixMs


@dataclass(frozen=True, slots=True)
class OwnVerdictMade(Event):
    """This node has made a verdict, or has it from before a restart."""

    data: bytes
    """Enveloped."""


@dataclass(frozen=True, slots=True)
class GossipAccepted(Event):
    """Names or a proof that `judge` has accepted."""

    author: PeerId
    payload: bytes
    unix_ms: UnixMs


@dataclass(frozen=True, slots=True)
class ReceiptsAnswered(Event):
    """A peer has answered AskReceipts or AskRange."""

    peer: PeerId
    items: tuple[bytes, ...]
    unix_ms: UnixMs


@dataclass(frozen=True, slots=True)
class NamesAnswered(Event):
    """A peer has answered AskNames."""

    peer: PeerId
    names: tuple[bytes, ...]
    is_complete: bool


@dataclass(frozen=True, slots=True)
class AskFailed(Event):
    """A peer did not answer, or refused."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class PairJudged(Event):
    """The chain was asked for a pair's money."""

    pair: Pair
    is_funded: bool | None
    """None: the chain could not be asked."""
    unix_ms: UnixMs


@dataclass(frozen=True, slots=True)
class TimeCame(Event):
    """The instant that `next_deadline` named has come."""

    peers: tuple[PeerId, ...]
    """Neighbours: connected, in any order."""
    unix_ms: UnixMs


# --- effects ------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Gossip(Effect):
    """Publish names or a proof on the topic of receipts."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class AskReceipts(Effect):
    """Ask a peer for receipts; ReceiptsAnswered or AskFailed follows."""

    peer: PeerId
    names: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class AskRange(Effect):
    """Ask a peer for a stretch of an account's chain; ReceiptsAnswered or AskFailed follows."""

    peer: PeerId
    account: bytes
    first: int
    count: int


@dataclass(frozen=True, slots=True)
class AskNames(Effect):
    """Ask a peer what differs; NamesAnswered or AskFailed follows."""

    peer: PeerId
    digests: bytes
    after: bytes


@dataclass(frozen=True, slots=True)
class JudgePair(Effect):
    """Look at a pair's money on chain; PairJudged follows."""

    pair: Pair


@dataclass(frozen=True, slots=True)
class KeepItem(Effect):
    """Write down what is held; in the place of what has the same key."""

    key: str
    data: bytes


@dataclass(frozen=True, slots=True)
class ForgetItem(Effect):
    """Delete what was written down."""

    key: str


@dataclass(frozen=True, slots=True)
class VerdictHeld(Effect):
    """A verdict that holds counts from now on."""

    checked: CheckedVerdict


@dataclass(frozen=True, slots=True)
class VerdictGone(Effect):
    """A verdict counts no more: newer ones have taken its room, or it is too old."""

    checked: CheckedVerdict


@dataclass(frozen=True, slots=True)
class HistoryFound(Effect):
    """An account has two histories; told once."""

    history: DoubleHistory


@dataclass(frozen=True, slots=True)
class BlamePeer(Effect):
    """A peer has sent what no honest node holds."""

    peer: PeerId
    code: str
