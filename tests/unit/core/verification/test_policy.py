"""VER-15, VER-16 and invariant V2: what is checked, and what others may take from a verdict."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from skyops_p2p.core.reputation.uses import CHECK_FLOOR, Record, check_chance
from skyops_p2p.core.verification.check import CheckedVerdict, check_verdict
from skyops_p2p.core.verification.policy import (
    check_lot,
    counts_for_others,
    findings_of,
    needs_check,
    value_at_stake,
)
from skyops_p2p.crypto.hashing import sha256
from tests.unit.core.verification.test_verdict import BOBS, FIRST, SECOND, THIRD, THREE, comparisons
from tests.vectors.execution_examples import USAGE
from tests.vectors.people import ALICE
from tests.vectors.verification_examples import (
    CANDIDATES,
    PRICE,
    Part,
    candidate,
    drawn_after,
    raw,
    sealed_verdict,
)

OLD_HAND = Record(streak=400, checked=400, stake=1_000_000_000)
LOTS = st.integers(0, 2**64 - 1)
AMOUNTS = st.integers(0, 10**15)


# --- which results ----------------------------------------------------------------------------------------------------
@given(AMOUNTS, AMOUNTS, st.integers(0, 10**6), AMOUNTS)
def test_chance_is_never_below_the_floor_nor_below_the_share_of_the_value(
    stake: int, value: int, streak: int, open_value: int
) -> None:  # V2, REP-27
    chance = check_chance(Record(streak, streak, stake, open_value), value)
    assert CHECK_FLOOR <= chance <= 10**6
    assert chance * (value + stake) >= value * 10**6
    if (open_value + value) * 3 > 2 * stake:
        assert chance == 10**6


@given(LOTS)
def test_newcomer_is_always_checked(lot: int) -> None:  # VER-16
    assert needs_check(Record(streak=9, checked=9, stake=10**12), 1, lot=lot)


def test_as_many_are_checked_as_the_chance_says() -> None:  # VER-16
    lots = [check_lot(bytes(32), sha256(b"%d" % n)) for n in range(4000)]
    checked = sum(needs_check(OLD_HAND, 1, lot=lot) for lot in lots)
    assert 400 <= checked <= 560
    assert check_chance(OLD_HAND, 1) == CHECK_FLOOR


def test_lot_needs_the_secret_and_the_result() -> None:  # VER-16
    lots = {check_lot(secret, receipt) for secret in (bytes(32), b"\1" * 32) for receipt in (b"a", b"b")}
    assert len(lots) == 4
    assert not needs_check(OLD_HAND, 1, lot=2**64 - 1)


# --- what a verdict says to others ------------------------------------------------------------------------------------
def said(parts: list[Part], found: CheckedVerdict) -> dict[str, tuple[int, bool, int]]:
    """Return by name: level, right or wrong, how many checkers."""
    assert found.holds
    names_of = {part.receipt(part.shows).digest: part.who.name for part in parts}
    findings = list(findings_of(found))
    assert len({one.proof for one in findings}) == len(findings)
    assert {one.rater for one in findings} <= {candidate(ALICE).wallet}
    return {names_of[one.result]: (one.level, one.is_right, len(one.checkers)) for one in findings}


def names(parts: list[Part]) -> list[str]:
    return [part.who.name for part in parts]


def test_agreement_of_drawn_workers_is_a_check_by_third_parties() -> None:  # VER-15
    found = said(THREE, check_verdict(sealed_verdict(THREE)))
    assert found == dict.fromkeys(names(THREE), (2, True, 2))


def test_wrong_result_is_wrong_for_everybody() -> None:  # VER-15
    wrong = replace(BOBS, output=2)
    parts = [wrong, *(Part(who) for who in drawn_after(wrong)[:2])]
    found = said(parts, check_verdict(sealed_verdict(parts)))
    assert found == dict.fromkeys(names(parts), (2, True, 1)) | {BOBS.who.name: (2, False, 2)}


def test_verdict_of_workers_that_the_requester_chose_counts_as_its_own() -> None:  # VER-15
    parts = [BOBS, Part(THIRD)]
    assert said(parts, check_verdict(sealed_verdict(parts))) == dict.fromkeys(names(parts), (1, True, 1))
    without = tuple(one for one in CANDIDATES if one.peer != raw(FIRST))
    parts = [BOBS, Part(FIRST)]
    found = said(parts, check_verdict(sealed_verdict(parts, candidates=without)))
    assert found == dict.fromkeys(names(parts), (1, True, 1))


def test_measurements_of_the_requester_convict_nobody_in_the_eyes_of_others() -> None:  # VER-15
    parts = [replace(part, verification="numeric", output=number) for number, part in enumerate(THREE, 1)]
    order = [parts[0], *(replace(parts[n], who=who) for n, who in enumerate(drawn_after(parts[0])[:2], 1))]
    found = said(order, check_verdict(sealed_verdict(order, comparisons=comparisons(1000, 500, 500))))
    assert found[order[2].who.name] == (1, False, 2)


def test_liar_is_convicted_by_itself_whoever_was_drawn() -> None:  # VER-15
    parts = [BOBS, Part(FIRST), Part(THIRD, shows=9), Part(SECOND)]
    found = said(parts, check_verdict(sealed_verdict(parts, candidates=())))
    assert found[THIRD.name] == (2, False, 0)
    assert found[BOBS.who.name][0] == 1


def test_nothing_is_said_of_who_opened_nothing_nor_where_nothing_is_decided() -> None:  # VER-15
    silent = [*THREE[:2], replace(THREE[2], is_silent=True)]
    assert said(silent, check_verdict(sealed_verdict(silent))) == dict.fromkeys(
        names(silent)[:2], (2, True, 1)
    )
    apart = [BOBS, Part(FIRST, output=2)]
    assert said(apart, check_verdict(sealed_verdict(apart))) == {}


def test_verdict_that_does_not_say_whose_word_it_is_says_nothing() -> None:  # REP-37
    assert list(findings_of(check_verdict(sealed_verdict(THREE, binding=None)))) == []
    bare = check_verdict(sealed_verdict(THREE, candidates=()))
    assert (counts_for_others(bare), counts_for_others(check_verdict(sealed_verdict(THREE)))) == (False, True)


def test_requester_with_the_wallet_of_a_worker_makes_no_verdict() -> None:  # VER-14
    found = check_verdict(sealed_verdict(THREE, binding=THREE[1].who.binding))
    assert [one.rule for one in found.findings] == ["IDN-3"]
    own = replace(THREE[2], who=replace(THREE[2].who, wallet=ALICE.wallet))
    found = check_verdict(sealed_verdict([*THREE[:2], own], candidates=()))
    assert [one.rule for one in found.findings] == ["VER-14"]


def test_checkers_are_wallets_of_the_others() -> None:  # REP-6
    findings = list(findings_of(check_verdict(sealed_verdict(THREE))))
    assert set(findings[0].checkers) == {candidate(part.who).wallet for part in THREE[1:]}


def test_verdict_on_free_work_says_nothing_to_others() -> None:  # REP-37
    free = replace(BOBS, output=2, commit_changes=(("price", 0),))
    found = check_verdict(sealed_verdict([free, *(Part(who) for who in drawn_after(free)[:2])]))
    assert {one.rated: one.level for one in findings_of(found)}[candidate(BOBS.who).wallet] == 1
    assert counts_for_others(found), "the others were paid"


def test_value_is_what_the_worker_signed_and_no_less_than_of_a_failure() -> None:  # REP-37
    run = USAGE.model_copy(update={"wall_ms": 3 * 3_600_000})
    long = replace(BOBS, receipt_changes=(("usage", run),))
    values = [
        next(
            findings_of(check_verdict(sealed_verdict([part, *(Part(who) for who in drawn_after(part)[:2])])))
        )
        for part in (BOBS, long)
    ]
    assert [one.value for one in values] == [PRICE, 3 * PRICE]
    assert value_at_stake(0, 10**12) == 0


def test_speed_is_compared_among_equal_answers_alone() -> None:  # REP-19
    wrong = replace(BOBS, output=2)
    parts = [wrong, *(Part(who) for who in drawn_after(wrong)[:2])]
    checks = list(findings_of(check_verdict(sealed_verdict(parts))))
    right = {(candidate(part.who).wallet, part.receipt(part.shows).digest) for part in parts[1:]}
    assert [set(one.compared) for one in checks] == [set(), right, right]
