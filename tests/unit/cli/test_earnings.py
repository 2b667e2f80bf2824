"""`billing`, `earnings` and `settle`, as they look."""

import json
from collections.abc import Callable

import pytest
import trio

from skyops_p2p.cli.main import run_main
from skyops_p2p.node.control_client import ControlClient
from skyops_p2p.node.settlement.settlement_views import BillingView, EarningsView, QuoteView, SettledView
from tests.gateway.fake_payments import PAID, FakePayments
from tests.unit.cli.fake_client import stand_in_front


class ScriptedPayments:
    """The fake payments as the control client has them."""

    def __init__(self) -> None:
        self.fake = FakePayments()

    def billing(self, job: str) -> BillingView:
        return self.fake.billing(bytes(16), job)

    def earnings(self, *, by: str = "job") -> EarningsView:
        return self.fake.earnings(by=by)  # type: ignore[arg-type]  # the command lets no other word pass

    def quote(self) -> QuoteView:
        return trio.run(self.fake.quote)

    def settle(self) -> SettledView:
        return trio.run(self.fake.settle)


@pytest.fixture
def payments(monkeypatch: pytest.MonkeyPatch) -> FakePayments:
    stand_in_front(monkeypatch)
    scripted = ScriptedPayments()
    monkeypatch.setattr(ControlClient, "payments", property(lambda _client: scripted))
    return scripted.fake


@pytest.fixture
def out_of(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def run_it(*arguments: str) -> str:
        assert run_main(list(arguments)) == 0
        return capsys.readouterr().out

    return run_it


def test_a_bill_is_printed_with_units(payments: FakePayments, out_of: Callable[..., str]) -> None:
    text = out_of("billing", "train")
    assert "1.152921504606846977 SKYOPS, of which the contract keeps 0.01 SKYOPS" in text
    assert "1m 01s" in text
    assert "30s of one GPU at full load, 49 % of the runtime" in text
    assert "3.0 MiB" in text
    assert "2 SKYOPS for its workers and all jobs there, of which 1 SKYOPS are redeemed" in text
    assert "paid" in text
    payments.is_configured = False
    assert "it runs free" in out_of("billing", "train")


def test_earnings_are_printed_by_what_was_asked(payments: FakePayments, out_of: Callable[..., str]) -> None:
    assert "flex" in out_of("earnings", "--by", "mode")
    assert json.loads(out_of("earnings", "--json"))["paid_wei"] == str(PAID)
    assert "0.01 SKYOPS: nobody has set it aside" in out_of("earnings")


def test_settling_says_what_it_costs_first(payments: FakePayments, out_of: Callable[..., str]) -> None:
    text = out_of("settle", "--dry-run")
    assert "bring 0.1 SKYOPS now and cost 0.0001 ETH of gas" in text
    assert "more than the node would pay" in text
    assert payments.settled == 0
    assert "Redeemed 2 vouchers in 0x33" in out_of("settle")
    assert json.loads(out_of("settle", "--json"))["settled"]["vouchers"] == 2
    payments.vouchers = 1
    assert out_of("settle").startswith("1 voucher brings 0.1 SKYOPS now and costs")
    payments.vouchers = 0
    assert out_of("settle") == "There is no voucher to redeem.\n"
