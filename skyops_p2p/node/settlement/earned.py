"""Why one job brought what it brought: each of its leases with every factor of its pay, as this worker has it."""

from collections.abc import Callable, Iterable

from skyops_p2p.core.settlement.amounts import wei_from_bytes
from skyops_p2p.core.settlement.prices import BP, FEE_BP
from skyops_p2p.errors import ExecutionError
from skyops_p2p.node.settlement.desk import PaymentDesk
from skyops_p2p.node.settlement.records import LaneRecord
from skyops_p2p.node.settlement.settlement_views import EarnedJobView, EarnedLaneView, LaneView
from skyops_p2p.wire.messages.settlement import Receipt, SignedReceipt
from skyops_p2p.wire.model import decode_message


def earned_job(
    text: str, records: Iterable[LaneRecord], desk: PaymentDesk, view_of: Callable[[LaneRecord], LaneView]
) -> EarnedJobView:
    """Return what a job has brought, and why.

    Args:
        text: Its id in hex, or a unique beginning of it.
        records: All lanes in which this node is the worker.
        desk: Has receipts and pairs.
        view_of: Shows one lane.

    Raises:
        ExecutionError: `unknown_job` or `ambiguous_job`.
    """
    found = [record for record in records if text and record.job_id.hex().startswith(text.lower())]
    jobs = {record.job_id for record in found}
    if len(jobs) != 1:
        raise ExecutionError(
            f"{len(jobs)} jobs begin with {text!r}"
            if jobs
            else f"this node has earned nothing by a job {text!r}",
            code="ambiguous_job" if jobs else "unknown_job",
            hint="`skyops earnings --json` lists the ids of all jobs that it has worked for.",
        )
    lanes = tuple(_lane(record, desk, view_of(record)) for record in found)
    return EarnedJobView(
        job_id=found[0].job_id.hex(), name=found[0].name, mode=found[0].mode, fee_bps=FEE_BP, lanes=lanes
    )


def _lane(record: LaneRecord, desk: PaymentDesk, view: LaneView) -> EarnedLaneView:
    pair, kept = desk.pairs.get(record.key), desk.tools.ledger.receipt_of(record)
    holdback_bps = 0 if pair is None else pair.terms.holdback_bps
    receipt = None
    if kept is not None and kept.data is not None:
        receipt = decode_message(Receipt, decode_message(SignedReceipt, kept.data).receipt)
    return EarnedLaneView(
        lane=view,
        outcome="" if receipt is None else receipt.outcome,
        class_milli=0 if receipt is None else receipt.class_milli,
        requester_ms=0 if receipt is None else receipt.requester_counts.runtime_ms,
        worker_ms=0 if receipt is None else receipt.worker_counts.runtime_ms,
        receipt_wei=0 if receipt is None else wei_from_bytes(receipt.amount),
        fee_wei=view.paid_wei * FEE_BP // BP,
        holdback_bps=holdback_bps,
        held_wei=view.paid_wei * holdback_bps // BP,
    )
