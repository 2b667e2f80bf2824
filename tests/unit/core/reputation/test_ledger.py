"""What a ledger takes, what it keeps at its limits, and what it makes of two pasts."""

from dataclasses import replace

import pytest

from skyops_p2p import limits
from skyops_p2p.core.reputation.conduct import EPOCH_MS, Day
from skyops_p2p.core.reputation.deals import Check, Deal, Offence, PairMoney
from skyops_p2p.core.reputation.explanation import explain
from skyops_p2p.core.reputation.findings import Finding
from skyops_p2p.core.reputation.ledger import Ledger
from skyops_p2p.core.reputation.newest import Newest
from skyops_p2p.core.reputation.ratings import Kind, Role
from skyops_p2p.core.reputation.voices import Stake
from skyops_p2p.core.settlement.receipts import ChainPlace
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.crypto.wallet import address_to_bytes
from skyops_p2p.types import UnixMs
from tests.vectors.people import ALICE, BOB, CAROL, NOW
from tests.vectors.reputation_cases import SKY, TODAY, read, signed

ALICES, BOBS, CAROLS = (address_to_bytes(one.wallet.address) for one in (ALICE, BOB, CAROL))
STAKES = {ALICES: Stake(10**8, TODAY - 30)}
RICH = PairMoney(redeemed=50 * SKY, funded=100 * SKY, height=7)


def deal(number: int, **changes: object) -> Deal:
    place = ChainPlace(number, sha256(b"link %d" % number))
    plain = Deal(
        receipt=sha256(b"receipt %d" % number), requester=ALICES, worker=BOBS, outcome="succeeded",
        ended_unix_ms=UnixMs(NOW + number), metered_ms=10_000, rate=SKY, amount=SKY, cumulative=number * SKY,
        requester_place=place, worker_place=place,
    )  # fmt: skip
    return replace(plain, **changes)  # type: ignore[arg-type]


def ledger(*deals: Deal, money: PairMoney = RICH, deals_max: int = 100) -> Ledger:
    made = Ledger(deals_max=deals_max)
    made.set_money(ALICES, BOBS, money)
    for one in deals:
        made.add_deal(one, now=NOW)
    return made


def accuracy(made: Ledger, who: bytes = BOBS, role: Role = Role.WORKER) -> int:
    return made.assess(role, STAKES, epoch=TODAY).standing(who).accuracy


def verdict(receipt: bytes, *, level: int, is_right: bool) -> Check:
    return Check(
        sha256(receipt + bytes([level, is_right])), receipt, level, is_right, NOW, checkers=(CAROLS,)
    )


def test_a_receipt_from_the_wire_raises_both_sides() -> None:  # REP-3, REP-5
    made = ledger()
    assert made.add_deal(read(signed(1)), now=UnixMs(NOW + EPOCH_MS))
    stakes = {ALICES: Stake(10**8, TODAY - 30), BOBS: Stake(10**8, TODAY - 30)}
    for role, who in ((Role.WORKER, BOBS), (Role.REQUESTER, ALICES)):
        found = made.assess(role, stakes, epoch=TODAY + 1)
        assert found.standing(who).accuracy > found.standing(who).prior


def test_a_receipt_without_money_on_chain_is_not_kept() -> None:  # REP-23
    made = ledger(money=PairMoney(0, 0, 1))
    assert not made.add_deal(deal(1), now=NOW)
    made.set_money(ALICES, BOBS, RICH)
    assert made.add_deal(deal(1), now=NOW)
    assert accuracy(made) > 200_000


@pytest.mark.parametrize(
    ("ahead_ms", "is_kept"), [(limits.CLOCK_SKEW_MS_MAX, True), (limits.CLOCK_SKEW_MS_MAX + 1, False)]
)
def test_a_receipt_of_the_future_is_not_kept(ahead_ms: int, is_kept: bool) -> None:  # REP-23
    future = deal(1, ended_unix_ms=UnixMs(NOW + ahead_ms))
    assert ledger().add_deal(future, now=NOW) is is_kept


def test_money_of_an_older_block_changes_nothing() -> None:  # REP-4
    made = ledger(deal(1))
    before = accuracy(made)
    made.set_money(ALICES, BOBS, PairMoney(0, 0, RICH.height - 1))
    assert accuracy(made) == before
    made.set_money(ALICES, BOBS, PairMoney(0, 1, RICH.height))
    assert accuracy(made) == 200_000


def test_a_requester_alone_never_makes_a_result_wrong() -> None:  # REP-6
    made = ledger(deal(1))
    before = accuracy(made)
    made.add_check(replace(verdict(deal(1).receipt, level=1, is_right=False), checkers=(ALICES,)))
    made.add_check(replace(verdict(deal(1).receipt, level=2, is_right=False), checkers=(ALICES, CAROLS)))
    assert accuracy(made) == before


def test_a_verdict_sinks_and_a_later_one_may_overrule_it() -> None:  # REP-6, REP-16
    made = ledger(deal(1))
    unchecked = accuracy(made)
    made.add_check(verdict(deal(1).receipt, level=2, is_right=False))
    assert accuracy(made) < 200_000 < unchecked
    made.add_check(verdict(deal(1).receipt, level=3, is_right=True))
    assert accuracy(made) > unchecked


def test_what_decides_about_a_receipt_can_be_asked() -> None:  # REP-6
    made, receipt = ledger(deal(1)), deal(1).receipt
    assert made.check_of(receipt) is None
    made.add_check(verdict(receipt, level=1, is_right=True))
    made.add_check(decisive := verdict(receipt, level=2, is_right=False))
    assert made.check_of(receipt) == decisive
    assert made.check_of(deal(2).receipt) is None


def test_a_check_may_come_before_its_receipt() -> None:  # REP-6
    made = ledger()
    made.add_check(verdict(deal(1).receipt, level=2, is_right=False))
    made.add_deal(deal(1), now=NOW)
    assert accuracy(made) < 200_000


def test_an_offence_counts_once() -> None:  # REP-8
    made = ledger()
    offence = Offence(b"o" * 32, ALICES, Role.REQUESTER, BOBS, 10**6, NOW)
    stakes = {BOBS: Stake(10**8, TODAY - 30)}
    made.add_offence(offence)
    once = made.assess(Role.REQUESTER, stakes, epoch=TODAY).standing(ALICES)
    made.add_offence(offence)
    assert made.assess(Role.REQUESTER, stakes, epoch=TODAY).standing(ALICES) == once
    assert once.accuracy < 200_000


def test_two_pasts_end_a_reputation_in_both_roles() -> None:  # REP-21
    made = ledger(deal(1))
    made.ban(BOBS)
    for role in Role:
        standing = made.assess(role, STAKES, epoch=TODAY).standing(BOBS)
        assert (standing.credibility, standing.is_banned) == (0, True)
    assert not explain(made.assess(Role.WORKER, STAKES, epoch=TODAY), BOBS).changes


def test_what_is_not_held_any_more_counts_no_more() -> None:  # REP-23
    made = ledger(deal(1), deal(2))
    made.assess(Role.WORKER, STAKES, epoch=TODAY)
    made.forget_deal(deal(1).receipt)
    made.forget_deal(deal(1).receipt)
    assert (len(made), accuracy(made)) == (1, accuracy(ledger(deal(2))))
    made.forget_deal(deal(2).receipt)
    assert (len(made), accuracy(made)) == (0, 200_000)


def test_own_experience_counts_in_full_and_without_money() -> None:  # REP-22
    made = ledger(deal(1), deal(2, outcome="run_lost", amount=0), money=PairMoney(0, SKY, 1))
    unit = 10**6
    seen = made.experience(ALICES, BOBS, Role.WORKER, epoch=TODAY)
    assert (seen.good, seen.soft, seen.wrong) == (unit, unit, 0)
    seen = made.experience(BOBS, ALICES, Role.REQUESTER, epoch=TODAY)
    assert (seen.good, seen.total) == (unit, unit)
    assert made.experience(ALICES, CAROLS, Role.WORKER, epoch=TODAY).total == 0
    made.add_check(Check(b"c" * 32, deal(1).receipt, 1, False, NOW, checkers=(ALICES,)))
    seen = made.experience(ALICES, BOBS, Role.WORKER, epoch=TODAY)
    assert (seen.good, seen.soft, seen.wrong) == (0, unit, unit)


def test_a_wrong_result_begins_the_row_anew() -> None:  # REP-27
    made = ledger(*(deal(n) for n in range(1, 6)))
    assert made.worker_checks() == {}
    for number, is_right in enumerate((True, True, False, True), start=1):
        found = verdict(deal(number).receipt, level=2, is_right=is_right)
        made.add_check(replace(found, decided_unix_ms=UnixMs(NOW + number)))
    made.add_check(verdict(deal(5).receipt, level=1, is_right=True))
    assert made.worker_checks() == {BOBS: (1, 4)}


def test_a_half_that_comes_later_joins() -> None:  # REP-5, REP-7
    alone = deal(1, worker_place=None)
    made = ledger(alone)
    assert accuracy(made) == 200_000
    made.add_deal(deal(1, requester_place=None), now=NOW)
    assert len(made) == 1
    assert accuracy(made) == accuracy(ledger(deal(1)))


def test_of_two_halves_of_one_party_the_earlier_stays() -> None:  # REP-23
    early, late = deal(1), deal(1, worker_place=ChainPlace(9, sha256(b"again")))
    for order in ((early, late), (late, early)):
        made = ledger(*order)
        assert {one.worker_place for one, _ in behind(made)} == {early.worker_place}


def test_at_the_limit_the_newest_stay() -> None:  # REP-23
    deals = [deal(n) for n in range(1, 6)]
    for order in (deals, deals[::-1]):
        made = ledger(*order, deals_max=3)
        assert len(made) == 3
        kept = {one.receipt for one, _ in behind(made)}
        assert kept == {one.receipt for one in deals[2:]}
    assert not made.add_deal(deal(1), now=NOW)


def behind(made: Ledger) -> list[tuple[Deal, object]]:
    made.assess(Role.WORKER, STAKES, epoch=TODAY)
    return [(one.deal, one.rating) for one in made.sources_of(BOBS, Role.WORKER) if one.deal is not None]


def test_one_pair_keeps_no_more_than_its_part() -> None:  # REP-23
    most = limits.REPUTATION_DEALS_PER_PAIR_MAX
    deals = [deal(n, cumulative=SKY) for n in range(1, most + 2)]
    made = ledger(*deals, deals_max=2 * most)
    assert len(made) == most
    assert not made.add_deal(deals[0], now=NOW)
    assert len(made) == most
    made.set_money(ALICES, CAROLS, RICH)
    assert made.add_deal(replace(deals[0], worker=CAROLS), now=NOW)


def test_a_forgotten_receipt_takes_its_rating_along() -> None:  # REP-23
    made = ledger(deal(1), deals_max=1)
    rich = accuracy(made)
    made.set_money(ALICES, CAROLS, RICH)
    made.add_deal(deal(2, worker=CAROLS), now=NOW)
    assert accuracy(made) == 200_000
    assert accuracy(made, CAROLS) == rich


def test_what_probes_came_to_is_replaced_as_a_whole() -> None:  # REP-18, PRB-14
    made = ledger()

    def up() -> int:
        return made.assess(Role.WORKER, STAKES, epoch=TODAY).standing(BOBS).availability

    unknown = up()
    made.set_days({BOBS: {TODAY: Day(100, 100)}})
    assert up() > unknown
    made.set_days({BOBS: {TODAY: Day(100, 90, 3, 500), TODAY - 29: Day(100, 0)}})
    assert up() < unknown
    assert made.assess(Role.WORKER, STAKES, epoch=TODAY).slots_of(BOBS) == Day(100, 90, 3, 500)
    made.set_days({BOBS: {TODAY: Day(100, 100)}}, doubled=frozenset({BOBS}))
    assert up() == 0
    made.set_days({})
    assert up() == unknown


def test_the_newest_of_many_is_a_set() -> None:
    kept: Newest[int] = Newest(2)
    assert kept.put(b"a", 5, 1) == (True, None)
    assert kept.put(b"b", 7, 2) == (True, None)
    assert kept.put(b"c", 4, 3) == (False, None)
    assert kept.put(b"d", 6, 4) == (True, 1)
    assert kept.put(b"d", 6, 5) == (True, None)
    assert sorted(kept) == [2, 5]
    kept.discard(b"d")
    assert kept.put(b"e", 1, 6) == (True, None)
    for number in range(1000):  # what was taken out leaves no heap behind
        kept.discard(b"e")
        kept.put(b"e", number, number)
    assert len(kept) == 2
    assert len(kept._dates) < 200


def test_an_explanation_names_parts_receipts_and_what_would_change_them() -> None:
    made = ledger(*(deal(n) for n in range(1, 4)), deal(4, outcome="run_lost"))
    found = made.assess(Role.WORKER, STAKES, epoch=TODAY)
    told = explain(found, BOBS, made.sources_of(BOBS, Role.WORKER))
    assert told.standing == found.standing(BOBS)
    (voice,) = told.voices
    assert (voice.rater, voice.part) == (ALICES, 10**6)
    assert voice.good == told.standing.tally.good
    assert voice.bad == told.standing.tally.bad
    assert [source.receipt for source in told.sources] == [deal(n).receipt for n in (4, 3, 2, 1)]
    assert [source.rating.kind for source in told.sources][:2] == [Kind.SOFT, Kind.GOOD]
    now = told.standing.credibility
    after = {change.code: change.credibility for change in told.changes}
    assert after["wrong_result"] < after["soft_fail"] < now < after["unverified_job"] < after["verified_job"]
    assert min(after["full_stake"], after["full_uptime"], after["full_speed"]) > now


def test_what_an_explanation_foretells_comes_true() -> None:
    stakes = {ALICES: Stake(10**8, TODAY - 30), CAROLS: Stake(10**8, TODAY - 30)}
    made = ledger(deal(1))
    told = explain(made.assess(Role.WORKER, stakes, epoch=TODAY), BOBS)
    made.set_money(CAROLS, BOBS, RICH)
    more = deal(2, requester=CAROLS, cumulative=SKY, worker_place=ChainPlace(2, sha256(b"next")))
    made.add_deal(more, now=NOW)
    made.add_check(replace(verdict(more.receipt, level=2, is_right=True), checkers=(b"somebody",)))
    (foretold,) = [change for change in told.changes if change.code == "verified_job"]
    after = made.assess(Role.WORKER, stakes, epoch=TODAY).standing(BOBS)
    assert (after.accuracy, after.credibility) == (foretold.accuracy, foretold.credibility)


# --- what verdicts say ------------------------------------------------------------------------------------------
DAVES, ERINS = b"d" * 20, b"e" * 20
KNOWN = {**STAKES, **{who: Stake(10**8, TODAY - 3) for who in (DAVES, ERINS)}}


def finding(number: int = 1, **changes: object) -> Finding:
    """Return that bob's result was found wrong by two who were drawn."""
    plain = Finding(
        proof=sha256(b"finding %d" % number), verdict=sha256(b"verdict %d" % number), rater=ALICES, rated=BOBS,
        result=sha256(b"result"), level=2, is_right=False, decided_unix_ms=NOW, value=10**6,
        checkers=(DAVES, ERINS),
    )  # fmt: skip
    return replace(plain, **changes)  # type: ignore[arg-type]


def heard(*findings: Finding, deals: tuple[Deal, ...] = (), stakes: dict[bytes, Stake] = KNOWN) -> Ledger:
    made = ledger(*deals)
    for one in findings:
        assert made.add_finding(one)
    made.assess(Role.WORKER, stakes, epoch=TODAY)
    return made


def score(made: Ledger, stakes: dict[bytes, Stake] = KNOWN) -> int:
    return made.assess(Role.WORKER, stakes, epoch=TODAY).standing(BOBS).accuracy


def test_a_wrong_result_costs_its_worker_without_any_receipt() -> None:  # REP-37, I6
    once, more = heard(finding()), heard(finding(), finding(2, result=sha256(b"another")))
    assert score(more) < score(once) < score(ledger())
    assert once.worker_checks() == {BOBS: (0, 1)}
    ((source),) = once.sources_of(BOBS, Role.WORKER)
    assert (source.receipt, source.verdict, source.rating.kind) == (b"", finding().verdict, Kind.FOUND)
    once.forget_finding(finding().proof)
    once.forget_finding(finding().proof)
    assert score(once) == score(ledger())


def test_verdicts_of_a_requester_that_nobody_hears_cost_nothing() -> None:  # REP-37
    silent = {who: stake for who, stake in KNOWN.items() if who != ALICES}
    assert score(heard(finding(), stakes=silent), silent) == score(ledger(), silent)


@pytest.mark.parametrize(
    ("changes", "stakes"),
    [
        ({"level": 1}, KNOWN),
        ({}, STAKES),
        ({}, {**KNOWN, ERINS: Stake(0, 0)}),
        ({}, {**KNOWN, ERINS: Stake(10**8, TODAY + 1)}),
        ({}, {**KNOWN, ERINS: Stake(10**8, TODAY - 3, is_slashed=True)}),
        ({"checkers": (ALICES, ERINS)}, KNOWN),
    ],
)
def test_what_strangers_or_parties_say_counts_with_the_requester_alone(
    changes: dict[str, object], stakes: dict[bytes, Stake]
) -> None:  # REP-37
    made = heard(finding(**changes), stakes=stakes)
    assert score(made, stakes) == score(ledger(), stakes)
    assert made.worker_checks() == {}
    assert made.experience(ALICES, BOBS, Role.WORKER, epoch=TODAY).wrong == 10**6
    assert not made.experience(CAROLS, BOBS, Role.WORKER, epoch=TODAY).total


def test_a_witness_that_registers_or_is_banned_changes_what_counts() -> None:  # REP-37
    made = heard(finding(), stakes=STAKES)
    assert score(made, KNOWN) < score(ledger()) == score(made, STAKES)
    assert score(made) < score(ledger())
    made.ban(ERINS)
    assert score(made) == score(ledger())


def test_one_result_is_wrong_once_and_its_receipt_says_for_how_much() -> None:  # REP-6, REP-37
    twice = heard(finding(), finding(2), finding(3, value=5))
    assert score(twice) == score(heard(finding()))
    whole = deal(1, result=sha256(b"result"))
    paid = heard(finding(), deals=(whole,))
    (source,) = paid.sources_of(BOBS, Role.WORKER)
    assert (source.rating.kind, source.receipt, source.verdict) == (
        Kind.WRONG, whole.receipt, finding().verdict,
    )  # fmt: skip
    assert paid.worker_checks() == {BOBS: (0, 1)}
    half = heard(finding(), deals=(replace(whole, worker_place=None),))
    assert [one.rating.kind for one in half.sources_of(BOBS, Role.WORKER)] == [Kind.FOUND]
    assert half.worker_checks() == {BOBS: (0, 1)}


def test_right_results_count_in_full_where_a_receipt_names_them() -> None:  # REP-5, REP-6
    right = finding(is_right=True)
    alone, paid = deal(1, result=sha256(b"result")), heard(right, deals=(deal(1, result=sha256(b"result")),))
    assert score(paid) > score(ledger(alone))
    assert score(heard(right)) == score(ledger())
    assert paid.worker_checks() == {BOBS: (1, 1)}


def test_findings_pass_no_credit_on() -> None:  # REP-12
    many = [finding(n, result=sha256(b"%d" % n), rater=CAROLS, value=10**12) for n in range(2, 9)]
    stakes = {**KNOWN, BOBS: Stake(10**8, TODAY - 3)}
    found = heard(*many, deals=(deal(1),), stakes=stakes).assess(Role.WORKER, stakes, epoch=TODAY)
    assert found.credit[CAROLS] == 0
    assert found.part_of(CAROLS) == 0


def test_a_wrong_result_costs_no_less_than_none() -> None:  # REP-6, REP-7
    lost = deal(1, amount=1, outcome="run_lost", cumulative=1)
    wrong = ledger(deal(1, amount=1, cumulative=1))
    wrong.add_check(verdict(deal(1).receipt, level=2, is_right=False))
    assert accuracy(wrong) < accuracy(ledger(lost))
