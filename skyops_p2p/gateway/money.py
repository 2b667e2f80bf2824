"""The routes of the control API that are about the wallet's own money: what a person does with it.

A request that moves money names a key, and the same request again changes nothing: it goes on waiting, takes the next
step, or tells how it ended. So a client that heard no answer asks again.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import trio
from fastapi import APIRouter, Path

from skyops_p2p.errors import NetworkError
from skyops_p2p.gateway.subject import Subject
from skyops_p2p.limits import API_OPERATION_TIMEOUT_S
from skyops_p2p.node.wallet.actions import ActionRequest, CancelRequest, PlanRequest
from skyops_p2p.node.wallet.purse_views import (
    ActionView,
    BalanceView,
    DisputeView,
    OrdersView,
    PlanView,
    StakeView,
)


def money_routes(subject: Subject) -> APIRouter:
    """Return the routes under /v1/money."""
    router = APIRouter(prefix="/v1/money")

    @router.get("/balance", summary="All money of this node's wallet")
    async def balance() -> BalanceView:
        with _deadline():
            return await subject.payments.purse.balance()

    @router.get("/stake", summary="Its stake")
    async def stake() -> StakeView:
        with _deadline():
            return await subject.payments.purse.stake()

    @router.get("/disputes/{dispute}", summary="How a dispute stands")
    async def dispute(dispute: Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")]) -> DisputeView:
        with _deadline():
            return await subject.payments.purse.dispute(bytes.fromhex(dispute))

    @router.post("/plan", summary="What an act with money would do; nothing is sent")
    async def plan(request: PlanRequest) -> PlanView:
        with _deadline():
            return await subject.payments.purse.plan(request.action)

    @router.post("/acts", summary="Do something with money, once for a key; ask again until it is done")
    async def act(request: ActionRequest) -> ActionView:
        with _deadline():
            return await subject.payments.purse.act(request)

    @router.get("/orders", summary="Transactions of the wallet that have not ended")
    async def orders() -> OrdersView:
        return subject.payments.purse.orders()

    @router.post("/orders/cancel", summary="Have a transaction that waits do nothing")
    async def cancel(request: CancelRequest) -> OrdersView:
        with _deadline():
            return await subject.payments.purse.cancel(request.key)

    return router


@contextmanager
def _deadline() -> Iterator[None]:
    """Bound an operation by API_OPERATION_TIMEOUT_S; past it a NetworkError says so."""
    try:
        with trio.fail_after(API_OPERATION_TIMEOUT_S):
            yield
    except trio.TooSlowError as error:
        raise NetworkError(
            f"the chain did not answer within {API_OPERATION_TIMEOUT_S:g} s",
            code="timed_out",
            hint="`skyops chain status` asks each endpoint. What was sent before goes on by itself.",
        ) from error
