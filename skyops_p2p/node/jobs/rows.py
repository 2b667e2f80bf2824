"""One row for each job, straight from its tasks: a list of many jobs must not cost their whole views."""

from collections import Counter

import trio

from skyops_p2p.core.execution.shard_record import Attempt
from skyops_p2p.node.job_rows import WORKERS_SHOWN, JobRowView
from skyops_p2p.node.jobs.job_task import JobTask
from skyops_p2p.node.jobs.shard_task import ShardTask
from skyops_p2p.types import PeerId


def task_row(task: JobTask) -> JobRowView:
    """Return a job's row: what `job_row` makes of its whole view, without opening a receipt."""
    standing, shards = task.standing(), task.shards
    now = trio.current_time()
    beats = [shard.watch.beat for shard in shards if not shard.is_over and shard.watch.beat is not None]
    running = [shard for shard in shards if shard.record.state.value == "running"]
    rests = [found.remaining_s for shard in running if (found := shard.watch.estimate(now)) is not None]
    leases = [lease for shard in shards if (lease := shard.record.lease) is not None]
    return JobRowView.model_construct(
        job_id=task.job_id.hex(),
        name=task.job.spec.name,
        state=standing.state,
        text=standing.text,
        code=standing.code,
        runtime=task.job.spec.runtime,
        submitted_unix_ms=task.submitted_unix_ms,
        shards=len(shards),
        states=dict(Counter(shard.record.state.value for shard in shards)),
        workers=tuple(dict.fromkeys(filter(None, map(_worker, shards))))[:WORKERS_SHOWN],
        done=sum(beat.done for beat in beats),
        total=sum(beat.total for beat in beats),
        remaining_s=max(rests, default=None),
        attempts=sum(len(shard.record.attempts) for shard in shards),
        price_microcredits_per_hour=sum(lease.price for lease in leases),
    )


def _worker(shard: ShardTask) -> PeerId | None:
    """Return who holds a shard, or held it at its end."""
    last: Attempt | None = shard.record.attempts[-1] if shard.record.attempts else None
    is_held = last is not None and (shard.is_over or not last.code)
    return last.worker if last is not None and is_held else None
