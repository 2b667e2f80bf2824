"""A lease as its requester holds it: the session, what the worker says in it, and the questions to witnesses.

It decides nothing: what happens is posted to the shard's task, which feeds the machines. Spec:
protocol/05-execution.md, "Liveness".
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import trio

from skyops_p2p import limits
from skyops_p2p.core.execution import lease as ls
from skyops_p2p.core.execution import shard_events as ev
from skyops_p2p.core.execution.outcomes import SUCCEEDED, stop_code
from skyops_p2p.core.execution.receipts import LeaseFacts, check_checkpoint, check_result, follows
from skyops_p2p.core.machine import Event
from skyops_p2p.errors import NetworkError, RemoteProtocolError, SkyopsError
from skyops_p2p.node.jobs.committed import CommittedResult
from skyops_p2p.node.jobs.lease_client import LeaseClient
from skyops_p2p.node.jobs.lease_payment import LeasePayment
from skyops_p2p.node.jobs.open_job import OpenJob
from skyops_p2p.node.jobs.salvage import Salvage
from skyops_p2p.node.jobs.shard_content import ShardContent
from skyops_p2p.node.jobs.shard_watch import LogFeed, ShardWatch
from skyops_p2p.types import MonotonicS
from skyops_p2p.wire.envelope import Signed
from skyops_p2p.wire.messages import execution as msg
from skyops_p2p.wire.messages.execution import CheckpointReceipt
from skyops_p2p.wire.messages.verification import ResultCommitted
from skyops_p2p.wire.model import Message

log = logging.getLogger(__name__)

LOG_WAIT_S = 30.0
"""How long the rest of a log is waited for before its result is taken."""


@dataclass(slots=True)
class _PendingTask:
    start: msg.TaskStart
    answer: msg.TaskEnded | None = None
    answered: trio.Event = field(default_factory=trio.Event)


class HeldLease:
    """One lease.

    Args:
        facts: Of it.
        job: Whose.
        content: Takes logs.
        checkpoint: The newest that is known of the shard.
        watch: Takes beats.
        feed: Tells new log records.
        post: Takes (this lease, what happened).
        payment: Of it.
    """

    def __init__(
        self,
        facts: LeaseFacts,
        job: OpenJob,
        content: ShardContent,
        *,
        checkpoint: Signed[CheckpointReceipt] | None,
        watch: ShardWatch,
        feed: LogFeed,
        post: "Callable[[HeldLease, Event], Awaitable[None]]",
        payment: LeasePayment,
    ) -> None:
        self.facts = facts
        self.machine = ls.Lease(facts.epoch, MonotonicS(trio.current_time()), is_requester=True)
        self.is_ending = False
        """Its result is being taken, or it is being stopped: it ends by itself."""
        self._job = job
        self._tools = job.tools
        self._content = content
        self._checkpoint = checkpoint
        self._watch = watch
        self._feed = feed
        self._post = post
        self._payment = payment
        self._client = LeaseClient(facts, job.tools.open_session)
        self.committed = CommittedResult(facts, job, payment.price)
        """What its worker has committed to, where results are compared."""
        self._scope = trio.CancelScope()
        """Of the present session."""
        self._is_dropped = False
        self._is_opening = False
        self._breaches = 0
        """Sessions that ended for what the worker sent in them."""
        self._log_grown = trio.Event()
        self._saved: Signed[CheckpointReceipt] | None = None
        """The newest checkpoint that was told, until it is fetched."""
        self._end: Event | None = None
        """The result that was told, unless it is a success."""
        self._told = trio.Event()
        """One of the two."""
        self._tasks: dict[int, _PendingTask] = {}
        """Tasks that wait for their answer, by number; of a warm lease."""
        self._next_task = 0
        self._stop: msg.LeaseStop | None = None
        """What the worker was asked, while its result is waited for."""

    def drop(self) -> None:
        """Have nothing more to do with it: its session is closed, its messages go nowhere."""
        self._is_dropped = True
        self._payment.lapse()
        self._scope.cancel()
        for pending in self._tasks.values():
            pending.answered.set()

    async def hold(self, first: msg.LeaseOpen | msg.LeaseAttach) -> None:
        """Open one session and read it to its end; while one is being opened, nothing happens."""
        if self._is_opening or self._client.is_linked or self._is_dropped:
            return
        self._scope = trio.CancelScope()
        with self._scope:
            try:
                if await self._begin(first):
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(self._collect)
                        end = await self._client.serve(self._take)
                        nursery.cancel_scope.cancel()
                    self._payment.lose_sight()
                    log.info("lease_link_ended worker=%s code=%s", self.facts.worker[-8:], end.code)
                    await self._post(self, self._judge(end))
            finally:
                with trio.CancelScope(shield=True, deadline=trio.current_time() + limits.LEASE_BEAT_S):
                    await self._client.close("dropped")

    def _judge(self, end: SkyopsError) -> Event:
        """Return what the end of a session means: the way broke, or the worker is not worth another one.

        Rules: EXE-34.
        """
        if not isinstance(end, RemoteProtocolError):
            return ls.LinkLost()
        self._breaches += 1
        if end.code == "worker_lied":
            return ev.LeaseLost(self.facts.epoch, end.code, end.message)
        if self._breaches < limits.LEASE_BREACHES_MAX:
            return ls.LinkLost()
        text = f"{self._breaches} sessions broken off, the last for {end.code}: {end.message}"
        return ev.LeaseLost(self.facts.epoch, "worker_lied", text)

    async def beat(self) -> None:
        """Tell the worker that this node is there."""
        log_next = self._content.log.next_number(self.facts.epoch)
        await self._client.send(msg.Beat(epoch=self.facts.epoch, log_next=log_next))

    async def ask_witnesses(self, number: int) -> None:
        """Ask others whether they reach the worker; report if anybody could say."""
        is_alive = await self._tools.ask_witnesses(self.facts.worker)
        if is_alive is not None:
            await self._post(self, ls.WitnessesAnswered(is_alive, number))

    async def ask_to_reveal(self, others: tuple[bytes, ...]) -> None:
        """Have the worker show the result that it has committed to. Rules: VER-6."""
        await self._client.send(self.committed.ask(others))

    async def take_result(self, receipt: bytes) -> None:
        """Let the worker forget the run, once the rest of its log is here, and be done with the lease."""
        self._payment.finish(receipt)
        with trio.move_on_after(LOG_WAIT_S):
            while self._client.is_linked and not self._content.has_whole_log(receipt, self.facts):
                await self._log_grown.wait()
        await self._client.send(msg.ResultTaken(receipt=self._content.digest(receipt)))
        await self._client.close("done")
        self.drop()

    async def stop(self, code: str, *, grace_s: float) -> None:
        """Have the worker end the run, if it can be reached, and be done with the lease."""
        self._payment.end(code)
        stop = msg.LeaseStop(epoch=self.facts.epoch, code=code, grace_ms=round(grace_s * 1000))
        await self._client.send(stop)
        await self._client.close(code)
        self.drop()

    async def end_unpaid(self, code: str, text: str) -> None:
        """Have the worker end the run, and give the lease up: it is not paid any more. Rules: SET-18."""
        if not self._is_dropped and not self.is_ending:
            await self.stop(stop_code(code), grace_s=0.0)
            await self._post(self, ev.LeaseLost(self.facts.epoch, code, text))

    async def ask_to_stop(self, code: str, *, grace_s: float) -> None:
        """Have the worker end the run, now or in the next session, and stay for what it has saved and its result."""
        self._stop = msg.LeaseStop(epoch=self.facts.epoch, code=code, grace_ms=round(grace_s * 1000))
        await self._client.send(self._stop)

    async def give_up(self, code: str) -> None:
        """Report that the worker is lost, after a look at what it left with others."""
        await self.salvage()
        await self._post(self, ev.LeaseLost(self.facts.epoch, code))

    async def salvage(self) -> None:
        """Find the newest checkpoint, and the log up to it, of a worker that is gone."""
        salvage = Salvage(self._job, self.facts, self._content)
        found = await salvage.find_checkpoint()
        log.info(
            "worker_salvaged worker=%s keepers=%d checkpoint=%s",
            self.facts.worker[-8:],
            salvage.keepers,
            found.message.sequence if found else None,
        )
        if found is not None and await self._content.fetch_checkpoint(found.data):
            sequence = found.message.sequence
            await self._post(self, ev.CheckpointReceived(self.facts.epoch, found.data, sequence))
        if found is not None:
            await salvage.recover_log(found.message)

    async def run_task(self, arguments: tuple[str, ...], stdin: bytes) -> msg.TaskEnded:
        """Have the program of a warm lease run one task, whatever becomes of the session meanwhile.

        Raises:
            NetworkError: Code `lease_lost`.

        Rules: EXE-17.
        """
        number, self._next_task = self._next_task, self._next_task + 1
        start = msg.TaskStart(epoch=self.facts.epoch, task=number, arguments=arguments, stdin=stdin)
        pending = self._tasks[number] = _PendingTask(start)
        try:
            if not self._is_dropped:
                await self._client.send(start)
                await pending.answered.wait()
        finally:
            del self._tasks[number]
        if pending.answer is None:
            raise NetworkError("the lease was lost under a task", code="lease_lost")
        return pending.answer

    async def _begin(self, first: msg.LeaseOpen | msg.LeaseAttach) -> bool:
        """Open a session; whether the lease stands in it. One that was never opened is denied, others wait."""
        self._is_opening, epoch = True, self.facts.epoch
        try:
            ready = await self._client.begin(first)
        except NetworkError as error:
            is_new = isinstance(first, msg.LeaseOpen)
            await self._post(
                self, ev.LeaseDenied(epoch, "session_failed", error.message) if is_new else ls.LinkLost()
            )
            return False
        except RemoteProtocolError as error:
            if isinstance(first, msg.LeaseAttach):
                await self.salvage()
            await self._post(self, ev.LeaseDenied(epoch, error.code, error.message))
            return False
        finally:
            self._is_opening = False
        await self._post(self, ls.LinkRestored())
        await self._post(self, ev.LeaseGranted(epoch))
        if self._client.session is not None:
            self._payment.begin(self._client.session, ready.phase)
        for pending in list(self._tasks.values()):  # EXE-17: what was sent before may not have arrived
            await self._client.send(pending.start)
        if self._stop is not None:
            await self._client.send(self._stop)
        return True

    def _check_chain(self, fresh: Signed[CheckpointReceipt]) -> None:
        """Hold a receipt against the one before; what was missed meanwhile leaves a gap that proves nothing.

        Raises:
            RemoteProtocolError: `worker_lied`.

        Rules: EXE-12.
        """
        before = self._checkpoint
        is_next = fresh.message.sequence == (before.message.sequence + 1 if before else 1)
        if is_next and not follows(fresh.message, before):
            raise RemoteProtocolError(
                "receipt: it follows another one", code="worker_lied", rule="EXE-12", peer=self.facts.worker
            )
        if before is None or fresh.message.sequence > before.message.sequence:
            self._checkpoint = fresh

    async def _collect(self) -> None:
        """Fetch what the worker has saved, and count on it only when it is here; the newest is what counts.

        An end without success is told after that: the next worker begins where this one has left off.
        """
        while True:
            await self._told.wait()
            self._told = trio.Event()
            while (saved := self._saved) is not None:
                self._saved, is_here = None, False
                with trio.move_on_after(limits.RUN_COLLECT_TIMEOUT_S):
                    is_here = await self._content.fetch_checkpoint(saved.data)
                if is_here:
                    sequence = saved.message.sequence
                    await self._post(self, ev.CheckpointReceived(self.facts.epoch, saved.data, sequence))
            if self._end is not None:
                await self._post(self, self._end)

    async def _take_commit(self, data: bytes) -> None:
        """Tell of a commitment, and answer it if all have committed."""
        self.committed.take(data)
        self._payment.rest()
        facts = self.facts
        is_spared = self._job.is_spared(facts.shard, facts.worker, self._payment.price, data)
        await self._post(self, ev.ResultCommitted(facts.epoch, data, is_spared))
        if self.committed.request is not None:
            await self._client.send(self.committed.request)

    async def _take_result(self, receipt: bytes, reveal: bytes | None) -> None:
        """Tell of a success at once, and of any other end when what was saved before is here."""
        signed = check_result(receipt, self.facts)
        self.committed.check(signed, reveal)
        result = signed.message
        has_outputs = result.outputs is not None
        event = ev.ResultReceived(
            self.facts.epoch, receipt, result.code, result.text, has_outputs=has_outputs, reveal=reveal
        )
        if result.code == SUCCEEDED:
            await self._post(self, event)
            return
        self._end = event
        self._told.set()

    async def _take(self, message: Message) -> None:
        """Turn a message of the worker into events.

        Raises:
            RemoteProtocolError: The session is to end with its code.
            StoreError: The log could not be written.
        """
        facts = self.facts
        if isinstance(message, msg.WorkerBeat) and message.epoch == facts.epoch:
            self._watch.take(message, trio.current_time())  # whoever is woken by the event sees it
            if self._watch.beat is message:
                self._payment.hear(message.phase, message.usage)
        await self._post(self, ls.PeerHeard())
        match message:
            case msg.LogBatch(epoch=facts.epoch):
                self._feed.tell(await self._content.append_log(message))
                self._log_grown.set()
                self._log_grown = trio.Event()
            case msg.CheckpointSaved(receipt=data):
                checked = check_checkpoint(data, facts)
                self._check_chain(checked)
                self._content.note_checkpoint(checked)
                self._saved = self._checkpoint
                self._told.set()
            case ResultCommitted(commit=data):
                await self._take_commit(data)
            case msg.ResultReady(receipt=data, reveal=reveal):
                await self._take_result(data, reveal)
            case msg.TaskEnded(epoch=facts.epoch, task=number):
                pending = self._tasks.get(number)
                if pending is not None:
                    pending.answer = message
                    pending.answered.set()
            case msg.PreemptionNotice(epoch=facts.epoch, code=code):
                await self._post(self, ev.PreemptionNoticed(facts.epoch, code))
            case msg.LeaseReady() | msg.LeaseRefused():
                raise RemoteProtocolError("a lease in a lease", code="wrong_type", rule="EXE-18")
