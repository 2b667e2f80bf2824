"""What happens to the exchange of statements, and what it wants done; questions to peers are in catching.py."""

from dataclasses import dataclass

from skyops_p2p.core.machine import Effect, Event
from skyops_p2p.types import PeerId, UnixMs


# --- events -------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Restored(Event):
    """What was held before a restart, as it was kept; it is not checked again."""

    items: tuple[bytes, ...]
    """Encoded SignedStatements."""
    unix_ms: UnixMs


@dataclass(frozen=True, slots=True)
class OwnStatementMade(Event):
    """This node's own witness has said something."""

    data: bytes
    """Encoded SignedStatement."""


@dataclass(frozen=True, slots=True)
class GossipAccepted(Event):
    """A statement that `judge` has accepted."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class NamesAnswered(Event):
    """A peer has answered AskNames."""

    peer: PeerId
    names: tuple[bytes, ...]
    is_complete: bool


@dataclass(frozen=True, slots=True)
class StatementsAnswered(Event):
    """A peer has answered AskStatements."""

    peer: PeerId
    items: tuple[bytes, ...]
    unix_ms: UnixMs


@dataclass(frozen=True, slots=True)
class AskFailed(Event):
    """A peer did not answer, or refused."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class StakeJudged(Event):
    """The chain was asked for a witness's stake."""

    account: bytes
    is_staked: bool | None
    """None: the chain could not be asked."""


@dataclass(frozen=True, slots=True)
class TimeCame(Event):
    """The instant that `next_deadline` named has come."""

    peers: tuple[PeerId, ...]
    """Neighbours: connected, in any order."""
    unix_ms: UnixMs


# --- effects ------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class GossipStatement(Effect):
    """Publish a statement on the topic of probes."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class JudgeStake(Effect):
    """Look at a witness's stake on chain; StakeJudged follows."""

    account: bytes


@dataclass(frozen=True, slots=True)
class KeepStatement(Effect):
    """Write down what is held, and have it counted."""

    key: str
    data: bytes


@dataclass(frozen=True, slots=True)
class ForgetStatement(Effect):
    """Delete what was written down."""

    key: str


@dataclass(frozen=True, slots=True)
class ContradictionFound(Effect):
    """A witness has signed two statements for one watch."""

    account: bytes


@dataclass(frozen=True, slots=True)
class BlamePeer(Effect):
    """A peer has sent what no honest node holds."""

    peer: PeerId
    code: str
