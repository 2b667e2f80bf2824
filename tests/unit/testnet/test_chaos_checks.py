"""The checks of a campaign: what is right passes all of them, and each thing that is wrong is found by its own."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from skyops_p2p.testnet.chaos.campaign import _AGREEMENT, _REDEEMED, Campaign
from skyops_p2p.testnet.chaos.checks import CHECKS, breaches_of, exposed_wei
from skyops_p2p.testnet.chaos.plan import make_plan
from skyops_p2p.testnet.chaos.seen import (
    ChainSeen,
    EarnedSeen,
    JobSeen,
    LaneSeen,
    Observation,
    PairSeen,
    ReceiptSeen,
)

RATE_WEI = 3_600_000 * 10**9
"""A microsecond of an hour: 10^9 wei for a millisecond, so that figures can be read."""
FIRST = LaneSeen("aa" * 32, 0, 1, "bob", False, RATE_WEI, 1000, 1000 * 10**9, False)
SECOND = LaneSeen("bb" * 32, 0, 2, "carol", False, RATE_WEI, 2000, 2000 * 10**9, True)
JOB = JobSeen(
    name="job-001-train",
    job_id="11" * 16,
    by="requester",
    allowed=frozenset({"succeeded"}),
    is_over=True,
    code="succeeded",
    attempts=((0, 1, "worker_lost"), (0, 2, "succeeded")),
    budget_wei=3000 * 10**9,
    lanes=(FIRST, SECOND),
)
RECEIPT = ReceiptSeen(SECOND.lane, "requester", True, "cc" * 32, SECOND.paid_wei)
BEFORE = ChainSeen(50_000, 10_000 * 10**9, 0, 0, 0, 0, 10_000 * 10**9, 10**18)
AFTER = replace(BEFORE, deposits=7000 * 10**9, held=291 * 10**9, credits=2619 * 10**9, fees=90 * 10**9)
RIGHT = Observation(
    jobs=(JOB,),
    earned=(
        EarnedSeen("bob", JOB.job_id, FIRST.paid_wei, 0),
        EarnedSeen("carol", JOB.job_id, SECOND.paid_wei, 1),
    ),
    receipts=(RECEIPT, replace(RECEIPT, by="carol")),
    pairs=(
        PairSeen("requester", "bob", True, FIRST.paid_wei, FIRST.paid_wei),
        PairSeen("bob", "requester", False, FIRST.paid_wei, FIRST.paid_wei),
        PairSeen("requester", "carol", True, SECOND.paid_wei, SECOND.paid_wei),
        PairSeen("carol", "requester", False, SECOND.paid_wei, SECOND.paid_wei),
    ),
    before=BEFORE,
    after=AFTER,
)


def job(**changes: Any) -> Observation:
    return replace(RIGHT, jobs=(replace(JOB, **changes),))


def second(**changes: Any) -> Observation:
    return job(lanes=(FIRST, replace(SECOND, **changes)))


def pair(place: int, **changes: Any) -> Observation:
    pairs = [replace(one, **changes) if number == place else one for number, one in enumerate(RIGHT.pairs)]
    return replace(RIGHT, pairs=tuple(pairs))


def after(**changes: Any) -> Observation:
    return replace(RIGHT, after=replace(AFTER, **changes))


WRONG: dict[str, tuple[str, Callable[[], Observation]]] = {
    "a node could not be asked": ("not_looked_at", lambda: replace(RIGHT, troubles=(("timed_out", "bob"),))),
    "a job is unknown to its node": ("job_lost", lambda: job(job_id="", is_over=False)),
    "a job does not end": ("job_lost", lambda: job(is_over=False, code="")),
    "a job fails that may not": ("outcome_not_allowed", lambda: job(code="program_failed")),
    "a job ends without a code": ("outcome_not_allowed", lambda: job(code="")),
    "a job fails with a code of no list": ("failure_uncoded", lambda: job(code="bad_luck")),
    "a lease ends without a code": (
        "failure_uncoded",
        lambda: job(attempts=((0, 1, ""), (0, 2, "succeeded"))),
    ),
    "a lease has two lanes": ("paid_twice", lambda: second(epoch=1)),
    "a shard has two receipts": ("paid_twice", lambda: job(lanes=(replace(FIRST, has_receipt=True), SECOND))),
    "a shard succeeds twice": (
        "paid_twice",
        lambda: job(attempts=((0, 1, "succeeded"), (0, 2, "succeeded"))),
    ),
    "more is paid than was metered": ("above_exposure", lambda: second(metered_ms=1900)),
    "work is unpaid above the exposure": (
        "above_exposure",
        lambda: second(metered_ms=2000 + exposed_wei(SECOND) // 10**9 + 1),
    ),
    "a job costs more than its bound": ("over_budget_paid", lambda: job(budget_wei=3000 * 10**9 - 1)),
    "a lane stays open": ("lane_open", lambda: second(is_open=True)),
    "a worker has a wei less": ("sides_apart", lambda: second(paid_wei=SECOND.paid_wei + 1)),
    "a worker has no receipt": (
        "sides_apart",
        lambda: replace(RIGHT, earned=(RIGHT.earned[0], replace(RIGHT.earned[1], receipts=0))),
    ),
    "a worker was paid by nobody": (
        "sides_apart",
        lambda: replace(RIGHT, earned=(*RIGHT.earned, EarnedSeen("bob", "22" * 16, 1, 0))),
    ),
    "a voucher did not arrive": ("pair_apart", lambda: pair(3, promised_wei=SECOND.paid_wei - 1)),
    "a worker does not know its pair": ("pair_apart", lambda: replace(RIGHT, pairs=RIGHT.pairs[:3])),
    "a worker has not redeemed": ("pair_apart", lambda: pair(3, redeemed_wei=0)),
    "a worker has redeemed too much": ("pair_apart", lambda: pair(3, redeemed_wei=SECOND.paid_wei + 1)),
    "a voucher is above its lanes": ("promise_apart", lambda: pair(2, promised_wei=SECOND.paid_wei + 1)),
    "one side has no receipt": (
        "receipt_apart",
        lambda: replace(RIGHT, receipts=(RECEIPT, replace(RECEIPT, by="carol", trouble="no_receipt"))),
    ),
    "the receipts differ": (
        "receipt_apart",
        lambda: replace(RIGHT, receipts=(RECEIPT, replace(RECEIPT, by="carol", leaf="dd" * 32))),
    ),
    "a receipt has one signature": (
        "receipt_apart",
        lambda: replace(RIGHT, receipts=(RECEIPT, replace(RECEIPT, by="carol", is_signed_by_both=False))),
    ),
    "a receipt is of another amount": (
        "receipt_apart",
        lambda: replace(RIGHT, receipts=(replace(RECEIPT, amount_wei=1),)),
    ),
    "Settlement owns less than it owes": ("money_not_conserved", lambda: after(settlement=9_999 * 10**9)),
    "a wei is gone": ("money_not_conserved", lambda: after(wallets=49_999)),
    "a wei is new": ("money_not_conserved", lambda: after(wallets=50_001)),
    "a deposit has lost more than was redeemed": (
        "money_not_conserved",
        lambda: after(deposits=AFTER.deposits - 1, fees=AFTER.fees + 1),
    ),
}


def test_a_campaign_in_which_all_went_well_breaks_nothing() -> None:
    assert breaches_of(RIGHT) == ()


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_found(name: str) -> None:
    code, make = WRONG[name]
    found = breaches_of(make())
    assert code in {breach.code for breach in found}
    assert all(breach.text for breach in found)


def test_every_check_is_broken_by_something() -> None:
    assert {code for code, _ in WRONG.values()} == CHECKS.keys()


def test_a_lease_that_failed_by_itself_may_have_a_receipt_of_its_own() -> None:
    first = replace(FIRST, has_receipt=True)
    seen = job(lanes=(first, SECOND), attempts=((0, 1, "input_unavailable"), (0, 2, "succeeded")))
    assert "paid_twice" not in {breach.code for breach in breaches_of(seen)}


def test_burned_money_is_accounted_for() -> None:
    burned = after(fees=0, settlement=AFTER.settlement - AFTER.fees, supply=10**18 - AFTER.fees)
    assert breaches_of(burned) == ()


def test_what_was_redeemed_is_looked_at_until_the_workers_know_of_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told: list[str] = []
    campaign = Campaign(make_plan(1, jobs=1, nodes=4), tmp_path, "chaos", progress=told.append)
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
    early = pair(3, redeemed_wei=0)
    looks = [early, early, RIGHT]
    assert campaign._agree(lambda: looks.pop(0), _AGREEMENT) is early
    assert campaign._agree(lambda: looks.pop(0), _REDEEMED) is RIGHT
    assert len(told) == 1
    assert "carol has redeemed 0 of" in told[0]
