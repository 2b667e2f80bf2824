"""One job of the requester: waits for what it depends on, seals its inputs, runs its shards, and puts outputs out."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import trio

from skyops_p2p import limits
from skyops_p2p.core.execution import shard_events as ev
from skyops_p2p.core.execution.outcomes import GANG_FAILED, SUCCEEDED
from skyops_p2p.core.execution.shard_record import ShardRecord, ShardState
from skyops_p2p.core.machine import Event
from skyops_p2p.errors import SkyopsError
from skyops_p2p.node.jobs.array import Array
from skyops_p2p.node.jobs.check_words import verified_text
from skyops_p2p.node.jobs.crew import Crew
from skyops_p2p.node.jobs.doubts import Doubts, found_wrong, is_doubtful
from skyops_p2p.node.jobs.gang import Gang
from skyops_p2p.node.jobs.inputs import InputSealer
from skyops_p2p.node.jobs.job_views import JobView, ReplicaView, meaning_of, state_of
from skyops_p2p.node.jobs.open_job import OpenJob
from skyops_p2p.node.jobs.present import replica_view, shard_view
from skyops_p2p.node.jobs.records import JobPart, ReplicaPart
from skyops_p2p.node.jobs.redundancy import Comparisons
from skyops_p2p.node.jobs.shard_task import ShardTask
from skyops_p2p.types import MonotonicS, PeerId

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Standing:
    """How a job stands, whatever the number of its shards."""

    state: str
    """As in JobView."""
    code: str
    """Outcome; empty before the end."""
    text: str
    """What happened last."""


class JobTask:
    """One job.

    Args:
        job: What its shards share.
        part: As the journal has it.
        records: Of its shards, those that there are.
        sealer: Seals the inputs.
        depends_on: The jobs that must have ended well before.
        crew: Has the replicas of its shards.
    """

    def __init__(
        self,
        job: OpenJob,
        part: JobPart,
        records: Mapping[int, ShardRecord],
        *,
        sealer: InputSealer,
        depends_on: "tuple[JobTask, ...]",
        crew: Crew,
    ) -> None:
        self.job = job
        self.text = "waiting"
        self.depends_on = depends_on
        self._part = part
        self._records = dict(records)
        self._sealer = sealer
        self._crew = crew
        self.comparisons: Comparisons | None = None
        """Of its results with those of replicas; None: nothing is compared, or this is a replica."""
        self._changed = trio.Event()
        self._ended = trio.Event()
        self._scope = trio.CancelScope()
        self.shards: tuple[ShardTask, ...] = ()
        if part.ended_code is not None:
            self._ended.set()
        if part.inputs is not None:
            self._make_shards()

    # --- what it shows --------------------------------------------------------------------------------------------
    @property
    def job_id(self) -> bytes:
        """16 bytes."""
        return self.job.job_id

    @property
    def replica_of(self) -> ReplicaPart | None:
        """What it computes once more; None: it is a job of its own."""
        return self._part.replica_of

    @property
    def base_dir(self) -> Path:
        """Where relative `file:` URIs begin."""
        return Path(self._part.base_dir)

    @property
    def submitted_unix_ms(self) -> int:
        """When it was submitted."""
        return self._part.submitted_unix_ms

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self._part.ended_code is not None or (
            bool(self.shards)
            and all(task.is_over and not is_doubtful(task.record, self.job.suspects) for task in self.shards)
        )

    def standing(self) -> "Standing":
        """Return how it stands as a whole."""
        code, text, state = self._part.ended_code or "", self._part.ended_text or self.text, "preparing"
        if code:
            state = "cancelled" if code == "cancelled" else "failed"
        elif self.shards:
            state = state_of(tuple(self._state_of(task) for task in self.shards))
            failed = [task for task in self.shards if task.record.code not in ("", SUCCEEDED)]
            last = next(
                (task for task in failed if task.record.code != GANG_FAILED), next(iter(failed), None)
            )
            code = last.record.code if last else ("succeeded" if state == "succeeded" else "")
            text = last.record.text if last else self.shards[-1].text or text
        return Standing(state, code, text)

    def _state_of(self, task: ShardTask) -> ShardState:
        is_begun_again = task.is_over and is_doubtful(task.record, self.job.suspects)
        return ShardState.WAITING if is_begun_again else task.record.state

    def view(self) -> JobView:
        """Return how it stands, with all its shards."""
        standing = self.standing()
        shards = tuple(shard_view(task, self._replica_views(task.index)) for task in self.shards)
        meaning, change = meaning_of(standing.code)
        return JobView.model_validate(
            {
                "job_id": self.job_id.hex(),
                "name": self.job.spec.name,
                "state": standing.state,
                "text": standing.text,
                "code": standing.code,
                "meaning": meaning,
                "change": change,
                "submitted_unix_ms": self.submitted_unix_ms,
                "runtime": self.job.spec.runtime,
                "shards": shards,
                "verified": verified_text(shards),
            }
        )

    def _replica_views(self, shard: int) -> tuple[ReplicaView, ...]:
        if self.comparisons is None:
            return ()
        return tuple(
            replica_view(replica.job.job_id, task, replica.replica_of)
            for replica in self._crew.replicas(self.job_id, shard)
            if replica.replica_of is not None
            for task in replica.shards
        )

    @property
    def next_change(self) -> trio.Event:
        """Is set when something happens next; taken before a look, it misses nothing."""
        return self._changed

    async def wait_changed(self) -> None:
        """Wait until something has happened to it."""
        await self._changed.wait()

    async def wait_over(self) -> None:
        """Wait until it has ended."""
        while not self.is_over:
            await self.wait_changed()

    # --- what it does ---------------------------------------------------------------------------------------------
    async def run(self, first: Callable[[], Event] | None = None) -> None:
        """Drive the job until it has ended.

        Args:
            first: What open shards are told first; ShardBegun, or ShardRestored for those that had begun.
        """
        try:
            with self._scope:
                if self._part.ended_code is None:
                    await self._run(first)
        except SkyopsError as error:
            await self._end(error.code, f"{error.message}. {error.hint}")
        if self._scope.cancelled_caught:
            await self._end("cancelled", "")
        self._mark_changed()

    async def cancel(self) -> None:
        """End it: programs that run are stopped, with time for a last checkpoint."""
        running = [task for task in self.shards if not task.is_over]
        if not self.shards:
            self._scope.cancel()
        for task in running:
            await task.post(ev.CancelRequested())

    async def retry(self) -> None:
        """Run what has not succeeded again, from its last checkpoint; call when it is over."""
        if self._part.ended_code is not None:
            self._part = self._part.model_copy(update={"ended_code": None, "ended_text": None})
            await self.job.tools.records.save_job(self._part)
        self._scope = trio.CancelScope()
        await self.run(lambda: ev.RetryRequested(*self._deadlines()))

    async def _run(self, first: Callable[[], Event] | None) -> None:
        await self._wait_for_others()
        if self._part.inputs is None:
            await self._prepare()
        self.job.suspects.update(self._wrong_replicas())
        events = {task.index: self._first_event(task, first) for task in self.shards}
        begun = {index: event for index, event in events.items() if event is not None}
        async with trio.open_nursery() as nursery:
            if self.job.gang is not None:
                nursery.start_soon(self.job.gang.run, begun)
            if self.comparisons is not None:
                nursery.start_soon(self.comparisons.run)
            async with trio.open_nursery() as shards:
                again = Doubts(self.job, self.shards, self.comparisons, self._deadlines)
                self.job.suspected = lambda worker: again.suspect(worker, shards)
                for task in self.shards:
                    if task.index in begun:
                        shards.start_soon(again.drive, task, begun[task.index])
            if self.job.gang is not None:
                nursery.cancel_scope.cancel()

    def _wrong_replicas(self) -> set[PeerId]:
        """Return whose replicas did not stand."""
        kin, found = self.job.tools.draws.kin, set[PeerId]()
        for shard in self.shards if self.comparisons is not None else ():
            for replica in self._crew.replicas(self.job_id, shard.index):
                found |= {peer for one in replica.shards for peer in found_wrong(one.record, kin)}
        return found

    def _first_event(self, task: ShardTask, first: Callable[[], Event] | None) -> Event | None:
        if is_doubtful(task.record, self.job.suspects):
            return ev.ResultDoubted(*self._deadlines())
        if task.record.state is ShardState.SUCCEEDED or (task.is_over and first is None):
            return None
        if task.is_over and first is not None:
            return first()
        if task.record.state is ShardState.IDLE:
            return ev.ShardBegun(*self._deadlines())
        return ev.ShardRestored(*self._deadlines())

    async def _wait_for_others(self) -> None:
        """Wait for the jobs that it depends on.

        Raises:
            SkyopsError: `dependency_failed`.
        """
        for other in self.depends_on:
            self.text = f"waits for {other.job.spec.name} ({other.job.short})"
            self._mark_changed()
            await other.wait_over()
            if other.view().state != "succeeded":
                raise SkyopsError(
                    f"{other.job.spec.name} ({other.job.short}) did not succeed",
                    code="dependency_failed",
                    hint=f"Run `skyops retry {other.job.short}`, then retry this one.",
                )

    async def _prepare(self) -> None:
        """Seal the inputs, once for all shards and attempts, and write that down."""
        self.text = "encrypting the inputs"
        self._mark_changed()
        inputs = await self._sealer.seal(
            self.job.spec,
            base_dir=Path(self._part.base_dir),
            key=self.job.secrets.content_key,
            owner=self.job.owner,
            progress=self._sealing,
        )
        self._part = self._part.model_copy(update={"inputs": inputs})
        await self.job.tools.records.save_job(self._part)
        self._make_shards()

    def _make_shards(self) -> None:
        self.job.inputs = self._part.inputs or ()
        self.shards = tuple(
            ShardTask(self.job, index, self._records.get(index), self._mark_changed)
            for index in self._indices()
        )
        if self.replica_of is not None:
            return
        for task in self.shards:
            self.job.suspects.update(found_wrong(task.record, self.job.tools.draws.kin))
        if self.job.compared is not None:
            self.job.checks = self.comparisons = Comparisons(self.job, self.shards, self._crew)
        if self.job.spec.gang:
            self.job.gang = Gang(
                self.job.spec, self.job.tools, shards=self.shards, begin_attempt=self._begin_attempt
            )
        elif self.job.spec.shards > 1:
            self.job.array = Array(self.job.spec, self.job.tools, self.shards)

    def _indices(self) -> Sequence[int]:
        replica = self.replica_of
        return range(self.job.spec.shards) if replica is None else (replica.shard,)

    async def _begin_attempt(self) -> int:
        """Count that the gang comes together, and write that down."""
        number = (self._part.gang_attempts or 0) + 1
        self._part = self._part.model_copy(update={"gang_attempts": number})
        await self.job.tools.records.save_job(self._part)
        return number

    def _sealing(self, done: int, total: int) -> None:
        self.text = f"encrypting the inputs: {done} of {total} bytes" if total else self.text

    def _deadlines(self) -> tuple[MonotonicS, MonotonicS | None]:
        """Return when looking for a worker, and everything, must be over, on the monotonic clock."""
        now = trio.current_time()
        timeouts, unix_ms = self.job.spec.timeouts, self.job.tools.wall_clock.now_ms()
        ends = []
        if timeouts.total is not None:
            ends.append(self.submitted_unix_ms + timeouts.total * 1000)
        if self.job.spec.deadline is not None:
            ends.append(self.job.spec.deadline)
        total = MonotonicS(now + (min(ends) - unix_ms) / 1000) if ends else None
        is_replica = self.replica_of is not None
        queue_s = min(timeouts.queue, limits.REPLICA_QUEUE_S_MAX) if is_replica else timeouts.queue
        return MonotonicS(now + queue_s), total

    async def _end(self, code: str, text: str) -> None:
        """Note how the job ended that never came to its shards."""
        self._part = self._part.model_copy(update={"ended_code": code, "ended_text": text[:4096]})
        try:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + limits.REQUEST_TIMEOUT_S):
                await self.job.tools.records.save_job(self._part)
        except SkyopsError as error:
            log.warning("job_end_not_stored job=%s code=%s", self.job.short, error.code)

    def _mark_changed(self) -> None:
        self._changed.set()
        self._changed = trio.Event()
        if self.job.gang is not None:
            self.job.gang.notice()
