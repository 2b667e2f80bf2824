"""Sequence numbers are persisted ahead, so that a restart never uses one twice. Spec: protocol/03-peering.md, PER-6.

Nothing is signed under a number before the store has confirmed a bound above it: a statement that exists can leave
the node in more than one way, so keeping it from one of them would not be enough.
"""

import math

from skyops_p2p.core.machine import Effect
from skyops_p2p.core.node_events import RememberSequence
from skyops_p2p.types import MonotonicS

RESERVE = 600_000
"""Numbers persisted ahead (ten minutes of a clock in ms): one write covers many heartbeats."""
RETRY_S = 5.0
"""A store that failed is asked again after this."""


class SequenceReserve:
    """Which numbers may be signed: those up to the last one that the store confirmed."""

    def __init__(self) -> None:
        self._durable = 0
        self.rests_until = MonotonicS(0.0)
        """Nothing is signed before: infinity while the store works on it, an instant after it failed."""

    def resume(self, last_sequence: int) -> None:
        """Go on after a restart with what the store holds."""
        self._durable = last_sequence

    def covers(self, sequence: int) -> bool:
        """Return whether a number may be signed. Rules: PER-6."""
        return sequence <= self._durable

    def ask(self, sequence: int) -> list[Effect]:
        """Return what must be performed, and confirmed, before `sequence` is signed; one request at a time."""
        if self.covers(sequence) or self.rests_until == math.inf:
            return []
        self.rests_until = MonotonicS(math.inf)
        return [RememberSequence(sequence + RESERVE)]

    def confirm(self, number: int) -> None:
        """Note that the store holds a number."""
        self._durable = max(self._durable, number)
        self.rests_until = MonotonicS(0.0)

    def fail(self, now: MonotonicS) -> None:
        """Note that the store could not hold it: rest, then ask again."""
        self.rests_until = MonotonicS(now + RETRY_S)
