"""The routes of the control API that are about money that jobs cost and earn."""

from typing import Annotated

import trio
from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict

from skyops_p2p.errors import NetworkError
from skyops_p2p.gateway.subject import Subject
from skyops_p2p.limits import API_OPERATION_TIMEOUT_S
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


class Pairs(BaseModel):
    """Pairs of this node, those with open lanes first."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pairs: tuple[PairView, ...]


def payment_routes(subject: Subject) -> APIRouter:
    """Return the routes about payments."""
    router = APIRouter(prefix="/v1")

    @router.get("/jobs/{job}/billing", summary="What a job has cost, lease by lease")
    async def billing(job: str) -> BillingView:
        view = subject.jobs.find(job).view()
        return subject.payments.billing(bytes.fromhex(view.job_id), view.name, view.replica_ids)

    @router.get("/earnings", summary="What this node has earned as a worker")
    async def earnings(by: Annotated[GroupName, Query()] = "job") -> EarningsView:
        return subject.payments.earnings(by=by)

    @router.get("/earnings/{job}", summary="Why one job brought what it brought")
    async def earned(job: Annotated[str, Path(pattern=r"^[0-9a-f]{4,32}$")]) -> EarnedJobView:
        return subject.payments.earned(job)

    @router.get("/pairs", summary="Whom this node pays, and who pays it")
    async def pairs() -> Pairs:
        return Pairs(pairs=subject.payments.pairs())

    @router.get("/receipts/{lane}", summary="The receipt of a lease, with its proof")
    async def receipt(lane: Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")]) -> ReceiptView:
        return subject.payments.receipt(bytes.fromhex(lane))

    @router.get("/evidence", summary="Receipts of everybody that this node holds")
    async def evidence(who: Annotated[str, Query(max_length=128)] = "") -> EvidenceView:
        return subject.payments.evidence(who)

    @router.get("/verdicts", summary="Verdicts of everybody that this node holds")
    async def verdicts() -> VerdictsView:
        return subject.payments.verdicts()

    @router.get("/verdicts/{name}", summary="One of these, checked anew")
    async def verdict(name: Annotated[str, Path(pattern=r"^[0-9a-f]{4,64}$")]) -> VerdictView:
        return subject.payments.verdict(name)

    @router.get("/reputation", summary="What this node thinks of everybody, or of one account and why")
    async def reputation(who: Annotated[str, Query(max_length=128)] = "") -> ReputationView:
        return await subject.payments.reputation(who)

    @router.get("/settlement", summary="What redeeming everything now would bring, and cost")
    async def quote() -> QuoteView:
        with trio.move_on_after(API_OPERATION_TIMEOUT_S):
            return await subject.payments.quote()
        raise NetworkError("the chain did not answer in time", code="timed_out")

    @router.post("/settlement", summary="Redeem everything now")
    async def settle() -> SettledView:
        with trio.move_on_after(API_OPERATION_TIMEOUT_S):
            return await subject.payments.settle()
        raise NetworkError(
            "the redemption was sent, and is not in a block yet",
            code="timed_out",
            hint="It goes on by itself; `skyops earnings` shows when it has ended.",
        )

    return router
