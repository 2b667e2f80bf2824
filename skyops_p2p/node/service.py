"""What a node answers over the `node` protocol. Spec: protocol/03-peering.md, "Requests".

The stream is authenticated by libp2p, so requests carry no signature. A bad request is a coded refusal; the network
adapter bounds how many are served at once.
"""

import logging
from collections.abc import Awaitable, Callable

from skyops_p2p import limits
from skyops_p2p.core.node_core import NodeCore
from skyops_p2p.core.rate import PeerRates
from skyops_p2p.crypto.node_key import peer_id_from_bytes, peer_id_to_bytes
from skyops_p2p.errors import RemoteProtocolError, SkyopsError
from skyops_p2p.ports import Entropy, WallClock
from skyops_p2p.types import MonotonicS, PeerId
from skyops_p2p.wire.messages.peering import (
    MapSyncReply,
    MapSyncRequest,
    PeerPart,
    PeersReply,
    PeersRequest,
    Ping,
    Pong,
    ProbeReply,
    ProbeRequest,
    RecordReply,
    RecordRequest,
)
from skyops_p2p.wire.model import Message, decode_fields, decode_message, encode_message

log = logging.getLogger(__name__)

Reach = Callable[[PeerId], Awaitable[float]]
"""Pings a peer, dialling it if need be; returns the round trip in seconds or raises SkyopsError."""


class NodeService:
    """Answers requests from the core's state.

    Args:
        core: Read, never changed.
        reach: How to ping a suspect for somebody else.
        wall_clock: For Pong.
        entropy: Salts the choice of peers told.
    """

    def __init__(self, core: NodeCore, reach: Reach, *, wall_clock: WallClock, entropy: Entropy) -> None:
        self._core = core
        self._reach = reach
        self._wall_clock = wall_clock
        self._entropy = entropy
        self._rates = PeerRates(
            burst=limits.REQUEST_BURST, per_s=limits.REQUESTS_PER_S, peers_max=limits.ADDRESS_BOOK_PEERS_MAX
        )

    async def answer(self, peer: PeerId, request: bytes, now: MonotonicS) -> bytes:
        """Answer one request.

        Raises:
            RemoteProtocolError: `flood`, `malformed`, `wrong_type` or what decoding raises; sent as a refusal.

        Rules: PER-17, PER-18.
        """
        if not self._rates.take(peer, now):  # PER-18
            raise RemoteProtocolError("too many requests", code="flood", rule="PER-18", peer=peer)
        number = decode_fields(request)[0]
        match number:
            case Ping.number:
                reply: Message = self._pong(decode_message(Ping, request))
            case ProbeRequest.number:
                reply = await self._probe(decode_message(ProbeRequest, request), peer)
            case RecordRequest.number:
                reply = self._record(decode_message(RecordRequest, request))
            case MapSyncRequest.number:
                reply = self._sync(decode_message(MapSyncRequest, request))
            case PeersRequest.number:
                reply = self._peers(decode_message(PeersRequest, request), peer)
            case _:
                raise RemoteProtocolError("no such request", code="wrong_type", rule="PER-17", peer=peer)
        return encode_message(reply)

    def _pong(self, ping: Ping) -> Pong:
        entry = self._core.nodes.get(self._core.peer_id)
        sequence = entry.record.sequence if entry and entry.record else 0
        return Pong(nonce=ping.nonce, record_sequence=sequence, unix_ms=self._wall_clock.now_ms())

    async def _probe(self, request: ProbeRequest, asker: PeerId) -> ProbeReply:
        """Ping a node of the map for somebody else. Rules: PER-19."""
        target = peer_id_from_bytes(request.target)
        if target in (asker, self._core.peer_id) or self._core.nodes.get(target) is None:
            raise RemoteProtocolError("not a node of the map", code="unknown_peer", rule="PER-19", peer=asker)
        try:
            await self._reach(target)
        except SkyopsError as error:
            log.debug("probe_unanswered target=%s code=%s", target, error.code)
            return ProbeReply(is_alive=False)
        return ProbeReply(is_alive=True)

    def _record(self, request: RecordRequest) -> RecordReply:
        entry = self._core.nodes.get(peer_id_from_bytes(request.peer))
        if entry is None:
            return RecordReply()
        live = entry.verified if entry.is_record_live else None  # PER-30
        record = live.signed.data if live else None
        return RecordReply(record=record, presence=entry.beat.data if entry.beat else None)

    def _sync(self, request: MapSyncRequest) -> MapSyncReply:
        records, is_complete = self._core.nodes.differing(
            request.digests, after=request.after, count_max=limits.MAP_SYNC_ENTRIES_MAX
        )
        beats = self._core.nodes.beats_of(records)
        return MapSyncReply(records=tuple(records), is_complete=is_complete, beats=beats)

    def _peers(self, request: PeersRequest, asker: PeerId) -> PeersReply:
        links = self._core.book.sample(request.count_max, salt=self._entropy.token(8), without=asker)
        parts = (PeerPart(peer=peer_id_to_bytes(link.peer), addrs=link.addrs) for link in links if link.addrs)
        return PeersReply(peers=tuple(parts))
