"""Play a game of bisection to its end with two sides and a way to execute one stretch, all at hand. Pure.

For a referee that holds both chains, and for tests; over a network the same machine is fed with what comes.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from skyops_p2p.core.machine import DeadlineReached, Effect, Event
from skyops_p2p.core.verification import bisection as game
from skyops_p2p.core.verification.bisection import Bisection, Link, Side
from skyops_p2p.types import MonotonicS

Execute = Callable[[int, bytes], bytes | None]
"""(number of the stretch, state root before it) -> the state root after it; None: nobody has the state."""


class Player(Protocol):
    """One side."""

    def heads(self, points: Sequence[int], /) -> tuple[bytes, ...] | None:
        """Return the heads after these stretches; None: silence."""

    def link(self, number: int, /) -> Link | None:
        """Open a stretch; None: silence."""


def play(match: Bisection, players: dict[Side, Player], execute: Execute) -> game.Settle:
    """Play a new game to its end.

    Args:
        match: The game, in its first state.
        players: Both sides.
        execute: What the referee does.

    Returns:
        Who has lost, and where the two part.

    Rules: VER-20, VER-21.
    """
    now = MonotonicS(0.0)
    effects = match.handle(game.Begun(), now)
    while True:
        match.check_invariants()
        (effect,) = effects
        match effect:
            case game.Settle():
                return effect
            case game.ExecuteStretch(number=number, root=root):
                found = execute(number, root)
                done: Event = game.StateMissing() if found is None else game.StretchExecuted(found)
                effects = match.handle(done, now)
            case _:
                effects = _hear(match, _answers(effect, players), now)


def _answers(effect: object, players: dict[Side, Player]) -> list[Event]:
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
