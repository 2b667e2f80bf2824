"""A lease: whether the other side of a job is still there, the same machine on both sides.

The requester's side asks witnesses before it gives a silent worker up, and may give it up early; the worker's side
waits as long as the lease says, since its requester may be restarting. Neither reads a message: what came from the
peer, under the right epoch, is a PeerHeard. Spec: protocol/05-execution.md, "Lease". Diagram:
machines/execution-lease. Source of suspicion before judgement: Das et al., SWIM (DSN 2002).
"""

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from skyops_p2p import limits
from skyops_p2p.core.machine import DeadlineReached, Effect, Event, Machine, Table, to
from skyops_p2p.types import MonotonicS


class LeaseState(Enum):
    """How sure this side is of the other."""

    HELD = "held"
    SUSPECT = "suspect"
    """Silent for too long, or the session broke."""
    LAPSED = "lapsed"
    """Given up: what comes under this epoch does not count any more."""
    CLOSED = "closed"
    """Ended in order."""


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """Seconds."""

    beat_s: float = limits.LEASE_BEAT_S
    suspect_s: float = limits.LEASE_SUSPECT_S
    witness_s: float = limits.LEASE_WITNESS_S
    ttl_s: float = limits.LEASE_TTL_S


# --- events -----------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class PeerHeard(Event):
    """A message of the peer under this lease's epoch."""


@dataclass(frozen=True, slots=True)
class LinkLost(Event):
    """The session that carries the lease has ended, or could not be opened; the end of an older one is not told."""


@dataclass(frozen=True, slots=True)
class LinkRestored(Event):
    """A new session carries the lease; the peer has answered in it."""


@dataclass(frozen=True, slots=True)
class WitnessesAnswered(Event):
    """Others were asked whether they reach the peer, and some answered; where nobody did, nothing is told."""

    is_alive: bool
    """One of them reaches it; False: all that answered do not."""
    asked: int | None = None
    """Number of the AskWitnesses that this answers; None: the newest."""


@dataclass(frozen=True, slots=True)
class LeaseCloseRequested(Event):
    """This side is done with the lease."""

    code: str


# --- effects ----------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class SendBeat(Effect):
    """Tell the peer that this side is there."""


@dataclass(frozen=True, slots=True)
class RestoreLink(Effect):
    """Open a new session and attach to the lease; report LinkRestored, or LinkLost if that failed.

    It comes again while the doubt lasts: at most one attempt is under way.
    """


@dataclass(frozen=True, slots=True)
class AskWitnesses(Effect):
    """Ask other peers whether they reach the peer; report WitnessesAnswered with the same number."""

    number: int


@dataclass(frozen=True, slots=True)
class LapseLease(Effect):
    """The lease is over without the peer's word."""

    code: str


_H, _S, _L, _C = LeaseState.HELD, LeaseState.SUSPECT, LeaseState.LAPSED, LeaseState.CLOSED


class Lease(Machine[LeaseState]):
    """One side of a lease.

    Args:
        epoch: The fencing token.
        now: When it begins; the peer has just been heard.
        is_requester: Whether this side asks witnesses and restores the link.
        times: How long what takes.
    """

    TRANSITIONS: ClassVar[Table] = {
        (_H, PeerHeard): to(_H),
        (_H, LinkLost): to(_S),
        (_H, LinkRestored): to(_H),
        (_H, WitnessesAnswered): to(_H),
        (_H, LeaseCloseRequested): to(_C),
        (_H, DeadlineReached): to(_H, _S, _L),  # this process may have been frozen for long
        (_S, PeerHeard): to(_H),
        (_S, LinkLost): to(_S),
        (_S, LinkRestored): to(_H),
        (_S, WitnessesAnswered): to(_S, _L),
        (_S, LeaseCloseRequested): to(_C),
        (_S, DeadlineReached): to(_S, _L),
        **{(state, event): to(state) for state in (_L, _C) for event in (PeerHeard, LinkLost, LinkRestored)},
        **{(state, event): to(state) for state in (_L, _C) for event in (WitnessesAnswered, DeadlineReached)},
        (_L, LeaseCloseRequested): to(_L),
        (_C, LeaseCloseRequested): to(_C),
    }

    def __init__(
        self, epoch: int, now: MonotonicS, *, is_requester: bool, times: LeaseTimes | None = None
    ) -> None:
        super().__init__(LeaseState.HELD)
        self.epoch = epoch
        self.code = ""
        """Why it is over; empty while it is not."""
        self._is_requester = is_requester
        self._times = times or LeaseTimes()
        self._heard_at = now
        self._has_link = True
        self._beat_at = MonotonicS(now + self._times.beat_s)
        self._ask_at: MonotonicS | None = None
        """When witnesses are asked (again); only while the requester suspects."""
        self._asked = 0
        """Number of the newest question to witnesses."""
        self._doubted_since = 0
        """The newest question before the doubt that lasts: an answer to it or an older one says nothing."""
        self._rests_until = now
        """No question before: a peer that breaks each session at once costs no more than one that is silent."""

    @property
    def heard_at(self) -> MonotonicS:
        """When the peer was last heard."""
        return self._heard_at

    def next_deadline(self) -> MonotonicS | None:
        """See Machine."""
        if self.state in (_L, _C):
            return None
        instants = [MonotonicS(self._heard_at + self._times.ttl_s)]
        if self._has_link:
            instants.append(self._beat_at)
        if self.state is _H:
            instants.append(MonotonicS(self._heard_at + self._times.suspect_s))
        if self._ask_at is not None:
            instants.append(self._ask_at)
        return min(instants)

    def check_invariants(self) -> None:
        """See Machine."""
        assert (self.state in (_L, _C)) == bool(self.code), "over means stated why"
        assert (self._ask_at is not None) == (self.state is _S and self._is_requester), "doubt means to ask"

    # --- one method per event -----------------------------------------------------------------------------------
    def _on_peer_heard(self, _event: PeerHeard, now: MonotonicS) -> list[Effect]:
        if self.state in (_H, _S):
            self._trust(now)
        return []

    def _on_link_restored(self, _event: LinkRestored, now: MonotonicS) -> list[Effect]:
        if self.state not in (_H, _S):
            return []
        self._beat_at = MonotonicS(now + self._times.beat_s)
        self._trust(now)
        return [SendBeat()]

    def _on_link_lost(self, _event: LinkLost, now: MonotonicS) -> list[Effect]:
        if self.state not in (_H, _S):
            return []
        self._has_link = False
        return self._suspect(now) if self.state is _H else []

    def _on_witnesses_answered(self, event: WitnessesAnswered, now: MonotonicS) -> list[Effect]:
        is_late = event.asked is not None and event.asked <= self._doubted_since
        if self.state is not _S or not self._is_requester or is_late:
            return []
        if not event.is_alive:  # EXE-7
            return self._lapse("worker_lost")
        self._ask_at = MonotonicS(now + self._times.witness_s)
        return []

    def _on_lease_close_requested(self, event: LeaseCloseRequested, _now: MonotonicS) -> list[Effect]:
        if self.state in (_H, _S):
            self.state, self.code, self._ask_at = _C, event.code, None
        return []

    def _on_deadline_reached(self, _event: DeadlineReached, now: MonotonicS) -> list[Effect]:
        if self.state not in (_H, _S):
            return []
        if now >= self._heard_at + self._times.ttl_s:  # EXE-8
            return self._lapse("worker_silent" if self._is_requester else "requester_silent")
        effects: list[Effect] = []
        if self._has_link and now >= self._beat_at:  # EXE-7
            self._beat_at = MonotonicS(now + self._times.beat_s)
            effects.append(SendBeat())
        if self.state is _H and now >= self._heard_at + self._times.suspect_s:
            effects += self._suspect(now)
        elif self._ask_at is not None and now >= self._ask_at:
            effects += self._ask(now)
        return effects

    # --- all ------------------------------------------------------------------------------------------------------
    def _trust(self, now: MonotonicS) -> None:
        """Forget the doubt. Who is heard has a link to us, even if a second one could not be opened."""
        self.state, self._heard_at, self._ask_at, self._has_link = _H, now, None, True

    def _suspect(self, now: MonotonicS) -> list[Effect]:
        self.state, self._doubted_since = _S, self._asked
        if not self._is_requester:
            return []
        if now < self._rests_until:
            self._ask_at = self._rests_until
            return []
        return self._ask(now)

    def _ask(self, now: MonotonicS) -> list[Effect]:
        """Try the link and ask the witnesses side by side; ask again if nobody answers at all. Rules: EXE-7."""
        self._asked += 1
        self._ask_at = MonotonicS(now + self._times.witness_s)
        self._rests_until = MonotonicS(now + self._times.beat_s)
        return [RestoreLink(), AskWitnesses(self._asked)]

    def _lapse(self, code: str) -> list[Effect]:
        self.state, self.code, self._ask_at = _L, code, None
        return [LapseLease(code)]
