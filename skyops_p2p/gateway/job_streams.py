"""What the streams about jobs say, line by line: the steps of a match, views of a job, its log, a result on its way."""

from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, cast

import trio

from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.gateway.line_stream import Lines
from skyops_p2p.gateway.subject import JobSubject, Subject
from skyops_p2p.limits import API_JOB_LOOK_S, API_JOB_WATCH_S, API_JOB_WATCH_SHARDS

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from skyops_p2p.node.jobs.job_views import JobView, LogLineView


async def say_match(subject: Subject, spec: JobSpec, lines: Lines) -> None:
    """Run a match: {"step": …} as it goes, then {"match": …}."""
    ended = await subject.match(spec, progress=lambda step: lines.mention(step=step.model_dump(mode="json")))
    await lines.say(match=ended.model_dump(mode="json"))


async def say_views(job: JobSubject, lines: Lines) -> None:
    """Say {"job": …} whenever the job stands otherwise than before, until it has ended."""
    said: JobView | None = None
    while True:
        view = job.view()
        if view != said:
            await lines.say(job=view.model_dump(mode="json"))
            said = view
        if view.is_over:
            return
        # What happens during the pause is seen after it; what happens in the wait ends it.
        await trio.sleep(API_JOB_WATCH_S * max(1.0, len(view.shards) / API_JOB_WATCH_SHARDS))
        if job.view() == said:
            with trio.move_on_after(API_JOB_LOOK_S):
                await job.wait_changed()


async def say_log(job: JobSubject, lines: Lines, *, follow: bool, shard: int | None) -> None:
    """Say {"line": …} of each record of a job's log, and {"end": {"lines": …}}: a log cut short is none."""
    count = 0
    log = cast("AsyncGenerator[LogLineView]", job.logs(follow=follow, shard=shard))
    async with aclosing(log):
        async for line in log:
            await lines.say(line=line.model_dump(mode="json"))
            count += 1
    await lines.say(end={"lines": count})


async def say_result(job: JobSubject, into: Path, lines: Lines) -> None:
    """Open a job's outputs: {"progress": {"done": …, "total": …}} in bytes, then {"result": …}."""
    told_at = -1.0

    def tell(done: int, total: int) -> None:
        nonlocal told_at
        if done == total or trio.current_time() - told_at >= API_JOB_WATCH_S:
            told_at = trio.current_time()
            lines.mention(progress={"done": done, "total": total})

    ended = await job.result(into, progress=tell)
    await lines.say(result=ended.model_dump(mode="json"))
