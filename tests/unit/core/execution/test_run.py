"""The worker's run: every pair of its table, the way to a result, and its checkpoints."""

import itertools

import pytest

from skyops_p2p.core.execution import run_events as ev
from skyops_p2p.core.execution.run import Run, RunState
from skyops_p2p.core.machine import DeadlineReached, Event
from tests.unit.core.execution.run_ways import (
    CODES,
    EVENTS,
    OK,
    REQUEUE,
    WAYS,
    bob,
    checkpointing,
    running,
)
from tests.unit.core.execution.tables import Reached, expect_refused, kinds, step, walk
from tests.unit.core.people import at


# --- the table ------------------------------------------------------------------------------------------------------
def test_every_pair_of_the_table_is_reached_and_nothing_else() -> None:
    reached = Reached(Run.TRANSITIONS)
    for (state, steps), (event, after_s) in itertools.product(WAYS.values(), EVENTS):
        machine = walk(bob(), steps)
        assert machine.state is state
        reached.take(machine, event, after_s)
    reached.expect_all()


@pytest.mark.parametrize("way", WAYS)
def test_foreign_event_is_refused_and_changes_nothing(way: str) -> None:
    expect_refused(walk(bob(), WAYS[way][1]), Event())


def test_what_has_ended_wants_nothing_and_keeps_its_outcome() -> None:
    machine = walk(bob(), WAYS["ended"][1])
    for event, after_s in EVENTS:
        if not isinstance(event, ev.RunBegun):
            assert step(machine, event, after_s) == []
    assert (machine.code, machine.next_deadline()) == ("succeeded", None)


# --- to a result ----------------------------------------------------------------------------------------------------
def test_run_goes_from_inputs_to_a_result_that_is_taken() -> None:
    machine = bob()
    assert kinds(step(machine, ev.RunBegun())) == ["FetchInputs"]
    assert kinds(step(machine, ev.InputsFetched(), 10)) == ["PrepareSandbox"]
    assert kinds(step(machine, ev.SandboxPrepared(), 20)) == ["StartProgram"]
    assert step(machine, ev.ProgramStarted(), 21) == []
    assert step(machine, ev.ProgramEnded(OK), 90) == [
        ev.FinishRun("succeeded", OK, keeps_outputs=True, text="exit code 0")
    ]
    assert kinds(step(machine, ev.ResultStored(), 95)) == ["FreeMachine", "OfferResult"]
    assert machine.state is RunState.DELIVERING
    assert step(machine, ev.ResultAcknowledged(), 99) == [ev.EndRun("succeeded")]


@pytest.mark.parametrize(("kind", "exit_code", "code"), CODES)
def test_end_of_the_program_names_the_outcome(kind: str, exit_code: int | None, code: str) -> None:
    machine = running()
    ended = ev.ProgramExit(kind, exit_code, None, "in words")
    (finish,) = step(machine, ev.ProgramEnded(ended), 60)
    assert finish == ev.FinishRun(code, ended, keeps_outputs=code == "succeeded", text="in words")


def test_exit_code_that_asks_for_another_attempt_is_the_jobs_own_choice() -> None:
    machine = running(retry_codes=(3,))
    (finish,) = step(machine, ev.ProgramEnded(REQUEUE), 60)
    assert isinstance(finish, ev.FinishRun)
    assert finish.code == "program_failed", "75 is not among them"


def test_result_that_nobody_takes_is_kept_for_a_week_and_then_forgotten() -> None:  # EXE-15
    machine = walk(bob(), WAYS["delivering"][1])
    week_s = 7 * 86_400
    deadline = machine.next_deadline()
    assert deadline == at(WAYS["delivering"][1][-1][1] + week_s)
    assert step(machine, DeadlineReached(), deadline - at(0) - 1) == []
    assert step(machine, DeadlineReached(), deadline - at(0)) == [ev.EndRun("not_taken")]


# --- checkpoints ----------------------------------------------------------------------------------------------------
def test_checkpoints_are_saved_in_their_cadence() -> None:
    machine, saved = checkpointing(interval_s=300), []
    for second in range(1, 2000):
        effects = step(machine, ev.CheckpointSeen(f"step-{second}"), second)
        if kinds(effects) == ["SaveCheckpoint"]:
            saved.append(second)
            step(machine, ev.CheckpointStored(f"step-{second}"), second + 0.5)
    assert saved == [300, 601, 902, 1203, 1504, 1805], "five minutes after the one before was stored"


def test_checkpoint_seen_early_is_saved_when_its_time_has_come() -> None:
    machine = checkpointing(interval_s=300)
    assert step(machine, ev.CheckpointSeen("step-1"), 100) == []
    assert machine.next_deadline() == at(300)
    assert step(machine, DeadlineReached(), 299) == []
    assert kinds(step(machine, DeadlineReached(), 300)) == ["SaveCheckpoint"]


def test_one_save_at_a_time() -> None:
    machine = checkpointing(interval_s=300)
    assert kinds(step(machine, ev.CheckpointSeen("step-1"), 400)) == ["SaveCheckpoint"]
    for second in (401, 800, 5000):
        assert step(machine, ev.CheckpointSeen("step-2"), second) == []
        assert step(machine, DeadlineReached(), second) == []
    assert machine.next_deadline() is None, "the save under way comes first, however long it takes"
    assert step(machine, ev.CheckpointStored("step-1"), 5001) == []
    assert machine.next_deadline() == at(5301)


def test_checkpoint_that_was_just_stored_is_not_saved_again() -> None:
    machine = checkpointing(interval_s=300)
    step(machine, ev.CheckpointSeen("step-1"), 400)
    step(machine, ev.CheckpointSeen("step-1"), 401)  # the poll sees it until it is stored
    step(machine, ev.CheckpointStored("step-1"), 402)
    assert machine.next_deadline() is None


def test_checkpoint_that_was_overtaken_by_a_newer_one_is_not_saved_for_ever() -> None:
    machine = checkpointing(interval_s=300)
    step(machine, ev.CheckpointSeen("step-1"), 400)
    step(machine, ev.CheckpointStored("step-2"), 402)  # the newest when it was sealed
    assert machine.next_deadline() is None


def test_failed_save_is_tried_again_after_the_interval_and_the_run_goes_on() -> None:
    machine = checkpointing(interval_s=300)
    step(machine, ev.CheckpointSeen("step-1"), 400)
    assert step(machine, ev.CheckpointFailed("store_full"), 410) == []
    assert step(machine, ev.CheckpointSeen("step-1"), 411) == []
    assert machine.next_deadline() == at(710)
    assert kinds(step(machine, DeadlineReached(), 710)) == ["SaveCheckpoint"]
    assert machine.state is RunState.RUNNING


def test_job_without_checkpoints_saves_none() -> None:
    machine = running()
    assert step(machine, ev.CheckpointSeen("step-1"), 5000) == []
    assert machine.next_deadline() is None


def test_save_under_way_may_end_when_the_run_has_gone_on() -> None:
    for way in ("stopping", "collecting", "delivering", "ended"):
        machine = walk(bob(), WAYS[way][1])
        for event in (ev.CheckpointStored("a"), ev.CheckpointFailed("store_full"), ev.CheckpointSeen("b")):
            assert step(machine, event, 700) == []
        assert machine.state is WAYS[way][0]
