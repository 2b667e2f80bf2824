"""The heart of a node: it joins links, map, gossip gate and announcer, and turns events into effects.

Pure like the machines inside it: the shell (node/dispatcher.py) or the simulator feeds it events and performs its
effects. It decides whom to dial, what to say and when, whom to probe and what to believe. Spec: protocol/03-peering.md.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

from skyops_p2p import limits
from skyops_p2p.core import node_events as ev
from skyops_p2p.core import peering, presence
from skyops_p2p.core.address_book import AddressBook
from skyops_p2p.core.announcer import Announcer, Load
from skyops_p2p.core.binding import BindingSource
from skyops_p2p.core.changed_nodes import ChangedNodes
from skyops_p2p.core.core_settings import CoreSettings
from skyops_p2p.core.discovery import Discovery, announce_in_dht
from skyops_p2p.core.intake import Intake, Judgement, ProvenEquivocator, Verified
from skyops_p2p.core.machine import Effect, Event, snake
from skyops_p2p.core.node_map import Admission, NodeMap
from skyops_p2p.core.rate import PeerRates
from skyops_p2p.core.records import VerifiedRecord, check_presence, check_record
from skyops_p2p.core.schedule import Schedule
from skyops_p2p.core.sequence_reserve import SequenceReserve
from skyops_p2p.crypto.hashing import hkdf_sha256
from skyops_p2p.crypto.node_key import NodeKey
from skyops_p2p.errors import LocalProtocolError, RemoteProtocolError
from skyops_p2p.types import MonotonicS, Multiaddr, PeerId, UnixMs
from skyops_p2p.wire.envelope import Signed
from skyops_p2p.wire.messages.peering import EquivocationProof, Presence
from skyops_p2p.wire.model import encode_message

ANNOUNCE_AGAIN_S = (1.0, 3.0, 8.0)
"""A new record is gossiped again after these seconds: right after a start the gossip mesh is not formed yet."""
SYNC_SOON_S = 2.0
"""After news from a neighbour, and after our own new record, another one is asked so soon for what it learned."""
RANKING_INFO = b"skyops/ranking/1"
"""Our own secret order of peers: nobody can make peer ids that we dial first, or foresee our witnesses."""


class NodeCore:
    """All of a node's decisions.

    Args:
        node_key: Signs our records and heartbeats.
        binding: Gives our enveloped Binding.
        settings: From the configuration.
    """

    def __init__(self, node_key: NodeKey, binding: BindingSource, settings: CoreSettings) -> None:
        self.peer_id = node_key.peer_id
        self.rules = settings.rules
        self.settings = settings
        self.nodes = NodeMap(settings.times, needs_stake=settings.needs_stake, keep=self.peer_id)
        self.book = AddressBook(
            self.peer_id,
            peers_target=settings.peers_target,
            bootstrap=[peer for peer, _ in settings.bootstrap],
            salt=hkdf_sha256(node_key.seed, salt=b"", info=RANKING_INFO, size=32),
        )
        self.intake = Intake(settings.rules, self.nodes)
        self._announcer = Announcer(
            node_key, binding, settings.rules, offer=settings.offer, beat_s=settings.times.beat_s
        )
        self._discovery = Discovery(self.book, peers_target=settings.peers_target)
        self._schedule = Schedule(
            plan=limits.DISCOVERY_INTERVAL_S,
            sync=limits.SYNC_INTERVAL_S,
            discover=limits.DISCOVERY_INTERVAL_S,
            flush=math.inf,
            records=limits.RECORD_CHECK_S,
            dht=limits.DHT_REFRESH_S,
        )
        self._again: list[MonotonicS] = []
        self._reserve = SequenceReserve()
        self._changed = ChangedNodes()
        self._fetches = PeerRates(
            burst=limits.RECORD_FETCH_BURST,
            per_s=limits.RECORD_FETCHES_PER_S,
            peers_max=limits.ADDRESS_BOOK_PEERS_MAX,
        )
        self._is_stopping = False

    # --- the one entry ----------------------------------------------------------------------------------------
    def handle(self, event: Event, now: MonotonicS) -> list[Effect]:
        """Take one event and return what is to be done, in order.

        Args:
            event: One of core/node_events.py.
            now: Monotonic seconds, never less than before.
        """
        if (method := _METHODS.get(type(event))) is None:
            raise LocalProtocolError(f"the core does not know {type(event).__name__}")
        return self._expand(method(self, event, now), now)

    def judge(self, author: PeerId, payload: bytes, *, now: MonotonicS, unix: UnixMs) -> Judgement:
        """Judge a gossip message before it is forwarded; see Intake.judge."""
        return self.intake.judge(author, payload, now=now, unix=unix)

    def next_deadline(self) -> MonotonicS | None:
        """Return when TimeCame is due, or None before the start and after the end."""
        if self._is_stopping:
            return None
        candidates = (
            self.nodes.next_deadline(),
            self.book.next_deadline(),
            self._beat_at(),
            self._schedule.next_deadline(),
            min(self._again, default=None),
        )
        return min((at for at in candidates if at is not None), default=None)

    def check_invariants(self) -> None:
        """Check every machine and index; costs time linear in the map."""
        self.nodes.check_invariants()
        self.book.check_invariants()
        own = self.nodes.get(self.peer_id)
        for said in (own.record, own.beat.message if own.beat else None) if own else ():
            assert said is None or self._reserve.covers(said.sequence), "a number was signed unreserved"

    @property
    def own_record(self) -> bytes | None:
        """Our newest enveloped record, or None before the first."""
        entry = self.nodes.get(self.peer_id)
        return entry.verified.signed.data if entry and entry.verified else None

    @property
    def own_beat(self) -> bytes | None:
        """Our newest enveloped heartbeat, or None before the first."""
        entry = self.nodes.get(self.peer_id)
        return entry.beat.data if entry and entry.beat else None

    # --- this node --------------------------------------------------------------------------------------------
    def _node_started(self, event: ev.NodeStarted, now: MonotonicS) -> list[Effect]:
        self._reserve.resume(event.last_sequence)
        self._announcer.resume(event.last_sequence, event.addrs)
        for peer, addrs in self.settings.bootstrap:
            self.book.learn(peer, addrs)
        self._schedule.start(now)
        self._schedule.hasten("records", now)
        self.nodes.touch(self.peer_id, now)
        return self.book.plan(now)

    def _hardware_probed(self, event: ev.HardwareProbed, now: MonotonicS) -> list[Effect]:
        self._announcer.set_hardware(event.hardware, event.runtimes)
        self._schedule.hasten("records", now)
        return []

    def _addrs_changed(self, event: ev.AddrsChanged, now: MonotonicS) -> list[Effect]:
        self._announcer.set_addrs(event.addrs)
        self._schedule.hasten("records", now)
        return []

    def _sequence_remembered(self, event: ev.SequenceRemembered, now: MonotonicS) -> list[Effect]:
        self._reserve.confirm(event.number)
        self._schedule.hasten("records", now)
        return []

    def _sequence_not_remembered(self, _event: ev.SequenceNotRemembered, now: MonotonicS) -> list[Effect]:
        self._reserve.fail(now)
        self._schedule.hasten("records", self._reserve.rests_until)
        return []

    def _load_changed(self, event: ev.LoadChanged, now: MonotonicS) -> list[Effect]:
        interval = self._announcer.interval_s(len(self.nodes))
        self._announcer.set_load(Load(event.slots_free, event.load_permille), now, interval_s=interval)
        return []

    def _node_stopping(self, event: ev.NodeStopping, now: MonotonicS) -> list[Effect]:
        """Say goodbye and rest: whatever comes after the last heartbeat would call us back to life. PER-28."""
        if self._is_stopping:
            return []
        self._is_stopping = True
        effects: list[Effect] = self._flush()
        if self.own_record is None or not self._reserve.covers(self._announcer.next_sequence(event.unix_ms)):
            return effects
        beat = self._announcer.make_beat(now, event.unix_ms, nodes=len(self.nodes), is_leaving=True)
        return [*effects, ev.Publish(beat)]

    def _time_came(self, event: ev.TimeCame, now: MonotonicS) -> list[Effect]:
        if self._is_stopping:
            return []
        due = self._schedule.due(now)
        effects = self._renew_records(now, event.unix_ms) if "records" in due else []
        beat_at = self._beat_at()
        if beat_at is not None and beat_at <= now:
            effects += self._beat(now, event.unix_ms)
        if any(at <= now for at in self._again):
            effects += self._announce_again(now)
        # First: a node that slept, or may sign nothing at present, must not take itself for silent.
        effects += self.nodes.handle(self.peer_id, presence.LifeSeen(), now)
        effects += [*self.book.wake(now), *self.nodes.wake(now)]
        if "plan" in due:
            effects += self.book.plan(now)
        if "sync" in due:
            effects += [do(link.peer) for link in self.book.pick(1) for do in (ev.SyncMap, ev.PingPeer)]
        if "discover" in due:
            effects += self._discovery.ask()
        if "dht" in due:
            effects += announce_in_dht(self.nodes.get(self.peer_id), self.rules)
        if "flush" in due:
            effects += self._flush()
        return effects

    # --- the network ------------------------------------------------------------------------------------------
    def _connection_up(self, event: ev.ConnectionUp, now: MonotonicS) -> list[Effect]:
        if (peer := event.peer) == self.peer_id:
            return []
        self.book.learn(peer, event.addrs if event.is_outbound else ())
        effects = self.book.handle(peer, peering.ConnectionOpened(event.is_outbound), now)
        if self.book.is_banned(peer) or self.nodes.touch(peer, now) is None:
            return effects
        effects += self.nodes.handle(peer, presence.LifeSeen(), now)
        effects += [ev.FetchRecord(peer, peer), ev.PingPeer(peer), ev.Notify("peer", peer, "connected")]
        return [*effects, ev.SyncMap(peer)] if event.is_outbound else effects

    def _connection_down(self, event: ev.ConnectionDown, now: MonotonicS) -> list[Effect]:
        effects = self.book.handle(event.peer, peering.ConnectionClosed(), now)
        effects += self.nodes.handle(event.peer, presence.ContactLost(), now)
        return [*effects, ev.Notify("peer", event.peer, "disconnected"), *self.book.plan(now)]

    def _peer_heard_of(self, event: ev.PeerHeardOf, now: MonotonicS) -> list[Effect]:
        self.book.learn(event.peer, event.addrs, is_hearsay=True)
        self._schedule.hasten("plan", now)
        return []

    def _dial_ended(self, event: ev.DialEnded, now: MonotonicS) -> list[Effect]:
        self._schedule.hasten("plan", now)
        return self.book.handle(event.peer, peering.DialFailed(event.reason), now)

    def _peer_spoke(self, event: ev.PeerSpoke, now: MonotonicS) -> list[Effect]:
        return self.nodes.handle(event.peer, presence.LifeSeen(), now)

    def _peer_misbehaved(self, event: ev.PeerMisbehaved, now: MonotonicS) -> list[Effect]:
        effects = self.book.handle(event.peer, peering.Misbehaved(event.code), now)
        return [*effects, ev.Notify("peer", event.peer, f"banned: {event.code}")]

    def _gossip_arrived(self, event: ev.GossipArrived, now: MonotonicS) -> list[Effect]:
        verified = self.intake.take(event.author, event.payload, unix=event.unix_ms)
        return [] if verified is None else self._take(verified, now, event.unix_ms)

    # --- answers ----------------------------------------------------------------------------------------------
    def _ping_ended(self, event: ev.PingEnded, now: MonotonicS) -> list[Effect]:
        if event.round_trip_s is None:
            return self.nodes.handle(event.peer, presence.ProbeFailed(), now)
        self.nodes.measure(event.peer, event.round_trip_s)
        return self.nodes.handle(event.peer, presence.LifeSeen(), now)

    def _witness_replied(self, event: ev.WitnessReplied, now: MonotonicS) -> list[Effect]:
        return self.nodes.handle(event.target, presence.WitnessAnswered(event.is_alive), now)

    def _stake_of_peer_checked(self, event: ev.StakeOfPeerChecked, now: MonotonicS) -> list[Effect]:
        return self.nodes.handle(event.peer, presence.StakeChecked(event.is_sufficient), now)

    def _records_arrived(self, event: ev.RecordsArrived, now: MonotonicS) -> list[Effect]:
        effects: list[Effect] = []
        is_foreign, before = event.source is not None, self.nodes.digests()
        for verified in self.intake.check_all(
            event.records + event.beats, unix=event.unix_ms, is_foreign=is_foreign
        ):
            effects += self._take(verified, now, event.unix_ms)
        if is_foreign and self.nodes.digests() != before:  # others may have learned as much meanwhile
            self._schedule.hasten("sync", MonotonicS(now + SYNC_SOON_S))
        return effects

    # --- steps ------------------------------------------------------------------------------------------------
    def _take(self, verified: Verified, now: MonotonicS, unix: UnixMs) -> list[Effect]:
        match verified:
            case VerifiedRecord():
                return self._admit_record(verified, now, unix)
            case ProvenEquivocator(peer, proof):
                return self.nodes.convict(peer, proof, now)
            case _:
                return self._admit_beat(verified, now)

    def _admit_record(self, verified: VerifiedRecord, now: MonotonicS, unix: UnixMs) -> list[Effect]:
        if verified.peer == self.peer_id and verified.record.sequence != self._announcer.record_sequence:
            return self._heard_of_ourselves(verified.record.sequence)
        held = self.nodes.get(verified.peer)
        before = held.verified if held else None
        admission, entry = self.nodes.admit_record(verified, now, unix)
        if admission is Admission.EQUIVOCATION and before is not None and verified.peer != self.peer_id:
            return self._accuse(before, verified, now)
        if admission is Admission.BINDING_CONFLICT:
            self.intake.count(admission.value)  # IDN-9
        if admission is not Admission.NEWER or entry is None:
            return []
        self._changed.change(entry.peer)
        self.book.learn(entry.peer, [Multiaddr(addr) for addr in verified.record.addrs])
        self._schedule.hasten("plan", now)
        effects = self.nodes.handle(entry.peer, presence.RecordAccepted(), now)
        if self.settings.needs_stake:
            effects.append(ev.CheckStakeOfPeer(entry.peer, verified.binding.wallet))
        return effects

    def _accuse(self, held: VerifiedRecord, other: VerifiedRecord, now: MonotonicS) -> list[Effect]:
        """Turn two contradicting records into a proof, believe it and spread it. Rules: PER-12."""
        proof = EquivocationProof(kind="node-record", first=held.signed.data, second=other.signed.data)
        effects = self.nodes.convict(held.peer, proof, now)
        encoded = encode_message(proof)
        return [*effects, ev.Publish(encoded)] if len(encoded) <= limits.GOSSIP_BYTES_MAX else effects

    def _admit_beat(self, beat: Signed[Presence], now: MonotonicS) -> list[Effect]:
        message = beat.message
        if beat.signer == self.peer_id and message.sequence != self._announcer.sequence:
            return self._heard_of_ourselves(message.sequence)
        admission, entry = self.nodes.admit_beat(beat, now)
        if admission is not Admission.NEWER or entry is None:
            return []
        received = presence.BeatReceived(message.interval_ms / 1000, message.is_leaving)
        effects = self.nodes.handle(entry.peer, received, now)
        held = entry.record.sequence if entry.record else -1
        is_missing = held < message.record_sequence and entry.peer != self.peer_id
        if is_missing and not message.is_leaving and self._fetches.take(entry.peer, now):  # PER-31
            if entry.peer in self.book.connected():
                return [*effects, ev.FetchRecord(entry.peer, entry.peer)]
            self._schedule.hasten("sync", MonotonicS(now + SYNC_SOON_S))
        return effects

    def _heard_of_ourselves(self, sequence: int) -> list[Effect]:
        """Go above what our key signed elsewhere or in an earlier run; never take it for our state. Rules: PER-26."""
        if not self._announcer.outbid(sequence):
            return []
        return [ev.Notify("note", self.peer_id, "our key signed a higher number: is it in use elsewhere?")]

    def _renew_records(self, now: MonotonicS, unix: UnixMs) -> list[Effect]:
        """Make our record if it is due, and let expired ones of others fall."""
        self._announcer.refresh_if_old(unix)
        effects = self._renew_own(now, unix) if self._announcer.is_record_due else []
        return effects + self.nodes.expire_records(now, unix)

    def _renew_own(self, now: MonotonicS, unix: UnixMs) -> list[Effect]:
        if not self._reserve.covers(number := self._announcer.next_sequence(unix)):  # PER-6
            return self._reserve.ask(number)
        data = self._announcer.make_record(now, unix)
        try:
            verified = check_record(data, self.rules, now=unix)
        except RemoteProtocolError as error:  # our clock went back, our binding ran out, or we say too much
            self._announcer.mark_record_due()
            text = f"our own record would be refused, so it is not sent: {error.code}"
            return [ev.Notify("note", self.peer_id, text)]
        effects: list[Effect] = [ev.Publish(data), *self._admit_record(verified, now, unix)]
        self._again = [MonotonicS(now + after) for after in ANNOUNCE_AGAIN_S]
        self._schedule.hasten("dht", MonotonicS(now + limits.DHT_ANNOUNCE_DELAY_S))
        self._schedule.hasten("sync", MonotonicS(now + SYNC_SOON_S))
        return effects

    def _beat(self, now: MonotonicS, unix: UnixMs) -> list[Effect]:
        if not self._reserve.covers(number := self._announcer.next_sequence(unix)):  # PER-6
            return self._reserve.ask(number)
        data = self._announcer.make_beat(now, unix, nodes=len(self.nodes))
        return [ev.Publish(data), *self._admit_beat(check_presence(data, self.rules, now=unix), now)]

    def _beat_at(self) -> MonotonicS | None:
        """When the next heartbeat is due; None while no number may be signed."""
        at = self._announcer.next_deadline()
        at = None if at is None else max(at, self._reserve.rests_until)
        return None if at == math.inf else at

    def _announce_again(self, now: MonotonicS) -> list[Effect]:
        self._again = [at for at in self._again if at > now]
        return [ev.Publish(data) for data in (self.own_record, self.own_beat) if data]

    def _flush(self) -> list[Effect]:
        self._changed.remove(self.nodes.take_evicted())
        return self._changed.flush()

    def _expand(self, effects: Iterable[Effect], now: MonotonicS) -> list[Effect]:
        """Turn the presence machines' effects into the node's."""
        expanded: list[Effect] = []
        for effect in effects:
            match effect:
                case presence.ProbeDirectly(peer) if peer == self.peer_id or self.book.is_banned(peer):
                    pass  # we are there; and a peer that we shut out is left to the witnesses
                case presence.ProbeDirectly(peer):
                    expanded.append(ev.PingPeer(peer))
                case presence.AskWitnesses(peer):
                    witnesses = self.book.pick(limits.PROBE_WITNESSES, without=peer)
                    expanded += [ev.AskWitness(link.peer, peer) for link in witnesses]
                case presence.StateChanged(peer, before, after, reason):
                    self._changed.change(peer)
                    expanded.append(ev.Notify("node", peer, f"{before.value} -> {after.value}: {reason}"))
                case presence.ExpireNode(peer):
                    self.nodes.remove(peer)
                    self._changed.remove((peer,))
                case _:
                    expanded.append(effect)
        if self._changed.is_waiting:
            self._schedule.hasten("flush", MonotonicS(now + limits.FLUSH_INTERVAL_S))
        return expanded


_METHODS: dict[type[Event], Callable[[NodeCore, Any, MonotonicS], list[Effect]]] = {
    kind: getattr(NodeCore, "_" + snake(kind.__name__))
    for kind in vars(ev).values()
    if isinstance(kind, type) and issubclass(kind, Event) and kind is not Event
}
"""Event type -> the method that is named after it."""
