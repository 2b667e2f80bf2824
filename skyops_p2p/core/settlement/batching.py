"""Which vouchers a worker redeems now, which holdbacks it has released, and whether that is worth its gas. Pure.

A redemption costs the same for a small sum as for a large one, so it waits: until it is due, until too much of what is
earned stands on money that others may take first, or until the money behind it may leave. Source: contracts/README.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from skyops_p2p import limits
from skyops_p2p.core.settlement.funds import RedemptionQuote
from skyops_p2p.core.settlement.prices import BP

NEAR_BPS = 8_000
"""What is unsecured is redeemed when it is so much of what may be."""


class Reason(Enum):
    """Why a voucher is redeemed."""

    ASKED = "asked"
    """The machine says that the money may leave, or a person wants it: whatever it costs."""
    UNSECURED = "unsecured"
    DUE = "due"


@dataclass(frozen=True, slots=True)
class Claim:
    """What a worker may have of one pair."""

    requester: bytes
    """Wallet, 20 bytes."""
    unredeemed_wei: int
    """What the newest voucher is worth beyond what was redeemed, as far as there is money for it."""
    unsecured_wei: int
    """Of that, what is not set aside for this worker alone."""
    since_unix_ms: int
    """Since when there is something to redeem."""
    is_asked: bool
    held_wei: int
    """What waits for a challenge window."""
    held_until_unix_s: int


@dataclass(frozen=True, slots=True)
class BatchRules:
    """How a worker redeems."""

    interval_ms: int
    """From the first voucher that is not redeemed until it is due."""
    unsecured_max_wei: int
    cost_bps_max: int
    """Most that a redemption may cost of what it brings."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What to do now."""

    redeem: tuple[tuple[bytes, Reason], ...] = ()
    """Requesters whose newest vouchers go into one transaction, the most urgent first."""
    release: tuple[bytes, ...] = ()
    """Requesters whose holdback is free and comes with no redemption."""

    @property
    def is_urgent(self) -> bool:
        """Whether it is redeemed whatever it costs."""
        return any(reason is Reason.ASKED for _, reason in self.redeem)


def plan(claims: Sequence[Claim], rules: BatchRules, *, now_unix_ms: int, is_asked: bool = False) -> Batch:
    """Decide what to redeem and to release.

    Args:
        claims: One for each pair.
        rules: The worker's.
        now_unix_ms: The wall clock.
        is_asked: A person wants everything redeemed.

    Returns:
        At most VOUCHERS_PER_BATCH_MAX redemptions; what is due takes with it whatever else there is, for a batch costs
        less than its parts. A redemption credits a holdback that is free, so no release is needed beside it.
    """
    owed = [claim for claim in claims if claim.unredeemed_wei > 0]
    reasons = {claim.requester: _reason(claim, rules, now_unix_ms, is_asked=is_asked) for claim in owed}
    triggers = [reason for reason in reasons.values() if reason is not None]
    redeem: list[tuple[bytes, Reason]] = []
    if triggers:
        ordered = sorted(owed, key=lambda claim: _order(claim, reasons[claim.requester]))
        redeem = [(claim.requester, reasons[claim.requester] or Reason.DUE) for claim in ordered]
    redeem = redeem[: limits.VOUCHERS_PER_BATCH_MAX]
    redeemed = {requester for requester, _ in redeem}
    release = [
        claim.requester
        for claim in claims
        if claim.held_wei > 0
        and claim.held_until_unix_s * 1000 <= now_unix_ms
        and claim.requester not in redeemed
    ]
    return Batch(tuple(redeem), tuple(release[: limits.RELEASES_AT_ONCE_MAX]))


def cost_bps(quote: RedemptionQuote, coin_price: int) -> int:
    """Return what a redemption costs of what it brings, in hundredths of a per cent, rounded up.

    Args:
        quote: What it brings, SKYOPS, and its fee in the chain's coin.
        coin_price: SKYOPS that one coin counts; both have 18 decimals.

    Returns:
        2^31 for what brings nothing.
    """
    if quote.credited <= 0:
        return 2**31
    return min(-(-quote.fee_wei * coin_price * BP // quote.credited), 2**31)


def is_worth(quote: RedemptionQuote, batch: Batch, rules: BatchRules, coin_price: int) -> bool:
    """Tell whether a batch is to be redeemed: it is urgent, or costs little enough of what it brings."""
    return batch.is_urgent or cost_bps(quote, coin_price) <= rules.cost_bps_max


def _reason(claim: Claim, rules: BatchRules, now_unix_ms: int, *, is_asked: bool) -> Reason | None:
    if is_asked or claim.is_asked:
        return Reason.ASKED
    if claim.unsecured_wei > 0 and claim.unsecured_wei * BP >= rules.unsecured_max_wei * NEAR_BPS:
        return Reason.UNSECURED
    is_due = claim.since_unix_ms and now_unix_ms - claim.since_unix_ms >= rules.interval_ms
    return Reason.DUE if is_due else None


def _order(claim: Claim, reason: Reason | None) -> tuple[int, int, bytes]:
    rank = list(Reason).index(reason) if reason is not None else len(Reason)
    return rank, -claim.unredeemed_wei, claim.requester
