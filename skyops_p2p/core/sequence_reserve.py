"""Sequence numbers are persisted ahead, so that a restart never uses one twice. Spec: protocol/03-peering.md, PER-6."""

from skyops_p2p.core.machine import Effect
from skyops_p2p.core.node_events import RememberSequence

RESERVE = 600_000
"""Numbers persisted ahead (ten minutes of a clock in ms): one write covers many heartbeats."""


class SequenceReserve:
    """Which numbers may be sent: those up to the last one that the store was told of."""

    def __init__(self) -> None:
        self._reserved = 0
        self._is_lost = False

    def resume(self, last_sequence: int) -> None:
        """Go on after a restart with what the store holds."""
        self._reserved = last_sequence

    def lose(self) -> None:
        """Note that the store failed: the next number has to be persisted again before it is sent."""
        self._is_lost = True

    def covers(self, sequence: int) -> bool:
        """Return whether the store was told of a number."""
        return sequence <= self._reserved

    def cover(self, sequence: int) -> list[Effect]:
        """Return what must be performed before `sequence` is sent. Rules: PER-6."""
        if self.covers(sequence) and not self._is_lost:
            return []
        self._is_lost = False
        self._reserved = max(self._reserved, sequence + RESERVE)
        return [RememberSequence(self._reserved)]
