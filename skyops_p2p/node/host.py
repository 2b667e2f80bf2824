"""What the parts of a node that deal in jobs ask of the node that they belong to."""

from collections.abc import Callable, Mapping
from typing import Protocol

from skyops_p2p.core.machine import Event
from skyops_p2p.types import PeerId


class Host(Protocol):
    """What the market asks of the node that it belongs to: see Dispatcher."""

    def hears(self, hearers: Mapping[str, Callable[[PeerId, bytes], None]]) -> None:
        """Hand accepted gossip of these topics to the hearers."""

    def post(self, event: Event) -> None:
        """Queue an event for the node's core."""

    def tell(self, kind: str, peer: PeerId, text: str) -> None:
        """Tell whoever watches the node."""

    async def connect(self, peer: PeerId, *, timeout_s: float) -> None:
        """Dial a peer unless it is connected."""
