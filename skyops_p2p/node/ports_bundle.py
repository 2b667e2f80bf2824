"""The ports that one node is built on, together."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from skyops_p2p.node.book_shelf import BookShelf, MemoryShelf
from skyops_p2p.node.standing import NeutralStanding, StandingSource
from skyops_p2p.ports import DhtRules, Entropy, HardwareProbe, Network, OpenStore, StakeCheck, WallClock

OpenNetwork = Callable[[DhtRules], AbstractAsyncContextManager[Network]]
"""Starts the network with the node's rules for DHT values; it listens once the context is entered."""


@dataclass(frozen=True, slots=True)
class NodePorts:
    """Everything that a node asks of the world. The simulator supplies its own."""

    open_network: OpenNetwork
    open_store: OpenStore
    wall_clock: WallClock
    entropy: Entropy
    hardware: HardwareProbe
    stake: StakeCheck
    standing: StandingSource = field(default_factory=NeutralStanding)
    """Reputation and weights of workers; neutral until there are receipts."""
    books: BookShelf = field(default_factory=MemoryShelf)
    """Where bid books are kept."""
    needs_stake: bool = False
    """Whether the stake port is asked at all; without a chain it is neutral."""
