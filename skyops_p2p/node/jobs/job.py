"""A job as an application holds it.

job = await node.submit(spec)
async for line in job.logs():
    print(line.text)
await job.result(Path("results"))
"""

import secrets
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import trio

from skyops_p2p.errors import ExecutionError
from skyops_p2p.node.content.shelf import no_progress
from skyops_p2p.node.jobs.job_task import JobTask
from skyops_p2p.node.jobs.job_views import CheckpointView, JobView, LogLineView, ResultView
from skyops_p2p.node.jobs.log_files import LogLine
from skyops_p2p.node.jobs.results import open_result
from skyops_p2p.node.jobs.shard_task import ShardTask

LOG_LINES_MAX = 1024
"""Lines of one follower that wait to be read; the shards' logs wait meanwhile."""


class Job:
    """One job of this node. It lives on in the node, whether somebody holds this or not.

    Args:
        task: Drives it.
        retry: Runs it again.
    """

    def __init__(self, task: JobTask, retry: Callable[[JobTask], None]) -> None:
        self._task = task
        self._retry = retry

    @property
    def job_id(self) -> str:
        """Hex, 32 digits."""
        return self._task.job_id.hex()

    def view(self) -> JobView:
        """Return how it stands."""
        return self._task.view()

    async def wait_changed(self) -> JobView:
        """Wait until something has happened to it, and return how it stands then."""
        await self._task.wait_changed()
        return self.view()

    async def wait(self) -> JobView:
        """Wait until it has ended, however that is, and return how."""
        await self._task.wait_over()
        return self.view()

    async def logs(self, *, follow: bool = True, shard: int | None = None) -> AsyncIterator[LogLineView]:
        """Yield the log from its beginning: what is here, and with `follow` what comes, until the job ends.

        Args:
            follow: Wait for more.
            shard: Only of this shard; None: of all, as they come.

        Raises:
            ExecutionError: Code `no_shard`.
        """
        while follow and not self._task.shards and not self._task.is_over:
            await self._task.wait_changed()
        tasks = self._shards(shard)
        send, receive = trio.open_memory_channel[LogLineView](LOG_LINES_MAX)
        async with trio.open_nursery() as nursery:
            async with send:
                for task in tasks:
                    nursery.start_soon(self._copy, task, send.clone(), follow)
            async with receive:
                async for line in receive:
                    yield line
            nursery.cancel_scope.cancel()

    async def result(
        self, into: Path, *, progress: Callable[[int, int], None] = lambda _done, _total: None
    ) -> ResultView:
        """Wait for its end and decrypt its outputs into a directory.

        Args:
            into: Made if it is not there; nothing in it is replaced.
            progress: Told (done, total) bytes.

        Raises:
            ExecutionError: `no_result` (it failed, was cancelled, or has no outputs) or `result_in_the_way`.
        """
        await self._task.wait_over()
        return await open_result(self._task, into, progress=progress)

    async def publish(self) -> str:
        """Wait for its end and put its outputs out as plain UnixFS: everybody may read them from then on.

        Returns:
            The CID, for `ipfs://CID`; this node serves it as long as it runs.

        Raises:
            ExecutionError: As `result`.
        """
        await self._task.wait_over()
        tools = self._task.job.tools
        passage = tools.folder / "passage" / secrets.token_hex(8)
        await open_result(self._task, passage, progress=no_progress)
        try:
            return await tools.publish(passage, f"public/{self.job_id}")
        finally:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(shutil.rmtree, passage)

    def checkpoints(self) -> tuple[CheckpointView, ...]:
        """Return the saved checkpoints of all shards."""
        return tuple(one for shard in self.view().shards for one in shard.checkpoints)

    async def cancel(self) -> None:
        """End it; programs that run get time for a last checkpoint. One that has ended stays as it is."""
        await self._task.cancel()

    def retry(self) -> None:
        """Run again what has not succeeded, from its last checkpoints.

        Raises:
            ExecutionError: `job_open` or `job_succeeded`.
        """
        self._retry(self._task)

    def _shards(self, shard: int | None) -> tuple[ShardTask, ...]:
        count = self._task.job.spec.shards
        if shard is not None and not 0 <= shard < count:
            raise ExecutionError(
                f"job {self._task.job.short} has shards 0 to {count - 1}", code="no_shard", hint="Name one."
            )
        return tuple(task for task in self._task.shards if shard in (None, task.index))

    @staticmethod
    async def _copy(task: ShardTask, send: trio.MemorySendChannel[LogLineView], follow: bool) -> None:
        """Copy one shard's log from its file, now and whenever something new is told."""
        position = 0
        async with send:
            while True:
                with task.feed.follow() as fresh:
                    was_over = task.is_over
                    lines, position = await trio.to_thread.run_sync(task.content.log.read, position)
                    for line in lines:
                        await send.send(_view(task.index, line))
                    if lines:
                        continue
                    if not follow or was_over:
                        return
                    async for _line in fresh:
                        break  # the file has it, and in order


def _view(shard: int, line: LogLine) -> LogLineView:
    return LogLineView(
        shard=shard,
        epoch=line.epoch,
        number=line.number,
        unix_ms=line.unix_ms,
        stream=line.stream,
        text=line.data.decode("utf-8", "replace"),
    )
