"""Thousands of seeds over the cores alone: every promise is kept, and a broken core is found out."""

from collections.abc import Sequence

import pytest

from skyops_p2p.core import node_events as ev
from skyops_p2p.core.machine import DeadlineReached, Effect, Event
from skyops_p2p.core.node_core import NodeCore
from skyops_p2p.core.presence import ContactLost, LifeSeen, NodeState, Presence
from skyops_p2p.simulation.core_world import CoreWorld, run_core_seed
from skyops_p2p.simulation.memo import shared_checks
from skyops_p2p.simulation.report import BrokenPromiseError
from skyops_p2p.types import MonotonicS

SEEDS = 1000
BLOCKS = 8


@pytest.mark.parametrize("block", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, BLOCKS))])
def test_a_thousand_seeds_keep_every_promise(block: int) -> None:
    with shared_checks():
        seeds = range(block, SEEDS, BLOCKS)
        outcomes = [run_core_seed(seed, nodes=5) for seed in seeds]
    for fault in (
        "lost",
        "duplicated",
        "reordered",
        "partitioned",
        "slowed",
        "crashes",
        "restarts",
        "clock_steps",
    ):
        assert sum(outcome.faults[fault] for outcome in outcomes) > 0, fault


@pytest.mark.parametrize("seed", [23, 153, 275, 470, 695])
def test_full_disk_then_crash_never_makes_a_node_contradict_itself(seed: int) -> None:
    with shared_checks():
        run_core_seed(seed, nodes=5)


def test_a_seed_replays_exactly_and_another_differs() -> None:
    with shared_checks():
        first, again, other = run_core_seed(42), run_core_seed(42), run_core_seed(43)
    assert first == again
    assert first.trace != other.trace


def test_shared_checks_change_nothing() -> None:
    with shared_checks():
        shared = run_core_seed(7)
    assert run_core_seed(7) == shared


def test_a_core_that_never_syncs_or_fetches_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = NodeCore.handle

    def forgetful(self: NodeCore, event: Event, now: MonotonicS) -> list[Effect]:
        skipped = (ev.SyncMap, ev.FetchRecord)
        return [effect for effect in honest(self, event, now) if not isinstance(effect, skipped)]

    monkeypatch.setattr(NodeCore, "handle", forgetful)
    monkeypatch.setattr("skyops_p2p.core.node_core.ANNOUNCE_AGAIN_S", (1000.0,))
    with shared_checks(), pytest.raises(BrokenPromiseError, match="not within"):
        run_core_seed(1)


def test_a_core_that_never_suspects_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A core to which silence and broken connections mean nothing."""
    honest = Presence.handle

    def trusting(self: Presence, event: Event, now: MonotonicS) -> Sequence[Effect]:
        if self.state is NodeState.ACTIVE and isinstance(event, ContactLost | DeadlineReached):
            event = LifeSeen()
        return honest(self, event, now)

    monkeypatch.setattr(Presence, "handle", trusting)
    with shared_checks(), pytest.raises(BrokenPromiseError, match="INACTIVE everywhere"):
        run_core_seed(1)


def test_failure_names_seed_commit_and_replay_command() -> None:
    world = CoreWorld(99, nodes=4)
    text = str(world.failure("nothing works"))
    assert "seed    99" in text
    assert "commit" in text
    assert "skyops sim core --seed 99 --nodes 4" in text
    assert "nothing works" in text
