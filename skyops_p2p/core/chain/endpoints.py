"""Which endpoint is asked next: the first in the owner's order that does not rest.

One that failed rests, twice as long each time in a row up to CHAIN_REST_S_MAX. One whose head lies further below the
highest seen than a reorganisation could explain lags or lies, and counts as failed.
"""

from dataclasses import dataclass

from skyops_p2p import limits
from skyops_p2p.types import MonotonicS

_NEVER = MonotonicS(0.0)


@dataclass(slots=True)
class _Standing:
    failures: int = 0
    rests_until: MonotonicS = _NEVER


class EndpointBook:
    """How the endpoints have behaved.

    Args:
        count: How many there are, 1 to CHAIN_ENDPOINTS_MAX.
    """

    def __init__(self, count: int) -> None:
        assert 1 <= count <= limits.CHAIN_ENDPOINTS_MAX
        self._standings = [_Standing() for _ in range(count)]
        self.highest = 0
        """The highest block number that any endpoint has told."""

    def choose(self, now: MonotonicS, *, tried: frozenset[int]) -> int | None:
        """Return the endpoint to ask, or None if all that were not tried rest."""
        for index, standing in enumerate(self._standings):
            if index not in tried and standing.rests_until <= now:
                return index
        return None

    def next_awake(self) -> MonotonicS:
        """Return when the first endpoint has rested."""
        return min(standing.rests_until for standing in self._standings)

    def fail(self, index: int, now: MonotonicS) -> None:
        """Note that an endpoint did not answer, or not with sense."""
        standing = self._standings[index]
        rest = limits.CHAIN_REST_S_MIN * 2 ** min(standing.failures, 16)
        standing.failures += 1
        standing.rests_until = MonotonicS(now + min(rest, limits.CHAIN_REST_S_MAX))

    def succeed(self, index: int) -> None:
        """Note a good answer."""
        self._standings[index].failures = 0
        self._standings[index].rests_until = _NEVER

    def failures(self, index: int) -> int:
        """Return how often an endpoint has failed in a row."""
        return self._standings[index].failures

    def accept_head(self, number: int) -> bool:
        """Take a head's number; False if it lies further back than a reorganisation goes."""
        if number < self.highest - limits.CHAIN_REORG_BLOCKS_MAX:
            return False
        self.highest = max(self.highest, number)
        return True
