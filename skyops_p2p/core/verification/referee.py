"""Play a game of bisection with two sides that are at hand: for a referee that holds both chains, and for tests. Pure.

Over a network the same machine would be fed with what comes. Spec: protocol/06-verification.md, "Bisection".
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from skyops_p2p.core.machine import DeadlineReached, Effect, Event
from skyops_p2p.core.verification import bisection as game
from skyops_p2p.core.verification.bisection import Bisection, Link, Side
from skyops_p2p.core.verification.chain import ChainShape
from skyops_p2p.types import MonotonicS

Execute = Callable[[int, bytes], bytes | None]
"""(number of the stretch, state root before it) -> the state root after it; None: nobody has the state."""


class Player(Protocol):
    """One side."""

    def heads(self, points: Sequence[int], /) -> tuple[bytes, ...] | None:
        """Return the heads after these stretches; None: silence."""

    def link(self, number: int, /) -> Link | None:
        """Open a stretch; None: silence."""


class ChainPlayer:
    """A side whose whole chain is known.

    Args:
        shape: Of the chain.
        roots: State root after each stretch, 32 bytes each.
    """

    def __init__(self, shape: ChainShape, roots: Sequence[bytes]) -> None:
        self._roots = (shape.start, *roots)
        self._heads = shape.heads(roots)

    @property
    def end(self) -> bytes:
        """The last head, which it claims."""
        return self._heads[-1]

    def heads(self, points: Sequence[int], /) -> tuple[bytes, ...]:
        """See Player."""
        return tuple(self._heads[point] for point in points)

    def link(self, number: int, /) -> Link:
        """See Player."""
        previous = self._heads[number - 2] if number > 1 else b""
        return Link(previous, self._roots[number - 1], self._roots[number])


def search(match: Bisection, players: Mapping[Side, Player]) -> game.ExecuteStretch | game.Settle:
    """Play a new game until there is a stretch to execute, or somebody has lost already.

    Args:
        match: The game, in its first state.
        players: Both sides.

    Rules: VER-20, VER-21.
    """
    now = MonotonicS(0.0)
    effects = match.handle(game.Begun(), now)
    while True:
        match.check_invariants()
        (effect,) = effects
        if isinstance(effect, game.ExecuteStretch | game.Settle):
            return effect
        effects = _hear(match, _answers(effect, players), now)


def settle(match: Bisection, root: bytes | None) -> game.Settle:
    """End a game whose stretch was executed.

    Args:
        match: The game; `search` has returned an ExecuteStretch.
        root: State root that it came to; None: nobody has the state.

    Rules: VER-21.
    """
    event: Event = game.StateMissing() if root is None else game.StretchExecuted(root)
    (effect,) = match.handle(event, MonotonicS(0.0))
    assert isinstance(effect, game.Settle), "a game goes on after its end"
    return effect


def play(match: Bisection, players: Mapping[Side, Player], execute: Execute) -> game.Settle:
    """Play a new game to its end.

    Args:
        match: The game, in its first state.
        players: Both sides.
        execute: What the referee does.

    Returns:
        Who has lost, and where the two part.

    Rules: VER-20, VER-21.
    """
    found = search(match, players)
    return found if isinstance(found, game.Settle) else settle(match, execute(found.number, found.root))


def _answers(effect: object, players: Mapping[Side, Player]) -> list[Event]:
    said: list[Event] = []
    for side, player in players.items():
        match effect:
            case game.AskHeads(points=points):
                heads = player.heads(points)
                said += [] if heads is None else [game.HeadsClaimed(side, heads)]
            case game.AskLink(number=number):
                link = player.link(number)
                said += [] if link is None else [game.LinkOpened(side, link)]
    return said


def _hear(match: Bisection, said: list[Event], now: MonotonicS) -> Sequence[Effect]:
    """Tell the game what was said; if that leads to nothing, the time is over."""
    effects: Sequence[Effect] = ()
    for event in said:
        effects = match.handle(event, now)
        if effects:
            return effects
    return match.handle(DeadlineReached(), match.next_deadline() or now)
