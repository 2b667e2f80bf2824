"""Commit first, then show: what a worker signs before anybody else's result can be known, and what opens it. Pure.

The commitment binds the result to the worker, its award and its lease, so a copy of it opens for nobody else; the salt
keeps anybody from guessing a short answer. What a worker was shown of others before it opened its own is in its reveal,
so that everybody can see later that nobody knew an answer before committing to one. Spec:
protocol/06-verification.md, "Commit" and "Reveal".
"""

from collections.abc import Sequence

from skyops_p2p.core.execution.receipts import LeaseFacts
from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.core.verification.result_root import result_root
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.crypto.node_key import peer_id_from_bytes, peer_id_to_bytes
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.types import PeerId
from skyops_p2p.wire import canonical
from skyops_p2p.wire.envelope import Signed, open_envelope
from skyops_p2p.wire.messages.execution import ResultReceipt
from skyops_p2p.wire.messages.verification import (
    ComparedName,
    ResultCommit,
    ResultReveal,
    RevealResult,
)

COMMIT_DOMAIN = b"skyops/result/1"


def compared_class(spec: JobSpec, *, is_warm: bool = False) -> ComparedName | None:
    """Return the class by which a job's results are compared, with others' or with this node's; None: they are not.

    Args:
        spec: The job.
        is_warm: Its leases take tasks one after the other.

    Rules: VER-1.
    """
    verification = spec.verification
    is_compared = verification.redundancy > 1 or verification.canaries is not None
    if not is_compared or spec.gang or is_warm:
        return None
    kind = verification.kind
    return kind if kind in ("exact", "numeric") else None


def commitment_of(receipt: ResultReceipt, salt: bytes) -> bytes:
    """Return the 32 bytes that commit a worker to a result.

    Args:
        receipt: Of the lease; names the worker, the award, the job, the shard and the epoch.
        salt: 32 random bytes, used once.

    Rules: VER-4.
    """
    lease = canonical.encode([receipt.worker, receipt.job_id, receipt.shard, receipt.epoch, receipt.award])
    return sha256(b"".join((COMMIT_DOMAIN, salt, result_root(receipt), lease)))


def commit_to(
    receipt: ResultReceipt,
    *,
    salt: bytes,
    draw: bytes,
    verification: ComparedName,
    redundancy: int,
    price: int,
) -> ResultCommit:
    """Return what a worker signs before it shows its result.

    Args:
        receipt: The result.
        salt: 32 random bytes, used once; stored before this leaves the node.
        draw: Of the LeaseOpen, 32 bytes.
        verification: Class of the specification.
        redundancy: Of the specification; 1 only if it has canaries.
        price: Of the award, microcredits an hour.

    Returns:
        The same for the same arguments, so that what is told after a restart is what was told before.

    Rules: VER-4, VER-5.
    """
    return ResultCommit(
        network=receipt.network,
        requester=receipt.requester,
        worker=receipt.worker,
        job_id=receipt.job_id,
        shard=receipt.shard,
        epoch=receipt.epoch,
        award=receipt.award,
        spec_digest=receipt.spec_digest,
        verification=verification,
        redundancy=redundancy,
        draw=draw,
        commitment=commitment_of(receipt, salt),
        price=price,
    )


def check_commit(
    data: bytes, facts: LeaseFacts, *, draw: bytes, verification: ComparedName, redundancy: int, price: int
) -> Signed[ResultCommit]:
    """Open a worker's commitment and compare it with its lease.

    Args:
        data: The enveloped ResultCommit.
        facts: Of the lease.
        draw: What the LeaseOpen said.
        verification: Class of the specification.
        redundancy: Of the specification.
        price: Of the award, microcredits an hour.

    Raises:
        RemoteProtocolError: `worker_lied`, or what opening the envelope raises.

    Rules: VER-4.
    """
    signed = open_envelope(data, ResultCommit, facts.network)
    message = signed.message
    wanted = ResultCommit(
        network=facts.network,
        requester=peer_id_to_bytes(facts.requester),
        worker=peer_id_to_bytes(facts.worker),
        job_id=facts.job_id,
        shard=facts.shard,
        epoch=facts.epoch,
        award=facts.award,
        spec_digest=facts.spec_digest,
        verification=verification,
        redundancy=redundancy,
        draw=draw,
        commitment=message.commitment,
        price=price,
    )
    if signed.signer != facts.worker or message != wanted:
        raise _lie("it is for another lease", facts.worker, rule="VER-4")
    return signed


def check_reveal_request(
    message: RevealResult, own: Signed[ResultCommit]
) -> tuple[Signed[ResultCommit], ...]:
    """Check, at a worker, that it may show its result: that the others have committed too.

    Args:
        message: What the requester sent.
        own: This worker's commitment.

    Returns:
        The others' commitments; none: nothing is compared, and the result is shown for what it is.

    Raises:
        RemoteProtocolError: `proof_fails` (a commitment that is not another worker's to the same work), `stale_epoch`,
            or what opening an envelope raises.

    Rules: VER-6.
    """
    ours = own.message
    requester = peer_id_from_bytes(ours.requester)
    if message.epoch != ours.epoch:
        raise RemoteProtocolError("of another epoch", code="stale_epoch", rule="VER-6", peer=requester)
    found = tuple(open_envelope(data, ResultCommit, ours.network) for data in message.others)
    workers, jobs = {ours.worker}, {ours.job_id}
    for other in found:
        its = other.message
        is_signed = peer_id_to_bytes(other.signer) == its.worker
        if not is_signed or its.worker in workers or its.job_id in jobs or not same_work(its, ours):
            raise RemoteProtocolError(
                "a commitment that is not another worker's to the same work",
                code="proof_fails",
                rule="VER-6",
                peer=requester,
            )
        workers.add(its.worker)
        jobs.add(its.job_id)
    return found


def same_work(first: ResultCommit, second: ResultCommit) -> bool:
    """Tell whether two commitments are to the same work, for the same requester. Rules: VER-6."""
    return all(
        getattr(first, name) == getattr(second, name)
        for name in ("network", "requester", "shard", "spec_digest", "verification", "redundancy")
    )


def reveal_of(
    own: Signed[ResultCommit],
    receipt: Signed[ResultReceipt],
    salt: bytes,
    others: Sequence[Signed[ResultCommit]],
) -> ResultReveal:
    """Return what opens a worker's commitment.

    Args:
        own: The commitment.
        receipt: The result.
        salt: Of the commitment.
        others: What `check_reveal_request` returned.

    Rules: VER-7.
    """
    return ResultReveal(
        network=own.message.network,
        commit=own.digest,
        receipt=receipt.digest,
        salt=salt,
        seen=tuple(sorted(other.digest for other in others)),
    )


def check_reveal(
    data: bytes | None, commit: Signed[ResultCommit], receipt: Signed[ResultReceipt]
) -> Signed[ResultReveal]:
    """Open what came with a result, and compare it with what its worker committed to.

    Args:
        data: The enveloped ResultReveal; None: there was none.
        commit: The worker's commitment, checked.
        receipt: The result, checked against the lease (EXE-13).

    Raises:
        RemoteProtocolError: `worker_lied`, or what opening the envelope raises.

    Rules: VER-7.
    """
    worker = commit.signer
    if data is None:
        raise _lie("a result that does not open what was committed to", worker, rule="VER-7")
    signed = open_envelope(data, ResultReveal, commit.message.network)
    if not speaks_of(signed, commit, receipt) or not opens(signed.message, commit.message, receipt.message):
        raise _lie("a result other than the one committed to", worker, rule="VER-7")
    return signed


def speaks_of(
    reveal: Signed[ResultReveal], commit: Signed[ResultCommit], receipt: Signed[ResultReceipt]
) -> bool:
    """Tell whether a reveal is its worker's, and of this commitment and this result. Rules: VER-7."""
    is_own = reveal.signer == commit.signer == receipt.signer
    named = (reveal.message.commit, reveal.message.receipt)
    return is_own and named == (commit.digest, receipt.digest)


def opens(reveal: ResultReveal, commit: ResultCommit, receipt: ResultReceipt) -> bool:
    """Tell whether a result is the one that its worker committed to. Rules: VER-7."""
    return commitment_of(receipt, reveal.salt) == commit.commitment


def _lie(text: str, worker: PeerId, *, rule: str) -> RemoteProtocolError:
    return RemoteProtocolError(f"commitment: {text}", code="worker_lied", rule=rule, peer=worker)
