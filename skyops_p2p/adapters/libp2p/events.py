"""The one bounded channel of network events, fed by libp2p's notifications.

Gossip is dropped first: it may fill three quarters of the channel, discoveries nine tenths, and what is left
is for connections, whose loss would leave the node with a wrong picture.
"""

import logging
from typing import Any

import trio
from libp2p.abc import INotifee
from libp2p.peer.id import ID
from libp2p.rcmgr import Direction

from skyops_p2p import limits
from skyops_p2p.ports import GossipReceived, NetworkEvent, PeerConnected, PeerDisconnected, PeerDiscovered
from skyops_p2p.types import Multiaddr, PeerId

logger = logging.getLogger(__name__)

GOSSIP_FILL_MAX = limits.EVENT_QUEUE_MAX * 3 // 4
DISCOVERY_FILL_MAX = limits.EVENT_QUEUE_MAX * 9 // 10


class EventFeed(INotifee):
    """Turns libp2p's connection notices into events of the port, first and last connection only."""

    def __init__(self) -> None:
        self._send, self.receive = trio.open_memory_channel[NetworkEvent](limits.EVENT_QUEUE_MAX)
        self._connections: dict[ID, set[int]] = {}
        self.gossip_dropped = 0
        """Accepted messages that found the channel full."""
        self.events_lost = 0
        """Connection events and discoveries that found the channel full."""
        self.forgotten: list[Any] = []
        """Functions called with the libp2p id of a peer whose last connection is gone."""

    def peers(self) -> frozenset[PeerId]:
        """Return the peers with a connection."""
        return frozenset(PeerId(peer.to_base58()) for peer in self._connections)

    def gossip(self, topic: str, author: PeerId, payload: bytes) -> None:
        """Hand over an accepted message, or drop it."""
        if not self._offer(GossipReceived(topic, author, payload), GOSSIP_FILL_MAX):
            self.gossip_dropped += 1

    def discovered(self, peer: PeerId, addrs: tuple[Multiaddr, ...], source: str) -> None:
        """Hand over learned addresses, or drop them."""
        event = PeerDiscovered(peer, addrs[: limits.ADDRS_PER_PEER_MAX], source)
        if addrs and not self._offer(event, DISCOVERY_FILL_MAX):
            self.events_lost += 1

    def close(self) -> None:
        """End the channel."""
        self._send.close()

    async def connected(self, network: Any, conn: Any) -> None:
        """Note a connection."""
        peer = conn.muxed_conn.peer_id
        known = self._connections.setdefault(peer, set())
        is_first = not known
        known.add(id(conn))
        if is_first and not conn.is_closed:
            addrs = tuple(Multiaddr(str(addr)) for addr in conn.get_transport_addresses())
            name = PeerId(peer.to_base58())
            self._must(
                PeerConnected(name, addrs[: limits.ADDRS_PER_PEER_MAX], conn.direction is Direction.OUTBOUND)
            )
        await trio.lowlevel.checkpoint()

    async def disconnected(self, network: Any, conn: Any) -> None:
        """Note the end of a connection."""
        peer = conn.muxed_conn.peer_id
        known = self._connections.get(peer)
        if known is not None:
            known.discard(id(conn))
            if not known:
                del self._connections[peer]
                self._must(PeerDisconnected(PeerId(peer.to_base58())))
                for forget in self.forgotten:
                    forget(peer)
        await trio.lowlevel.checkpoint()

    async def opened_stream(self, network: Any, stream: Any) -> None:
        """Not looked at."""

    async def closed_stream(self, network: Any, stream: Any) -> None:
        """Not looked at."""

    async def listen(self, network: Any, multiaddr: Any) -> None:
        """Not looked at."""

    async def listen_close(self, network: Any, multiaddr: Any) -> None:
        """Not looked at."""

    def _must(self, event: NetworkEvent) -> None:
        if not self._offer(event, limits.EVENT_QUEUE_MAX):
            self.events_lost += 1
            logger.error("event_lost event=%s reason=queue_full", type(event).__name__)

    def _offer(self, event: NetworkEvent, fill_max: int) -> bool:
        if self._send.statistics().current_buffer_used >= fill_max:
            return False
        try:
            self._send.send_nowait(event)
        except (trio.WouldBlock, trio.BrokenResourceError, trio.ClosedResourceError):
            return False
        return True
