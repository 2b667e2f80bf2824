"""What settlement works out: charges, fees, holdbacks, refunds and compensations. Integers, in wei. Pure.

The mode's factor is part of the price that was bid (chapter 04), so it is not applied a second time; what depends on
the mode here is who compensates whom. Spec: protocol/07-settlement.md, "Prices". Source: contracts/README.md.
"""

from dataclasses import dataclass

from skyops_p2p.types import Wei

HOUR_MS = 3_600_000
HOUR_S = 3600
BP = 10_000
FEE_POOL_BP, FEE_FUND_BP, FEE_BURNED_BP = 150, 100, 50
FEE_BP = FEE_POOL_BP + FEE_FUND_BP + FEE_BURNED_BP
HOLDBACK_LEAST_BP, HOLDBACK_MOST_BP = 500, 2000
EXIT_FEE_BP = 3000
"""Of the remainder of a reservation that its requester gives up."""
LATE_STEP_MS = 10_000
LATE_STEP_BP = 2000
"""Of the first interval, for each LATE_STEP_MS that a priority job starts too late."""
PREEMPTED_MS_MAX = 60_000
"""Most runtime that a preemptor pays to the preempted worker."""


@dataclass(frozen=True, slots=True)
class Redemption:
    """What the contract makes of one voucher, in wei; the four parts are `taken`."""

    taken: Wei
    fee: Wei
    held: Wei
    credited: Wei
    """To the worker at once."""


@dataclass(frozen=True, slots=True)
class FeeShares:
    """Where a fee goes; the three parts are the fee."""

    pool: Wei
    fund: Wei
    burned: Wei


def charge(rate_wei: int, runtime_ms: int) -> Wei:
    """Return what a runtime costs. Rules: SET-7.

    Args:
        rate_wei: Wei for an hour.
        runtime_ms: What both sides have metered: the smaller count.
    """
    return Wei(rate_wei * runtime_ms // HOUR_MS)


def redemption(
    cumulative: int, redeemed: int, funds: int, *, holdback_bps: int, fee_bps: int = FEE_BP, unit: int
) -> Redemption:
    """Return what the contract pays for a voucher, the pair's earlier holdback aside. Rules: SET-23.

    Args:
        cumulative: The voucher's, wei.
        redeemed: What was redeemed of the pair before, wei.
        funds: Allotment and deposit, wei.
        holdback_bps: The voucher's; the contract keeps it within its bounds.
        fee_bps: The contract's.
        unit: Wei that a pair is counted in (Token.pair_unit).
    """
    wanted = max(cumulative // unit - redeemed // unit, 0)
    taken = min(wanted, funds // unit)
    fee = taken * fee_bps // BP
    held = (taken - fee) * min(max(holdback_bps, HOLDBACK_LEAST_BP), HOLDBACK_MOST_BP) // BP
    return Redemption(*(Wei(part * unit) for part in (taken, fee, held, taken - fee - held)))


def fee_shares(fee: int) -> FeeShares:
    """Split a fee into bonus pool, verification fund and what is burned, which takes what is left. Rules: SET-26."""
    pool, fund = fee * FEE_POOL_BP // FEE_BP, fee * FEE_FUND_BP // FEE_BP
    return FeeShares(Wei(pool), Wei(fund), Wei(fee - pool - fund))


def holdback_bps(trust_permille: int) -> int:
    """Return the holdback for a worker's trust C: clip(0.20 - 0.375 (C - 0.5), 0.05, 0.20), in bp. Rules: SET-26.

    Args:
        trust_permille: C in thousandths, 0 to 1000.
    """
    wanted = (2 * HOLDBACK_MOST_BP * 1000 - 7500 * (trust_permille - 500)) // 2000
    return min(max(wanted, HOLDBACK_LEAST_BP), HOLDBACK_MOST_BP)


def refund(funds: int, cumulative: int, redeemed: int) -> Wei:
    """Return what a requester gets back of deposit and allotment if it stops now. Rules: SET-22.

    Args:
        funds: Allotment and deposit, wei.
        cumulative: Of the newest voucher that it has signed.
        redeemed: Of the pair, on chain.
    """
    return Wei(max(funds - max(cumulative - redeemed, 0), 0))


def runway_s(funds: int, promised: int, rate_wei: int) -> int | None:
    """Return for how many whole seconds what is not promised yet lasts; None: for ever, nothing runs. Rules: SET-22.

    Args:
        funds: Allotment, deposit and what was redeemed, wei.
        promised: Cumulative of the newest voucher, wei.
        rate_wei: Of all lanes together, wei for an hour.
    """
    return None if rate_wei <= 0 else max(funds - promised, 0) * HOUR_S // rate_wei


def exposure(rate_wei: int, interval_ms: int, grace_ms: int, prepaid_ms: int) -> tuple[Wei, Wei]:
    """Return the most that worker and requester can lose on a lane, as both are told before it begins. Rules: SET-8.

    Args:
        rate_wei: Wei for an hour.
        interval_ms: The longest interval.
        grace_ms: From a meter to its voucher, and how late a meter may be read.
        prepaid_ms: Runtime that is paid ahead.
    """
    return charge(rate_wei, interval_ms + grace_ms), charge(rate_wei, prepaid_ms)


def early_exit(prepaid: int, used: int, *, exit_fee_bps: int = EXIT_FEE_BP) -> tuple[Wei, Wei]:
    """Return refund and exit fee of a reservation that its requester gives up; with what was used they are `prepaid`.

    The fee is rounded up, as the contract does. Rules: SET-26.

    Args:
        prepaid: Wei that were paid for the whole term.
        used: Wei that were used of it.
        exit_fee_bps: Of what is left; it goes to the worker.
    """
    left = max(prepaid - used, 0)
    fee = -(-left * exit_fee_bps // BP)
    return Wei(left - fee), Wei(fee)


def no_show(rate_wei: int) -> Wei:
    """Return what a worker that breaks off a commit or priority job owes, from its stake: an hour. Rules: SET-26."""
    return Wei(rate_wei)


def late_start(rate_wei: int, late_ms: int, interval_ms: int) -> Wei:
    """Return what a late priority job costs less: a fifth of its first interval per started 10 s. Rules: SET-26.

    Args:
        rate_wei: Wei for an hour.
        late_ms: Past the promised start.
        interval_ms: The first interval.
    """
    first = charge(rate_wei, interval_ms)
    steps = -(-max(late_ms, 0) // LATE_STEP_MS)
    return Wei(min(first * LATE_STEP_BP * steps // BP, first))


def preemption(rate_wei: int, unsaved_ms: int) -> Wei:
    """Return what a preemptor pays to the preempted worker: what it had not saved, a minute at most. Rules: SET-26."""
    return charge(rate_wei, min(unsaved_ms, PREEMPTED_MS_MAX))
