"""What the node needs from the world, as small Protocols.

An adapter implements one of them over a foreign thing; the simulator implements the same ones in memory, and
both pass the same suite under tests/ports. All foreign exceptions are mapped to the tree of errors.py inside
the adapter. Every awaiting call has a deadline, either its own argument or the one named in limits.py.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

import trio

from skyops_p2p.types import Multiaddr, PeerId, UnixMs, WalletAddress


# --- network ------------------------------------------------------------------------------------------------
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


# --- time and chance ----------------------------------------------------------------------------------------
class WallClock(Protocol):
    """Unix time. Monotonic time is trio's clock."""

    def now_ms(self) -> UnixMs:
        """Milliseconds since 1970."""


class Entropy(Protocol):
    """Randomness: the operating system's, or a seed's in a simulation."""

    def token(self, size_bytes: int) -> bytes:
        """Return `size_bytes` unpredictable bytes."""

    def uniform(self) -> float:
        """Return a number in [0, 1), for jitter; need not be unpredictable."""


# --- local store --------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One promise or fact that must survive a crash."""

    number: int
    stem: str
    """Which machine family it belongs to ("peering", "auction", …)."""
    key: str
    """Which machine of the family, e.g. a peer id."""
    body: bytes
    """Canonical msgpack."""


@dataclass(frozen=True, slots=True)
class StoredNode:
    """One node of the map as it is kept across restarts."""

    peer: PeerId
    record: bytes
    """The signed envelope as received; for a SLASHED node the proof."""
    addrs: tuple[Multiaddr, ...]
    state: str
    seen_unix_ms: UnixMs


class Store(Protocol):
    """Durable local state. A call returns when its effect would survive a power cut. One process at a time.

    Every call may raise StoreError with a code: `store_full`, `store_locked`, `store_torn`, `store_too_new`,
    `store_closed`. Calls are atomic: after an error nothing of them is visible.
    """

    async def append(self, stem: str, key: str, body: bytes) -> int:
        """Append to the journal and return the entry's number (rising, without reuse)."""

    async def entries(self, stem: str) -> tuple[JournalEntry, ...]:
        """Return a stem's journal in order."""

    async def compact(self, stem: str, key: str, *, keep_last: int) -> int:
        """Forget all but the last `keep_last` entries of one key; return how many went."""

    async def put_nodes(self, nodes: Iterable[StoredNode]) -> None:
        """Insert or replace nodes of the map."""

    async def forget_nodes(self, peers: Iterable[PeerId]) -> None:
        """Delete nodes of the map; unknown ones are ignored."""

    async def nodes(self) -> tuple[StoredNode, ...]:
        """Return the whole stored map, most recently seen first."""

    async def set_value(self, name: str, value: bytes) -> None:
        """Set a small named value (at most 64 KiB)."""

    async def value(self, name: str) -> bytes | None:
        """Return a named value, or None."""


OpenStore = Callable[[], AbstractAsyncContextManager[Store]]


# --- hardware and chain -------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Gpu:
    """One device."""

    model: str
    """Vendor's name, e.g. "NVIDIA A100-SXM4-80GB"."""
    vram_mib: int
    compute_capability: str
    """CUDA compute capability, "8.0"; empty if unknown."""
    uuid: str
    """NVML's UUID; empty for a declared device."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """A runtime that this node can start, and what it enforces."""

    name: str
    """"wasm", "docker" or "native"."""
    version: str
    limits: str
    """"hard", or "soft" where the kernel offers no cgroups."""


@dataclass(frozen=True, slots=True)
class Hardware:
    """What this machine has."""

    source: str
    """"nvml" (probed through the driver), "declared" (testnets only) or "none" (no GPU)."""
    gpus: tuple[Gpu, ...]
    driver: str
    cuda: str
    cpu_model: str
    cpu_cores: int
    memory_mib: int
    disk_mib: int
    """Free space under the data directory."""
    runtimes: tuple[Runtime, ...]


class HardwareProbe(Protocol):
    """Finds out what this machine has; never raises: what cannot be probed is reported as absent."""

    async def probe(self) -> Hardware:
        """Look at the machine."""


class StakeCheck(Protocol):
    """Asks the chain whether a wallet's stake suffices; neutral until settlement exists."""

    async def is_sufficient(self, wallet: WalletAddress) -> bool:
        """Return whether the wallet holds at least the network's minimum stake.

        Raises:
            ChainError: The chain cannot be asked (retryable).
        """
