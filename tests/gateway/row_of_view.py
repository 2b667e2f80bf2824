"""A job's row as its whole view says it: what the rows of a list are held against."""

from collections import Counter

from skyops_p2p.node.job_rows import WORKERS_SHOWN, JobRowView
from skyops_p2p.node.jobs.job_views import JobView, ShardView


def job_row(view: JobView) -> JobRowView:
    """Return a job's row."""
    shards = view.shards
    workers = dict.fromkeys(shard.worker for shard in shards if _is_held(shard))
    rests = [s.remaining_s for s in shards if s.remaining_s is not None and s.state == "running"]
    return JobRowView(
        job_id=view.job_id,
        name=view.name,
        state=view.state,
        text=view.text,
        code=view.code,
        runtime=view.runtime,
        submitted_unix_ms=view.submitted_unix_ms,
        shards=len(shards),
        states=dict(Counter(shard.state for shard in shards)),
        workers=tuple(workers)[:WORKERS_SHOWN],
        done=sum(shard.done for shard in shards),
        total=sum(shard.total for shard in shards),
        remaining_s=max(rests, default=None),
        attempts=sum(len(shard.attempts) for shard in shards),
        price_microcredits_per_hour=sum(_price(shard) for shard in shards),
    )


def _is_held(shard: ShardView) -> bool:
    """Tell whether a worker holds a shard, or held it at its end."""
    is_over = shard.state in ("succeeded", "failed", "cancelled")
    return bool(shard.worker) and (is_over or not shard.attempts[-1].code)


def _price(shard: ShardView) -> int:
    """Return what the standing lease of a shard costs an hour; 0 without one."""
    last = shard.attempts[-1] if shard.attempts else None
    return last.price_microcredits_per_hour if last is not None and not last.code else 0
