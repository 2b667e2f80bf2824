"""A node's two sides of the market: it looks for workers, and as a worker it answers tenders.

One request protocol (`auction`) serves both; tenders are heard on the topics of their resource classes.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

import trio

from skyops_p2p import limits
from skyops_p2p.config import NodeConfig
from skyops_p2p.core.auction.codes import OFFENCE_PROVEN, explain
from skyops_p2p.core.auction.events import AuctionBegun, Bidder, Outcome, ReportProgress
from skyops_p2p.core.auction.tenders import check_tender
from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.core.jobs.terms import tender_terms
from skyops_p2p.core.node_core import NodeCore
from skyops_p2p.core.rate import PeerRates
from skyops_p2p.core.rules import AUCTION_PROTOCOL
from skyops_p2p.core.settlement.amounts import parse_amount
from skyops_p2p.crypto.node_key import NodeKey
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.node.attestations import Attestations
from skyops_p2p.node.auction_journal import AuctionJournal
from skyops_p2p.node.auctions import AuctionHouse
from skyops_p2p.node.bidding import BiddingShell
from skyops_p2p.node.calling import Caller
from skyops_p2p.node.candidates import screen_map
from skyops_p2p.node.host import Host
from skyops_p2p.node.job_preview import PreviewView, preview_job
from skyops_p2p.node.match_view import MatchStepView, MatchView, match_view, step_view
from skyops_p2p.node.ports_bundle import NodePorts
from skyops_p2p.node.pricing import load_pricing
from skyops_p2p.node.proof_asker import ProofAsker
from skyops_p2p.node.proof_service import ProofService
from skyops_p2p.node.proven_journal import ProvenJournal
from skyops_p2p.node.reputation.admission import Admission, admit
from skyops_p2p.node.reputation.standing import ReputedStanding
from skyops_p2p.node.stake_gate import StakeGate
from skyops_p2p.node.standing import MeasuredStanding
from skyops_p2p.node.worker_terms import worker_terms
from skyops_p2p.ports import Network, Store, Verdict
from skyops_p2p.types import MicroCredits, MonotonicS, PeerId
from skyops_p2p.wire.envelope import envelope_kind
from skyops_p2p.wire.messages.auction import BookRequest, Commit, Tender
from skyops_p2p.wire.messages.proof import AttestationRequest, OpeningRequest, ProofChallenge
from skyops_p2p.wire.model import decode_fields, decode_message, encode_message

log = logging.getLogger(__name__)

RESOURCE_CLASSES = ("gpu", "cpu")
_BLAMELESS = frozenset({"expired", "not_yet_valid"})


class Market:
    """Both sides of the market of one node.

    Args:
        config: The node's settings; only a worker answers tenders.
        core: Read for the map.
        network: To ask and to answer through.
        store: Where leases and proofs are kept.
        ports: Clock, entropy and standing.
        node_key: Signs tenders and bids.
        host: Takes news of the load, tells the feed, and dials.

    Raises:
        ConfigError: `amount_invalid`: payment.worker_stake_min.
    """

    def __init__(
        self,
        config: NodeConfig,
        core: NodeCore,
        network: Network,
        store: Store,
        *,
        ports: NodePorts,
        node_key: NodeKey,
        host: Host,
    ) -> None:
        self._config = config
        self._core = core
        self._network = network
        self._rates = PeerRates(
            burst=limits.TENDER_GOSSIP_BURST,
            per_s=limits.TENDER_GOSSIP_PER_S,
            peers_max=limits.ADDRESS_BOOK_PEERS_MAX,
        )
        caller = Caller(network, host.connect, core.rules.protocol_id(AUCTION_PROTOCOL))
        self.proofs = ProofAsker(core, caller, ProvenJournal(store), ports=ports)
        """What workers have proven to compute, and how to have them prove it."""
        self.standing = ReputedStanding(ports.standing, core)
        """How workers stand: by this node's scores, once there are any."""
        ports = replace(ports, standing=MeasuredStanding(self.standing, self.proofs.throughput))
        self._ports = ports
        self.stakes = StakeGate(parse_amount(config.payment.worker_stake_min)[0])
        """What is asked of the stake of workers, and what is known of it."""
        self._journal = journal = AuctionJournal(store, core.rules, ports.wall_clock)
        self._house = AuctionHouse(
            core,
            network,
            journal,
            caller=caller,
            ports=ports,
            node_key=node_key,
            tell=host.tell,
            stakes=self.stakes,
        )
        self.bidding = BiddingShell(
            core,
            caller,
            journal,
            ports=ports,
            node_key=node_key,
            terms=worker_terms(config.worker, is_paid=ports.open_money is not None),
            pricing=load_pricing(
                config.worker.pricing, MicroCredits(config.worker.price_microcredits_per_hour)
            ),
            host=host,
        )
        """The worker's side; jobs take and end their leases there."""
        self._prover = ProofService(core, ports.prover, self.bidding.is_free, node_key=node_key)
        self.attestations = Attestations(
            core, caller, self.proofs, self.standing, ports=ports, node_key=node_key
        )
        host.hears({core.rules.tender_topic(kind): self._hear for kind in RESOURCE_CLASSES})
        self._heard_in, self._heard_out = trio.open_memory_channel[tuple[float, bytes]](
            limits.TENDERS_OPEN_MAX
        )

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve both sides until cancelled."""
        protocol = self._core.rules.protocol_id(AUCTION_PROTOCOL)
        await self._journal.restore_proofs()
        async with trio.open_nursery() as nursery:
            await nursery.start(self._house.run)
            await self.proofs.restore()
            if self._config.worker.enabled:
                await nursery.start(self.bidding.run)  # with what it promised before a restart
                nursery.start_soon(self._prover.run)
                if self._ports.prover is not None:
                    nursery.start_soon(self.attestations.seek)
            self._network.serve_requests(protocol, self._answer, bytes_max=limits.MESSAGE_BYTES_MAX)
            if self._config.worker.enabled:
                for kind in RESOURCE_CLASSES:
                    await self._network.subscribe(self._core.rules.tender_topic(kind), self._judge)
            task_status.started()
            async for heard_at, data in self._heard_out:
                await trio.sleep_until(heard_at + limits.TENDER_GOSSIP_GRACE_S)
                await self.bidding.hear_tender(data)

    async def preview(self, spec: JobSpec) -> PreviewView:
        """Tell which nodes of the map could run a job, why the others could not, and what it may cost."""
        own, nodes, stake_wei = self._core.peer_id, self._core.nodes, self.stakes.least_wei(spec)
        workers = [entry for entry in nodes if entry.record is not None and entry.record.is_worker]
        await self.stakes.look((entry.verified for entry in workers), stake_wei)
        held = {
            entry.peer: (code, self.stakes.detail(entry.verified, stake_wei))
            for entry in workers
            if (code := self.stakes.code(entry.verified, stake_wei))
        }
        held |= dict.fromkeys(self._journal.offenders, (OFFENCE_PROVEN, ""))
        return preview_job(spec, nodes, own=own, held=held)

    async def match(
        self,
        spec: JobSpec,
        progress: Callable[[MatchStepView], None],
        *,
        excluded: Sequence[PeerId] = (),
        job_id: bytes | None = None,
        only: Sequence[PeerId] = (),
        computing: Sequence[PeerId] = (),
    ) -> MatchView:
        """Look for a worker for a job; see Node.match.

        Args:
            spec: The job.
            progress: Called with each step.
            excluded: Not asked, and not taken if they offer: they failed at this job.
            job_id: 16 bytes under which tender and bid book are known; random if it is not given.
            only: If there are any, nobody else is asked or taken; they must be allowed by the job too.
            computing: Neither asked nor taken: they compute the same already.
        """
        job_id = job_id or self._ports.entropy.token(16)
        until = trio.current_time() + spec.timeouts.queue
        fitting, unfit = screen_map(
            spec,
            self._core.nodes,
            own=self._core.peer_id,
            standing=self._ports.standing,
            lot=job_id,
            excluded=excluded,
            computing=computing,
        )
        if only:
            fitting = tuple(bidder for bidder in fitting if bidder.peer in only)
        stake_wei = self.stakes.least_wei(spec)
        admission, left_out = await self._admitted(fitting, spec, job_id, stake_wei)
        bidders, unfit = admission.bidders, (*unfit, *left_out)
        if spec.award.policy == "poc":
            proof_s = min(limits.PROOF_ROOT_S + limits.PROOF_OPEN_S, spec.timeouts.queue / 2)
            bidders, unproven = await self._proven(bidders, proof_s, progress)
            unfit = (*unfit, *unproven)
        begun = AuctionBegun(
            terms=self._terms(spec, job_id, bidders, admission),
            bidders=bidders,
            secret=self._ports.entropy.token(32),
            unix_ms=self._ports.wall_clock.now_ms(),
            timeout_s=min(limits.MATCH_TIMEOUT_S, until - trio.current_time()),
            expects_gossip=len(fitting) > limits.TENDER_INVITES_MAX,
            screened=unfit,
            allow=frozenset(only or (PeerId(peer) for peer in spec.placement.allow)),
            deny=frozenset(PeerId(peer) for peer in spec.placement.deny).union(
                excluded, computing, self._journal.offenders, admission.refused
            ),
        )

        def report(step: ReportProgress) -> None:
            progress(step_view(step))

        return match_view(await self._house.match(begun, report, stake_wei=stake_wei), job_id)

    async def _admitted(
        self, fitting: Sequence[Bidder], spec: JobSpec, job_id: bytes, stake_wei: int
    ) -> tuple[Admission, tuple[Outcome, ...]]:
        """Return who may have the job by what is known of them, and why the others may not. Rules: AUC-40, AUC-46."""
        staked, unstaked = await self.stakes.split(fitting, stake_wei)
        proven = self._journal.offenders
        offenders = tuple(Outcome(bidder.peer, OFFENCE_PROVEN) for bidder in staked if bidder.peer in proven)
        trusted = [bidder for bidder in staked if bidder.peer not in proven]
        admission = admit(trusted, spec, job_id=job_id, standing=self.standing)
        return admission, (*unstaked, *offenders, *admission.unfit)

    def _terms(self, spec: JobSpec, job_id: bytes, bidders: Sequence[Bidder], admission: Admission) -> Tender:
        """Return what is tendered to those that may have the job."""
        own, rules = self._core.peer_id, self._core.rules
        records = [bidder.record.record for bidder in bidders if bidder.record is not None]
        terms = tender_terms(spec, rules, requester=own, job_id=job_id, known=records)
        changes: dict[str, object] = {"reputation_min": admission.gate}
        if admission.is_lane:  # REP-26
            changes |= {"policy": "wrr", "invite_share": 0}
        if spec.award.policy == "poc":  # whom gossip would bring has proven nothing here
            changes["invite_share"] = 0
        return terms.model_copy(update=changes)

    def release_award(self, award: bytes) -> None:
        """Give an award back that no lease was opened for: its worker is free at once, and not in a minute.

        Args:
            award: Digest of the award's envelope; nothing happens if it is none of the last that were won here.

        Rules: AUC-33.
        """
        self._house.release_award(award)

    def leave(self) -> None:
        """Make no new bids: the node is shutting down."""
        self.bidding.leave()

    async def _proven(
        self, bidders: Sequence[Bidder], timeout_s: float, progress: Callable[[MatchStepView], None]
    ) -> tuple[tuple[Bidder, ...], tuple[Outcome, ...]]:
        """Have those prove what they compute who did not lately; return who has, and why the others have not.

        Rules: AUC-39.
        """
        count = sum(not bidder.throughput for bidder in bidders)
        if count:
            progress(step_view(ReportProgress("proving", round=0, count=count)))
            until = trio.current_time() + timeout_s
            unproven = [bidder.peer for bidder in bidders if not bidder.throughput]
            await self.attestations.collect(unproven, timeout_s=min(limits.ATTESTATION_SHOW_S, timeout_s / 4))
            left_s = max(0.0, until - trio.current_time())
            await self.proofs.refresh([bidder.peer for bidder in bidders], timeout_s=left_s)
        proven, others = list[Bidder](), list[Outcome]()
        for bidder in bidders:
            throughput = self.proofs.throughput(bidder.peer)
            if throughput:
                proven.append(replace(bidder, throughput=throughput))
            else:
                others.append(Outcome(bidder.peer, "proof_stale", self.proofs.why_not(bidder.peer)))
        return tuple(proven), tuple(others)

    # --- inbound ----------------------------------------------------------------------------------------------
    async def _answer(self, peer: PeerId, data: bytes) -> bytes:
        """Route one request: to the requester's side, to the worker's, or to the shelf of bid books."""
        kind = envelope_kind(data)
        number = decode_fields(data)[0] if kind is None else None
        if kind == Commit.name:
            return await self._house.answer_commit(peer, data)
        if number == BookRequest.number:  # AUC-34
            return await self._book(decode_message(BookRequest, data))
        if number == AttestationRequest.number:  # AUC-43
            return await self.attestations.answer(peer, decode_message(AttestationRequest, data))
        if not self._config.worker.enabled:
            raise RemoteProtocolError("offers no compute", code="not_a_worker", rule="AUC-35", peer=peer)
        if kind == Tender.name:
            return await self.bidding.answer_tender(data)
        if number == ProofChallenge.number:  # AUC-36
            asked = decode_message(ProofChallenge, data)
            return encode_message(await self._prover.answer_challenge(peer, asked))
        if number == OpeningRequest.number:  # AUC-38
            request = decode_message(OpeningRequest, data)
            return encode_message(await self._prover.answer_opening(peer, request))
        return await self.bidding.answer_request(data)

    async def _book(self, request: BookRequest) -> bytes:
        """Show a bid book to whoever can name it. Rules: AUC-34."""
        data = await self._ports.books.find(request.book)
        if data is None:
            raise RemoteProtocolError("no such bid book", code="unknown_book", rule="AUC-34")
        if len(data) > limits.FRAME_BYTES_MAX - 1:
            raise RemoteProtocolError("the book does not fit a frame", code="oversized", rule="AUC-34")
        return data

    def _judge(self, _topic: str, author: PeerId, payload: bytes) -> Verdict:
        """Judge a gossiped tender before it is forwarded; quick, and it never raises."""
        if not self._rates.take(author, MonotonicS(trio.current_time())):
            return Verdict.IGNORE
        try:
            tender = check_tender(payload, self._core.rules, now=self._ports.wall_clock.now_ms())
        except RemoteProtocolError as error:
            return Verdict.IGNORE if error.code in _BLAMELESS else Verdict.REJECT
        return Verdict.ACCEPT if tender.signer == author else Verdict.REJECT

    def _hear(self, _author: PeerId, payload: bytes) -> None:
        """Queue a tender that came by gossip; when the queue is full others will answer it."""
        try:
            self._heard_in.send_nowait((trio.current_time(), payload))
        except trio.WouldBlock:
            log.info("tender_not_heard: %s", explain("busy").meaning)
