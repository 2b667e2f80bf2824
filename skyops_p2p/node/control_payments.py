"""The payments of a node that runs in another process, over its control API."""

from urllib.parse import quote

from skyops_p2p.errors import ExecutionError
from skyops_p2p.node.control_link import ControlLink
from skyops_p2p.node.evidence.views import EvidenceView
from skyops_p2p.node.jobs.verdict_views import VerdictsView, VerdictView
from skyops_p2p.node.reputation.views import ReputationView
from skyops_p2p.node.settlement.settlement_views import (
    BillingView,
    EarnedJobView,
    EarningsView,
    GroupName,
    PairView,
    QuoteView,
    ReceiptView,
    SettledView,
)


class PaymentsClient:
    """What one node pays and is paid.

    Args:
        link: To the node.

    Raises:
        SkyopsError: Of every method: what the node answered, or that it did not answer.
    """

    def __init__(self, link: ControlLink) -> None:
        self._link = link

    def billing(self, job: str) -> BillingView:
        """Return what a job has cost.

        Args:
            job: Its id, a unique beginning of it, or its name.
        """
        if not job:
            raise ExecutionError(
                "no job is named", code="unknown_job", hint="`skyops ps` lists all jobs of this node."
            )
        return BillingView.model_validate(self._link.call("GET", f"/v1/jobs/{quote(job, safe='')}/billing"))

    def earnings(self, *, by: GroupName = "job") -> EarningsView:
        """Return what the node has earned as a worker, by job, day or mode."""
        return EarningsView.model_validate(self._link.call("GET", f"/v1/earnings?by={by}"))

    def earned(self, job: str) -> EarnedJobView:
        """Return what one job has brought the node as a worker, with each factor of it; its id, or its beginning."""
        return EarnedJobView.model_validate(self._link.call("GET", f"/v1/earnings/{quote(job, safe='')}"))

    def pairs(self) -> tuple[PairView, ...]:
        """Return whom the node pays, and who pays it."""
        found = self._link.call("GET", "/v1/pairs")["pairs"]
        return tuple(PairView.model_validate(pair) for pair in found)

    def receipt(self, lane: str) -> ReceiptView:
        """Return the receipt of a lease with its proof; the lane is 64 hex digits, as `billing` says it."""
        return ReceiptView.model_validate(self._link.call("GET", f"/v1/receipts/{quote(lane, safe='')}"))

    def evidence(self, who: str = "") -> EvidenceView:
        """Return receipts that the node holds: everybody's, or those of a wallet, a job or a peer."""
        return EvidenceView.model_validate(self._link.call("GET", f"/v1/evidence?who={quote(who, safe='')}"))

    def verdicts(self) -> VerdictsView:
        """Return the verdicts that the node holds, its own and others'."""
        return VerdictsView.model_validate(self._link.call("GET", "/v1/verdicts"))

    def verdict(self, name: str) -> VerdictView:
        """Return one of these by how its name in hex begins."""
        return VerdictView.model_validate(self._link.call("GET", f"/v1/verdicts/{quote(name, safe='')}"))

    def reputation(self, who: str = "") -> ReputationView:
        """Return what the node thinks of everybody, or of a wallet or a peer with the reasons."""
        return ReputationView.model_validate(
            self._link.call("GET", f"/v1/reputation?who={quote(who, safe='')}")
        )

    def quote(self) -> QuoteView:
        """Return what redeeming everything now would bring, and cost."""
        return QuoteView.model_validate(self._link.call("GET", "/v1/settlement"))

    def settle(self) -> SettledView:
        """Have everything redeemed now."""
        return SettledView.model_validate(self._link.call("POST", "/v1/settlement"))
