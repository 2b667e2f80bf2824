"""Everything of a node that is about running jobs: its content, the runs of a worker, the jobs of a requester."""

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from skyops_p2p import limits
from skyops_p2p.config import NodeConfig
from skyops_p2p.core.binding import OwnBinding
from skyops_p2p.core.execution.gangs import Member
from skyops_p2p.core.node_core import NodeCore
from skyops_p2p.core.rules import GANG_PROTOCOL, LEASE_PROTOCOL, SETTLE_PROTOCOL
from skyops_p2p.crypto.node_key import peer_id_from_bytes, peer_id_to_bytes
from skyops_p2p.errors import NetworkError, SkyopsError
from skyops_p2p.node.content.ipfs import IpfsExchange
from skyops_p2p.node.content.links import Holder
from skyops_p2p.node.content.publishing import publish_tree
from skyops_p2p.node.content.shelf import ContentShelf, ShelfSettings
from skyops_p2p.node.content.ways import Ways
from skyops_p2p.node.draws import DrawPool
from skyops_p2p.node.evidence.accuser import Accuser
from skyops_p2p.node.evidence.desk import EvidenceDesk
from skyops_p2p.node.execution.gang_exchange import GangExchange
from skyops_p2p.node.execution.run_journal import RunJournal
from skyops_p2p.node.execution.service import ExecutionService
from skyops_p2p.node.execution.tools import RunTools
from skyops_p2p.node.factory import split_peer_addr
from skyops_p2p.node.host import Host
from skyops_p2p.node.identity import Identity
from skyops_p2p.node.job_ports import JobPorts
from skyops_p2p.node.jobs.inputs import INPUT_BYTES_MAX
from skyops_p2p.node.jobs.keeper import PASSAGE, JobKeeper
from skyops_p2p.node.jobs.records import JobRecords
from skyops_p2p.node.jobs.resolvers import IpfsContent
from skyops_p2p.node.jobs.tools import JobTools
from skyops_p2p.node.jobs.verdicts import VerdictFiles
from skyops_p2p.node.market import Market
from skyops_p2p.node.misbehaving import Conduct
from skyops_p2p.node.ports_bundle import NodePorts, OpenMoney
from skyops_p2p.node.probes.desk import ProbeDesk, ProbeTools, count_days
from skyops_p2p.node.reputation.book import ReputationBook, work_out
from skyops_p2p.node.session import LiveSession
from skyops_p2p.node.session_hub import SessionHub
from skyops_p2p.node.settlement.desk import PaymentDesk
from skyops_p2p.node.settlement.journal import PayJournal
from skyops_p2p.node.settlement.ledger import Ledger
from skyops_p2p.node.settlement.office import PaymentOffice
from skyops_p2p.node.settlement.tools import PayRules, PayTools
from skyops_p2p.node.spot_checks import SpotChecks
from skyops_p2p.node.witnesses import Witnesses
from skyops_p2p.ports import Money, Network, PeerAddrs, Sandbox, Store, Workspace
from skyops_p2p.ports.content import BlockStore
from skyops_p2p.types import Multiaddr, PeerId
from skyops_p2p.wire.envelope import seal
from skyops_p2p.wire.messages.content import BundleRef
from skyops_p2p.wire.messages.execution import HolderPart

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class NodeParts:
    """The parts of a node that running jobs builds on."""

    core: NodeCore
    """Its map."""
    network: Network
    store: Store
    """Its journal."""
    identity: Identity
    """Its node key signs receipts and seals keys; its wallet signs vouchers."""
    hub: SessionHub
    market: Market
    """Finds workers, and turns awards into leases."""
    host: Host
    """Dials, and tells whoever watches."""
    open_money: OpenMoney | None = None
    """Opens the contracts; None: nothing is paid."""


class Workshop:
    """Runs jobs, for others and for this node's owner.

    Args:
        config: The node's settings.
        parts: Of the node.
        ports: Clock and entropy.
        jobs: Where jobs run and where their data is.
    """

    def __init__(self, config: NodeConfig, parts: NodeParts, *, ports: NodePorts, jobs: JobPorts) -> None:
        self._config = config
        self._conduct = Conduct(config.worker.misbehaves)
        self._parts = parts
        self._core, self._host = parts.core, parts.host
        self._ports = ports
        self._job_ports = jobs
        self._witnesses = Witnesses(parts.core, parts.network)
        self.execution: ExecutionService | None = None
        """The runs of a worker; None where nothing is offered."""
        self.gangs = GangExchange(parts.core.peer_id, self._open_gang_session, ports.entropy)
        self._verdicts = VerdictFiles(jobs.folder)
        self.payments = self._payment_office()
        """What is paid, and what it is paid for; None: nothing."""
        parts.hub.offers_work = parts.core.nodes.offers_work
        if self.payments is not None:
            office = self.payments
            parts.market.bidding.is_payable = lambda: office.desk is not None
            parts.market.stakes.open_book(office.stake_of)
        self.keeper: JobKeeper
        self.shelf: ContentShelf

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve content, runs and jobs for the length of the block.

        Raises:
            StoreError: The block store cannot be opened.
            NetworkError: `port_taken`: the data channels' port.
        """
        ports = self._job_ports
        await trio.to_thread.run_sync(lambda: ports.folder.mkdir(mode=0o700, parents=True, exist_ok=True))
        async with ports.open_blocks() as blocks, ports.open_sandboxes() as sandboxes:
            self._build(blocks, sandboxes, await ports.open_workspace())
            async with trio.open_nursery() as nursery:
                await nursery.start(self.shelf.run)
                if self.payments is not None:
                    await nursery.start(self.payments.run)
                if self.execution is not None:
                    await nursery.start(self.gangs.run)
                    self._parts.hub.serve(GANG_PROTOCOL, self.gangs.adopt)
                    await nursery.start(self.execution.run)
                    self._parts.hub.serve(LEASE_PROTOCOL, self.execution.adopt)
                nursery.start_soon(self._verdicts.pass_on, limits.REPUTATION_CHECKS_WAITING_MAX)
                await nursery.start(self.keeper.run)
                try:
                    yield
                finally:
                    await self._leave()
                    nursery.cancel_scope.cancel()

    async def _leave(self) -> None:
        """Give running programs time to save what they can; what is not over then goes on elsewhere."""
        if self.execution is None or not self.execution.runs:
            return
        grace_s = self._config.worker.leave_grace_s
        with trio.CancelScope(shield=True, deadline=trio.current_time() + grace_s + limits.LEASE_BEAT_S):
            await self.execution.leave(grace_s=grace_s)

    def _build(self, blocks: BlockStore, sandboxes: Mapping[str, Sandbox], workspace: Workspace) -> None:
        ports = self._ports
        ways = Ways(
            self._parts.network,
            self._core.rules,
            entropy=ports.entropy,
            reach=self._reach,
            addrs_of=self._addrs_of,
            channel_port=self._job_ports.channel_port,
        )
        content = self._config.content
        settings = ShelfSettings(
            replica_bytes=content.replica_mib << 20, serve_bytes_per_s=content.serve_rate_mib << 20
        )
        self.shelf = ContentShelf(blocks, ways, wall_clock=ports.wall_clock, settings=settings)
        if self._config.worker.enabled:
            tools = self._run_tools(sandboxes, workspace)
            self.execution = ExecutionService(tools, self._parts.market.bidding)
        self.keeper = JobKeeper(self._job_tools(blocks, workspace))

    def _payment_office(self) -> PaymentOffice | None:
        parts, open_money = self._parts, self._parts.open_money
        if open_money is None:
            return None
        return PaymentOffice(
            lambda: open_money(parts.store),
            self._payment_desk,
            opened=self._serve_payments,
            changed=lambda text: self._host.tell("payment", self._core.peer_id, text),
        )

    def _payment_desk(self, money: Money) -> PaymentDesk:
        parts, payment = self._parts, self._config.payment
        tools = PayTools(
            network=self._core.rules.network,
            wallet=parts.identity.wallet,
            money=money,
            ledger=Ledger(PayJournal(parts.store), self._ports.wall_clock, self._conduct.chain()),
            rules=PayRules.of(payment),
            open_session=self._open_session,
            asking=trio.CapacityLimiter(limits.FUNDS_ASKED_MAX),
            tell=self._host.tell,
            meter_pace=self._conduct.meter_pace,
        )
        evidence = self._evidence_desk(money)
        return PaymentDesk(
            tools,
            parts.store,
            is_worker=self._config.worker.enabled,
            evidence=evidence,
            probes=self._probe_desk(money, evidence.book),
        )

    def _probe_desk(self, money: Money, book: ReputationBook) -> ProbeDesk:
        parts, ports = self._parts, self._ports
        tools = ProbeTools(
            parts.core,
            parts.network,
            parts.store,
            parts.identity,
            self._host,
            ports.entropy,
            count=lambda *of: ports.compute(count_days, *of),
        )
        desk = ProbeDesk(tools, money=money, book=book, is_witness=self._config.payment.witness)
        book.conduct = desk
        return desk

    def _evidence_desk(self, money: Money) -> EvidenceDesk:
        parts, ports = self._parts, self._ports
        accuser = Accuser(
            money, ports.entropy, lambda text: self._host.tell("payment", self._core.peer_id, text)
        )
        book = ReputationBook(
            money,
            wall_clock=ports.wall_clock,
            work_out=lambda *of: ports.compute(work_out, *of),
            members=parts.market.standing.members,
            told=self._score_peers,
        )
        return EvidenceDesk(
            parts.core,
            parts.network,
            parts.store,
            money=money,
            host=self._host,
            entropy=ports.entropy,
            book=book,
            accuser=accuser if self._config.payment.show_double_histories else None,
        )

    def _score_peers(self) -> None:
        """Have gossip treat peers as their scores say. Rules: REP-28."""
        for peer, score in self._parts.market.standing.gossip_scores().items():
            self._parts.network.set_peer_score(peer, score)

    def _serve_payments(self, desk: PaymentDesk) -> None:
        if desk.evidence is not None:
            standing = self._parts.market.standing
            standing.open_book(desk.evidence.book, desk.open_value)
            desk.trust = standing.trust
            self._verdicts.made = desk.evidence.verdicts.keep_own
            least = self._config.worker.requester_reputation_min * 1000
            self._parts.market.bidding.is_refused = lambda peer: standing.refuses(peer, least)
        if self._config.worker.enabled:
            self._parts.hub.serve(SETTLE_PROTOCOL, desk.adopt)

    def _run_tools(self, sandboxes: Mapping[str, Sandbox], workspace: Workspace) -> RunTools:
        return RunTools(
            network=self._core.rules.network,
            node_key=self._parts.identity.node_key,
            wall_clock=self._ports.wall_clock,
            entropy=self._ports.entropy,
            shelf=self.shelf,
            sandboxes=sandboxes,
            workspace=workspace,
            journal=RunJournal(self._parts.store),
            gpu_meter=self._job_ports.gpu_meter,
            spread=self._spread,
            gangs=self.gangs,
            payments=self.payments,
            conduct=self._conduct,
        )

    def _job_tools(self, blocks: BlockStore, workspace: Workspace) -> JobTools:
        ipfs = IpfsContent(
            self._job_ports.folder / PASSAGE, IpfsExchange(self._parts.network, blocks), self._ipfs_peers
        )

        identity, clock = self._parts.identity, self._ports.wall_clock
        binding = OwnBinding(identity.node_key, identity.wallet, self._core.rules)

        async def publish(folder: Path, owner: str) -> str:
            return str(await publish_tree(blocks, folder, owner=owner, bytes_max=INPUT_BYTES_MAX))

        return JobTools(
            network=self._core.rules.network,
            own=self._core.peer_id,
            wall_clock=clock,
            entropy=self._ports.entropy,
            shelf=self.shelf,
            records=JobRecords(self._parts.store, identity.node_key, self._ports.entropy),
            folder=self._job_ports.folder,
            find_worker=self._parts.market.match,
            release_award=self._parts.market.release_award,
            open_session=self._open_session,
            ask_witnesses=self._witnesses.reach,
            choose_keepers=self._witnesses.keepers,
            likely_keepers=self._witnesses.likely_keepers,
            own_holder=lambda: self._holder_of(self._core.peer_id),
            holder_of=self._holder_of,
            resolvers={"ipfs": ipfs.resolve, "cid": ipfs.resolve},
            verdicts=self._verdicts,
            draws=DrawPool(self._core, self._parts.market.standing),
            own_binding=lambda: binding(clock.now_ms()),
            sign=lambda message: seal(message, identity.node_key, self._core.rules.network),
            spot_checks=SpotChecks(self._parts.market.standing),
            publish=publish,
            tell=self._host.tell,
            workspace=workspace,
            open_own_runtime=self._job_ports.open_own_runtime,
            payments=self.payments,
        )

    # --- what jobs ask of the node --------------------------------------------------------------------------------
    async def _reach(self, peer: PeerId) -> None:
        await self._host.connect(peer, timeout_s=limits.DIAL_TIMEOUT_S)

    def _addrs_of(self, peer: PeerId) -> tuple[Multiaddr, ...]:
        link = self._core.book.link(peer)
        return link.addrs if link else ()

    async def _open_session(self, peer: PeerId, protocol: str) -> LiveSession:
        await self._host.connect(peer, timeout_s=limits.DIAL_TIMEOUT_S)
        return await self._parts.hub.initiate(peer, protocol=protocol)

    def _ipfs_peers(self) -> list[Holder]:
        """Return whom to ask for IPFS content: the nodes of the settings, then all connected peers."""
        named = [split_peer_addr(Multiaddr(addr)) for addr in self._config.content.ipfs_peers]
        return [
            *(Holder(peer, addrs) for peer, addrs in named),
            *(Holder(peer) for peer in sorted(self._parts.network.connected_peers())),
        ][: limits.CONTENT_HOLDERS_MAX]

    async def _open_gang_session(self, member: Member) -> LiveSession:
        """Open a session with a member's node: where it is known to be, else where the requester says."""
        try:
            await self._host.connect(member.peer, timeout_s=limits.DIAL_TIMEOUT_S)
        except NetworkError:
            if not member.addrs:
                raise
            target = PeerAddrs(member.peer, member.addrs)
            await self._parts.network.dial(target, timeout_s=limits.DIAL_TIMEOUT_S)
        return await self._parts.hub.initiate(member.peer, protocol=GANG_PROTOCOL)

    def _holder_of(self, peer: PeerId) -> HolderPart:
        entry = self._core.nodes.get(peer)
        addrs = entry.record.addrs if entry and entry.record else ()
        return HolderPart(peer=peer_id_to_bytes(peer), addrs=addrs[: limits.ADDRS_PER_PEER_MAX])

    async def _spread(
        self, bundle: BundleRef, label: str, keepers: tuple[HolderPart, ...], note: bytes
    ) -> int:
        """Have copies kept; return how many keepers took one."""
        taken: list[PeerId] = []

        async def offer(peer: PeerId) -> None:
            try:
                await self.shelf.offer_replica(bundle, label, peer, note=note)
            except SkyopsError as error:
                log.info("copy_not_taken peer=%s code=%s", peer[-8:], error.code)
            else:
                taken.append(peer)

        async with trio.open_nursery() as nursery:
            for keeper in keepers:
                nursery.start_soon(offer, PeerId(peer_id_from_bytes(keeper.peer)))
        return len(taken)
