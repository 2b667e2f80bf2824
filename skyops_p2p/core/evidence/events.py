"""What happens only to receipts and verdicts, and what only their exchanges want done; see core/pull_events.py."""

from dataclasses import dataclass

from skyops_p2p.core.machine import Effect, Event
from skyops_p2p.core.settlement.receipts import DoubleHistory
from skyops_p2p.core.verification.check import CheckedVerdict
from skyops_p2p.types import PeerId, UnixMs

Pair = tuple[bytes, bytes]
"""Requester and worker, 20 bytes each."""


# --- events -------------------------------------------------------------------------------------------------------
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
class PairJudged(Event):
    """The chain was asked for a pair's money."""

    pair: Pair
    is_funded: bool | None
    """None: the chain could not be asked."""
    unix_ms: UnixMs


# --- effects ------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class AskRange(Effect):
    """Ask a peer for a stretch of an account's chain; ItemsAnswered or AskFailed follows."""

    peer: PeerId
    account: bytes
    first: int
    count: int


@dataclass(frozen=True, slots=True)
class JudgePair(Effect):
    """Look at a pair's money on chain; PairJudged follows."""

    pair: Pair


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
