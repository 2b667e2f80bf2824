"""The stages of the demonstration, and what becomes of it when something does not happen; without a network."""

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from skyops_p2p.errors import TestnetError
from skyops_p2p.limits import PAY_INTERVAL_MS
from skyops_p2p.testnet import demo_faults, demo_pace, demo_stage
from skyops_p2p.testnet.demo import SCENARIO_DEFAULT, SCENARIOS, STAGES, Scenario, run_stages
from skyops_p2p.testnet.demo_canaries import REDUNDANCY as REDUNDANCY_OF_CANARIES
from skyops_p2p.testnet.demo_canaries import SHARDS, canary_spec
from skyops_p2p.testnet.demo_curve import curve_svg, sparkline
from skyops_p2p.testnet.demo_network import (
    WITH_HEIR_LEAST,
    WITH_LIAR_LEAST,
    demo_topology,
    with_cartel,
    with_liar,
    with_lying_heir,
)
from skyops_p2p.testnet.demo_pace import SLOWNESS_MAX, measure_slowness, stretched_beat_s
from skyops_p2p.testnet.demo_stage import Demo, Patience, Stage, failed, wait_until
from skyops_p2p.testnet.demo_training import (
    EPOCHS,
    PAUSE_MS,
    PAUSE_STRETCH_MAX,
    REDUNDANCY,
    example_dir,
    training_spec,
)
from skyops_p2p.testnet.demo_verdict import COMPUTING, REDUNDANCIES, checked_spec
from skyops_p2p.testnet.topology import load_topology

ROOT = Path(__file__).parents[3]


def new_demo(told: list[str]) -> Demo:
    return Demo(Path("nowhere"), "demo", 4, told.append)


def test_what_did_not_happen_ends_the_demonstration() -> None:
    ran: list[str] = []

    def fine(_demo: Demo) -> str:
        ran.append("fine")
        return "seen"

    def fails(_demo: Demo) -> str:
        raise failed("it did not happen")

    stages = [Stage("one", "One", fine), Stage("two", "Two", fails), Stage("three", "Three", fine)]
    outcomes = list(run_stages(new_demo([]), keep=False, stages=stages))
    assert [(outcome.name, outcome.is_done, outcome.told) for outcome in outcomes] == [
        ("one", True, "seen"),
        ("two", False, "it did not happen"),
    ]
    assert ran == ["fine"]


@pytest.mark.parametrize(("name", "scenario"), SCENARIOS.items(), ids=SCENARIOS)
def test_a_scenario_has_stages_of_its_own_names_and_ends_with_the_money(
    name: str, scenario: Scenario
) -> None:
    names = [stage.name for stage in scenario.stages]
    assert len(set(names)) == len(names)
    assert all(len(stage.title) <= 44 and len(stage.name) <= 9 for stage in scenario.stages)
    assert names[:2] == ["up", "join"]
    is_without_scores = name in ("chain-outage", "reorg", "canaries")
    assert names[-2:] == (["settle", "prove"] if is_without_scores else ["prove", "scores"])
    order = [names.index(name) for name in ("submit", "train", "result", "audit", "bill", "settle")]
    assert order == sorted(order)
    assert {"finish", "resume"} & set(names[names.index("train") : names.index("result")])


def test_every_scenario_differs_and_is_described() -> None:
    rows = [tuple(stage.name for stage in scenario.stages) for scenario in SCENARIOS.values()]
    assert len(
        {(row, scenario.title) for row, scenario in zip(rows, SCENARIOS.values(), strict=True)}
    ) == len(rows)
    text = (ROOT / "testnet/scenarios/README.md").read_text(encoding="utf-8")
    told = [line.split("`")[1] for line in text.splitlines() if line.startswith("| `")]
    assert told == list(SCENARIOS)
    assert STAGES is SCENARIOS[SCENARIO_DEFAULT].stages


def test_the_network_is_the_one_in_the_file() -> None:
    written = load_topology(ROOT / "testnet/scenarios/demo-8.toml")
    assert written == demo_topology(8)
    assert [plan.name for plan in written.nodes if not plan.worker] == ["broker"]


class Clocks:
    """A machine on which work takes `slowness` times as long as it should."""

    def __init__(self, slowness: float) -> None:
        self.slowness = slowness
        self.worked_s = 0.0

    def wall(self) -> float:
        return self.worked_s * self.slowness

    def cpu(self) -> float:
        self.worked_s += 0.01
        return self.worked_s


@pytest.mark.parametrize(("real", "measured"), [(1.0, 1.0), (3.0, 3.0), (50.0, SLOWNESS_MAX)])
def test_slowness_is_the_time_that_a_second_of_work_takes(real: float, measured: float) -> None:
    clocks = Clocks(real)
    assert measure_slowness(clocks.wall, clocks.cpu) == pytest.approx(measured, rel=0.15)


def test_a_slow_machine_beats_slower_within_bounds() -> None:
    assert [stretched_beat_s(2.0, slowness) for slowness in (1.0, 2.0, 3.0, SLOWNESS_MAX)] == [
        2.0,
        2.0,
        3.0,
        8.0,
    ]
    assert stretched_beat_s(2.0, 1000.0) == 2.0 * demo_pace.BEAT_STRETCH_MAX


def test_what_does_not_come_is_waited_for_longer_where_the_machine_is_slow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", sleep)
    monkeypatch.setattr(demo_stage, "measure_slowness", lambda: 3.0)
    demo = new_demo([])
    with pytest.raises(TestnetError, match="after 180 s it is still not so that pigs fly"):
        wait_until(demo, lambda: False, "pigs fly")
    assert now[0] == pytest.approx(180, abs=1)
    assert Patience(demo, 10.0).limit_s == 30.0


def after_death(history: tuple[str, ...]) -> Demo:
    """Return a demonstration whose worker is INACTIVE already when its map is looked at first."""
    attempts = [SimpleNamespace(epoch=1, code="worker_lost")]
    shard = SimpleNamespace(epoch=2, worker="peer-of-carol", attempts=attempts)
    job = SimpleNamespace(job_id="11" * 16, shards=(shard,))
    client = SimpleNamespace(
        node=lambda _peer: SimpleNamespace(state="inactive", history=history),
        jobs=SimpleNamespace(show=lambda _job: job),
    )
    record = SimpleNamespace(entry=lambda _name: SimpleNamespace(peer_id="peer-of-bob"), nodes=())
    demo: Any = new_demo([])
    demo.job, demo.requester, demo.testnet = job, client, SimpleNamespace(record=record)
    demo.victim, demo.lost_epoch = "bob", 1
    found: Demo = demo
    return found


def test_a_suspicion_that_nobody_has_looked_at_is_found_in_the_history() -> None:
    steps = ("5 s ago: active -> suspect (ContactLost)", "1 s ago: suspect -> inactive (DeadlineReached)")
    told = demo_faults._lose(after_death(steps), time.monotonic())
    assert told.startswith("SUSPECT before anybody looked, INACTIVE after ")
    with pytest.raises(TestnetError, match="without being SUSPECT first"):
        demo_faults._lose(after_death(steps[:1]), time.monotonic())


def test_the_curve_falls_as_the_loss_does() -> None:
    assert sparkline({}) == ""
    assert sparkline({1: 5.0, 2: 5.0}) == "▁▁"
    assert sparkline({3: 0.0, 1: 7.0, 2: 3.0}) == "█▄▁"
    many = sparkline({epoch: 1 / epoch for epoch in range(1, 201)}, width=20)
    assert (len(many), many[0], many[-1]) == (20, "█", "▁")
    assert list(many) == sorted(many, reverse=True)


def test_the_picture_has_a_line_for_each_lease() -> None:
    svg = ET.fromstring(curve_svg({1: {1: 2.0, 2: 1.0}, 2: {2: 1.0, 3: 0.0}}, title="a < b & c"))
    lines = [one.attrib["points"] for one in svg if one.tag.endswith("polyline")]
    assert lines == ["48.0,48.0 320.0,160.0", "320.0,160.0 592.0,272.0"]
    assert any(one.text == "a < b & c" for one in svg)


def test_the_training_is_the_example_and_short() -> None:
    spec = training_spec()
    assert spec.runtime == "wasm"
    assert spec.args == ("--epochs", str(EPOCHS), "--sleep-ms", str(PAUSE_MS))
    assert PAY_INTERVAL_MS < EPOCHS * PAUSE_MS < 20_000
    slow = [training_spec(slowness=slowness).args[-1] for slowness in (1.5, 2.0, 1000.0)]
    assert slow == ["450", "600", str(round(PAUSE_MS * PAUSE_STRETCH_MAX))]
    assert (example_dir() / spec.module.removeprefix("file:")).is_file()


@pytest.mark.parametrize(
    ("workers", "liar", "honest"),
    [(5, "node-5", ("node-1", "node-2")), (8, "node-8", ("node-1", "node-2"))],
)
def test_one_worker_lies_and_is_cheaper_than_those_that_compute_the_same(
    workers: int, liar: str, honest: tuple[str, ...]
) -> None:
    roles = with_liar(demo_topology(workers))
    assert (roles.liar, roles.honest, roles.accomplice) == (liar, honest, "")
    assert [plan.name for plan in roles.topology.nodes if plan.misbehaves] == [liar]
    prices = {plan.name: plan.price_microcredits_per_hour for plan in roles.topology.nodes}
    assert all(prices[liar] < prices[other] for other in honest)
    assert len({liar, *honest}) == COMPUTING


@pytest.mark.parametrize(
    ("workers", "liar", "honest"),
    [(5, "node-4", ("node-5", "node-3", "node-1")), (8, "node-5", ("node-8", "node-4", "node-3"))],
)
def test_the_liar_is_dearer_than_the_first_one_and_cheaper_than_those_that_compare(
    workers: int, liar: str, honest: tuple[str, ...]
) -> None:
    roles = with_lying_heir(demo_topology(workers))
    assert (roles.liar, roles.honest) == (liar, honest)
    assert [plan.name for plan in roles.topology.nodes if plan.misbehaves] == [liar]
    prices = {plan.name: plan.price_microcredits_per_hour for plan in roles.topology.nodes}
    assert prices[honest[0]] < prices[liar] < min(prices[other] for other in honest[1:])
    assert len({liar, *honest}) == REDUNDANCY + 1


@pytest.mark.parametrize("workers", [5, 8])
def test_two_lie_alike_against_one(workers: int) -> None:
    roles = with_cartel(demo_topology(workers))
    wrong = {plan.name: plan.misbehaves for plan in roles.topology.nodes if plan.misbehaves}
    assert wrong == {roles.liar: "wrong-alike", roles.accomplice: "wrong-alike"}
    assert len({roles.liar, roles.accomplice, *roles.honest}) == REDUNDANCY_OF_CANARIES
    spec = canary_spec(("12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp",))
    assert (spec.shards, spec.verification.canaries) == (SHARDS, SHARDS)
    assert spec.verification.redundancy == REDUNDANCY_OF_CANARIES


def test_too_small_a_network_has_no_room_for_a_liar() -> None:
    with pytest.raises(TestnetError, match="needs 5 workers"):
        with_liar(demo_topology(WITH_LIAR_LEAST - 1))
    with pytest.raises(TestnetError, match="needs 5 workers"):
        with_cartel(demo_topology(WITH_LIAR_LEAST - 1))
    with pytest.raises(TestnetError, match="needs 5 workers"):
        with_lying_heir(demo_topology(WITH_HEIR_LEAST - 1))


def test_checked_jobs_are_exact_and_the_training_avoids_whom_it_is_told() -> None:
    peer = "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp"
    for redundancy in REDUNDANCIES:
        spec = checked_spec(redundancy, (peer,))
        assert (spec.verification.kind, spec.verification.redundancy) == ("exact", redundancy)
        assert (spec.placement.allow, spec.award.price) == ((peer,), 1_000_000)
    assert (training_spec().placement.deny, training_spec(deny=[peer]).placement.deny) == ((), (peer,))
    spec = training_spec(team=[peer])
    assert (spec.verification.kind, spec.verification.redundancy) == ("exact", REDUNDANCY)
    assert (spec.placement.allow, spec.checkpoint) == ((peer,), training_spec().checkpoint)
