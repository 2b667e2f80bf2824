"""PER-6, PER-9, PER-12, PER-20, PER-22, PER-29, PER-30, IDN-9: the map's decisions and its bounds."""

import pytest

from skyops_p2p import limits
from skyops_p2p.core.machine import Effect
from skyops_p2p.core.node_map import Admission, NodeEntry, NodeMap
from skyops_p2p.core.presence import (
    BeatReceived,
    ContactLost,
    LifeSeen,
    NodeState,
    PresenceTimes,
    ProbeDirectly,
    ProbeFailed,
    RecordAccepted,
)
from skyops_p2p.types import MonotonicS, PeerId, UnixMs
from tests.unit.core.people import ALICE, BOB, CAROL, DAY_MS, MALLORY, NOW, Person, at, crowd

TIMES = PresenceTimes()


def new_map(**options: object) -> NodeMap:
    return NodeMap(TIMES, **options)  # type: ignore[arg-type] # the options of NodeMap


def admit(nodes: NodeMap, who: Person, sequence: int = 1, **changes: object) -> Admission:
    admission, _ = nodes.admit_record(who.verified(sequence, **changes), at(0), NOW)
    nodes.check_invariants()
    return admission


def activate(nodes: NodeMap, who: Person, now: MonotonicS) -> NodeEntry:
    assert admit(nodes, who) is Admission.NEWER
    nodes.handle(who.peer, RecordAccepted(), now)
    nodes.admit_beat(who.checked_beat(), now)
    nodes.handle(who.peer, BeatReceived(30.0, is_leaving=False), now)
    entry = nodes.get(who.peer)
    assert entry is not None
    assert entry.presence.state is NodeState.ACTIVE
    return entry


def probed(effects: list[Effect]) -> list[str]:
    return [effect.peer for effect in effects if isinstance(effect, ProbeDirectly)]


def test_newer_record_replaces_and_older_is_known() -> None:
    nodes = new_map()
    assert admit(nodes, BOB, 5) is Admission.NEWER
    assert admit(nodes, BOB, 5) is Admission.KNOWN
    assert admit(nodes, BOB, 4) is Admission.KNOWN
    assert admit(nodes, BOB, 6, region="us") is Admission.NEWER
    entry = nodes.get(BOB.peer)
    assert entry is not None
    assert entry.record is not None
    assert entry.record.region == "us"
    assert entry.wallet == BOB.wallet.address


def test_other_record_under_one_number_is_equivocation() -> None:
    nodes = new_map()
    admit(nodes, MALLORY, 5)
    assert admit(nodes, MALLORY, 5, region="us") is Admission.EQUIVOCATION


def test_second_wallet_waits_for_the_end_of_the_first_binding() -> None:
    nodes = new_map()
    first = BOB.binding_for(BOB.wallet, lifetime_ms=2 * DAY_MS)
    admit(nodes, BOB, 1, binding=first)
    second = BOB.binding_for(CAROL.wallet, issued=NOW)
    assert admit(nodes, BOB, 2, binding=second) is Admission.BINDING_CONFLICT
    later = UnixMs(NOW + 2 * DAY_MS)
    verified = BOB.verified(3, binding=second, issued_unix_ms=later, now=later)
    assert nodes.admit_record(verified, at(0), later)[0] is Admission.NEWER
    entry = nodes.get(BOB.peer)
    assert entry is not None
    assert entry.wallet == CAROL.wallet.address


def test_same_wallet_may_be_bound_anew_at_any_time() -> None:
    nodes = new_map()
    admit(nodes, BOB, 1)
    renewed = BOB.binding_for(BOB.wallet, issued=NOW - 1)
    assert admit(nodes, BOB, 2, binding=renewed) is Admission.NEWER


def test_old_beat_is_known() -> None:
    nodes = new_map()
    assert nodes.admit_beat(BOB.checked_beat(2), at(0))[0] is Admission.NEWER
    for sequence in (1, 2):
        assert not nodes.is_beat_fresh(BOB.checked_beat(sequence))
        assert nodes.admit_beat(BOB.checked_beat(sequence), at(0))[0] is Admission.KNOWN
    assert nodes.is_beat_fresh(BOB.checked_beat(3))


def test_price_and_slots_come_from_the_beat() -> None:
    nodes = new_map()
    admit(nodes, BOB)
    entry = nodes.get(BOB.peer)
    assert entry is not None
    assert (entry.price, entry.slots_free) == (1_000_000, 0)
    nodes.admit_beat(BOB.checked_beat(), at(0))
    assert (entry.price, entry.slots_free) == (900_000, 1)


# --- SLASHED ------------------------------------------------------------------------------------------------
def test_convict_is_shut_out_and_told_to_neighbours() -> None:
    nodes, neighbour = new_map(), new_map()
    activate(nodes, MALLORY, at(0))
    activate(neighbour, MALLORY, at(0))
    proof = MALLORY.contradiction()
    assert nodes.convict(MALLORY.peer, proof, at(1))
    assert nodes.convict(MALLORY.peer, proof, at(1)) == []
    nodes.check_invariants()
    assert admit(nodes, MALLORY, 9) is Admission.SHUT_OUT
    assert not nodes.is_beat_fresh(MALLORY.checked_beat(9))
    told, is_complete = nodes.differing(neighbour.digests(), after=b"", count_max=64)
    assert is_complete
    assert told == [proof.first, proof.second]
    entry = nodes.get(MALLORY.peer)
    assert entry is not None
    assert entry.kept is not None
    assert entry.kept not in told


def test_convict_without_a_record_is_known_and_told_to_nobody() -> None:
    nodes = new_map()
    nodes.convict(MALLORY.peer, MALLORY.contradiction(), at(0))
    nodes.check_invariants()
    assert nodes.counts()["slashed"] == 1
    assert nodes.digests() == bytes(512)


# --- expiry -------------------------------------------------------------------------------------------------
def test_record_that_ran_out_is_not_told_and_its_node_pending() -> None:
    nodes = new_map()
    entry = activate(nodes, BOB, at(0))
    assert nodes.expire_records(at(1), UnixMs(NOW + DAY_MS - 1)) == []
    assert nodes.expire_records(at(1), UnixMs(NOW + DAY_MS))
    nodes.check_invariants()
    assert entry.presence.state is NodeState.PENDING
    assert nodes.digests() == bytes(512)
    assert nodes.differing(b"\x01" * 512, after=b"", count_max=64) == ([], True)
    assert nodes.expire_records(at(2), UnixMs(NOW + DAY_MS)) == []


def test_record_ends_with_its_binding() -> None:
    nodes = new_map()
    admit(nodes, BOB, binding=BOB.binding_for(BOB.wallet, lifetime_ms=1000))
    nodes.expire_records(at(1), UnixMs(NOW + 1000))
    assert nodes.digests() == bytes(512)


# --- timers and probes --------------------------------------------------------------------------------------
def test_deadlines_come_in_order_and_only_while_they_stand() -> None:
    nodes = new_map()
    activate(nodes, BOB, at(0))
    activate(nodes, CAROL, at(10))
    assert nodes.next_deadline() == at(90)
    nodes.handle(BOB.peer, LifeSeen(), at(20))
    assert nodes.next_deadline() == at(100)
    assert probed(nodes.wake(at(99))) == []
    assert probed(nodes.wake(at(100))) == [CAROL.peer]


def test_stopped_clock_of_many_beats_keeps_the_timers_bounded() -> None:
    nodes = new_map()
    for second in range(2000):
        nodes.touch(BOB.peer, at(0))
        nodes.handle(BOB.peer, LifeSeen(), at(second / 10))
        nodes.check_invariants()


def test_probes_are_bounded_and_the_others_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PROBES_IN_FLIGHT_MAX", 3)
    nodes = new_map()
    people = crowd(8)
    for someone in people:
        activate(nodes, someone, at(0))
    first = probed(nodes.wake(at(90)))
    assert len(first) == 3
    nodes.check_invariants()
    assert nodes.counts()["suspect"] == 3
    assert nodes.wake(at(90)) == []
    nodes.handle(PeerId(first[0]), LifeSeen(), at(90.1))
    deadline = nodes.next_deadline()
    assert deadline is not None
    assert deadline <= at(90.1)
    assert len(probed(nodes.wake(at(90.1)))) == 1
    assert (nodes.next_deadline() or at(0)) > at(90.1)


def test_probe_that_is_never_answered_gives_its_place_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PROBES_IN_FLIGHT_MAX", 1)
    nodes = new_map()
    people = crowd(4)
    for someone in people:
        activate(nodes, someone, at(0))
    seen: set[str] = set()
    now = at(90)
    while nodes.counts()["inactive"] < 4:
        assert now < at(200)
        seen |= set(probed(nodes.wake(now)))
        nodes.check_invariants()
        deadline = nodes.next_deadline()
        assert deadline is not None
        now = max(now, deadline)
    assert seen == {someone.peer for someone in people}


def test_sign_of_life_while_waiting_for_a_probe_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PROBES_IN_FLIGHT_MAX", 1)
    nodes = new_map()
    people = crowd(3)
    for someone in people:
        activate(nodes, someone, at(0))
    (first,) = probed(nodes.wake(at(90)))
    waiting = [someone.peer for someone in people if someone.peer != first]
    for peer in waiting:
        nodes.handle(peer, LifeSeen(), at(91))
    nodes.handle(PeerId(first), LifeSeen(), at(91))
    assert nodes.wake(at(92)) == []
    assert nodes.counts()["active"] == 3


def test_lost_contact_is_suspected_at_once() -> None:
    nodes = new_map()
    activate(nodes, BOB, at(0))
    assert probed(nodes.handle(BOB.peer, ContactLost(), at(1))) == [BOB.peer]


def test_newcomers_of_a_large_map_are_given_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PRESENCE_BUDGET_PER_S", 0.01)
    nodes = new_map()
    for someone in crowd(10):
        nodes.touch(someone.peer, at(0))
    last = nodes.get(crowd(10)[9].peer)
    assert last is not None
    assert last.presence.next_deadline() == at(3 * 900)


# --- the bound of the map -----------------------------------------------------------------------------------
@pytest.fixture
def small_map(monkeypatch: pytest.MonkeyPatch) -> NodeMap:
    monkeypatch.setattr(limits, "MAP_ENTRIES_MAX", 3)
    return new_map(keep=ALICE.peer)


def test_full_map_of_active_nodes_lets_the_newcomer_wait(small_map: NodeMap) -> None:
    for someone in crowd(3):
        activate(small_map, someone, at(0))
    assert admit(small_map, BOB) is Admission.MAP_FULL
    assert small_map.admit_beat(BOB.checked_beat(), at(0))[0] is Admission.MAP_FULL
    assert len(small_map) == 3


def test_longest_inactive_node_makes_room(small_map: NodeMap) -> None:
    people = crowd(3)
    for someone in people:
        activate(small_map, someone, at(0))
    for second, someone in ((1, people[1]), (2, people[0])):
        small_map.handle(someone.peer, BeatReceived(30.0, is_leaving=True), at(second))
    assert admit(small_map, BOB) is Admission.NEWER
    assert small_map.get(people[1].peer) is None
    assert small_map.take_evicted() == [people[1].peer]
    assert small_map.take_evicted() == []


def test_never_seen_node_makes_room_but_never_ourselves(small_map: NodeMap) -> None:
    small_map.touch(ALICE.peer, at(0))
    for someone in (BOB, CAROL, MALLORY):
        assert admit(small_map, someone) is Admission.NEWER
    assert small_map.get(ALICE.peer) is not None
    assert small_map.get(BOB.peer) is None


def test_slashed_ids_do_not_fill_the_map_for_ever(small_map: NodeMap) -> None:
    for someone in crowd(3):
        small_map.convict(someone.peer, someone.contradiction(), at(0))
    small_map.check_invariants()
    assert admit(small_map, BOB) is Admission.NEWER
    assert small_map.counts()["slashed"] == 2


def test_evicted_node_that_came_back_is_not_forgotten(small_map: NodeMap) -> None:
    for someone in (*crowd(3), BOB):
        admit(small_map, someone)
    admit(small_map, crowd(3)[0])
    assert crowd(3)[0].peer not in small_map.take_evicted()


def test_events_of_an_unknown_node_do_nothing() -> None:
    nodes = new_map()
    assert nodes.handle(BOB.peer, ProbeFailed(), at(0)) == []
    nodes.remove(BOB.peer)
    nodes.measure(BOB.peer, 0.1)
    assert len(nodes) == 0


def test_round_trip_is_smoothed() -> None:
    nodes = new_map()
    entry = activate(nodes, BOB, at(0))
    nodes.measure(BOB.peer, 0.1)
    nodes.measure(BOB.peer, 0.9)
    assert entry.round_trip_s == pytest.approx(0.2)
