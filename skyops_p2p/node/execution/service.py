"""Accepts leases on behalf of a worker, keeps their runs, and puts them back after a restart.

Bounds: LEASES_MAX runs. Spec: protocol/05-execution.md, "Lease".
"""

import logging
from typing import Protocol

import trio

from skyops_p2p import limits
from skyops_p2p.core.auction.leases import AwardUse, LeaseTerms
from skyops_p2p.core.execution.opening import EpochMemory, OpenedLease, check_opening, is_award_kept
from skyops_p2p.errors import NetworkError, RemoteProtocolError, SkyopsError
from skyops_p2p.node.execution.delivery import Delivery, release_run
from skyops_p2p.node.execution.offer import ResultOffer
from skyops_p2p.node.execution.run_journal import KeptRun
from skyops_p2p.node.execution.tools import RunTools
from skyops_p2p.node.execution.worker_run import WorkerRun
from skyops_p2p.node.lease_link import FROM_REQUESTER, LeaseLink, short_name
from skyops_p2p.node.session import LiveSession
from skyops_p2p.node.settlement.desk import deals_in_skyops, lane_terms
from skyops_p2p.node.settlement.paid_run import PaidRun
from skyops_p2p.types import PeerId
from skyops_p2p.wire.messages import execution as msg

log = logging.getLogger(__name__)

RunKey = tuple[PeerId, bytes, int]
"""(requester, job, shard)."""
LEAVING = "worker_leaving"
_TOLD_ENDS = frozenset({"requester_silent", "not_taken", "superseded", LEAVING})
"""Ends that are nobody's fault, or the requester's own: an attach that comes too late is told so. Rules: EXE-10."""


class LeaseDesk(Protocol):
    """Where confirmed awards become leases: the worker's side of the market."""

    async def take_lease(self, award: bytes, use: AwardUse | None = None) -> LeaseTerms | None:
        """Hand over a confirmed award; see BiddingShell.take_lease."""

    async def keep_lease(self, lease: LeaseTerms, *, hold_s: float) -> None:
        """Hold what a lease held for the job's next shard; see BiddingShell.keep_lease."""

    async def end_lease(self, tender: bytes) -> None:
        """Free what a lease held; see BiddingShell.end_lease."""

    def lease_holder(self, award: bytes) -> PeerId | None:
        """Return to whom a confirmed award that was not taken yet was promised; None if there is none."""


class ExecutionService:
    """The runs of one worker.

    Args:
        tools: What runs are made with.
        desk: Where awards become leases.
    """

    def __init__(self, tools: RunTools, desk: LeaseDesk) -> None:
        self._tools = tools
        self._desk = desk
        self._epochs = EpochMemory()
        self._runs: dict[RunKey, WorkerRun] = {}
        self._deliveries: dict[RunKey, Delivery] = {}
        """Results of runs before a restart that nobody has taken yet."""
        self._nursery: trio.Nursery | None = None
        self.is_leaving = False

    @property
    def runs(self) -> tuple[WorkerRun, ...]:
        """The runs that have not ended."""
        return tuple(self._runs.values())

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Put back what was there before a restart, and run what comes until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            await self._restore()
            task_status.started()
            await trio.sleep_forever()

    async def leave(self, *, grace_s: float) -> None:
        """Shut down in order: take no new lease, have every program save what it can, and its owner fetch that.

        Args:
            grace_s: For all together; what is not over then is cut off, and goes on elsewhere from its checkpoint.
        """
        self.is_leaving = True
        for run in self.runs:
            await run.notify_preemption(LEAVING, grace_s=grace_s)
        with trio.move_on_after(grace_s):
            for run in self.runs:
                await run.ended.wait()

    async def adopt(self, session: LiveSession) -> None:
        """Serve one session that a requester opened for a lease, until it ends."""
        link = LeaseLink(session, FROM_REQUESTER)
        try:
            with trio.fail_after(limits.LEASE_ANSWER_TIMEOUT_S):
                first = await link.receive()
            match first:
                case msg.LeaseOpen():
                    await self._open(link, first)
                case msg.LeaseAttach():
                    await self._attach(link, first)
                case _:
                    raise _refusal("a lease begins with LeaseOpen or LeaseAttach", "wrong_type", "EXE-18")
        except trio.TooSlowError:
            await link.aclose("timeout")
        except RemoteProtocolError as error:
            await self._refuse(link, error)
        except SkyopsError as error:
            log.info("lease_not_served peer=%s code=%s", link.peer[-8:], error.code)
            await self._refuse(link, RemoteProtocolError(error.message, code=error.code))

    # --- opening ------------------------------------------------------------------------------------------------
    async def _open(self, link: LeaseLink, request: msg.LeaseOpen) -> None:
        key = (link.peer, request.job_id, request.shard)
        standing = self._runs.get(key)
        if standing is not None and standing.facts.epoch == request.epoch:
            if standing.facts.award != request.award:
                raise _refusal("the epoch is another award's", "stale_epoch", "EXE-5")
            await self._carry(link, standing, 0)  # our LeaseReady was lost
            return
        if self.is_leaving or len(self._runs) >= limits.LEASES_MAX:
            raise _refusal("no more leases", "worker_leaving" if self.is_leaving else "busy", "EXE-1")
        if self._desk.lease_holder(request.award) != link.peer:  # EXE-1
            raise _refusal("no such award is held for this peer", "unknown_lease", "EXE-1")
        if request.epoch <= self._epochs.newest(*key):  # EXE-5
            raise _refusal("a newer lease of the shard is known", "stale_epoch", "EXE-5")
        run = await self._begin(link, request)
        self._epochs.take(*key, request.epoch)
        if standing is not None:  # EXE-5: the older run is void
            await standing.lapse("superseded")
        self._runs[key] = run
        assert self._nursery is not None, "adopted before it runs"
        self._nursery.start_soon(self._live, key, run)
        await self._carry(link, run, 0)

    async def _begin(self, link: LeaseLink, request: msg.LeaseOpen) -> WorkerRun:
        """Take the award and make the run; an award whose job is refused is given back."""
        now = self._tools.wall_clock.now_ms()
        terms = await self._desk.take_lease(request.award, AwardUse(request.job_id, now))
        if terms is None:
            raise _refusal("the award has run out", "unknown_lease", "EXE-1")
        try:
            opened = check_opening(request, terms, network=self._tools.network, own=self._tools.own, now=now)
            self._check_payment(link, opened)
            await self._tools.journal.take(opened.facts, tender=terms.tender.digest, now=now)  # EXE-16
            payment = await self._be_paid(link, opened)
        except BaseException:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + limits.REQUEST_TIMEOUT_S):
                await self._desk.end_lease(terms.tender.digest)
            raise
        log.info("lease_taken run=%s requester=%s", short_name(opened.facts), link.peer[-8:])
        return self._run_of(opened, payment)

    def _check_payment(self, link: LeaseLink, opened: OpenedLease) -> None:
        """Refuse early whoever does not pay.

        Raises:
            RemoteProtocolError: Code `payment_needed`; `unpayable` while the contracts have never been found.

        Rules: SET-27.
        """
        office = self._tools.payments
        if office is None or opened.terms.bid.price == 0:
            return
        if not deals_in_skyops(link.session.manifest):
            raise _refusal(
                "this worker is paid in SKYOPS, and the requester pays nothing", "payment_needed", "SET-27"
            )
        if office.desk is None:
            raise _refusal(
                "this worker has never reached its contracts: it cannot be paid", "unpayable", "SET-27"
            )

    async def _be_paid(self, link: LeaseLink, opened: OpenedLease) -> PaidRun | None:
        """Wait for the lane of a lease; None: it runs free. Rules: SET-5."""
        office, facts, price = self._tools.payments, opened.facts, opened.terms.bid.price
        if office is None or price == 0:
            return None
        lane, desk = lane_terms(facts, price), office.needed_desk()
        return await desk.expect(link.session, lane, name=opened.spec.name, mode=opened.spec.mode.kind)

    def _run_of(self, opened: OpenedLease, payment: PaidRun | None) -> WorkerRun:
        async def free(is_well: bool) -> None:
            is_kept = is_well and not self.is_leaving
            if is_kept and is_award_kept(opened, self._tools.wall_clock.now_ms()):  # EXE-37
                await self._desk.keep_lease(opened.terms, hold_s=limits.AWARD_IDLE_S)
            else:
                await self._desk.end_lease(opened.terms.tender.digest)

        return WorkerRun(opened, self._tools, free, payment)

    async def _attach(self, link: LeaseLink, request: msg.LeaseAttach) -> None:
        key = (link.peer, request.job_id, request.shard)  # EXE-10: the peer is part of it
        newest = self._epochs.newest(*key)
        run = self._runs.get(key)
        if run is not None and run.facts.epoch == request.epoch:
            await self._carry(link, run, request.log_next)
            return
        delivery = self._deliveries.get(key)
        if delivery is not None and delivery.facts.epoch == request.epoch:
            await delivery.carry(link)
            if delivery.is_taken:
                self._deliveries.pop(key, None)
            return
        if newest > request.epoch:
            raise _refusal("a newer lease of the shard is known", "stale_epoch", "EXE-10")
        code = "unknown_lease"
        if newest == request.epoch:
            ended = self._epochs.end_of(*key)
            code = ended if ended in _TOLD_ENDS else "run_lost"
        raise _refusal("there is no such run", code, "EXE-10")

    async def _carry(self, link: LeaseLink, run: WorkerRun, log_next: int) -> None:
        ready = msg.LeaseReady.model_validate(
            {"epoch": run.facts.epoch, "phase": run.phase, "log_count": run.keeping.book.count}
        )
        await link.send(ready)
        await run.link.carry(link, log_next)

    async def _refuse(self, link: LeaseLink, error: RemoteProtocolError) -> None:
        log.info("lease_refused peer=%s code=%s", link.peer[-8:], error.code)
        try:
            await link.send(msg.LeaseRefused(code=error.code, text=error.message[:256]))
        except NetworkError as gone:
            log.debug("refusal_not_sent peer=%s code=%s", link.peer[-8:], gone.code)

    # --- life ---------------------------------------------------------------------------------------------------
    async def _live(self, key: RunKey, run: WorkerRun) -> None:
        try:
            await run.run()
        finally:
            if self._runs.get(key) is run:
                del self._runs[key]
            self._epochs.note_end(*key, epoch=run.facts.epoch, code=run.machine.code)

    async def _restore(self) -> None:
        """Read the journal: remember epochs, keep sealed results for their owners, and let go of lost runs."""
        kept, epochs, unreadable = await self._tools.journal.restore()
        if unreadable:
            log.warning("runs_not_restored count=%d", unreadable)
        for ended in epochs[-limits.RUN_EPOCHS_REMEMBERED_MAX :]:
            key = (ended.requester, ended.job_id, ended.shard)
            self._epochs.take(*key, ended.epoch)
            self._epochs.note_end(*key, epoch=ended.epoch, code=ended.code)
        for sandbox in self._tools.sandboxes.values():
            await sandbox.reap()
        await self._tools.workspace.reap()
        for run in kept:
            await self._restore_run(run)

    async def _restore_run(self, kept: KeptRun) -> None:
        facts = kept.facts
        key = (facts.requester, facts.job_id, facts.shard)
        self._epochs.take(*key, facts.epoch)
        await self._desk.end_lease(kept.tender)
        age_s = (self._tools.wall_clock.now_ms() - kept.since_unix_ms) / 1000
        if kept.result is not None and age_s < limits.RUN_RESULT_KEEP_S:
            offer = ResultOffer(kept.result, kept.commit, self._tools)
            self._deliveries[key] = Delivery(facts, offer, self._tools)
            return
        log.info("run_lost run=%s", short_name(facts))  # its keys were in memory only: EXE-9
        await release_run(self._tools, facts, code="run_lost")


def _refusal(text: str, code: str, rule: str) -> RemoteProtocolError:
    return RemoteProtocolError(text, code=code, rule=rule)
