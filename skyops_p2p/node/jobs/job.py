"""A job as an application holds it.

job = await node.submit(spec)
async for line in job.logs():
    print(line.text)
await job.result(Path("results"))
"""

import codecs
import secrets
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import trio

from skyops_p2p.core.verification.check import check_verdict
from skyops_p2p.errors import ExecutionError
from skyops_p2p.node.jobs.job_task import JobTask
from skyops_p2p.node.jobs.job_views import CheckpointView, JobView, LogLineView, PublishedView, ResultView
from skyops_p2p.node.jobs.log_files import LogLine
from skyops_p2p.node.jobs.results import open_result
from skyops_p2p.node.jobs.shard_task import ShardTask
from skyops_p2p.node.jobs.verdict_views import VerdictView, verdict_view
from skyops_p2p.node.jobs.verify_views import VerifyView
from skyops_p2p.node.jobs.verifying import verify_job
from skyops_p2p.node.settlement.payments import Payments
from skyops_p2p.node.settlement.settlement_views import BillingView


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
        positions: dict[int, int] = {}
        decoders: dict[tuple[int, int, str], codecs.IncrementalDecoder] = {}
        while True:
            was_over, change = self._task.is_over, self._task.next_change
            is_quiet = True
            for task in self._shards(shard):
                start = positions.get(task.index, 0)
                lines, positions[task.index] = await trio.to_thread.run_sync(task.content.log.read, start)
                for line in lines:
                    is_quiet = False
                    yield _view(task.index, line, decoders)
            if is_quiet and (was_over or not follow):
                return
            if is_quiet:
                await change.wait()

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

    async def publish(
        self, *, progress: Callable[[int, int], None] = lambda _done, _total: None
    ) -> PublishedView:
        """Wait for its end and put its outputs out as plain UnixFS: everybody may read them from then on.

        Args:
            progress: Told (done, total) bytes that are decrypted.

        Returns:
            The CID and where this node serves it, as long as it runs.

        Raises:
            ExecutionError: As `result`.
        """
        await self._task.wait_over()
        tools = self._task.job.tools
        passage = tools.folder / "passage" / secrets.token_hex(8)
        found = await open_result(self._task, passage, progress=progress)
        try:
            cid = await tools.publish(passage, f"public/{self.job_id}")
            return PublishedView(
                job_id=self.job_id,
                cid=cid,
                files=found.files,
                size_bytes=found.size_bytes,
                addrs=tuple(f"{addr}/p2p/{tools.own}" for addr in tools.own_holder().addrs),
            )
        finally:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(shutil.rmtree, passage)

    async def verify(
        self,
        *,
        shard: int | None = None,
        is_stretch: bool = False,
        progress: Callable[[int, int], None] = lambda _done, _total: None,
    ) -> VerifyView:
        """Wait for its end, run it again on this machine, and compare its outputs with those that came.

        Args:
            shard: Only this one; None: all that have succeeded.
            is_stretch: Run only the stretch again that has decided between two results.
            progress: Told (shards compared, shards in all).

        Raises:
            ExecutionError: `not_deterministic`, `no_result`, `no_stretch`, `no_shard`, `verify_busy`, `inputs_gone`, or
                what running it raises. That it came out differently is no error: the view says so.
        """
        self._shards(shard)
        await self._task.wait_over()
        return await verify_job(self._task, shard=shard, told=progress, is_stretch=is_stretch)

    async def verdict(self, *, shard: int = 0) -> VerdictView:
        """Return what came of comparing a shard's results, checked from its bytes.

        Raises:
            ExecutionError: `no_shard` or `no_verdict`.
        """
        self._shards(shard)
        data = await self._task.job.tools.verdicts.read(self._task.job_id, shard)
        return verdict_view(check_verdict(data), data)

    def checkpoints(self) -> tuple[CheckpointView, ...]:
        """Return the saved checkpoints of all shards."""
        return tuple(one for shard in self.view().shards for one in shard.checkpoints)

    def billing(self) -> BillingView:
        """Return what it has cost this node; nothing where nothing is paid."""
        payments = Payments(self._task.job.tools.payments)
        return payments.billing(self._task.job_id, self._task.job.spec.name, self.view().replica_ids)

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


def _view(
    shard: int, line: LogLine, decoders: dict[tuple[int, int, str], codecs.IncrementalDecoder]
) -> LogLineView:
    """Return a record as it is shown; a character that two records share stands in the second."""
    key = (shard, line.epoch, line.stream)
    decoder = decoders.get(key)
    if decoder is None:
        decoder = decoders[key] = codecs.getincrementaldecoder("utf-8")("replace")
    return LogLineView(
        shard=shard,
        epoch=line.epoch,
        number=line.number,
        unix_ms=line.unix_ms,
        stream=line.stream,
        text=decoder.decode(line.data),
    )
