"""EXE-28, EXE-20: a member of a gang whose others are lost: stopped, saved, blamed for nothing, and run again."""

import pytest

from skyops_p2p import limits
from skyops_p2p.core.execution import shard_events as ev
from skyops_p2p.core.execution.faults import PREEMPTIONS_MAX
from skyops_p2p.core.execution.outcomes import OUTCOMES, Cause
from skyops_p2p.core.execution.shard_record import ShardState
from tests.unit.core.execution.shard_story import Story, Terms, award, names, story
from tests.unit.core.people import BOB

JOBS_OWN = [code for code, outcome in OUTCOMES.items() if outcome.cause is Cause.JOB]
STOP = ev.AskToStop(1, "gang_broken", limits.CHECKPOINT_GRACE_S)


def broken(alice: Story, *, is_final: bool = False) -> Story:
    alice.feed(ev.GangBroken(alice.epoch, is_final))
    return alice


def test_running_member_is_asked_to_stop_and_its_last_checkpoint_counts() -> None:
    alice = story(ShardState.RUNNING)
    alice.checkpoint(1)
    assert STOP in alice.feed(ev.GangBroken(1, is_final=False))
    assert alice.state is ShardState.RUNNING
    alice.checkpoint(2)
    assert names(alice.result("gang_broken")) == ["StoreShard", "TakeResult", "FindWorker"]
    alice.find()
    assert alice.opened[-1].resume == b"checkpoint 2"


def test_broken_gang_is_no_attempt_of_its_members_however_often() -> None:
    alice = Story(Terms(attempts_max=1))
    for _ in range(PREEMPTIONS_MAX + 3):
        broken(alice.running()).result("gang_broken")
    assert (alice.state, alice.record.excluded) == (ShardState.MATCHING, ())
    assert (alice.record.tally.attempts, alice.record.tally.preemptions) == (0, 0)


@pytest.mark.parametrize("code", [*JOBS_OWN, "cancelled", "gang_broken"])
def test_what_a_program_does_about_its_broken_gang_is_not_its_fault(code: str) -> None:
    alice = broken(story(ShardState.RUNNING, Terms(attempts_max=1)))
    alice.result(code)
    assert (alice.state, alice.record.attempts[-1].code) == (ShardState.MATCHING, "gang_broken")


@pytest.mark.parametrize("code", ["worker_lost", "store_full"])
def test_worker_that_fails_while_its_gang_breaks_has_failed(code: str) -> None:
    alice = broken(story(ShardState.RUNNING))
    alice.lose(code)
    assert alice.record.attempts[-1].code == code
    assert alice.record.excluded == (BOB.peer,)


def test_success_that_comes_while_the_gang_breaks_is_a_success() -> None:
    alice = broken(story(ShardState.RUNNING))
    alice.result()
    alice.fetched()
    assert alice.outcome == (ShardState.SUCCEEDED, "succeeded")


def test_member_that_does_not_end_in_time_is_given_up_without_blame() -> None:
    alice = broken(story(ShardState.RUNNING))
    assert alice.machine.next_deadline() == alice.now + limits.CHECKPOINT_GRACE_S + limits.GANG_SAVE_S
    assert names(alice.wait()) == ["StoreShard", "StopLease", "FindWorker"]
    assert (alice.record.attempts[-1].code, alice.record.excluded) == ("gang_broken", ())
    assert alice.result("gang_broken") == [], "too late: another lease is looked for"


def test_member_whose_lease_is_being_opened_is_stopped_once_it_stands() -> None:
    alice = broken(story(ShardState.OPENING))
    assert alice.machine.next_deadline() is None
    assert STOP in alice.grant()


def test_member_is_asked_once() -> None:
    alice = broken(broken(story(ShardState.RUNNING)))
    assert alice.told(ev.AskToStop) == [STOP]


def test_break_of_an_older_lease_changes_nothing() -> None:  # EXE-6
    alice = story(ShardState.RUNNING)
    alice.lose()
    alice.running().feed(ev.GangBroken(1, is_final=True))
    alice.result()
    alice.fetched()
    assert alice.state is ShardState.SUCCEEDED


# --- for good -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("state", [ShardState.MATCHING, ShardState.WAITING])
def test_member_that_is_being_looked_for_fails_with_its_gang(state: ShardState) -> None:
    alice = broken(story(state), is_final=True)
    assert alice.outcome == (ShardState.FAILED, "gang_failed")
    assert bool(alice.told(ev.StopSearch)) == (state is ShardState.MATCHING)


@pytest.mark.parametrize("state", [ShardState.MATCHING, ShardState.WAITING])
def test_member_that_is_being_looked_for_does_not_mind_a_break(state: ShardState) -> None:
    assert story(state).feed(ev.GangBroken(0, is_final=False)) == []


@pytest.mark.parametrize("code", ["gang_broken", "program_failed"])
def test_running_member_is_saved_and_fails_with_its_gang(code: str) -> None:
    alice = broken(broken(story(ShardState.RUNNING)), is_final=True)
    alice.checkpoint(1)
    alice.result(code)
    assert alice.outcome == (ShardState.FAILED, "gang_failed")
    alice.retry()
    alice.find()
    assert alice.opened[-1].resume == b"checkpoint 1"


def test_result_on_its_way_does_not_suffer_from_the_gang() -> None:
    alice = broken(story(ShardState.FETCHING), is_final=True)
    alice.fetched()
    assert alice.state is ShardState.SUCCEEDED


# --- liars, restarts, cuts ------------------------------------------------------------------------------------------
def test_worker_that_speaks_of_a_broken_gang_by_itself_has_lied() -> None:  # EXE-20
    alice = story(ShardState.RUNNING)
    alice.result("gang_broken")
    assert alice.record.attempts[-1].code == "worker_lied"


def test_stop_that_a_restart_has_forgotten_is_no_lie_of_the_worker() -> None:
    alice = broken(story(ShardState.RUNNING))
    alice.restart()
    alice.grant()
    alice.result("gang_broken")
    assert (alice.record.attempts[-1].code, alice.record.excluded) == ("gang_broken", ())


def test_cancelled_while_it_stops_is_cancelled() -> None:
    alice = broken(story(ShardState.RUNNING))
    assert "StopLease" in names(alice.cancel())
    assert alice.outcome == (ShardState.CANCELLED, "cancelled")


def test_notice_is_remembered_as_long_as_the_lease() -> None:
    alice = story(ShardState.RUNNING)
    alice.feed(ev.PreemptionNoticed(1, "preempted"))
    assert alice.machine.is_noticed
    alice.result("preempted")
    assert not alice.machine.is_noticed


@pytest.mark.parametrize(("back", "resume"), [(0, b"checkpoint 2"), (1, b"checkpoint 1"), (2, None)])
def test_member_goes_on_from_the_cut_of_its_gang(back: int, resume: bytes | None) -> None:
    alice = story(ShardState.RUNNING)
    for sequence in (1, 2):
        alice.checkpoint(sequence)
    alice.lose()
    found = ev.MatchFound(BOB.peer, award(2), price=1, tender_job=award(2)[:16], checkpoints_back=back)
    alice.feed(found)
    assert alice.opened[-1].resume == resume
