"""How long a commit window stays open for those who have not answered: less, once waiting on promises little.

A window lasts as long as the tender says at most. What holds a match up is the slowest of those asked: a dead node, a
far one, or one lost packet, which costs more than all else in a match. Spec: protocol/04-auction.md, AUC-7.
"""

from dataclasses import dataclass

from skyops_p2p import limits
from skyops_p2p.types import MonotonicS

BIDS_ENOUGH = 3
"""Bids for which a round closes although more may come."""
STRAGGLERS_PART = 4
"""Once enough have bid and half of those asked have answered, the rest get this part of the time that it took."""
GOSSIP_S_MIN = 2 * limits.TENDER_GOSSIP_GRACE_S
"""Once all asked have answered, those who hear the tender by gossip get as long again, and this at least."""


@dataclass(frozen=True, slots=True)
class Patience:
    """What a round began with."""

    asked: int
    """Nodes that were asked directly."""
    since: MonotonicS
    """When the tender was sent."""

    def ends_at(self, now: MonotonicS, *, awaited: int, bids: int) -> MonotonicS | None:
        """Return until when waiting on is worth it after an answer; None: as long as the window lasts.

        Args:
            now: When the answer came.
            awaited: How many of those asked have not answered yet.
            bids: Commitments so far.

        Rules: AUC-7.
        """
        waited_s = now - self.since
        if self.asked and not awaited:
            return MonotonicS(now + max(waited_s, GOSSIP_S_MIN))
        if bids >= BIDS_ENOUGH and 2 * awaited <= self.asked:
            return MonotonicS(now + waited_s / STRAGGLERS_PART)
        return None
