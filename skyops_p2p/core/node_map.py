"""The local, queryable map of the network: one entry for each node. Spec: protocol/03-peering.md, "Node map".

An entry joins the newest verified record, the newest heartbeat, and the presence machine that says what we believe.
The DHT finds nodes; freshness comes from heartbeats and from the nodes themselves, because the DHT serves stale
copies. The map holds at most MAP_ENTRIES_MAX nodes.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from skyops_p2p import limits
from skyops_p2p.core.machine import DeadlineReached, Effect, Event
from skyops_p2p.core.presence import NodeState, Presence, PresenceTimes
from skyops_p2p.core.records import VerifiedRecord
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.crypto.node_key import peer_id_to_bytes
from skyops_p2p.types import MonotonicS, PeerId, UnixMs, WalletAddress
from skyops_p2p.wire.envelope import Signed
from skyops_p2p.wire.messages.peering import NodeRecord
from skyops_p2p.wire.messages.peering import Presence as Beat

BUCKETS = 64
BUCKET_BYTES = 8


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
    MAP_FULL = "map_full"
    """No room, and nobody inactive to make some."""


@dataclass(slots=True)
class NodeEntry:
    """One node of the map."""

    peer: PeerId
    presence: Presence
    verified: VerifiedRecord | None = None
    """The newest record, or None while only a heartbeat or a connection is known."""
    beat: Signed[Beat] | None = None
    round_trip_s: float | None = None
    """Our own measure, smoothed."""
    digest: int = field(default=0)
    """First 8 bytes of SHA-256(peer || sequence), as a number; 0 without a record."""

    @property
    def record(self) -> NodeRecord | None:
        """The newest record, if any."""
        return self.verified.record if self.verified else None

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
    """All entries, with deadlines and digests kept incrementally.

    Args:
        times: Patience of the presence machines.
        needs_stake: Whether nodes must show stake to become ACTIVE.
    """

    def __init__(self, times: PresenceTimes, *, needs_stake: bool = False) -> None:
        self._times = times
        self._needs_stake = needs_stake
        self._entries: dict[PeerId, NodeEntry] = {}
        self._timers: list[tuple[MonotonicS, PeerId]] = []
        self._digests = [0] * BUCKETS

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[NodeEntry]:
        return iter(self._entries.values())

    def get(self, peer: PeerId) -> NodeEntry | None:
        """Return a node's entry, or None."""
        return self._entries.get(peer)

    def counts(self) -> dict[str, int]:
        """Return how many nodes are in each state."""
        counts = {state.value: 0 for state in NodeState}
        for entry in self._entries.values():
            counts[entry.presence.state.value] += 1
        return counts

    def touch(self, peer: PeerId, now: MonotonicS) -> NodeEntry | None:
        """Return the entry of a peer, made if need be; None if the map is full."""
        entry = self._entries.get(peer)
        if entry is None:
            if len(self._entries) >= limits.MAP_ENTRIES_MAX and not self._make_room():
                return None
            presence = Presence(peer, self._times, now, needs_stake=self._needs_stake)
            entry = self._entries[peer] = NodeEntry(peer, presence)
            self._arm(entry)
        return entry

    def admit_record(
        self, verified: VerifiedRecord, now: MonotonicS, unix: UnixMs
    ) -> tuple[Admission, NodeEntry | None]:
        """Put a verified record on the map, unless what is there is as new.

        Rules: PER-6, PER-12, IDN-9.
        """
        entry = self.touch(verified.peer, now)
        if entry is None:
            return Admission.MAP_FULL, None
        held = entry.verified
        if held is not None:
            if verified.record.sequence < held.record.sequence:  # PER-6
                return Admission.KNOWN, entry
            if verified.record.sequence == held.record.sequence:
                is_same = verified.record == held.record
                return (Admission.KNOWN if is_same else Admission.EQUIVOCATION), entry  # PER-12
            if (
                verified.binding.wallet != held.binding.wallet and held.binding.expires_unix_ms > unix
            ):  # IDN-9
                return Admission.BINDING_CONFLICT, entry
        self._set_digest(entry, _digest(verified.peer, verified.record.sequence))
        entry.verified = verified
        return Admission.NEWER, entry

    def admit_beat(self, beat: Signed[Beat], now: MonotonicS) -> tuple[Admission, NodeEntry | None]:
        """Put a checked heartbeat on the map, unless what is there is as new. Rules: PER-9."""
        entry = self.touch(beat.signer, now)
        if entry is None:
            return Admission.MAP_FULL, None
        if entry.beat is not None and beat.message.sequence <= entry.beat.message.sequence:  # PER-9
            return Admission.KNOWN, entry
        entry.beat = beat
        return Admission.NEWER, entry

    def is_beat_fresh(self, beat: Signed[Beat]) -> bool:
        """Return whether a heartbeat is newer than the one held; changes nothing."""
        entry = self._entries.get(beat.signer)
        return entry is None or entry.beat is None or beat.message.sequence > entry.beat.message.sequence

    def handle(self, peer: PeerId, event: Event, now: MonotonicS) -> list[Effect]:
        """Pass an event to a node's presence machine; nothing for a node that is not on the map."""
        entry = self._entries.get(peer)
        if entry is None:
            return []
        before = entry.presence.next_deadline()
        effects = list(entry.presence.handle(event, now))
        if entry.presence.next_deadline() != before:
            self._arm(entry)
        return effects

    def next_deadline(self) -> MonotonicS | None:
        """Return the earliest deadline of all presence machines, or None."""
        while self._timers:
            at, peer = self._timers[0]
            entry = self._entries.get(peer)
            if entry is not None and entry.presence.next_deadline() == at:
                return at
            heapq.heappop(self._timers)  # superseded
        return None

    def wake(self, now: MonotonicS) -> list[Effect]:
        """Pass DeadlineReached to every machine whose deadline has come."""
        effects: list[Effect] = []
        while (at := self.next_deadline()) is not None and at <= now:
            peer = heapq.heappop(self._timers)[1]
            effects += self.handle(peer, DeadlineReached(), now)
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
            self._set_digest(entry, 0)

    # --- synchronising with a neighbour ---------------------------------------------------------------------
    def digests(self) -> bytes:
        """Return the 64 bucket digests (512 bytes). Rules: PER-15."""
        return b"".join(digest.to_bytes(BUCKET_BYTES, "big") for digest in self._digests)

    def differing(self, digests: bytes, *, after: bytes, count_max: int) -> tuple[list[bytes], bool]:
        """Return records of the buckets in which a neighbour's digests differ from ours.

        Args:
            digests: The neighbour's 512 bytes.
            after: Only peers whose binary id sorts behind this.
            count_max: Records at most.

        Returns:
            The enveloped records in the order of binary peer ids, and whether that is all.

        Rules: PER-15, PER-16.
        """
        ours = self.digests()
        spans = (slice(i * BUCKET_BYTES, (i + 1) * BUCKET_BYTES) for i in range(BUCKETS))
        differing = {bucket for bucket, span in enumerate(spans) if ours[span] != digests[span]}
        chosen = [
            (peer_id_to_bytes(entry.peer), entry.verified.signed.data)
            for entry in self._entries.values()
            if entry.verified is not None
            and entry.presence.state is not NodeState.SLASHED
            and _bucket(entry.peer) in differing
        ]
        rest = sorted(pair for pair in chosen if pair[0] > after)
        picked: list[bytes] = []
        room = limits.MAP_SYNC_BYTES_MAX
        for _, data in rest[:count_max]:
            room -= len(data)
            if room < 0:
                break
            picked.append(data)
        return picked, len(picked) == len(rest)

    def check_invariants(self) -> None:
        """Check each machine, the bound and the digests."""
        assert len(self._entries) <= limits.MAP_ENTRIES_MAX
        expected = [0] * BUCKETS
        for entry in self._entries.values():
            entry.presence.check_invariants()
            expected[_bucket(entry.peer)] ^= entry.digest
            assert entry.presence.state is not NodeState.ACTIVE or entry.verified is not None
        assert expected == self._digests, "digests have drifted"

    def _arm(self, entry: NodeEntry) -> None:
        deadline = entry.presence.next_deadline()
        if deadline is not None:
            heapq.heappush(self._timers, (deadline, entry.peer))
        if len(self._timers) > 4 * len(self._entries) + 64:
            self._compact()

    def _compact(self) -> None:
        """Drop superseded timers, so that the heap stays bounded by the entries."""
        live = ((entry.presence.next_deadline(), entry.peer) for entry in self._entries.values())
        self._timers = [(at, peer) for at, peer in live if at is not None]
        heapq.heapify(self._timers)

    def _set_digest(self, entry: NodeEntry, digest: int) -> None:
        self._digests[_bucket(entry.peer)] ^= entry.digest ^ digest
        entry.digest = digest

    def _make_room(self) -> bool:
        """Forget the INACTIVE or recordless PENDING node that was silent longest; False if there is none."""
        stale = [
            entry
            for entry in self._entries.values()
            if entry.presence.state is NodeState.INACTIVE
            or (entry.presence.state is NodeState.PENDING and entry.presence.seen_at is None)
        ]
        if not stale:
            return False
        self.remove(min(stale, key=lambda entry: (entry.presence.seen_at or 0.0, entry.peer)).peer)
        return True


def _digest(peer: PeerId, sequence: int) -> int:
    return int.from_bytes(sha256(peer_id_to_bytes(peer) + sequence.to_bytes(8, "big"))[:BUCKET_BYTES], "big")


def _bucket(peer: PeerId) -> int:
    return sha256(peer_id_to_bytes(peer))[0] % BUCKETS
