"""What libp2p remembers of peers, bounded, and never at the cost of our own key.

libp2p's store evicts the entries without addresses first when it is full, and ours is one: a thousand invented
peers in a DHT answer would cost a node its private key. It also takes any number of addresses and protocol
names from one peer and compares each with all others.
"""

from collections.abc import Callable, Sequence
from typing import Any

from libp2p.peer.id import ID
from libp2p.peer.peerstore import PeerStore
from multiaddr import Multiaddr as RawMultiaddr

from skyops_p2p import limits
from skyops_p2p.adapters.libp2p.advertised import is_unspecified

PROTOCOLS_PER_PEER_MAX = 64


class BoundedPeerStore(PeerStore):
    """At most ADDRESS_BOOK_PEERS_MAX peers with ADDRS_PER_PEER_MAX addresses each.

    Args:
        own: Our own id, which stays.
    """

    def __init__(self, own: ID) -> None:
        super().__init__(max_records=limits.ADDRESS_BOOK_PEERS_MAX, max_peers=limits.ADDRESS_BOOK_PEERS_MAX)
        self._own = own
        self.is_connected: Callable[[ID], Any] = lambda peer: False
        """Set by the host: connected peers stay as well."""

    def add_addrs(self, peer_id: ID, addrs: Sequence[RawMultiaddr], ttl: int = 0) -> None:
        """Remember addresses that somebody can dial; the newest stay."""
        useful = [addr for addr in list(addrs)[: limits.ADDRS_PER_PEER_MAX] if not is_unspecified(addr)]
        super().add_addrs(peer_id, useful, ttl)
        known = self.peer_data_map.get(peer_id)
        if known is not None:
            del known.addrs[: -limits.ADDRS_PER_PEER_MAX]

    def add_protocols(self, peer_id: ID, protocols: Sequence[str]) -> None:
        """Remember protocols that a peer serves."""
        self.set_protocols(peer_id, [*self._protocols_of(peer_id), *protocols])

    def set_protocols(self, peer_id: ID, protocols: Sequence[str]) -> None:
        """Remember all protocols that a peer serves."""
        super().set_protocols(peer_id, list(dict.fromkeys(protocols))[:PROTOCOLS_PER_PEER_MAX])

    def _protocols_of(self, peer_id: ID) -> list[str]:
        known = self.peer_data_map.get(peer_id)
        return [] if known is None else list(known.get_protocols())

    def _enforce_peer_limit(self) -> None:
        excess = len(self.peer_data_map) - self.max_peers
        if excess <= 0:
            return
        oldest = [peer for peer in self.peer_data_map if peer != self._own and not self.is_connected(peer)]
        for peer in oldest[:excess]:
            self.peer_record_map.pop(peer, None)
            del self.peer_data_map[peer]
