"""By how many workers results were verified, and who differed, in words for people."""

from collections.abc import Iterator, Mapping, Sequence

from skyops_p2p.node.jobs.job_views import AttemptView, ReplicaView, ShardView

_REFEREED, _CANARY = "refereed", "canary"
_VERIFIED = ("agreed", "decided", _REFEREED, _CANARY)
_SHOWN = ("checking", "fetching", "succeeded")
"""States of a replica whose result is here."""
_UNVERIFIED = {
    "": "one worker has computed it, and nobody else",
    "no_replica": "nobody else could compute it",
    "no_budget": "price.total_max left nothing to have it checked",
    "not_drawn": "the spot checks left it out",
    "no_canary": "one worker has computed it, and it is no canary",
    "canary_failed": "this node could not compute it, too",
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
_NOT_THIS_NODES = "came to another result than this node, which has computed the shard, too"
"""The same at a canary."""


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
    by = _by(checked)
    if len(checked) == len(done):
        return by
    return f"spot-checked: {len(checked)} of {len(done)} shards {by}, the others unverified"


def _by(checked: Sequence[ShardView]) -> str:
    """Return by whom shards were verified; where that is not the same of all, by whom at the least."""
    here = sum(shard.checked == _CANARY for shard in checked)
    others = [shard for shard in checked if shard.checked not in (_REFEREED, _CANARY)]
    counts = {_right_workers(shard) for shard in others}
    if counts:
        by = f"verified by {min(counts)} workers" + (" or more" if len(counts) > 1 else "")
        return f"{by}, or by computing the same on this node ({here})" if here else by
    if here == len(checked):
        return "verified by computing the same on this node"
    by = "verified by running the steps where two results part"
    return f"{by}, or by computing the same on this node ({here})" if here else by


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
    texts = dict(_FAULTS)
    if checked == _REFEREED:
        texts["result_wrong"] = _NOT_THE_STEPS
    elif checked == _CANARY or not replicas:
        texts["result_wrong"] = _NOT_THIS_NODES
    is_compared = bool(replicas) or any(one.code == "result_wrong" for one in attempts)
    faults = [*_faults(attempts, texts), *_faults(replicas, texts)] if is_compared else []
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
