"""One integer decides everything: same seed, same trace, in one process and across processes."""

import json
import subprocess
import sys
from pathlib import Path
from random import Random
from types import SimpleNamespace

import pytest
import trio
from trio._core import _run as trio_scheduler

from skyops_p2p.simulation.chaos import run_phases
from skyops_p2p.simulation.determinism import (
    deterministic_scheduling,
    require_private_names,
    run_simulated,
)
from skyops_p2p.simulation.entropy import SeededEntropy
from skyops_p2p.simulation.member import MemberOptions
from skyops_p2p.simulation.scenarios import join
from skyops_p2p.simulation.world import WorldOptions, simulate

ROOT = Path(__file__).parents[2]
FAST = WorldOptions(members=MemberOptions(beat_s=5.0, probe_timeout_s=1.0))


def test_ten_runs_of_one_seed_are_identical() -> None:
    outcomes = [simulate(run_phases, seed=11, nodes=5, options=FAST) for _ in range(10)]
    assert len({outcome.trace for outcome in outcomes}) == 1
    assert len({repr(outcome) for outcome in outcomes}) == 1
    assert outcomes[0].trace_entries > 500


def test_seeds_differ() -> None:
    traces = {simulate(join, seed=seed, nodes=4, options=FAST).trace for seed in range(5)}
    assert len(traces) == 5


@pytest.mark.process
@pytest.mark.parametrize(
    "command", [["world", "--nodes", "6", "--scenario", "chaos"], ["core", "--seeds", "3"]]
)
def test_another_process_with_another_hash_seed_has_the_same_trace(command: list[str]) -> None:
    def run(hash_seed: str) -> dict[str, object]:
        done = subprocess.run(
            [sys.executable, "-m", "skyops_p2p", "sim", *command, "--seed", "5", "--json"],
            cwd=ROOT,
            env={"PYTHONHASHSEED": hash_seed, "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=300,
            check=True,
        )
        report: dict[str, object] = json.loads(done.stdout)
        del report["took_s"]
        return report

    assert run("1") == run("2")


def test_scheduler_is_deterministic_and_put_back() -> None:
    async def race() -> list[int]:
        order: list[int] = []

        async def runner(number: int) -> None:
            for _ in range(5):
                await trio.lowlevel.checkpoint()
                order.append(number)

        async with trio.open_nursery() as nursery:
            for number in range(10):
                nursery.start_soon(runner, number)
        return order

    before = trio_scheduler._ALLOW_DETERMINISTIC_SCHEDULING
    first, second, other = (run_simulated(race, seed=seed) for seed in (1, 1, 2))
    assert first == second != other
    assert before == trio_scheduler._ALLOW_DETERMINISTIC_SCHEDULING


def test_seeding_restores_trios_generator() -> None:
    state = trio_scheduler._r.getstate()
    with deterministic_scheduling(3):
        trio_scheduler._r.random()
    assert trio_scheduler._r.getstate() == state


@pytest.mark.parametrize(
    "names",
    [
        {},
        {"_ALLOW_DETERMINISTIC_SCHEDULING": False},
        {"_r": Random(0)},
        {"_ALLOW_DETERMINISTIC_SCHEDULING": None, "_r": Random(0)},
    ],
)
def test_renamed_private_names_fail_loudly(names: dict[str, object]) -> None:
    with pytest.raises(RuntimeError, match="determinism"):
        require_private_names(SimpleNamespace(**names))


def test_this_trio_has_the_private_names() -> None:
    require_private_names(trio_scheduler)


def test_entropy_depends_on_seed_and_labels_alone() -> None:
    one, same, other = SeededEntropy(1, 2, 1), SeededEntropy(1, 2, 1), SeededEntropy(1, 2, 2)
    tokens = [entropy.token(16) for entropy in (one, same, other)]
    assert tokens[0] == tokens[1] != tokens[2]
    assert one.token(16) != tokens[0]
    assert 0.0 <= one.uniform() < 1.0
