"""What the streams about jobs say, line by line: the steps of a match, views of a job, its log, a result on its way."""

import math
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import cast

import trio

from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.errors import SkyopsError
from skyops_p2p.gateway.line_stream import Lines
from skyops_p2p.gateway.subject import JobSubject, Subject
from skyops_p2p.limits import (
    API_JOB_LOOK_S,
    API_JOB_WATCH_S,
    API_JOB_WATCH_SHARDS,
    API_LOG_LINE_WAIT_S,
    EVENT_FEED_MAX,
)
from skyops_p2p.node.jobs.job_views import JobView, LogLineView
from skyops_p2p.node.log_lines import LineJoiner


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


async def say_log(job: JobSubject, lines: Lines, *, follow: bool, shard: int | None, is_raw: bool) -> None:
    """Say {"line": …} of each line of a job's log, and {"end": {"lines": …}}: a log cut short is none.

    Args:
        job: Whose.
        lines: Where.
        follow: Go on until the job ends.
        shard: Only of this one.
        is_raw: Say records as the worker made them, with the ends of lines in their text.
    """
    records_in, records_out = trio.open_memory_channel[LogLineView | SkyopsError](EVENT_FEED_MAX)
    async with trio.open_nursery() as nursery, records_out:
        nursery.start_soon(_read, job.logs(follow=follow, shard=shard), records_in)
        count, trouble = await _say_lines(records_out, lines, is_raw=is_raw)
    if trouble is not None:
        raise trouble
    await lines.say(end={"lines": count})


async def _say_lines(
    records: trio.MemoryReceiveChannel[LogLineView | SkyopsError], lines: Lines, *, is_raw: bool
) -> tuple[int, SkyopsError | None]:
    """Say what comes; return how many lines that were, and the error that ended it."""
    count, joiner, is_open = 0, LineJoiner(), True
    while is_open:
        record: LogLineView | SkyopsError | None = None
        try:
            with trio.move_on_after(API_LOG_LINE_WAIT_S if joiner.is_holding else math.inf):
                record = await records.receive()
        except trio.EndOfChannel:
            is_open = False
        if isinstance(record, SkyopsError):
            return count, record
        found = joiner.flush() if record is None else [record] if is_raw else joiner.add(record)
        await lines.say_each("line", found)
        count += len(found)
    return count, None


async def _read(
    log: AsyncIterator[LogLineView], records: trio.MemorySendChannel[LogLineView | SkyopsError]
) -> None:
    """Copy a log, and the error that ends it."""
    async with records, aclosing(cast("AsyncGenerator[LogLineView, None]", log)):
        try:
            async for record in log:
                await records.send(record)
        except SkyopsError as error:
            await records.send(error)


async def say_result(job: JobSubject, into: Path, lines: Lines) -> None:
    """Open a job's outputs: {"progress": {"done": …, "total": …}} in bytes, then {"result": …}."""
    ended = await job.result(into, progress=_teller(lines))
    await lines.say(result=ended.model_dump(mode="json"))


async def say_published(job: JobSubject, lines: Lines) -> None:
    """Put a job's outputs out in plain: {"progress": …} as `say_result`, then {"published": …}."""
    ended = await job.publish(progress=_teller(lines))
    await lines.say(published=ended.model_dump(mode="json"))


async def say_verified(job: JobSubject, shard: int | None, lines: Lines, *, is_stretch: bool = False) -> None:
    """Run a job again: {"progress": {"done": …, "total": …}} in shards, then {"verified": …}."""
    ended = await job.verify(shard=shard, is_stretch=is_stretch, progress=_teller(lines))
    await lines.say(verified=ended.model_dump(mode="json"))


def _teller(lines: Lines) -> Callable[[int, int], None]:
    """Return what mentions (done, total), not more often than views are shown, and the end."""
    told_at = -1.0

    def tell(done: int, total: int) -> None:
        nonlocal told_at
        if done == total or trio.current_time() - told_at >= API_JOB_WATCH_S:
            told_at = trio.current_time()
            lines.mention(progress={"done": done, "total": total})

    return tell
