"""`earnings --forecast` and `--why`, as they look, and on what they rest."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date

import pytest

from skyops_p2p.cli.earnings_forecast import measured_load
from skyops_p2p.cli.main import run_main
from skyops_p2p.errors import ConfigError, SkyopsError
from skyops_p2p.node.control_client import ControlClient
from skyops_p2p.node.reputation.views import ReputationView
from skyops_p2p.node.settlement.settlement_views import (
    EarnedJobView,
    EarnedLaneView,
    EarningRowView,
    EarningsView,
)
from skyops_p2p.node.views import GpuView, NodeView
from tests.gateway.conftest import node_view
from tests.gateway.fake_payments import lane_view
from tests.unit.cli.fake_client import stand_in_front

JOB = "5f" * 16


def no_payments() -> SkyopsError:
    return ConfigError("nothing is paid here", code="payment_not_configured")


def earning(day: str, runtime_ms: int) -> EarningRowView:
    return EarningRowView(key=day, leases=1, runtime_ms=runtime_ms, gpu_ms=0, paid_wei=1, receipts=1)


@dataclass
class Scripted:
    """A worker with two GPUs, whose payments may not be there."""

    is_worker: bool = True
    is_paid: bool = False
    rows: tuple[EarningRowView, ...] = ()
    asked: list[str] = field(default_factory=list)

    def earnings(self, *, by: str = "job") -> EarningsView:
        if not self.is_paid:
            raise no_payments()
        assert by == "day"
        return EarningsView(
            symbol="SKYOPS",
            by="day",
            rows=self.rows,
            paid_wei=0,
            unredeemed_wei=0,
            unsecured_wei=0,
            held_wei=0,
        )

    def reputation(self, who: str = "") -> ReputationView:
        self.asked.append(who)
        raise no_payments()

    def earned(self, job: str) -> EarnedJobView:
        self.asked.append(job)
        lane = EarnedLaneView(
            lane=lane_view(rate_wei=36 * 10**16, runtime_ms=50_000, paid_wei=5 * 10**15),
            outcome="succeeded",
            class_milli=4000,
            requester_ms=50_000,
            worker_ms=50_400,
            receipt_wei=5 * 10**15,
            fee_wei=15 * 10**13,
            holdback_bps=2000,
            held_wei=10**15,
        )
        return EarnedJobView(job_id=JOB, name="train", mode="flex", fee_bps=300, lanes=(lane,))

    def node(self) -> NodeView:
        gpus = (
            GpuView(
                model="NVIDIA GeForce RTX 4090", vram_mib=24_564, compute_capability="8.9", index_milli=4000
            ),
            GpuView(
                model="NVIDIA GeForce RTX 3060", vram_mib=12_288, compute_capability="8.6", index_milli=1000
            ),
        )
        changes = {"is_worker": self.is_worker, "gpus": gpus, "price_microcredits_per_hour": 4_000_000}
        return node_view("12D3KooWAlice", is_self=True).model_copy(update=changes)


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Scripted:
    stand_in_front(monkeypatch)
    found = Scripted()
    monkeypatch.setattr(ControlClient, "payments", property(lambda _client: found))
    monkeypatch.setattr(ControlClient, "node", lambda _client, _peer: found.node())
    return found


@pytest.fixture
def out_of(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def run_it(*arguments: str) -> str:
        assert run_main(list(arguments)) == 0
        return capsys.readouterr().out

    return run_it


def test_a_forecast_says_on_what_it_rests(scripted: Scripted, out_of: Callable[..., str]) -> None:
    text = out_of("earnings", "--forecast", "--load", "50")
    assert "4 SKYOPS an hour for its best GPU" in text
    assert "NVIDIA GeForce RTX 4090 4, NVIDIA GeForce RTX 3060 1 (provisional table" in text
    assert "50 % of the time, as you say (--load)" in text
    assert "assumed: a newcomer's" in text
    assert scripted.asked == ["self"]
    rows = {
        line.split()[0]: line.split()[1:] for line in text.splitlines() if line.split()[:1] and "." in line
    }
    assert rows["commit"] == ["1", "5", "60", "58.2", "12"]
    assert rows["flex"] == ["0.6", "3", "36", "34.92", "7.2"]
    assert "the contracts do not apply it yet" in text


def test_the_load_is_what_was_sold_lately_or_assumed(scripted: Scripted, out_of: Callable[..., str]) -> None:
    assert "50 % of the time, assumed" in out_of("earnings", "--forecast")
    scripted.is_paid = True
    assert "50 % of the time, assumed" in out_of("earnings", "--forecast")
    found = json.loads(out_of("earnings", "--forecast", "--load", "0", "--json"))
    assert [day["paid"] for day in found["days"]] == [0, 0, 0]
    assert found["terms"]["classes_milli"] == [4000, 1000]


def test_load_is_measured_over_the_days_that_there_were() -> None:
    today, day_ms = date(2026, 11, 26), 86_400_000
    assert measured_load([], today) is None
    assert measured_load([earning("2026-11-18", day_ms)], today) is None, "too old"
    assert measured_load([earning("2026-11-26", day_ms // 4)], today) == (250, 1)
    rows = [earning("2026-11-25", day_ms // 2), earning("2026-11-26", day_ms // 2)]
    assert measured_load(rows, today) == (500, 2)
    assert measured_load([earning("2026-11-01", 1), *rows], today) == (142, 7)
    assert measured_load([earning("2026-11-26", 3 * day_ms)], today) == (1000, 1), "three slots at once"


def test_who_does_not_work_has_no_forecast(scripted: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    scripted.is_worker = False
    assert run_main(["earnings", "--forecast"]) != 0
    assert "error[not_a_worker]" in capsys.readouterr().err
    assert run_main(["earnings", "--load", "5"]) == 2
    assert run_main(["earnings", "--forecast", "--why", JOB]) == 2


def test_why_names_each_factor_with_its_number(scripted: Scripted, out_of: Callable[..., str]) -> None:
    text = out_of("earnings", "--why", JOB[:8])
    assert scripted.asked == [JOB[:8]]
    assert "0.36 SKYOPS an hour, as was bid; mode flex (0.6) is in it" in text
    assert "50.000 s: the requester counted 50.000 s, this node 50.400 s" in text
    assert "0.005 SKYOPS = price x runtime / 1 h" in text
    assert "0.00015 SKYOPS (3 %), kept by the contract" in text
    assert "0.001 SKYOPS (20 %), until the challenge window closes" in text
    assert "0.00385 SKYOPS" in text
    assert json.loads(out_of("earnings", "--why", JOB, "--json"))["lanes"][0]["class_milli"] == 4000
