"""Two sides claim different ends of one deterministic computation: find where they part, and have one stretch executed.

The referee asks both for heads of their chains in between, k - 1 at a time, until they agree on one and differ on the
next; both then open that stretch, and the referee executes it. Silence loses, and so does what cannot be opened. Who
computed honestly can always answer, so it never loses. Sources: Verde, Truebit. Spec: protocol/06-verification.md,
"Bisection". Diagram: machines/verification-bisection.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from skyops_p2p import limits
from skyops_p2p.core.machine import DeadlineReached, Effect, Event, Machine, Table, to
from skyops_p2p.core.verification.chain import ChainShape
from skyops_p2p.types import MonotonicS


class Side(Enum):
    """Who says it."""

    EXECUTOR = "executor"
    """Whose result is doubted."""
    CHALLENGER = "challenger"
    """Who doubts it."""


BOTH = frozenset(Side)


class BisectionState(Enum):
    """How far the game is."""

    NEW = "new"
    """Two ends are claimed."""
    SEARCHING = "searching"
    """Heads in between are asked for."""
    OPENING = "opening"
    """The stretch is found; both open it."""
    EXECUTING = "executing"
    """The referee executes it."""
    SETTLED = "settled"
    """Somebody has lost."""


@dataclass(frozen=True, slots=True)
class Link:
    """What a side opens: the state that both agree on, and the one after the stretch that they do not."""

    before_previous: bytes
    """Head before the agreed one, 32 bytes; empty before the first stretch."""
    before_root: bytes
    """State root before the stretch."""
    after_root: bytes
    """State root after it, as this side has it."""


@dataclass(frozen=True, slots=True)
class Begun(Event):
    """The game begins."""


@dataclass(frozen=True, slots=True)
class HeadsClaimed(Event):
    """A side has said its heads at the points that it was asked for."""

    side: Side
    heads: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class LinkOpened(Event):
    """A side has opened the stretch."""

    side: Side
    link: Link


@dataclass(frozen=True, slots=True)
class StretchExecuted(Event):
    """The referee has executed the stretch."""

    root: bytes
    """State root that it came to."""


@dataclass(frozen=True, slots=True)
class StateMissing(Event):
    """Neither side has given the state to begin with, which both of them claim to have had."""


@dataclass(frozen=True, slots=True)
class AskHeads(Effect):
    """Ask both sides for their heads."""

    points: tuple[int, ...]
    """Numbers of stretches, ascending."""


@dataclass(frozen=True, slots=True)
class AskLink(Effect):
    """Ask both sides to open a stretch."""

    number: int


@dataclass(frozen=True, slots=True)
class ExecuteStretch(Effect):
    """Execute one stretch; its state is fetched by its root, from either side."""

    number: int
    root: bytes


@dataclass(frozen=True, slots=True)
class Settle(Effect):
    """The game is over."""

    losers: frozenset[Side]
    number: int | None
    """The stretch where they part; None: it was not searched for to the end."""


_NEW, _SEARCH, _OPEN = BisectionState.NEW, BisectionState.SEARCHING, BisectionState.OPENING
_EXECUTE, _SETTLED = BisectionState.EXECUTING, BisectionState.SETTLED


class Bisection(Machine[BisectionState]):
    """One game.

    Args:
        shape: Of the chain.
        ends: The last head that each side claims; they differ.
        branching: Into how many parts a round cuts the stretch, at least 2.
    """

    TRANSITIONS: ClassVar[Table] = {
        (_NEW, Begun): to(_SEARCH, _OPEN),
        (_SEARCH, HeadsClaimed): to(_SEARCH, _OPEN, _SETTLED),
        (_SEARCH, DeadlineReached): to(_SETTLED),
        (_OPEN, LinkOpened): to(_OPEN, _EXECUTE, _SETTLED),
        (_OPEN, DeadlineReached): to(_SETTLED),
        (_EXECUTE, StretchExecuted): to(_SETTLED),
        (_EXECUTE, StateMissing): to(_SETTLED),
    }

    def __init__(
        self, shape: ChainShape, ends: dict[Side, bytes], *, branching: int = limits.BISECTION_BRANCHING
    ) -> None:
        assert ends.keys() == BOTH, "both sides claim an end"
        assert ends[Side.EXECUTOR] != ends[Side.CHALLENGER], "there is nothing to decide"
        assert branching > 1, "a round must cut"
        super().__init__(_NEW)
        self._shape = shape
        self._branching = branching
        self._low, self._high = 0, shape.stretches
        """They agree after stretch `low`, and differ after `high`."""
        self._agreed = shape.origin
        """Head after `low`."""
        self._ends = dict(ends)
        """Heads after `high`."""
        self._claims: dict[Side, tuple[bytes, ...]] = {}
        self._links: dict[Side, Link] = {}
        self._deadline: MonotonicS | None = None
        self.rounds = 0
        """How often heads were asked for."""
        self.losers: frozenset[Side] = frozenset()

    @property
    def points(self) -> tuple[int, ...]:
        """Where heads are asked for now: cuts into equal parts, rounded down. Rules: VER-20."""
        width = self._high - self._low
        cuts = {self._low + width * part // self._branching for part in range(1, self._branching)}
        return tuple(sorted(cuts - {self._low}))

    def next_deadline(self) -> MonotonicS | None:
        """Tell until when both must have answered."""
        return self._deadline

    def check_invariants(self) -> None:
        """Raise AssertionError if the game contradicts itself."""
        assert 0 <= self._low < self._high <= self._shape.stretches, "there is a stretch left"
        assert self._ends[Side.EXECUTOR] != self._ends[Side.CHALLENGER], "they differ at its end"
        assert bool(self.losers) == (self.state is _SETTLED), "a game that is over has a loser"

    def _on_begun(self, event: Begun, now: MonotonicS) -> Sequence[Effect]:
        return self._go_on(now)

    def _on_heads_claimed(self, event: HeadsClaimed, now: MonotonicS) -> Sequence[Effect]:
        """Take a side's heads; the first that it says count. Rules: VER-20."""
        if len(event.heads) != len(self.points):
            return self._settle(frozenset({event.side}))
        self._claims.setdefault(event.side, event.heads)
        if self._claims.keys() != BOTH:
            return ()
        one, other = ((*self._claims[side], self._ends[side]) for side in (Side.EXECUTOR, Side.CHALLENGER))
        points = (*self.points, self._high)
        place = next(at for at, pair in enumerate(zip(one, other, strict=True)) if pair[0] != pair[1])
        if place:
            self._low, self._agreed = points[place - 1], one[place - 1]
        self._high = points[place]
        self._ends = {Side.EXECUTOR: one[place], Side.CHALLENGER: other[place]}
        return self._go_on(now)

    def _on_link_opened(self, event: LinkOpened, now: MonotonicS) -> Sequence[Effect]:
        """Take what a side opens; who opens something else than it has claimed loses. Rules: VER-21."""
        self._links.setdefault(event.side, event.link)
        if self._links.keys() != BOTH:
            return ()
        liars = frozenset(side for side, link in self._links.items() if not self._fits(side, link))
        if liars:
            return self._settle(liars)
        self.state = _EXECUTE
        self._deadline = None
        return (ExecuteStretch(self._high, self._links[Side.EXECUTOR].before_root),)

    def _on_stretch_executed(self, event: StretchExecuted, now: MonotonicS) -> Sequence[Effect]:
        """Whoever claims another state than the referee came to loses. Rules: VER-21."""
        wrong = frozenset(side for side, link in self._links.items() if link.after_root != event.root)
        return self._settle(wrong)

    def _on_state_missing(self, event: StateMissing, now: MonotonicS) -> Sequence[Effect]:
        return self._settle(BOTH)

    def _on_deadline_reached(self, event: DeadlineReached, now: MonotonicS) -> Sequence[Effect]:
        """Silence loses. Rules: VER-20."""
        heard = self._claims if self.state is _SEARCH else self._links
        return self._settle(BOTH - heard.keys())

    def _go_on(self, now: MonotonicS) -> Sequence[Effect]:
        self._claims = {}
        self._deadline = MonotonicS(now + limits.BISECTION_ROUND_S)
        if self._high - self._low == 1:
            self.state = _OPEN
            return (AskLink(self._high),)
        self.state = _SEARCH
        self.rounds += 1
        return (AskHeads(self.points),)

    def _fits(self, side: Side, link: Link) -> bool:
        """Tell whether a side opens what both agree on before the stretch, and what it has claimed after it."""
        shape = self._shape
        if self._low == 0:
            is_before = link.before_root == shape.start and not link.before_previous
        else:
            is_before = shape.head(self._low, link.before_previous, link.before_root) == self._agreed
        return is_before and shape.head(self._high, self._agreed, link.after_root) == self._ends[side]

    def _settle(self, losers: frozenset[Side]) -> Sequence[Effect]:
        is_found = self._high - self._low == 1
        self.state, self.losers, self._deadline = _SETTLED, losers, None
        return (Settle(losers, self._high if is_found else None),)
