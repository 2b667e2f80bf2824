"""One node compares its statements with a neighbour's, and takes what it lacks, page by page. Pure.

Spec: protocol/08b-probes.md, "Catching up". Diagram: machines/probes-catching.
"""

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from skyops_p2p import limits
from skyops_p2p.core.machine import DeadlineReached, Effect, Event, Machine, Table, to
from skyops_p2p.core.pull_events import AskItems, AskNames
from skyops_p2p.types import MonotonicS, PeerId


class CatchUpState(Enum):
    """How far it is."""

    RESTING = "resting"
    """Nothing is under way."""
    COMPARING = "comparing"
    """A neighbour was asked what differs."""
    PAUSING = "pausing"
    """The next question comes after a pause."""
    FETCHING = "fetching"
    """The neighbour was asked for statements."""


@dataclass(frozen=True, slots=True)
class CompareDue(Event):
    """Another neighbour is to be compared with."""

    peer: PeerId
    digests: bytes


@dataclass(frozen=True, slots=True)
class NamesCame(Event):
    """The neighbour has named what differs."""

    missing: tuple[bytes, ...]
    """Of them, those that this node lacks, in their order."""
    last: bytes
    """The last name of all; empty if there was none."""
    is_complete: bool


@dataclass(frozen=True, slots=True)
class StatementsCame(Event):
    """The neighbour has given what it holds of what was asked for."""


@dataclass(frozen=True, slots=True)
class Broken(Event):
    """The neighbour does not answer, or has sent something wrong."""


_R, _C, _P, _F = CatchUpState.RESTING, CatchUpState.COMPARING, CatchUpState.PAUSING, CatchUpState.FETCHING


class CatchUp(Machine[CatchUpState]):
    """One comparison after the other, each with one neighbour."""

    TRANSITIONS: ClassVar[Table] = {
        (_R, CompareDue): to(_C),
        (_C, NamesCame): to(_P, _R),
        (_C, Broken): to(_R),
        (_P, DeadlineReached): to(_C, _F),
        (_F, StatementsCame): to(_P, _R),
        (_F, Broken): to(_R),
    }

    def __init__(self) -> None:
        super().__init__(_R)
        self.peer: PeerId | None = None
        """Who is or was compared with last."""
        self.asked: tuple[bytes, ...] = ()
        """What was asked for in FETCHING."""
        self._digests = b""
        self._after = b""
        self._is_complete = True
        self._missing: list[bytes] = []
        self._rounds = 0
        self._at = MonotonicS(0.0)

    @property
    def is_resting(self) -> bool:
        """Whether nothing is under way."""
        return self.state is _R

    def next_deadline(self) -> MonotonicS | None:
        """Return when the next question is due."""
        return self._at if self.state is _P else None

    def check_invariants(self) -> None:
        """See Machine."""
        assert len(self._missing) <= limits.PROBE_SYNC_NAMES_MAX
        assert len(self.asked) <= limits.PROBE_STATEMENTS_ASKED_MAX
        assert bool(self.asked) == (self.state is _F)

    def _on_compare_due(self, event: CompareDue, _now: MonotonicS) -> list[Effect]:
        self.peer, self._digests, self._after = event.peer, event.digests, b""
        self._rounds = 0
        self.state = _C
        return [AskNames(event.peer, event.digests, b"")]

    def _on_names_came(self, event: NamesCame, now: MonotonicS) -> list[Effect]:
        self._missing = list(event.missing)
        self._rounds += 1
        has_advanced = event.last > self._after
        self._after = event.last
        self._is_complete = (
            event.is_complete or not has_advanced or self._rounds >= limits.PROBE_SYNC_ROUNDS_MAX
        )
        self._go_on(now)
        return []

    def _on_deadline_reached(self, _event: DeadlineReached, _now: MonotonicS) -> list[Effect]:
        assert self.peer is not None, "somebody was compared with"
        if not self._missing:
            self.state = _C
            return [AskNames(self.peer, self._digests, self._after)]
        self.state = _F
        self.asked = tuple(self._missing[: limits.PROBE_STATEMENTS_ASKED_MAX])
        del self._missing[: len(self.asked)]
        return [AskItems(self.peer, self.asked)]

    def _on_statements_came(self, _event: StatementsCame, now: MonotonicS) -> list[Effect]:
        self.asked = ()
        self._go_on(now)
        return []

    def _on_broken(self, _event: Broken, _now: MonotonicS) -> list[Effect]:
        self._missing, self.asked = [], ()
        self.state = _R
        return []

    def _go_on(self, now: MonotonicS) -> None:
        is_over = self._is_complete and not self._missing
        self.state = _R if is_over else _P
        self._at = MonotonicS(now + limits.PROBE_ASK_PAUSE_S)
