"""One shard of a job: drives its machine and, while it is leased, the lease's; performs what they want.

Everything that happens is an event on one bounded channel, taken by one task. The record is on the disk before
anybody hears of what it promises. Spec: protocol/05-execution.md, "Shard".
"""

import logging
from collections.abc import Awaitable, Callable

import trio

from skyops_p2p import limits
from skyops_p2p.core.execution import lease as ls
from skyops_p2p.core.execution import shard_events as ev
from skyops_p2p.core.execution.faults import RetryPolicy
from skyops_p2p.core.execution.receipts import LeaseFacts, check_checkpoint, check_result
from skyops_p2p.core.execution.shard import ShardRecord, ShardRun, ShardState
from skyops_p2p.core.jobs.encoding import spec_digest
from skyops_p2p.core.machine import DeadlineReached, Effect, Event
from skyops_p2p.errors import NetworkError, RemoteProtocolError, SkyopsError
from skyops_p2p.node.jobs.lease_client import LeaseClient
from skyops_p2p.node.jobs.open_job import OpenJob
from skyops_p2p.node.jobs.shard_content import ShardContent
from skyops_p2p.node.jobs.shard_watch import LogFeed, ShardWatch
from skyops_p2p.node.match_view import MatchStepView, MatchView
from skyops_p2p.types import MonotonicS, PeerId
from skyops_p2p.wire.messages import execution as msg
from skyops_p2p.wire.model import Message

log = logging.getLogger(__name__)

EVENTS_MAX = 256
OVER = (ShardState.SUCCEEDED, ShardState.FAILED, ShardState.CANCELLED)
LOG_WAIT_S = 30.0
"""How long the rest of a log is waited for before its result is taken."""


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
        self.machine = ShardRun(policy, record)
        self.watch = ShardWatch()
        self.feed = LogFeed()
        self.steps: list[MatchStepView] = []
        """Of the newest match."""
        self.match: MatchView | None = None
        """How the newest match ended."""
        self.text = ""
        """What happened last, for a person."""
        self.content = ShardContent(job, index)
        self._job = job
        self._changed = changed
        self._events_in, self._events_out = trio.open_memory_channel[Event](EVENTS_MAX)
        self._lease: ls.Lease | None = None
        self._client: LeaseClient | None = None
        self._match_scope = trio.CancelScope()
        self._lease_scope = trio.CancelScope()
        """Of everything that serves the present lease."""
        self._log_grown = trio.Event()

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.machine.state in OVER

    @property
    def record(self) -> ShardRecord:
        """How it stands."""
        return self.machine.record

    async def post(self, event: Event) -> None:
        """Queue an event for the machine."""
        await self._events_in.send(event)

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
            nursery.cancel_scope.deadline = trio.current_time() + limits.LEASE_STOP_GRACE_S + LOG_WAIT_S
        if self._client is not None:
            await self._client.close("done")
        self.feed.end()
        self._changed()

    async def _next(self) -> None:
        deadlines = [self.machine.next_deadline(), self._lease.next_deadline() if self._lease else None]
        event: Event = DeadlineReached()
        with trio.move_on_at(min((at for at in deadlines if at is not None), default=float("inf"))):
            event = await self._events_out.receive()
        if isinstance(event, (*_LEASE_EVENTS, DeadlineReached)) and self._lease is not None:
            for effect in self._lease.handle(event, _now()):
                await self._perform_lease(effect)
        if not isinstance(event, _LEASE_EVENTS):
            await self._feed(event)
        self._changed()

    async def _feed(self, event: Event) -> None:
        for effect in self.machine.handle(event, _now()):
            await self._perform(effect)

    # --- effects ------------------------------------------------------------------------------------------------
    async def _perform(self, effect: Effect) -> None:
        match effect:
            case ev.StoreShard():
                await self._store()
            case ev.FindWorker(excluded):
                self._drop_lease()
                self._nursery.start_soon(self._find, excluded)
            case ev.StopSearch():
                self._match_scope.cancel()
            case ev.OpenLease(epoch, worker, award, resume):
                self._lease_begins(epoch, worker, award)
                self._nursery.start_soon(self._hold, self._opening(epoch, award, resume))
            case ev.AttachLease(epoch, worker):
                self._lease_begins(epoch, worker, self.record.attempts[-1].award)
                self._nursery.start_soon(self._hold, self._attaching(epoch))
            case ev.TellShard(text):
                self.text = text
                self._job.tools.tell("job", self.machine.worker or self._job.tools.own, self._say(text))
            case _:
                self._perform_ending(effect)

    def _perform_ending(self, effect: Effect) -> None:
        match effect:
            case ev.FetchCheckpoint(receipt):
                self._nursery.start_soon(self.content.fetch_checkpoint, receipt)
            case ev.FetchOutputs(epoch, receipt):
                self._nursery.start_soon(self._fetch_outputs, epoch, receipt)
            case ev.TakeResult(_, receipt):
                self._nursery.start_soon(self._take_result, receipt, self._client, self._lease_scope)
            case ev.StopLease(epoch, code, grace_s):
                stop = msg.LeaseStop(epoch=epoch, code=code, grace_ms=round(grace_s * 1000))
                self._nursery.start_soon(self._stop_lease, stop, self._client, self._lease_scope)

    async def _perform_lease(self, effect: Effect) -> None:
        match effect:
            case ls.SendBeat():
                self._nursery.start_soon(self._beat)
            case ls.RestoreLink():
                self._nursery.start_soon(self._hold, self._attaching(self._epoch))
            case ls.AskWitnesses():
                self._nursery.start_soon(self._ask_witnesses)
            case ls.LapseLease(code):
                await self._feed(ev.LeaseLost(self._epoch, code))

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
    async def _find(self, excluded: tuple[PeerId, ...]) -> None:
        self.steps, self.match = [], None
        event: Event = ev.MatchFailed("interrupted", "the search was stopped")
        self._match_scope = scope = trio.CancelScope()
        with scope:
            event = await self._matched(excluded)
        if not scope.cancelled_caught:
            await self.post(event)

    async def _matched(self, excluded: tuple[PeerId, ...]) -> Event:
        tender_job = self._job.tools.entropy.token(16)
        try:
            ended = await self._job.find_worker(self.index, excluded, tender_job, self._note_step)
        except SkyopsError as error:
            return ev.MatchFailed(error.code, error.message)
        self.match = ended
        if not ended.is_matched:
            return ev.MatchFailed(ended.code, ended.detail)
        award, price = bytes.fromhex(ended.award_digest), ended.price_microcredits_per_hour
        return ev.MatchFound(PeerId(ended.winner), award, price, tender_job)

    def _note_step(self, step: MatchStepView) -> None:
        if len(self.steps) < limits.MATCH_OUTCOMES_MAX:
            self.steps.append(step)
        self._changed()

    # --- the lease ----------------------------------------------------------------------------------------------
    @property
    def _epoch(self) -> int:
        return self._lease.epoch if self._lease else 0

    def _lease_begins(self, epoch: int, worker: PeerId, award: bytes) -> None:
        self._drop_lease()
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
        self.watch.begin()
        self._client = LeaseClient(facts, self._job.tools.open_session)
        self._lease = ls.Lease(epoch, _now(), is_requester=True)
        self._lease_scope = trio.CancelScope()

    def _drop_lease(self) -> None:
        """Have nothing more to do with the lease that was: its session is closed, its messages go nowhere."""
        self._lease = None
        self._lease_scope.cancel()

    def _opening(self, epoch: int, award: bytes, resume: bytes | None) -> msg.LeaseOpen:
        assert self._client is not None, "opened before it began"
        return self._job.opening(
            shard=self.index, epoch=epoch, award=award, resume=resume, worker=self._client.facts.worker
        )

    def _attaching(self, epoch: int) -> msg.LeaseAttach:
        return msg.LeaseAttach(
            job_id=self._job.job_id,
            shard=self.index,
            epoch=epoch,
            log_next=self.content.log.next_number(epoch),
        )

    async def _hold(self, first: msg.LeaseOpen | msg.LeaseAttach) -> None:
        """Open one session of the present lease and read it to its end."""
        client, lease = self._client, self._lease
        if client is None or lease is None:
            return
        epoch = lease.epoch
        with self._lease_scope:
            try:
                await client.begin(first)
            except NetworkError as error:
                await self._not_begun(first, epoch, "session_failed", error)
                return
            except RemoteProtocolError as error:
                await self.post(ev.LeaseDenied(epoch, error.code, error.message))
                return
            await self.post(ls.LinkRestored())
            await self.post(ev.LeaseGranted(epoch))
            code = await client.serve(lambda message: self._take(client.facts, message))
            log.info("lease_link_ended job=%s code=%s", self._job.short, code)
            await self.post(ls.LinkLost())

    async def _not_begun(
        self, first: msg.LeaseOpen | msg.LeaseAttach, epoch: int, code: str, error: SkyopsError
    ) -> None:
        """A lease that was never opened is denied; one that stands is only out of reach."""
        if isinstance(first, msg.LeaseOpen):
            await self.post(ev.LeaseDenied(epoch, code, error.message))
        else:
            await self.post(ls.LinkLost())

    async def _take(self, facts: LeaseFacts, message: Message) -> None:
        """Turn a message of the worker into events.

        Raises:
            RemoteProtocolError: The session is to end with its code.
        """
        await self.post(ls.PeerHeard())
        match message:
            case msg.WorkerBeat(epoch=facts.epoch):
                self.watch.take(message, trio.current_time())
            case msg.LogBatch(epoch=facts.epoch):
                self.feed.tell(await self.content.append_log(message))
                self._log_grown.set()
                self._log_grown = trio.Event()
            case msg.CheckpointSaved(receipt=data):
                checked = check_checkpoint(data, facts)
                await self.post(ev.CheckpointReceived(facts.epoch, data, checked.message.sequence))
            case msg.ResultReady(receipt=data):
                result = check_result(data, facts).message
                has_outputs = result.outputs is not None
                await self.post(
                    ev.ResultReceived(facts.epoch, data, result.code, result.text, has_outputs=has_outputs)
                )
            case msg.PreemptionNotice(epoch=facts.epoch, code=code):
                await self.post(ev.PreemptionNoticed(facts.epoch, code))
            case msg.LeaseReady() | msg.LeaseRefused():
                raise RemoteProtocolError("a lease in a lease", code="wrong_type", rule="EXE-18")

    async def _beat(self) -> None:
        if self._client is not None:
            log_next = self.content.log.next_number(self._epoch)
            await self._client.send(msg.Beat(epoch=self._client.facts.epoch, log_next=log_next))

    async def _ask_witnesses(self) -> None:
        if self._client is None:
            return
        epoch, verdict = self._epoch, await self._job.tools.ask_witnesses(self._client.facts.worker)
        if verdict is not None and epoch == self._epoch:
            await self.post(ls.WitnessesAnswered(verdict))

    # --- endings ------------------------------------------------------------------------------------------------
    async def _fetch_outputs(self, epoch: int, receipt: bytes) -> None:
        try:
            await self.content.fetch_outputs(receipt)
        except SkyopsError as error:
            code = "worker_lied" if isinstance(error, RemoteProtocolError) else "result_unavailable"
            await self.post(ev.OutputsUnavailable(epoch, code, error.message))
        else:
            await self.post(ev.OutputsFetched(epoch))

    async def _take_result(self, receipt: bytes, client: LeaseClient | None, scope: trio.CancelScope) -> None:
        """Let the worker forget the run, once the rest of its log is here, and be done with the lease."""
        if client is None:
            return
        with trio.move_on_after(LOG_WAIT_S):
            while client.is_linked and not self.content.has_whole_log(receipt, client.facts):
                await self._log_grown.wait()
        await client.send(msg.ResultTaken(receipt=self.content.digest(receipt)))
        await client.close("done")
        scope.cancel()

    async def _stop_lease(
        self, stop: msg.LeaseStop, client: LeaseClient | None, scope: trio.CancelScope
    ) -> None:
        if client is not None:
            await client.send(stop)
            await client.close(stop.code)
        scope.cancel()

    def _say(self, text: str) -> str:
        shard = f" shard {self.index}" if self._job.spec.shards > 1 else ""
        return f"{self._job.short}{shard}: {text}"


_LEASE_EVENTS = (ls.PeerHeard, ls.LinkLost, ls.LinkRestored, ls.WitnessesAnswered)
Find = Callable[[int, tuple[PeerId, ...], bytes, Callable[[MatchStepView], None]], Awaitable[MatchView]]


def _now() -> MonotonicS:
    return MonotonicS(trio.current_time())
