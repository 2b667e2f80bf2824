"""PER-21 to PER-23, PER-28: from PENDING to a verdict, and back."""

import itertools

import pytest

from skyops_p2p.core.machine import DeadlineReached, Effect, Event
from skyops_p2p.core.presence import (
    AskWitnesses,
    BeatReceived,
    ContactLost,
    EquivocationProven,
    ExpireNode,
    LifeSeen,
    NodeState,
    Presence,
    PresenceTimes,
    ProbeDirectly,
    ProbeFailed,
    RecordAccepted,
    RecordExpired,
    StakeChecked,
    StateChanged,
    WitnessAnswered,
)
from skyops_p2p.errors import UnexpectedEvent
from tests.unit.core.people import BOB, at

TIMES = PresenceTimes()
BEAT = BeatReceived(interval_s=10.0, is_leaving=False)
GOODBYE = BeatReceived(interval_s=10.0, is_leaving=True)
EVENTS: tuple[Event, ...] = (
    RecordAccepted(),
    RecordExpired(),
    StakeChecked(is_sufficient=True),
    StakeChecked(is_sufficient=False),
    BEAT,
    GOODBYE,
    LifeSeen(),
    ContactLost(),
    ProbeFailed(),
    WitnessAnswered(is_alive=True),
    WitnessAnswered(is_alive=False),
    EquivocationProven(),
    DeadlineReached(),
)
WAYS: dict[str, tuple[NodeState, tuple[Event, ...]]] = {
    "new": (NodeState.PENDING, ()),
    "alive without a record": (NodeState.PENDING, (LifeSeen(),)),
    "a record without life": (NodeState.PENDING, (RecordAccepted(),)),
    "active": (NodeState.ACTIVE, (RecordAccepted(), BEAT)),
    "suspect": (NodeState.SUSPECT, (RecordAccepted(), BEAT, ContactLost())),
    "suspect before witnesses": (NodeState.SUSPECT, (RecordAccepted(), BEAT, ContactLost(), ProbeFailed())),
    "suspect whose record ran out": (
        NodeState.SUSPECT,
        (RecordAccepted(), BEAT, ContactLost(), ProbeFailed(), RecordExpired()),
    ),
    "inactive": (NodeState.INACTIVE, (RecordAccepted(), GOODBYE)),
    "inactive without a record": (NodeState.INACTIVE, (ProbeFailed(),)),
    "slashed": (NodeState.SLASHED, (EquivocationProven(),)),
}


def node(*events: Event, needs_stake: bool = False) -> Presence:
    machine = Presence(BOB.peer, TIMES, at(0), needs_stake=needs_stake)
    for event in events:
        step(machine, event)
    return machine


def step(machine: Presence, event: Event, after_s: float = 0.0) -> list[Effect]:
    effects = list(machine.handle(event, at(after_s)))
    machine.check_invariants()
    return effects


@pytest.mark.parametrize(("way", "event"), list(itertools.product(WAYS, EVENTS)), ids=str)
@pytest.mark.parametrize("needs_stake", [False, True])
def test_every_entry_of_the_table(way: str, event: Event, needs_stake: bool) -> None:
    state, events = WAYS[way]
    stake = (StakeChecked(is_sufficient=True),) if needs_stake else ()
    machine = node(*stake, *events, needs_stake=needs_stake)
    assert machine.state is state
    effects = step(machine, event, after_s=1.0)
    assert machine.state in Presence.TRANSITIONS[state, type(event)]
    told = [effect for effect in effects if isinstance(effect, StateChanged)]
    assert bool(told) == (machine.state is not state)


def test_table_lists_no_target_that_is_never_reached() -> None:
    reached: dict[tuple[NodeState, type[Event]], set[NodeState]] = {}
    good_stake = (StakeChecked(is_sufficient=True),)
    for (_, events), event, stake in itertools.product(WAYS.values(), EVENTS, (None, (), good_stake)):
        machine = node(*(stake or ()), *events, needs_stake=stake is not None)
        before = machine.state
        machine.handle(event, at(1))
        reached.setdefault((before, type(event)), set()).add(machine.state)
    assert {pair: frozenset(states) for pair, states in reached.items()} == dict(Presence.TRANSITIONS)


@pytest.mark.parametrize("way", WAYS)
def test_foreign_event_is_refused_and_changes_nothing(way: str) -> None:
    state, events = WAYS[way]
    machine = node(*events)
    deadline = machine.next_deadline()
    with pytest.raises(UnexpectedEvent):
        machine.handle(Event(), at(1))
    assert (machine.state, machine.next_deadline()) == (state, deadline)


def test_active_takes_a_record_a_stake_and_a_sign_of_life_in_any_order() -> None:
    needed = (RecordAccepted(), StakeChecked(is_sufficient=True), LifeSeen())
    for order in itertools.permutations(needed):
        machine = node(*order[:2], needs_stake=True)
        assert machine.state is NodeState.PENDING
        assert "waiting for" in machine.reason
        step(machine, order[2])
        assert machine.state is NodeState.ACTIVE


def test_three_missed_beats_make_a_suspect_and_a_direct_probe() -> None:
    machine = node(RecordAccepted(), BEAT)
    assert machine.next_deadline() == at(3 * 10.0)
    effects = step(machine, DeadlineReached(), after_s=30.0)
    assert machine.state is NodeState.SUSPECT
    assert effects[1:] == [ProbeDirectly(BOB.peer)]
    assert isinstance(effects[0], StateChanged)
    assert effects[0].reason == "3 beats missed"


def test_answered_probe_clears_a_suspect() -> None:
    machine = node(RecordAccepted(), BEAT, ContactLost())
    step(machine, LifeSeen(), after_s=1.0)
    assert machine.state is NodeState.ACTIVE
    assert machine.next_deadline() == at(31.0)


@pytest.mark.parametrize("silence", [ProbeFailed(), DeadlineReached()])
def test_silent_probe_asks_witnesses_once_and_their_silence_is_the_verdict(silence: Event) -> None:
    machine = node(RecordAccepted(), BEAT, ContactLost())
    assert step(machine, silence, after_s=2.0) == [AskWitnesses(BOB.peer)]
    assert step(machine, ProbeFailed(), after_s=2.1) == []
    step(machine, WitnessAnswered(is_alive=False), after_s=3.0)
    step(machine, WitnessAnswered(is_alive=False), after_s=3.0)
    assert machine.state is NodeState.SUSPECT
    step(machine, DeadlineReached(), after_s=5.0)
    assert machine.state is NodeState.INACTIVE
    assert "nor 2 witnesses" in machine.reason


def test_verdict_without_witnesses_says_so() -> None:
    machine = node(RecordAccepted(), BEAT, ContactLost(), ProbeFailed(), DeadlineReached())
    assert machine.state is NodeState.INACTIVE
    assert "nobody could be asked" in machine.reason


def test_witness_that_reached_it_clears_a_suspect() -> None:
    machine = node(RecordAccepted(), BEAT, ContactLost(), ProbeFailed(), WitnessAnswered(is_alive=True))
    assert machine.state is NodeState.ACTIVE
    assert machine.reason == "a witness reached it"
    assert machine.next_deadline() == at(30.0)


def test_witness_does_not_replace_a_record_that_ran_out() -> None:
    machine = node(RecordAccepted(), BEAT, ContactLost(), ProbeFailed(), RecordExpired())
    step(machine, WitnessAnswered(is_alive=True))
    assert machine.state is NodeState.PENDING


def test_witness_who_was_not_asked_is_not_heard() -> None:
    machine = node(RecordAccepted(), BEAT, ContactLost(), WitnessAnswered(is_alive=True))
    assert machine.state is NodeState.SUSPECT


def test_witness_does_not_replace_stake() -> None:
    machine = node(RecordAccepted(), StakeChecked(is_sufficient=True), BEAT, needs_stake=True)
    for event in (ContactLost(), ProbeFailed(), StakeChecked(is_sufficient=False)):
        step(machine, event)
    step(machine, WitnessAnswered(is_alive=True))
    assert machine.state is NodeState.PENDING
    assert machine.reason == "waiting for its stake"


def test_pending_node_is_probed_again_and_again_until_it_fails() -> None:
    machine = node(RecordAccepted())
    patience = TIMES.beat_s * TIMES.missed_beats
    assert step(machine, DeadlineReached(), after_s=patience) == [ProbeDirectly(BOB.peer)]
    assert machine.next_deadline() == at(2 * patience)
    step(machine, ProbeFailed(), after_s=patience + 1)
    assert machine.state is NodeState.INACTIVE
    assert machine.reason == "it never answered"


def test_old_sign_of_life_does_not_make_a_late_record_active() -> None:
    machine = node(LifeSeen(), DeadlineReached())
    step(machine, RecordAccepted())
    assert machine.state is NodeState.PENDING
    step(machine, LifeSeen())
    assert machine.state is NodeState.ACTIVE


def test_goodbye_is_inactive_without_suspicion() -> None:
    machine = node(RecordAccepted(), BEAT)
    effects = step(machine, GOODBYE)
    assert machine.state is NodeState.INACTIVE
    assert effects == [StateChanged(BOB.peer, NodeState.ACTIVE, NodeState.INACTIVE, "it said goodbye")]


def test_restarted_node_is_active_with_its_first_beat() -> None:
    machine = node(RecordAccepted(), GOODBYE)
    step(machine, RecordAccepted())
    assert machine.state is NodeState.INACTIVE
    step(machine, BEAT)
    assert machine.state is NodeState.ACTIVE


def test_inactive_node_expires_once() -> None:
    machine = node(RecordAccepted(), GOODBYE)
    assert machine.next_deadline() == at(TIMES.inactive_expiry_s)
    assert step(machine, DeadlineReached()) == [ExpireNode(BOB.peer)]
    assert machine.next_deadline() is None


def test_record_that_ran_out_makes_pending_until_the_next() -> None:
    machine = node(RecordAccepted(), BEAT, RecordExpired())
    assert machine.state is NodeState.PENDING
    step(machine, RecordAccepted())
    assert machine.state is NodeState.ACTIVE


def test_slashed_is_for_ever() -> None:
    machine = node(RecordAccepted(), BEAT, EquivocationProven())
    for event in EVENTS:
        assert step(machine, event) == []
    assert machine.state is NodeState.SLASHED
    assert machine.next_deadline() is None


def test_newcomer_in_a_large_network_is_given_a_long_interval() -> None:
    machine = Presence(BOB.peer, TIMES, at(0), interval_s=600.0)
    assert machine.next_deadline() == at(1800.0)
