"""EXE-7, EXE-8: beats, suspicion, witnesses, and when a side is given up."""

import itertools
from dataclasses import replace

import pytest

from skyops_p2p.core.execution.lease import (
    AskWitnesses,
    LapseLease,
    Lease,
    LeaseCloseRequested,
    LeaseState,
    LeaseTimes,
    LinkLost,
    LinkRestored,
    PeerHeard,
    RestoreLink,
    SendBeat,
    WitnessesAnswered,
)
from skyops_p2p.core.machine import DeadlineReached, Event
from tests.unit.core.execution.tables import Reached, Step, expect_refused, step, walk
from tests.unit.core.people import at

TIMES = LeaseTimes(beat_s=1.0, suspect_s=4.0, witness_s=3.0, ttl_s=120.0)
DEAD, ALIVE = WitnessesAnswered(is_alive=False), WitnessesAnswered(is_alive=True)
CLOSE = LeaseCloseRequested("done")
EVENTS: tuple[Step, ...] = (
    (PeerHeard(), 130),
    (LinkLost(), 130),
    (LinkRestored(), 130),
    (DEAD, 130),
    (ALIVE, 130),
    (CLOSE, 130),
    *((DeadlineReached(), after_s) for after_s in (0.5, 5, 130, 300)),
)
WAYS: dict[str, tuple[LeaseState, tuple[Step, ...]]] = {
    "held": (LeaseState.HELD, ()),
    "suspect without a link": (LeaseState.SUSPECT, ((LinkLost(), 0),)),
    "suspect for its silence": (LeaseState.SUSPECT, ((DeadlineReached(), 4),)),
    "lapsed": (LeaseState.LAPSED, ((DeadlineReached(), 120),)),
    "closed": (LeaseState.CLOSED, ((CLOSE, 0),)),
}


def alice() -> Lease:
    """The requester's side."""
    return Lease(7, at(0), is_requester=True, times=TIMES)


def bob() -> Lease:
    """The worker's side."""
    return Lease(7, at(0), is_requester=False, times=TIMES)


# --- the table ------------------------------------------------------------------------------------------------------
def test_every_pair_of_the_table_is_reached_on_some_side_and_nothing_else() -> None:
    reached = Reached(Lease.TRANSITIONS)
    for make, (state, steps), (event, after_s) in itertools.product((alice, bob), WAYS.values(), EVENTS):
        machine = walk(make(), steps)
        assert machine.state is state
        reached.take(machine, event, after_s)
    reached.expect_all()


@pytest.mark.parametrize("way", WAYS)
def test_foreign_event_is_refused_and_changes_nothing(way: str) -> None:
    expect_refused(walk(alice(), WAYS[way][1]), Event())


@pytest.mark.parametrize("way", ["lapsed", "closed"])
def test_what_is_over_stays_over_and_wants_nothing(way: str) -> None:
    machine = walk(alice(), WAYS[way][1])
    code = machine.code
    for event, after_s in EVENTS:
        assert step(machine, event, after_s) == []
    assert (machine.state, machine.code) == (WAYS[way][0], code)
    assert machine.next_deadline() is None


# --- beats ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("make", [alice, bob])
def test_each_side_sends_a_beat_every_second_while_it_hears_the_other(make) -> None:
    lease = make()
    for second in range(1, 200):
        assert lease.next_deadline() == at(second)
        assert step(lease, DeadlineReached(), second) == [SendBeat()]
        assert step(lease, PeerHeard(), second) == []
    assert lease.state is LeaseState.HELD


def test_no_beat_is_sent_where_there_is_no_link() -> None:
    lease = walk(bob(), [(LinkLost(), 0.5)])
    assert lease.next_deadline() == at(120)
    assert step(lease, DeadlineReached(), 50) == []


def test_link_restored_is_answered_with_a_beat_at_once() -> None:
    lease = walk(bob(), [(LinkLost(), 0.5)])
    assert step(lease, LinkRestored(), 60) == [SendBeat()]
    assert lease.state is LeaseState.HELD
    assert lease.next_deadline() == at(61)


def test_side_that_is_heard_on_its_old_link_gets_beats_again() -> None:
    """A second session could not be opened, and the first one is slow but alive."""
    lease = walk(alice(), [(DeadlineReached(), 4), (LinkLost(), 5), (PeerHeard(), 6)])
    assert lease.state is LeaseState.HELD
    assert step(lease, DeadlineReached(), 7) == [SendBeat()]


# --- suspicion ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("way", ["suspect without a link", "suspect for its silence"])
def test_requester_that_doubts_restores_the_link_and_asks_witnesses(way: str) -> None:
    lease = alice()
    ((event, after_s),) = WAYS[way][1]
    assert step(lease, event, after_s)[-2:] == [RestoreLink(), AskWitnesses(1)]
    assert lease.state is LeaseState.SUSPECT


def test_worker_that_doubts_asks_nobody_and_waits() -> None:
    lease = bob()
    assert step(lease, DeadlineReached(), 4) == [SendBeat()]
    assert lease.state is LeaseState.SUSPECT
    for event in (DEAD, ALIVE):
        assert step(lease, event, 5) == []
        assert lease.state is LeaseState.SUSPECT


def test_silence_below_four_seconds_is_no_doubt() -> None:
    lease = alice()
    assert step(lease, DeadlineReached(), 3.99) == [SendBeat()]
    assert lease.state is LeaseState.HELD


def test_worker_lost_and_witnesses_say_dead_lapses_long_before_the_ttl() -> None:
    lease = walk(alice(), [(LinkLost(), 10)])
    assert step(lease, DEAD, 13) == [LapseLease("worker_lost")]
    assert (lease.state, lease.code) == (LeaseState.LAPSED, "worker_lost")


def test_witnesses_who_reach_the_worker_keep_the_lease_until_the_ttl_and_no_longer() -> None:
    lease = walk(alice(), [(PeerHeard(), 10), (LinkLost(), 10)])
    lapsed: list[float] = []
    while (deadline := lease.next_deadline()) is not None:
        second = deadline - at(0)
        effects = step(lease, DeadlineReached(), second)
        if effects == [LapseLease("worker_silent")]:
            lapsed.append(second)
        elif AskWitnesses in map(type, effects):
            step(lease, ALIVE, second + 0.5)
            assert lease.state is LeaseState.SUSPECT
    assert lapsed == [130]
    assert lease.code == "worker_silent"


def test_witnesses_who_do_not_answer_decide_nothing_and_are_asked_again() -> None:
    lease = walk(alice(), [(LinkLost(), 10)])
    for number, second in enumerate((13, 16, 19), 2):
        assert lease.next_deadline() == at(second)
        assert step(lease, DeadlineReached(), second) == [RestoreLink(), AskWitnesses(number)]
    assert lease.state is LeaseState.SUSPECT


def test_link_restored_ends_the_doubt_and_late_witnesses_are_not_heard() -> None:
    lease = walk(alice(), [(LinkLost(), 10), (LinkRestored(), 11)])
    assert step(lease, DEAD, 12) == []
    assert lease.state is LeaseState.HELD


def test_verdict_about_an_older_doubt_does_not_count_in_the_next_one() -> None:
    lease = walk(alice(), [(LinkLost(), 10), (LinkRestored(), 12), (LinkLost(), 14)])
    assert step(lease, replace(DEAD, asked=1), 15) == []
    assert lease.state is LeaseState.SUSPECT
    assert step(lease, replace(DEAD, asked=2), 16) == [LapseLease("worker_lost")]


def test_verdict_of_an_earlier_question_about_the_same_doubt_counts() -> None:
    lease = walk(alice(), [(LinkLost(), 10), (DeadlineReached(), 13)])
    assert step(lease, replace(DEAD, asked=1), 13.5) == [LapseLease("worker_lost")]


def test_worker_that_breaks_each_session_at_once_costs_one_attempt_a_second() -> None:
    lease, attempts, second = alice(), [], 10.0
    while second < 20:
        effects = step(lease, LinkLost(), second)
        if RestoreLink() not in effects:
            deadline = lease.next_deadline()
            assert deadline is not None
            second = deadline - at(0)
            effects = step(lease, DeadlineReached(), second)
        assert RestoreLink() in effects
        attempts.append(second)
        step(lease, LinkRestored(), second + 0.01)
        second += 0.02
    assert len(attempts) == 11, "at 10, 11, … 20 seconds"
    assert all(second - first >= TIMES.beat_s for first, second in itertools.pairwise(attempts))


def test_link_lost_while_in_doubt_waits_for_the_next_question() -> None:
    lease = walk(alice(), [(LinkLost(), 10)])
    assert step(lease, LinkLost(), 10.2) == []
    assert lease.next_deadline() == at(13)


# --- giving up ------------------------------------------------------------------------------------------------------
def test_requester_silent_for_the_ttl_makes_the_worker_stop() -> None:
    lease = bob()
    step(lease, DeadlineReached(), 4)
    assert step(lease, DeadlineReached(), 119.9) == [SendBeat()]
    assert step(lease, DeadlineReached(), 120) == [LapseLease("requester_silent")]  # EXE-8


def test_requester_heard_in_the_last_moment_keeps_the_lease() -> None:
    lease = walk(bob(), [(LinkLost(), 1), (DeadlineReached(), 119), (LinkRestored(), 119.5)])
    step(lease, DeadlineReached(), 130)
    assert lease.state is LeaseState.SUSPECT
    step(lease, PeerHeard(), 131)
    assert lease.state is LeaseState.HELD


@pytest.mark.parametrize(("make", "code"), [(alice, "worker_silent"), (bob, "requester_silent")])
def test_process_that_was_frozen_past_the_ttl_gives_up_without_doubting_first(make, code: str) -> None:
    lease = make()
    assert step(lease, DeadlineReached(), 1000) == [LapseLease(code)]


def test_ttl_of_the_lease_open_counts() -> None:
    lease = Lease(1, at(0), is_requester=False, times=replace(TIMES, ttl_s=2.0))
    step(lease, DeadlineReached(), 1.9)
    assert step(lease, DeadlineReached(), 2.0) == [LapseLease("requester_silent")]


def test_lease_that_was_closed_says_why_and_asks_for_nothing() -> None:
    lease = walk(alice(), [(LinkLost(), 1), (LeaseCloseRequested("cancelled"), 2)])
    assert (lease.state, lease.code, lease.next_deadline()) == (LeaseState.CLOSED, "cancelled", None)
