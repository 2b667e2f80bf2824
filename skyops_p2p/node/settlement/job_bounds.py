"""What a job may still cost, where it has a bound (`price.total_max`): all its lanes, and those of its replicas."""

from collections.abc import Iterable

from skyops_p2p import limits
from skyops_p2p.core.settlement.lanes import LaneTerms
from skyops_p2p.core.settlement.prices import HOUR_MS, charge
from skyops_p2p.node.settlement.ledger import Ledger
from skyops_p2p.node.settlement.payer_pair import PayerPair

STOPPING_MS = 2 * limits.METER_READ_MS
"""What may be metered of a lane until it is seen that its job has cost what it may, and it is stopped."""


def left_ms(terms: LaneTerms, ledger: Ledger, pairs: Iterable[PayerPair]) -> int | None:
    """Return for how long a lane may go on, if all others under its bound end now, ms; None: it has no bound.

    Args:
        terms: Of the lane.
        ledger: Lanes that have ended, and the bound as it was written down when they began.
        pairs: All that this node pays.

    Rules: SET-30.
    """
    bound_id = ledger.bound_id(terms)
    records = [one for one in ledger.lanes.values() if one.is_payer and one.bound_id == bound_id]
    budgets = [one.budget_wei for one in records if one.budget_wei is not None]
    if not budgets:
        return None
    spent_wei: int = ledger.spent_wei[bound_id]
    for pair in pairs:
        for lane in pair.account.lanes.values():
            if ledger.bound_id(lane.terms) == bound_id:
                metered_wei = charge(lane.terms.rate_wei, lane.own.runtime_ms)
                spent_wei += max(metered_wei, lane.paid) + pair.machine.pair.unit_wei
    left = max(min(budgets) - spent_wei, 0) * HOUR_MS // max(terms.rate_wei, 1)
    return max(left - STOPPING_MS, 0)
