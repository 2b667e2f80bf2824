"""Receipts of simulated jobs, before anybody has signed them."""

from skyops_p2p.core.evidence.items import Scope
from skyops_p2p.simulation.entropy import derived_bytes
from skyops_p2p.types import UnixMs
from skyops_p2p.wire.messages.settlement import CountsPart, Receipt


def sim_receipt(
    seed: int, parties: tuple[bytes, bytes], job: int, *, scope: Scope, unix_ms: UnixMs, **changes: object
) -> Receipt:
    """Return the receipt of a job that has ended now.

    Args:
        seed: Of the world.
        parties: Wallets of requester and worker.
        job: Number of the job.
        scope: Whose receipts.
        unix_ms: Now.
        **changes: Fields that take the place of the usual ones.
    """
    nothing = CountsPart(runtime_ms=0, gpu_ms=0, cpu_ms=0, memory_mib_s=0, moved_bytes=0)
    fields: dict[str, object] = {
        "network": scope.network,
        "chain_id": scope.chain_id,
        "contract": scope.settlement,
        "token": scope.token,
        "requester": parties[0],
        "worker": parties[1],
        "lane": derived_bytes(seed, "lane", job),
        "job_id": derived_bytes(seed, "job", job, size=16),
        "shard": 0,
        "epoch": 1,
        "award": bytes(32),
        "spec_digest": bytes(32),
        "mode": "flex",
        "class_milli": 1000,
        "outcome": "succeeded",
        "result": bytes(32),
        "log_head": bytes(32),
        "metering_root": bytes(32),
        "started_unix_ms": unix_ms,
        "ended_unix_ms": unix_ms,
        "requester_counts": nothing,
        "worker_counts": nothing,
        "rate": (1).to_bytes(32, "big"),
        "amount": bytes(32),
        "cumulative": (job + 1).to_bytes(32, "big"),
        "verification": "exact",
        "redundancy": 1,
    }
    return Receipt.model_validate(fields | changes)
