"""A pool of workers of one's own: leases that take many small tasks, one after the other, without a new auction.

    async with node.jobs.pool(spec, workers=4) as pool:
        answer = await pool.run(["frame", "17"])
        async for answer in pool.map([["frame", str(n)] for n in range(100)]):
            ...

The program of the specification is started once on each worker and given its tasks through named pipes (docs/pools.md).
A task whose worker dies is run again on another: at least once, not exactly once.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio

from skyops_p2p import limits
from skyops_p2p.core.execution.shard_record import ShardState
from skyops_p2p.errors import ExecutionError, NetworkError
from skyops_p2p.node.jobs.job import Job
from skyops_p2p.node.jobs.job_task import JobTask
from skyops_p2p.node.jobs.shard_task import ShardTask

ATTEMPTS_MAX = 4
"""Workers that one task may lose."""
PER_WORKER_MAX = 8
"""Tasks that are with one worker at a time: the next ones are there when the program asks."""


@dataclass(frozen=True, slots=True)
class TaskResult:
    """How one task ended."""

    exit_code: int
    stdout: bytes
    stderr: bytes
    """Its end."""
    worker: str
    """Peer id."""
    program_s: float
    """From the program's start of it to its answer, as the worker measured."""


class WorkerPool:
    """The workers of one pool; see the module.

    Args:
        task: The job that holds the leases.
        job: The same, for whoever wants to look at it.
    """

    def __init__(self, task: JobTask, job: Job) -> None:
        self.job = job
        self._task = task
        self._with: dict[int, int] = {}
        """Shard -> tasks that are with it."""
        self._freed = trio.Event()

    @property
    def workers(self) -> int:
        """How many stand ready."""
        return sum(_is_ready(shard) for shard in self._task.shards)

    async def wait_ready(self, *, workers: int = 1) -> None:
        """Wait until so many workers stand ready.

        Raises:
            ExecutionError: Code `pool_over`: the job has ended, with its reason.
        """
        while self.workers < workers:
            self._check()
            await self._task.wait_changed()

    async def run(self, arguments: Sequence[str] = (), *, stdin: bytes = b"") -> TaskResult:
        """Run one task on whichever worker is free.

        Args:
            arguments: At most 64.
            stdin: At most TASK_BYTES_MAX bytes.

        Raises:
            ExecutionError: `task_too_large`, `pool_over`, or `task_lost`: ATTEMPTS_MAX workers died under it.
        """
        if len(stdin) > limits.TASK_BYTES_MAX or len(arguments) > 64:
            raise ExecutionError(
                f"a task takes {limits.TASK_BYTES_MAX} bytes and 64 arguments",
                code="task_too_large",
                hint="Give larger data as an input of the pool's job.",
            )
        for _ in range(ATTEMPTS_MAX):
            shard = await self._free_shard()
            lease = shard.lease
            if lease is None:
                continue
            try:
                ended = await lease.run_task(tuple(arguments), stdin)
            except NetworkError:
                continue  # the lease was lost: another worker
            finally:
                self._with[shard.index] -= 1
                self._freed.set()
                self._freed = trio.Event()
            if ended.exit_kind == "exited" and ended.exit_code is not None:
                seconds = ended.wall_us / 1_000_000
                return TaskResult(
                    ended.exit_code, ended.stdout, ended.stderr, lease.facts.worker, program_s=seconds
                )
        raise ExecutionError(
            f"{ATTEMPTS_MAX} workers were lost under a task",
            code="task_lost",
            hint="`skyops logs` of the pool's job shows what its programs said.",
        )

    async def map(self, tasks: Iterable[Sequence[str]]) -> AsyncIterator[TaskResult]:
        """Run many tasks side by side and yield their results in order.

        Raises:
            ExecutionError: As `run`, for the first that fails.
        """
        results: dict[int, TaskResult] = {}
        arrived = trio.Condition()
        gate = trio.Semaphore(PER_WORKER_MAX * max(1, len(self._task.shards)))

        async def one(index: int, arguments: Sequence[str]) -> None:
            async with gate:
                result = await self.run(arguments)
            async with arrived:
                results[index] = result
                arrived.notify_all()

        async with trio.open_nursery() as nursery:
            count = 0
            for index, arguments in enumerate(tasks):
                nursery.start_soon(one, index, arguments)
                count += 1
            for index in range(count):
                async with arrived:
                    while index not in results:
                        await arrived.wait()
                yield results.pop(index)

    async def _free_shard(self) -> ShardTask:
        """Wait for a ready worker that has room; the one with the fewest tasks."""
        while True:
            ready = [shard for shard in self._task.shards if _is_ready(shard)]
            ready = [shard for shard in ready if self._with.get(shard.index, 0) < PER_WORKER_MAX]
            if ready:
                chosen = min(ready, key=lambda shard: self._with.get(shard.index, 0))
                self._with[chosen.index] = self._with.get(chosen.index, 0) + 1
                return chosen
            self._check()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_first, self._freed.wait, nursery.cancel_scope)
                nursery.start_soon(_first, self._task.wait_changed, nursery.cancel_scope)

    def _check(self) -> None:
        view = self._task.view()
        if view.is_over:
            raise ExecutionError(
                f"the pool is over: {view.state} {view.code} {view.text}".strip(),
                code="pool_over",
                hint=view.change or "Open another one.",
            )


@asynccontextmanager
async def open_pool(task: JobTask, job: Job) -> AsyncIterator[WorkerPool]:
    """Hold the leases of a warm job for the length of the block."""
    try:
        yield WorkerPool(task, job)
    finally:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + limits.REQUEST_TIMEOUT_S):
            await job.cancel()


def _is_ready(shard: ShardTask) -> bool:
    return shard.record.state is ShardState.RUNNING and shard.is_program_running


async def _first(wait: Callable[[], Awaitable[object]], scope: trio.CancelScope) -> None:
    await wait()
    scope.cancel()
