"""The payments of one node: its pairs, as requester and as worker, and who is paid or pays.

Bounds: PAIRS_MAX pairs. A pair is restored before anything of it is said; what a wallet has promised survives every
restart. Spec: protocol/07-settlement.md.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import trio

from skyops_p2p import limits
from skyops_p2p.core.execution.receipts import LeaseFacts
from skyops_p2p.core.reputation.deals import WEI_PER_MICRO
from skyops_p2p.core.settlement.amounts import wei_of_credits
from skyops_p2p.core.settlement.lanes import LaneTerms
from skyops_p2p.core.settlement.prices import HOUR_MS, holdback_bps
from skyops_p2p.core.settlement.trees import prove
from skyops_p2p.core.settlement.vouchers import PairTerms
from skyops_p2p.errors import ExecutionError, RemoteProtocolError
from skyops_p2p.node.evidence.desk import EvidenceDesk
from skyops_p2p.node.evidence.views import InclusionView
from skyops_p2p.node.lease_link import LeaseLink
from skyops_p2p.node.probes.desk import ProbeDesk
from skyops_p2p.node.session import LiveSession
from skyops_p2p.node.settlement.allotting import Allotter
from skyops_p2p.node.settlement.batcher import Batcher
from skyops_p2p.node.settlement.contract_change import check_same_contracts
from skyops_p2p.node.settlement.job_bounds import STOPPING_MS, left_ms
from skyops_p2p.node.settlement.journal import PairState
from skyops_p2p.node.settlement.lane_usage import LaneUsage
from skyops_p2p.node.settlement.live_pair import LivePair, seen_before
from skyops_p2p.node.settlement.paid_lease import PaidLease, Stopped, Told
from skyops_p2p.node.settlement.paid_run import PaidRun
from skyops_p2p.node.settlement.pay_link import FROM_PAYER
from skyops_p2p.node.settlement.payee_pair import PayeePair
from skyops_p2p.node.settlement.payer_pair import PayerPair
from skyops_p2p.node.settlement.records import LaneRecord, PairKey
from skyops_p2p.node.settlement.tools import SYMBOL, PayTools, account_of
from skyops_p2p.ports import Store
from skyops_p2p.types import MicroCredits, PeerId
from skyops_p2p.wire.messages.handshake import Manifest

log = logging.getLogger(__name__)

NEUTRAL_PERMILLE = 500
"""Trust in whom nothing is known of."""
LivePairT = TypeVar("LivePairT", bound=LivePair)


class PaymentDesk:
    """All payments of a node.

    Args:
        tools: What pairs are made with.
        store: The node's.
        is_worker: Whether it is paid.
        evidence: Tells others of its receipts, and holds theirs; None: receipts stay between the two sides.
        probes: Witnesses who is there; None: nobody does.
    """

    def __init__(
        self,
        tools: PayTools,
        store: Store,
        *,
        is_worker: bool,
        evidence: EvidenceDesk | None = None,
        probes: ProbeDesk | None = None,
    ) -> None:
        self.tools = tools
        self.store = store
        self.pairs: dict[PairKey, LivePair] = {}
        self._leases: dict[bytes, PaidLease] = {}
        """Leases that this node pays, by lane."""
        self._allotter = Allotter(tools, store)
        self.batcher = Batcher(tools, store, self.payees) if is_worker else None
        self.evidence = evidence
        self.probes = probes
        self._found: tuple[PairState, ...] = ()
        """What there was before a restart."""
        self.trust: Callable[[bytes], int] = lambda _account: NEUTRAL_PERMILLE
        """A worker's C in thousandths: what is held back of it follows from that. Rules: SET-27."""
        self._nursery: trio.Nursery | None = None

    # --- life -----------------------------------------------------------------------------------------------------
    async def restore(self) -> None:
        """Read what there was before a restart; once, before `run`.

        Raises:
            ConfigError: `contracts_changed`: contracts that the settings do not name any more owe this node something.
            StoreError: The journal cannot be read: nothing may be signed then.
        """
        found = await self.tools.ledger.restore()
        check_same_contracts(found.pairs.values(), self.tools.money.contracts)
        self._found = tuple(found.pairs.values())

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Put back what there was before a restart, and pay and be paid until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            for state in self._found:
                self._restore(state)
            if self.batcher is not None:
                nursery.start_soon(self.batcher.run)
            if self.evidence is not None:
                self.tools.ledger.receipt_kept = self.evidence.keep_own
                await nursery.start(self.evidence.run, self.tools.ledger.own_receipts())
            if self.probes is not None:
                await nursery.start(self.probes.run)
            nursery.start_soon(self._keep_allotted)
            task_status.started()
            await trio.sleep_forever()

    async def adopt(self, session: LiveSession) -> None:
        """Serve one session that a requester opened for a pair, until it ends."""
        contract = self.tools.money.contracts.settlement
        pair = self.pairs.get(PairKey(account_of(session.wallet), False, contract))
        if pair is None:  # no lease of this wallet was ever taken here
            await session.aclose("unknown_lane")
            return
        await pair.carry(LeaseLink(session, FROM_PAYER))

    def inclusions(self) -> dict[bytes, InclusionView]:
        """Return where this node's receipts are in their pairs' trees, by the encoded SignedReceipt. Rules: SET-14."""
        found: dict[bytes, InclusionView] = {}
        for pair in self.pairs.values():
            kept = self.tools.ledger.receipts(pair.key)
            leaves, root = tuple(one.leaf for one in kept), pair.account.receipts.root
            if [one.index for one in kept] != list(range(pair.account.receipts.count)):
                continue  # older leaves are gone
            for one in kept:
                if one.data is not None:
                    path = tuple(node.hex() for node in prove(leaves, one.index).path)
                    found[one.data] = InclusionView(
                        index=one.index, count=len(leaves), path=path, root=root.hex()
                    )
        return found

    # --- as a requester ---------------------------------------------------------------------------------------------
    def pay(
        self,
        session: LiveSession,
        terms: LaneTerms,
        *,
        name: str,
        mode: str,
        budget_wei: int | None,
        bound_job: bytes | None = None,
        stopped: Stopped,
        told: Told,
    ) -> PaidLease:
        """Pay a lease from now on.

        Args:
            session: With its worker, who has granted it.
            terms: Of its lane; the rate is above 0.
            name: Of the job.
            mode: Of the job.
            budget_wei: What all lanes of the job and of its replicas may cost together; None: no bound.
            bound_job: The job whose bound that is, if this lease is a replica's; 16 bytes.
            stopped: Called once with (code, a sentence) if the lease is to end.
            told: Takes sentences for whoever watches the job.

        Raises:
            ExecutionError: Code `too_many_pairs`.

        Rules: SET-4, SET-27.
        """
        pair = self._payer(session.peer, account_of(session.wallet))
        record = self._record(pair, terms, name=name, mode=mode, budget_wei=budget_wei)
        record = replace(record, bound_job=bound_job)
        lease = PaidLease(pair, terms, record, self, stopped=stopped, told=told)
        self._leases[terms.lane] = lease
        assert self._nursery is not None, "paid before it runs"
        self._nursery.start_soon(self._live_lease, lease)
        return lease

    async def _live_lease(self, lease: PaidLease) -> None:
        try:
            await lease.run()
        finally:
            if self._leases.get(lease.terms.lane) is lease:
                del self._leases[lease.terms.lane]

    def is_spent(self, bound_id: bytes) -> bool:
        """Tell whether nothing more may run for a job: one more reading, and it could cost more than it may.

        Args:
            bound_id: The job whose bound it is; its replicas count with it.
        """
        leases = [lease for lease in self._leases.values() if lease.record.bound_id == bound_id]
        budgets = [one.record.budget_wei for one in leases if one.record.budget_wei is not None]
        if not budgets:
            return False
        open_wei = sum(lease.bound_wei(0 if lease.is_computed else STOPPING_MS) for lease in leases)
        return open_wei + self.tools.ledger.spent_wei[bound_id] >= min(budgets)

    def _left_ms(self, terms: LaneTerms) -> int | None:
        return left_ms(terms, self.tools.ledger, self.payers())

    def open_value(self, account: bytes) -> int:
        """Return what a worker's leases cost if they go on for an hour, microcredits. Rules: REP-25.

        Args:
            account: Of the worker, 20 bytes.
        """
        leases = [lease for lease in self._leases.values() if lease.record.account == account]
        return sum(lease.bound_wei(HOUR_MS) for lease in leases) // WEI_PER_MICRO

    def stop_job(self, bound_id: bytes) -> None:
        """End all that runs for a job that has cost what it may; what is computed, and waits, costs no more."""
        for lease in list(self._leases.values()):
            if lease.record.bound_id == bound_id and not lease.is_computed:
                lease.stop("over_budget", "the job has cost what it may (price.total_max)")

    async def note_lane(self, lane: LaneRecord) -> None:
        """Write down that a lane begins.

        Raises:
            StoreError: It cannot be written.
        """
        await self.tools.ledger.note_lane(lane)

    def note_usage(self, lane: bytes, usage: LaneUsage) -> None:
        """Remember what a lane's run has used besides time."""
        self.tools.ledger.note_usage(lane, usage)

    def now_ms(self) -> int:
        """Return the wall clock's time."""
        return self.tools.ledger.now_ms()

    # --- as a worker ------------------------------------------------------------------------------------------------
    async def expect(self, session: LiveSession, terms: LaneTerms, *, name: str, mode: str) -> PaidRun:
        """Be paid for a lease that is about to be granted.

        Raises:
            RemoteProtocolError: Code `busy`: too many pairs.
            StoreError: It cannot be written down.

        Rules: SET-5.
        """
        try:
            pair = self._payee(session.peer, account_of(session.wallet))
        except ExecutionError as error:
            raise RemoteProtocolError(error.message, code="busy", rule="SET-5") from error
        await self.note_lane(self._record(pair, terms, name=name, mode=mode, budget_wei=None))
        run = PaidRun(pair, terms, pace=self.tools.meter_pace)
        await pair.expect(terms, run)
        return run

    # --- pairs ------------------------------------------------------------------------------------------------------
    def payers(self) -> list[PayerPair]:
        """Return the pairs in which this node pays."""
        return [pair for pair in self.pairs.values() if isinstance(pair, PayerPair)]

    def payees(self) -> list[PayeePair]:
        """Return the pairs in which this node is paid."""
        return [pair for pair in self.pairs.values() if isinstance(pair, PayeePair)]

    def shared_wei(self, pair: PayerPair) -> int:
        """Return what of the shared deposit a pair may promise: what no other pair may need. Rules: SET-12."""
        if pair.funds is None:
            return 0
        others = sum(other.unsecured_wei for other in self.payers() if other is not pair)
        return max(self._deposit_wei(pair) - others, 0)

    def _deposit_wei(self, pair: PayerPair) -> int:
        """Return the deposit as it was seen last, whichever pair looked."""
        seen = [one for one in self.payers() if one.funds is not None]
        newest = max(seen, key=lambda one: one.seen_at, default=pair)
        return 0 if newest.funds is None else newest.funds.shared

    async def _keep_allotted(self) -> None:
        """Set aside what is wanted, until cancelled."""
        assert self._nursery is not None
        for pair in self.payers():
            self._nursery.start_soon(self._allotter.resume, pair)
        while True:
            for pair in self.payers():
                available = self.shared_wei(pair)
                if pair.chain_trouble == "" and self._allotter.is_due(pair, available):
                    self._nursery.start_soon(self._allotter.top_up, pair, available)
            await trio.sleep(limits.METER_READ_MS / 1000)

    def _payer(self, peer: PeerId, account: bytes) -> PayerPair:
        known = self.pairs.get(PairKey(account, True, self.tools.money.contracts.settlement))
        if isinstance(known, PayerPair):
            known.peer = peer
            return known
        terms = self._terms(self.tools.money.account, account)
        return self._begin(PayerPair(peer, terms, self.tools, self.shared_wei, left_ms=self._left_ms))

    def _payee(self, peer: PeerId, account: bytes) -> PayeePair:
        known = self.pairs.get(PairKey(account, False, self.tools.money.contracts.settlement))
        if isinstance(known, PayeePair):
            known.peer = peer
            return known
        terms = self._terms(account, self.tools.money.account)
        return self._begin(PayeePair(peer, terms, self.tools, self._redeem_soon))

    def _begin(self, pair: LivePairT) -> LivePairT:
        if len(self.pairs) >= limits.PAIRS_MAX:
            raise ExecutionError(
                f"this node has {limits.PAIRS_MAX} pairs that pay or are paid",
                code="too_many_pairs",
                hint="Use another wallet for new ones.",
            )
        return self._add(pair)

    def _add(self, pair: LivePairT) -> LivePairT:
        assert self._nursery is not None, "paid before it runs"
        self.pairs[pair.key] = pair
        self._nursery.start_soon(pair.run)
        return pair

    def _restore(self, state: PairState) -> None:
        """Put a pair back; one of other contracts stays in the journal, with its newest voucher."""
        if state.terms.contract != self.tools.money.contracts.settlement:
            log.warning("pair_of_other_contracts pair=%s", state.key.name)
            return
        seen = seen_before(state)
        if state.key.is_payer:
            self._add(
                PayerPair(
                    state.peer,
                    state.terms,
                    self.tools,
                    self.shared_wei,
                    left_ms=self._left_ms,
                    account=state.account,
                    seen=seen,
                )
            )
            return
        self._add(
            PayeePair(
                state.peer,
                state.terms,
                self.tools,
                self._redeem_soon,
                account=state.account,
                seen=seen,
                unredeemed_since_unix_ms=state.unredeemed_since_unix_ms,
            )
        )

    def _redeem_soon(self) -> None:
        if self.batcher is not None:
            self.batcher.wake()

    def _terms(self, requester: bytes, worker: bytes) -> PairTerms:
        return self.tools.money.contracts.pair(
            self.tools.network, requester, worker, holdback_bps=holdback_bps(self.trust(worker))
        )

    def _record(
        self, pair: LivePair, terms: LaneTerms, *, name: str, mode: str, budget_wei: int | None
    ) -> LaneRecord:
        return LaneRecord(
            lane=terms.lane,
            is_payer=pair.key.is_payer,
            peer=pair.peer,
            account=pair.key.account,
            contract=pair.key.contract,
            job_id=terms.job_id,
            shard=terms.shard,
            epoch=terms.epoch,
            name=name,
            mode=mode,
            rate_wei=terms.rate_wei,
            began_unix_ms=self.tools.ledger.now_ms(),
            budget_wei=budget_wei,
        )


def deals_in_skyops(manifest: Manifest) -> bool:
    """Tell whether a node has said that it pays and is paid. Rules: SET-27."""
    return SYMBOL in manifest.tokens


def lane_terms(facts: LeaseFacts, price: int) -> LaneTerms:
    """Return the terms of a lease's lane, the same on both sides; nothing is paid ahead.

    Args:
        facts: Of the lease.
        price: Of the bid that was awarded, microcredits an hour.

    Rules: SET-2, SET-27.
    """
    rate_wei = wei_of_credits(MicroCredits(price))
    return LaneTerms(facts.job_id, facts.shard, facts.epoch, facts.award, rate_wei)
