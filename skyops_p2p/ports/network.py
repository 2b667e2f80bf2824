"""The network port: gossip, requests, streams, and the DHT."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

import trio

from skyops_p2p.types import Multiaddr, PeerId


class Verdict(Enum):
    """What a validator says of a gossip message before it is forwarded."""

    ACCEPT = "accept"
    """Deliver here and forward to others."""
    IGNORE = "ignore"
    """Neither deliver nor forward, and blame nobody (old news)."""
    REJECT = "reject"
    """Neither deliver nor forward; the forwarder's score falls."""


@dataclass(frozen=True, slots=True)
class PeerAddrs:
    """A peer and where it says it can be dialled."""

    peer: PeerId
    addrs: tuple[Multiaddr, ...]


@dataclass(frozen=True, slots=True)
class PeerConnected:
    """A connection to a peer stands (its first one); `addrs` without /p2p, the dialled or observed address."""

    peer: PeerId
    addrs: tuple[Multiaddr, ...]
    is_outbound: bool


@dataclass(frozen=True, slots=True)
class PeerDisconnected:
    """The last connection to a peer is gone."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class PeerDiscovered:
    """Addresses of a peer were learned from `source` ("mdns", "dht", "identify"); nothing is connected."""

    peer: PeerId
    addrs: tuple[Multiaddr, ...]
    source: str


@dataclass(frozen=True, slots=True)
class GossipReceived:
    """An accepted gossip message; `author` signed the pubsub message, `payload` is as published."""

    topic: str
    author: PeerId
    payload: bytes


NetworkEvent = PeerConnected | PeerDisconnected | PeerDiscovered | GossipReceived

Validator = Callable[[str, PeerId, bytes], Verdict]
"""(topic, author, payload) -> verdict. Synchronous, quick, and it never raises."""

RequestServer = Callable[[PeerId, bytes], Awaitable[bytes]]
"""(remote peer, request) -> response. A RemoteProtocolError is answered as a coded refusal."""


class FrameStream(Protocol):
    """A bidirectional stream of length-prefixed frames (uvarint length, then that many bytes).

    Sends may be called by one task at a time and receives by one task at a time. Cancelling a call leaves the
    stream unusable: close it.
    """

    @property
    def peer(self) -> PeerId:
        """The authenticated remote peer."""

    async def send_frame(self, frame: bytes) -> None:
        """Send one frame of at most FRAME_BYTES_MAX bytes.

        Raises:
            NetworkError: The stream is closed or broken.
        """

    async def receive_frame(self, *, bytes_max: int) -> bytes:
        """Wait for one frame.

        Raises:
            NetworkError: Closed before a whole frame (code `stream_closed`) or broken.
            RemoteProtocolError: Longer than `bytes_max` (code `oversized`) or a malformed length (`malformed`).
        """

    async def aclose(self) -> None:
        """Close both directions; never raises, never blocks for long."""


StreamServer = Callable[[FrameStream], Awaitable[None]]
"""Runs as long as the stream is served; the stream is closed when it returns or raises."""


@dataclass(frozen=True, slots=True)
class NetworkStatistics:
    """Counters since the start, for /metrics and `skyops node show`."""

    connections: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    gossip_published: int = 0
    gossip_delivered: int = 0
    gossip_rejected: int = 0
    gossip_dropped: int = 0
    """Accepted messages that found the event queue full."""
    requests_sent: int = 0
    requests_served: int = 0
    requests_refused: int = 0
    contained_errors: int = 0
    """Exceptions of foreign code that were stopped at the adapter's edge."""
    mesh_peers: dict[str, int] = field(default_factory=dict)
    """Topic -> peers in its gossip mesh."""


class Network(Protocol):
    """One node's view of the peer-to-peer network. Entered by its owner as an async context manager."""

    @property
    def peer_id(self) -> PeerId:
        """Our own peer id."""

    def listen_addrs(self) -> tuple[Multiaddr, ...]:
        """Return the addresses that we really listen on, without /p2p."""

    def connected_peers(self) -> frozenset[PeerId]:
        """Return the peers with a live connection."""

    def events(self) -> trio.MemoryReceiveChannel[NetworkEvent]:
        """Return the one channel of events (bounded by EVENT_QUEUE_MAX; gossip is dropped first)."""

    async def dial(self, target: PeerAddrs, *, timeout_s: float) -> None:
        """Connect to a peer; returns when its identity is proven. A connected peer is a no-op.

        Raises:
            NetworkError: No address answered in time (`dial_failed`), another peer answered (`wrong_peer`).
        """

    async def disconnect(self, peer: PeerId) -> None:
        """Drop all connections to a peer, if any."""

    async def subscribe(self, topic: str, validator: Validator) -> None:
        """Join a gossip topic; accepted messages become GossipReceived events."""

    async def unsubscribe(self, topic: str) -> None:
        """Leave a gossip topic."""

    async def publish(self, topic: str, payload: bytes) -> None:
        """Gossip a payload of at most GOSSIP_BYTES_MAX bytes; not delivered to ourselves.

        Raises:
            NetworkError: The payload is too large, or publishing did not finish in time.
        """

    def serve_requests(self, protocol: str, server: RequestServer, *, bytes_max: int) -> None:
        """Answer framed requests on a protocol id; bounded by REQUESTS_INBOUND_MAX."""

    async def request(self, peer: PeerId, protocol: str, payload: bytes, *, timeout_s: float) -> bytes:
        """Send one framed request and wait for its response, over a long-lived stream where there is one.

        Raises:
            NetworkError: Not connected, refused or no answer in time (retryable).
            RemoteProtocolError: The peer refused with a code, or its answer is malformed.
        """

    def serve_streams(self, protocol: str, server: StreamServer) -> None:
        """Serve inbound streams of a protocol id; bounded by STREAMS_PER_PEER_MAX."""

    async def open_stream(self, peer: PeerId, protocol: str, *, timeout_s: float) -> FrameStream:
        """Open a framed stream to a connected peer.

        Raises:
            NetworkError: Not connected, protocol not spoken there, or not in time.
        """

    async def put_record(self, key: str, value: bytes, *, timeout_s: float) -> None:
        """Store a validated value in the DHT under a key of at most 50 bytes ("/skyops/n/…").

        Raises:
            NetworkError: No peer took it in time (retryable).
            LocalProtocolError: Our own validator refuses it.
        """

    async def get_record(self, key: str, *, timeout_s: float) -> bytes | None:
        """Fetch the best valid value of a key from the DHT; possibly stale; None if nobody has it."""

    async def provide(self, key: str, *, timeout_s: float) -> None:
        """Announce in the DHT that we provide `key` (a short capability key such as "gpu:a100")."""

    async def find_providers(self, key: str, *, count_max: int, timeout_s: float) -> tuple[PeerAddrs, ...]:
        """Find peers that provide `key`."""

    async def reserve_relay(self, relay: PeerAddrs, *, timeout_s: float) -> Multiaddr:
        """Have a connected relay keep us reachable for RELAY_RESERVATION_S; return our address through it.

        Raises:
            NetworkError: Relaying is off here, or the relay does not grant it (`relay_refused`).
        """

    def set_peer_score(self, peer: PeerId, score: float) -> None:
        """Set the application part of a peer's gossip score, -100 (worst) to 100."""

    def statistics(self) -> NetworkStatistics:
        """Return a snapshot of the counters."""


class DhtRules(Protocol):
    """What the adapter needs to know of the DHT's values; pure, given by the node."""

    def validate(self, key: str, value: bytes) -> None:
        """Raise RemoteProtocolError if the value may not stand under the key."""

    def select(self, key: str, values: Sequence[bytes]) -> int:
        """Return the index of the best of several valid values."""
