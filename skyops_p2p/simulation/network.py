"""ports.Network in memory: one node's view of a SimFabric.

It keeps the port's promises as the libp2p adapter does (same suite in tests/ports/network): identity proven by
dialling, bounded requests and streams, coded refusals, validators before forwarding, deadlines, clean closing.
"""

from collections import deque
from types import TracebackType
from typing import Self

import trio

from skyops_p2p.errors import NetworkError
from skyops_p2p.limits import CONNECTIONS_MAX, EVENT_QUEUE_MAX, GOSSIP_BYTES_MAX
from skyops_p2p.ports import (
    DhtRules,
    GossipReceived,
    NetworkEvent,
    NetworkStatistics,
    PeerAddrs,
    PeerConnected,
    PeerDisconnected,
    RequestServer,
    StreamServer,
    Validator,
    Verdict,
)
from skyops_p2p.simulation.connection import Connection
from skyops_p2p.simulation.dialling import dial
from skyops_p2p.simulation.fabric import SimFabric
from skyops_p2p.simulation.requests import Requests
from skyops_p2p.simulation.streams import SimFrameStream
from skyops_p2p.simulation.streams_served import ServedStreams
from skyops_p2p.types import Multiaddr, PeerId

CONTROL_RETRY_S = 0.01
"""How soon a connection event that found the queue full is offered again."""


def simulated_addr(number: int) -> Multiaddr:
    """Return the address at which the node of a number listens."""
    return Multiaddr(f"/ip4/10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}/tcp/4711")


class SimNetwork:
    """One node's network.

    Args:
        fabric: The world's links; somebody must run it.
        peer: Our peer id; proven to others by the fabric's word.
        number: Our number in the world, from 0; the same after a restart.
        dht_rules: What may stand in the DHT.
        name: Which network it belongs to; DHTs of different networks never mix.
        connections_max: Connections held at most; more are refused.
    """

    def __init__(
        self,
        fabric: SimFabric,
        peer: PeerId,
        number: int,
        *,
        dht_rules: DhtRules,
        name: str = "simulation",
        connections_max: int = CONNECTIONS_MAX,
    ) -> None:
        self.fabric = fabric
        self.number = number
        self.name = name
        self.dht_rules = dht_rules
        self.connections_max = connections_max
        self.connections: dict[int, Connection] = {}
        """Live connections by the other node's number, oldest first."""
        self.is_open = False
        """Between entering and leaving; nothing goes in or out otherwise."""
        self.counters: dict[str, int] = dict.fromkeys(
            ("gossip_published", "gossip_delivered", "gossip_rejected", "gossip_dropped", "contained_errors"),
            0,
        )
        self._peer = peer
        self._peers: dict[int, PeerId] = {}
        self._validators: dict[str, Validator] = {}
        self._send_event, self._events = trio.open_memory_channel[NetworkEvent](EVENT_QUEUE_MAX)
        self._control: deque[NetworkEvent] = deque()
        self._requests = Requests(self)
        self._streams = ServedStreams(self)

    async def __aenter__(self) -> Self:
        self._nurseries = trio.open_nursery()
        self.nursery = await self._nurseries.__aenter__()
        try:
            self.fabric.attach(self)
        except NetworkError:
            await self._nurseries.__aexit__(None, None, None)
            raise
        self.is_open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        self.nursery.cancel_scope.cancel()
        await self._nurseries.__aexit__(None, None, None)

    def kill(self, *, is_silent: bool = False) -> None:
        """Vanish at once: nothing more goes in or out. What a crash does; leaving does it too.

        Args:
            is_silent: As by a power cut: peers notice only after the keepalive.
        """
        if self.is_open:
            self.is_open = False
            self.fabric.detach(self, is_silent=is_silent)
            self._send_event.close()

    # --- ourselves and our peers --------------------------------------------------------------------------
    @property
    def peer_id(self) -> PeerId:
        """Our own peer id."""
        return self._peer

    def listen_addrs(self) -> tuple[Multiaddr, ...]:
        """Return our one address."""
        return (simulated_addr(self.number),)

    def connected_peers(self) -> frozenset[PeerId]:
        """Return the peers with a live connection."""
        return frozenset(self._peers.values())

    def connection_to(self, peer: PeerId) -> Connection:
        """Return the live connection to a peer.

        Raises:
            NetworkError: Code `not_connected`.
        """
        number = self.fabric.number_of(peer)
        connection = self.connections.get(-1 if number is None else number)
        if connection is None or not self.is_open:
            raise NetworkError(f"not connected to {peer}", code="not_connected")
        return connection

    def peer_of(self, number: int) -> PeerId:
        """Return the peer id of a connected node."""
        return self._peers[number]

    async def dial(self, target: PeerAddrs, *, timeout_s: float) -> None:
        """See ports.Network."""
        await dial(self, target, timeout_s=timeout_s)

    async def disconnect(self, peer: PeerId) -> None:
        """See ports.Network."""
        await trio.lowlevel.checkpoint()
        number = self.fabric.number_of(peer)
        connection = self.connections.get(-1 if number is None else number)
        if connection is not None:
            self.fabric.disconnect(connection, by=self.number)

    def add_connection(self, connection: Connection, other: "SimNetwork") -> None:
        """Note a new connection and tell the node; the fabric calls it."""
        self.connections[other.number] = connection
        self._peers[other.number] = other.peer_id
        is_outbound = connection.dialer == self.number
        self._tell(PeerConnected(peer=other.peer_id, addrs=other.listen_addrs(), is_outbound=is_outbound))

    def forget_connection(self, connection: Connection) -> None:
        """Forget a connection and tell the node; the fabric calls it."""
        connection.close()
        number = connection.other(self.number)
        self.connections.pop(number, None)
        peer = self._peers.pop(number, None)
        if peer is not None and self.is_open:
            self._tell(PeerDisconnected(peer))

    # --- events -------------------------------------------------------------------------------------------
    def events(self) -> trio.MemoryReceiveChannel[NetworkEvent]:
        """Return the one channel of events."""
        return self._events

    def deliver_gossip(self, event: GossipReceived) -> None:
        """Queue an accepted message, or drop and count it; the overlay calls it."""
        try:
            self._send_event.send_nowait(event)
            self.counters["gossip_delivered"] += 1
        except trio.WouldBlock:
            self.counters["gossip_dropped"] += 1

    def _tell(self, event: NetworkEvent) -> None:
        """Queue an event that must not be lost: it waits its turn while the queue is full."""
        self._control.append(event)
        if len(self._control) == 1:
            self._flush_control()

    def _flush_control(self) -> None:
        while self._control and self.is_open:
            try:
                self._send_event.send_nowait(self._control[0])
            except trio.WouldBlock:
                self.fabric.queue.after(CONTROL_RETRY_S, self._flush_control)
                return
            except trio.BrokenResourceError:  # the node has stopped listening
                self._control.clear()
                return
            self._control.popleft()

    # --- gossip -------------------------------------------------------------------------------------------
    async def subscribe(self, topic: str, validator: Validator) -> None:
        """See ports.Network."""
        await trio.lowlevel.checkpoint()
        self._validators[topic] = validator
        self.fabric.gossip.join(self.number, topic)

    async def unsubscribe(self, topic: str) -> None:
        """See ports.Network."""
        await trio.lowlevel.checkpoint()
        if self._validators.pop(topic, None) is not None:
            self.fabric.gossip.leave(self.number, topic)

    async def publish(self, topic: str, payload: bytes) -> None:
        """See ports.Network."""
        await trio.lowlevel.checkpoint()
        if len(payload) > GOSSIP_BYTES_MAX:
            message = f"gossip of {len(payload)} bytes; at most {GOSSIP_BYTES_MAX}"
            raise NetworkError(message, code="payload_too_large")
        if self.is_open:
            self.counters["gossip_published"] += 1
            self.fabric.gossip.publish(self.number, self._peer, topic, payload)

    def judge(self, topic: str, author: PeerId, payload: bytes) -> Verdict:
        """Ask the topic's validator; one that raises is contained and rejects. The overlay calls it."""
        try:
            verdict = self._validators[topic](topic, author, payload)
        except Exception as error:  # noqa: BLE001 - the port stops a broken validator at its edge, as the adapter does
            self.contain(error)
            verdict = Verdict.REJECT
        self.counters["gossip_rejected"] += verdict is Verdict.REJECT
        return verdict

    async def reserve_relay(self, relay: PeerAddrs, *, timeout_s: float) -> Multiaddr:
        """Refuse: every simulated node can be dialled, so none relays."""
        del timeout_s
        await trio.lowlevel.checkpoint()
        raise NetworkError(f"{relay.peer} does not relay in a simulation", code="relay_refused")

    def set_peer_score(self, peer: PeerId, score: float) -> None:
        """See ports.Network."""
        number = self.fabric.number_of(peer)
        if number is not None:
            self.fabric.gossip.set_score(self.number, number, score)

    # --- requests and streams -----------------------------------------------------------------------------
    def serve_requests(self, protocol: str, server: RequestServer, *, bytes_max: int) -> None:
        """See ports.Network."""
        self._requests.serve(protocol, server, bytes_max=bytes_max)

    async def request(self, peer: PeerId, protocol: str, payload: bytes, *, timeout_s: float) -> bytes:
        """See ports.Network."""
        return await self._requests.request(peer, protocol, payload, timeout_s=timeout_s)

    @property
    def requests(self) -> Requests:
        """The serving side of requests, for the other end of a connection."""
        return self._requests

    def serve_streams(self, protocol: str, server: StreamServer) -> None:
        """See ports.Network."""
        self._streams.serve(protocol, server)

    async def open_stream(self, peer: PeerId, protocol: str, *, timeout_s: float) -> SimFrameStream:
        """See ports.Network."""
        return await self._streams.open(peer, protocol, timeout_s=timeout_s)

    @property
    def streams(self) -> ServedStreams:
        """The serving side of streams, for the other end of a connection."""
        return self._streams

    # --- DHT ----------------------------------------------------------------------------------------------
    async def put_record(self, key: str, value: bytes, *, timeout_s: float) -> None:
        """See ports.Network."""
        await self.fabric.dht.put(self, key, value, timeout_s=timeout_s)

    async def get_record(self, key: str, *, timeout_s: float) -> bytes | None:
        """See ports.Network."""
        return await self.fabric.dht.get(self, key, timeout_s=timeout_s)

    async def provide(self, key: str, *, timeout_s: float) -> None:
        """See ports.Network."""
        await self.fabric.dht.provide(self, key, timeout_s=timeout_s)

    async def find_providers(self, key: str, *, count_max: int, timeout_s: float) -> tuple[PeerAddrs, ...]:
        """See ports.Network."""
        return await self.fabric.dht.find(self, key, count_max=count_max, timeout_s=timeout_s)

    # --- counters -----------------------------------------------------------------------------------------
    def contain(self, error: BaseException) -> None:
        """Count an exception that was stopped here, and show it to the world."""
        self.counters["contained_errors"] += 1
        self.fabric.contain(error)

    def statistics(self) -> NetworkStatistics:
        """See ports.Network."""
        gossip, requests = self.fabric.gossip, self._requests
        return NetworkStatistics(
            connections=len(self.connections),
            bytes_sent=gossip.bytes_sent[self.number] + requests.bytes_sent,
            bytes_received=gossip.bytes_received[self.number] + requests.bytes_received,
            requests_sent=requests.sent,
            requests_served=requests.served,
            requests_refused=requests.refused,
            mesh_peers=gossip.mesh_peers(self.number),
            **self.counters,
        )
