"""Slots and watches: which ten minutes it is, and for which hours witnesses are drawn together. Pure.

Spec: protocol/08b-probes.md, "Slots and watches".
"""

from dataclasses import dataclass

from skyops_p2p import limits
from skyops_p2p.core.reputation.conduct import EPOCH_MS
from skyops_p2p.types import UnixMs


@dataclass(frozen=True, slots=True)
class ProbeTimes:
    """The lengths of one network. Rules: PRB-1."""

    slot_ms: int = limits.PROBE_SLOT_MS
    """Milliseconds of a slot, at least 1000."""
    watch_slots: int = limits.PROBE_WATCH_SLOTS
    """Slots of a watch, 1 to PROBE_WATCH_SLOTS_MAX."""

    @property
    def watch_ms(self) -> int:
        """Milliseconds of a watch."""
        return self.slot_ms * self.watch_slots

    @property
    def outcome_bytes(self) -> int:
        """Bytes of one account's outcomes in a statement."""
        return -(-self.watch_slots // 4)

    def slot_at(self, unix_ms: int) -> int:
        """Return the slot of an instant, counted from 1970."""
        return unix_ms // self.slot_ms

    def watch_of(self, slot: int) -> int:
        """Return the watch that a slot belongs to, counted from 1970."""
        return slot // self.watch_slots

    def slot_start(self, slot: int) -> UnixMs:
        """Return when a slot begins."""
        return UnixMs(slot * self.slot_ms)

    def watch_start(self, watch: int) -> UnixMs:
        """Return when a watch begins."""
        return UnixMs(watch * self.watch_ms)

    def beacon_unix_s(self, watch: int) -> int:
        """Return up to when a block may be the watch's beacon: one slot before it begins. Rules: PRB-2."""
        return max(0, (self.watch_start(watch) - self.slot_ms) // 1000)

    def epochs(self, watch: int) -> tuple[int, ...]:
        """Return for each slot of a watch the day in which it begins, days since 1970."""
        first = watch * self.watch_slots
        return tuple((first + number) * self.slot_ms // EPOCH_MS for number in range(self.watch_slots))

    def is_old(self, watch: int, unix_ms: int) -> bool:
        """Tell whether a watch ended before the days that count. Rules: PRB-9."""
        oldest = (unix_ms // EPOCH_MS - limits.REPUTATION_UPTIME_EPOCHS) * EPOCH_MS
        return self.watch_start(watch + 1) <= oldest
