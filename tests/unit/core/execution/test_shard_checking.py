"""A shard whose result is compared: it waits with a commitment, and takes, gives up or replaces what was shown."""

import pytest

from skyops_p2p.core.execution import shard_events as ev
from skyops_p2p.core.execution.shard_record import ShardState
from tests.unit.core.execution.shard_story import ENDS, Story, Terms, names, story
from tests.unit.core.people import BOB, CAROL, at

RIGHT = ENDS["succeeded", True]


def shown(code: str = "succeeded", *, has_outputs: bool = True) -> Story:
    """A shard whose worker has committed, and shown its result."""
    alice = story(ShardState.CHECKING)
    alice.show(code, has_outputs=has_outputs)
    return alice


def test_commitment_is_on_the_disk_before_anything_follows_from_it() -> None:
    alice = story(ShardState.RUNNING)
    assert names(alice.commit()) == ["StoreShard"]
    assert alice.stored.attempts[-1].commit == b"commitment 1"
    assert alice.commit() == [], "told again after an attach"


def test_worker_is_asked_to_show_what_it_has_with_the_others_commitments() -> None:
    alice = story(ShardState.CHECKING)
    assert alice.feed(ev.RevealWanted(1, (b"a", b"b"))) == [ev.AskToReveal(1, (b"a", b"b"))]


def test_result_that_was_shown_is_not_taken_before_somebody_says_so() -> None:
    alice = story(ShardState.CHECKING)
    assert names(alice.show()) == ["StoreShard"]
    assert (alice.state, alice.record.result) == (ShardState.CHECKING, None)
    assert alice.record.attempts[-1].reveal == b"reveal"
    assert alice.show("program_failed") == [], "the first counts"
    assert names(alice.feed(ev.ResultAccepted(1, "agreed"))) == ["StoreShard", "FetchOutputs"]
    assert names(alice.fetched()) == ["StoreShard", "TakeResult", "EndShard"]
    assert (alice.outcome, alice.record.checked) == ((ShardState.SUCCEEDED, "succeeded"), "agreed")


def test_result_that_was_not_shown_cannot_be_taken() -> None:
    alice = story(ShardState.CHECKING)
    assert alice.feed(ev.ResultAccepted(1, "agreed")) == []
    assert alice.state is ShardState.CHECKING


def test_replica_whose_outputs_nobody_wants_ends_at_once() -> None:
    alice = shown()
    effects = alice.feed(ev.ResultAccepted(1, "agreed", keeps_outputs=False))
    assert names(effects) == ["StoreShard", "TakeResult", "EndShard"]


def test_failure_of_the_program_that_all_saw_is_the_jobs() -> None:
    alice = shown("program_failed", has_outputs=False)
    effects = alice.feed(ev.ResultAccepted(1, "agreed"))
    assert names(effects) == ["StoreShard", "TakeResult", "EndShard"]
    assert alice.outcome == (ShardState.FAILED, "program_failed")


def test_wrong_result_is_not_taken_and_its_worker_not_paid_further() -> None:
    alice = shown()
    effects = alice.feed(ev.ResultRejected(1, "result_wrong", "not that of the majority"))
    assert names(effects) == ["StoreShard", "StopLease", "EndShard"]
    assert alice.outcome == (ShardState.FAILED, "result_wrong")
    assert alice.record.result is None


def test_wrong_result_gives_way_to_another_workers() -> None:
    alice = shown()
    effects = alice.feed(ev.ResultReplaced(1, RIGHT, "decided", "result_wrong", ""))
    assert names(effects) == ["StoreShard", "StopLease", "FetchOutputs"]
    assert alice.record.excluded == (BOB.peer,)
    assert names(alice.fetched()) == ["StoreShard", "EndShard"], "who was wrong is not told that it is taken"
    assert alice.outcome == (ShardState.SUCCEEDED, "succeeded")
    assert alice.record.result == RIGHT
    assert alice.record.attempts[-1].code == "result_wrong"


def test_restart_while_another_workers_outputs_are_fetched_goes_on_with_them() -> None:
    alice = shown()
    alice.feed(ev.ResultReplaced(1, RIGHT, "decided", "result_wrong", ""))
    assert alice.restart() == [ev.FetchOutputs(1, RIGHT)]
    alice.fetched()
    assert alice.outcome == (ShardState.SUCCEEDED, "succeeded")


def test_other_workers_outputs_that_cannot_be_had_are_computed_again() -> None:
    alice = shown()
    alice.feed(ev.ResultReplaced(1, RIGHT, "decided", "result_wrong", ""))
    alice.not_fetched()
    assert (alice.state, alice.record.result) == (ShardState.WAITING, None)
    alice.wait()
    alice.find(CAROL.peer)
    assert alice.record.checked == "", "what was said of the first result is not said of the second"


def test_failure_that_the_majority_saw_ends_a_shard_whose_worker_claimed_success() -> None:
    alice = shown()
    alice.feed(ev.ResultReplaced(1, ENDS["program_failed", False], "decided", "result_wrong", ""))
    assert alice.outcome == (ShardState.FAILED, "program_failed")


def test_worker_that_shows_nothing_is_followed_by_another() -> None:
    alice = story(ShardState.CHECKING)
    effects = alice.feed(ev.ResultRejected(1, "no_reveal", "", is_again=True))
    assert names(effects) == ["StoreShard", "StopLease", "FindWorker"]
    assert alice.record.excluded == (BOB.peer,)


@pytest.mark.parametrize("ending", ["lost", "denied"])
def test_worker_that_is_lost_after_it_committed_is_noted_and_may_come_back(ending: str) -> None:
    alice = story(ShardState.CHECKING)
    effects = alice.lose() if ending == "lost" else alice.deny("run_lost")
    assert names(effects) == []
    assert alice.machine.is_gone
    assert alice.state is ShardState.CHECKING
    alice.grant()
    assert not alice.machine.is_gone


def test_restart_with_a_commitment_attaches_again_and_still_waits() -> None:
    alice = story(ShardState.CHECKING)
    assert alice.restart() == [ev.AttachLease(1, BOB.peer)]
    assert alice.grant() == []
    alice.show()
    assert alice.state is ShardState.CHECKING


def test_cancelling_ends_a_lease_whose_result_is_compared() -> None:
    assert names(shown().cancel()) == ["StoreShard", "StopLease", "EndShard"]


def test_jobs_time_is_over_for_what_is_compared_too() -> None:
    alice = story(ShardState.CHECKING, Terms(total_s=900.0))
    alice.wait()
    assert alice.outcome == (ShardState.FAILED, "deadline_passed")


def test_result_that_is_doubted_is_computed_anew_by_another_from_the_beginning() -> None:  # VER-23
    alice = shown()
    alice.feed(ev.ResultAccepted(1, "not_drawn"))
    alice.fetched()
    assert alice.outcome == (ShardState.SUCCEEDED, "succeeded")
    effects = alice.feed(ev.ResultDoubted(at(600), None))
    assert names(effects) == ["StoreShard", "FindWorker"]
    assert ev.FindWorker((BOB.peer,)) in effects
    record = alice.record
    assert (record.state, record.result, record.checked, record.code) == (ShardState.MATCHING, None, "", "")
    assert (record.attempts[-1].code, record.checkpoints) == ("worker_doubted", ())
    alice.find(CAROL.peer)
    assert alice.record.epoch == 2


def test_result_that_no_lot_falls_on_says_so_in_the_record() -> None:  # VER-16
    alice = Story().begin().running()
    alice.feed(ev.ResultCommitted(1, b"commitment", is_spared=True))
    assert alice.record.attempts[-1].is_spared
