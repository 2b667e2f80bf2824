"""One shard of a job: drives its machine and, while it is leased, the lease's; performs what they want.

Everything that happens is an event on one bounded channel, taken by one task. The record is on the disk before
anybody hears of what it promises. Spec: protocol/05-execution.md, "Shard".
"""

import logging
from collections.abc import Callable
from dataclasses import replace

import trio

from skyops_p2p import limits
from skyops_p2p.core.execution import lease as ls
from skyops_p2p.core.execution import shard_events as ev
from skyops_p2p.core.execution.faults import RetryPolicy, longest_lease_s
from skyops_p2p.core.execution.receipts import LeaseFacts
from skyops_p2p.core.execution.shard import ShardRun
from skyops_p2p.core.execution.shard_moves import LEASED
from skyops_p2p.core.execution.shard_record import ShardRecord, ShardState
from skyops_p2p.core.jobs.encoding import spec_digest
from skyops_p2p.core.machine import DeadlineReached, Effect, Event
from skyops_p2p.errors import RemoteProtocolError, SkyopsError
from skyops_p2p.node.jobs.held_lease import LOG_WAIT_S, HeldLease
from skyops_p2p.node.jobs.lease_payment import LeasePayment
from skyops_p2p.node.jobs.open_job import OpenJob
from skyops_p2p.node.jobs.shard_content import ShardContent
from skyops_p2p.node.jobs.shard_watch import LogFeed, ShardWatch
from skyops_p2p.node.match_view import MatchStepView, MatchView
from skyops_p2p.types import MonotonicS, PeerId
from skyops_p2p.wire.envelope import Signed, open_envelope
from skyops_p2p.wire.messages import execution as msg
from skyops_p2p.wire.messages.execution import CheckpointReceipt, HolderPart

log = logging.getLogger(__name__)

EVENTS_MAX = 256
OVER = (ShardState.SUCCEEDED, ShardState.FAILED, ShardState.CANCELLED)
_LEASE_EVENTS = (ls.PeerHeard, ls.LinkLost, ls.LinkRestored, ls.WitnessesAnswered)


class ShardTask:
    """One shard.

    Args:
        job: What all shards share.
        index: Which one.
        record: As persisted; a new one for a new shard.
        changed: Called after each change that somebody may want to see.
    """

    def __init__(
        self, job: OpenJob, index: int, record: ShardRecord | None, changed: Callable[[], None]
    ) -> None:
        retry = job.spec.retry
        policy = RetryPolicy(retry.attempts_max, retry.is_after_loss, float(retry.pause))
        self.index = index
        self.machine = ShardRun(
            policy,
            record,
            lease_s=longest_lease_s(job.spec.timeouts.execution),
            passes_awards=job.spec.shards > 1 and not job.spec.gang and not job.is_warm,
        )
        self.watch = ShardWatch()
        self.feed = LogFeed()
        self.steps: list[MatchStepView] = []
        """Of the newest match."""
        self.match: MatchView | None = None
        """How the newest match ended."""
        self.searches = 0
        """Matches so far, since this node has started."""
        self.text = ""
        """What happened last, for a person."""
        self.content = ShardContent(job, index, self._keepers_of, saved=self.record.checkpoints)
        self.job = job
        self.on_move: Callable[[], None] = _nobody
        """Called after each event that its machine took."""
        self._job = job
        self._changed = changed
        self._events_in, self._events_out = trio.open_memory_channel[tuple[HeldLease | None, Event]](
            EVENTS_MAX
        )
        self._lease: HeldLease | None = None
        self._match_scope = trio.CancelScope()
        self._offered: ev.MatchFound | None = None
        """A kept award that is in the queue."""

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.machine.state in OVER

    @property
    def lease(self) -> HeldLease | None:
        """The lease that stands."""
        return self._lease

    @property
    def is_program_running(self) -> bool:
        """Whether the worker has said that the program runs."""
        return self.watch.beat is not None and self.watch.beat.phase == "running"

    @property
    def is_noticed(self) -> bool:
        """Whether the worker has said that it will stop the run."""
        return self.machine.is_noticed

    @property
    def record(self) -> ShardRecord:
        """How it stands."""
        return self.machine.record

    @property
    def takes_kept_award(self) -> bool:
        """Whether it can go on at once with a worker that has ended another shard."""
        return self._offered is None and self.machine.takes_kept_award

    def offer_award(self, found: ev.MatchFound) -> bool:
        """Queue a kept award for the machine, one at a time; False: it has no room."""
        offered = replace(found, suspects=tuple(self._job.suspects))
        try:
            self._events_in.send_nowait((None, offered))
        except trio.WouldBlock:
            return False
        self._offered = offered
        return True

    @property
    def is_one_of_many(self) -> bool:
        """Whether its job has more shards than people look at one by one."""
        return self._job.spec.shards > limits.SEARCH_SHARDS_SHOWN

    def note(self, text: str) -> None:
        """Tell whoever watches what is going on around the shard."""
        self._tell(text)
        self._changed()

    async def post(self, event: Event) -> None:
        """Queue an event for the machine."""
        await self._events_in.send((None, event))

    async def run(self, first: Event) -> None:
        """Drive the shard until it has ended.

        Args:
            first: ShardBegun, ShardRestored or RetryRequested.
        """
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            await self._feed(first)
            while not self.is_over:
                await self._next()
            self._pass_on_what_is_queued()
            nursery.cancel_scope.deadline = trio.current_time() + limits.LEASE_STOP_GRACE_S + LOG_WAIT_S
        self.feed.end()
        self._changed()

    async def _next(self) -> None:
        lease = self._lease
        deadlines = [self.machine.next_deadline(), lease.machine.next_deadline() if lease else None]
        source: HeldLease | None = lease
        event: Event = DeadlineReached()
        with trio.move_on_at(min((at for at in deadlines if at is not None), default=float("inf"))):
            source, event = await self._events_out.receive()
        is_for_lease = isinstance(event, (*_LEASE_EVENTS, DeadlineReached))
        if is_for_lease and lease is not None and source is lease:  # those of an older lease are nobody's
            for effect in lease.machine.handle(event, _now()):
                await self._perform_lease(lease, effect)
        if event is self._offered:
            self._offered = None
        if not isinstance(event, _LEASE_EVENTS):
            await self._feed(event)
        self._changed()

    def _pass_on_what_is_queued(self) -> None:
        """Empty the queue, which nobody reads any more; awards in it are not lost."""
        self._offered = None
        while True:
            try:
                _, event = self._events_out.receive_nowait()
            except trio.WouldBlock:
                return
            if isinstance(event, ev.MatchFound):
                self._pass_award(_passed(event))

    async def _feed(self, event: Event) -> None:
        saved = self.record.checkpoints
        for effect in self.machine.handle(event, _now()):
            await self._perform(effect)
        await self.content.let_go_of_checkpoints(set(saved).difference(self.record.checkpoints))
        if self.machine.state not in LEASED and self._lease is not None:
            if not self._lease.is_ending:
                self._lease.drop()
            self._lease = None
        self.on_move()

    # --- effects ------------------------------------------------------------------------------------------------
    async def _perform(self, effect: Effect) -> None:
        match effect:
            case ev.StoreShard():
                await self._store()
            case ev.FindWorker(excluded):
                self._match_scope = trio.CancelScope()
                self._nursery.start_soon(self._find, excluded, self._match_scope)
            case ev.StopSearch():
                self._match_scope.cancel()
            case ev.OpenLease(epoch, worker, award, resume, keepers):
                lease = self._lease_begins(epoch, worker, award)
                opening = self._job.opening(
                    shard=self.index, epoch=epoch, award=award, resume=resume, keepers=keepers
                )
                self._nursery.start_soon(lease.hold, opening)
            case ev.AttachLease(epoch, worker):
                lease = self._lease_begins(epoch, worker, self.record.attempts[-1].award)
                self._nursery.start_soon(lease.hold, self._attaching(epoch))
            case ev.PassAward():
                self._pass_award(effect)
            case ev.TellShard(text):
                self._tell(text)
            case _:
                self._perform_ending(effect)

    def _perform_ending(self, effect: Effect) -> None:
        lease = self._lease
        match effect:
            case ev.FetchCheckpoint(receipt):
                self._nursery.start_soon(self.content.fetch_checkpoint, receipt)
            case ev.FetchOutputs(epoch, receipt):
                self._nursery.start_soon(self._fetch_outputs, epoch, receipt)
            case ev.TakeResult(_, receipt) if lease is not None:
                lease.is_ending = True
                self._nursery.start_soon(lease.take_result, receipt)
            case ev.AskToReveal(_, others) if lease is not None:
                self._nursery.start_soon(lease.ask_to_reveal, others)
            case ev.AskToStop(_, code, grace_s) if lease is not None:
                self._nursery.start_soon(lambda: lease.ask_to_stop(code, grace_s=grace_s))
            case ev.StopLease(_, code, grace_s) if lease is not None:
                lease.is_ending = True
                self._nursery.start_soon(lambda: lease.stop(code, grace_s=grace_s))

    async def _perform_lease(self, lease: HeldLease, effect: Effect) -> None:
        match effect:
            case ls.SendBeat():
                self._nursery.start_soon(lease.beat)
            case ls.RestoreLink():
                self._nursery.start_soon(lease.hold, self._attaching(lease.facts.epoch))
            case ls.AskWitnesses(number):
                self._nursery.start_soon(lease.ask_witnesses, number)
            case ls.LapseLease(code):
                self._nursery.start_soon(lease.give_up, code)

    async def _store(self) -> None:
        """Write the record down; a full disk is told, tried again, and holds everything else up meanwhile."""
        while True:
            try:
                now = self._job.tools.wall_clock.now_ms()
                await self._job.tools.records.save_shard(self._job.job_id, self.index, self.record, now=now)
            except SkyopsError as error:
                self.text = f"waits for the disk: {error.message}"
                log.warning("shard_not_stored job=%s code=%s", self._job.short, error.code)
                self._changed()
                await trio.sleep(limits.FLUSH_INTERVAL_S)
            else:
                return

    # --- matching -----------------------------------------------------------------------------------------------
    async def _find(self, excluded: tuple[PeerId, ...], scope: trio.CancelScope) -> None:
        self.steps, self.match, self.searches = [], None, self.searches + 1
        event: Event | None = None
        with scope:
            event = await self._matched(excluded)
        if isinstance(event, ev.MatchFound) and (scope.cancel_called or self.is_over):
            self._pass_award(_passed(event))
        elif event is not None and not scope.cancel_called:
            await self.post(event)

    def _pass_award(self, award: ev.PassAward) -> None:
        """Let another shard have a worker that this one does not need, or give it back."""
        if self._job.array is not None:
            self._job.array.pass_on(award)
        else:
            self._job.tools.release_award(award.award)

    async def _matched(self, excluded: tuple[PeerId, ...]) -> Event:
        tender_job = self._job.tools.entropy.token(16)
        try:
            ended = await self._job.find_worker(self.index, excluded, tender_job, self._note_step)
        except SkyopsError as error:
            return ev.MatchFailed(error.code, error.message, self._is_job_at_work())
        self.match = ended
        if not ended.is_matched:
            return ev.MatchFailed(ended.code, ended.detail, self._is_job_at_work())
        award, price = bytes.fromhex(ended.award_digest), ended.price_microcredits_per_hour
        gang = self._job.gang
        back = gang.checkpoints_back(self.index) if gang is not None else 0
        worker, tender = PeerId(ended.winner), bytes.fromhex(ended.job_id)
        return ev.MatchFound(
            worker,
            award,
            price,
            tender,
            back,
            self._job.tools.choose_keepers(worker),
            speed_milli=ended.speed_milli,
            suspects=tuple(self._job.suspects),
        )

    def _is_job_at_work(self) -> bool:
        return self._job.array is not None and self._job.array.is_at_work(self.index)

    def _keepers_of(self, worker: PeerId) -> tuple[HolderPart, ...]:
        return self.record.keepers_of(worker)

    def _note_step(self, step: MatchStepView) -> None:
        if len(self.steps) < limits.MATCH_OUTCOMES_MAX:
            self.steps.append(step)
        self._changed()

    # --- the lease ----------------------------------------------------------------------------------------------
    def _lease_begins(self, epoch: int, worker: PeerId, award: bytes) -> HeldLease:
        facts = LeaseFacts(
            network=self._job.tools.network,
            requester=self._job.tools.own,
            worker=worker,
            job_id=self._job.job_id,
            shard=self.index,
            epoch=epoch,
            award=award,
            spec_digest=spec_digest(self._job.spec),
        )
        self.watch = ShardWatch()
        payment = LeasePayment(
            facts, self._job, self.record.attempts[-1], stopped=self._end_unpaid, told=self.note
        )
        self._lease = HeldLease(
            facts,
            self._job,
            self.content,
            checkpoint=self._newest_checkpoint(),
            watch=self.watch,
            feed=self.feed,
            post=self._post_from,
            payment=payment,
        )
        self._lease.committed.restore(self.record.attempts[-1].commit)
        return self._lease

    def _end_unpaid(self, code: str, text: str) -> None:
        """Give the lease that stands up: it is not paid any more."""
        lease = self._lease
        if lease is not None and not self.is_over:
            self._tell(text)
            self._nursery.start_soon(lease.end_unpaid, code, text)

    def _newest_checkpoint(self) -> Signed[CheckpointReceipt] | None:
        """Return the newest checkpoint of the record, which was checked when it came."""
        if not self.record.checkpoints:
            return None
        return open_envelope(self.record.checkpoints[-1], CheckpointReceipt, self._job.tools.network)

    async def _post_from(self, lease: HeldLease, event: Event) -> None:
        await self._events_in.send((lease, event))

    def _attaching(self, epoch: int) -> msg.LeaseAttach:
        log_next = self.content.log.next_number(epoch)
        return msg.LeaseAttach(job_id=self._job.job_id, shard=self.index, epoch=epoch, log_next=log_next)

    async def _fetch_outputs(self, epoch: int, receipt: bytes) -> None:
        try:
            await self.content.fetch_outputs(receipt, self._tell)
        except RemoteProtocolError as error:
            text = f"its outputs are not what it signed: {error.message} ({error.code})"
            await self.post(ev.OutputsUnavailable(epoch, "worker_lied", text))
        except SkyopsError as error:
            await self.post(ev.OutputsUnavailable(epoch, "result_unavailable", error.message))
        else:
            await self.post(ev.OutputsFetched(epoch))

    def _tell(self, text: str) -> None:
        self.text = text
        shard = f" shard {self.index}" if self._job.spec.shards > 1 else ""
        whom = self.machine.worker or self._job.tools.own
        name = self._job.label or self._job.short
        self._job.tools.tell("job", whom, f"{name}{shard}: {text}")


def _now() -> MonotonicS:
    return MonotonicS(trio.current_time())


def _nobody() -> None:
    """Take the moves of a shard that nobody follows."""


def _passed(found: ev.MatchFound) -> ev.PassAward:
    return ev.PassAward(found.worker, found.award, found.price, found.tender_job, found.speed_milli)
