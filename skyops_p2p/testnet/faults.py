"""Faults of one node on a test network, put between the node and its real network.

What is simulated: a *blocked* peer is disconnected, and neither dialled, asked nor admitted again. A *delay* holds
back everything that this node says by itself: requests, answers, stream frames, its own gossip. *Loss* drops
requests, answers and own gossip; streams run over TCP, where a lost packet is only late, so they lose nothing.

What is not: single packets, bandwidth, half-open connections, and gossip that libp2p forwards for others (it is
neither delayed nor lost, and a node outside both sides of a partition still carries it across, as it would in
reality). Everything here works without privileges and affects no other program.
"""

import math
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import trio

from skyops_p2p.errors import NetworkError, RemoteProtocolError, TestnetError
from skyops_p2p.limits import CONNECTIONS_MAX, EVENT_QUEUE_MAX, REQUEST_TIMEOUT_S
from skyops_p2p.node.ports_bundle import OpenNetwork
from skyops_p2p.ports import (
    DhtRules,
    Entropy,
    FrameStream,
    GossipReceived,
    Network,
    NetworkEvent,
    PeerAddrs,
    PeerConnected,
    PeerDisconnected,
    RequestServer,
    StreamServer,
)
from skyops_p2p.types import PeerId

DELAY_MS_MAX = 60_000


@dataclass(frozen=True, slots=True)
class Faults:
    """What is wrong at present."""

    blocked: frozenset[PeerId] = field(default_factory=frozenset)
    delay_ms: int = 0
    loss_permille: int = 0


class FaultBox:
    """Holds the faults of one node; the control API changes them, the network obeys them.

    Args:
        entropy: Decides which messages are lost.
    """

    def __init__(self, entropy: Entropy) -> None:
        self.faults = Faults()
        self._entropy = entropy
        self._network: Network | None = None

    def describe(self) -> dict[str, object]:
        """Return the faults in force, as `apply` takes them."""
        return {
            "blocked": sorted(self.faults.blocked),
            "delay_ms": self.faults.delay_ms,
            "loss_permille": self.faults.loss_permille,
        }

    async def apply(self, faults: Mapping[str, object]) -> None:
        """Replace all faults and drop connections to blocked peers.

        Raises:
            TestnetError: `faults_invalid`.
        """
        self.set(faults)
        if self._network is not None:
            for peer in self.faults.blocked & self._network.connected_peers():
                await self._network.disconnect(peer)

    def set(self, faults: Mapping[str, object]) -> None:
        """Replace all faults before the network is open.

        Raises:
            TestnetError: `faults_invalid`.
        """
        unknown = set(faults) - {"blocked", "delay_ms", "loss_permille"}
        blocked = faults.get("blocked", [])
        delay_ms, loss_permille = faults.get("delay_ms", 0), faults.get("loss_permille", 0)
        if (
            unknown
            or not isinstance(blocked, list)
            or not all(isinstance(peer, str) for peer in blocked)
            or not isinstance(delay_ms, int)
            or not isinstance(loss_permille, int)
            or not 0 <= delay_ms <= DELAY_MS_MAX
            or not 0 <= loss_permille <= 1000
        ):
            raise TestnetError(
                "faults are {blocked: [peer ids], delay_ms: 0 to 60000, loss_permille: 0 to 1000}",
                code="faults_invalid",
            )
        self.faults = Faults(frozenset(PeerId(peer) for peer in blocked), delay_ms, loss_permille)

    def wrap(self, open_network: OpenNetwork) -> OpenNetwork:
        """Return a way to open the same network with these faults in it."""

        @asynccontextmanager
        async def open_faulty(rules: DhtRules) -> AsyncIterator[Network]:
            async with open_network(rules) as inner, trio.open_nursery() as nursery:
                network = FaultyNetwork(inner, self)
                self._network = inner
                nursery.start_soon(network.pump)
                try:
                    yield network
                finally:
                    self._network = None
                    nursery.cancel_scope.cancel()

        def opener(rules: DhtRules) -> AbstractAsyncContextManager[Network]:
            return open_faulty(rules)

        return opener

    async def hold_back(self) -> bool:
        """Wait for the delay; return False if the message is lost."""
        if self.faults.delay_ms:
            await trio.sleep(self.faults.delay_ms / 1000.0)
        return not (self.faults.loss_permille and self._entropy.uniform() * 1000 < self.faults.loss_permille)


class FaultyNetwork:
    """A Network in front of another one. See the module for what it does; all else is passed through.

    Args:
        inner: The real network.
        box: The faults, which may change at any time.
    """

    def __init__(self, inner: Network, box: FaultBox) -> None:
        self._inner = inner
        self._box = box
        self._hidden: set[PeerId] = set()
        self._send, self._receive = trio.open_memory_channel[NetworkEvent](EVENT_QUEUE_MAX)

    def __getattr__(self, name: str) -> Any:
        """Pass everything through that is not defined here: the DHT, topics, counters, addresses."""
        return getattr(self._inner, name)

    @property
    def peer_id(self) -> PeerId:
        """Our own peer id."""
        return self._inner.peer_id

    def events(self) -> trio.MemoryReceiveChannel[NetworkEvent]:
        """Return the events without those of blocked peers."""
        return self._receive

    def connected_peers(self) -> frozenset[PeerId]:
        """Return the connected peers that are not about to be dropped."""
        return self._inner.connected_peers() - self._box.faults.blocked

    async def pump(self) -> None:
        """Hand on events; drop the connections of blocked peers that dial us."""
        async with self._send:
            async for event in self._inner.events():
                if isinstance(event, PeerConnected) and event.peer in self._box.faults.blocked:
                    if len(self._hidden) < CONNECTIONS_MAX:
                        self._hidden.add(event.peer)
                    await self._inner.disconnect(event.peer)
                elif isinstance(event, PeerDisconnected) and event.peer in self._hidden:
                    self._hidden.discard(event.peer)
                else:
                    await self._hand_on(event)

    async def _hand_on(self, event: NetworkEvent) -> None:
        if (
            isinstance(event, GossipReceived)
            and self._send.statistics().current_buffer_used >= EVENT_QUEUE_MAX
        ):
            return
        await self._send.send(event)

    async def dial(self, target: PeerAddrs, *, timeout_s: float) -> None:
        """Connect, unless the peer is blocked."""
        self._refuse_blocked(target.peer, "dial_failed")
        await self._within(timeout_s)
        await self._inner.dial(target, timeout_s=timeout_s)

    async def publish(self, topic: str, payload: bytes) -> None:
        """Gossip late, or not at all."""
        if await self._box.hold_back():
            await self._inner.publish(topic, payload)

    async def request(self, peer: PeerId, protocol: str, payload: bytes, *, timeout_s: float) -> bytes:
        """Ask late; a lost request times out."""
        self._refuse_blocked(peer, "not_connected")
        if not await self._within(timeout_s):
            await trio.sleep(timeout_s)
            raise NetworkError("the request was lost on purpose", code="request_timeout")
        return await self._inner.request(peer, protocol, payload, timeout_s=timeout_s)

    def serve_requests(self, protocol: str, server: RequestServer, *, bytes_max: int) -> None:
        """Answer late; a lost answer comes after everybody has given up."""

        async def serve_late(peer: PeerId, request: bytes) -> bytes:
            answer = await server(peer, request)
            if not await self._box.hold_back():
                await trio.sleep(REQUEST_TIMEOUT_S)
                raise RemoteProtocolError("the answer was lost on purpose", code="busy")
            return answer

        self._inner.serve_requests(protocol, serve_late, bytes_max=bytes_max)

    async def open_stream(self, peer: PeerId, protocol: str, *, timeout_s: float) -> FrameStream:
        """Open a stream whose frames go out late."""
        self._refuse_blocked(peer, "not_connected")
        return SlowStream(await self._inner.open_stream(peer, protocol, timeout_s=timeout_s), self._box)

    def serve_streams(self, protocol: str, server: StreamServer) -> None:
        """Serve streams whose frames go out late."""

        async def serve_slow(stream: FrameStream) -> None:
            await server(SlowStream(stream, self._box))

        self._inner.serve_streams(protocol, serve_slow)

    def _refuse_blocked(self, peer: PeerId, code: str) -> None:
        if peer in self._box.faults.blocked:
            raise NetworkError("the peer is on the other side of a partition", code=code)

    async def _within(self, timeout_s: float) -> bool:
        """Wait for the delay, at most `timeout_s`; return False if the message is lost."""
        with trio.move_on_after(timeout_s if timeout_s > 0 else math.inf):
            return await self._box.hold_back()
        raise NetworkError("the message was held back for too long", code="request_timeout")


class SlowStream:
    """A frame stream whose frames go out late."""

    def __init__(self, inner: FrameStream, box: FaultBox) -> None:
        self._inner = inner
        self._box = box

    @property
    def peer(self) -> PeerId:
        """The authenticated remote peer."""
        return self._inner.peer

    async def send_frame(self, frame: bytes) -> None:
        """Send a frame late; loss does not apply, see the module."""
        await self._box.hold_back()
        await self._inner.send_frame(frame)

    async def receive_frame(self, *, bytes_max: int) -> bytes:
        """Receive a frame."""
        return await self._inner.receive_frame(bytes_max=bytes_max)

    async def aclose(self) -> None:
        """Close both directions."""
        await self._inner.aclose()
