"""The replicas of this requester: jobs that compute a shard of another one once more. They are hidden among its jobs.

Bounds: REPLICAS_PER_SHARD_MAX of a shard, COMPARISONS_OPEN_MAX shards at once.
"""

import logging
from collections.abc import Mapping

import trio

from skyops_p2p import limits
from skyops_p2p.core.execution.shard_record import ShardRecord
from skyops_p2p.core.jobs.encoding import decode_spec, encode_spec
from skyops_p2p.errors import NetworkError
from skyops_p2p.node.jobs.inputs import InputSealer
from skyops_p2p.node.jobs.job_task import JobTask
from skyops_p2p.node.jobs.open_job import OpenJob
from skyops_p2p.node.jobs.records import JobPart, JobSecrets, ReplicaPart
from skyops_p2p.node.jobs.tools import JobTools

log = logging.getLogger(__name__)


class Replicas:
    """All replicas.

    Args:
        tools: What jobs are made with.
        sealer: Of inputs; theirs are sealed already.
    """

    def __init__(self, tools: JobTools, sealer: InputSealer) -> None:
        self.turns = trio.CapacityLimiter(limits.COMPARISONS_OPEN_MAX)
        self.nursery: trio.Nursery | None = None
        """Where they run."""
        self._tools = tools
        self._sealer = sealer
        self._by_parent: dict[bytes, list[JobTask]] = {}
        """Job -> its replicas, in the order in which they were begun."""

    async def hire(self, job: OpenJob, part: ReplicaPart) -> JobTask:
        """Begin a replica of a job's shard: when this returns, it is on the disk.

        Raises:
            StoreError: It could not be written down.
        """
        if self.nursery is None:
            raise NetworkError("the node is not running", code="node_not_running")
        entropy = self._tools.entropy
        hidden = JobSecrets(job.secrets.content_key, job.secrets.secrets, entropy.token(32))
        written = JobPart(
            job_id=entropy.token(16),
            spec=encode_spec(job.spec),
            submitted_unix_ms=self._tools.wall_clock.now_ms(),
            sealed=self._tools.records.seal(hidden),
            base_dir="",
            inputs=job.inputs,
            replica_of=part,
        )
        await self._tools.records.save_job(written)
        task = self._make(job, written, hidden, {})
        self.nursery.start_soon(task.run)
        return task

    def replicas(self, job_id: bytes, shard: int) -> tuple[JobTask, ...]:
        """Return those of a shard, in the order in which they were begun."""
        return tuple(one for one in self.of(job_id) if _part(one).shard == shard)

    def of(self, job_id: bytes) -> tuple[JobTask, ...]:
        """Return those of a job, in the order in which they were begun."""
        found = self._by_parent.get(job_id, [])
        return tuple(sorted(found, key=lambda one: _in_order(_part(one))))

    def put_back(self, part: JobPart, records: Mapping[int, ShardRecord], parent: JobTask | None) -> None:
        """Go on with a replica after a restart; one whose job has ended, or is forgotten, is ended.

        Args:
            part: As the journal has it.
            records: Of its shard.
            parent: The job whose shard it computes.

        Raises:
            StoreError: Its keys cannot be opened.
        """
        assert part.replica_of is not None, "only replicas"
        assert self.nursery is not None, "put back before it runs"
        hidden = self._tools.records.open(part.sealed)
        if parent is None:
            job = OpenJob(part.replica_of.job_id, decode_spec(part.spec), self._tools, hidden)
            log.info("replica_without_job job=%s", job.short)
        else:
            job = parent.job
        task = self._make(job, part, hidden, records)
        if not task.is_over:
            self.nursery.start_soon(task.run)
            if parent is None or parent.is_over:
                self.nursery.start_soon(task.cancel)

    async def forget(self, job_id: bytes) -> None:
        """Delete those of a job that is forgotten.

        Raises:
            StoreError: It cannot be written.
        """
        for task in self._by_parent.pop(job_id, []):
            await self._tools.records.forget(task.job_id, task.job.spec.shards)
            for shard in task.shards:
                await shard.content.forget()

    def _make(
        self, job: OpenJob, part: JobPart, hidden: JobSecrets, records: Mapping[int, ShardRecord]
    ) -> JobTask:
        assert part.replica_of is not None, "only replicas"
        label = f"{job.short} replica {part.replica_of.place + 1}"
        own = OpenJob(
            part.job_id,
            job.spec,
            self._tools,
            hidden,
            label=label,
            replica_of=part.replica_of.job_id,
            checks=job.checks,
            suspects=job.suspects,
        )
        task = JobTask(own, part, records, sealer=self._sealer, depends_on=(), crew=self)
        self._by_parent.setdefault(part.replica_of.job_id, []).append(task)
        return task


def _in_order(part: ReplicaPart) -> tuple[int, int, int]:
    return part.shard, part.of_epoch, part.place


def _part(task: JobTask) -> ReplicaPart:
    assert task.replica_of is not None, "only replicas are kept here"
    return task.replica_of
