"""What happens only to the exchange of statements, and what only it wants done; see core/pull_events.py."""

from dataclasses import dataclass

from skyops_p2p.core.machine import Effect, Event


# --- events -------------------------------------------------------------------------------------------------------
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
class StakeJudged(Event):
    """The chain was asked for a witness's stake."""

    account: bytes
    is_staked: bool | None
    """None: the chain could not be asked."""


# --- effects ------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class JudgeStake(Effect):
    """Look at a witness's stake on chain; StakeJudged follows."""

    account: bytes


@dataclass(frozen=True, slots=True)
class ContradictionFound(Effect):
    """A witness has signed two statements for one watch."""

    account: bytes
