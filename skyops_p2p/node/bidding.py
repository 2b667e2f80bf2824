"""The worker's side of auctions: feeds tenders and requests to the bidding desk, and performs what comes out.

A promise is persisted before it is sent: an award that is taken goes to the journal before its confirmation leaves, and
is put back after a restart. Spec: protocol/04-auction.md, "Worker" and "Confirmation".
"""

import itertools
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import trio

from skyops_p2p import limits
from skyops_p2p.core.auction import events as ev
from skyops_p2p.core.auction import worker_events as wev
from skyops_p2p.core.auction.bidding_context import BiddingContext, WorkerTerms
from skyops_p2p.core.auction.capacity import Capacity, Supply, supply_of
from skyops_p2p.core.auction.desk import BiddingDesk
from skyops_p2p.core.auction.leases import AwardUse, LeaseTerms
from skyops_p2p.core.auction.named_book import audit_named_book
from skyops_p2p.core.auction.prices import PriceStrategy
from skyops_p2p.core.machine import Effect, Event
from skyops_p2p.core.node_core import NodeCore
from skyops_p2p.core.node_events import LoadChanged
from skyops_p2p.crypto.node_key import NodeKey
from skyops_p2p.errors import RemoteProtocolError, SkyopsError
from skyops_p2p.node.auction_journal import AuctionJournal
from skyops_p2p.node.calling import Caller
from skyops_p2p.node.host import Host
from skyops_p2p.node.ports_bundle import NodePorts
from skyops_p2p.node.pricing import MachinePricing
from skyops_p2p.types import MonotonicS, PeerId
from skyops_p2p.wire.messages.auction import BookRequest
from skyops_p2p.wire.messages.peering import NodeRecord
from skyops_p2p.wire.model import encode_message

log = logging.getLogger(__name__)


class BiddingShell:
    """Answers tenders for one worker.

    Args:
        core: Read for our own record.
        caller: Asks requesters.
        journal: Where leases and proofs are kept.
        ports: Clock, entropy, and a place for long computations.
        node_key: Signs bids.
        terms: For whom and for what to bid.
        pricing: What to ask.
        host: Takes news of the load, and tells the feed.
    """

    def __init__(
        self,
        core: NodeCore,
        caller: Caller,
        journal: AuctionJournal,
        *,
        ports: NodePorts,
        node_key: NodeKey,
        terms: WorkerTerms,
        pricing: PriceStrategy,
        host: Host,
    ) -> None:
        self._core = core
        self._caller = caller
        self._journal = journal
        self._ports = ports
        self._host = host
        self._pricing = pricing
        self._terms = terms
        self._capacity = Capacity(Supply((), 0, 0, 0, 0))
        self._record: NodeRecord | None = None
        self.is_refused: Callable[[PeerId], bool] = lambda _requester: False
        """Whether a requester's reputation is too bad to work for it; whoever has scores says so."""
        self.is_payable: Callable[[], bool] = lambda: True
        """Whether this node can be paid at this moment; whoever pays and is paid says so."""
        context = BiddingContext(
            core.rules,
            node_key,
            self._capacity,
            pricing,
            self._own_record,
            terms,
            is_payable=self._can_be_paid,
            is_refused=self._refuses,
        )
        self.desk = BiddingDesk(context)
        self._ids = itertools.count(1)
        self._answers: dict[int, bytes | str] = {}
        self._told: tuple[int, int] | None = None
        """The load as it was told last."""
        self._changed = trio.Event()
        self._nursery: trio.Nursery | None = None
        self._looking = 0
        """Books that are looked at without having won, at most BOOK_FETCHES_MAX."""

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Put back what was promised before a restart, then keep the deadlines of open tenders until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            await self._restore()
            task_status.started()
            while True:
                deadline = self.desk.next_deadline()
                with trio.move_on_at(deadline if deadline is not None else float("inf")):
                    await self._changed.wait()
                if deadline is not None and trio.current_time() >= deadline:
                    await self._perform(self.desk.wake(_now()))

    async def answer_tender(self, data: bytes) -> bytes:
        """Answer a tender that a requester sent directly.

        Raises:
            RemoteProtocolError: The coded refusal to be sent.
        """
        number = next(self._ids)
        return await self._answered(number, self._take_tender(data, number))

    async def answer_request(self, data: bytes) -> bytes:
        """Answer any other request of a requester.

        Raises:
            RemoteProtocolError: The coded refusal to be sent.
        """
        number = next(self._ids)
        return await self._answered(number, self.desk.take_request(data, _now(), request_id=number))

    async def hear_tender(self, data: bytes) -> None:
        """Take a tender that came by gossip."""
        await self._perform(self._take_tender(data, None))

    async def take_lease(self, award: bytes, use: AwardUse | None = None) -> LeaseTerms | None:
        """Hand a confirmed award to the job that begins: its capacity is held from now on until `end_lease`.

        After a restart the lease can be taken again for LEASE_START_TIMEOUT_S.

        Args:
            award: Digest of the award's envelope.
            use: For which job; written down with the first lease on the award. None: no lease will follow this one.

        Returns:
            The lease with its claim, which no longer expires, and the use that it had before; None if there is none,
            or if it is taken already.

        Raises:
            StoreError: It cannot be written down that the job has it; nothing is taken.
        """
        waiting = self.desk.waiting_lease(award)
        if waiting is None:
            return None
        if waiting.use is None:
            await self._journal.mark_taken(award, use)
        lease, effects = self.desk.take_lease(award, _now())
        await self._perform(effects)
        if lease is None and not self.desk.is_taken(award):  # it ended while that was written
            await self._journal.forget_lease(award)
        return lease

    def lease_holder(self, award: bytes) -> PeerId | None:
        """Return to whom a confirmed award was promised that waits for its job; None if there is none."""
        lease = self.desk.waiting_lease(award)
        return lease.requester if lease else None

    async def keep_lease(self, lease: LeaseTerms, *, hold_s: float) -> None:
        """Hold what a job's lease held, so that the job's next part can begin on the same award without an auction.

        It is freed instead where that part could last longer than the provider's `worker.duration_s_max` allows.

        Args:
            lease: As `take_lease` gave it, with its use.
            hold_s: Seconds, after which it is free.
        """
        now, longest_s = _now(), self._terms.duration_s_max
        since = lease.use.since_unix_ms if lease.use is not None else self._ports.wall_clock.now_ms()
        used_s = (self._ports.wall_clock.now_ms() - since) / 1000
        if 0 < longest_s < used_s + lease.tender.message.duration_s_max:
            await self.end_lease(lease.tender.digest)
        else:
            await self._perform(self.desk.keep_lease(lease, now, until=MonotonicS(now + hold_s)))

    async def end_lease(self, tender: bytes) -> None:
        """Free what is held for a job; nothing happens if there is no lease, or it was ended before.

        Args:
            tender: Digest of the tender.
        """
        await self._perform(self.desk.end_lease(tender, _now()))

    def is_free(self, *, is_device: bool) -> bool:
        """Return whether no job needs what a proof of compute takes: one core, or every GPU. Rules: AUC-36."""
        self._own_record()
        spare = self._capacity.spare()
        has_gpus = not is_device or len(spare.devices) == len(self._capacity.supply.devices)
        return spare.cpu_cores >= 1 and has_gpus

    def leave(self) -> None:
        """Make no new bids: the node is shutting down."""
        self.desk.is_leaving = True

    def _refuses(self, requester: PeerId) -> bool:
        return requester in self._journal.offenders or self.is_refused(requester)  # AUC-46

    def _can_be_paid(self) -> bool:
        return self.is_payable()

    def _take_tender(self, data: bytes, number: int | None) -> list[Effect]:
        self._own_record()
        salt, unix = self._ports.entropy.token(32), self._ports.wall_clock.now_ms()
        return self.desk.take_tender(data, _now(), unix, salt=salt, request_id=number)

    def _own_record(self) -> NodeRecord | None:
        """Return our newest record; the capacity follows what it says."""
        entry = self._core.nodes.get(self._core.peer_id)
        record = entry.record if entry else None
        if record is not None and record is not self._record:
            self._record = record
            supply = supply_of(record)
            self._capacity.resize(supply)
            if isinstance(self._pricing, MachinePricing):
                self._pricing.follow(supply)
            self._tell_load()
        return record

    async def _answered(self, number: int, effects: Sequence[Effect]) -> bytes:
        await self._perform(effects)
        answer = self._answers.pop(number, "internal")
        if isinstance(answer, str):
            raise RemoteProtocolError(f"refused: {answer}", code=answer)
        return answer

    async def _perform(self, effects: Sequence[Effect]) -> None:
        """Perform in order; a lease that cannot be stored turns its confirmation into a refusal."""
        is_stored = True
        for effect in effects:
            match effect:
                case ev.AnswerRequest(number, data):
                    self._answers[number] = data if is_stored else "store_failed"
                case ev.RefuseRequest(number, code):
                    self._answers[number] = code
                case wev.StoreLease(lease):
                    is_stored = await self._is_done(self._journal.store_lease(lease), "lease_not_stored")
                    self._tell_load()
                case wev.ForgetLease(award):
                    await self._journal.forget_lease(award)
                case ev.KeepProof():
                    await self._is_done(self._journal.keep_proof(effect), "proof_not_kept")
                    self._host.tell("note", effect.offender, f"offence proven: {effect.offence}")
                case wev.SendCommit():
                    self._start(self._send_commit, effect)
                case wev.FetchBook():
                    self._start(self._fetch_book, effect)
                case wev.CapacityChanged():
                    self._tell_load()
                case wev.EndBid(tender, code):
                    log.info("bid_ended tender=%s code=%s", tender.hex()[:8], code)
        self._changed.set()
        self._changed = trio.Event()

    def _tell_load(self) -> None:
        told = self._capacity.told()
        if told != self._told and self._record is not None:  # without a record there is no supply yet
            self._told = told
            self._host.post(LoadChanged(*told))

    @staticmethod
    async def _is_done(writing: Awaitable[None], trouble: str) -> bool:
        try:
            await writing
        except SkyopsError as error:
            log.warning("%s code=%s", trouble, error.code)
            return False
        return True

    async def _restore(self) -> None:
        """Put back the awards that were confirmed before a restart; what cannot be read is told, and skipped.

        Rules: AUC-31.
        """
        try:
            leases, troubles = await self._journal.leases()
        except SkyopsError as error:
            leases, troubles = [], [f"what was promised before the restart cannot be read ({error.code})"]
        now, unix = _now(), self._ports.wall_clock.now_ms()
        for kept in leases:
            until = MonotonicS(now + (kept.ends_unix_ms - unix) / 1000)
            lease = replace(kept.lease, claim=replace(kept.lease.claim, expires_at=until))
            if not self.desk.restore(lease):
                troubles.append(f"the stored lease {lease.award.digest.hex()[:16]} contradicts another one")
        for trouble in troubles:
            log.warning("lease_not_restored: %s", trouble)
            self._host.tell("note", self._core.peer_id, trouble)

    def _start(self, action: Callable[..., object], effect: Effect) -> None:
        if self._nursery is not None:
            self._nursery.start_soon(action, effect)  # type: ignore[arg-type]

    async def _send_commit(self, effect: wev.SendCommit) -> None:
        """Offer a bid for a tender that was heard by gossip."""
        event: Event
        try:
            ack = await self._caller.ask(effect.peer, effect.data, timeout_s=limits.COMMIT_WINDOW_MS / 1000)
            event = wev.CommitAcknowledged(ack)
        except SkyopsError as error:
            event = wev.CommitRefused(error.code)
        await self._perform(self.desk.handle(effect.tender, event, _now()))

    async def _fetch_book(self, effect: wev.FetchBook) -> None:
        """Look at a bid book that concerns us: a worker that was cheated can prove it. Rules: AUC-34."""
        if effect.is_winner:
            await self._look_into(effect)
            return
        if self._looking >= limits.BOOK_FETCHES_MAX:
            log.info("book_not_fetched peer=%s code=busy", effect.peer[-8:])
            return
        self._looking += 1
        try:
            await trio.sleep(self._ports.entropy.uniform() * limits.BOOK_FETCH_DELAY_S_MAX)
            await self._look_into(effect)
        finally:
            self._looking -= 1

    async def _look_into(self, effect: wev.FetchBook) -> None:
        request = encode_message(BookRequest(book=effect.book))
        try:
            data = await self._caller.ask(effect.peer, request, timeout_s=limits.REQUEST_TIMEOUT_S)
            audited = await self._ports.compute(audit_named_book, effect, data, self._core.rules)
        except SkyopsError as error:
            log.info("book_not_audited peer=%s code=%s", effect.peer[-8:], error.code)
            return
        if audited is None:
            log.info("book_is_another peer=%s", effect.peer[-8:])
            return
        await self._perform(self.desk.handle(effect.tender, audited, _now()))


def _now() -> MonotonicS:
    return MonotonicS(trio.current_time())
