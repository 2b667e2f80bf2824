"""`chain orders` and `chain cancel`: what they ask the running node for, and what they print."""

import json

import pytest

from skyops_p2p.cli.main import run_main
from skyops_p2p.errors import ChainRefusal
from skyops_p2p.node.control_client import ControlClient
from skyops_p2p.node.wallet.purse_views import OrdersView, OrderView
from tests.unit.cli.fake_client import stand_in_front

FIRST = OrderView(
    key="redeem/17",
    state="offered",
    nonce=7,
    transaction="0x" + "cd" * 32,
    attempts=2,
    fee_wei_max=2_500_000_000,
    is_cancelled=False,
    is_at_bound=True,
)


class ScriptedMoney:
    """A node with one transaction that waits."""

    def __init__(self) -> None:
        self.open: tuple[OrderView, ...] = (FIRST,)
        self.trouble = ""

    def orders(self) -> OrdersView:
        return OrdersView(wallet="0x00", orders=self.open, trouble=self.trouble)

    def cancel(self, key: str) -> OrdersView:
        if key != FIRST.key:
            raise ChainRefusal(f"the order {key!r} is in a block already", code="order_in_block")
        self.open = (FIRST.model_copy(update={"is_cancelled": True, "is_at_bound": False, "attempts": 3}),)
        return self.orders()


@pytest.fixture
def money(monkeypatch: pytest.MonkeyPatch) -> ScriptedMoney:
    stand_in_front(monkeypatch)
    scripted = ScriptedMoney()
    monkeypatch.setattr(ControlClient, "money", property(lambda _client: scripted))
    return scripted


def test_what_waits_is_listed_with_why(money: ScriptedMoney, capsys: pytest.CaptureFixture[str]) -> None:
    money.trouble = "transaction underpriced"
    assert run_main(["chain", "orders"]) == 0
    text = capsys.readouterr().out
    for part in ("redeem/17", "waits for lower fees", "2.500", "underpriced"):
        assert part in text
    assert run_main(["chain", "orders", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["orders"][0]["fee_wei_max"] == "2500000000"
    money.open = (FIRST.model_copy(update={"is_at_bound": False, "taken_back": 2}),)
    assert run_main(["chain", "orders"]) == 0
    assert "waits, taken back 2 x" in capsys.readouterr().out
    money.open = ()
    assert run_main(["chain", "orders"]) == 0
    assert capsys.readouterr().out == "Nothing waits.\n"


def test_one_that_waits_is_cancelled_by_its_key(
    money: ScriptedMoney, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_main(["chain", "cancel", "redeem/17"]) == 0
    assert "waits, cancelled" in capsys.readouterr().out
    assert run_main(["chain", "cancel", "rent"]) == 7
    assert "order_in_block" in capsys.readouterr().err
