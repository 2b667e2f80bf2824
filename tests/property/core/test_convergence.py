"""Several cores in a toy network: whatever the faults did, all believe in all once the faults stop."""

import heapq
import itertools
import random
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from skyops_p2p.core import node_events as ev
from skyops_p2p.core.core_settings import CoreSettings
from skyops_p2p.core.intake import Judgement
from skyops_p2p.core.machine import Effect, Event
from skyops_p2p.core.node_core import NodeCore
from skyops_p2p.core.peering import Dial, Disconnect
from skyops_p2p.core.presence import NodeState, PresenceTimes
from skyops_p2p.core.records import owner_of
from skyops_p2p.simulation.memo import shared_checks
from skyops_p2p.types import MonotonicS, Multiaddr, PeerId, UnixMs
from tests.unit.core.desk import OFFER
from tests.unit.core.people import HARDWARE, NOW, RULES, RUNTIMES, Person, crowd

TIMES = PresenceTimes(beat_s=2.0, probe_timeout_s=1.0)
PEOPLE = crowd(4)
ADDR = Multiaddr("/ip4/127.0.0.1/tcp/1")
LATENCY_S = 0.02


class World:
    """A heap of what happens next, links that can be cut, and gossip that floods along connections."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.now = 0.0
        self.loss = 0.0
        self.cut: set[frozenset[PeerId]] = set()
        self.links: set[frozenset[PeerId]] = set()
        self.queue: list[tuple[float, int, Callable[[], None]]] = []
        self.counter = itertools.count()
        self.disks: dict[PeerId, int] = {}
        self.nodes: dict[PeerId, NodeCore] = {}

    @property
    def unix(self) -> UnixMs:
        return UnixMs(NOW + round(self.now * 1000))

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        heapq.heappush(self.queue, (self.now + seconds, next(self.counter), action))

    def start(self, who: Person) -> None:
        bootstrap = () if who is PEOPLE[0] else ((PEOPLE[0].peer, (ADDR,)),)
        settings_ = CoreSettings(rules=RULES, offer=OFFER, times=TIMES, bootstrap=bootstrap)
        core = NodeCore(who.node_key, lambda _: who.binding, settings_)
        self.nodes[who.peer] = core
        self.feed(core, ev.NodeStarted((ADDR,), self.disks.get(who.peer, 0), self.unix))
        self.feed(core, ev.HardwareProbed(HARDWARE, RUNTIMES))

    def crash(self, peer: PeerId) -> None:
        self.nodes.pop(peer)
        for link in [link for link in self.links if peer in link]:
            self.disconnect(link)

    def disconnect(self, link: frozenset[PeerId]) -> None:
        if link in self.links:
            self.links.discard(link)
            one, other = link
            for peer, gone in ((one, other), (other, one)):
                self.tell(peer, ev.ConnectionDown(gone))

    def tell(self, peer: PeerId, event: Event) -> None:
        self.later(LATENCY_S, lambda: self.feed(self.nodes[peer], event) if peer in self.nodes else None)

    def feed(self, core: NodeCore, event: Event) -> None:
        effects = core.handle(event, MonotonicS(self.now))
        core.check_invariants()
        for effect in effects:
            self.perform(core, effect)

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while True:
            deadlines = [
                (deadline, peer)
                for peer, core in self.nodes.items()
                if (deadline := core.next_deadline()) is not None
            ]
            first = min(deadlines, default=(float("inf"), PeerId("")))
            queued = self.queue[0][0] if self.queue else float("inf")
            if min(first[0], queued) > end:
                self.now = end
                return
            self.now = max(self.now, min(first[0], queued))
            if queued <= first[0]:
                heapq.heappop(self.queue)[2]()
            else:
                self.feed(self.nodes[first[1]], ev.TimeCame(self.unix))

    def reaches(self, one: PeerId, other: PeerId) -> bool:
        is_cut = frozenset((one, other)) in self.cut
        return other in self.nodes and one in self.nodes and not is_cut and self.random.random() >= self.loss

    # --- effects ------------------------------------------------------------------------------------------------
    def perform(self, core: NodeCore, effect: Effect) -> None:
        me = core.peer_id
        match effect:
            case Dial(peer, _):
                self.dial(me, peer)
            case Disconnect(peer):
                self.disconnect(frozenset((me, peer)))
            case ev.RememberSequence(number):
                self.disks[me] = number
                self.later(0.0, lambda: self.feed(core, ev.SequenceRemembered(number)))
            case ev.Publish(payload):
                self.flood(me, me, payload)
            case ev.PingPeer(peer):
                self.ask(me, peer, lambda _: ev.PingEnded(peer, 2 * LATENCY_S), ev.PingEnded(peer, None))
            case ev.AskWitness(witness, target):
                is_alive = self.reaches(witness, target)
                self.ask(me, witness, lambda _: ev.WitnessReplied(target, is_alive), None)
            case ev.FetchRecord(source, target):
                self.ask(me, source, lambda other: self.held(other, target), None)
            case ev.SyncMap(peer):
                self.sync(core, peer, b"")
            case ev.AskPeers(peer):
                for link in [link for link in self.links if peer in link]:
                    (known,) = link - {peer}
                    self.tell(me, ev.PeerHeardOf(known, (ADDR,)))

    def dial(self, me: PeerId, peer: PeerId) -> None:
        link = frozenset((me, peer))
        if not self.reaches(me, peer):
            self.tell(me, ev.DialEnded(peer, "unreachable"))
        elif link not in self.links:
            self.links.add(link)
            self.tell(me, ev.ConnectionUp(peer, (ADDR,), is_outbound=True))
            self.tell(peer, ev.ConnectionUp(me, (), is_outbound=False))

    def flood(self, source: PeerId, author: PeerId, payload: bytes) -> None:
        for link in sorted((link for link in self.links if source in link), key=sorted):
            (target,) = link - {source}
            if self.reaches(source, target):
                self.later(LATENCY_S, lambda target=target: self.hear(target, author, payload))  # type: ignore[misc] # bound now

    def hear(self, peer: PeerId, author: PeerId, payload: bytes) -> None:
        core = self.nodes.get(peer)
        if core is None or author == peer:
            return
        if core.judge(author, payload, now=MonotonicS(self.now), unix=self.unix) is Judgement.ACCEPT:
            self.feed(core, ev.GossipArrived(author, payload, self.unix))
            self.flood(peer, author, payload)

    def ask(
        self, me: PeerId, peer: PeerId, answer: Callable[[NodeCore], Event], silence: Event | None
    ) -> None:
        if self.reaches(me, peer) and self.reaches(peer, me):
            self.tell(me, answer(self.nodes[peer]))
        elif silence is not None:
            self.later(TIMES.probe_timeout_s, lambda: self.tell(me, silence))

    def held(self, other: NodeCore, target: PeerId) -> Event:
        entry = other.nodes.get(target)
        records = (entry.verified.signed.data,) if entry and entry.verified else ()
        beats = (entry.beat.data,) if entry and entry.beat else ()
        return ev.RecordsArrived(other.peer_id, records, beats, self.unix)

    def sync(self, core: NodeCore, peer: PeerId, after: bytes) -> None:
        if not self.reaches(core.peer_id, peer):
            return
        told, is_complete = self.nodes[peer].nodes.differing(core.nodes.digests(), after=after, count_max=2)
        self.tell(
            core.peer_id,
            ev.RecordsArrived(peer, tuple(told), self.nodes[peer].nodes.beats_of(told), self.unix),
        )
        if told and not is_complete:
            self.sync(core, peer, owner_of(told[-1], RULES))

    # --- what must hold -----------------------------------------------------------------------------------------
    def beliefs(self) -> dict[tuple[str, str], NodeState | None]:
        found = {}
        for peer, core in self.nodes.items():
            for who in PEOPLE:
                entry = core.nodes.get(who.peer)
                found[peer, who.peer] = entry.presence.state if entry else None
        return found

    def is_agreed(self) -> bool:
        return all(state is NodeState.ACTIVE for state in self.beliefs().values())


pairs = st.sampled_from(list(itertools.combinations(range(len(PEOPLE)), 2)))
faults = st.lists(
    st.one_of(
        st.tuples(st.just("crash"), st.integers(0, len(PEOPLE) - 1)),
        st.tuples(st.just("cut"), pairs),
        st.tuples(st.just("loss"), st.floats(0.1, 0.9)),
        st.tuples(st.just("wait"), st.floats(0.1, 40)),
    ),
    max_size=5,
)


def test_quiet_network_agrees_within_seconds() -> None:
    world = World(1)
    for who in PEOPLE:
        world.start(who)
    world.run(10)
    assert world.is_agreed(), world.beliefs()


def test_dead_node_is_inactive_everywhere_and_active_after_its_restart() -> None:
    world = World(2)
    for who in PEOPLE:
        world.start(who)
    world.run(20)
    world.crash(PEOPLE[2].peer)
    world.run(20)
    states = {state for (_, peer), state in world.beliefs().items() if peer == PEOPLE[2].peer}
    assert states == {NodeState.INACTIVE}
    world.start(PEOPLE[2])
    world.run(20)
    assert world.is_agreed(), world.beliefs()


@given(st.integers(0, 2**32), faults)
@settings(max_examples=12)
def test_all_agree_once_the_faults_stop(seed: int, steps: list[tuple[str, Any]]) -> None:
    with shared_checks():  # four nodes check the same signatures
        world = World(seed)
        suffer(world, steps)
        world.cut, world.loss = set(), 0.0
        for who in PEOPLE:
            if who.peer not in world.nodes:
                world.start(who)
        world.run(120)
    assert world.is_agreed(), world.beliefs()


def suffer(world: World, steps: list[tuple[str, Any]]) -> None:
    """Start all, and let the faults happen one after the other."""
    for who in PEOPLE:
        world.start(who)
    for kind, value in steps:
        match kind:
            case "crash" if PEOPLE[value].peer in world.nodes:
                world.crash(PEOPLE[value].peer)
            case "cut":
                link = frozenset(PEOPLE[number].peer for number in value)
                world.cut.add(link)
                world.disconnect(link)
            case "loss":
                world.loss = value
            case "wait":
                world.run(value)
        world.run(0.5)
