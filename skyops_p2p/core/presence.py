"""Is that node there? One machine for each node on the map. Spec: protocol/03-peering.md, "Presence".

A node is PENDING until its record and stake are seen and it has given a sign of life, then ACTIVE. Lost contact is
not death: a SUSPECT is probed directly, then by witnesses, and only their silence makes it INACTIVE (the indirect
probe is SWIM's: Das, Gupta, Motivala 2002). SLASHED is for ever and needs a proof. Diagram: machines/presence.
"""

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from skyops_p2p.core.machine import DeadlineReached, Effect, Event, Machine, Table, to
from skyops_p2p.types import MonotonicS, PeerId


class NodeState(Enum):
    """What this node believes of another."""

    PENDING = "pending"
    ACTIVE = "active"
    SUSPECT = "suspect"
    INACTIVE = "inactive"
    SLASHED = "slashed"


# --- events -----------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class RecordAccepted(Event):
    """A verified node record stands on the map."""


@dataclass(frozen=True, slots=True)
class RecordExpired(Event):
    """The node record ran out and no newer one came."""


@dataclass(frozen=True, slots=True)
class StakeChecked(Event):
    """The chain was asked about the node's stake."""

    is_sufficient: bool


@dataclass(frozen=True, slots=True)
class BeatReceived(Event):
    """A fresh heartbeat arrived."""

    interval_s: float
    """The next one comes no later than this."""
    is_leaving: bool


@dataclass(frozen=True, slots=True)
class LifeSeen(Event):
    """The node itself answered us: a probe, a request, a connection."""


@dataclass(frozen=True, slots=True)
class ContactLost(Event):
    """Our connection to the node broke."""


@dataclass(frozen=True, slots=True)
class ProbeFailed(Event):
    """The direct probe was not answered."""


@dataclass(frozen=True, slots=True)
class WitnessAnswered(Event):
    """A witness probed the suspect for us."""

    is_alive: bool


@dataclass(frozen=True, slots=True)
class EquivocationProven(Event):
    """A checked proof against the node is at hand."""


# --- effects ----------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class ProbeDirectly(Effect):
    """Ping the node, dialling it if need be; report LifeSeen or ProbeFailed."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class AskWitnesses(Effect):
    """Ask up to PROBE_WITNESSES connected peers to ping the node; report WitnessAnswered for each."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class StateChanged(Effect):
    """Tell whoever watches."""

    peer: PeerId
    before: NodeState
    after: NodeState
    reason: str


@dataclass(frozen=True, slots=True)
class ExpireNode(Effect):
    """The node has been INACTIVE for long: take it off the map."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class PresenceTimes:
    """How patient the machine is, seconds."""

    beat_s: float = 30.0
    """Assumed interval until the first heartbeat says its own."""
    missed_beats: int = 3
    """Intervals without a beat until suspicion."""
    probe_timeout_s: float = 2.0
    """How long the direct probe, and then the witnesses, may take."""
    inactive_expiry_s: float = 86_400.0
    """How long an INACTIVE node stays on the map."""


_P, _A, _S, _I, _X = (
    NodeState.PENDING,
    NodeState.ACTIVE,
    NodeState.SUSPECT,
    NodeState.INACTIVE,
    NodeState.SLASHED,
)


class Presence(Machine[NodeState]):
    """The belief about one node.

    Args:
        peer: The node.
        times: Patience.
        now: The instant of creation, monotonic seconds.
        needs_stake: Whether a stake check must succeed before the node becomes ACTIVE.
        interval_s: Assumed interval until the first heartbeat says its own; `times.beat_s` if omitted.
    """

    TRANSITIONS: ClassVar[Table] = {
        (_P, RecordAccepted): to(_P, _A),
        (_P, RecordExpired): to(_P),
        (_P, StakeChecked): to(_P, _A),
        (_P, BeatReceived): to(_P, _A, _I),
        (_P, LifeSeen): to(_P, _A),
        (_P, ContactLost): to(_P),
        (_P, ProbeFailed): to(_I),
        (_P, WitnessAnswered): to(_P),
        (_P, EquivocationProven): to(_X),
        (_P, DeadlineReached): to(_P),
        (_A, RecordAccepted): to(_A),
        (_A, RecordExpired): to(_P),
        (_A, StakeChecked): to(_A, _P),
        (_A, BeatReceived): to(_A, _I),
        (_A, LifeSeen): to(_A),
        (_A, ContactLost): to(_S),
        (_A, ProbeFailed): to(_A),
        (_A, WitnessAnswered): to(_A),
        (_A, EquivocationProven): to(_X),
        (_A, DeadlineReached): to(_S),
        (_S, RecordAccepted): to(_S),
        (_S, RecordExpired): to(_S),
        (_S, StakeChecked): to(_S),
        (_S, BeatReceived): to(_A, _P, _I),
        (_S, LifeSeen): to(_A, _P),
        (_S, ContactLost): to(_S),
        (_S, ProbeFailed): to(_S),
        (_S, WitnessAnswered): to(_S, _A, _P),
        (_S, EquivocationProven): to(_X),
        (_S, DeadlineReached): to(_S, _I),
        (_I, RecordAccepted): to(_I),
        (_I, RecordExpired): to(_I),
        (_I, StakeChecked): to(_I),
        (_I, BeatReceived): to(_A, _P, _I),
        (_I, LifeSeen): to(_A, _P),
        (_I, ContactLost): to(_I),
        (_I, ProbeFailed): to(_I),
        (_I, WitnessAnswered): to(_I),
        (_I, EquivocationProven): to(_X),
        (_I, DeadlineReached): to(_I),
        **{
            (_X, event): to(_X)
            for event in (
                RecordAccepted,
                RecordExpired,
                StakeChecked,
                BeatReceived,
                LifeSeen,
                ContactLost,
                ProbeFailed,
                WitnessAnswered,
                EquivocationProven,
                DeadlineReached,
            )
        },
    }

    def __init__(
        self,
        peer: PeerId,
        times: PresenceTimes,
        now: MonotonicS,
        *,
        needs_stake: bool = False,
        interval_s: float | None = None,
    ) -> None:
        super().__init__(NodeState.PENDING)
        self.peer = peer
        self.reason = "waiting for its record"
        """Why the node is in its state, in words."""
        self.seen_at: MonotonicS | None = None
        """Last sign of life in this run."""
        self._times = times
        self._interval_s = times.beat_s if interval_s is None else interval_s
        self._has_record = False
        self._has_stake = not needs_stake
        self._is_alive = False
        self._witnesses_silent = 0
        self._are_witnesses_asked = False
        self._deadline: MonotonicS | None = self._patience(now)

    def next_deadline(self) -> MonotonicS | None:
        """See Machine."""
        return self._deadline

    def check_invariants(self) -> None:
        """See Machine."""
        if self.state is NodeState.ACTIVE:
            assert self._has_record, "ACTIVE without a record"
            assert self._has_stake, "ACTIVE without stake"
            assert self._deadline is not None, "ACTIVE without a deadline"
        if self.state is NodeState.SLASHED:
            assert self._deadline is None, "SLASHED with a deadline"
        assert self._are_witnesses_asked <= (self.state is NodeState.SUSPECT), "witnesses without a suspicion"

    # --- one method per event -------------------------------------------------------------------------------
    def _on_record_accepted(self, _event: RecordAccepted, now: MonotonicS) -> list[Effect]:
        self._has_record = True
        return self._promote(now) if self.state is NodeState.PENDING else []

    def _on_record_expired(self, _event: RecordExpired, now: MonotonicS) -> list[Effect]:
        self._has_record = False
        if self.state is NodeState.ACTIVE:
            return self._enter(NodeState.PENDING, "its record expired", self._patience(now))
        return []

    def _on_stake_checked(self, event: StakeChecked, now: MonotonicS) -> list[Effect]:
        self._has_stake = event.is_sufficient
        if self.state is NodeState.ACTIVE and not event.is_sufficient:
            return self._enter(NodeState.PENDING, "its stake is too small", self._patience(now))
        return self._promote(now) if self.state is NodeState.PENDING else []

    def _on_beat_received(self, event: BeatReceived, now: MonotonicS) -> list[Effect]:
        if self.state is NodeState.SLASHED:
            return []
        self._interval_s = event.interval_s
        if event.is_leaving:
            return self._depart("it said goodbye", now)
        return self._seen(now)

    def _on_life_seen(self, _event: LifeSeen, now: MonotonicS) -> list[Effect]:
        return [] if self.state is NodeState.SLASHED else self._seen(now)

    def _on_contact_lost(self, _event: ContactLost, now: MonotonicS) -> list[Effect]:
        return self._suspect("the connection broke", now) if self.state is NodeState.ACTIVE else []

    def _on_probe_failed(self, _event: ProbeFailed, now: MonotonicS) -> list[Effect]:
        if self.state is NodeState.PENDING:
            return self._depart("it never answered", now)
        if self.state is NodeState.SUSPECT and not self._are_witnesses_asked:
            return self._ask_witnesses(now)
        return []

    def _on_witness_answered(self, event: WitnessAnswered, now: MonotonicS) -> list[Effect]:
        if self.state is not NodeState.SUSPECT or not self._are_witnesses_asked:
            return []
        if event.is_alive:  # alive, though not for us: wait for the next beat. PER-23
            self._is_alive = True
            return self._promote(now, "a witness reached it")
        self._witnesses_silent += 1
        return []

    def _on_equivocation_proven(self, _event: EquivocationProven, _now: MonotonicS) -> list[Effect]:
        if self.state is NodeState.SLASHED:
            return []
        return self._enter(NodeState.SLASHED, "it signed two records under one number", None)

    def _on_deadline_reached(self, _event: DeadlineReached, now: MonotonicS) -> list[Effect]:
        match self.state:
            case NodeState.PENDING:
                return self._pending_too_long(now)
            case NodeState.ACTIVE:
                return self._suspect(f"{self._times.missed_beats} beats missed", now)
            case NodeState.SUSPECT if not self._are_witnesses_asked:
                return self._ask_witnesses(now)
            case NodeState.SUSPECT:
                silent = self._witnesses_silent
                witnesses = f"nor {silent} witnesses reached it" if silent else "nobody could be asked"
                return self._depart(
                    f"neither we {witnesses}" if silent else f"no answer, and {witnesses}", now
                )
            case NodeState.INACTIVE:
                self._deadline = None
                return [ExpireNode(self.peer)]
            case _:
                return []

    # --- steps ------------------------------------------------------------------------------------------------
    def _seen(self, now: MonotonicS) -> list[Effect]:
        self.seen_at = now
        self._is_alive = True
        if self.state is NodeState.ACTIVE:
            self._deadline = self._patience(now)
            return []
        return self._promote(now)

    def _promote(self, now: MonotonicS, reason: str = "it answers") -> list[Effect]:
        """Enter ACTIVE if all that is needed is there, else PENDING. Rules: PER-21."""
        if self._has_record and self._has_stake and self._is_alive:
            return self._enter(NodeState.ACTIVE, reason, self._patience(now))
        missing = [
            text
            for text, is_there in (
                ("its record", self._has_record),
                ("its stake", self._has_stake),
                ("a sign of life", self._is_alive),
            )
            if not is_there
        ]
        return self._enter(NodeState.PENDING, "waiting for " + " and ".join(missing), self._patience(now))

    def _pending_too_long(self, now: MonotonicS) -> list[Effect]:
        self._is_alive = False  # an old sign of life is none: a late record must not make it ACTIVE
        self._deadline = self._patience(now)
        return [ProbeDirectly(self.peer)]

    def _suspect(self, reason: str, now: MonotonicS) -> list[Effect]:
        self._witnesses_silent = 0
        self._is_alive = False
        deadline = MonotonicS(now + self._times.probe_timeout_s)
        return [*self._enter(NodeState.SUSPECT, reason, deadline), ProbeDirectly(self.peer)]

    def _ask_witnesses(self, now: MonotonicS) -> list[Effect]:
        self._are_witnesses_asked = True
        # The witness needs its own probe time-out, and the answer has to travel.
        self._deadline = MonotonicS(now + 1.5 * self._times.probe_timeout_s)
        return [AskWitnesses(self.peer)]

    def _depart(self, reason: str, now: MonotonicS) -> list[Effect]:
        self._is_alive = False
        return self._enter(NodeState.INACTIVE, reason, MonotonicS(now + self._times.inactive_expiry_s))

    def _enter(self, state: NodeState, reason: str, deadline: MonotonicS | None) -> list[Effect]:
        before, self.state, self.reason, self._deadline = self.state, state, reason, deadline
        if state is not NodeState.SUSPECT:
            self._are_witnesses_asked = False
        return [StateChanged(self.peer, before, state, reason)] if before is not state else []

    def _patience(self, now: MonotonicS) -> MonotonicS:
        return MonotonicS(now + self._interval_s * self._times.missed_beats)
