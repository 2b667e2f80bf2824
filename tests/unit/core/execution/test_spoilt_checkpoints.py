"""What a worker has saved that was found wrong is never gone on from, nor what was saved on top of it; the rest is."""

import pytest

from skyops_p2p.core.execution import shard_events as ev
from skyops_p2p.core.execution.shard_record import ShardState
from skyops_p2p.crypto.node_key import peer_id_to_bytes
from skyops_p2p.types import PeerId
from skyops_p2p.wire.envelope import seal
from tests.unit.core.execution.shard_story import ENDS, Story, Terms
from tests.unit.core.people import ALICE, BOB, CAROL, at
from tests.vectors.execution_examples import checkpoint_receipt

RIGHT = ENDS["succeeded", True]
PEOPLE = {one.peer: one for one in (BOB, CAROL, ALICE)}
"""Alice works too, once: as the third."""
ENDINGS = {
    "wrong, and nobody's is taken": ev.ResultRejected(0, "result_wrong", "", is_again=True),
    "lied": ev.ResultRejected(0, "worker_lied", "", is_again=True),
    "replaced": ev.ResultReplaced(0, RIGHT, "decided", "result_wrong", ""),
    "a failure in its place": ev.ResultReplaced(
        0, ENDS["program_failed", False], "decided", "result_wrong", ""
    ),
    "no majority": ev.ResultRejected(0, "results_differ", ""),
}


def saved(worker: PeerId, epoch: int, sequence: int) -> bytes:
    """Return the receipt of a checkpoint."""
    receipt = checkpoint_receipt(worker=peer_id_to_bytes(worker), epoch=epoch, sequence=sequence)
    return seal(receipt, PEOPLE[worker].node_key, receipt.network)


def save(alice: Story, *sequences: int) -> list[bytes]:
    """Let the worker that has the lease save checkpoints; return their receipts."""
    worker = alice.record.attempts[-1].worker
    receipts = [saved(worker, alice.epoch, number) for number in sequences]
    for number, receipt in zip(sequences, receipts, strict=True):
        alice.feed(ev.CheckpointReceived(alice.epoch, receipt, number))
    return receipts


def end(alice: Story, how: str) -> None:
    """Let the worker commit, show its result, and be judged."""
    alice.commit()
    alice.show()
    event = ENDINGS[how]
    assert isinstance(event, ev.ResultRejected | ev.ResultReplaced)
    fields = {name: getattr(event, name) for name in event.__slots__}
    alice.feed(type(event)(**{**fields, "epoch": alice.epoch}))


def again(alice: Story, worker: PeerId) -> ev.OpenLease:
    """Bring the shard to its next lease, by hand where it has failed; return how that begins."""
    if alice.state is ShardState.FETCHING:
        alice.not_fetched()
    if alice.state is ShardState.FAILED:
        alice.retry()
    alice.opening(worker) if alice.state is ShardState.WAITING else alice.find(worker)
    return alice.opened[-1]


@pytest.mark.parametrize("is_restarted", [False, True], ids=["", "restarted"])
@pytest.mark.parametrize("how", ENDINGS)
def test_nobody_goes_on_from_what_a_wrong_worker_has_saved(how: str, is_restarted: bool) -> None:  # VER-27
    alice = Story(Terms(attempts_max=5)).running(BOB.peer)
    save(alice, 1, 2)
    end(alice, how)
    assert alice.stored.checkpoints == (), "it is gone from the disk as soon as the worker is judged"
    if is_restarted and alice.state is not ShardState.FAILED:
        alice.restart()
        if alice.state is ShardState.MATCHING:
            alice.find_nobody()
    assert again(alice, CAROL.peer).resume is None
    (first,) = save(alice, 1)
    assert alice.record.checkpoints == (first,), "a chain from the beginning"


@pytest.mark.parametrize("how", ENDINGS)
def test_what_an_honest_worker_saved_before_is_still_good(how: str) -> None:
    alice = Story(Terms(attempts_max=5)).running(BOB.peer)
    _, second = save(alice, 1, 2)
    alice.lose()
    alice.running(CAROL.peer)
    save(alice, 3)
    end(alice, how)
    assert alice.record.checkpoints == (second,)
    assert again(alice, ALICE.peer).resume == second
    (third,) = save(alice, 3)
    assert alice.record.checkpoints == (second, third), "its number is free again"


def test_numbers_go_on_from_the_checkpoint_that_is_left_also_where_some_were_never_fetched() -> None:
    alice = Story(Terms(attempts_max=5)).running(BOB.peer)
    (first,) = save(alice, 1)
    alice.lose()
    alice.running(CAROL.peer)
    save(alice, 4)
    end(alice, "lied")
    assert (alice.record.checkpoints, alice.record.checkpoint_sequence) == ((first,), 1)


def test_what_was_saved_on_top_of_a_wrong_workers_state_is_spoilt_too() -> None:
    alice = Story(Terms(attempts_max=5)).running(BOB.peer)
    save(alice, 1)
    alice.lose("preempted")
    alice.running(CAROL.peer)
    save(alice, 2)
    alice.lose("preempted")
    alice.running(BOB.peer)
    end(alice, "lied")
    assert alice.record.checkpoints == ()


def test_where_the_beginning_is_forgotten_it_counts_as_the_wrong_workers() -> None:
    alice = Story(Terms(attempts_max=5)).running(BOB.peer)
    save(alice, 1)
    alice.lose("preempted")
    alice.running(CAROL.peer)
    save(alice, 2, 3)
    alice.lose("preempted")
    alice.running(BOB.peer)
    end(alice, "lied")
    assert alice.record.checkpoints == ()


def test_late_word_of_a_checkpoint_of_a_wrong_worker_comes_too_late() -> None:
    alice = Story(Terms(attempts_max=5)).running(BOB.peer)
    end(alice, "lied")
    assert alice.state is ShardState.MATCHING
    assert alice.feed(ev.CheckpointReceived(1, saved(BOB.peer, 1, 1), 1)) == []
    assert again(alice, CAROL.peer).resume is None


def test_nobody_goes_on_from_what_a_worker_has_saved_that_was_wrong_at_another_shard() -> None:
    alice = Story(Terms(attempts_max=5)).running(BOB.peer)
    (first,) = save(alice, 1)
    alice.lose("preempted")
    alice.running(CAROL.peer)
    save(alice, 2)
    alice.lose("preempted")
    found = ev.MatchFound(ALICE.peer, bytes(32), 1, bytes(16), suspects=(CAROL.peer,))
    alice.feed(found)
    assert alice.opened[-1].resume == first
    assert alice.stored.checkpoints == (first,)


def test_worker_that_shows_nothing_is_not_known_to_be_wrong() -> None:
    alice = Story(Terms(attempts_max=5)).running(BOB.peer)
    (first,) = save(alice, 1)
    alice.commit()
    alice.feed(ev.ResultRejected(1, "no_reveal", "", is_again=True))
    assert again(alice, CAROL.peer).resume == first


def test_retry_by_hand_and_a_restart_know_who_was_wrong() -> None:
    alice = Story(Terms(attempts_max=1)).running(BOB.peer)
    save(alice, 1)
    end(alice, "lied")
    assert alice.outcome == (ShardState.FAILED, "worker_lied")
    alice.feed(ev.RetryRequested(at(600), None))
    alice.restart()
    assert again(alice, CAROL.peer).resume is None
