"""What a receipt says of a lease beside money, as both sides make it. Rules: SET-25."""

from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.core.settlement.lanes import FactsPart
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.wire.messages.execution import ResultReceipt

CLASS_MILLI_MAX = 2**31


def facts_of(data: bytes, receipt: ResultReceipt, spec: JobSpec, *, speed_milli: int) -> FactsPart:
    """Return the facts of a lease that has a result.

    Args:
        data: The enveloped ResultReceipt; its SHA-256 is what stands on chain for the execution.
        receipt: The same, checked.
        spec: Of the job.
        speed_milli: Of the bid that was awarded.

    Rules: SET-25, SET-28.
    """
    return FactsPart(
        spec_digest=receipt.spec_digest,
        mode=spec.mode.kind,
        class_milli=min(speed_milli, CLASS_MILLI_MAX),
        outcome=receipt.code,
        result=sha256(data),
        log_head=receipt.log_head,
        started_unix_ms=receipt.started_unix_ms,
        ended_unix_ms=receipt.ended_unix_ms,
        verification=spec.verification.kind,
        redundancy=spec.verification.redundancy,
    )
