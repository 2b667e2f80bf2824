"""VER-22: hidden shards that the requester computes, too, catch whoever makes shards up, as the formula says."""

import random
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyops_p2p import limits
from skyops_p2p.core.verification.canaries import canary_shards, chance_to_be_caught
from skyops_p2p.core.verification.verdict import Answer, Outcome, judge, judge_by_known
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.errors import LocalProtocolError

SHARDS = 100
RIGHT, WRONG = sha256(b"right"), sha256(b"wrong")


def drawn(secret: bytes, *, shards: int = SHARDS, canaries: int = 10) -> tuple[int, ...]:
    return canary_shards(secret, shards=shards, canaries=canaries)


@given(st.integers(1, limits.JOB_SHARDS_MAX), st.data())
def test_canaries_are_shards_each_once_and_fewer_are_the_first_of_more(
    shards: int, data: st.DataObject
) -> None:  # VER-22
    canaries = data.draw(st.integers(0, min(shards, limits.CANARIES_MAX)))
    secret = data.draw(st.binary(min_size=32, max_size=32))
    found = drawn(secret, shards=shards, canaries=canaries)
    assert len(set(found)) == len(found) == canaries
    assert all(0 <= shard < shards for shard in found)
    assert drawn(secret, shards=shards, canaries=min(shards, limits.CANARIES_MAX))[:canaries] == found


def test_which_shards_they_are_follows_from_the_secret_alone() -> None:  # VER-22
    assert len({drawn(sha256(b"%d" % number)) for number in range(30)}) == 30
    assert drawn(bytes(32)) == drawn(bytes(32))
    counts = [0] * SHARDS
    for number in range(2000):
        for shard in drawn(sha256(b"job %d" % number)):
            counts[shard] += 1
    assert min(counts) > 130
    assert max(counts) < 270


@pytest.mark.parametrize("made_up", [1, 10, 30])
def test_whoever_makes_shards_up_is_caught_as_often_as_the_formula_says(made_up: int) -> None:  # VER-22
    source = random.Random(made_up)
    caught = 0
    for number in range(1500):
        wrong = source.sample(range(SHARDS), made_up)
        caught += not set(wrong).isdisjoint(drawn(sha256(b"%d" % number)))
    chance = chance_to_be_caught(10, SHARDS, made_up)
    assert abs(caught / 1500 - chance) < 0.04
    assert chance >= 1 - (1 - Fraction(made_up, SHARDS)) ** 10


@given(st.integers(1, 80), st.data())
def test_chance_is_never_below_that_of_independent_draws(shards: int, data: st.DataObject) -> None:  # VER-22
    canaries, made_up = data.draw(st.integers(0, shards)), data.draw(st.integers(0, shards))
    chance = chance_to_be_caught(canaries, shards, made_up)
    assert 1 - (1 - Fraction(made_up, shards)) ** canaries <= chance <= 1
    if made_up > shards - canaries and canaries:
        assert chance == 1


def test_figures_of_the_chapter() -> None:  # VER-22
    parts = (Fraction(1, 10), Fraction(3, 10))
    assert [round(float(1 - (1 - part) ** 10), 2) for part in parts] == [0.65, 0.97]


@pytest.mark.parametrize(("shards", "canaries"), [(2, 3), (1000, limits.CANARIES_MAX + 1)])
def test_more_canaries_than_shards_or_than_the_limit_are_refused(
    shards: int, canaries: int
) -> None:  # VER-22
    with pytest.raises(LocalProtocolError) as refused:
        drawn(bytes(32), shards=shards, canaries=canaries)
    assert refused.value.code == "canaries_too_many"
    assert len(drawn(bytes(32), shards=shards, canaries=canaries - 1)) == canaries - 1


# --- what follows -----------------------------------------------------------------------------------------------------
ROOTS = st.sampled_from((RIGHT, WRONG, sha256(b"another"), None))


@given(st.lists(ROOTS, min_size=1, max_size=limits.VERIFICATION_WORKERS_MAX))
def test_nobody_is_right_whose_answer_is_not_the_known_one(roots: list[bytes | None]) -> None:  # VER-30
    found = judge_by_known([Answer(root) for root in roots], RIGHT)
    wanted = ["none" if root == RIGHT else "no_reveal" if root is None else "wrong" for root in roots]
    assert list(found.faults) == wanted
    assert found.outcome is Outcome.DECIDED
    assert found.winner == (roots.index(RIGHT) if RIGHT in roots else None)


def test_majority_that_is_wrong_loses_to_the_known_answer() -> None:  # VER-30
    together = [Answer(WRONG), Answer(WRONG), Answer(WRONG)]
    assert judge(together).outcome is Outcome.AGREED
    found = judge_by_known(together, RIGHT)
    assert (found.winner, found.is_decided, set(found.faults)) == (None, False, {"wrong"})


def test_who_has_lied_is_not_right_by_the_known_answer() -> None:  # VER-30
    found = judge_by_known([Answer(None, has_lied=True), Answer(RIGHT)], RIGHT)
    assert (found.faults, found.winner) == (("lied", "none"), 1)
