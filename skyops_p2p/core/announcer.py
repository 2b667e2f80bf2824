"""What this node says of itself: its record when something changed, its heartbeat when it is time.

Spec: protocol/03-peering.md, "Node record" and "Presence". Heartbeats are sparse: a changed value, or a slow beat
whose interval grows with the number of nodes so that all of them together stay within PRESENCE_BUDGET_PER_S.
"""

from dataclasses import dataclass, replace

from skyops_p2p import limits
from skyops_p2p.core.binding import BindingSource
from skyops_p2p.core.rules import NetworkRules
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.crypto.node_key import NodeKey, peer_id_to_bytes
from skyops_p2p.types import MonotonicS, Multiaddr, UnixMs
from skyops_p2p.wire.envelope import seal
from skyops_p2p.wire.messages.peering import HardwarePart, NodeRecord, Presence, RuntimePart

CHANGE_GAP = 0.25
"""A changed value waits until this part of an interval has passed since the last beat."""
LOAD_STEP_PERMILLE = 100
"""A smaller change of load is not worth a beat."""
ADDR_CHARS_MAX = 128
"""Longer addresses do not fit into a record and are left out."""
JITTER = 0.1
"""Beats are spread by up to this part of the interval, early only."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What a node sells and says of itself; constant while it runs."""

    agent: str
    is_worker: bool
    region: str
    labels: tuple[str, ...]
    slots: int
    price_microcredits_per_hour: int
    stake_ref: str | None = None


@dataclass(frozen=True, slots=True)
class Load:
    """What changes from minute to minute."""

    slots_free: int
    load_permille: int


class Announcer:
    """Makes our own records and heartbeats.

    Args:
        node_key: Signs them.
        binding: Gives our enveloped Binding.
        rules: The network.
        offer: What we say of ourselves.
        beat_s: Shortest interval of the slow beat.
    """

    def __init__(
        self, node_key: NodeKey, binding: BindingSource, rules: NetworkRules, *, offer: Offer, beat_s: float
    ) -> None:
        self._node_key = node_key
        self._binding = binding
        self._rules = rules
        self._offer = offer
        self._beat_s = beat_s
        self._hardware: HardwarePart | None = None
        self._runtimes: tuple[RuntimePart, ...] = ()
        self._addrs: tuple[Multiaddr, ...] = ()
        self._load = Load(slots_free=offer.slots if offer.is_worker else 0, load_permille=0)
        self._sequence = 0
        self._record_sequence = 0
        self._record_expires = UnixMs(0)
        self._is_record_due = False
        self._beaten_load: Load | None = None
        self._last_beat_at: MonotonicS | None = None
        self._next_beat_at: MonotonicS | None = None

    @property
    def sequence(self) -> int:
        """The highest sequence number used so far."""
        return self._sequence

    @property
    def record_sequence(self) -> int:
        """The number of our newest record, 0 before the first."""
        return self._record_sequence

    @property
    def is_record_due(self) -> bool:
        """Whether a new record should be made: something changed, and all that it needs is known."""
        return self._is_record_due and self._hardware is not None

    def next_sequence(self, unix: UnixMs) -> int:
        """Return the number that the next record or heartbeat will have. Rules: PER-6, PER-9."""
        return max(self._sequence + 1, unix)

    def resume(self, last_sequence: int, addrs: tuple[Multiaddr, ...]) -> None:
        """Go on after a restart: numbers up to `last_sequence` are used."""
        self._sequence = max(self._sequence, last_sequence)
        self.set_addrs(addrs)

    def outbid(self, sequence: int) -> bool:
        """Go above a number that our key has used elsewhere; a new record is due. Rules: PER-26.

        Returns:
            Whether it was above ours: another program has our key, or our store was lost.
        """
        if sequence <= self._sequence:
            return False
        self._sequence = sequence
        self._is_record_due = True
        return True

    def mark_record_due(self) -> None:
        """Have the record made anew."""
        self._is_record_due = True

    def set_addrs(self, addrs: tuple[Multiaddr, ...]) -> None:
        """Tell where we can be dialled; a change makes a record due."""
        kept = tuple(addr for addr in addrs if 0 < len(addr) <= ADDR_CHARS_MAX)[: limits.RECORD_ADDRS_MAX]
        self._is_record_due |= kept != self._addrs
        self._addrs = kept

    def set_hardware(self, hardware: HardwarePart, runtimes: tuple[RuntimePart, ...]) -> None:
        """Tell what the machine has; a change of anything but free disk makes a record due."""
        old = self._hardware
        is_same = old is not None and old.model_copy(update={"disk_mib": hardware.disk_mib}) == hardware
        self._is_record_due |= not is_same or runtimes != self._runtimes
        self._hardware, self._runtimes = hardware, runtimes

    def set_load(self, load: Load, now: MonotonicS, *, interval_s: float) -> None:
        """Tell the present load; a change worth telling brings the next beat forward."""
        self._load = load
        if self._next_beat_at is not None and self._is_worth_telling(load):
            last = now if self._last_beat_at is None else self._last_beat_at
            earliest = last + CHANGE_GAP * interval_s
            self._next_beat_at = MonotonicS(min(self._next_beat_at, max(now, earliest)))

    def next_deadline(self) -> MonotonicS | None:
        """Return when the next heartbeat is due, or None before the first record."""
        return self._next_beat_at

    def interval_s(self, nodes: int) -> float:
        """Return the slow beat's interval on a network of so many nodes. Rules: PER-10."""
        return min(max(self._beat_s, nodes / limits.PRESENCE_BUDGET_PER_S), limits.PRESENCE_INTERVAL_S_MAX)

    def refresh_if_old(self, now: UnixMs) -> None:
        """Make a record due when half of its life is over."""
        half = limits.RECORD_LIFETIME_MS_MAX // 2
        self._is_record_due |= self._record_sequence > 0 and self._record_expires - now < half

    def make_record(self, now: MonotonicS, unix: UnixMs) -> bytes:
        """Make and sign a new record; a heartbeat is due at once after it.

        Rules: PER-3, PER-6.
        """
        assert self._hardware is not None
        self._sequence = self.next_sequence(unix)  # PER-6
        self._record_sequence = self._sequence
        self._record_expires = UnixMs(unix + limits.RECORD_LIFETIME_MS_MAX)
        self._is_record_due = False
        self._next_beat_at = now
        offer = self._offer
        record = NodeRecord(
            peer=peer_id_to_bytes(self._node_key.peer_id),
            sequence=self._sequence,
            network=self._rules.network,
            issued_unix_ms=unix,
            expires_unix_ms=self._record_expires,
            addrs=self._addrs,
            agent=offer.agent,
            binding=self._binding(unix),
            is_worker=offer.is_worker,
            hardware=self._hardware,
            runtimes=self._runtimes,
            region=offer.region,
            labels=offer.labels,
            slots=offer.slots if offer.is_worker else 0,
            price_microcredits_per_hour=offer.price_microcredits_per_hour,
            stake_ref=offer.stake_ref,
        )
        return seal(record, self._node_key, self._rules.network)

    def make_beat(self, now: MonotonicS, unix: UnixMs, *, nodes: int, is_leaving: bool = False) -> bytes:
        """Make and sign a heartbeat, and set when the next one is due. Rules: PER-9, PER-10."""
        interval = self.interval_s(nodes)
        self._sequence = self.next_sequence(unix)  # PER-9
        draw = sha256(f"{self._node_key.peer_id}/{self._sequence}".encode())[0] / 256
        self._next_beat_at = None if is_leaving else MonotonicS(now + interval * (1.0 - JITTER * draw))
        self._last_beat_at, self._beaten_load = now, self._load
        beat = Presence(
            sequence=self._sequence,
            record_sequence=self._record_sequence,
            issued_unix_ms=unix,
            interval_ms=round(interval * 1000),
            slots_free=self._load.slots_free,
            load_permille=self._load.load_permille,
            price_microcredits_per_hour=self._offer.price_microcredits_per_hour,
            is_leaving=is_leaving,
        )
        return seal(beat, self._node_key, self._rules.network)

    def reprice(self, price_microcredits_per_hour: int) -> None:
        """Change the price hint; a new record is due."""
        self._offer = replace(self._offer, price_microcredits_per_hour=price_microcredits_per_hour)
        self._is_record_due = True

    def _is_worth_telling(self, load: Load) -> bool:
        told = self._beaten_load
        if told is None or told.slots_free != load.slots_free:
            return True
        return abs(told.load_permille - load.load_permille) >= LOAD_STEP_PERMILLE
