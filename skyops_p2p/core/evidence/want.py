"""One receipt that this node has heard of and does not hold: whom it is asked from, and when. Pure.

Who named it is asked first, then neighbours; after each peer that has it not, or does not answer, the pause doubles.
Spec: protocol/07b-receipts.md, "Asking". Diagram: machines/evidence-want.
"""

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from skyops_p2p import limits
from skyops_p2p.core.machine import Effect, Event, Machine, Table, to
from skyops_p2p.types import MonotonicS, PeerId


class WantState(Enum):
    """How far it is."""

    RESTING = "resting"
    """It is asked for when its time comes."""
    ASKED = "asked"
    """A question is under way."""
    SETTLED = "settled"
    """It came, or was refused."""
    GIVEN_UP = "given_up"
    """Nobody had it; a synchronisation may find it again."""


@dataclass(frozen=True, slots=True)
class Named(Event):
    """A peer says that it holds it."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class Asked(Event):
    """A question has gone out."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class Missed(Event):
    """The peer that was asked has it not, or did not answer; or there is nobody to ask."""


@dataclass(frozen=True, slots=True)
class Settled(Event):
    """It came, from whomever."""


_R, _A = WantState.RESTING, WantState.ASKED


class Want(Machine[WantState]):
    """One receipt, by its name.

    Args:
        name: 32 bytes.
        peer: Who named it.
        now: When it may be asked for first.
    """

    TRANSITIONS: ClassVar[Table] = {
        (_R, Named): to(_R),
        (_R, Asked): to(_A),
        (_R, Missed): to(_R, WantState.GIVEN_UP),
        (_R, Settled): to(WantState.SETTLED),
        (_A, Named): to(_A),
        (_A, Missed): to(_R, WantState.GIVEN_UP),
        (_A, Settled): to(WantState.SETTLED),
    }

    def __init__(self, name: bytes, peer: PeerId, now: MonotonicS) -> None:
        super().__init__(_R)
        self.name = name
        self.sources: list[PeerId] = [peer]
        """Who named it and was not asked yet."""
        self.asked: list[PeerId] = []
        """Who was asked; the last one is being asked in ASKED."""
        self._at = now
        self._tries = 0

    def next_deadline(self) -> MonotonicS | None:
        """Return when it is to be asked for; None while it is."""
        return self._at if self.state is _R else None

    def check_invariants(self) -> None:
        """See Machine."""
        assert len(self.sources) <= limits.WANT_SOURCES_MAX
        assert len(self.asked) <= limits.WANT_TRIES_MAX
        assert self._tries <= limits.WANT_TRIES_MAX
        assert self.state is not _A or self.asked

    def _on_named(self, event: Named, _now: MonotonicS) -> list[Effect]:
        is_new = event.peer not in self.sources and event.peer not in self.asked
        if is_new and len(self.sources) < limits.WANT_SOURCES_MAX:
            self.sources.append(event.peer)
        return []

    def _on_asked(self, event: Asked, _now: MonotonicS) -> list[Effect]:
        self.state = _A
        if event.peer in self.sources:
            self.sources.remove(event.peer)
        self.asked.append(event.peer)
        return []

    def _on_missed(self, _event: Missed, now: MonotonicS) -> list[Effect]:
        self._tries += 1
        pause_s = min(limits.WANT_BACKOFF_S * 2 ** (self._tries - 1), limits.WANT_BACKOFF_S_MAX)
        self._at = MonotonicS(now + pause_s)
        self.state = WantState.GIVEN_UP if self._tries >= limits.WANT_TRIES_MAX else _R
        return []

    def _on_settled(self, _event: Settled, _now: MonotonicS) -> list[Effect]:
        self.state = WantState.SETTLED
        return []
