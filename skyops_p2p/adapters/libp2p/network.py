"""The network port over libp2p: one class that owns the host, its services and its events.

Every call has a deadline; errors of libp2p come out as NetworkError, bytes of peers as RemoteProtocolError.
Errors of foreign code that no caller waits for are stopped, counted and logged. Whom to connect to is the
node's decision (design.md, Peering); by itself only the DHT dials, the peers that its lookups lead to, and
with `relay` hole punching.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

import trio
from libp2p.host.exceptions import StreamFailure
from libp2p.peer.id import ID
from libp2p.tools.anyio_service import background_trio_service
from libp2p.tools.anyio_service.exceptions import LifecycleError
from multiaddr import Multiaddr as RawMultiaddr

from skyops_p2p import limits
from skyops_p2p.adapters.libp2p import patches
from skyops_p2p.adapters.libp2p.agreement import protocol_offer
from skyops_p2p.adapters.libp2p.dht import Dht
from skyops_p2p.adapters.libp2p.dialling import Dialler, parse_peer
from skyops_p2p.adapters.libp2p.events import EventFeed
from skyops_p2p.adapters.libp2p.frames import FOREIGN_ERRORS, Libp2pFrameStream
from skyops_p2p.adapters.libp2p.gossip import Gossip
from skyops_p2p.adapters.libp2p.health import watch_connections
from skyops_p2p.adapters.libp2p.host import HostOptions, build_host, reset_stream
from skyops_p2p.adapters.libp2p.relay import Relay
from skyops_p2p.adapters.libp2p.requests import Lingering, RequestClient, RequestCounters, RequestService
from skyops_p2p.adapters.libp2p.transport import Meter, is_port_taken
from skyops_p2p.errors import ConfigError, NetworkError, SkyopsError
from skyops_p2p.ports import (
    DhtRules,
    NetworkEvent,
    NetworkStatistics,
    PeerAddrs,
    RequestServer,
    StreamServer,
    Validator,
)
from skyops_p2p.types import Multiaddr, PeerId

logger = logging.getLogger(__name__)


class Libp2pNetwork:
    """A `ports.Network`; enter it as an async context manager, once.

    Args:
        seed: 32 bytes, the node's Ed25519 seed.
        network: Name of the market; part of the pubsub topics and the DHT's protocol.
        listen: Addresses to listen on; tcp port 0 picks a free one.
        dht_rules: What may stand in the DHT.
        announce: Addresses to tell others instead of the listening ones.
        psk_hex: 64 hex digits: a private network that others cannot even speak to.
        connections_max: Connections to hold at most.
        peers_target: Below this many peers, addresses seen in the DHT are reported as discoveries.
        mdns: Find peers of the same network on the local network.
        relay: Relay for peers that cannot be dialled.
        heartbeat_s: Seconds between GossipSub's heartbeats.

    Raises:
        ConfigError: `psk_hex` is not 64 hex digits.
        NetworkError: On entering: `port_taken`, `listen_failed` or `libp2p_unsupported`.
    """

    def __init__(  # noqa: PLR0913 - one keyword for each setting of the [network] section
        self,
        *,
        seed: bytes,
        network: str,
        listen: Sequence[str],
        dht_rules: DhtRules,
        announce: Sequence[str] = (),
        psk_hex: str | None = None,
        connections_max: int = limits.CONNECTIONS_MAX,
        peers_target: int = limits.PEERS_TARGET,
        mdns: bool = False,
        relay: bool = False,
        heartbeat_s: float = 1.0,
    ) -> None:
        patches.apply()
        self._network = network
        self._listen = [_parse_listen(addr) for addr in listen]
        self._peers_target = peers_target
        self._has_mdns = mdns
        self._meter = Meter()
        self._feed = EventFeed()
        self._contained = 0
        options = HostOptions(seed, tuple(announce), _checked_psk(psk_hex), connections_max, relay)
        self._host = build_host(options, self._meter, self._contain, self._on_identified)
        self._swarm: Any = self._host.get_network()
        self._swarm.register_notifee(self._feed)
        self._peer_id = PeerId(self._host.get_id().to_base58())
        self._gossip = Gossip(
            self._host, network, heartbeat_s=heartbeat_s, deliver=self._feed.gossip, contain=self._contain
        )
        self._dht = Dht(self._host, network, dht_rules, self._contain)
        self._relay = Relay(self._host) if relay else None
        self._dialler = Dialler(self._swarm, self._host.get_peerstore(), self._host.get_id(), self._relay)
        self._lingering = Lingering()
        self._request_counters = RequestCounters()
        self._client = RequestClient(self._offer_frame_stream, self._request_counters)
        self._service = RequestService(self._request_counters, self._contain)
        self._feed.forgotten += [self._gossip.forget_peer, self._forget_peer]
        self._stack = AsyncExitStack()
        self._nursery: trio.Nursery | None = None

    # --- life -----------------------------------------------------------------------------------------------
    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # An error of the body is not led through libp2p's nurseries, which would wrap it in groups.
        await self._stop()

    async def _start(self) -> None:
        outer = await self._stack.enter_async_context(trio.open_nursery())
        await outer.start(self._run_tasks)
        await self._stack.enter_async_context(background_trio_service(self._swarm))
        with trio.fail_after(limits.DIAL_TIMEOUT_S):
            await self._swarm.listen(*self._listen)
        self._check_listening()
        await self._gossip.start(self._stack)
        await self._dht.start(self._stack)
        if self._relay is not None:
            await self._relay.start(self._stack)
        if self._has_mdns:
            self._spawn(self._discover_locally)
        self._spawn(self._watch)
        self._spawn(self._dht.fill_table)

    async def _run_tasks(self, task_status: Any) -> None:
        # A nursery of its own, so that it can be cancelled while the services around it stop in order.
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            await trio.sleep_forever()

    async def _watch(self) -> None:
        await watch_connections(
            self._swarm,
            interval_s=limits.HEALTH_INTERVAL_S,
            silence_max_s=limits.CONNECTION_SILENCE_MAX_S,
            tick=self._tidy,
        )

    async def _stop(self) -> None:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + limits.NETWORK_STOP_TIMEOUT_S):
            if self._nursery is not None:
                self._nursery.cancel_scope.cancel()
            try:
                await self._host.close()
            except LifecycleError as error:
                # The start was cancelled before the swarm ran; there is nothing to close.
                logger.debug("host_not_started error=%r", error)
        await self._stack.aclose()
        self._feed.close()

    def _check_listening(self) -> None:
        wanted, got = len(self._listen), len(self._swarm.listeners)
        if got >= wanted:
            return
        errors = self._meter.listen_errors
        where = ", ".join(str(addr) for addr in self._listen)
        if is_port_taken(errors):
            raise NetworkError(
                f"a port of {where} is already in use",
                code="port_taken",
                hint="Stop the other program, or listen on another port (network.listen).",
            )
        reason = f": {errors[0].strerror or errors[0]}" if errors else ""
        raise NetworkError(
            f"cannot listen on {where}{reason}",
            code="listen_failed",
            hint="Check network.listen in the config file.",
        )

    # --- who is there ---------------------------------------------------------------------------------------
    @property
    def peer_id(self) -> PeerId:
        """Our own peer id."""
        return self._peer_id

    def listen_addrs(self) -> tuple[Multiaddr, ...]:
        """Return the addresses that we really listen on, without /p2p."""
        listeners = self._swarm.listeners.values()
        return tuple(Multiaddr(str(addr)) for listener in listeners for addr in listener.get_addrs())

    def connected_peers(self) -> frozenset[PeerId]:
        """Return the peers with a live connection."""
        return self._feed.peers()

    def events(self) -> trio.MemoryReceiveChannel[NetworkEvent]:
        """Return the one channel of events."""
        return self._feed.receive

    async def dial(self, target: PeerAddrs, *, timeout_s: float) -> None:
        """Connect to a peer; see `ports.Network.dial`."""
        if target.peer in self.connected_peers():
            return
        await self._dialler.dial(target, timeout_s=timeout_s)

    async def disconnect(self, peer: PeerId) -> None:
        """Drop all connections to a peer, if any."""
        for connection in self._swarm.get_connections(parse_peer(peer)):
            await self._swarm.drop(connection)

    async def reserve_relay(self, relay: PeerAddrs, *, timeout_s: float) -> Multiaddr:
        """Return our address through a relay; see `ports.Network.reserve_relay`."""
        if self._relay is None or not relay.addrs:
            raise NetworkError(
                "relaying is off", code="relay_refused", hint="Set network.relay in the config file."
            )
        return await self._relay.reserve(parse_peer(relay.peer), relay.addrs[0], timeout_s=timeout_s)

    # --- gossip ---------------------------------------------------------------------------------------------
    async def subscribe(self, topic: str, validator: Validator) -> None:
        """Join a gossip topic; accepted messages become GossipReceived events."""
        await self._gossip.subscribe(topic, validator)

    async def unsubscribe(self, topic: str) -> None:
        """Leave a gossip topic."""
        await self._gossip.unsubscribe(topic)

    async def publish(self, topic: str, payload: bytes) -> None:
        """Gossip a payload; see `ports.Network.publish`."""
        await self._gossip.publish(topic, payload)

    def set_peer_score(self, peer: PeerId, score: float) -> None:
        """Set the application part of a peer's gossip score, -100 to 100."""
        self._gossip.set_score(parse_peer(peer), score)

    # --- the DHT --------------------------------------------------------------------------------------------
    async def put_record(self, key: str, value: bytes, *, timeout_s: float) -> None:
        """Store a validated value in the DHT; see `ports.Network.put_record`."""
        await self._dht.put(key, value, timeout_s=timeout_s)

    async def get_record(self, key: str, *, timeout_s: float) -> bytes | None:
        """Fetch the best valid value of a key from the DHT."""
        return await self._dht.get(key, timeout_s=timeout_s)

    async def provide(self, key: str, *, timeout_s: float) -> None:
        """Announce in the DHT that we provide a key."""
        await self._dht.provide(key, timeout_s=timeout_s)

    async def find_providers(self, key: str, *, count_max: int, timeout_s: float) -> tuple[PeerAddrs, ...]:
        """Find peers that provide a key."""
        return await self._dht.find_providers(key, count_max=count_max, timeout_s=timeout_s)

    # --- requests and streams -------------------------------------------------------------------------------
    def serve_requests(self, protocol: str, server: RequestServer, *, bytes_max: int) -> None:
        """Answer framed requests on a protocol id."""

        async def handle(stream: Any) -> None:
            frames = Libp2pFrameStream(stream, self._lingering.add)
            await self._service.serve_stream(frames, server, bytes_max=bytes_max)

        self._host.set_stream_handler(protocol, handle)

    async def request(self, peer: PeerId, protocol: str, payload: bytes, *, timeout_s: float) -> bytes:
        """Send one framed request and wait for its response; see `ports.Network.request`."""
        return await self._client.request(peer, protocol, payload, timeout_s=timeout_s)

    def serve_streams(self, protocol: str, server: StreamServer) -> None:
        """Serve inbound streams of a protocol id."""

        async def handle(stream: Any) -> None:
            frames = Libp2pFrameStream(stream, self._lingering.add)
            try:
                await server(frames)
            except SkyopsError as error:
                logger.info(
                    "stream_ended peer=%s protocol=%s reason=%s", frames.peer[-8:], protocol, error.code
                )
            finally:
                await frames.aclose()

        self._host.set_stream_handler(protocol, handle)

    async def open_stream(self, peer: PeerId, protocol: str, *, timeout_s: float) -> Libp2pFrameStream:
        """Open a framed stream to a connected peer; see `ports.Network.open_stream`."""
        try:
            with trio.fail_after(timeout_s):
                return await self._open_frame_stream(peer, protocol)
        except trio.TooSlowError as error:
            raise NetworkError(f"{peer} did not open {protocol} in time", code="stream_timeout") from error

    async def _open_frame_stream(self, peer: PeerId, protocol: str) -> Libp2pFrameStream:
        try:
            stream = await self._host.new_stream(self._connected(peer), [protocol])
        except StreamFailure as error:
            code = "protocol_unsupported" if "not supported" in str(error) else "stream_failed"
            raise NetworkError(f"{peer} does not serve {protocol}", code=code) from error
        except FOREIGN_ERRORS as error:
            raise NetworkError(f"cannot open a stream to {peer}", code="stream_failed") from error
        return Libp2pFrameStream(stream, self._lingering.add)

    async def _offer_frame_stream(self, peer: PeerId, protocol: str) -> Libp2pFrameStream:
        """Open a stream for a request: the protocol is agreed on while the request travels."""
        try:
            stream = await self._host.raw_stream(self._connected(peer))
        except FOREIGN_ERRORS as error:
            raise NetworkError(f"cannot open a stream to {peer}", code="stream_failed") from error
        return Libp2pFrameStream(stream, self._lingering.add, offer=protocol_offer(protocol))

    def _connected(self, peer: PeerId) -> ID:
        """Return libp2p's id of a connected peer."""
        raw_peer = parse_peer(peer)
        if not self._swarm.get_connections(raw_peer):
            raise NetworkError(f"not connected to {peer}", code="not_connected", hint="Dial the peer first.")
        return raw_peer

    # --- bookkeeping ----------------------------------------------------------------------------------------
    def statistics(self) -> NetworkStatistics:
        """Return a snapshot of the counters."""
        gossip, requests = self._gossip.counters, self._request_counters
        return NetworkStatistics(
            connections=self._swarm.get_total_connections(),
            bytes_sent=self._meter.bytes_sent,
            bytes_received=self._meter.bytes_received,
            gossip_published=gossip.published,
            gossip_delivered=gossip.delivered,
            gossip_rejected=gossip.rejected,
            gossip_dropped=self._feed.gossip_dropped + gossip.dropped_rate,
            requests_sent=requests.sent,
            requests_served=requests.served,
            requests_refused=requests.refused,
            contained_errors=self._contained,
            mesh_peers=self._gossip.mesh_peers(),
        )

    def _contain(self, place: str, peer: Any, error: BaseException) -> None:
        self._contained += 1
        logger.info("error_contained place=%s peer=%s error=%r", place, str(peer)[-8:], error)

    def _forget_peer(self, peer: ID) -> None:
        self._client.forget_peer(PeerId(peer.to_base58()))

    def _on_identified(self, peer: ID, addrs: list[RawMultiaddr]) -> None:
        own = tuple(Multiaddr(str(addr).partition("/p2p/")[0]) for addr in addrs[: limits.ADDRS_PER_PEER_MAX])
        self._feed.discovered(PeerId(peer.to_base58()), own, "identify")
        self._spawn(self._dht.learn_peer, peer)

    async def _discover_locally(self) -> None:
        # Here, because zeroconf takes 60 ms to import and most nodes do without.
        from skyops_p2p.adapters.libp2p.discovery import LocalDiscovery

        def found(peer: PeerAddrs) -> None:
            self._feed.discovered(peer.peer, peer.addrs, "mdns")

        addrs = self.listen_addrs()
        is_local = all(addr.startswith(("/ip4/127.", "/ip6/::1/")) for addr in addrs)
        interfaces = ["127.0.0.1"] if is_local else None
        await LocalDiscovery(self._network, self._peer_id, addrs, found, interfaces=interfaces).run()

    def _spawn(self, task: Callable[..., Awaitable[None]], *args: Any) -> None:
        if self._nursery is not None and not self._nursery.cancel_scope.cancel_called:
            self._nursery.start_soon(task, *args)

    async def _tidy(self) -> None:
        for stream in self._lingering.take_overdue():
            self._spawn(reset_stream, stream)
        missing = self._peers_target - len(self.connected_peers())
        for found in self._dht.take_new_peers(max(0, missing)):
            self._feed.discovered(found.peer, found.addrs, "dht")


def _checked_psk(psk_hex: str | None) -> str | None:
    digits = "" if psk_hex is None else psk_hex.lower()
    if psk_hex is not None and (len(digits) != limits.PSK_HEX_CHARS or set(digits) - set("0123456789abcdef")):
        raise ConfigError(
            f"the private network's key is not {limits.PSK_HEX_CHARS} hex digits",
            hint="Write 32 random bytes as hex into the file that network.psk_file names.",
        )
    return digits or None


def _parse_listen(text: str) -> RawMultiaddr:
    try:
        addr = RawMultiaddr(text)
        names = [part.name for part in addr.protocols()]
    except Exception as error:
        raise NetworkError(f"{text!r} is not an address", code="listen_failed") from error
    if names not in (["ip4", "tcp"], ["ip6", "tcp"]):
        raise NetworkError(
            f"cannot listen on {text}: only /ip4|ip6/…/tcp/… is supported", code="listen_failed"
        )
    return addr
