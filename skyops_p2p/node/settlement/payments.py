"""The payments of a node as an application sees them: bills, earnings, pairs, receipts, and redemption.

view = node.payments.earnings(by="day")
await node.payments.settle()
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from skyops_p2p.core.settlement.amounts import wei_from_bytes
from skyops_p2p.core.settlement.lanes import Lane
from skyops_p2p.core.settlement.meters import NOTHING
from skyops_p2p.core.settlement.prices import BP, FEE_BP
from skyops_p2p.core.verification.check import check_verdict
from skyops_p2p.crypto.wallet import address_from_bytes
from skyops_p2p.errors import ConfigError, ExecutionError
from skyops_p2p.node.evidence.verdict_desk import VerdictDesk
from skyops_p2p.node.evidence.views import EvidenceView
from skyops_p2p.node.jobs.verdict_views import VerdictsView, VerdictView, verdict_view, verdicts_view
from skyops_p2p.node.reputation.views import ReputationView
from skyops_p2p.node.settlement.batcher import Batcher
from skyops_p2p.node.settlement.desk import PaymentDesk
from skyops_p2p.node.settlement.earned import earned_job
from skyops_p2p.node.settlement.live_pair import LivePair
from skyops_p2p.node.settlement.office import PaymentOffice
from skyops_p2p.node.settlement.payer_pair import PayerPair
from skyops_p2p.node.settlement.records import LaneRecord
from skyops_p2p.node.settlement.settlement_views import (
    BillingView,
    EarnedJobView,
    EarningRowView,
    EarningsView,
    GroupName,
    LaneView,
    PairView,
    QuoteView,
    ReceiptView,
    SettledView,
)
from skyops_p2p.node.settlement.tools import SYMBOL
from skyops_p2p.wire.messages.settlement import Receipt, SignedReceipt
from skyops_p2p.wire.model import decode_message

if TYPE_CHECKING:
    from skyops_p2p.node.wallet.purse import Purse


class Payments:
    """What a node pays and is paid.

    Args:
        office: Has it; None: nothing is paid here.

    Raises:
        ConfigError: Code `payment_not_configured`, of each call but `billing`: nothing is paid here.
        ChainError: Code `chain_unavailable`, of each call but `billing`: the contracts have not been found yet.
    """

    def __init__(self, office: PaymentOffice | None) -> None:
        self._office = office
        self._desk = None if office is None else office.desk

    def billing(self, job_id: bytes, name: str, replicas: Sequence[bytes] = ()) -> BillingView:
        """Return what a job has cost this node; nothing if nothing is paid.

        Args:
            job_id: 16 bytes.
            name: Of the job.
            replicas: Job ids of those that compute the same, to compare results; they are part of the bill.
        """
        jobs = () if self._desk is None else (job_id, *replicas)
        records = [record for one in jobs for record in self._records(is_payer=True, job_id=one)]
        lanes = tuple(self._lane_view(record) for record in records)
        paid_wei = sum(lane.paid_wei for lane in lanes)
        budgets = [record.budget_wei for record in records if record.budget_wei is not None]
        keys = {record.key for record in records}
        pairs = [pair for pair in self._payers() if pair.key in keys]
        return BillingView(
            job_id=job_id.hex(),
            name=name,
            symbol=SYMBOL,
            is_paid=bool(lanes),
            paid_wei=paid_wei,
            replicas_wei=sum(lane.paid_wei for lane in lanes if lane.is_replica),
            runtime_ms=sum(lane.runtime_ms for lane in lanes),
            gpu_ms=sum(lane.gpu_ms for lane in lanes),
            cpu_ms=sum(lane.cpu_ms for lane in lanes),
            memory_peak_bytes=max((lane.memory_peak_bytes for lane in lanes), default=0),
            disk_bytes=sum(lane.disk_bytes for lane in lanes),
            moved_bytes=sum(lane.moved_bytes for lane in lanes),
            fee_wei=paid_wei * FEE_BP // BP,
            budget_wei=min(budgets, default=None),
            refund_wei=max((pair.refund_wei for pair in pairs), default=0),
            promised_wei=sum(pair.account.cumulative for pair in pairs),
            redeemed_wei=sum(pair.funds.redeemed for pair in pairs if pair.funds is not None),
            lanes=lanes,
        )

    def earnings(self, *, by: GroupName = "job") -> EarningsView:
        """Return what this node has earned as a worker.

        Args:
            by: What makes a row: the job, the day (UTC) on which a lease began, or the mode.
        """
        desk = self._need_desk()
        rows: dict[str, list[LaneView]] = {}
        for record in self._records(is_payer=False):
            rows.setdefault(_group(record, by), []).append(self._lane_view(record))
        payees = desk.payees()
        return EarningsView(
            symbol=SYMBOL,
            by=by,
            rows=tuple(_row(key, lanes) for key, lanes in rows.items()),
            paid_wei=sum(lane.paid_wei for lanes in rows.values() for lane in lanes),
            unredeemed_wei=sum(pair.unredeemed_wei for pair in payees),
            unsecured_wei=sum(pair.unsecured_wei for pair in payees),
            held_wei=sum(pair.funds.held for pair in payees if pair.funds is not None),
        )

    def earned(self, job: str) -> EarnedJobView:
        """Return what one job has brought this node as a worker, with each factor of it.

        Args:
            job: Its id in hex, or a unique beginning of it.

        Raises:
            ExecutionError: `unknown_job` or `ambiguous_job`.
        """
        return earned_job(job, self._records(is_payer=False), self._need_desk(), self._lane_view)

    def pairs(self) -> tuple[PairView, ...]:
        """Return all pairs, those with open lanes first."""
        found = self._need_desk().pairs.values()
        return tuple(_pair_view(self._need_desk(), pair) for pair in sorted(found, key=_pair_order))

    async def reputation(self, who: str = "") -> ReputationView:
        """Return what this node thinks of everybody, or of one account with the reasons.

        Args:
            who: A wallet ("0x…"), or a peer of the map; empty: everybody, without reasons.

        Raises:
            NetworkError: `unknown_peer` or `ambiguous_peer`.
        """
        desk = self._need_desk()
        assert desk.evidence is not None, "a node's desk has it"
        return await desk.evidence.scores(who)

    async def quote(self) -> QuoteView:
        """Return what redeeming everything now would bring, and cost.

        Raises:
            ExecutionError: Code `not_a_worker`.
            ChainError: The chain cannot be asked.
        """
        return await self._batcher().quote()

    async def settle(self) -> SettledView:
        """Redeem everything now, whatever it costs, and wait for its end.

        Raises:
            ExecutionError: Code `not_a_worker`.
            ChainError: It was not sent, or refused.
            StoreError: It could not be written down.
        """
        return await self._batcher().settle()

    def receipt(self, lane: bytes) -> ReceiptView:
        """Return the receipt of a lease with its proof.

        Args:
            lane: 32 bytes; see LaneView.

        Raises:
            ExecutionError: `unknown_lane`, `no_receipt`, `receipt_unprovable`.
        """
        desk = self._need_desk()
        record = desk.tools.ledger.lanes.get(lane)
        if record is None:
            raise ExecutionError(
                "this node knows no such lease", code="unknown_lane", hint="`skyops billing JOB` names them."
            )
        kept = desk.tools.ledger.receipt_of(record)
        pair = desk.pairs.get(record.key)
        if kept is None or kept.data is None or pair is None:
            raise ExecutionError(
                "there is no receipt of that lease, or not any more",
                code="no_receipt",
                hint="A lease has one once its result is taken and its last interval paid.",
            )
        on_chain = bytes(32) if pair.funds is None else pair.funds.receipts_root
        is_on_chain = True
        try:
            proof, root = desk.tools.ledger.proof(record.key, kept.index, on_chain), on_chain
        except ExecutionError:
            root, is_on_chain = pair.account.receipts.root, False
            proof = desk.tools.ledger.proof(record.key, kept.index, root)
        signed = decode_message(SignedReceipt, kept.data)
        receipt = decode_message(Receipt, signed.receipt)
        return ReceiptView(
            lane=lane.hex(),
            receipt=kept.data.hex(),
            is_signed_by_both=signed.requester is not None and signed.worker is not None,
            index=proof.index,
            count=proof.count,
            path=tuple(node.hex() for node in proof.path),
            leaf=kept.leaf.hex(),
            root=root.hex(),
            is_on_chain=is_on_chain,
            amount_wei=wei_from_bytes(receipt.amount),
            outcome=receipt.outcome,
            result=receipt.result.hex(),
        )

    def evidence(self, who: str = "") -> EvidenceView:
        """Return receipts that this node holds, of whomever.

        Args:
            who: A wallet ("0x…"), the beginning of a job's id in hex (4 digits or more), or a peer of the map; empty:
                everybody.

        Raises:
            NetworkError: `unknown_peer` or `ambiguous_peer`.
        """
        desk = self._need_desk()
        assert desk.evidence is not None, "a node's desk has it"
        return desk.evidence.view(who, desk.inclusions())

    def verdicts(self) -> VerdictsView:
        """Return the verdicts that this node holds, of whomever."""
        return verdicts_view(self._verdict_desk().exchange.shelf)

    def verdict(self, name: str) -> VerdictView:
        """Return one of these, checked anew from its bytes.

        Args:
            name: How its name in hex begins, 4 to 64 digits.

        Raises:
            ExecutionError: `no_verdict`.
        """
        data = self._verdict_desk().find(name)
        return verdict_view(check_verdict(data), data)

    def _verdict_desk(self) -> VerdictDesk:
        desk = self._need_desk()
        assert desk.evidence is not None, "a node's desk has it"
        return desk.evidence.verdicts

    @property
    def purse(self) -> "Purse":
        """The wallet's money, stake and disputes, for a person's commands."""
        from skyops_p2p.adapters.contracts.money import (
            ContractMoney,
        )  # takes long to import, and only who pays has it
        from skyops_p2p.node.wallet.purse import Purse

        desk = self._need_desk()
        money, tools = desk.tools.money, desk.tools
        assert isinstance(money, ContractMoney), "simulated money has no commands"
        return Purse(money, tools.wallet, desk.store, now_unix_s=lambda: tools.ledger.now_ms() // 1000)

    # --- within -----------------------------------------------------------------------------------------------------
    def _need_desk(self) -> PaymentDesk:
        if self._office is None:
            raise ConfigError(
                "nothing is paid here: payment.directory is empty",
                code="payment_not_configured",
                hint="Set it to the Directory of your network; `skyops chain deploy` makes a set of contracts.",
            )
        return self._office.needed_desk()

    def _batcher(self) -> Batcher:
        batcher = self._need_desk().batcher
        if batcher is None:
            raise ExecutionError(
                "this node is no worker, so nobody owes it anything",
                code="not_a_worker",
                hint="Set worker.enabled.",
            )
        return batcher

    def _payers(self) -> Sequence[PayerPair]:
        return [] if self._desk is None else self._desk.payers()

    def _records(self, *, is_payer: bool, job_id: bytes | None = None) -> list[LaneRecord]:
        found = self._need_desk().tools.ledger.lanes.values()
        return [one for one in found if one.is_payer is is_payer and job_id in (None, one.job_id)]

    def _lane_view(self, record: LaneRecord) -> LaneView:
        desk = self._need_desk()
        pair = desk.pairs.get(record.key)
        lane: Lane | None = None if pair is None or record.is_over else pair.account.lanes.get(record.lane)
        billed = record.billed if lane is None else lane.billed
        own = NOTHING if lane is None else lane.own
        usage = record.usage
        told = None if usage is None else usage.told
        return LaneView(
            lane=record.lane.hex(),
            peer_id=record.peer,
            wallet=address_from_bytes(record.account),
            job_id=record.job_id.hex(),
            shard=record.shard,
            epoch=record.epoch,
            is_open=not record.is_over,
            code=record.code,
            rate_wei=record.rate_wei,
            runtime_ms=billed.runtime_ms,
            metered_ms=max(own.runtime_ms, billed.runtime_ms),
            gpu_ms=(told and told.gpu_ms) or 0,
            cpu_ms=(told and told.cpu_ms) or 0,
            memory_peak_bytes=(told and told.memory_peak_bytes) or 0,
            disk_bytes=(told and told.written_bytes) or 0,
            moved_bytes=0 if usage is None else usage.moved_bytes,
            is_usage_signed=usage is not None and usage.is_signed,
            paid_wei=record.paid_wei if lane is None else lane.paid,
            began_unix_ms=record.began_unix_ms,
            ended_unix_ms=record.ended_unix_ms,
            has_receipt=record.is_over and desk.tools.ledger.receipt_of(record) is not None,
            is_replica=record.bound_job is not None,
        )


def _group(record: LaneRecord, by: GroupName) -> str:
    if by == "job":
        return record.job_id.hex()
    if by == "mode":
        return record.mode
    return datetime.fromtimestamp(record.began_unix_ms / 1000, UTC).date().isoformat()


def _row(key: str, lanes: Iterable[LaneView]) -> EarningRowView:
    found = list(lanes)
    return EarningRowView(
        key=key,
        leases=len(found),
        runtime_ms=sum(lane.runtime_ms for lane in found),
        gpu_ms=sum(lane.gpu_ms for lane in found),
        paid_wei=sum(lane.paid_wei for lane in found),
        receipts=sum(lane.has_receipt for lane in found),
    )


def _pair_order(pair: LivePair) -> tuple[bool, bytes]:
    return not pair.account.lanes, pair.key.account


def _pair_view(desk: PaymentDesk, pair: LivePair) -> PairView:
    funds = pair.funds
    return PairView(
        peer_id=pair.peer,
        wallet=address_from_bytes(pair.key.account),
        role="requester" if pair.key.is_payer else "worker",
        is_linked=pair.is_linked,
        lanes=len(pair.account.lanes),
        state=pair.phase,
        promised_wei=pair.account.cumulative,
        redeemed_wei=0 if funds is None else funds.redeemed,
        held_wei=0 if funds is None else funds.held,
        allotted_wei=0 if funds is None else funds.allotted,
        shared_wei=0 if funds is None else funds.shared,
        runway_s=pair.runway_s,
        receipts=len(desk.tools.ledger.receipts(pair.key)),
        chain_trouble=pair.chain_trouble,
    )
