"""The earliest of many deadlines, most of which are put off again and again before they come. Pure.

A heap with one live entry for each peer: putting a deadline off costs nothing until the old instant comes up.
"""

import heapq
from collections.abc import Callable

from skyops_p2p.types import MonotonicS, PeerId


class Timers:
    """Deadlines by peer.

    Args:
        deadline_of: Returns a peer's present deadline; None if it has none or is gone.
    """

    def __init__(self, deadline_of: Callable[[PeerId], MonotonicS | None]) -> None:
        self._deadline_of = deadline_of
        self._heap: list[tuple[MonotonicS, PeerId]] = []
        self._queued: dict[PeerId, MonotonicS] = {}

    def __len__(self) -> int:
        return len(self._heap)

    def arm(self, peer: PeerId) -> None:
        """Take note of a deadline that may have moved."""
        deadline, queued = self._deadline_of(peer), self._queued.get(peer)
        if deadline is None or (queued is not None and queued <= deadline):
            return
        self._queued[peer] = deadline
        heapq.heappush(self._heap, (deadline, peer))
        if len(self._heap) > 2 * len(self._queued) + 64:  # many deadlines moved forward
            self._heap = [(at, peer) for peer, at in self._queued.items()]
            heapq.heapify(self._heap)

    def next_deadline(self) -> MonotonicS | None:
        """Return the earliest deadline, or None."""
        while self._heap:
            at, peer = self._heap[0]
            deadline = self._deadline_of(peer) if self._queued.get(peer) == at else None
            if deadline == at:
                return at
            if self._queued.get(peer) == at and deadline is not None:  # put off meanwhile
                self._queued[peer] = deadline
                heapq.heapreplace(self._heap, (deadline, peer))
                continue
            heapq.heappop(self._heap)
            if self._queued.get(peer) == at:
                del self._queued[peer]
        return None

    def pop(self) -> PeerId:
        """Take out the peer of `next_deadline`, which must not be None."""
        at, peer = heapq.heappop(self._heap)
        assert self._queued.pop(peer) == at, "pop without next_deadline"
        return peer
