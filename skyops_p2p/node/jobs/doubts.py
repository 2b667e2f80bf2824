"""What becomes of the other shards of an array whose worker was wrong at one: what nobody has checked is computed anew.

A result that the spot checks have left out was taken because its worker had a good record, another one because nobody
else was there. Once the worker is caught in the same job neither is a reason any more. What is doubted follows from the
records alone, so a restart comes to the same.
Spec: protocol/06-verification.md, "Spot checks".
"""

import logging
from collections.abc import Callable, Collection, Sequence

import trio

from skyops_p2p.core.execution import shard_events as ev
from skyops_p2p.core.execution.shard_record import ShardRecord, ShardState
from skyops_p2p.core.machine import Event
from skyops_p2p.node.jobs.open_job import OpenJob
from skyops_p2p.node.jobs.redundancy import Comparisons
from skyops_p2p.node.jobs.settling import UNCHECKED
from skyops_p2p.node.jobs.shard_task import ShardTask
from skyops_p2p.types import MonotonicS, PeerId

log = logging.getLogger(__name__)


def is_doubtful(record: ShardRecord, suspects: Collection[PeerId]) -> bool:
    """Tell whether a shard's result must be computed anew.

    Args:
        record: Of the shard.
        suspects: Nodes whose wallets were wrong at another shard of the job.

    Rules: VER-23.
    """
    is_taken = record.state is ShardState.SUCCEEDED and record.checked in UNCHECKED
    return is_taken and record.attempts[-1].worker in suspects


def found_wrong(record: ShardRecord, kin: Callable[[PeerId], Sequence[PeerId]]) -> set[PeerId]:
    """Return whose committed results did not stand at a shard, with the other nodes of their wallets.

    Args:
        record: Of the shard, or of a replica of it.
        kin: Returns the nodes of a node's wallet.
    """
    wrong = [one.worker for one in record.attempts if one.is_wrong]
    return {peer for worker in wrong for peer in kin(worker)}


class Doubts:
    """The shards of one job that may have to begin again.

    Args:
        job: The job.
        shards: Its shards.
        comparisons: Of its results; None: nothing is compared, and nothing doubted.
        deadlines: Returns when looking for a worker, and everything, must be over.
    """

    def __init__(
        self,
        job: OpenJob,
        shards: Sequence[ShardTask],
        comparisons: Comparisons | None,
        deadlines: Callable[[], tuple[MonotonicS, MonotonicS | None]],
    ) -> None:
        self._job = job
        self._shards = shards
        self._comparisons = comparisons
        self._deadlines = deadlines
        self._driven: set[int] = set()

    def suspect(self, worker: PeerId, nursery: trio.Nursery) -> None:
        """Doubt what a worker has left unchecked, before the shard goes on at which it was wrong.

        Args:
            worker: Who was wrong.
            nursery: Runs the shards that begin again; open as long as the job is.

        Rules: VER-23.
        """
        self._job.suspects.update(self._job.tools.draws.kin(worker))
        for task in self._shards:
            if task.index not in self._driven and is_doubtful(task.record, self._job.suspects):
                nursery.start_soon(self._begin_again, task)

    async def drive(self, task: ShardTask, first: Event) -> None:
        """Drive a shard until it has ended with a result that is not doubted, or without one."""
        self._driven.add(task.index)
        try:
            await self._run(task, first)
            while is_doubtful(task.record, self._job.suspects):
                await self._run(task, ev.ResultDoubted(*self._deadlines()))
        finally:
            self._driven.discard(task.index)

    async def _run(self, task: ShardTask, first: Event) -> None:
        if self._comparisons is None or not isinstance(first, ev.ResultDoubted):
            await task.run(first)
            return
        log.info("result_doubted job=%s shard=%d", self._job.short, task.index)
        comparison, ended = self._comparisons.of(task.index), trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(comparison.run_again, ended)
            await task.run(first)
            ended.set()
            comparison.wake()

    async def _begin_again(self, task: ShardTask) -> None:
        if task.index not in self._driven and is_doubtful(task.record, self._job.suspects):
            await self.drive(task, ev.ResultDoubted(*self._deadlines()))
