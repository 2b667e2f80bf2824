"""When a worker redeems, and what that may cost."""

import pytest

from skyops_p2p import limits
from skyops_p2p.core.settlement.batching import BatchRules, Claim, Reason, cost_bps, is_worth, plan
from skyops_p2p.core.settlement.funds import RedemptionQuote
from skyops_p2p.types import Wei

NOW = 10_000_000_000
RULES = BatchRules(interval_ms=86_400_000, unsecured_max_wei=1000, cost_bps_max=1000)
ALICE, BOB = bytes(20), bytes([1]) * 20


def claim(requester: bytes = ALICE, **changes: object) -> Claim:
    fields: dict[str, object] = {
        "requester": requester,
        "unredeemed_wei": 500,
        "unsecured_wei": 0,
        "since_unix_ms": NOW - 1000,
        "is_asked": False,
        "held_wei": 0,
        "held_until_unix_s": 0,
    }
    return Claim(**{**fields, **changes})  # type: ignore[arg-type]  # fields by name


def test_nothing_is_redeemed_before_it_is_due() -> None:
    assert plan([claim()], RULES, now_unix_ms=NOW).redeem == ()
    due = claim(since_unix_ms=NOW - 86_400_000)
    assert plan([due], RULES, now_unix_ms=NOW).redeem == ((ALICE, Reason.DUE),)


def test_what_is_due_takes_the_rest_with_it_and_the_most_urgent_stands_first() -> None:
    batch = plan([claim(), claim(BOB, is_asked=True)], RULES, now_unix_ms=NOW)
    assert batch.redeem == ((BOB, Reason.ASKED), (ALICE, Reason.DUE))
    assert batch.is_urgent


def test_what_is_nearly_too_much_unsecured_is_redeemed() -> None:
    assert plan([claim(unsecured_wei=799)], RULES, now_unix_ms=NOW).redeem == ()
    batch = plan([claim(unsecured_wei=800)], RULES, now_unix_ms=NOW)
    assert batch.redeem == ((ALICE, Reason.UNSECURED),)
    assert not batch.is_urgent


def test_a_person_may_ask_for_everything_but_not_for_nothing() -> None:
    batch = plan([claim(), claim(BOB, unredeemed_wei=0)], RULES, now_unix_ms=NOW, is_asked=True)
    assert batch.redeem == ((ALICE, Reason.ASKED),)


def test_a_free_holdback_is_released_unless_a_redemption_brings_it() -> None:
    held = {"held_wei": 5, "held_until_unix_s": NOW // 1000}
    assert plan([claim(**held)], RULES, now_unix_ms=NOW).release == (ALICE,)
    assert plan([claim(**held)], RULES, now_unix_ms=NOW - 1).release == ()
    assert plan([claim(is_asked=True, **held)], RULES, now_unix_ms=NOW).release == ()


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_a_batch_holds_no_more_than_the_contract_takes(more: int) -> None:
    count = limits.VOUCHERS_PER_BATCH_MAX + more
    claims = [claim(number.to_bytes(20, "big"), is_asked=True) for number in range(count)]
    found = plan(claims, RULES, now_unix_ms=NOW)
    assert len(found.redeem) == min(count, limits.VOUCHERS_PER_BATCH_MAX)


def test_a_round_releases_no_more_than_it_may() -> None:
    claims = [
        claim(number.to_bytes(20, "big"), unredeemed_wei=0, held_wei=1)
        for number in range(limits.RELEASES_AT_ONCE_MAX + 1)
    ]
    assert len(plan(claims, RULES, now_unix_ms=NOW).release) == limits.RELEASES_AT_ONCE_MAX


def test_what_costs_too_much_waits_unless_it_is_urgent() -> None:
    quote = RedemptionQuote(Wei(100_000), 1, Wei(10))  # 10 coins' wei at 1,000 SKYOPS: a tenth
    due = plan([claim(since_unix_ms=1)], RULES, now_unix_ms=NOW)
    assert cost_bps(quote, 1000) == 1000
    assert is_worth(quote, due, RULES, 1000)
    assert not is_worth(quote, due, RULES, 1001)
    assert is_worth(quote, plan([claim(is_asked=True)], RULES, now_unix_ms=NOW), RULES, 1001)
    assert not is_worth(RedemptionQuote(Wei(0), 1, Wei(0)), due, RULES, 1)
