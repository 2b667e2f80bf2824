"""What a job brings: gross, multiplier, bonus, fee; and how the bonus pool is shared. Integers, rounded down. Pure.

What is paid out beyond the gross comes from the bonus pool alone, and is never more than half of the fee on the same
job: two friends who trade with each other lose at least the other half. Amounts may be wei or microcredits, all of one
kind. Spec: protocol/08-reputation.md, "Earnings".
"""

from collections.abc import Sequence
from dataclasses import dataclass

from skyops_p2p.core.auction.class_index import REFERENCE_MILLI
from skyops_p2p.core.auction.prices import MODE_PERMILLE
from skyops_p2p.core.reputation.fixed import MILLION
from skyops_p2p.core.settlement.prices import BP, FEE_BP, HOUR_MS
from skyops_p2p.wire.messages.auction import ModeName

MULTIPLIER_LEAST_BP = 9000
MULTIPLIER_SPAN_BP = 1100
"""What full credibility adds to the least multiplier."""
CREDIBILITY_FULL = 850_000
"""Credibility that gets all of it, millionths."""
UPTIME_BONUS_BP = 50
"""Of the gross, for full availability."""
BONUS_MOST_BP = MULTIPLIER_LEAST_BP + MULTIPLIER_SPAN_BP - BP + UPTIME_BONUS_BP
assert 2 * BONUS_MOST_BP <= FEE_BP  # REP-30


@dataclass(frozen=True, slots=True)
class Pay:
    """What one job comes to."""

    gross: int
    """What the requester pays."""
    shortfall: int
    """Kept for the bonus pool because the credibility is low, and what rounding leaves."""
    fee: int
    multiplier_claim: int
    """On the pool, for a multiplier above one."""
    uptime_claim: int
    """On the pool, for availability."""

    @property
    def claim(self) -> int:
        """What the pool is asked for."""
        return self.multiplier_claim + self.uptime_claim

    @property
    def certain(self) -> int:
        """What the worker has whatever the pool can pay."""
        return self.gross - self.shortfall - self.fee

    @property
    def net_most(self) -> int:
        """What it has when the pool pays all claims."""
        return self.certain + self.claim


def normalised_ms(class_milli: int, runtime_ms: int) -> int:
    """Return GPU time in milliseconds of the reference class.

    Args:
        class_milli: Index of all devices together, thousandths of the reference class.
        runtime_ms: What both sides have metered: the smaller count.
    """
    return class_milli * runtime_ms // REFERENCE_MILLI


def gross_of(rate: int, normalised: int, mode: ModeName) -> int:
    """Return what a job costs at a rate, before anything is kept or added: what a forecast says. Rules: REP-29.

    A bid's price has the class and the mode in it already: what a lane has cost is `settlement.prices.charge`.

    Args:
        rate: For an hour of the reference class in mode `commit`.
        normalised: Milliseconds, from `normalised_ms`.
        mode: Its factor is applied.
    """
    return rate * normalised * MODE_PERMILLE[mode] // (HOUR_MS * 1000)


def multiplier_bp(credibility: int) -> int:
    """Return the multiplier, 9000 to 10,100 basis points. Rules: REP-29.

    Args:
        credibility: C, millionths.
    """
    return MULTIPLIER_LEAST_BP + MULTIPLIER_SPAN_BP * min(credibility, CREDIBILITY_FULL) // CREDIBILITY_FULL


def pay_of(gross: int, *, credibility: int, availability: int, fee_bps: int = FEE_BP) -> Pay:
    """Return what a job comes to.

    Args:
        gross: What the requester pays, at least 0.
        credibility: The worker's C, millionths.
        availability: The worker's U, millionths.
        fee_bps: The contract's fee.

    Rules: REP-29, REP-30.
    """
    factor = multiplier_bp(credibility)
    fee = gross * fee_bps // BP
    # in one step: rounded twice, more work could bring less
    certain = gross * max(0, min(factor, BP) - fee_bps) // BP
    multiplier_claim = gross * max(0, factor - BP) // BP
    uptime_claim = gross * UPTIME_BONUS_BP * availability // (BP * MILLION)
    most = fee // 2  # REP-30: whatever the contract's fee is
    multiplier_claim = min(multiplier_claim, most)
    uptime_claim = min(uptime_claim, most - multiplier_claim)
    return Pay(gross, gross - fee - certain, fee, multiplier_claim, uptime_claim)


def share_pool(pool: int, claims: Sequence[int]) -> tuple[int, ...]:
    """Return what each claim is paid: all of it, or its part of a pool that is too small. Rules: REP-31.

    Args:
        pool: What there is.
        claims: Not negative.

    Returns:
        In the order of the claims; together never more than the pool.
    """
    wanted = sum(claims)
    return tuple(claims) if wanted <= pool else tuple(claim * pool // wanted for claim in claims)
