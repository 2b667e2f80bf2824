"""One account in one slot, as one witness sees it: asked at a moment of the witness's own, twice at most. Pure.

Spec: protocol/08b-probes.md, "Probing". Diagram: machines/probes-probe.
"""

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from skyops_p2p import limits
from skyops_p2p.core.machine import DeadlineReached, Effect, Event, Machine, Table, to
from skyops_p2p.core.reputation.conduct import Outcome
from skyops_p2p.types import MonotonicS, PeerId


class ProbeState(Enum):
    """How far it is."""

    WAITING = "waiting"
    """It is asked when its moment comes."""
    ASKED = "asked"
    """A question is under way."""
    ANSWERED = "answered"
    """It is there."""
    SILENT = "silent"
    """It was asked as often as a slot has room for."""
    ANNOUNCED = "announced"
    """It did not answer, and had said goodbye."""
    UNASKED = "unasked"
    """The slot was over before there was an outcome: nothing is said of it."""


@dataclass(frozen=True, slots=True)
class Answered(Event):
    """It has answered, and the answer was right."""


@dataclass(frozen=True, slots=True)
class Failed(Event):
    """It was not reached, or did not answer in time, or wrongly."""

    is_announced: bool
    """It has said goodbye and nothing since."""


@dataclass(frozen=True, slots=True)
class SlotEnded(Event):
    """No more questions in this slot."""


@dataclass(frozen=True, slots=True)
class AskProbe(Effect):
    """Ask a node whether it is there; Answered or Failed follows."""

    account: bytes
    peer: PeerId
    slot: int
    nonce: bytes


_W, _A = ProbeState.WAITING, ProbeState.ASKED
_OUTCOMES = {
    ProbeState.ANSWERED: Outcome.ANSWERED,
    ProbeState.SILENT: Outcome.SILENT,
    ProbeState.ANNOUNCED: Outcome.ANNOUNCED,
}


class Probe(Machine[ProbeState]):
    """One account in one slot.

    Args:
        account: 20 bytes.
        peer: Its node.
        slot: Counted from 1970.
        at: When it is asked first.
        pause_s: From a failure to the next question.
        nonces: One of 16 bytes for each question; nobody else can know them.
    """

    TRANSITIONS: ClassVar[Table] = {
        (_W, DeadlineReached): to(_A),
        (_W, SlotEnded): to(ProbeState.UNASKED, ProbeState.SILENT),
        (_A, Answered): to(ProbeState.ANSWERED),
        (_A, Failed): to(_W, ProbeState.SILENT, ProbeState.ANNOUNCED),
        (_A, SlotEnded): to(ProbeState.UNASKED),
    }

    def __init__(
        self,
        account: bytes,
        peer: PeerId,
        slot: int,
        *,
        at: MonotonicS,
        pause_s: float,
        nonces: tuple[bytes, ...],
    ) -> None:
        assert len(nonces) == limits.PROBE_TRIES_MAX
        super().__init__(_W)
        self.account = account
        self.peer = peer
        self.slot = slot
        self._at = at
        self._pause_s = pause_s
        self._nonces = nonces
        self._tries = 0

    @property
    def outcome(self) -> Outcome:
        """What came of it until now."""
        return _OUTCOMES.get(self.state, Outcome.UNASKED)

    def next_deadline(self) -> MonotonicS | None:
        """Return when it is to be asked; None while it is, and afterwards."""
        return self._at if self.state is _W else None

    def check_invariants(self) -> None:
        """See Machine."""
        assert self._tries <= limits.PROBE_TRIES_MAX
        assert self.state is _W or self.state is ProbeState.UNASKED or self._tries

    def _on_deadline_reached(self, _event: DeadlineReached, _now: MonotonicS) -> list[Effect]:
        self.state = _A
        self._tries += 1
        return [AskProbe(self.account, self.peer, self.slot, self._nonces[self._tries - 1])]

    def _on_answered(self, _event: Answered, _now: MonotonicS) -> list[Effect]:
        self.state = ProbeState.ANSWERED
        return []

    def _on_failed(self, event: Failed, now: MonotonicS) -> list[Effect]:
        if event.is_announced:
            self.state = ProbeState.ANNOUNCED
        elif self._tries >= limits.PROBE_TRIES_MAX:
            self.state = ProbeState.SILENT
        else:
            self.state = _W
            self._at = MonotonicS(now + self._pause_s)
        return []

    def _on_slot_ended(self, _event: SlotEnded, _now: MonotonicS) -> list[Effect]:
        """Say nothing of who was never asked, or still is being."""
        self.state = ProbeState.SILENT if self.state is _W and self._tries else ProbeState.UNASKED
        return []
