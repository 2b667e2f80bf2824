"""For whom and for what this worker bids, from the section [worker] of its settings."""

from skyops_p2p.config import WorkerSection
from skyops_p2p.core.auction.bidding_context import WorkerTerms
from skyops_p2p.node.settlement.tools import SYMBOL
from skyops_p2p.types import PeerId


def worker_terms(worker: WorkerSection, *, is_paid: bool = False) -> WorkerTerms:
    """Return what a worker's bids are bound to.

    Args:
        worker: Its settings.
        is_paid: It is paid, and so in SKYOPS alone.
    """
    return WorkerTerms(
        modes=frozenset(worker.modes),
        tokens=frozenset((SYMBOL,) if is_paid else worker.tokens),
        duration_s_max=worker.duration_s_max,
        refused=frozenset(PeerId(peer) for peer in worker.refused_requesters),
        audits_awards=worker.audit_awards,
    )
