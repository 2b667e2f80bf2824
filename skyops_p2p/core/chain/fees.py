"""What a transaction pays: at first, and when it has waited too long. Source: EIP-1559."""

from skyops_p2p import limits
from skyops_p2p.core.chain.facts import Fees
from skyops_p2p.types import Wei

_NODES_ASK_PERCENT = 10
"""A replacement that pays less than this more is refused by geth, and so by most of the network."""


def first_fees(*, base_fee_wei: Wei, tip_wei: Wei, fee_wei_max: Wei) -> Fees | None:
    """Return fees that survive the base fee doubling, which takes six full blocks at least.

    Args:
        base_fee_wei: Of the last block.
        tip_wei: What the chain suggests.
        fee_wei_max: The owner's bound for one gas.

    Returns:
        None if not even today's base fee is within the bound.
    """
    if base_fee_wei > fee_wei_max:
        return None
    most = min(2 * base_fee_wei + tip_wei, fee_wei_max)
    return Fees(Wei(most), Wei(min(tip_wei, most)))


def raised_fees(paid: Fees, *, base_fee_wei: Wei, fee_wei_max: Wei) -> Fees | None:
    """Return what a replacement pays: CHAIN_BUMP_PERCENT more, or what the base fee has become if that is more.

    Returns:
        None if nodes would refuse what the bound still allows.
    """
    tip = _raised(paid.tip_wei, limits.CHAIN_BUMP_PERCENT)
    most = max(_raised(paid.max_fee_wei, limits.CHAIN_BUMP_PERCENT), 2 * base_fee_wei + tip)
    most = min(most, fee_wei_max)
    tip = min(tip, most)
    is_enough = most >= _raised(paid.max_fee_wei, _NODES_ASK_PERCENT)
    is_enough = is_enough and tip >= _raised(paid.tip_wei, _NODES_ASK_PERCENT)
    return Fees(Wei(most), Wei(tip)) if is_enough else None


def _raised(wei: int, percent: int) -> int:
    """Return more by some percent, rounded up, and by one at least."""
    return max(wei + 1, -(-wei * (100 + percent) // 100))
