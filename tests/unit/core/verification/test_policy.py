"""VER-15, VER-16 and invariant V2: what is checked, and what others may take from a verdict."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from skyops_p2p.core.reputation.uses import CHECK_FLOOR, Record, check_chance
from skyops_p2p.core.verification.check import CheckedVerdict, check_verdict
from skyops_p2p.core.verification.policy import check_lot, checks_of, needs_check
from skyops_p2p.crypto.hashing import sha256
from tests.unit.core.verification.test_verdict import BOBS, FIRST, SECOND, THIRD, THREE, comparisons
from tests.vectors.verification_examples import CANDIDATES, Part, candidate, drawn_after, raw, sealed_verdict

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
def receipts_of(parts: list[Part]) -> dict[bytes, bytes]:
    """Name the settlement's receipt of each result."""
    return {part.receipt(part.shows).digest: part.who.name.encode() for part in parts}


def said(parts: list[Part], found: CheckedVerdict) -> dict[str, tuple[int, bool, int]]:
    """Return by name: level, right or wrong, how many checkers."""
    assert found.holds
    checks = list(checks_of(found, receipts_of(parts)))
    assert len({one.proof for one in checks}) == len(checks)
    return {one.receipt.decode(): (one.level, one.is_right, len(one.checkers)) for one in checks}


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


def test_check_without_a_receipt_of_the_settlement_is_none() -> None:  # REP-6
    assert list(checks_of(check_verdict(sealed_verdict(THREE)), {})) == []


def test_checkers_are_wallets_of_the_others() -> None:  # REP-6
    checks = list(checks_of(check_verdict(sealed_verdict(THREE)), receipts_of(THREE)))
    assert set(checks[0].checkers) == {candidate(part.who).wallet for part in THREE[1:]}
