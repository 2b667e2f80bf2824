"""All jobs of this requester: takes new ones, runs them side by side, and goes on with them after a restart.

Bounds: JOBS_OPEN_MAX open jobs; JOBS_REMEMBERED_MAX ended ones are listed.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import trio

from skyops_p2p import limits
from skyops_p2p.core.execution.layout import layout_of
from skyops_p2p.core.execution.shard_record import ShardRecord
from skyops_p2p.core.jobs.encoding import decode_spec, encode_spec
from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.errors import ExecutionError, NetworkError, SkyopsError
from skyops_p2p.node.jobs.inputs import InputSealer
from skyops_p2p.node.jobs.job_task import JobTask
from skyops_p2p.node.jobs.open_job import OpenJob
from skyops_p2p.node.jobs.records import JobPart, JobSecrets
from skyops_p2p.node.jobs.replicas import Replicas
from skyops_p2p.node.jobs.resolvers import OtherJobs
from skyops_p2p.node.jobs.results import put_outputs
from skyops_p2p.node.jobs.tools import JobTools

log = logging.getLogger(__name__)

PASSAGE = "passage"
"""Directory for data on its way into a job."""


class JobKeeper:
    """The jobs.

    Args:
        tools: What jobs are made with.
    """

    def __init__(self, tools: JobTools) -> None:
        self._tools = tools
        others = OtherJobs(tools.folder / PASSAGE, self.find)
        self._sealer = InputSealer(tools.shelf, {"job": others.resolve, **tools.resolvers})
        self.replicas = Replicas(tools, self._sealer)
        """Jobs that compute others' shards once more."""
        self._jobs: dict[bytes, JobTask] = {}
        """Oldest first."""
        self._nursery: trio.Nursery | None = None

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Go on with what was there before a restart, and run what comes until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = self.replicas.nursery = nursery
            await self._restore()
            task_status.started()
            await trio.sleep_forever()

    async def submit(
        self,
        spec: JobSpec,
        *,
        base_dir: Path,
        values: Sequence[tuple[str, bytes]],
        is_warm: bool = False,
    ) -> JobTask:
        """Take a job: when this returns, it is on the disk and survives a restart.

        Args:
            spec: The job.
            base_dir: Where relative `file:` URIs begin; absolute.
            values: (name, value) of its secrets, in its order.
            is_warm: Its leases take tasks; it does not survive a restart.

        Raises:
            ExecutionError: `too_many_jobs`, `unknown_job` (it depends on none that is known), `spec_refused` (a path
                in a directory of the system).
            StoreError: It could not be written down.
        """
        if self._nursery is None:
            raise NetworkError("the node is not running", code="node_not_running")
        if sum(not task.is_over for task in self._jobs.values()) >= limits.JOBS_OPEN_MAX:
            raise ExecutionError(
                f"{limits.JOBS_OPEN_MAX} jobs are open",
                code="too_many_jobs",
                hint="Wait for some to end, or cancel them: `skyops ps`.",
            )
        layout_of(spec)  # a path that no worker would take is refused now, not after an auction
        others = tuple(self.find(name) for name in spec.depends_on)
        entropy = self._tools.entropy
        hidden = JobSecrets(entropy.token(32), tuple(values), entropy.token(32))
        part = JobPart(
            job_id=self._tools.entropy.token(16),
            spec=encode_spec(spec),
            submitted_unix_ms=self._tools.wall_clock.now_ms(),
            sealed=self._tools.records.seal(hidden),
            base_dir=str(base_dir),
            is_warm=is_warm or None,
        )
        await self._tools.records.save_job(part)
        job = OpenJob(part.job_id, spec, self._tools, hidden, is_warm=is_warm)
        task = JobTask(job, part, {}, sealer=self._sealer, depends_on=others, crew=self.replicas)
        self._jobs[part.job_id] = task
        self._nursery.start_soon(self._live, task.run, task)
        await self._forget_old()
        return task

    def jobs(self) -> tuple[JobTask, ...]:
        """Return all jobs, oldest first."""
        return tuple(self._jobs.values())

    def find(self, text: str) -> JobTask:
        """Return the job that a whole id, a unique beginning of one, or a name stands for; of a name the newest.

        Raises:
            ExecutionError: `unknown_job` or `ambiguous_job`.
        """
        by_id = [task for key, task in self._jobs.items() if key.hex().startswith(text.lower())]
        named = [task for task in self._jobs.values() if task.job.spec.name == text]
        if len(by_id) == 1 and len(text) >= 4:
            return by_id[0]
        if named:
            return named[-1]
        if len(by_id) > 1:
            raise ExecutionError(
                f"{len(by_id)} jobs begin with {text!r}",
                code="ambiguous_job",
                hint="Give more of the id; `skyops ps` lists them.",
            )
        raise ExecutionError(
            f"there is no job {text!r}", code="unknown_job", hint="`skyops ps` lists all jobs of this node."
        )

    def retry(self, task: JobTask) -> None:
        """Run again what has not succeeded of a job that is over.

        Raises:
            ExecutionError: `job_open` or `job_succeeded`.
        """
        view = task.view()
        if not view.is_over:
            raise ExecutionError(f"job {task.job.short} has not ended ({view.state})", code="job_open")
        if view.state == "succeeded":
            raise ExecutionError(f"job {task.job.short} has succeeded", code="job_succeeded")
        if self._nursery is None:
            raise NetworkError("the node is not running", code="node_not_running")
        self._nursery.start_soon(self._live, task.retry, task)

    @staticmethod
    async def _live(run: Callable[[], Awaitable[None]], task: JobTask) -> None:
        """Drive a job to its end, and put out what it left."""
        await run()
        await put_outputs(task)

    # --- restart --------------------------------------------------------------------------------------------------
    async def _restore(self) -> None:
        parts, shards, unreadable = await self._tools.records.restore()
        if unreadable:
            log.warning("jobs_not_restored entries=%d", unreadable)
        in_order = sorted(
            parts.values(), key=lambda part: (part.replica_of is not None, part.submitted_unix_ms)
        )
        for part in in_order:
            own = {index: record for (job_id, index), record in shards.items() if job_id == part.job_id}
            try:
                self._put_back(part, own)
            except SkyopsError as error:
                log.warning("job_not_restored job=%s code=%s", part.job_id.hex()[:12], error.code)
        await self._forget_old()

    def _put_back(self, part: JobPart, records: dict[int, ShardRecord]) -> None:
        if part.replica_of is not None:
            self.replicas.put_back(part, records, self._jobs.get(part.replica_of.job_id))
            return
        hidden = self._tools.records.open(part.sealed)
        spec = decode_spec(part.spec)
        others = tuple(self.find(name) for name in spec.depends_on)
        job = OpenJob(part.job_id, spec, self._tools, hidden)
        task = JobTask(job, part, records, sealer=self._sealer, depends_on=others, crew=self.replicas)
        self._jobs[part.job_id] = task
        if not task.is_over and self._nursery is not None:
            self._nursery.start_soon(self._live, task.run, task)
            if part.is_warm:  # who opened the pool is gone
                self._nursery.start_soon(task.cancel)

    async def _forget_old(self) -> None:
        """Forget the oldest ended jobs past JOBS_REMEMBERED_MAX, with their results."""
        surplus = len(self._jobs) - limits.JOBS_REMEMBERED_MAX
        old = [task for task in self._jobs.values() if surplus > 0 and task.is_over][: max(0, surplus)]
        for task in old:
            del self._jobs[task.job_id]
            try:
                await self.replicas.forget(task.job_id)
                await self._tools.records.forget(task.job_id, task.job.spec.shards)
                for shard in task.shards:
                    await shard.content.forget()
                await self._tools.shelf.release(task.job.owner)
            except SkyopsError as error:
                log.warning("job_not_forgotten job=%s code=%s", task.job.short, error.code)
