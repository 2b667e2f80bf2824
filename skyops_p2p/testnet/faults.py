"""Faults of one node on a test network, put between the node and its real network.

What is simulated: a *blocked* peer is disconnected, neither dialled nor asked nor answered, and what it says by
gossip is neither believed nor forwarded. A *delay* holds back everything that this node says by itself: requests,
answers, stream frames, its own gossip. *Loss* drops requests, answers and own gossip; streams run over TCP, where
a lost packet is only late, so they lose nothing.

What is not: single packets, bandwidth, half-open connections. Gossip that libp2p forwards for others is neither
delayed nor lost. libp2p's own traffic (the DHT) may connect to a blocked peer for a moment before it is cut again.
A peer that joined from outside is on no side of a partition: it reaches both, and as a witness it says so.
Everything here works without privileges and affects no other program.
"""

import math
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import trio

from skyops_p2p.errors import NetworkError, RemoteProtocolError, TestnetError
from skyops_p2p.limits import EVENT_QUEUE_MAX, REQUEST_TIMEOUT_S
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
    RequestServer,
    StreamServer,
    Validator,
    Verdict,
)
from skyops_p2p.types import PeerId

DELAY_MS_MAX = 60_000
_ENFORCE_EVERY_S = 0.25
"""How soon a connection that the library made to a blocked peer by itself is cut again."""


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
        self._changed = trio.Event()

    def describe(self) -> dict[str, object]:
        """Return the faults in force, as `apply` takes them."""
        return {
            "blocked": sorted(self.faults.blocked),
            "delay_ms": self.faults.delay_ms,
            "loss_permille": self.faults.loss_permille,
        }

    async def apply(self, faults: Mapping[str, object]) -> None:
        """Replace all faults; connections to blocked peers are cut soon after.

        Raises:
            TestnetError: `faults_invalid`.
        """
        self.set(faults)
        self._changed.set()
        self._changed = trio.Event()
        await trio.lowlevel.checkpoint()

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
                nursery.start_soon(network.pump)
                nursery.start_soon(network.enforce)
                try:
                    yield network
                finally:
                    nursery.cancel_scope.cancel()

        def opener(rules: DhtRules) -> AbstractAsyncContextManager[Network]:
            return open_faulty(rules)

        return opener

    async def wait_changed(self) -> None:
        """Wait until faults are set; while peers are blocked, only for a moment."""
        timeout_s = _ENFORCE_EVERY_S if self.faults.blocked else math.inf
        with trio.move_on_after(timeout_s):
            await self._changed.wait()

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
        self._cutting: set[PeerId] = set()
        """Peers whose disconnection is under way."""
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
        """Hand on events, but not that a blocked peer has connected: it is about to be cut."""
        async with self._send:
            async for event in self._inner.events():
                if isinstance(event, PeerConnected) and event.peer in self._box.faults.blocked:
                    continue
                is_full = self._send.statistics().current_buffer_used >= EVENT_QUEUE_MAX
                if not (is_full and isinstance(event, GossipReceived)):
                    await self._send.send(event)

    async def enforce(self) -> None:
        """Cut connections to blocked peers, again and again: the library may make new ones by itself."""
        async with trio.open_nursery() as nursery:
            while True:
                for peer in (self._inner.connected_peers() & self._box.faults.blocked) - self._cutting:
                    self._cutting.add(peer)
                    nursery.start_soon(self._cut, peer)
                await self._box.wait_changed()

    async def _cut(self, peer: PeerId) -> None:
        try:
            await self._inner.disconnect(peer)
        finally:
            self._cutting.discard(peer)

    async def subscribe(self, topic: str, validator: Validator) -> None:
        """Join a topic; what blocked peers say is ignored, so that it neither arrives nor goes on."""

        def judge(topic: str, author: PeerId, payload: bytes) -> Verdict:
            if author in self._box.faults.blocked:
                return Verdict.IGNORE
            return validator(topic, author, payload)

        await self._inner.subscribe(topic, judge)

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
            self._refuse_inbound(peer)
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
            self._refuse_inbound(stream.peer)
            await server(SlowStream(stream, self._box))

        self._inner.serve_streams(protocol, serve_slow)

    def _refuse_blocked(self, peer: PeerId, code: str) -> None:
        if peer in self._box.faults.blocked:
            raise NetworkError("the peer is on the other side of a partition", code=code)

    def _refuse_inbound(self, peer: PeerId) -> None:
        if peer in self._box.faults.blocked:
            raise RemoteProtocolError("the peer is on the other side of a partition", code="busy")

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
