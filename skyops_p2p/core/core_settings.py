"""What the core needs to know of the configuration."""

from dataclasses import dataclass, field

from skyops_p2p import limits
from skyops_p2p.core.announcer import Offer
from skyops_p2p.core.presence import PresenceTimes
from skyops_p2p.core.rules import NetworkRules
from skyops_p2p.types import Multiaddr, PeerId


@dataclass(frozen=True, slots=True)
class CoreSettings:
    """The constants of one node's core."""

    rules: NetworkRules
    offer: Offer
    times: PresenceTimes = field(default_factory=PresenceTimes)
    peers_target: int = limits.PEERS_TARGET
    bootstrap: tuple[tuple[PeerId, tuple[Multiaddr, ...]], ...] = ()
    needs_stake: bool = False
    """Ask the chain about each node's stake before it becomes ACTIVE."""
