"""VER-22: hidden items with known answers catch whoever skips, as often as the formula says."""

import random
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyops_p2p import limits
from skyops_p2p.core.verification.canaries import (
    Canary,
    canaries_needed,
    chance_to_be_caught,
    hide,
    judge_batch,
)
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.errors import LocalProtocolError

ITEMS = tuple(range(100, 190))
KNOWN = [Canary(number, number * number) for number in range(10)]


def same(one: int, other: int) -> bool:
    return one == other


def honest(items: tuple[int, ...]) -> list[int]:
    return [item * item for item in items]


@given(st.integers(1, 60), st.data())
def test_items_stay_in_order_and_no_answer_is_lost(count: int, data: st.DataObject) -> None:
    canaries = data.draw(st.integers(0, min(count, limits.CANARIES_MAX)))
    items = tuple(range(1000, 1000 + count))
    known = [Canary(number, number * number) for number in range(canaries)]
    batch = hide(items, known, data.draw(st.binary(min_size=32, max_size=32)))
    assert tuple(item for item in batch.items if item >= 1000) == items
    assert len(batch.canaries) == canaries
    assert list(batch.own(honest(batch.items))) == honest(items)
    assert judge_batch(batch, honest(batch.items), same).is_right


def test_places_follow_from_the_secret_alone() -> None:  # VER-22
    batches = {tuple(hide(ITEMS, KNOWN, sha256(b"%d" % n)).canaries) for n in range(30)}
    assert len(batches) == 30
    assert hide(ITEMS, KNOWN, bytes(32)) == hide(ITEMS, KNOWN, bytes(32))
    counts = [0] * 100
    for number in range(2000):
        for place in hide(ITEMS, KNOWN, sha256(b"place %d" % number)).canaries:
            counts[place] += 1
    assert min(counts) > 130
    assert max(counts) < 270


@pytest.mark.parametrize("skipped", [1, 10, 30])
def test_whoever_skips_is_caught_as_often_as_the_formula_says(skipped: int) -> None:  # VER-22
    source = random.Random(skipped)
    caught = 0
    for number in range(1500):
        batch = hide(ITEMS, KNOWN, sha256(b"%d" % number))
        answers = honest(batch.items)
        for place in source.sample(range(len(answers)), skipped):
            answers[place] = -1
        caught += not judge_batch(batch, answers, same).is_right
    chance = chance_to_be_caught(10, 100, skipped)
    assert abs(caught / 1500 - chance) < 0.04
    assert chance >= 1 - (1 - Fraction(skipped, 100)) ** 10


@given(st.integers(1, 80), st.data())
def test_chance_is_never_below_that_of_independent_draws(items: int, data: st.DataObject) -> None:  # VER-22
    canaries, skipped = data.draw(st.integers(0, items)), data.draw(st.integers(0, items))
    chance = chance_to_be_caught(canaries, items, skipped)
    assert 1 - (1 - Fraction(skipped, items)) ** canaries <= chance <= 1
    if skipped > items - canaries and canaries:
        assert chance == 1


def test_figures_of_the_table() -> None:  # VER-22
    tenth, third = Fraction(1, 10), Fraction(3, 10)
    assert [round(float(1 - (1 - part) ** 10), 2) for part in (tenth, third)] == [0.65, 0.97]
    assert canaries_needed(1000, tenth, Fraction(65, 100)) == 10
    assert canaries_needed(1000, tenth, Fraction(88, 100)) == 21
    assert canaries_needed(5, tenth, Fraction(99, 100)) == 5
    assert canaries_needed(10**6, Fraction(1, 1000), Fraction(99, 100)) == limits.CANARIES_MAX


def test_missed_places_are_named() -> None:  # VER-22
    batch = hide(ITEMS, KNOWN, bytes(32))
    answers = honest(batch.items)
    place = min(batch.canaries)
    answers[place] += 1
    found = judge_batch(batch, answers, same)
    assert (found.asked, found.missed, found.is_right) == (10, (place,), False)


@pytest.mark.parametrize("count", [3, limits.CANARIES_MAX + 1])
def test_more_canaries_than_items_or_than_the_limit_are_refused(count: int) -> None:  # VER-22
    known = [Canary(number, number) for number in range(count)]
    items = range(2) if count == 3 else range(1000)
    with pytest.raises(LocalProtocolError) as refused:
        hide(items, known, bytes(32))
    assert refused.value.code == "canaries_too_many"
    assert hide(range(1000), known[: limits.CANARIES_MAX], bytes(32)).items
