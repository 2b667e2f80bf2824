"""Perform the core's effects through the ports, and report what came of them as events.

Effects that must keep their order (a promise is persisted before it is sent) go through one bounded lane, batch by
batch; the others run side by side, at most EFFECTS_IN_FLIGHT_MAX of them. Each has a deadline. A failure that the
core can learn from becomes an event, any other is logged and counted; none ends the node.
"""

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

import trio

from skyops_p2p import limits
from skyops_p2p.core import node_events as ev
from skyops_p2p.core.machine import Effect, Event
from skyops_p2p.core.node_core import NodeCore
from skyops_p2p.core.peering import Dial, Disconnect
from skyops_p2p.core.records import check_record, owner_of
from skyops_p2p.errors import NetworkError, RemoteProtocolError, SkyopsError, StoreError
from skyops_p2p.node.ports_bundle import NodePorts
from skyops_p2p.node.questions import Questions
from skyops_p2p.ports import Network, PeerAddrs, Store, StoredNode
from skyops_p2p.types import Multiaddr, PeerId

log = logging.getLogger(__name__)

SEQUENCE_NAME = "peering/sequence"
"""Name of the stored value that holds the reserved sequence number, 8 bytes big-endian."""

Post = Callable[[Event], None]
_ORDERED = (ev.RememberSequence, ev.Publish, ev.RememberNodes, ev.ForgetNodes)


class Performer:
    """Performs effects.

    Args:
        core: Read for digests, links and records; never changed here.
        network: The network port.
        store: The store port.
        ports: Clock, entropy and stake.
        post: Queues an event for the core.
    """

    def __init__(
        self, core: NodeCore, network: Network, store: Store, *, ports: NodePorts, post: Post
    ) -> None:
        self._core = core
        self._network = network
        self._store = store
        self._ports = ports
        self._post = post
        self._questions = Questions(network, core.rules)
        self._limiter = trio.CapacityLimiter(limits.EFFECTS_IN_FLIGHT_MAX)
        self._syncing: set[PeerId] = set()
        self.failures: Counter[str] = Counter()
        """Effects that failed, by error code."""
        self.store_trouble = ""
        """What is wrong with the store, in words; empty if it works."""
        sender, receiver = trio.open_memory_channel[Sequence[Effect]](limits.ORDERED_EFFECTS_MAX)
        self._lane_in, self._lane_out = sender, receiver
        self._actions: dict[type[Effect], Callable[..., Awaitable[None]]] = {
            Dial: self._dial,
            Disconnect: self._disconnect,
            ev.PutOwnRecord: self._put_own_record,
            ev.ProvideKeys: self._provide_keys,
            ev.PingPeer: self._ping_peer,
            ev.AskWitness: self._ask_witness,
            ev.FetchRecord: self._fetch_record,
            ev.SyncMap: self._sync_map,
            ev.AskPeers: self._ask_peers,
            ev.FindPeers: self._find_peers,
            ev.CheckStakeOfPeer: self._check_stake,
        }

    def submit(self, effects: Sequence[Effect], nursery: trio.Nursery) -> None:
        """Start all effects of one event; the ordered ones as one batch behind earlier batches."""
        ordered = [effect for effect in effects if isinstance(effect, _ORDERED)]
        if ordered:
            try:
                self._lane_in.send_nowait(ordered)
            except trio.WouldBlock:
                self.failures["lane_full"] += 1
                log.warning("ordered_effects_dropped count=%d", len(ordered))
        for effect in effects:
            action = self._actions.get(type(effect))
            if action is not None:
                nursery.start_soon(self._run, action, effect)

    async def run_lane(self) -> None:
        """Perform ordered effects until cancelled."""
        async for batch in self._lane_out:
            await self.perform_ordered(batch)

    async def perform_ordered(self, batch: Sequence[Effect]) -> None:
        """Perform one batch in order. A failure keeps nothing else back: each waits for what it needs by itself."""
        for effect in batch:
            try:
                await self._perform_in_order(effect)
            except StoreError as error:
                self.failures[error.code] += 1
                self.store_trouble = f"{error.message} ({error.code}). {error.hint}"
                log.warning("store_failed effect=%s code=%s", type(effect).__name__, error.code)
                if isinstance(effect, ev.RememberSequence):
                    self._post(ev.SequenceNotRemembered())
            except SkyopsError as error:
                self.failures[error.code] += 1
                log.info("effect_failed effect=%s code=%s", type(effect).__name__, error.code)

    async def reach(self, peer: PeerId) -> float:
        """Ping a peer, dialling it if need be; return the round trip in seconds.

        Raises:
            NetworkError: It cannot be dialled or does not answer in time.
            RemoteProtocolError: It answers nonsense.
        """
        timeout_s = self._core.settings.times.probe_timeout_s
        await self.connect(peer, timeout_s=timeout_s)
        nonce = self._ports.entropy.token(16)
        return await self._questions.ping(peer, nonce, timeout_s=timeout_s)

    async def connect(self, peer: PeerId, *, timeout_s: float) -> None:
        """Dial a peer unless it is connected; its address comes from the book, the map, or the DHT, in this order.

        Raises:
            NetworkError: `unknown_address`, or what dialling raises.
        """
        if peer in self._network.connected_peers():
            return
        addrs = self._known_addrs(peer) or await self._look_up(peer)
        if not addrs:
            raise NetworkError(
                f"nobody knows an address of {peer}",
                code="unknown_address",
                hint="Connect to it by its full address: `skyops join /ip4/…/tcp/…/p2p/…`.",
            )
        await self._network.dial(PeerAddrs(peer, addrs), timeout_s=timeout_s)

    def _known_addrs(self, peer: PeerId) -> tuple[Multiaddr, ...]:
        """Return where a peer can be dialled: the book forgets sooner than the map, which is larger."""
        link, entry = self._core.book.link(peer), self._core.nodes.get(peer)
        if link is not None and link.addrs:
            return link.addrs
        record = entry.record if entry is not None and entry.is_record_live else None
        return tuple(Multiaddr(addr) for addr in record.addrs) if record is not None else ()

    async def search(self, key: str) -> int:
        """Find providers of a capability key in the DHT and put their records on the map; return how many."""
        found = await self._network.find_providers(
            key, count_max=limits.PEER_EXCHANGE_ADDRS_MAX, timeout_s=limits.DHT_TIMEOUT_S
        )
        news = [target for target in found if self._core.nodes.get(target.peer) is None]
        for target in news:
            self._post(ev.PeerHeardOf(target.peer, target.addrs))
            await self._look_up(target.peer)
        return len(news)

    async def _look_up(self, peer: PeerId) -> tuple[Multiaddr, ...]:
        """Fetch a node's record from the DHT and hand it to the core; return the addresses in it."""
        key = self._core.rules.record_key(peer)
        data = await self._network.get_record(key, timeout_s=limits.DHT_TIMEOUT_S)
        if data is None:
            return ()
        now = self._ports.wall_clock.now_ms()
        verified = check_record(data, self._core.rules, now=now)
        if verified.peer != peer:
            raise RemoteProtocolError(
                "the DHT gave another's record", code="wrong_key", rule="PER-4", peer=peer
            )
        self._post(ev.RecordsArrived(None, (data,), (), now))
        return tuple(Multiaddr(addr) for addr in verified.record.addrs)

    async def _run(self, action: Callable[..., Awaitable[None]], effect: Effect) -> None:
        async with self._limiter:
            try:
                await action(effect)
            except SkyopsError as error:
                self.failures[error.code] += 1
                log.debug("effect_failed effect=%s code=%s: %s", type(effect).__name__, error.code, error)

    # --- in order ---------------------------------------------------------------------------------------------
    async def _perform_in_order(self, effect: Effect) -> None:
        match effect:
            case ev.RememberSequence(number):
                await self._store.set_value(SEQUENCE_NAME, number.to_bytes(8, "big"))
                self.store_trouble = ""
                self._post(ev.SequenceRemembered(number))
            case ev.Publish(payload):
                await self._network.publish(self._core.rules.presence_topic, payload)
            case ev.RememberNodes(peers):
                await self._store.put_nodes(self._stored_nodes(peers))
                self.store_trouble = ""
            case ev.ForgetNodes(peers):
                await self._store.forget_nodes(peers)

    def _stored_nodes(self, peers: Sequence[PeerId]) -> list[StoredNode]:
        now = self._ports.wall_clock.now_ms()
        stored = []
        for peer in peers:
            entry, link = self._core.nodes.get(peer), self._core.book.link(peer)
            if entry is not None and entry.kept is not None:
                addrs = link.addrs if link else ()
                stored.append(StoredNode(peer, entry.kept, addrs, entry.presence.state.value, now))
        return stored

    # --- side by side -----------------------------------------------------------------------------------------
    async def _dial(self, effect: Dial) -> None:
        try:
            await self._network.dial(PeerAddrs(effect.peer, effect.addrs), timeout_s=limits.DIAL_TIMEOUT_S)
        except SkyopsError as error:
            self._post(ev.DialEnded(effect.peer, error.message))

    async def _disconnect(self, effect: Disconnect) -> None:
        await self._network.disconnect(effect.peer)

    async def _ping_peer(self, effect: ev.PingPeer) -> None:
        try:
            round_trip_s = await self.reach(effect.peer)
        except SkyopsError as error:
            log.debug("probe_unanswered peer=%s code=%s", effect.peer, error.code)
            self._post(ev.PingEnded(effect.peer, None))
        else:
            self._post(ev.PingEnded(effect.peer, round_trip_s))

    async def _ask_witness(self, effect: ev.AskWitness) -> None:
        timeout_s = 1.4 * self._core.settings.times.probe_timeout_s
        is_alive = await self._questions.probe(effect.witness, effect.target, timeout_s=timeout_s)
        self._post(ev.WitnessReplied(effect.target, is_alive))

    async def _fetch_record(self, effect: ev.FetchRecord) -> None:
        reply = await self._questions.record(effect.source, effect.target)
        self._records_from(
            effect.source,
            records=(reply.record,) if reply.record else (),
            beats=(reply.presence,) if reply.presence else (),
        )

    async def _sync_map(self, effect: ev.SyncMap) -> None:
        """Ask until the neighbour says that it was all; one synchronisation with a neighbour at a time."""
        if effect.peer in self._syncing:
            return
        self._syncing.add(effect.peer)
        try:
            digests = self._core.nodes.digests()
            after = b""
            for _ in range(limits.SYNC_ROUNDS_MAX):
                reply = await self._questions.map_difference(effect.peer, digests, after)
                self._records_from(effect.peer, records=reply.records, beats=reply.beats)
                if reply.is_complete or not reply.records:
                    return
                last = owner_of(reply.records[-1], self._core.rules)
                if last <= after:  # PER-16: a neighbour that does not advance would go on for ever
                    return
                after = last
        finally:
            self._syncing.discard(effect.peer)

    async def _ask_peers(self, effect: ev.AskPeers) -> None:
        for target in await self._questions.peers(effect.peer):
            self._post(ev.PeerHeardOf(target.peer, target.addrs))

    async def _find_peers(self, effect: ev.FindPeers) -> None:
        found = await self._network.find_providers(
            effect.key, count_max=limits.PEER_EXCHANGE_ADDRS_MAX, timeout_s=limits.DHT_TIMEOUT_S
        )
        for target in found:
            self._post(ev.PeerHeardOf(target.peer, target.addrs))

    async def _put_own_record(self, effect: ev.PutOwnRecord) -> None:
        await self._network.put_record(effect.key, effect.value, timeout_s=limits.DHT_TIMEOUT_S)

    async def _provide_keys(self, effect: ev.ProvideKeys) -> None:
        for number, key in enumerate(effect.keys[: limits.PROVIDE_KEYS_MAX]):
            await trio.sleep(limits.DHT_KEY_PAUSE_S if number else 0)
            await self._network.provide(key, timeout_s=limits.DHT_TIMEOUT_S)

    async def _check_stake(self, effect: ev.CheckStakeOfPeer) -> None:
        is_sufficient = True  # PER-21: who only buys needs none
        if self._core.nodes.offers_work(effect.peer):
            is_sufficient = await self._ports.stake.is_sufficient(effect.wallet)
        self._post(ev.StakeOfPeerChecked(effect.peer, is_sufficient))

    def _records_from(self, source: PeerId, *, records: tuple[bytes, ...], beats: tuple[bytes, ...]) -> None:
        if records or beats:
            now = self._ports.wall_clock.now_ms()
            self._post(ev.RecordsArrived(source, records, beats, now))
