"""What is known of a worker's standing before there are receipts: the neutral form of the reputation port.

What a worker has proven to compute is added from this node's own measurements, whatever the port says of the rest.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from skyops_p2p.types import PeerId

NEUTRAL_REPUTATION = 500_000
"""Millionths: everybody alike, in the middle."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One worker's weights in an award."""

    reputation: int
    """Millionths."""
    stake_weight: int
    recent_awards: int
    throughput: int = 0
    """Proven to this node, 10^6 operations a second; 0: nothing proven."""


class StandingSource(Protocol):
    """Tells how a worker stands; later from receipts and stake."""

    def of(self, peer: PeerId) -> Standing:
        """Return a worker's standing."""


class NeutralStanding:
    """Everybody stands alike."""

    def of(self, peer: PeerId) -> Standing:
        """Return the neutral standing."""
        del peer
        return Standing(NEUTRAL_REPUTATION, stake_weight=1, recent_awards=0)


class MeasuredStanding:
    """A standing with the throughput that was proven to this node.

    Args:
        base: Tells all but that.
        throughput: What a worker has proven, 10^6 operations a second; 0 for nothing.
    """

    def __init__(self, base: StandingSource, throughput: Callable[[PeerId], int]) -> None:
        self._base = base
        self._throughput = throughput

    def of(self, peer: PeerId) -> Standing:
        """See StandingSource."""
        return replace(self._base.of(peer), throughput=self._throughput(peer))
