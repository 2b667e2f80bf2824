"""The local, queryable map of the network: one entry for each node. Spec: protocol/03-peering.md, "Node map".

An entry joins the newest verified record, the newest heartbeat, and the presence machine that says what we believe.
The DHT finds nodes; freshness comes from heartbeats and from the nodes themselves, because the DHT serves stale
copies. The map holds at most MAP_ENTRIES_MAX nodes and probes at most PROBES_IN_FLIGHT_MAX of them at once.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from skyops_p2p import limits
from skyops_p2p.core.machine import DeadlineReached, Effect, Event
from skyops_p2p.core.presence import (
    BeatReceived,
    EquivocationProven,
    LifeSeen,
    NodeState,
    Presence,
    PresenceTimes,
    ProbeDirectly,
    ProbeFailed,
    RecordExpired,
)
from skyops_p2p.core.records import VerifiedRecord
from skyops_p2p.core.sync_index import SyncIndex
from skyops_p2p.core.timers import Timers
from skyops_p2p.types import MonotonicS, PeerId, UnixMs, WalletAddress
from skyops_p2p.wire.envelope import Signed
from skyops_p2p.wire.messages.peering import EquivocationProof, NodeRecord
from skyops_p2p.wire.messages.peering import Presence as Beat
from skyops_p2p.wire.model import encode_message

_ANSWERS = (LifeSeen, BeatReceived, ProbeFailed)
"""Events that end a probe."""
_PROBED_BY_DEADLINE = (NodeState.PENDING, NodeState.ACTIVE)
"""States whose deadline makes a probe."""


class Admission(Enum):
    """What became of a record or a heartbeat."""

    NEWER = "newer"
    """It replaced what we had."""
    KNOWN = "known"
    """We have this one, or a newer one."""
    EQUIVOCATION = "equivocation"
    """Another record under the same number: a proof."""
    BINDING_CONFLICT = "binding_conflict"
    """The node is bound to another wallet until that binding expires. Rules: IDN-9."""
    SHUT_OUT = "shut_out"
    """The node is SLASHED: nothing more of it is taken. Rules: PER-20."""
    MAP_FULL = "map_full"
    """No room, and nobody to make some. Rules: PER-29."""


@dataclass(slots=True)
class NodeEntry:
    """One node of the map."""

    peer: PeerId
    presence: Presence
    verified: VerifiedRecord | None = None
    """The newest record, or None while only a heartbeat or a connection is known."""
    beat: Signed[Beat] | None = None
    is_record_live: bool = False
    """There is a record, and it has not run out."""
    round_trip_s: float | None = None
    """Our own measure, smoothed."""
    counted: NodeState = NodeState.PENDING
    """The state under which the map counts it."""
    proof: EquivocationProof | None = None
    """Why the node is SLASHED; what a store must keep to know it again."""

    @property
    def record(self) -> NodeRecord | None:
        """The newest record, if any."""
        return self.verified.record if self.verified else None

    @property
    def kept(self) -> bytes | None:
        """What a store keeps of the node: the proof if it is SLASHED, else its record; both can be read back."""
        if self.proof is not None:
            return encode_message(self.proof)
        return self.verified.signed.data if self.verified else None

    @property
    def wallet(self) -> WalletAddress | None:
        """The bound wallet, if a record is known."""
        return self.verified.binding.wallet if self.verified else None

    @property
    def price(self) -> int:
        """Microcredits an hour, from the heartbeat if there is one; 0 without a record."""
        if self.beat is not None:
            return self.beat.message.price_microcredits_per_hour
        return self.record.price_microcredits_per_hour if self.record else 0

    @property
    def slots_free(self) -> int:
        """Idle slots, from the heartbeat; 0 if there is none."""
        return self.beat.message.slots_free if self.beat else 0


class NodeMap:
    """All entries, with deadlines and the synchronisation index kept incrementally.

    Args:
        times: Patience of the presence machines.
        needs_stake: Whether nodes must show stake to become ACTIVE.
        keep: A node that never makes room for another: ourselves.
    """

    def __init__(
        self, times: PresenceTimes, *, needs_stake: bool = False, keep: PeerId | None = None
    ) -> None:
        self._times = times
        self._needs_stake = needs_stake
        self._keep = keep
        self._entries: dict[PeerId, NodeEntry] = {}
        self._timers = Timers(self._deadline_of)
        self._counts: Counter[NodeState] = Counter()
        self._index = SyncIndex()
        self._probing: dict[PeerId, MonotonicS] = {}
        """Peer -> when its probe's place is free again at the latest."""
        self._overdue: dict[PeerId, None] = {}
        """Whose deadline came while no place for a probe was free; first come, first served."""
        self._stale: dict[PeerId, None] = {}
        """INACTIVE or never seen, oldest first: these make room."""
        self._slashed: dict[PeerId, None] = {}
        self._evicted: list[PeerId] = []
        self._owners: dict[bytes, PeerId] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[NodeEntry]:
        return iter(self._entries.values())

    def get(self, peer: PeerId) -> NodeEntry | None:
        """Return a node's entry, or None."""
        return self._entries.get(peer)

    def offers_work(self, peer: PeerId) -> bool:
        """Return whether a node's record says that it is a worker; False where no record of it is known."""
        entry = self._entries.get(peer)
        return entry is not None and entry.record is not None and entry.record.is_worker

    def counts(self) -> dict[str, int]:
        """Return how many nodes are in each state."""
        return {state.value: self._counts[state] for state in NodeState}

    def touch(self, peer: PeerId, now: MonotonicS) -> NodeEntry | None:
        """Return the entry of a peer, made if need be; None if the map is full."""
        entry = self._entries.get(peer)
        if entry is None:
            if len(self._entries) >= limits.MAP_ENTRIES_MAX and not self._make_room():
                return None
            # In a large network heartbeats are rare: a newcomer may be silent for that long without being probed.
            interval_s = max(self._times.beat_s, len(self._entries) / limits.PRESENCE_BUDGET_PER_S)
            presence = Presence(peer, self._times, now, needs_stake=self._needs_stake, interval_s=interval_s)
            entry = self._entries[peer] = NodeEntry(peer, presence)
            self._counts[entry.counted] += 1
            self._sort(entry)
            self._arm(entry)
        return entry

    def weigh_record(self, verified: VerifiedRecord, unix: UnixMs) -> Admission:
        """Say what would become of a verified record; changes nothing, and does not look for room.

        Rules: PER-6, PER-12, PER-20, IDN-9.
        """
        entry = self._entries.get(verified.peer)
        if entry is not None and entry.presence.state is NodeState.SLASHED:  # PER-20
            return Admission.SHUT_OUT
        held = entry.verified if entry else None
        if held is None:
            return Admission.NEWER
        if verified.record.sequence < held.record.sequence:  # PER-6
            return Admission.KNOWN
        if verified.record.sequence == held.record.sequence:
            return Admission.KNOWN if verified.record == held.record else Admission.EQUIVOCATION  # PER-12
        if verified.binding.wallet != held.binding.wallet and held.binding.expires_unix_ms > unix:  # IDN-9
            return Admission.BINDING_CONFLICT
        return Admission.NEWER

    def admit_record(
        self, verified: VerifiedRecord, now: MonotonicS, unix: UnixMs
    ) -> tuple[Admission, NodeEntry | None]:
        """Put a verified record on the map, unless `weigh_record` says otherwise. Rules: PER-6, PER-29."""
        admission = self.weigh_record(verified, unix)
        if admission is not Admission.NEWER:
            return admission, self._entries.get(verified.peer)
        entry = self.touch(verified.peer, now)
        if entry is None:
            return Admission.MAP_FULL, None
        self._hold(verified.signed.data, entry.verified.signed.data if entry.verified else None, entry.peer)
        entry.verified, entry.is_record_live = verified, True
        self._index.put(verified.peer, verified.record.sequence, verified.signed.data)
        return Admission.NEWER, entry

    def convict(self, peer: PeerId, proof: EquivocationProof, now: MonotonicS) -> list[Effect]:
        """Believe a checked proof; both records are told to neighbours from now on. Rules: PER-12, PER-20."""
        entry = self.touch(peer, now)
        if entry is None or entry.proof is not None:
            return []
        entry.proof = proof
        if entry.is_record_live:
            self._index.put_contradiction(peer, proof.first, proof.second)
        return self.handle(peer, EquivocationProven(), now)

    def expire_records(self, now: MonotonicS, unix: UnixMs) -> list[Effect]:
        """Let every record fall that has run out. Rules: PER-30."""
        effects: list[Effect] = []
        for entry in self._entries.values():
            held = entry.verified
            if held is not None and entry.is_record_live and held.expires_unix_ms <= unix:
                entry.is_record_live = False
                self._index.drop(entry.peer)
                effects += self.handle(entry.peer, RecordExpired(), now)
        return effects

    def admit_beat(self, beat: Signed[Beat], now: MonotonicS) -> tuple[Admission, NodeEntry | None]:
        """Put a checked heartbeat on the map, unless what is there is as new. Rules: PER-9, PER-20."""
        if not self.is_beat_fresh(beat):
            return Admission.KNOWN, self._entries.get(beat.signer)
        entry = self.touch(beat.signer, now)
        if entry is None:
            return Admission.MAP_FULL, None
        self._hold(beat.data, entry.beat.data if entry.beat else None, entry.peer)
        entry.beat = beat
        return Admission.NEWER, entry

    def is_beat_fresh(self, beat: Signed[Beat]) -> bool:
        """Return whether a heartbeat is newer than the one held; changes nothing. Rules: PER-9, PER-20."""
        entry = self._entries.get(beat.signer)
        if entry is None:
            return True
        if entry.presence.state is NodeState.SLASHED:  # PER-20
            return False
        return entry.beat is None or beat.message.sequence > entry.beat.message.sequence  # PER-9

    def handle(self, peer: PeerId, event: Event, now: MonotonicS) -> list[Effect]:
        """Pass an event to a node's presence machine; nothing for a node that is not on the map."""
        entry = self._entries.get(peer)
        if entry is None:
            return []
        before = entry.presence.next_deadline()
        effects = list(entry.presence.handle(event, now))
        if entry.presence.next_deadline() != before:
            self._arm(entry)
        self._sort(entry)
        if isinstance(event, _ANSWERS):
            self._probing.pop(peer, None)
        if any(isinstance(effect, ProbeDirectly) for effect in effects):
            self._probing[peer] = MonotonicS(now + 2 * self._times.probe_timeout_s)
        return effects

    def next_deadline(self) -> MonotonicS | None:
        """Return the earliest instant at which `wake` has something to do, or None; it may be in the past."""
        timer = self._timers.next_deadline()
        if not self._overdue:
            return timer
        if self._is_probe_free():
            first = self._entries[next(iter(self._overdue))].presence.next_deadline()
        else:
            first = min(self._probing.values())
        return min((at for at in (timer, first) if at is not None), default=None)

    def wake(self, now: MonotonicS) -> list[Effect]:
        """Pass DeadlineReached to the machines whose deadline has come; probes wait for a place. Rules: PER-22."""
        for peer in [peer for peer, until in self._probing.items() if until <= now]:
            del self._probing[peer]
        effects: list[Effect] = []
        while self._overdue and self._is_probe_free():
            peer = next(iter(self._overdue))
            del self._overdue[peer]
            deadline = self._entries[peer].presence.next_deadline()
            if deadline is not None and deadline <= now:  # else it gave a sign of life meanwhile
                effects += self.handle(peer, DeadlineReached(), now)
        while (at := self._timers.next_deadline()) is not None and at <= now:
            peer = self._timers.pop()
            if self._is_probe_free() or self._entries[peer].presence.state not in _PROBED_BY_DEADLINE:
                effects += self.handle(peer, DeadlineReached(), now)
            else:
                self._overdue[peer] = None
        return effects

    def measure(self, peer: PeerId, round_trip_s: float) -> None:
        """Note a measured round trip; smoothed as TCP does (RFC 6298, alpha 1/8)."""
        entry = self._entries.get(peer)
        if entry is not None:
            old = entry.round_trip_s
            entry.round_trip_s = round_trip_s if old is None else 0.875 * old + 0.125 * round_trip_s

    def remove(self, peer: PeerId) -> None:
        """Take a node off the map."""
        entry = self._entries.pop(peer, None)
        if entry is not None:
            for held in (entry.verified.signed if entry.verified else None, entry.beat):
                if held is not None:
                    self._owners.pop(held.data, None)
            if entry.is_record_live:
                self._index.drop(peer)
            self._counts[entry.counted] -= 1
            for indexed in (self._probing, self._overdue, self._stale, self._slashed):
                indexed.pop(peer, None)

    def holds(self, envelope: bytes) -> bool:
        """Return whether this very record or heartbeat stands on the map: it was checked, and is no news."""
        return envelope in self._owners

    def beats_of(self, records: Iterable[bytes]) -> tuple[bytes, ...]:
        """Return the newest heartbeats, enveloped, of the nodes whose records these are. Rules: PER-16."""
        entries = (self._entries.get(self._owners.get(data, PeerId(""))) for data in records)
        return tuple(entry.beat.data for entry in entries if entry is not None and entry.beat is not None)

    def _hold(self, envelope: bytes, before: bytes | None, peer: PeerId) -> None:
        if before is not None:
            self._owners.pop(before, None)
        self._owners[envelope] = peer

    def take_evicted(self) -> list[PeerId]:
        """Return the nodes that made room for others since the last call."""
        evicted = [peer for peer in self._evicted if peer not in self._entries]
        self._evicted = []
        return evicted

    def digests(self) -> bytes:
        """Return the digests of the live records; see SyncIndex. Rules: PER-15."""
        return self._index.digests()

    def differing(self, digests: bytes, *, after: bytes, count_max: int) -> tuple[list[bytes], bool]:
        """Return records that a neighbour with these digests may miss; see SyncIndex. Rules: PER-15, PER-16."""
        return self._index.differing(digests, after=after, count_max=count_max)

    def check_invariants(self) -> None:
        """Check each machine, the bounds and the indexes."""
        assert len(self._entries) <= limits.MAP_ENTRIES_MAX
        for entry in self._entries.values():
            entry.presence.check_invariants()
            state = entry.presence.state
            assert state is not NodeState.ACTIVE or entry.verified is not None, "ACTIVE without a record"
            assert (state is NodeState.SLASHED) == (entry.proof is not None), "SLASHED without a proof"
            assert (entry.peer in self._slashed) == (state is NodeState.SLASHED), "slashed index"
            assert (entry.peer in self._stale) == self._is_stale(entry), "stale index"
        for held in (self._probing, self._overdue, self._stale, self._slashed):
            assert held.keys() <= self._entries.keys(), "an index knows a node that is not on the map"
        assert len(self._timers) <= 4 * limits.MAP_ENTRIES_MAX, "the timers grow"
        assert sum(self._counts.values()) == len(self._entries), "the counts have drifted"
        self._index.check_invariants()

    # --- indexes ----------------------------------------------------------------------------------------------
    def _is_probe_free(self) -> bool:
        return len(self._probing) < limits.PROBES_IN_FLIGHT_MAX

    def _deadline_of(self, peer: PeerId) -> MonotonicS | None:
        """Return when a machine's timer is due; an overdue one waits for a place instead."""
        entry = self._entries.get(peer)
        return None if entry is None or peer in self._overdue else entry.presence.next_deadline()

    def _arm(self, entry: NodeEntry) -> None:
        self._overdue.pop(entry.peer, None)
        self._timers.arm(entry.peer)

    def _is_stale(self, entry: NodeEntry) -> bool:
        presence = entry.presence
        is_unseen = presence.state is NodeState.PENDING and presence.seen_at is None
        return (presence.state is NodeState.INACTIVE or is_unseen) and entry.peer != self._keep

    def _sort(self, entry: NodeEntry) -> None:
        """Keep the indexes in step with a machine that may have moved."""
        if entry.counted is not entry.presence.state:
            self._counts[entry.counted] -= 1
            self._counts[entry.presence.state] += 1
            entry.counted = entry.presence.state
        if not self._is_stale(entry):
            self._stale.pop(entry.peer, None)
        else:
            self._stale.setdefault(entry.peer)
        if entry.presence.state is NodeState.SLASHED:
            self._slashed.setdefault(entry.peer)

    def _make_room(self) -> bool:
        """Forget who is INACTIVE or was never seen, longest first, then the oldest SLASHED; False without any.

        Rules: PER-29.
        """
        victim = next(iter(self._stale), None) or next(
            (peer for peer in self._slashed if peer != self._keep), None
        )
        if victim is None:
            return False
        self.remove(victim)
        self._evicted.append(victim)
        return True
