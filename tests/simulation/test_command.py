"""`skyops sim`: what it prints, and what it returns when a promise is broken."""

import json

import pytest
from click.testing import CliRunner

from skyops_p2p.cli.sim import sim
from skyops_p2p.simulation.core_world import CoreOutcome
from skyops_p2p.simulation.report import BrokenPromiseError
from skyops_p2p.simulation.scenarios import SCENARIOS
from skyops_p2p.simulation.world import World


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(sim, arguments, standalone_mode=False)
    assert result.exception is None
    return result.return_value, result.output


def test_core_tells_how_many_seeds_kept_every_promise() -> None:
    code, output = run("core", "--seeds", "1", "--seed", "1", "--nodes", "3")
    assert code == 0
    assert "1 of 1 seeds kept every promise" in output


def test_broken_promise_of_a_core_seed_is_told_with_its_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(seed: int, *, nodes: int) -> CoreOutcome:
        raise BrokenPromiseError("it broke", seed=seed, replay=f"replay {seed} {nodes}")

    monkeypatch.setattr("skyops_p2p.simulation.core_world.run_core_seed", broken)
    code, output = run("core", "--seeds", "2", "--nodes", "4")
    assert code == 1
    assert "it broke" in output
    assert "replay 1 4" in output
    assert "0 of 2 seeds" in output


@pytest.mark.parametrize("scenario", sorted(SCENARIOS))
def test_each_scenario_runs_and_reports(scenario: str) -> None:
    code, output = run("world", "--nodes", "5", "--beat", "5", "--scenario", scenario, "--json")
    report = json.loads(output)
    assert code == 0
    assert report["is_kept"] is True
    assert len(report["trace"]) == 32
    assert report["report"]


def test_broken_promise_of_a_world_is_told_with_its_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    async def impossible(world: World) -> dict[str, float]:
        await world.start_all()
        raise world.failure("it broke")

    monkeypatch.setitem(SCENARIOS, "join", impossible)
    code, output = run("world", "--nodes", "3", "--seed", "9", "--scenario", "join")
    assert code == 1
    assert "it broke" in output
    assert "skyops sim world --scenario join --nodes 3 --seed 9 --beat 30" in output


def test_scenario_names_of_the_command_are_those_that_exist() -> None:
    from skyops_p2p.cli.sim import SCENARIO_NAMES

    assert set(SCENARIO_NAMES) == set(SCENARIOS)
