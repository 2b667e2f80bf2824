"""The jobs of a node as an application sees them."""

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from skyops_p2p import limits
from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.errors import ConfigError
from skyops_p2p.node.job_rows import JobRowView
from skyops_p2p.node.jobs.inputs import gather_secrets
from skyops_p2p.node.jobs.job import Job
from skyops_p2p.node.jobs.job_task import JobTask
from skyops_p2p.node.jobs.job_views import JobView
from skyops_p2p.node.jobs.keeper import JobKeeper
from skyops_p2p.node.jobs.pool import WorkerPool, open_pool
from skyops_p2p.node.jobs.rows import task_row


class Jobs:
    """All jobs that this node has submitted.

    Args:
        keeper: Has them.
    """

    def __init__(self, keeper: JobKeeper) -> None:
        self._keeper = keeper

    async def submit(
        self,
        spec: JobSpec,
        *,
        base_dir: Path | None = None,
        secrets: Sequence[tuple[str, bytes]] | None = None,
    ) -> Job:
        """Take a job; when this returns, it is on the disk and survives a restart.

        Args:
            spec: The job.
            base_dir: Where relative `file:` URIs begin; the working directory if it is not given.
            secrets: (name, value), in the job's order; fetched from where the job says if they are not given.

        Raises:
            ConfigError: `secret_missing` or `secret_too_long`.
            ExecutionError: `too_many_jobs`, or `unknown_job`: it depends on a job that is not known.
            StoreError: It could not be written down.
        """
        base = Path(os.path.abspath(base_dir or Path()))  # noqa: ASYNC240, PTH100 - text only; links stay
        values = (
            gather_secrets(spec, base_dir=base, environ=os.environ) if secrets is None else tuple(secrets)
        )
        return self._job(await self._keeper.submit(spec, base_dir=base, values=values))

    @asynccontextmanager
    async def pool(
        self, spec: JobSpec, *, workers: int = 1, base_dir: Path | None = None
    ) -> AsyncIterator[WorkerPool]:
        """Hold workers of one's own for the length of the block; see pool.py.

        Args:
            spec: What they run: a program that takes tasks from SKYOPS_TASKS_IN and answers to SKYOPS_TASKS_OUT.
            workers: How many leases.
            base_dir: As for `submit`.

        Raises:
            SkyopsError: As `submit`.
        """
        if not 1 <= workers <= limits.JOB_SHARDS_MAX:
            raise ConfigError(f"a pool has 1 to {limits.JOB_SHARDS_MAX} workers, not {workers}")
        shards = spec.model_copy(update={"shards": workers, "outputs": (), "gang": False})
        base = Path(os.path.abspath(base_dir or Path()))  # noqa: ASYNC240, PTH100 - text only; links stay
        values = gather_secrets(spec, base_dir=base, environ=os.environ)
        task = await self._keeper.submit(shards, base_dir=base, values=values, is_warm=True)
        async with open_pool(task, self._job(task)) as pool:
            yield pool

    def find(self, text: str) -> Job:
        """Return the job that an id, a unique beginning of one, or a name stands for; of a name the newest.

        Raises:
            ExecutionError: `unknown_job` or `ambiguous_job`.
        """
        return self._job(self._keeper.find(text))

    def list(self) -> tuple[JobView, ...]:
        """Return all jobs in full, oldest first; of many jobs `rows` costs far less."""
        return tuple(task.view() for task in self._keeper.jobs())

    def rows(self, *, is_open: bool = False) -> tuple[JobRowView, ...]:
        """Return a row for each job, or for each that has not ended, oldest first."""
        return tuple(task_row(task) for task in self._keeper.jobs() if not (is_open and task.is_over))

    def _job(self, task: JobTask) -> Job:
        return Job(task, self._keeper.retry)
