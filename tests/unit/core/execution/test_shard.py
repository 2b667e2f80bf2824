"""The requester's shard: every pair of its table, the way to a result, restarts, cancels, time-outs."""

import itertools

import pytest

from skyops_p2p.core.execution import shard_events as ev
from skyops_p2p.core.execution.shard import ShardRun
from skyops_p2p.core.execution.shard_record import ShardState
from skyops_p2p.core.machine import DeadlineReached, Event
from tests.unit.core.execution.shard_story import ENDS, NO_MATCH_PAUSE_S, Story, Terms, award, names, story
from tests.unit.core.execution.tables import Reached, expect_refused
from tests.unit.core.people import BOB, CAROL, MALLORY, at

OPEN = (
    ShardState.MATCHING,
    ShardState.WAITING,
    ShardState.OPENING,
    ShardState.RUNNING,
    ShardState.CHECKING,
    ShardState.FETCHING,
)
LEASED = (ShardState.OPENING, ShardState.RUNNING, ShardState.CHECKING, ShardState.FETCHING)
OVER = (ShardState.SUCCEEDED, ShardState.FAILED, ShardState.CANCELLED)
LAST_ATTEMPT = Terms(attempts_max=1)


def events_of(epoch: int) -> list[Event]:
    """Everything that can happen under an epoch."""
    return [
        ev.LeaseGranted(epoch),
        *(ev.LeaseDenied(epoch, code, "") for code in ("unknown_lease", "requester_silent")),
        ev.CheckpointReceived(epoch, b"checkpoint", 7),
        *(
            ev.ResultReceived(epoch, b"result", code, "", has_outputs=has_outputs)
            for code in ("succeeded", "program_failed", "requeue_asked", "worker_lied")
            for has_outputs in (True, False)
        ),
        ev.ResultCommitted(epoch, b"commitment"),
        ev.RevealWanted(epoch, (b"another's",)),
        ev.ResultAccepted(epoch, "agreed"),
        *(ev.ResultRejected(epoch, "no_reveal", "", is_again=is_again) for is_again in (False, True)),
        *(ev.ResultReplaced(epoch, receipt, "decided", "result_wrong", "") for receipt in ENDS.values()),
        *(ev.LeaseLost(epoch, code) for code in ("worker_lost", "requester_silent")),
        ev.PreemptionNoticed(epoch, "preempted"),
        *(ev.GangBroken(epoch, is_final) for is_final in (False, True)),
        ev.OutputsFetched(epoch),
        *(ev.OutputsUnavailable(epoch, code, "") for code in ("result_unavailable", "requeue_asked")),
    ]


# --- the table ------------------------------------------------------------------------------------------------------
def test_every_pair_of_the_table_is_reached_and_nothing_else() -> None:
    reached = Reached(ShardRun.TRANSITIONS)
    terms = (Terms(total_s=9000), Terms(attempts_max=1, total_s=9000))
    for state, term, after_s in itertools.product(ShardState, terms, (0.0, 700.0)):
        probe = story(state, term)
        others = [
            ev.ShardBegun(at(600), None),
            ev.ShardRestored(at(600), None),
            ev.MatchFound(CAROL.peer, bytes(32), 1, bytes(16)),
            ev.MatchFound(CAROL.peer, bytes(32), 1, bytes(16), is_kept=True),
            ev.MatchFailed("no_bids", ""),
            ev.CancelRequested(),
            ev.RetryRequested(at(600), None),
            ev.ResultDoubted(at(600), None),
            Event(),
        ]
        for event in (*others, *events_of(probe.epoch), *events_of(probe.epoch + 1)):
            machine = story(state, term).machine
            reached.take(machine, event, after_s)
        for second in (1.0, 20.0, 10_000.0):
            reached.take(story(state, term).machine, DeadlineReached(), second)
    declined = Story().begin()
    declined.get_kept()
    declined.deny("award_over")
    reached.take(declined.machine, ev.MatchFound(CAROL.peer, bytes(32), 1, bytes(16), is_kept=True), 1.0)
    for lost_before in range(2):
        overdue = Story(Terms(lease_s=60.0))
        for person in (BOB, CAROL)[:lost_before]:
            overdue.running(person.peer).lose()
        reached.take(overdue.running(MALLORY.peer).machine, DeadlineReached(), 10_000.0)
    for is_final in (False, True):
        stopping = story(ShardState.RUNNING)
        stopping.feed(ev.GangBroken(1, is_final))
        reached.take(stopping.machine, DeadlineReached(), 10_000.0)
    for code, has_outputs in ENDS:
        shown = story(ShardState.CHECKING)
        shown.show(code, has_outputs=has_outputs)
        reached.take(shown.machine, ev.ResultAccepted(1, "agreed"), 1.0)
    silent = Story().begin().running()
    silent.lose()
    reached.take(
        silent.checking(CAROL.peer).machine, ev.ResultRejected(2, "no_reveal", "", is_again=True), 1.0
    )
    reached.expect_all()


def test_events_before_the_beginning_are_refused_and_change_nothing() -> None:
    for event in events_of(1):
        expect_refused(Story().machine, event)


# --- to a result ----------------------------------------------------------------------------------------------------
def test_shard_goes_from_a_search_to_its_outputs() -> None:
    alice = Story()
    assert names(alice.begin().done) == ["StoreShard", "FindWorker"]
    assert names(alice.find()) == ["StoreShard", "OpenLease"]
    assert alice.opened == [ev.OpenLease(1, BOB.peer, award(1), None)]
    assert names(alice.grant()) == ["StoreShard"]
    assert names(alice.checkpoint(1)) == ["StoreShard", "FetchCheckpoint"]
    assert names(alice.result()) == ["StoreShard", "FetchOutputs"]
    assert names(alice.fetched()) == ["StoreShard", "TakeResult", "EndShard"]
    assert alice.outcome == (ShardState.SUCCEEDED, "succeeded")
    (attempt,) = alice.record.attempts
    assert (attempt.code, attempt.receipt, alice.record.result) == ("succeeded", b"result 1", b"result 1")


def test_result_without_outputs_is_taken_at_once() -> None:
    alice = story(ShardState.RUNNING)
    assert names(alice.result(has_outputs=False)) == ["StoreShard", "TakeResult", "EndShard"]
    assert alice.state is ShardState.SUCCEEDED


def test_result_that_comes_before_the_lease_is_granted_counts() -> None:
    alice = story(ShardState.OPENING)
    alice.result()
    assert alice.state is ShardState.FETCHING
    assert alice.grant() == []
    alice.fetched()
    assert alice.state is ShardState.SUCCEEDED


@pytest.mark.parametrize("state", OVER)
def test_result_that_is_offered_again_after_the_end_is_taken_again(state: ShardState) -> None:  # EXE-15
    alice = story(state)
    outcome = alice.outcome
    assert names(alice.result()) == ["StoreShard", "TakeResult"]
    assert alice.outcome == outcome


def test_lease_that_is_lost_while_outputs_are_fetched_does_not_matter() -> None:
    alice = story(ShardState.FETCHING)
    assert alice.lose() == []
    assert alice.deny("unknown_lease") == []
    alice.fetched()
    assert alice.state is ShardState.SUCCEEDED


@pytest.mark.parametrize("code", ["result_unavailable", "worker_lied"])
def test_outputs_that_cannot_be_had_are_computed_again_elsewhere(code: str) -> None:
    alice = story(ShardState.FETCHING)
    effects = alice.not_fetched(code)
    assert names(effects) == ["StoreShard", "StopLease", "FindWorker"]
    assert effects[1] == ev.StopLease(1, "superseded", 0.0)
    assert (alice.record.result, alice.record.excluded) == (None, (BOB.peer,))
    alice.running(CAROL.peer).result()
    alice.fetched()
    assert [attempt.code for attempt in alice.record.attempts] == [code, "succeeded"]


def test_preemption_notice_is_told_and_changes_nothing() -> None:
    alice = story(ShardState.RUNNING)
    effects = alice.feed(ev.PreemptionNoticed(1, "preempted"))
    assert effects == [ev.TellShard("the worker will stop: preempted")]
    assert alice.state is ShardState.RUNNING


# --- checkpoints ----------------------------------------------------------------------------------------------------
def test_next_lease_goes_on_from_the_newest_checkpoint() -> None:
    alice = story(ShardState.RUNNING)
    for sequence in (1, 2, 3):
        alice.checkpoint(sequence)
    alice.lose()
    alice.find(CAROL.peer)
    assert alice.opened[-1].resume == b"checkpoint 3"
    assert alice.record.checkpoints == (b"checkpoint 2", b"checkpoint 3")


def test_checkpoint_that_is_known_is_not_stored_again() -> None:
    alice = story(ShardState.RUNNING)
    alice.checkpoint(2)
    assert alice.checkpoint(2) == []
    assert alice.checkpoint(1) == []
    assert names(alice.checkpoint(3)) == ["StoreShard", "FetchCheckpoint"]


def test_checkpoint_of_a_worker_that_was_just_given_up_still_helps() -> None:
    alice = story(ShardState.RUNNING)
    alice.lose()
    alice.checkpoint(1)
    alice.find(CAROL.peer)
    assert alice.opened[-1].resume == b"checkpoint 1"


def test_checkpoint_that_cannot_be_opened_gives_way_to_the_one_before() -> None:  # EXE-21
    alice = story(ShardState.RUNNING, Terms(attempts_max=5))
    alice.checkpoint(1)
    alice.checkpoint(2)
    alice.lose()
    alice.running(CAROL.peer).result("checkpoint_unavailable")
    assert alice.record.checkpoints == (b"checkpoint 1",)
    alice.running()
    assert alice.opened[-1].resume == b"checkpoint 1"
    assert names(alice.checkpoint(2)) == ["StoreShard", "FetchCheckpoint"], "its number is free again"
    for _ in range(2):
        alice.result("checkpoint_unavailable")
        alice.running()
    assert alice.opened[-1].resume is None
    assert names(alice.checkpoint(1)) == ["StoreShard", "FetchCheckpoint"], "a chain from the beginning"


# --- restarts -------------------------------------------------------------------------------------------------------
def test_restart_while_looking_for_a_worker_looks_again() -> None:
    assert names(story(ShardState.MATCHING).restart()) == ["StoreShard", "FindWorker"]


def test_restart_in_a_pause_ends_it() -> None:
    alice = story(ShardState.WAITING)
    assert alice.restart() == []
    assert names(alice.wait()) == ["StoreShard", "FindWorker"]


@pytest.mark.parametrize("state", [ShardState.OPENING, ShardState.RUNNING])
def test_restart_under_a_lease_attaches_to_it(state: ShardState) -> None:
    alice = story(state)
    effects = alice.restart(3600)
    assert effects[0] == ev.AttachLease(1, BOB.peer)
    alice.grant()
    assert alice.state is ShardState.RUNNING
    assert len(alice.opened) == 1, "no second lease"


def test_restart_while_fetching_fetches_on() -> None:
    assert story(ShardState.FETCHING).restart() == [ev.FetchOutputs(1, b"result 1")]


def test_restart_twice_before_the_worker_answered_attaches_again() -> None:
    alice = story(ShardState.RUNNING)
    alice.restart()
    assert alice.restart()[0] == ev.AttachLease(1, BOB.peer)


def test_lease_that_the_worker_never_heard_of_costs_neither_side_anything() -> None:
    """Alice's node died between writing the epoch down and sending LeaseOpen."""
    alice = story(ShardState.OPENING)
    alice.restart()
    alice.deny("unknown_lease")
    assert (alice.record.tally.attempts, alice.record.excluded) == (0, ())
    assert alice.record.attempts[-1].code == "restarted"
    alice.running()
    assert alice.epoch == 2


def test_worker_that_has_forgotten_a_lease_is_excluded() -> None:
    for alice in (story(ShardState.RUNNING), story(ShardState.OPENING)):
        alice.restart()
        alice.grant()
        alice.deny("unknown_lease")
        assert alice.record.excluded == (BOB.peer,)


@pytest.mark.parametrize("state", OPEN)
def test_restart_after_the_jobs_time_is_over_fails_the_shard(state: ShardState) -> None:
    alice = story(state, Terms(total_s=5000))
    alice.restart(6000)
    alice.wait()
    assert alice.outcome == (ShardState.FAILED, "deadline_passed")


# --- cancelled ------------------------------------------------------------------------------------------------------
STOPS: dict[ShardState, list[str]] = {
    ShardState.IDLE: [],
    ShardState.MATCHING: ["StopSearch"],
    ShardState.WAITING: [],
    ShardState.OPENING: ["StopLease"],
    ShardState.RUNNING: ["StopLease"],
    ShardState.CHECKING: ["StopLease"],
    ShardState.FETCHING: ["StopLease"],
}


@pytest.mark.parametrize("state", STOPS)
def test_cancel_stops_what_runs_and_ends_the_shard(state: ShardState) -> None:
    alice = story(state)
    assert names(alice.cancel()) == ["StoreShard", *STOPS[state], "EndShard"]
    assert alice.outcome == (ShardState.CANCELLED, "cancelled")
    assert alice.machine.next_deadline() is None
    if state in LEASED:
        assert alice.told(ev.StopLease) == [ev.StopLease(1, "cancelled", 20.0)]
        assert alice.record.attempts[-1].code == "cancelled"


@pytest.mark.parametrize("state", OVER)
def test_cancel_after_the_end_changes_nothing(state: ShardState) -> None:
    alice = story(state)
    outcome = alice.outcome
    assert alice.cancel() == []
    assert alice.outcome == outcome


# --- time-outs ------------------------------------------------------------------------------------------------------
def test_nobody_in_the_queue_time_fails_the_shard_after_a_last_search() -> None:
    alice = Story(Terms(queue_s=12)).begin()
    searches = 0
    while alice.state is not ShardState.FAILED:
        searches += 1
        alice.find_nobody()
        if alice.state is ShardState.WAITING:
            alice.wait()
    assert searches == 4, f"at 0, {NO_MATCH_PAUSE_S:g}, 10 and 12 seconds"
    assert alice.outcome == (ShardState.FAILED, "no_worker")
    assert "no_bids" in alice.record.text


def test_each_search_has_the_whole_queue_time() -> None:
    """A worker that is lost after hours may be missed for a moment; the job waits for another."""
    alice = Story(Terms(queue_s=12)).begin()
    alice.running()
    alice.lose(after_s=10_000)
    alice.find_nobody()
    assert alice.state is ShardState.WAITING


def test_pause_before_an_attempt_is_not_taken_from_its_search() -> None:
    alice = Story(Terms(queue_s=12, pause_s=60)).begin()
    alice.running().result("requeue_asked")
    alice.wait()
    alice.find_nobody()
    assert alice.state is ShardState.WAITING


@pytest.mark.parametrize("state", OPEN)
def test_total_time_out_fails_the_shard_in_any_state(state: ShardState) -> None:
    alice = story(state, Terms(total_s=5000))
    alice.feed(DeadlineReached(), 4999)
    assert alice.state is not ShardState.FAILED
    effects = alice.feed(DeadlineReached(), 1)
    found = ShardState.MATCHING if state is ShardState.WAITING else state  # its pause was over long ago
    assert names(effects) == ["StoreShard", *STOPS[found], "EndShard"]
    assert alice.outcome == (ShardState.FAILED, "deadline_passed")


@pytest.mark.parametrize("state", [ShardState.MATCHING, *LEASED])
def test_without_a_total_time_out_nothing_is_due(state: ShardState) -> None:
    assert story(state).machine.next_deadline() is None


# --- by hand --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("state", [ShardState.FAILED, ShardState.CANCELLED])
def test_retry_by_hand_goes_on_from_the_last_checkpoint_with_a_clean_record(state: ShardState) -> None:
    alice = Story(LAST_ATTEMPT).running()
    alice.checkpoint(1)
    if state is ShardState.FAILED:
        alice.lose()
    else:
        alice.cancel()
    assert alice.state is state
    assert names(alice.retry()) == ["StoreShard", "FindWorker"]
    assert (alice.record.code, alice.record.excluded, alice.record.tally.attempts) == ("", (), 0)
    alice.find(BOB.peer)
    assert alice.opened[-1] == ev.OpenLease(2, BOB.peer, award(2), b"checkpoint 1")


def test_shard_that_succeeded_is_not_tried_again() -> None:
    alice = story(ShardState.SUCCEEDED)
    expect_refused(alice.machine, ev.RetryRequested(at(600), None))
