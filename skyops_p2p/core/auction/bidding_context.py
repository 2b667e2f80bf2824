"""What all bids of one worker share: for whom and for what it bids, its capacity, its prices, its record."""

from collections.abc import Callable
from dataclasses import dataclass

from skyops_p2p.core.auction.capacity import Capacity
from skyops_p2p.core.auction.prices import PriceStrategy
from skyops_p2p.core.rules import NetworkRules
from skyops_p2p.crypto.node_key import NodeKey
from skyops_p2p.types import PeerId
from skyops_p2p.wire.messages.auction import ModeName
from skyops_p2p.wire.messages.peering import NodeRecord


@dataclass(frozen=True, slots=True)
class WorkerTerms:
    """For whom and for what this worker bids."""

    modes: frozenset[ModeName] = frozenset({"priority", "commit", "flex"})
    tokens: frozenset[str] = frozenset()
    """Tokens that it is paid in; empty: any."""
    duration_s_max: int = 0
    """Longest execution time-out; 0: any."""
    refused: frozenset[PeerId] = frozenset()
    """Requesters that it does not work for."""
    audits_awards: bool = True
    """Fetch and audit the bid book of each award that concerns it, won or lost."""


@dataclass(frozen=True, slots=True)
class BiddingContext:
    """What all bids of one worker share."""

    rules: NetworkRules
    node_key: NodeKey
    capacity: Capacity
    pricing: PriceStrategy
    record: Callable[[], NodeRecord | None]
    """Our newest node record: what a bid's hardware is checked against; None before the first one."""
    terms: WorkerTerms
    is_refused: Callable[[PeerId], bool] = lambda _requester: False
    """Whether a requester's reputation is too bad to work for it."""
    is_payable: Callable[[], bool] = lambda: True
    """Whether a bid at a price makes sense: a worker that has never reached its contracts cannot be paid."""
