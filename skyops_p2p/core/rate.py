"""A token bucket for each peer. Pure; bounded by the number of peers it may remember."""

from collections import OrderedDict
from dataclasses import dataclass

from skyops_p2p.types import MonotonicS, PeerId


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: MonotonicS
    excess: int


class PeerRates:
    """How often each peer may do something.

    Args:
        burst: Times at once.
        per_s: Times a second in the long run.
        peers_max: Peers remembered; past it the one unused for longest is forgotten.
    """

    def __init__(self, *, burst: float, per_s: float, peers_max: int) -> None:
        self._burst = burst
        self._per_s = per_s
        self._peers_max = peers_max
        self._buckets: OrderedDict[PeerId, _Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, peer: PeerId, now: MonotonicS) -> bool:
        """Take a token and return whether there was one; count the excess otherwise."""
        bucket = self._buckets.get(peer)
        if bucket is None:
            if len(self._buckets) >= self._peers_max:
                self._buckets.popitem(last=False)
            bucket = self._buckets[peer] = _Bucket(self._burst, now, 0)
        self._buckets.move_to_end(peer)
        bucket.tokens = min(self._burst, bucket.tokens + (now - bucket.at) * self._per_s)
        bucket.at = now
        if bucket.tokens >= 1.0:
            bucket.tokens -= 1.0
            bucket.excess = max(0, bucket.excess - 1)
            return True
        bucket.excess += 1
        return False

    def excess(self, peer: PeerId) -> int:
        """Return how many times a peer was refused of late (one is forgiven for each that was not)."""
        bucket = self._buckets.get(peer)
        return bucket.excess if bucket else 0
