"""Jobs in a list: one row each, whatever the number of shards."""

from collections import Counter

from skyops_p2p.node.jobs.job_views import JobView, ShardView
from skyops_p2p.node.views import View


class JobRowView(View):
    """One job in a list."""

    job_id: str
    """Hex, 32 digits."""
    name: str
    state: str
    """As in JobView."""
    text: str
    """What happened last."""
    code: str
    """Outcome; empty before the end."""
    runtime: str
    submitted_unix_ms: int
    shards: int
    """0 while the inputs are being encrypted."""
    states: dict[str, int]
    """Shards by state."""
    workers: tuple[str, ...]
    """Peer ids of those that hold a shard now, or held it last; at most WORKERS_SHOWN."""
    done: int
    """Steps of all shards, as their programs tell them."""
    total: int
    """0 while no program has told it."""
    remaining_s: float | None
    """Until the slowest running shard is done."""
    attempts: int
    price_microcredits_per_hour: int
    """Of all standing leases together."""

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.state in ("succeeded", "failed", "cancelled")


WORKERS_SHOWN = 8


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
