"""Core simulation: a heap of events over several NodeCores, without trio. Milliseconds a seed, thousands of seeds.

A run has two phases. Safety: faults are on, nodes crash and restart, clocks step, paths are cut; after every step
all invariants hold and no honest node is ever SLASHED. Liveness: faults are off; within `CONVERGE_S` every node
has every other as ACTIVE; then one dies, is INACTIVE on all others, and comes back. Nothing here awaits, so a seed
replays exactly by construction.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from heapq import heappop, heappush
from typing import Any

from skyops_p2p import limits
from skyops_p2p.core import node_events as ev
from skyops_p2p.core.intake import Judgement
from skyops_p2p.core.presence import NodeState, PresenceTimes
from skyops_p2p.simulation.core_chaos import CoreChaos
from skyops_p2p.simulation.core_node import CoreNode
from skyops_p2p.simulation.entropy import derived_random
from skyops_p2p.simulation.faults import CALM, FaultBoard, LinkFaults
from skyops_p2p.simulation.identities import sim_identity
from skyops_p2p.simulation.latency import Latency
from skyops_p2p.simulation.network import simulated_addr
from skyops_p2p.simulation.report import BrokenPromiseError
from skyops_p2p.simulation.trace import Trace
from skyops_p2p.types import Multiaddr, PeerId

TIMES = PresenceTimes(beat_s=5.0, missed_beats=3, probe_timeout_s=1.0, inactive_expiry_s=600.0)
SAFETY_S = 60.0
CONVERGE_S = 180.0
"""How long the liveness phase may take: a rest after failed dials, a suspicion and a few rounds of syncing."""
STEPS_MAX = 2_000_000
"""Events in one run; more means that something goes round in circles."""
INVARIANTS_EVERY = 7
"""check_invariants is linear in the map: it runs after every seventh step, in large worlds more rarely."""
FANOUT_MAX = 8
"""Neighbours to whom a node forwards gossip: the largest mesh."""


@dataclass(frozen=True, slots=True)
class CoreOutcome:
    """What one seed came to."""

    seed: int
    trace: str
    """Fingerprint of the whole run."""
    steps: int
    converged_after_s: float
    faults: dict[str, int]


class CoreWorld:
    """Several cores, their links and one heap.

    Args:
        seed: Decides everything.
        nodes: How many.
        links: Faults of the links during the safety phase.
    """

    def __init__(self, seed: int, *, nodes: int = 6, links: LinkFaults = CALM) -> None:
        self.seed = seed
        self.now = 0.0
        self.trace = Trace()
        self.faults = FaultBoard(derived_random(seed, "links"), links=links)
        self.providers: dict[PeerId, tuple[Multiaddr, ...]] = {}
        self.steps = 0
        self._invariants_every = max(INVARIANTS_EVERY, nodes)
        self._latency = Latency(seed)
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = 0
        self._links: dict[int, dict[int, None]] = {number: {} for number in range(nodes)}
        """Node -> connected nodes, oldest connection first."""
        self._timers: dict[int, float] = {}
        self._number = {sim_identity(seed, number).peer_id: number for number in range(nodes)}
        self.nodes = tuple(CoreNode(self, number, TIMES) for number in range(nodes))

    # --- time ---------------------------------------------------------------------------------------------
    def later(self, delay_s: float, callback: Callable[..., None], *args: Any) -> None:
        """Call back after a delay."""
        heappush(self._heap, (self.now + delay_s, self._count, callback, args))
        self._count += 1

    def run_until(self, instant: float) -> None:
        """Handle everything that is due up to an instant."""
        while self._heap and self._heap[0][0] <= instant:
            self.now, _, callback, args = heappop(self._heap)
            self.steps += 1
            if self.steps > STEPS_MAX:
                raise self.failure(f"more than {STEPS_MAX} steps")
            callback(*args)
        self.now = instant

    def after_step(self, node: CoreNode) -> None:
        """Check the node that has just moved, and set its timer."""
        if self.steps % self._invariants_every == 0:
            try:
                node.core.check_invariants()
            except AssertionError as error:
                raise self.failure(f"node {node.number}: {error}") from error
        deadline = node.core.next_deadline()
        if deadline is not None and self._timers.get(node.number) != deadline:
            self._timers[node.number] = deadline
            self.later(max(deadline - self.now, 0.0), self._wake, node, node.starts, deadline)

    def _wake(self, node: CoreNode, starts: int, deadline: float) -> None:
        if self._timers.get(node.number) == deadline:
            del self._timers[node.number]
            if node.starts == starts:
                node.wake()

    # --- nodes --------------------------------------------------------------------------------------------
    def peer_of(self, number: int) -> PeerId:
        """Return a node's peer id."""
        return sim_identity(self.seed, number).peer_id

    def start(self, node: CoreNode) -> None:
        """Start or restart a node."""
        self._note("start", node.number)
        self._timers.pop(node.number, None)
        node.start()

    def crash(self, node: CoreNode) -> None:
        """Stop a node; its peers notice after one delay."""
        self._note("crash", node.number)
        self.faults.statistics.crashes += 1
        node.crash()
        for other in tuple(self._links[node.number]):
            self._drop(node.number, other)

    # --- links --------------------------------------------------------------------------------------------
    def dial(self, dialer: CoreNode, peer: PeerId) -> None:
        """Connect after the round trips of a dial, or report that nobody answered."""
        number = self._number.get(peer)
        starts = dialer.starts
        if number is None or not self._has_path(dialer.number, number) or not self.nodes[number].is_up:
            self.later(limits.DIAL_TIMEOUT_S, self._dial_failed, dialer, starts, peer)
            return
        delay_s = 3 * self._latency.round_trip_s(dialer.number, number)
        self.later(delay_s, self._connect, dialer, starts, self.nodes[number])

    def _dial_failed(self, dialer: CoreNode, starts: int, peer: PeerId) -> None:
        if dialer.starts == starts:
            dialer.handle(ev.DialEnded(peer, "no answer"))

    def _connect(self, dialer: CoreNode, starts: int, listener: CoreNode) -> None:
        if dialer.starts != starts or not dialer.is_up:
            return
        if not listener.is_up or not self._has_path(dialer.number, listener.number):
            dialer.handle(ev.DialEnded(listener.peer, "no answer"))
        elif listener.number not in self._links[dialer.number]:
            self._links[dialer.number][listener.number] = self._links[listener.number][dialer.number] = None
            self._note("connect", dialer.number, listener.number)
            dialer.handle(
                ev.ConnectionUp(listener.peer, (simulated_addr(listener.number),), is_outbound=True)
            )
            listener.handle(ev.ConnectionUp(dialer.peer, (simulated_addr(dialer.number),), is_outbound=False))

    def disconnect(self, one: PeerId, other: PeerId) -> None:
        """Drop the connection between two peers, if there is one."""
        pair = (self._number.get(one, -1), self._number.get(other, -1))
        if pair[1] in self._links.get(pair[0], {}):
            self._drop(*pair)

    def drop_blocked(self) -> None:
        """Drop the connections across what is cut at present."""
        for one, others in self._links.items():
            for other in tuple(others):
                if not self._has_path(one, other):
                    self._drop(one, other)

    def _drop(self, one: int, other: int) -> None:
        del self._links[one][other], self._links[other][one]
        self._note("disconnect", one, other)
        delay_s = self._latency.one_way_s(one, other)
        for number, lost in ((one, other), (other, one)):
            self.later(delay_s, self.nodes[number].handle, ev.ConnectionDown(self.nodes[lost].peer))

    def _has_path(self, one: int, other: int) -> bool:
        return not (self.faults.is_blocked(one, other) or self.faults.is_blocked(other, one))

    # --- packets ------------------------------------------------------------------------------------------
    def travel(self, source: CoreNode, target: CoreNode, arrive: Callable[[], None]) -> None:
        """Send one packet; `arrive` runs once for each copy that gets through to a running node."""
        starts = target.starts
        delay_s = self._latency.one_way_s(source.number, target.number)
        for extra_s in self.faults.fate(source.number, target.number, now=self.now):
            self.later(delay_s + extra_s, self._arrive, target, starts, arrive)

    def travel_to(self, source: CoreNode, peer: PeerId, arrive: Callable[[CoreNode], None]) -> None:
        """Send one packet to a peer, whether or not there is a connection (the shell would dial)."""
        number = self._number.get(peer)
        if number is not None:
            target = self.nodes[number]
            self.travel(source, target, lambda: arrive(target))

    def _arrive(self, target: CoreNode, starts: int, arrive: Callable[[], None]) -> None:
        if target.is_up and target.starts == starts:
            arrive()

    def publish(self, author: CoreNode, payload: bytes) -> None:
        """Flood a message over the connections, with a validator at every hop."""
        self._note("publish", author.number, detail=len(payload))
        self._forward(author, author, payload, {author.number})

    def _forward(self, author: CoreNode, node: CoreNode, payload: bytes, seen: set[int]) -> None:
        for number in tuple(self._links[node.number])[:FANOUT_MAX]:
            if number not in seen:
                other = self.nodes[number]
                self.travel(node, other, partial(self._hop, author, other, payload, seen))

    def _hop(self, author: CoreNode, node: CoreNode, payload: bytes, seen: set[int]) -> None:
        if node.number in seen:
            return
        seen.add(node.number)
        judgement = node.judge(author.peer, payload)
        self._note(judgement.value, author.number, node.number)
        if judgement is Judgement.ACCEPT:
            node.handle(ev.GossipArrived(author.peer, payload, node.clock.now_ms()))
            self._forward(author, node, payload, seen)
        elif judgement is Judgement.REJECT:
            raise self.failure(f"node {node.number} rejects what honest node {author.number} said")

    # --- watching -----------------------------------------------------------------------------------------
    def heard(self, node: CoreNode, effect: ev.Notify) -> None:
        """Take a node's notification: into the trace, and safety: nobody honest is slashed."""
        self._note(effect.kind, node.number, self._number.get(effect.peer, -1), detail=len(effect.text))
        if f"-> {NodeState.SLASHED.value}" in effect.text:
            raise self.failure(f"node {node.number} slashed honest node {self._number[effect.peer]}")

    def is_converged(self) -> bool:
        """Tell whether every running node has every running node as ACTIVE."""
        up = [node for node in self.nodes if node.is_up]
        return all(node.believes(other.peer) is NodeState.ACTIVE for node in up for other in up)

    def is_gone(self, victim: CoreNode) -> bool:
        """Tell whether every running node has a dead one as INACTIVE."""
        return all(node.believes(victim.peer) is NodeState.INACTIVE for node in self.nodes if node.is_up)

    def failure(self, what: str) -> BrokenPromiseError:
        """Make the report of a broken promise."""
        replay = f"skyops sim core --seed {self.seed} --nodes {len(self.nodes)}"
        return BrokenPromiseError(
            f"t={self.now:.3f} {what}", seed=self.seed, replay=replay, lines=self.trace.lines()
        )

    def _note(self, what: str, source: int = -1, target: int = -1, *, detail: int = 0) -> None:
        self.trace.note(self.now, what, source, target, detail=detail)


def run_core_seed(seed: int, *, nodes: int = 6, has_full_disks: bool = True) -> CoreOutcome:
    """Run one seed through both phases, then let one node die and come back.

    Args:
        seed: Decides everything.
        nodes: How many.
        has_full_disks: Disks may fill up too.

    Raises:
        BrokenPromiseError: A promise was broken; its text has the replay command.
    """
    chaos = CoreChaos(seed, has_full_disks=has_full_disks)
    world = CoreWorld(seed, nodes=nodes, links=chaos.links)
    for node in world.nodes:
        world.later(chaos.start_delay_s(), world.start, node)
    world.run_until(5.0)
    while world.now < SAFETY_S:
        chaos.strike(world)
        world.run_until(world.now + chaos.pause_s())
    chaos.stop(world)
    converged_after_s = _require(world, CoreWorld.is_converged, "all are ACTIVE everywhere")
    victim = world.nodes[seed % nodes]
    world.crash(victim)
    _require(world, lambda it: it.is_gone(victim), f"node {victim.number} is INACTIVE everywhere")
    world.start(victim)
    _require(world, CoreWorld.is_converged, f"node {victim.number} is ACTIVE everywhere again")
    faults = world.faults.statistics.as_dict()
    return CoreOutcome(seed, world.trace.digest(), world.steps, converged_after_s, faults)


def _require(world: CoreWorld, promise: Callable[[CoreWorld], bool], what: str) -> float:
    """Run until a promise is kept; return how long it took."""
    started = world.now
    while not promise(world):
        if world.now > started + CONVERGE_S:
            raise world.failure(f"not within {CONVERGE_S:g} s: {what};{disagreements(world)}")
        world.run_until(world.now + 1.0)
    return world.now - started


def disagreements(world: CoreWorld) -> str:
    """Name the pairs that keep a world from having converged."""
    pairs = [
        f" {node.number}:{other.number}={state.value if state else 'unknown'}"
        for node in world.nodes
        for other in world.nodes
        if (state := node.believes(other.peer)) is not NodeState.ACTIVE
    ]
    return "".join(pairs[:16])
