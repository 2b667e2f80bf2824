"""The routes about the wallet's own money, in process: guarded, strict, and the same act once for a key."""

import pytest
import trio

from skyops_p2p.errors import ChainError, ChainRefusal
from skyops_p2p.gateway import money as money_routes
from skyops_p2p.node.wallet.actions import Action, ActionRequest, Deposit
from skyops_p2p.node.wallet.purse_views import ActionView, OrdersView, PlanView, StepView
from tests.gateway.conftest import FakeNode
from tests.gateway.test_routes import Api

DEPOSIT = {"kind": "deposit", "symbol": "SKYOPS", "amount": str(2**80)}
ID = "ab" * 32


class FakePurse:
    """Remembers what was asked, and answers alike."""

    def __init__(self) -> None:
        self.asked: list[ActionRequest] = []
        self.refusal: Exception | None = None
        self.is_hanging = False

    async def act(self, request: ActionRequest) -> ActionView:
        if self.is_hanging:
            await trio.sleep_forever()
        if self.refusal is not None:
            raise self.refusal
        self.asked.append(request)
        step = StepView(
            name="deposit", text="moves it", state="done", transaction="0x00", gas=1, fee_wei=2**70
        )
        return ActionView(key=request.key, kind=request.action.kind, is_done=True, steps=(step,))

    async def plan(self, action: Action) -> PlanView:
        return PlanView(kind=action.kind, steps=(), coin_wei=2**70)

    def orders(self) -> OrdersView:
        return OrdersView(wallet="0x", orders=(), trouble="")

    async def cancel(self, key: str) -> OrdersView:
        raise ChainRefusal(f"the order {key!r} is in a block already", code="order_in_block")

    async def dispute(self, dispute: bytes) -> None:
        raise ChainRefusal(f"there is no dispute {dispute.hex()}", code="unknown_dispute")


@pytest.fixture
def purse(fake_node: FakeNode) -> FakePurse:
    found = FakePurse()
    fake_node.payments.purse = found
    return found


@pytest.fixture
def api(fake_node: FakeNode) -> Api:
    return Api(fake_node)


async def test_an_act_travels_exactly(api: Api, purse: FakePurse) -> None:
    answer = await api.ask("POST", "/v1/money/acts", json={"key": "k1", "action": DEPOSIT})
    assert answer.status_code == 200, answer.text
    assert answer.json()["steps"][0]["fee_wei"] == str(2**70)
    assert purse.asked == [ActionRequest(key="k1", action=Deposit(symbol="SKYOPS", amount=2**80))]
    plan = await api.ask("POST", "/v1/money/plan", json={"action": DEPOSIT})
    assert (plan.json()["coin_wei"], len(purse.asked)) == (str(2**70), 1)


@pytest.mark.parametrize(
    "body",
    [
        {"action": DEPOSIT},
        {"key": "k.1", "action": DEPOSIT},
        {"key": "", "action": DEPOSIT},
        {"key": "k" * 41, "action": DEPOSIT},
        {"key": "k", "action": DEPOSIT | {"kind": "steal"}},
        {"key": "k", "action": DEPOSIT | {"amount": "-1"}},
        {"key": "k", "action": DEPOSIT | {"amount": str(2**256)}},
        {"key": "k", "action": DEPOSIT | {"amount": "1.5"}},
        {"key": "k", "action": DEPOSIT | {"worker": "0x12"}},
        {"key": "k", "action": DEPOSIT | {"to": "0x" + "00" * 20}},
        {"key": "k", "action": {"kind": "respond", "dispute": ID, "evidence": "00"}},
    ],
)
async def test_what_is_no_act_is_refused(api: Api, purse: FakePurse, body: object) -> None:
    answer = await api.ask("POST", "/v1/money/acts", json=body)
    assert (answer.status_code, answer.json()["code"], purse.asked) == (422, "request_invalid", [])


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ChainRefusal("too little", code="deposit_short", hint="Ask for less."), 409),
        (ChainError("no endpoint answers"), 503),
    ],
)
async def test_refusals_keep_code_hint_and_kind(
    api: Api, purse: FakePurse, error: ChainError, status: int
) -> None:
    purse.refusal = error
    answer = await api.ask("POST", "/v1/money/acts", json={"key": "k", "action": DEPOSIT})
    told = answer.json()
    assert (answer.status_code, told["code"], told["hint"]) == (status, error.code, error.hint)
    assert told["kind"] == type(error).__name__


async def test_disputes_are_named_by_64_digits(api: Api, purse: FakePurse) -> None:
    assert (await api.ask("GET", f"/v1/money/disputes/{ID}")).json()["code"] == "unknown_dispute"
    assert (await api.ask("GET", "/v1/money/disputes/nonsense")).status_code == 422


async def test_a_chain_that_hangs_is_cut_off(
    api: Api, purse: FakePurse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(money_routes, "API_OPERATION_TIMEOUT_S", 0.01)
    purse.is_hanging = True
    answer = await api.ask("POST", "/v1/money/acts", json={"key": "k", "action": DEPOSIT})
    assert (answer.status_code, answer.json()["code"]) == (504, "timed_out")


async def test_orders_are_listed_and_cancelled_by_their_key(api: Api, purse: FakePurse) -> None:
    answer = await api.ask("GET", "/v1/money/orders")
    assert (answer.status_code, answer.json()["orders"]) == (200, [])
    answer = await api.ask("POST", "/v1/money/orders/cancel", json={"key": "redeem/17"})
    assert (answer.status_code, answer.json()["code"]) == (409, "order_in_block"), answer.text
    for key in ("", "k" * 129, 7):
        assert (await api.ask("POST", "/v1/money/orders/cancel", json={"key": key})).status_code == 422
