"""The invariants of earnings and slashes, W1 to W6 of the design: no group gains by trading with itself."""

from hypothesis import given
from hypothesis import strategies as st

from skyops_p2p.core.earnings.pay import gross_of, multiplier_bp, normalised_ms, pay_of, share_pool
from skyops_p2p.core.earnings.slashes import AMNESTY_EVERY, Case, Fault, amnesties, slash_all, slash_of
from skyops_p2p.core.reputation.fixed import MILLION
from skyops_p2p.core.settlement.prices import FEE_BP, fee_shares, redemption, refund
from skyops_p2p.wire.messages.auction import ModeName

AMOUNTS = st.integers(0, 10**24)
SCORES = st.integers(0, MILLION)
FEES = st.integers(0, 450)
"""What a contract's fee may be, basis points."""
MODES: tuple[ModeName, ...] = ("flex", "commit", "priority")


@given(AMOUNTS, st.lists(AMOUNTS, max_size=30))
def test_bonuses_are_never_more_than_the_pool(pool: int, claims: list[int]) -> None:  # W1, REP-31
    paid = share_pool(pool, claims)
    assert sum(paid) <= pool
    assert all(0 <= got <= wanted for got, wanted in zip(paid, claims, strict=True))
    assert sum(claims) > pool or list(paid) == claims
    assert sum(claims) <= pool or pool - sum(paid) < len(claims)  # only what rounding leaves


@given(st.lists(st.tuples(AMOUNTS, SCORES, SCORES), min_size=1, max_size=12), FEES)
def test_a_closed_group_gets_at_most_half_of_its_fees_back(
    jobs: list[tuple[int, int, int]], fee_bps: int
) -> None:  # W2, REP-30
    pays = [pay_of(gross, credibility=c, availability=u, fee_bps=fee_bps) for gross, c, u in jobs]
    assert 2 * sum(one.claim for one in pays) <= sum(one.fee for one in pays)


@given(AMOUNTS, SCORES, SCORES, FEES)
def test_a_pair_that_trades_with_itself_never_gains(gross: int, c: int, u: int, fee_bps: int) -> None:
    one = pay_of(
        gross, credibility=c, availability=u, fee_bps=fee_bps
    )  # W2: all claims paid, which is the best case
    assert one.net_most <= gross
    assert one.net_most < gross or one.fee == 0
    assert one.gross == one.certain + one.shortfall + one.fee
    assert min(one.certain, one.shortfall, one.fee, one.multiplier_claim, one.uptime_claim) >= 0


@given(AMOUNTS, SCORES, SCORES, st.integers(0, 10**9), SCORES, SCORES)
def test_more_work_and_better_scores_never_bring_less(
    gross: int, c: int, u: int, more: int, better_c: int, better_u: int
) -> None:  # W3, REP-29
    now = pay_of(gross, credibility=c, availability=u)
    for then in (
        pay_of(gross + more, credibility=c, availability=u),
        pay_of(gross, credibility=max(c, better_c), availability=u),
        pay_of(gross, credibility=c, availability=max(u, better_u)),
    ):
        assert then.net_most >= now.net_most
        assert then.certain >= now.certain


@given(st.integers(0, 10**18), st.integers(0, 100_000), st.integers(0, 10**9), st.integers(0, 10**6))
def test_forecasts_rise_with_time_and_mode(rate: int, class_milli: int, ms: int, more: int) -> None:  # REP-29
    costs = [gross_of(rate, normalised_ms(class_milli, ms), mode) for mode in MODES]
    assert costs == sorted(costs)
    assert gross_of(rate, normalised_ms(class_milli, ms + more), "commit") >= costs[1]


@given(SCORES, SCORES)
def test_the_multiplier_is_flat_and_rises(one: int, other: int) -> None:  # REP-29
    low, high = sorted((one, other))
    assert 9000 <= multiplier_bp(low) <= multiplier_bp(high) <= 10_100


FAULTS = st.builds(
    Case, st.sampled_from([bytes([n]) * 32 for n in range(6)]), st.sampled_from(Fault), AMOUNTS, AMOUNTS, st.booleans()
)  # fmt: skip


@given(FAULTS, AMOUNTS)
def test_half_of_every_slash_is_burned(case: Case, stake: int) -> None:  # W4, REP-32, REP-33
    found = slash_of(case, stake)
    assert 0 <= found.taken <= stake
    assert 2 * found.burned >= found.taken
    assert found.burned + found.to_victim + found.to_reporter == found.taken
    assert found.to_victim <= case.value
    assert min(found.burned, found.to_victim, found.to_reporter) >= 0


@given(st.lists(FAULTS, max_size=12), AMOUNTS)
def test_no_proof_costs_twice(cases: list[Case], stake: int) -> None:  # W6, REP-33
    slashes, left = slash_all(cases, stake)
    proofs = [one.proof for one in slashes]
    assert len(set(proofs)) == len(proofs) == len({case.proof for case in cases})
    assert left == stake - sum(one.taken for one in slashes) >= 0
    assert slash_all([*cases, *cases], stake) == (slashes, left)


@given(st.lists(AMOUNTS, min_size=1, max_size=8), AMOUNTS, SCORES, SCORES, st.integers(0, 10_000))
def test_no_money_is_made_or_lost(steps: list[int], more: int, c: int, u: int, holdback: int) -> None:  # W5
    """Deposits are credits, holdbacks, what the pool, the fund and the burning took, and what is paid back."""
    deposit = sum(steps) + more
    redeemed = credited = held = pool = fund = burned = 0
    for step in steps:
        left = deposit - redeemed
        part = redemption(redeemed + step, redeemed, left, holdback_bps=holdback, fee_bps=FEE_BP, unit=1)
        fees = fee_shares(part.fee)
        redeemed, credited, held = redeemed + part.taken, credited + part.credited, held + part.held
        pool, fund, burned = pool + fees.pool, fund + fees.fund, burned + fees.burned
    paid_back = refund(deposit - redeemed, redeemed, redeemed)
    assert credited + held + pool + fund + burned + paid_back == deposit
    claim = pay_of(redeemed, credibility=c, availability=u).claim
    assert sum(share_pool(pool, [claim])) <= pool  # a bonus moves money of the pool, and makes none


@given(st.integers(0, 10**6), st.integers(0, 100))
def test_amnesties_are_rare(checked: int, used: int) -> None:  # REP-32
    held = amnesties(checked, used)
    assert held in (0, 1)
    assert held <= checked // AMNESTY_EVERY
    assert amnesties(checked, checked // AMNESTY_EVERY + used) == 0
