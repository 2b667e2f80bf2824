"""What is known of a worker's standing before there are receipts: the neutral form of the reputation port."""

from dataclasses import dataclass
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
