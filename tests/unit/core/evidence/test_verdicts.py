"""RCP-15, RCP-16: which verdicts are held, and which stay at the limits."""

import random
from dataclasses import replace

import pytest

from skyops_p2p import limits
from skyops_p2p.core.evidence.items import Scope
from skyops_p2p.core.evidence.verdicts import VerdictItem, VerdictShelf, check_verdict_date, open_verdict
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.types import UnixMs
from tests.vectors.evidence_cases import SCOPE
from tests.vectors.people import BOB, MALLORY, NOW
from tests.vectors.verification_examples import Part, candidate, drawn_after, sealed_verdict

WRONG = Part(BOB, output=2)
RIGHT = [Part(who) for who in drawn_after(WRONG)[:2]]


def item(number: int, requester: int = 0) -> VerdictItem:
    """Return a verdict of some requester, made later the greater its number."""
    found = open_verdict(sealed_verdict([WRONG, *RIGHT], made_unix_ms=NOW + number), SCOPE)
    return replace(found, pair=(bytes([requester]) * 20, found.pair[1]))


ITEMS = [item(number, requester=number % 2) for number in range(6)]


def code_of(data: bytes, scope: Scope = SCOPE) -> str:
    with pytest.raises(RemoteProtocolError) as caught:
        open_verdict(data, scope)
    return caught.value.code


def test_what_says_something_to_others_is_held_with_the_pair_whose_money_counts() -> None:  # RCP-15, RCP-16
    found = open_verdict(sealed_verdict([WRONG, *RIGHT]), SCOPE)
    assert found.pair[1] == candidate(RIGHT[0].who).wallet
    assert found.made_unix_ms == NOW
    lied = [Part(BOB), Part(drawn_after(Part(BOB))[0], shows=9)]
    assert open_verdict(sealed_verdict(lied), SCOPE).pair[1] == candidate(BOB).wallet


@pytest.mark.parametrize(
    ("data", "scope"),
    [
        (b"no verdict", SCOPE),
        (sealed_verdict([WRONG, *RIGHT], MALLORY), SCOPE),
        (sealed_verdict([WRONG, *RIGHT], binding=None), SCOPE),
        (sealed_verdict([WRONG, *RIGHT], candidates=()), SCOPE),
        (sealed_verdict([WRONG]), SCOPE),
        (sealed_verdict([WRONG, *RIGHT]), replace(SCOPE, network="elsewhere")),
        (sealed_verdict([WRONG, *RIGHT]), replace(SCOPE, chain_id=1)),
    ],
)
def test_what_says_nothing_to_others_is_refused(data: bytes, scope: Scope) -> None:  # RCP-15
    assert code_of(data, scope) == "bad_verdict"


def test_a_verdict_that_is_too_large_is_not_even_read() -> None:  # RCP-15
    assert code_of(bytes(limits.VERDICT_TOLD_BYTES_MAX + 1)) == "oversized"
    assert code_of(bytes(limits.VERDICT_TOLD_BYTES_MAX)) == "bad_verdict"


@pytest.mark.parametrize(
    ("now", "code"),
    [(NOW - limits.CLOCK_SKEW_MS_MAX - 1, "not_yet_valid"), (NOW + limits.RECEIPT_AGE_MS_MAX + 1, "expired")],
)
def test_a_date_has_bounds_on_both_sides(now: int, code: str) -> None:  # RCP-15
    with pytest.raises(RemoteProtocolError) as caught:
        check_verdict_date(ITEMS[0], UnixMs(now))
    assert caught.value.code == code
    for near in (NOW - limits.CLOCK_SKEW_MS_MAX, NOW + limits.RECEIPT_AGE_MS_MAX):
        check_verdict_date(ITEMS[0], UnixMs(near))


@pytest.mark.parametrize("seed", range(5))
def test_the_newest_stay_in_whatever_order_they_come(seed: int) -> None:  # RCP-16
    order = list(ITEMS)
    random.Random(seed).shuffle(order)
    for held_max, per_requester_max, kept in ((3, 6, ITEMS[3:]), (6, 2, ITEMS[2:]), (6, 6, ITEMS)):
        shelf = VerdictShelf(held_max=held_max, per_requester_max=per_requester_max)
        for one in order:
            is_in, left = shelf.put(one)
            assert is_in == (shelf.get(one.name) is not None)
            assert not any(shelf.get(gone.name) for gone in left)
            shelf.check_invariants()
        assert shelf.all() == kept
        shelf.drop(kept[0])
        shelf.check_invariants()
        older = {one.name for one in shelf.older_than(UnixMs(NOW + 5))}
        assert older == {one.name for one in kept[1:-1]}
