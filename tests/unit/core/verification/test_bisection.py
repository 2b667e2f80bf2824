"""VER-19 to VER-21 and invariant V3: the stretch is found, the honest side never loses, the silent one does."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyops_p2p import limits
from skyops_p2p.core.machine import DeadlineReached
from skyops_p2p.core.verification import bisection as game
from skyops_p2p.core.verification.bisection import BOTH, Bisection, BisectionState, Link, Side
from skyops_p2p.core.verification.chain import ChainShape, chain_of, shape_of_results
from skyops_p2p.core.verification.referee import play
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.errors import LocalProtocolError, UnexpectedEvent
from skyops_p2p.types import MonotonicS
from tests.vectors.execution_examples import bundle, checkpoint_receipt

ORIGIN, START = sha256(b"job"), sha256(b"state 0")
T0 = MonotonicS(0.0)
EXECUTOR, CHALLENGER = Side.EXECUTOR, Side.CHALLENGER


def execute(number: int, root: bytes) -> bytes:
    """The deterministic program: one stretch from a state."""
    return sha256(b"stretch %d" % number + root)


def honest_roots(count: int) -> list[bytes]:
    roots = [START]
    for number in range(1, count + 1):
        roots.append(execute(number, roots[-1]))
    return roots


@dataclass
class Claimant:
    """A side that has a state after each stretch, right ones or not."""

    shape: ChainShape
    roots: list[bytes]
    asked: int = 0
    all_heads: list[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.all_heads = self.shape.heads(self.roots[1:])

    def heads(self, points: Sequence[int]) -> tuple[bytes, ...] | None:
        self.asked += 1
        return tuple(self.all_heads[point] for point in points)

    def link(self, number: int) -> Link | None:
        before = self.all_heads[number - 2] if number > 1 else b""
        return Link(before, self.roots[number - 1], self.roots[number])


def shape_of(count: int) -> ChainShape:
    return ChainShape(ORIGIN, START, total=count, stride=1)


def claimants(count: int, wrong_from: int) -> tuple[ChainShape, Claimant, Claimant]:
    """Return an honest side, and one whose states are wrong from a stretch on but follow from each other."""
    shape, right = shape_of(count), honest_roots(count)
    wrong = [*right[:wrong_from], sha256(b"made up")]
    while len(wrong) <= count:
        wrong.append(execute(len(wrong), wrong[-1]))
    return shape, Claimant(shape, right), Claimant(shape, wrong)


def match_of(shape: ChainShape, executor: Claimant, challenger: Claimant, branching: int = 16) -> Bisection:
    ends = {EXECUTOR: executor.all_heads[-1], CHALLENGER: challenger.all_heads[-1]}
    return Bisection(shape, ends, branching=branching)


# --- the search -----------------------------------------------------------------------------------------------------
@given(st.integers(1, 400), st.integers(2, 20), st.booleans(), st.data())
def test_first_wrong_stretch_is_found_in_few_rounds(
    count: int, branching: int, is_executor: bool, data: st.DataObject
) -> None:  # V3, VER-20
    wrong_from = data.draw(st.integers(1, count))
    shape, honest, liar = claimants(count, wrong_from)
    sides = (honest, liar) if is_executor else (liar, honest)
    match = match_of(shape, *sides, branching=branching)
    found = play(match, dict(zip((EXECUTOR, CHALLENGER), sides, strict=True)), execute)
    assert found.number == wrong_from
    assert found.losers == {CHALLENGER if is_executor else EXECUTOR}
    rounds = next(n for n in range(64) if branching**n >= count)
    assert match.rounds <= rounds
    assert honest.asked == match.rounds


@pytest.mark.parametrize(
    ("count", "rounds"), [(1, 0), (16, 1), (17, 2), (1000, 3), (100_000, 5), (1_000_000, 5)]
)
def test_rounds_are_those_of_the_logarithm(count: int, rounds: int) -> None:  # VER-20
    ends = {EXECUTOR: bytes(32), CHALLENGER: bytes([1] * 32)}
    match = Bisection(shape_of(count), ends)
    effects = match.handle(game.Begun(), T0)
    while isinstance(effects[0], game.AskHeads):
        for side in BOTH:  # they agree on all but the end: the last, longest part remains
            effects = match.handle(game.HeadsClaimed(side, (bytes([2] * 32),) * len(match.points)), T0)
    assert match.rounds == rounds == math.ceil(math.log(count, 16) - 1e-9)


# --- those who cheat in the game ------------------------------------------------------------------------------------
@dataclass
class Cheat(Claimant):
    """A side that also lies about its own chain, in a way that is drawn."""

    lie: Callable[[int], bytes | None] = lambda _point: None

    def heads(self, points: Sequence[int]) -> tuple[bytes, ...] | None:
        return tuple(self.lie(point) or self.all_heads[point] for point in points)


@given(st.integers(2, 120), st.randoms(use_true_random=False), st.booleans())
def test_honest_side_never_loses_whatever_the_other_says(
    count: int, source: object, is_executor: bool
) -> None:  # V3
    draw = source.randrange
    shape, honest, liar = claimants(count, 1 + draw(count))
    lies = {point: sha256(b"lie %d" % point) for point in range(1, count) if draw(3) == 0}
    truths = {point: honest.all_heads[point] for point in range(1, count) if draw(3) == 0}
    cheat = Cheat(shape, liar.roots, lie=(lies | truths).get)
    sides = (honest, cheat) if is_executor else (cheat, honest)
    found = play(match_of(shape, *sides), dict(zip((EXECUTOR, CHALLENGER), sides, strict=True)), execute)
    assert found.losers == {CHALLENGER if is_executor else EXECUTOR}


@dataclass
class Silent(Claimant):
    """A side that stops answering after some rounds, or does not open the stretch."""

    patience: int = 0

    def heads(self, points: Sequence[int]) -> tuple[bytes, ...] | None:
        answer = super().heads(points)
        return answer if self.asked <= self.patience else None

    def link(self, number: int) -> Link | None:
        return None


@pytest.mark.parametrize("patience", [0, 1, 2, 9])
def test_silence_loses(patience: int) -> None:  # V3, VER-20
    shape, honest, liar = claimants(300, 77)
    silent = Silent(shape, liar.roots, patience=patience)
    found = play(match_of(shape, silent, honest), {EXECUTOR: silent, CHALLENGER: honest}, execute)
    assert found.losers == {EXECUTOR}
    both = {EXECUTOR: Silent(shape, liar.roots), CHALLENGER: Silent(shape, honest.roots)}
    assert play(match_of(shape, silent, honest), both, execute).losers == BOTH


def test_wrong_number_of_heads_loses() -> None:  # VER-20
    shape, honest, liar = claimants(300, 77)
    match = match_of(shape, liar, honest)
    match.handle(game.Begun(), T0)
    (effect,) = match.handle(game.HeadsClaimed(EXECUTOR, (bytes(32),)), T0)
    assert effect == game.Settle(frozenset({EXECUTOR}), None)


@pytest.mark.parametrize("name", ["before_previous", "before_root", "after_root"])
@pytest.mark.parametrize("wrong_from", [1, 5])
def test_link_that_does_not_open_what_was_claimed_loses(name: str, wrong_from: int) -> None:  # VER-21
    @dataclass
    class Forger(Claimant):
        def link(self, number: int) -> Link | None:
            link = super().link(number)
            assert link is not None
            values = {
                field: getattr(link, field) for field in ("before_previous", "before_root", "after_root")
            }
            return Link(**values | {name: sha256(b"forged")})

    shape, honest, liar = claimants(9, wrong_from)
    forger = Forger(shape, liar.roots)
    executed: list[int] = []
    found = play(
        match_of(shape, forger, honest),
        {EXECUTOR: forger, CHALLENGER: honest},
        lambda number, root: executed.append(number) or execute(number, root),
    )
    assert found == game.Settle(frozenset({EXECUTOR}), wrong_from)
    assert not executed


def test_two_wrong_sides_both_lose() -> None:  # VER-21
    shape, _, one = claimants(50, 20)
    other = Claimant(shape, [*one.roots[:20], *(sha256(b"other %d" % n) for n in range(31))])
    found = play(match_of(shape, one, other), {EXECUTOR: one, CHALLENGER: other}, execute)
    assert found == game.Settle(BOTH, 20)


def test_state_that_neither_gives_costs_both() -> None:  # VER-21
    shape, honest, liar = claimants(50, 20)
    found = play(match_of(shape, honest, liar), {EXECUTOR: honest, CHALLENGER: liar}, lambda *_: None)
    assert found.losers == BOTH


# --- the machine ----------------------------------------------------------------------------------------------------
def test_first_word_of_a_side_counts() -> None:  # VER-20
    shape, honest, liar = claimants(300, 77)
    match = match_of(shape, honest, liar)
    match.handle(game.Begun(), T0)
    mine = honest.heads(match.points)
    assert mine is not None
    match.handle(game.HeadsClaimed(EXECUTOR, mine), T0)
    assert match.handle(game.HeadsClaimed(EXECUTOR, tuple(bytes(32) for _ in mine)), T0) == ()
    theirs = liar.heads(match.points)
    assert theirs is not None
    (effect,) = match.handle(game.HeadsClaimed(CHALLENGER, theirs), T0)
    assert isinstance(effect, game.AskHeads)
    assert effect.points[0] > 0


def test_each_round_has_its_time() -> None:  # VER-20
    shape, honest, liar = claimants(300, 77)
    match = match_of(shape, honest, liar)
    match.handle(game.Begun(), MonotonicS(5.0))
    assert match.next_deadline() == 5.0 + limits.BISECTION_ROUND_S
    for side, who in ((EXECUTOR, honest), (CHALLENGER, liar)):
        match.handle(game.HeadsClaimed(side, who.heads(match.points) or ()), MonotonicS(9.0))
    assert match.next_deadline() == 9.0 + limits.BISECTION_ROUND_S


@pytest.mark.parametrize(
    "event",
    [game.StretchExecuted(bytes(32)), game.StateMissing(), game.LinkOpened(EXECUTOR, Link(b"", b"", b"")),
     DeadlineReached(), game.HeadsClaimed(EXECUTOR, ())],
)  # fmt: skip
def test_event_out_of_turn_changes_nothing(event: game.Event) -> None:
    shape, honest, liar = claimants(300, 77)
    match = match_of(shape, honest, liar)
    with pytest.raises(UnexpectedEvent):
        match.handle(event, T0)
    assert match.state is BisectionState.NEW


# --- chains ---------------------------------------------------------------------------------------------------------
def test_chain_covers_states_and_steps() -> None:  # VER-19
    shape = ChainShape(ORIGIN, START, total=25, stride=10)
    assert [shape.steps(number) for number in (1, 2, 3)] == [(0, 10), (10, 20), (20, 25)]
    roots = honest_roots(3)[1:]
    heads = shape.heads(roots)
    assert len(set(heads)) == 4
    for other in (
        ChainShape(ORIGIN, START, total=26, stride=10),
        ChainShape(bytes(32), START, total=25, stride=10),
    ):
        assert other.heads(roots)[-1] != heads[-1]
    assert shape.heads([sha256(b"x"), *roots[1:]])[1:] != heads[1:]


def test_checkpoints_are_a_chain_of_states() -> None:  # VER-19, VER-24
    saved = [checkpoint_receipt(done=done, bundle=bundle(done)) for done in (10, 20, 30)]
    chain = chain_of(10, saved, ORIGIN)
    assert chain.saved == tuple(bundle(done).root[-32:] for done in (10, 20, 30))
    for odd in (saved[1:], saved[::-1], [saved[0], *saved]):
        with pytest.raises(LocalProtocolError) as refused:
            chain_of(10, odd, ORIGIN)
        assert refused.value.code == "chain_shape"


def test_chain_that_has_ended_stays_at_its_answer() -> None:  # VER-24
    saved = [checkpoint_receipt(done=done, bundle=bundle(done)) for done in (10, 20, 30)]
    long, short = chain_of(10, saved, sha256(b"long")), chain_of(10, saved[:1], sha256(b"short"))
    shape = shape_of_results(ORIGIN, 10, long, short)
    assert [shape.steps(number) for number in (1, 3, 4)] == [(0, 10), (20, 30), (30, 31)]
    assert long.roots(4) == [*long.saved, long.answer]
    assert short.roots(4) == [*short.saved, *[short.answer] * 3]
    assert shape_of_results(ORIGIN, 10, chain_of(10, [], ORIGIN)).stretches == 1


@pytest.mark.parametrize(("total", "stride"), [(0, 1), (1, 0), (limits.CHAIN_STRETCHES_MAX + 1, 1)])
def test_chain_has_bounds(total: int, stride: int) -> None:  # VER-19
    with pytest.raises(LocalProtocolError):
        ChainShape(ORIGIN, START, total=total, stride=stride)
    assert ChainShape(ORIGIN, START, total=limits.CHAIN_STRETCHES_MAX, stride=1).stretches > 0
