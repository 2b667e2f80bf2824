"""What a comparison needs of those that compute a shard once more: the replicas, and who begins them."""

from collections.abc import Sequence
from typing import Protocol

import trio

from skyops_p2p.node.jobs.open_job import OpenJob
from skyops_p2p.node.jobs.records import ReplicaPart
from skyops_p2p.node.jobs.shard_task import ShardTask


class Replica(Protocol):
    """What a comparison sees of a replica; see JobTask."""

    job: OpenJob
    shards: tuple[ShardTask, ...]

    @property
    def replica_of(self) -> ReplicaPart | None:
        """What it is a replica of."""

    async def cancel(self) -> None:
        """End it."""


class Crew(Protocol):
    """Has the replicas; see JobKeeper."""

    turns: trio.CapacityLimiter
    """Comparisons at once."""

    async def hire(self, job: OpenJob, part: ReplicaPart) -> Replica:
        """Begin a replica of a job's shard.

        Raises:
            StoreError: It could not be written down.
        """

    def replicas(self, job_id: bytes, shard: int) -> Sequence[Replica]:
        """Return those of a shard, in the order in which they were begun."""
