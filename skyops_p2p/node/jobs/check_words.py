"""By how many workers results were verified, and who differed, in words for people."""

from collections.abc import Iterator, Mapping, Sequence

from skyops_p2p.node.jobs.job_views import AttemptView, ReplicaView, ShardView

_REFEREED = "refereed"
_VERIFIED = ("agreed", "decided", _REFEREED)
_SHOWN = ("checking", "fetching", "succeeded")
"""States of a replica whose result is here."""
_UNVERIFIED = {
    "": "one worker has computed it, and nobody else",
    "no_replica": "nobody else could compute it",
    "no_budget": "price.total_max left nothing to have it checked",
    "not_drawn": "the spot checks left it out",
}
"""What came of the comparison -> why nobody has checked it."""
_FAULTS = {
    "result_wrong": "came to another result than the majority",
    "worker_lied": "showed another result than it had committed to",
    "no_reveal": "did not show the result that it had committed to",
}
"""Outcome of a lease -> what its worker did, where results are compared."""
_NOT_THE_STEPS = "came to another result than the steps where two results part, run on this node"
"""What a worker did whose result is wrong, where no majority has decided but a stretch."""


def verified_text(shards: Sequence[ShardView]) -> str:
    """Return by how many workers a job's results were verified; empty before there is one.

    Args:
        shards: All of the job.
    """
    done = [shard for shard in shards if shard.state == "succeeded"]
    checked = [shard for shard in done if shard.checked in _VERIFIED]
    if not done:
        return ""
    if not checked:
        reasons = dict.fromkeys(_UNVERIFIED[shard.checked] for shard in done)
        return f"unverified: {'; '.join(reasons)}"
    counts = {_right_workers(shard) for shard in checked if shard.checked != _REFEREED}
    by = "verified by running the steps where two results part"
    if counts:
        by = f"verified by {min(counts)} workers" + (" or more" if len(counts) > 1 else "")
    if len(checked) == len(done):
        return by
    return f"spot-checked: {len(checked)} of {len(done)} shards {by}, the others unverified"


def discrepancy_text(
    attempts: Sequence[AttemptView], replicas: Sequence[ReplicaView], code: str, checked: str
) -> str:
    """Return who differed, and whose result is taken; empty: nobody did, or nothing was compared.

    Args:
        attempts: Leases of the shard.
        replicas: Who computed it too.
        code: Outcome of the shard.
        checked: What came of comparing its results; see ShardView.
    """
    if code == "results_differ":
        return "the workers came to different results, and none has a majority: none is taken"
    texts = _FAULTS | ({"result_wrong": _NOT_THE_STEPS} if checked == _REFEREED else {})
    faults = [*_faults(attempts, texts), *_faults(replicas, texts)] if replicas else []
    if not faults:
        return ""
    return "; ".join(
        [*faults, "its result is not taken" if len(faults) == 1 else "their results are not taken"]
    )


def _faults(leases: Sequence[AttemptView] | Sequence[ReplicaView], texts: Mapping[str, str]) -> Iterator[str]:
    for one in leases:
        if one.code in texts:
            yield f"worker {one.worker[-8:]} {texts[one.code]} ({one.code})"


def _right_workers(shard: ShardView) -> int:
    """Return how many came to the result that is taken; who checked an earlier attempt is none of them."""
    is_own = bool(shard.attempts) and shard.attempts[-1].code in ("", "succeeded")
    return is_own + sum(_is_right(one) for one in shard.replicas if one.epoch == shard.epoch)


def _is_right(replica: ReplicaView) -> bool:
    return bool(replica.worker) and replica.code in ("", "succeeded") and replica.state in _SHOWN
