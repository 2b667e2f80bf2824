"""What a node asks its peers over the `node` protocol, one function a question.

Every answer is decoded and bounded here. Failures are NetworkError (no answer) or RemoteProtocolError (a bad one).
Spec: protocol/03-peering.md, "Requests".
"""

from typing import TypeVar

import trio

from skyops_p2p import limits
from skyops_p2p.core.rules import NODE_PROTOCOL, NetworkRules
from skyops_p2p.crypto.node_key import peer_id_from_bytes, peer_id_to_bytes
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.ports import Network, PeerAddrs
from skyops_p2p.types import Multiaddr, PeerId
from skyops_p2p.wire.messages.peering import (
    MapSyncReply,
    MapSyncRequest,
    PeersReply,
    PeersRequest,
    Ping,
    Pong,
    ProbeReply,
    ProbeRequest,
    RecordReply,
    RecordRequest,
)
from skyops_p2p.wire.model import Message, decode_message, encode_message

Reply = TypeVar("Reply", bound=Message)


class Questions:
    """Asks peers.

    Args:
        network: The port to ask through.
        rules: Names the protocol.
    """

    def __init__(self, network: Network, rules: NetworkRules) -> None:
        self._network = network
        self._protocol = rules.protocol_id(NODE_PROTOCOL)

    async def ping(self, peer: PeerId, nonce: bytes, *, timeout_s: float) -> float:
        """Ping a connected peer and return the round trip in seconds."""
        started = trio.current_time()
        pong = await self._ask(peer, Ping(nonce=nonce), Pong, timeout_s=timeout_s)
        if pong.nonce != nonce:
            raise RemoteProtocolError("another nonce came back", code="wrong_nonce", rule="PER-17", peer=peer)
        return trio.current_time() - started

    async def probe(self, witness: PeerId, target: PeerId, *, timeout_s: float) -> bool:
        """Ask a witness whether it reaches the target."""
        request = ProbeRequest(target=peer_id_to_bytes(target))
        return (await self._ask(witness, request, ProbeReply, timeout_s=timeout_s)).is_alive

    async def record(self, source: PeerId, target: PeerId) -> RecordReply:
        """Ask for the newest record and heartbeat of a node."""
        request = RecordRequest(peer=peer_id_to_bytes(target))
        return await self._ask(source, request, RecordReply)

    async def map_difference(self, peer: PeerId, digests: bytes, after: bytes) -> MapSyncReply:
        """Ask a neighbour for the records in which our maps differ."""
        return await self._ask(peer, MapSyncRequest(digests=digests, after=after), MapSyncReply)

    async def peers(self, peer: PeerId) -> tuple[PeerAddrs, ...]:
        """Ask a neighbour for peers that can be dialled."""
        request = PeersRequest(count_max=limits.PEER_EXCHANGE_ADDRS_MAX)
        reply = await self._ask(peer, request, PeersReply)
        return tuple(
            PeerAddrs(peer_id_from_bytes(part.peer), tuple(Multiaddr(addr) for addr in part.addrs))
            for part in reply.peers
        )

    async def _ask(
        self,
        peer: PeerId,
        question: Message,
        kind: type[Reply],
        *,
        timeout_s: float = limits.REQUEST_TIMEOUT_S,
    ) -> Reply:
        answer = await self._network.request(
            peer, self._protocol, encode_message(question), timeout_s=timeout_s
        )
        return decode_message(kind, answer)
