"""One NodeCore in the core simulation: a disk, a clock, and effects performed against the world at once.

The counterpart of node/performer.py and node/service.py without tasks: what the shell awaits, the world schedules.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from skyops_p2p import limits
from skyops_p2p.core import node_events as ev
from skyops_p2p.core.announcer import Offer
from skyops_p2p.core.core_settings import CoreSettings
from skyops_p2p.core.intake import Judgement
from skyops_p2p.core.machine import Effect, Event
from skyops_p2p.core.node_core import NodeCore
from skyops_p2p.core.peering import Dial, Disconnect
from skyops_p2p.core.presence import NodeState, PresenceTimes
from skyops_p2p.core.records import owner_of
from skyops_p2p.simulation.clock import SimClock
from skyops_p2p.simulation.identities import SIM_RULES, sim_identity
from skyops_p2p.simulation.network import simulated_addr
from skyops_p2p.types import MonotonicS, Multiaddr, PeerId
from skyops_p2p.wire.messages.peering import GpuPart, HardwarePart, RuntimePart

if TYPE_CHECKING:
    from skyops_p2p.simulation.core_world import CoreWorld

_GPU = GpuPart(model="NVIDIA A100-SXM4-80GB", vram_mib=81_920, compute_capability="8.0", uuid="")
_HARDWARE = HardwarePart(
    source="declared",
    gpus=(_GPU,),
    driver="550.54",
    cuda="12.4",
    cpu_model="Simulated CPU",
    cpu_cores=16,
    memory_mib=65_536,
    disk_mib=500_000,
)
_RUNTIMES = (RuntimePart(name="wasm", version="1.0", limits="hard"),)


class CoreNode:
    """A node of the core simulation. The disk survives a crash, everything else does not.

    Args:
        world: What it lives in.
        number: Its number, from 0; node 0 is everybody's bootstrap peer.
        times: Patience of its presence machines.
    """

    def __init__(self, world: "CoreWorld", number: int, times: PresenceTimes) -> None:
        self.number = number
        self.identity = sim_identity(world.seed, number)
        self.peer = self.identity.peer_id
        self.clock = SimClock(lambda: world.now)
        self.is_up = False
        self.starts = 0
        self.disk_sequence = 0
        self.disk_records: dict[PeerId, bytes] = {}
        self.is_disk_full = False
        self._world = world
        self._times = times
        self.core = self._make_core()
        self._performers: dict[type[Effect], Callable[[Any], None]] = {
            Dial: self._dial,
            Disconnect: lambda effect: world.disconnect(self.peer, effect.peer),
            ev.PingPeer: self._ping,
            ev.AskWitness: self._ask_witness,
            ev.FetchRecord: self._fetch_record,
            ev.SyncMap: lambda effect: self._sync(effect.peer, b"", limits.SYNC_ROUNDS_MAX),
            ev.AskPeers: self._ask_peers,
            ev.FindPeers: self._find_peers,
            ev.ProvideKeys: self._provide,
            ev.ForgetNodes: self._forget_nodes,
            ev.Notify: lambda effect: world.heard(self, effect),
        }

    def start(self) -> None:
        """Start, or start again with what the disk has."""
        self.is_up = True
        self.starts += 1
        self.core = self._make_core()
        addrs = (simulated_addr(self.number),)
        self.handle(ev.NodeStarted(addrs, self.disk_sequence, self.clock.now_ms()))
        if self.disk_records:
            records = tuple(self.disk_records.values())
            self.handle(ev.RecordsArrived(None, records, (), self.clock.now_ms()))
        self.handle(ev.HardwareProbed(_HARDWARE, _RUNTIMES))

    def crash(self) -> None:
        """Stop without a word."""
        self.is_up = False

    def handle(self, event: Event) -> None:
        """Feed one event to the core and perform what it says."""
        if self.is_up:
            self._perform(self.core.handle(event, self._now()))
            self._world.after_step(self)

    def wake(self) -> None:
        """Let the core's deadline come."""
        self.handle(ev.TimeCame(self.clock.now_ms()))

    def judge(self, author: PeerId, payload: bytes) -> Judgement:
        """Judge gossip as the validator does."""
        return self.core.judge(author, payload, now=self._now(), unix=self.clock.now_ms())

    def _make_core(self) -> NodeCore:
        offer = Offer(
            agent="skyops/sim",
            is_worker=True,
            region="eu",
            labels=(),
            slots=1,
            price_microcredits_per_hour=1_000_000,
        )
        seed_peer = self._world.peer_of(0)
        bootstrap = ((seed_peer, (simulated_addr(0),)),) if self.number else ()
        settings = CoreSettings(rules=SIM_RULES, offer=offer, times=self._times, bootstrap=bootstrap)
        return NodeCore(self.identity.node_key, lambda _unix: self.identity.binding, settings)

    def _now(self) -> MonotonicS:
        return MonotonicS(self._world.now)

    # --- effects ------------------------------------------------------------------------------------------
    def _perform(self, effects: list[Effect]) -> None:
        """Perform in order."""
        for effect in effects:
            match effect:
                case ev.RememberSequence(number):
                    if self.is_disk_full:
                        self._world.later(0.0, self.handle, ev.SequenceNotRemembered())
                    else:
                        self.disk_sequence = number
                        self._world.later(0.0, self.handle, ev.SequenceRemembered(number))
                case ev.Publish(payload):
                    self._world.publish(self, payload)
                case ev.RememberNodes(peers):
                    if not self.is_disk_full:
                        self._remember(peers)
                case _:
                    performer = self._performers.get(type(effect))
                    if performer is not None:
                        performer(effect)

    def _remember(self, peers: tuple[PeerId, ...]) -> None:
        for peer in peers:
            entry = self.core.nodes.get(peer)
            if entry is not None and entry.verified is not None:
                self.disk_records[peer] = entry.verified.signed.data

    def _forget_nodes(self, effect: ev.ForgetNodes) -> None:
        for peer in effect.peers:
            self.disk_records.pop(peer, None)

    def _dial(self, effect: Dial) -> None:
        self._world.dial(self, effect.peer)

    def _ping(self, effect: ev.PingPeer) -> None:
        started = self._world.now

        def pong(_: "CoreNode") -> None:
            self.handle(ev.PingEnded(effect.peer, self._world.now - started))

        self._ask(effect.peer, pong, lambda: self.handle(ev.PingEnded(effect.peer, None)))

    def _ask_witness(self, effect: ev.AskWitness) -> None:
        def reply(is_alive: bool) -> None:
            self.handle(ev.WitnessReplied(effect.target, is_alive))

        def at_witness(witness: "CoreNode") -> None:
            witness._ask(
                effect.target,
                lambda _: self._world.travel(witness, self, lambda: reply(True)),
                lambda: self._world.travel(witness, self, lambda: reply(False)),
            )

        self._world.travel_to(self, effect.witness, at_witness)

    def _fetch_record(self, effect: ev.FetchRecord) -> None:
        def answer(source: "CoreNode") -> None:
            entry = source.core.nodes.get(effect.target)
            records = (entry.verified.signed.data,) if entry and entry.verified else ()
            beats = (entry.beat.data,) if entry and entry.beat else ()
            if records or beats:
                self._arrived(effect.source, records, beats)

        self._ask(effect.source, answer)

    def _sync(self, neighbour: PeerId, after: bytes, rounds: int) -> None:
        digests = self.core.nodes.digests()

        def answer(other: "CoreNode") -> None:
            records, is_complete = other.core.nodes.differing(
                digests, after=after, count_max=limits.MAP_SYNC_ENTRIES_MAX
            )
            if records:
                self._arrived(neighbour, tuple(records), other.core.nodes.beats_of(records))
            if records and not is_complete and rounds > 1:
                self._sync(neighbour, owner_of(records[-1], SIM_RULES), rounds - 1)

        self._ask(neighbour, answer)

    def _ask_peers(self, effect: ev.AskPeers) -> None:
        def answer(other: "CoreNode") -> None:
            for link in other.core.book.sample(limits.PEER_EXCHANGE_ADDRS_MAX, salt=b"x", without=self.peer):
                if link.addrs:
                    self.handle(ev.PeerHeardOf(link.peer, link.addrs))

        self._ask(effect.peer, answer)

    def _provide(self, _effect: ev.ProvideKeys) -> None:
        self._world.providers[self.peer] = (simulated_addr(self.number),)

    def _find_peers(self, _effect: ev.FindPeers) -> None:
        found: list[tuple[PeerId, tuple[Multiaddr, ...]]] = [
            (peer, addrs) for peer, addrs in self._world.providers.items() if peer != self.peer
        ]
        for peer, addrs in found[: limits.PEER_EXCHANGE_ADDRS_MAX]:
            self._world.later(0.1, self.handle, ev.PeerHeardOf(peer, addrs))

    def _arrived(self, source: PeerId, records: tuple[bytes, ...], beats: tuple[bytes, ...]) -> None:
        self.handle(ev.RecordsArrived(source, records, beats, self.clock.now_ms()))

    def _ask(
        self, peer: PeerId, answered: Callable[["CoreNode"], None], silent: Callable[[], None] | None = None
    ) -> None:
        """Ask a peer: `answered` runs when its answer is back, or else `silent` after the time-out."""
        outcome: list[bool] = []

        def back(other: "CoreNode") -> None:
            if not outcome:
                outcome.append(True)
                answered(other)

        def give_up() -> None:
            if not outcome:
                outcome.append(False)
                if silent is not None:
                    silent()

        def arrive(other: "CoreNode") -> None:
            other.handle(ev.PeerSpoke(self.peer))
            self._world.travel(other, self, lambda: back(other))

        self._world.travel_to(self, peer, arrive)
        self._world.later(self._times.probe_timeout_s, give_up)

    # --- what the world asks ------------------------------------------------------------------------------
    def believes(self, peer: PeerId) -> NodeState | None:
        """Return the state in which this node has another on its map."""
        entry = self.core.nodes.get(peer)
        return entry.presence.state if entry else None
