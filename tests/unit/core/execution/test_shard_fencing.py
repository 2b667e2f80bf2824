"""EXE-4, EXE-5, EXE-6: what comes under an older epoch, or one that never was, changes nothing in any state."""

import pytest

from skyops_p2p.core.execution import shard_events as ev
from skyops_p2p.core.execution.shard_record import ShardState
from skyops_p2p.core.machine import Event
from tests.unit.core.execution.shard_story import Story, story
from tests.unit.core.execution.tables import fields, kinds
from tests.unit.core.people import BOB, CAROL

STATES = [state for state in ShardState if state is not ShardState.IDLE]


def under(epoch: int) -> list[Event]:
    """Return every kind of event that has an epoch."""
    return [
        ev.LeaseGranted(epoch),
        ev.LeaseDenied(epoch, "run_lost", ""),
        ev.LeaseDenied(epoch, "cancelled", ""),
        ev.CheckpointReceived(epoch, b"late checkpoint", 99),
        ev.ResultCommitted(epoch, b"late commitment"),
        ev.RevealWanted(epoch, ()),
        ev.ResultAccepted(epoch, "agreed"),
        ev.ResultRejected(epoch, "result_wrong", ""),
        ev.ResultRejected(epoch, "no_reveal", "", is_again=True),
        ev.ResultReplaced(epoch, b"another's", "decided", "result_wrong", ""),
        ev.ResultReceived(epoch, b"late result", "succeeded", "", has_outputs=True),
        ev.ResultReceived(epoch, b"late result", "succeeded", "", has_outputs=False),
        ev.ResultReceived(epoch, b"late result", "program_failed", "", has_outputs=False),
        ev.LeaseLost(epoch, "worker_lost"),
        ev.PreemptionNoticed(epoch, "preempted"),
        ev.OutputsFetched(epoch),
        ev.OutputsUnavailable(epoch, "result_unavailable", ""),
    ]


def second_lease(state: ShardState) -> Story:
    """A shard whose first lease, bob's, was lost, and that came to a state under its second one, carol's."""
    alice = Story().begin().running(BOB.peer)
    alice.checkpoint(1)
    alice.lose()
    if state in (ShardState.MATCHING, ShardState.WAITING):
        alice.running(CAROL.peer).lose()  # the second loss in a row: there is a pause
        if state is ShardState.MATCHING:
            alice.wait()
        return alice
    alice.find(CAROL.peer)
    if state is ShardState.OPENING:
        return alice
    alice.grant()
    if state is ShardState.CHECKING:
        alice.commit()
    if state in (ShardState.FETCHING, ShardState.SUCCEEDED):
        alice.result()
    if state is ShardState.SUCCEEDED:
        alice.fetched()
    if state is ShardState.FAILED:
        alice.result("program_failed")
    if state is ShardState.CANCELLED:
        alice.cancel()
    return alice


@pytest.mark.parametrize("state", STATES)
def test_every_kind_of_event_under_another_epoch_changes_nothing(state: ShardState) -> None:  # EXE-6
    for epoch in (0, 1, 3, 2**31):
        for event in under(epoch):
            alice = second_lease(state)
            assert (alice.epoch, alice.state) == (2, state)
            before = fields(alice.machine)
            assert alice.feed(event) == []
            assert fields(alice.machine) == before


@pytest.mark.parametrize("state", [ShardState.MATCHING, ShardState.CANCELLED])
def test_nothing_counts_before_the_first_lease(state: ShardState) -> None:
    for event in under(0):
        alice = Story().begin() if state is ShardState.MATCHING else Story()
        if state is ShardState.CANCELLED:
            alice.cancel()
        assert alice.feed(event) == []
        assert alice.state is state


def test_epochs_rise_over_losses_restarts_and_retries() -> None:  # EXE-4
    alice = Story().begin()
    for worker in (BOB.peer, CAROL.peer):
        alice.running(worker).lose()
    alice.restart()
    alice.running().result("program_failed")
    alice.retry()
    alice.opening()
    assert [lease.epoch for lease in alice.opened] == [1, 2, 3, 4]


def test_epoch_is_on_the_disk_before_the_worker_hears_of_it() -> None:  # EXE-4
    alice = Story().begin()
    alice.find()
    assert alice.stored.epoch == 1
    assert alice.stored.lease is not None


def test_late_result_of_the_lost_worker_does_not_end_the_job_of_the_next() -> None:
    alice = second_lease(ShardState.RUNNING)
    alice.feed(ev.ResultReceived(1, b"bob's", "succeeded", "", has_outputs=False))
    assert alice.state is ShardState.RUNNING
    alice.result(has_outputs=False)
    assert alice.record.result == b"result 2"


def test_match_that_ends_when_it_is_not_awaited_is_given_back_and_changes_nothing() -> None:  # EXE-39
    for state in STATES:
        if state is ShardState.MATCHING:
            continue
        alice = story(state)
        before = fields(alice.machine)
        assert kinds(alice.find(CAROL.peer)) == ["PassAward"]
        assert alice.find_nobody() == []
        assert fields(alice.machine) == before
