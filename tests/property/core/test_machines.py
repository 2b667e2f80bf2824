"""Any sequence of events: the machines and their collections keep their promises."""

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from skyops_p2p import limits
from skyops_p2p.core.address_book import AddressBook
from skyops_p2p.core.machine import DeadlineReached, Event
from skyops_p2p.core.node_map import NodeMap
from skyops_p2p.core.peering import (
    ConnectionClosed,
    ConnectionOpened,
    Dial,
    DialFailed,
    LinkState,
    Misbehaved,
)
from skyops_p2p.core.presence import (
    BeatReceived,
    ContactLost,
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
from skyops_p2p.types import MonotonicS, Multiaddr, PeerId, UnixMs
from tests.unit.core.people import ALICE, DAY_MS, NOW, START, crowd
from tests.unit.core.test_presence import EVENTS as PRESENCE_EVENTS

PEOPLE = crowd(8)
TIMES = PresenceTimes(beat_s=1.0, inactive_expiry_s=20.0)


@given(st.booleans(), st.lists(st.tuples(st.sampled_from(PRESENCE_EVENTS), st.floats(0, 100)), max_size=40))
def test_presence_keeps_its_invariants(needs_stake: bool, steps: list[tuple[Event, float]]) -> None:
    machine = Presence(ALICE.peer, TIMES, START, needs_stake=needs_stake)
    now = START
    for event, seconds in steps:
        now = MonotonicS(now + seconds)
        before = machine.state
        effects = machine.handle(event, now)
        machine.check_invariants()
        told = [effect for effect in effects if isinstance(effect, StateChanged)]
        assert [(effect.before, effect.after) for effect in told] == (
            [(before, machine.state)] if before is not machine.state else []
        )
        if isinstance(event, DeadlineReached):
            deadline = machine.next_deadline()
            assert deadline is None or deadline > now, "a deadline that has passed would come for ever"
        if before is NodeState.SLASHED:
            assert machine.state is NodeState.SLASHED


class Book(RuleBasedStateMachine):
    """An address book of four places."""

    @initialize()
    def begin(self) -> None:
        self.limit, limits.ADDRESS_BOOK_PEERS_MAX = limits.ADDRESS_BOOK_PEERS_MAX, 4
        self.book = AddressBook(ALICE.peer, peers_target=2, bootstrap=(PEOPLE[0].peer,))
        self.now = START
        self.dials: set[PeerId] = set()

    def teardown(self) -> None:
        if hasattr(self, "limit"):
            limits.ADDRESS_BOOK_PEERS_MAX = self.limit

    def perform(self, effects: object) -> None:
        assert isinstance(effects, list)
        for effect in effects:
            if isinstance(effect, Dial):
                assert effect.peer != ALICE.peer
                assert effect.addrs
                assert not self.book.is_banned(effect.peer)
                assert effect.peer not in self.book.connected()

    @rule(number=st.integers(0, 7), port=st.integers(1, 20), is_hearsay=st.booleans())
    def learn(self, number: int, port: int, is_hearsay: bool) -> None:
        self.book.learn(PEOPLE[number].peer, [Multiaddr(f"/ip4/1.2.3.4/tcp/{port}")], is_hearsay=is_hearsay)

    @rule(number=st.integers(0, 7), is_outbound=st.booleans())
    def connect(self, number: int, is_outbound: bool) -> None:
        self.perform(self.book.handle(PEOPLE[number].peer, ConnectionOpened(is_outbound), self.now))

    @rule(number=st.integers(0, 7))
    def close(self, number: int) -> None:
        self.perform(self.book.handle(PEOPLE[number].peer, ConnectionClosed(), self.now))

    @rule(number=st.integers(0, 7))
    def fail(self, number: int) -> None:
        self.perform(self.book.handle(PEOPLE[number].peer, DialFailed("refused"), self.now))

    @rule(number=st.integers(0, 7))
    def misbehave(self, number: int) -> None:
        peer = PEOPLE[number].peer
        self.book.handle(peer, Misbehaved("flood"), self.now)
        assert peer not in self.book.connected()

    @rule(number=st.integers(0, 7))
    def ask_for(self, number: int) -> None:
        self.perform(self.book.request_dial(PEOPLE[number].peer, self.now))

    @rule()
    def plan(self) -> None:
        self.perform(self.book.plan(self.now))
        dialing = [link for link in self.book.links() if link.state is LinkState.DIALING]
        ready = [link for link in self.book.links() if link.state is LinkState.KNOWN and link.addrs]
        assert len(dialing) + len(self.book.connected()) >= 2 or not ready

    @rule(seconds=st.floats(0, 700))
    def wait(self, seconds: float) -> None:
        self.now = MonotonicS(self.now + seconds)
        self.perform(self.book.wake(self.now))
        deadline = self.book.next_deadline()
        assert deadline is None or deadline > self.now

    @invariant()
    def holds(self) -> None:
        if hasattr(self, "book"):
            self.book.check_invariants()


class Map(RuleBasedStateMachine):
    """A map of five places that may probe two nodes at once."""

    @initialize(needs_stake=st.booleans())
    def begin(self, needs_stake: bool) -> None:
        self.limits = limits.MAP_ENTRIES_MAX, limits.PROBES_IN_FLIGHT_MAX
        limits.MAP_ENTRIES_MAX, limits.PROBES_IN_FLIGHT_MAX = 5, 2
        self.nodes = NodeMap(TIMES, needs_stake=needs_stake, keep=PEOPLE[0].peer)
        self.now, self.unix, self.sequence = START, NOW, 0
        self.nodes.touch(PEOPLE[0].peer, self.now)

    def teardown(self) -> None:
        if hasattr(self, "limits"):
            limits.MAP_ENTRIES_MAX, limits.PROBES_IN_FLIGHT_MAX = self.limits

    def perform(self, effects: object) -> None:
        assert isinstance(effects, list)
        for effect in effects:
            if isinstance(effect, ExpireNode):
                self.nodes.remove(effect.peer)

    @rule(number=st.integers(0, 7), region=st.sampled_from(("eu", "us")), sequence=st.integers(1, 3))
    def record(self, number: int, region: str, sequence: int) -> None:
        who = PEOPLE[number]
        verified = who.verified(sequence, region=region, issued_unix_ms=self.unix, now=self.unix)
        self.nodes.admit_record(verified, self.now, self.unix)
        entry = self.nodes.get(who.peer)
        if entry is not None and entry.is_record_live:
            self.perform(self.nodes.handle(who.peer, RecordAccepted(), self.now))

    @rule(number=st.integers(0, 7))
    def beat(self, number: int) -> None:
        self.sequence += 1
        who = PEOPLE[number]
        self.nodes.admit_beat(
            who.checked_beat(self.sequence, issued_unix_ms=self.unix, now=self.unix), self.now
        )
        self.perform(self.nodes.handle(who.peer, BeatReceived(1.0, is_leaving=False), self.now))

    @rule(
        number=st.integers(0, 7),
        event=st.sampled_from(
            (
                LifeSeen(),
                ContactLost(),
                ProbeFailed(),
                WitnessAnswered(is_alive=True),
                WitnessAnswered(is_alive=False),
                StakeChecked(is_sufficient=True),
                StakeChecked(is_sufficient=False),
                BeatReceived(1.0, is_leaving=True),
            )
        ),
    )
    def happen(self, number: int, event: Event) -> None:
        self.perform(self.nodes.handle(PEOPLE[number].peer, event, self.now))

    @rule(number=st.integers(1, 7))
    def convict(self, number: int) -> None:
        self.nodes.convict(PEOPLE[number].peer, PEOPLE[number].contradiction(), self.now)

    @rule(seconds=st.floats(0, 10))
    def wait(self, seconds: float) -> None:
        self.now = MonotonicS(self.now + seconds)
        self.unix = UnixMs(self.unix + round(seconds * 1000))
        effects = self.nodes.wake(self.now)
        assert sum(isinstance(effect, ProbeDirectly) for effect in effects) <= 2
        self.perform(effects)
        assert self.nodes.wake(self.now) == []
        deadline = self.nodes.next_deadline()
        assert deadline is None or deadline > self.now

    @rule()
    def let_records_expire(self) -> None:
        self.unix = UnixMs(self.unix + DAY_MS)
        self.perform(self.nodes.expire_records(self.now, self.unix))
        assert self.nodes.digests() == bytes(512)

    @invariant()
    def holds(self) -> None:
        if hasattr(self, "nodes"):
            self.nodes.check_invariants()
            assert self.nodes.get(PEOPLE[0].peer) is not None
            neighbour = NodeMap(TIMES)
            told, is_complete = self.nodes.differing(neighbour.digests(), after=b"", count_max=64)
            assert is_complete
            assert len(told) <= 2 * len(self.nodes)


assert RecordExpired in {type(event) for event in PRESENCE_EVENTS}
TestBook = Book.TestCase
TestBook.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestMap = Map.TestCase
TestMap.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
