"""The Node: what an application or the `skyops` program holds.

    async with Node(config, identity) as node:
        for view in node.map():
            ...

All tasks of a node live inside its `async with` block and are gone when it ends; nothing is global, so two nodes in
one program are two nodes. An error of the block's body comes out as it is, not wrapped in a group.
"""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Self

import trio

from skyops_p2p import limits
from skyops_p2p._version import __version__
from skyops_p2p.config import NodeConfig
from skyops_p2p.core import node_events as ev
from skyops_p2p.core.binding import OwnBinding
from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.core.node_core import NodeCore
from skyops_p2p.core.node_filter import wanted_keys
from skyops_p2p.core.records import NodeRecordRules
from skyops_p2p.core.rules import NetworkRules
from skyops_p2p.errors import ExecutionError, NetworkError, SkyopsError
from skyops_p2p.node import present
from skyops_p2p.node.dispatcher import Dispatcher
from skyops_p2p.node.error_groups import only_leaf
from skyops_p2p.node.factory import core_settings, default_ports, reachable_addrs, split_peer_addr
from skyops_p2p.node.identity import Identity
from skyops_p2p.node.job_preview import PreviewView
from skyops_p2p.node.jobs.desk import Jobs
from skyops_p2p.node.jobs.job import Job
from skyops_p2p.node.lookup import find_peer, unknown_peer
from skyops_p2p.node.manifest import manifest_of
from skyops_p2p.node.market import Market
from skyops_p2p.node.match_view import MatchStepView, MatchView
from skyops_p2p.node.performer import SEQUENCE_NAME
from skyops_p2p.node.ports_bundle import NodePorts
from skyops_p2p.node.relays import RelayKeeper
from skyops_p2p.node.reputation.views import ReputationView
from skyops_p2p.node.session import LiveSession
from skyops_p2p.node.session_hub import SessionHub
from skyops_p2p.node.settlement.payments import Payments
from skyops_p2p.node.views import (
    MapQuery,
    NodeEventView,
    NodeView,
    PeerView,
    ProofView,
    SessionView,
    StatusView,
)
from skyops_p2p.node.workshop import NodeParts, Workshop
from skyops_p2p.ports import Network, PeerAddrs, Store
from skyops_p2p.types import MonotonicS, Multiaddr, PeerId, WalletAddress
from skyops_p2p.wire.messages.handshake import Manifest

log = logging.getLogger(__name__)

AGENT = f"skyops/{__version__}"
STOP_TIMEOUT_S = 5.0


class Node:
    """One node of one network.

    Args:
        config: Its settings.
        identity: Its keys.
        ports: What it runs on; the production ports if omitted.

    Raises:
        SkyopsError: On entering: `port_taken`, `store_locked`, `store_torn` and the other codes of the store, the
            network and the configuration.
    """

    def __init__(self, config: NodeConfig, identity: Identity, *, ports: NodePorts | None = None) -> None:
        self.config = config
        self.peer_id: PeerId = identity.node_key.peer_id
        self.wallet: WalletAddress = identity.wallet.address
        self._identity = identity
        self._ports = ports or default_ports(config, identity)
        self._stack = AsyncExitStack()
        self._started_at = 0.0
        self._started_unix_ms = 0
        self._is_entered = False

    # --- life -----------------------------------------------------------------------------------------------
    async def __aenter__(self) -> Self:
        if self._is_entered:
            raise SkyopsError("a Node is entered once", code="node_used", hint="Make another Node.")
        self._is_entered = True
        await self._stack.enter_async_context(self._running())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        try:
            return await self._stack.__aexit__(kind, error, trace)
        except BaseExceptionGroup as group:
            if error is not None and only_leaf(group) is error:
                return False  # the body's own error goes on, unwrapped
            raise

    @asynccontextmanager
    async def _running(self) -> AsyncIterator[None]:
        """Open the ports from the bottom up, run the node, and close them in the opposite order."""
        ports, rules = self._ports, self._rules
        self._started_at = trio.current_time()
        self._started_unix_ms = ports.wall_clock.now_ms()
        async with (
            ports.open_store() as store,
            ports.open_network(NodeRecordRules(rules, ports.wall_clock.now_ms)) as network,
        ):
            started = await self._build(store, network)
            async with trio.open_nursery() as nursery:
                await nursery.start(self._hub.run)
                await nursery.start(self._dispatcher.run, started)
                nursery.start_soon(self._relays.run)
                await nursery.start(self._market.run)
                await self._restore(store)
                try:
                    async with self._workshop.running() if self._workshop else nullcontext():
                        yield
                        self._market.leave()
                finally:
                    self._market.leave()
                    with trio.CancelScope(shield=True, deadline=trio.current_time() + STOP_TIMEOUT_S):
                        await self._dispatcher.say_goodbye()
                    nursery.cancel_scope.cancel()

    async def _build(self, store: Store, network: Network) -> ev.NodeStarted:
        ports, identity = self._ports, self._identity
        now = ports.wall_clock.now_ms()
        binding = OwnBinding(identity.node_key, identity.wallet, self._rules)
        settings = core_settings(self.config, agent=AGENT, needs_stake=ports.needs_stake)
        core = NodeCore(identity.node_key, binding, settings)
        self._network = network
        self._core = core
        relays = (split_peer_addr(Multiaddr(addr)) for addr in self.config.network.reach_through)
        self._relays = RelayKeeper(
            network, tuple(PeerAddrs(*relay) for relay in relays), changed=self._addrs_changed
        )
        self._dispatcher = Dispatcher(core, network, store, ports=ports)
        self._hub = SessionHub(
            network,
            identity.node_key,
            identity.wallet,
            self._rules,
            binding=binding,
            manifest=self._manifest,
            ports=ports,
            tell=self._dispatcher.tell,
        )
        self._market = Market(
            self.config,
            core,
            network,
            store,
            ports=ports,
            node_key=identity.node_key,
            host=self._dispatcher,
        )
        opening = ports.open_money
        parts = NodeParts(core, network, store, identity, self._hub, self._market, self._dispatcher, opening)
        jobs = ports.jobs
        self._workshop = Workshop(self.config, parts, ports=ports, jobs=jobs) if jobs is not None else None
        stored = await store.value(SEQUENCE_NAME)
        return ev.NodeStarted(self._announced(), int.from_bytes(stored or b"", "big"), now)

    async def _restore(self, store: Store) -> None:
        """Put the stored map back, so that a restarted node knows its network at once."""
        nodes = (await store.nodes())[: limits.MAP_RESTORE_MAX]
        for stored in nodes:
            self._dispatcher.post(ev.PeerHeardOf(stored.peer, stored.addrs))
        records = tuple(stored.record for stored in nodes)
        if records:
            self._dispatcher.post(ev.RecordsArrived(None, records, (), self._ports.wall_clock.now_ms()))

    @property
    def _rules(self) -> NetworkRules:
        return core_settings(self.config, agent=AGENT, needs_stake=False).rules

    def _announced(self) -> tuple[Multiaddr, ...]:
        addrs = [Multiaddr(addr) for addr in self.config.network.announce] or self._network.listen_addrs()
        return (*self._relays.addrs(), *reachable_addrs(addrs))

    def _addrs_changed(self) -> None:
        self._dispatcher.post(ev.AddrsChanged(self._announced()))

    def _manifest(self) -> Manifest:
        entry = self._core.nodes.get(self.peer_id)
        record, is_paid = entry.record if entry else None, self._ports.open_money is not None
        return manifest_of(self.config.worker, record, agent=AGENT, is_paid=is_paid)

    # --- what it shows ----------------------------------------------------------------------------------------
    def status(self) -> StatusView:
        """Return this node in one screen."""
        entry = self._core.nodes.get(self.peer_id)
        hardware = entry.record.hardware if entry and entry.record else None
        office = self._workshop.payments if self._workshop is not None else None
        troubles = (self._dispatcher.performer.store_trouble, *(office.warnings if office else ()))
        return StatusView(
            peer_id=self.peer_id,
            wallet=self.wallet,
            network=self.config.network.name,
            agent=AGENT,
            is_worker=self.config.worker.enabled,
            is_testnet=self.config.is_testnet,
            listen=tuple(f"{addr}/p2p/{self.peer_id}" for addr in self._announced()),
            connections=len(self._network.connected_peers()),
            map_counts=self._core.nodes.counts(),
            sessions=len(self._hub.sessions),
            uptime_s=trio.current_time() - self._started_at,
            gpus=present.gpu_views(hardware),
            hardware_source=hardware.source if hardware else "none",
            started_unix_ms=self._started_unix_ms,
            warnings=tuple(trouble for trouble in troubles if trouble),
        )

    def peers(self) -> tuple[PeerView, ...]:
        """Return all links, connected ones first."""
        return tuple(present.peer_view(link) for link in self._core.book.links())

    def map(self, query: MapQuery | None = None) -> tuple[NodeView, ...]:
        """Return the nodes of the map that match a query (all but slashed ones if omitted)."""
        return present.node_views(self._core, query or MapQuery.model_validate({}), _now())

    def node(self, peer_or_prefix: str) -> NodeView:
        """Return one node of the map, named by its whole peer id or a unique beginning or end of it.

        Raises:
            NetworkError: `unknown_peer` or `ambiguous_peer`.
        """
        if (entry := self._core.nodes.get(self.find_peer(peer_or_prefix))) is None:
            raise unknown_peer(peer_or_prefix)
        return present.node_view(self._core, entry, _now())

    async def preview(self, spec: JobSpec) -> PreviewView:
        """Tell which nodes of the map could run a job, why the others could not, and what it may cost."""
        return await self._market.preview(spec)

    def find_peer(self, text: str) -> PeerId:
        """Return the peer of the map that a whole id, a unique beginning or end of one, or "self" names.

        Raises:
            NetworkError: `unknown_peer` or `ambiguous_peer`.
        """
        return find_peer(self._core, text)

    def events(self) -> AbstractAsyncContextManager[trio.MemoryReceiveChannel[NodeEventView]]:
        """Follow what happens from now on; a watcher that lags far behind misses some events."""
        return self._dispatcher.feed.watch()

    def metrics(self) -> str:
        """Return the counters in Prometheus's text format."""
        from skyops_p2p.node.metrics import NodeCollector, render

        return render(NodeCollector(self._dispatcher, self._hub, self._network))

    @property
    def sessions(self) -> tuple[LiveSession, ...]:
        """The open sessions, ours and those that others opened."""
        return self._hub.sessions

    @property
    def jobs(self) -> Jobs:
        """The jobs that this node has submitted.

        Raises:
            ExecutionError: Code `no_jobs_here`: this node was made without a place for them.
        """
        if self._workshop is None:
            raise ExecutionError(
                "this node was made without a place for jobs", code="no_jobs_here", hint="Give its ports one."
            )
        return Jobs(self._workshop.keeper)

    @property
    def payments(self) -> Payments:
        """What this node pays and is paid.

        Raises:
            ConfigError: Code `payment_not_configured`.
        """
        return Payments(self._workshop.payments if self._workshop is not None else None)

    async def reputation(self, who: str = "") -> ReputationView:
        """Return what this node thinks of everybody, or of one account with reasons; see Payments.reputation."""
        return await self.payments.reputation(who)

    # --- what it does -----------------------------------------------------------------------------------------
    async def wait_for(self, predicate: "Callable[[Node], bool]", *, timeout_s: float) -> None:
        """Wait until a condition over this node holds; it is looked at after each event.

        Raises:
            NetworkError: Code `timeout`.
        """
        with trio.move_on_after(timeout_s):
            while not predicate(self):
                await self._dispatcher.wait_changed()
            return
        raise NetworkError(f"the condition did not hold within {timeout_s} s", code="timeout")

    async def ping(self, peer: PeerId) -> float:
        """Ping a node, dialling it if need be; return the round trip in seconds.

        Raises:
            NetworkError: It cannot be reached.
        """
        round_trip_s = await self._dispatcher.performer.reach(peer)
        self._dispatcher.post(ev.PingEnded(peer, round_trip_s))
        return round_trip_s

    async def open_session(self, peer: PeerId) -> LiveSession:
        """Shake hands with a node and return the encrypted session, dialling it if need be.

        Raises:
            NetworkError: It cannot be reached, or did not answer in time.
            RemoteProtocolError: One side refused the other; the code says why.
        """
        await self._connect(peer)
        return await self._hub.initiate(peer)

    async def handshake(self, peer: PeerId) -> SessionView:
        """Open a session and show it; see `open_session`."""
        return present.session_view(await self.open_session(peer), _now())

    async def search(self, query: MapQuery) -> int:
        """Look in the DHT for nodes that fit a query and put them on the map; return how many are new.

        Use it when the local map does not hold enough: the DHT knows nodes that gossip has not brought here yet.

        Raises:
            NetworkError: The DHT did not answer in time.
        """
        keys = wanted_keys(present.filter_of(query))[:2]
        return sum([await self._dispatcher.performer.search(key) for key in keys])

    async def match(
        self, spec: JobSpec, *, progress: Callable[[MatchStepView], None] = lambda _step: None
    ) -> MatchView:
        """Look for a worker for a job: tender, sealed bids, award by the rule that `skyops audit` re-runs.

        Args:
            spec: The job.
            progress: Called with each step while the match runs; must be quick.

        Returns:
            How it ended, with a reason for each node that was not chosen; a failed match is no exception.

        Raises:
            SkyopsError: Code `too_many_matches`.
        """
        return await self._market.match(spec, progress)

    async def prove(self, peer: PeerId, *, again: bool = False, memory_mib: int = 0) -> ProofView:
        """Have a worker prove what it computes; see ProofAsker.prove."""
        return await self._market.proofs.prove(peer, again=again, memory_mib=memory_mib)

    async def submit(self, spec: JobSpec, *, base_dir: Path | None = None) -> Job:
        """Submit a job: from here on it is found a worker, run, resumed where it breaks, and its result kept.

        Args:
            spec: The job.
            base_dir: Where relative `file:` URIs begin; the working directory if it is not given.

        Raises:
            SkyopsError: See Jobs.submit.
        """
        return await self.jobs.submit(spec, base_dir=base_dir)

    async def join(self, addr: Multiaddr) -> PeerId:
        """Dial a node by its address with /p2p/<peer id> and return its peer id.

        Raises:
            ConfigError: `bad_address`.
            NetworkError: It cannot be reached, or another peer answered (`wrong_peer`).
        """
        peer, addrs = split_peer_addr(addr)
        self._dispatcher.post(ev.PeerHeardOf(peer, addrs))
        await self._network.dial(PeerAddrs(peer, addrs), timeout_s=limits.DIAL_TIMEOUT_S)
        return peer

    async def _connect(self, peer: PeerId) -> None:
        if peer == self.peer_id:
            raise NetworkError("that is this node itself", code="own_peer", hint="Name another node.")
        await self._dispatcher.performer.connect(peer, timeout_s=limits.DIAL_TIMEOUT_S)


def _now() -> MonotonicS:
    return MonotonicS(trio.current_time())
