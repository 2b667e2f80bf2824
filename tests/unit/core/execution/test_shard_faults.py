"""EXE-20 and the faults of a shard: what is tried again, where, when, and how often."""

import pytest

from skyops_p2p import limits
from skyops_p2p.core.execution import shard_events as ev
from skyops_p2p.core.execution.faults import PREEMPTIONS_MAX, longest_lease_s
from skyops_p2p.core.execution.outcomes import EXCUSED, OUTCOMES, PASSING, Cause
from skyops_p2p.core.execution.shard_record import ShardState
from skyops_p2p.core.machine import DeadlineReached
from tests.unit.core.execution.shard_story import Story, Terms, names, story
from tests.unit.core.people import BOB, CAROL, MALLORY, crowd

JOBS_OWN = [code for code, outcome in OUTCOMES.items() if outcome.cause is Cause.JOB]
LOSSES = [code for code, outcome in OUTCOMES.items() if outcome.cause in (Cause.WORKER, Cause.NETWORK)]
WISHES = [
    code for code, outcome in OUTCOMES.items() if outcome.cause is Cause.REQUESTER and code not in EXCUSED
]


# --- the job's own ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("code", [code for code in JOBS_OWN if code != "requeue_asked"])
def test_fault_of_the_job_is_not_tried_elsewhere(code: str) -> None:
    alice = story(ShardState.RUNNING)
    assert names(alice.result(code)) == ["StoreShard", "TakeResult", "EndShard"]
    assert alice.outcome == (ShardState.FAILED, code)
    assert alice.record.text == "in words"
    assert alice.record.attempts[-1].receipt == b"result 1", "what the worker signed is kept"


def test_program_that_asks_for_another_attempt_gets_it_after_a_pause_by_anybody() -> None:
    alice = story(ShardState.RUNNING)
    assert names(alice.result("requeue_asked")) == ["StoreShard", "TakeResult"]
    assert alice.state is ShardState.WAITING
    assert alice.record.excluded == ()
    assert alice.machine.next_deadline() == alice.now + 5


def test_attempts_are_bounded() -> None:
    alice = Story(Terms(attempts_max=3))
    for _ in range(3):
        alice.running().result("requeue_asked")
    assert alice.outcome == (ShardState.FAILED, "requeue_asked")
    assert alice.epoch == 3


def test_one_attempt_means_no_second_one() -> None:
    alice = story(ShardState.RUNNING, Terms(attempts_max=1))
    alice.lose()
    assert alice.outcome == (ShardState.FAILED, "worker_lost")
    assert "attempt 1 of 1" in alice.record.text


# --- losses -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("code", LOSSES)
def test_first_loss_is_tried_again_at_once_without_that_worker(code: str) -> None:
    alice = story(ShardState.RUNNING)
    effects = alice.lose(code)
    assert names(effects) == ["StoreShard", "FindWorker"]
    assert ev.FindWorker((BOB.peer,)) in effects
    assert alice.record.attempts[-1].code == code


def test_losses_in_a_row_pause_longer_each_time_up_to_five_minutes() -> None:
    alice = Story(Terms(attempts_max=12))
    pauses = []
    for person in crowd(11):
        alice.running(person.peer).lose()
        deadline = alice.machine.next_deadline()
        pauses.append(0 if deadline is None else deadline - alice.now)
    assert pauses == [0, 10, 20, 40, 80, 160, 300, 300, 300, 300, 300]
    assert pauses[-1] == limits.JOB_BACKOFF_S_MAX


def test_checkpoint_ends_the_row_of_failures() -> None:
    alice = Story(Terms(attempts_max=9))
    for person in crowd(4):
        alice.running(person.peer).lose()
    alice.running(CAROL.peer).checkpoint(1)
    alice.lose()
    assert alice.state is ShardState.MATCHING, "at once, as after the first"


def test_loss_is_not_tried_again_if_the_job_says_so() -> None:
    alice = story(ShardState.RUNNING, Terms(is_after_loss=False))
    alice.lose()
    assert alice.outcome == (ShardState.FAILED, "worker_lost")
    assert "is_after_loss" in alice.record.text


def test_worker_that_comes_to_no_end_is_given_up_and_told_so() -> None:  # EXE-36
    alice = story(ShardState.RUNNING, Terms(lease_s=8730.0))
    assert alice.machine.next_deadline() == alice.now + 8730.0
    alice.feed(DeadlineReached(), 8729.0)
    assert alice.state is ShardState.RUNNING
    effects = alice.feed(DeadlineReached(), 1.0)
    assert alice.record.attempts[-1].code == "worker_overdue"
    assert ev.StopLease(1, "superseded", 0.0) in effects
    assert ev.FindWorker((BOB.peer,)) in effects


def test_time_for_a_lease_begins_anew_with_the_next_worker_and_ends_with_its_result() -> None:  # EXE-36
    alice = story(ShardState.RUNNING, Terms(lease_s=100.0))
    alice.lose(after_s=90.0)
    alice.running(CAROL.peer)
    alice.feed(DeadlineReached(), 90.0)
    assert alice.state is ShardState.RUNNING
    alice.result()
    alice.feed(DeadlineReached(), 90.0)
    assert alice.state is ShardState.FETCHING


def test_longest_lease_has_room_for_every_step() -> None:  # EXE-36
    assert longest_lease_s(600.0) == 600.0 + 8130.0


def test_session_that_cannot_be_opened_excludes_the_worker() -> None:
    alice = story(ShardState.OPENING)
    assert ev.FindWorker((BOB.peer,)) in alice.deny("session_failed")


def test_all_failed_workers_stay_excluded() -> None:
    alice = Story(Terms(attempts_max=5))
    for worker in (BOB.peer, CAROL.peer, MALLORY.peer):
        alice.running(worker).result("sandbox_failed")
    assert set(alice.record.excluded) == {BOB.peer, CAROL.peer, MALLORY.peer}
    alice.wait()
    alice.find_nobody()
    assert set(alice.record.excluded) == {BOB.peer, CAROL.peer, MALLORY.peer}


@pytest.mark.parametrize("code", [*sorted(PASSING), "session_failed", "input_unavailable"])
def test_who_only_could_not_may_come_back_when_nobody_else_takes_the_job(code: str) -> None:
    alice = story(ShardState.OPENING)
    assert ev.FindWorker((BOB.peer,)) in alice.deny(code)
    alice.find_nobody()
    assert ev.FindWorker(()) in alice.wait()


@pytest.mark.parametrize("codes", [("worker_lost", "sandbox_failed"), ("sandbox_failed", "worker_lost")])
def test_who_has_failed_once_does_not_come_back_for_being_lost(codes: tuple[str, ...]) -> None:
    alice = Story(Terms(attempts_max=5))
    for code in codes:
        alice.running().lose(code)
    alice.find_nobody()
    assert ev.FindWorker((BOB.peer,)) in alice.wait()


def test_what_is_kept_of_attempts_and_exclusions_is_bounded() -> None:
    alice = Story(Terms(attempts_max=400))
    for person in crowd(300):
        alice.running(person.peer).lose()
    assert (len(alice.record.attempts), len(alice.record.excluded)) == (32, limits.JOB_PEERS_MAX)
    assert alice.epoch == 300


# --- preemption -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("code", ["preempted", "worker_leaving"])
def test_preemption_is_no_attempt_and_looks_elsewhere_at_once(code: str) -> None:
    alice = story(ShardState.RUNNING, Terms(attempts_max=1))
    effects = alice.result(code)
    assert names(effects) == ["StoreShard", "TakeResult", "FindWorker"]
    assert ev.FindWorker((BOB.peer,)) in effects
    assert (alice.record.tally.attempts, alice.record.tally.preemptions) == (0, 1)


def test_worker_that_preempted_may_come_back_when_nobody_else_takes_the_job() -> None:
    alice = story(ShardState.RUNNING)
    alice.result("preempted")
    alice.find_nobody()
    assert ev.FindWorker(()) in alice.wait()


def test_worker_that_preempted_and_failed_does_not_come_back() -> None:
    alice = Story(Terms(attempts_max=5))
    alice.running().result("preempted")
    alice.running().lose("sandbox_failed")
    alice.find_nobody()
    assert ev.FindWorker((BOB.peer,)) in alice.wait()


def test_preemptions_without_end_are_counted_in_the_end() -> None:
    alice = Story(Terms(attempts_max=2))
    while alice.state is not ShardState.FAILED:
        alice.running().result("preempted")
        assert alice.epoch <= PREEMPTIONS_MAX + 2
    assert alice.epoch == PREEMPTIONS_MAX + 2
    assert alice.outcome == (ShardState.FAILED, "preempted")


# --- the requester's own ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("code", ["requester_silent", "not_taken", "chain_unavailable"])
def test_absence_of_the_requester_costs_no_attempt_and_nobody_is_excluded(code: str) -> None:
    alice = story(ShardState.RUNNING, Terms(attempts_max=1))
    alice.deny(code)
    assert (alice.state, alice.record.tally.attempts, alice.record.excluded) == (ShardState.WAITING, 0, ())


def test_worker_that_knows_a_newer_epoch_is_avoided() -> None:
    alice = story(ShardState.OPENING)
    alice.deny("stale_epoch")
    assert alice.record.excluded == (BOB.peer,)


# --- words of liars ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("code", ["succeeded", *WISHES, *JOBS_OWN])
def test_refusal_never_ends_a_job(code: str) -> None:  # EXE-20
    alice = story(ShardState.OPENING)
    alice.deny(code)
    assert alice.state is ShardState.MATCHING
    assert alice.record.attempts[-1].code == "worker_lied"
    assert alice.record.excluded == (BOB.peer,)


@pytest.mark.parametrize("code", WISHES)
def test_result_that_speaks_of_a_wish_that_nobody_had_is_a_lie(code: str) -> None:  # EXE-20
    alice = story(ShardState.RUNNING)
    alice.result(code)
    assert alice.state is ShardState.MATCHING
    assert alice.record.attempts[-1].code == "worker_lied"


def test_code_that_nobody_knows_counts_as_the_workers_doing() -> None:
    alice = story(ShardState.RUNNING)
    alice.result("gremlins")
    assert (alice.state, alice.record.excluded) == (ShardState.MATCHING, (BOB.peer,))
