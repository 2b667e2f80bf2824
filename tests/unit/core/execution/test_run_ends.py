"""Every way to end a run before its time: stops, lapses, failures, time-outs, and reports that cross them."""

import pytest

from skyops_p2p import limits
from skyops_p2p.core.execution import run_events as ev
from skyops_p2p.core.execution.run import STOP_MARGIN_S, RunState
from skyops_p2p.core.machine import DeadlineReached
from tests.unit.core.execution.run_ways import FAILED, OK, STOPPED, WAYS, bob, running
from tests.unit.core.execution.tables import kinds, step, walk
from tests.unit.core.people import at

CANCEL = ev.StopRequested("cancelled", 20)
SILENT, SUPERSEDED = ev.LeaseLapsed("requester_silent"), ev.LeaseLapsed("superseded")


# --- stopped ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("way", ["fetching", "preparing"])
def test_stop_before_the_program_aborts_the_step_and_tells_the_result(way: str) -> None:
    machine = walk(bob(), WAYS[way][1])
    assert step(machine, CANCEL, 5) == [
        ev.AbortStep(),
        ev.FinishRun("cancelled", ev.NEVER_RAN, keeps_outputs=False, text=""),
    ]
    assert kinds(step(machine, ev.ResultStored(), 6)) == ["FreeMachine", "OfferResult"]


def test_stop_before_the_beginning_leaves_nothing() -> None:
    assert step(bob(), CANCEL) == [ev.EndRun("cancelled")]


def test_stop_of_a_running_program_gives_it_its_grace() -> None:  # EXE-25
    machine = running()
    assert step(machine, CANCEL, 5) == [ev.StopProgram(20)]
    assert machine.next_deadline() == at(5 + 20 + STOP_MARGIN_S)
    assert step(machine, ev.ProgramEnded(STOPPED), 9) == [
        ev.FinishRun("cancelled", STOPPED, keeps_outputs=False, text="was stopped")
    ]


def test_program_that_had_succeeded_before_the_stop_took_hold_has_succeeded() -> None:
    machine = walk(running(), [(CANCEL, 5)])
    (finish,) = step(machine, ev.ProgramEnded(OK), 5.1)
    assert finish == ev.FinishRun("succeeded", OK, keeps_outputs=True, text="exit code 0")


def test_program_that_fails_while_it_is_stopped_counts_as_stopped() -> None:
    machine = walk(running(), [(ev.StopRequested("preempted", 20), 5)])
    (finish,) = step(machine, ev.ProgramEnded(FAILED), 6)
    assert isinstance(finish, ev.FinishRun)
    assert (finish.code, finish.keeps_outputs) == ("preempted", False)


@pytest.mark.parametrize("way", ["stopping", "collecting", "ended"])
def test_second_stop_changes_nothing(way: str) -> None:
    machine = walk(bob(), WAYS[way][1])
    deadline = machine.next_deadline()
    assert step(machine, ev.StopRequested("worker_leaving", 1), 10) == []
    assert (machine.state, machine.next_deadline()) == (WAYS[way][0], deadline)


def test_cancelled_result_is_kept_for_nobody() -> None:  # EXE-19
    machine = walk(bob(), WAYS["delivering"][1])
    assert step(machine, CANCEL, 10) == [ev.EndRun("cancelled")]


def test_worker_that_leaves_keeps_a_stored_result() -> None:
    machine = walk(bob(), WAYS["delivering"][1])
    assert step(machine, ev.StopRequested("worker_leaving", 20), 10) == []
    assert machine.state is RunState.DELIVERING


# --- without a lease --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("lapse", [SILENT, SUPERSEDED])
@pytest.mark.parametrize("way", ["fetching", "preparing", "collecting", "collecting after an abort"])
def test_lapse_beside_the_program_keeps_nothing(way: str, lapse: ev.LeaseLapsed) -> None:  # EXE-8
    machine = walk(bob(), WAYS[way][1])
    assert step(machine, lapse, 10) == [ev.AbortStep(), ev.EndRun(lapse.code)]
    assert machine.code == lapse.code


@pytest.mark.parametrize("ended", [OK, FAILED, STOPPED])
def test_lapse_stops_the_program_and_keeps_not_even_a_success(ended: ev.ProgramExit) -> None:  # EXE-8
    machine = running()
    assert step(machine, SILENT, 5) == [ev.StopProgram(limits.CHECKPOINT_GRACE_S)]
    assert step(machine, ev.ProgramEnded(ended), 6) == [ev.EndRun("requester_silent")]


def test_lapse_while_stopping_keeps_nothing_either() -> None:  # EXE-8
    for end in (ev.ProgramEnded(STOPPED), ev.StepFailed("sandbox_failed", ""), DeadlineReached()):
        machine = walk(bob(), WAYS["stopping"][1])
        assert step(machine, SILENT, 5) == []
        assert step(machine, end, 100) == [ev.EndRun("cancelled")]


def test_lapse_before_the_beginning_leaves_nothing() -> None:
    assert step(bob(), SILENT) == [ev.EndRun("requester_silent")]


def test_stored_result_waits_for_a_silent_requester() -> None:  # EXE-15
    machine = walk(bob(), WAYS["delivering"][1])
    assert step(machine, SILENT, 130) == []
    assert step(machine, ev.ResultAcknowledged(), 5000) == [ev.EndRun("succeeded")]


def test_stored_result_of_an_older_epoch_is_dropped() -> None:  # EXE-5
    machine = walk(bob(), WAYS["delivering"][1])
    assert step(machine, SUPERSEDED, 130) == [ev.EndRun("superseded")]


# --- failures ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("way", "code"),
    [
        ("fetching", "input_unavailable"),
        ("fetching", "checkpoint_unavailable"),
        ("preparing", "image_missing"),
        ("running", "sandbox_failed"),
    ],
)
def test_step_that_fails_becomes_the_outcome(way: str, code: str) -> None:
    machine = walk(bob(), WAYS[way][1])
    assert step(machine, ev.StepFailed(code, "in words"), 5) == [
        ev.FinishRun(code, ev.NEVER_RAN, keeps_outputs=False, text="in words")
    ]


def test_start_that_fails_while_it_is_stopped_counts_as_stopped() -> None:
    machine = walk(bob(), WAYS["stopping"][1])
    (finish,) = step(machine, ev.StepFailed("sandbox_failed", "in words", step="running"), 5)
    assert isinstance(finish, ev.FinishRun)
    assert finish.code == "cancelled"


def test_receipt_that_cannot_be_stored_ends_the_run() -> None:
    machine = walk(bob(), WAYS["collecting"][1])
    assert step(machine, ev.StepFailed("store_full", "", step="collecting"), 5) == [ev.EndRun("store_full")]
    assert machine.code == "store_full", "no receipt says otherwise"


def test_failure_that_crosses_its_abort_is_not_taken_for_the_receipts() -> None:
    machine = walk(bob(), WAYS["collecting after an abort"][1])
    assert step(machine, ev.StepFailed("input_unavailable", "", step="fetching"), 5) == []
    assert kinds(step(machine, ev.ResultStored(), 6)) == ["FreeMachine", "OfferResult"]


def test_steps_that_were_aborted_or_given_up_may_end_at_last() -> None:
    late = (
        ev.InputsFetched(),
        ev.SandboxPrepared(),
        ev.ProgramStarted(),
        ev.ProgramEnded(OK),
        ev.StepFailed("sandbox_failed", "", step="running"),
    )
    for way in ("collecting after an abort", "delivering", "ended"):
        machine = walk(bob(), WAYS[way][1])
        code = machine.code
        for event in late:
            assert step(machine, event, 5) == []
        assert (machine.state, machine.code) == (WAYS[way][0], code)


# --- time-outs --------------------------------------------------------------------------------------------------------
def test_fetching_takes_an_hour_at_most() -> None:
    machine = walk(bob(), WAYS["fetching"][1])
    assert machine.next_deadline() == at(limits.RUN_FETCH_TIMEOUT_S)
    assert step(machine, DeadlineReached(), limits.RUN_FETCH_TIMEOUT_S - 1) == []
    effects = step(machine, DeadlineReached(), limits.RUN_FETCH_TIMEOUT_S)
    assert kinds(effects) == ["AbortStep", "FinishRun"]
    assert machine.code == "input_unavailable"


def test_collecting_takes_an_hour_at_most() -> None:
    machine = walk(bob(), WAYS["collecting"][1])
    assert machine.next_deadline() == at(2 + limits.RUN_COLLECT_TIMEOUT_S)
    assert step(machine, DeadlineReached(), 1 + limits.RUN_COLLECT_TIMEOUT_S) == []
    effects = step(machine, DeadlineReached(), 2 + limits.RUN_COLLECT_TIMEOUT_S)
    assert effects == [ev.AbortStep(), ev.EndRun("collect_timeout")]


def test_runtime_that_does_not_stop_the_program_has_lost_it() -> None:
    machine = walk(bob(), WAYS["stopping"][1])
    assert step(machine, DeadlineReached(), 1 + 20 + STOP_MARGIN_S - 1) == []
    (finish,) = step(machine, DeadlineReached(), 1 + 20 + STOP_MARGIN_S)
    assert isinstance(finish, ev.FinishRun)
    assert (finish.code, finish.exit.kind) == ("sandbox_lost", "lost")
    assert step(machine, ev.ProgramEnded(STOPPED), 60) == [], "too late"


def test_preparing_has_no_time_out_of_its_own() -> None:
    assert walk(bob(), WAYS["preparing"][1]).next_deadline() is None, "the sandbox bounds it"
