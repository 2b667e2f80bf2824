"""The worker's side of auctions: feeds tenders and requests to the bidding desk, and performs what comes out.

A promise is persisted before it is sent: an award that is taken goes to the journal (stem `auction`) before its
confirmation leaves. Spec: protocol/04-auction.md, "Worker".
"""

import itertools
import logging
from collections.abc import Callable, Sequence

import trio

from skyops_p2p import limits
from skyops_p2p.core.auction import events as ev
from skyops_p2p.core.auction import worker_events as wev
from skyops_p2p.core.auction.audit import audit
from skyops_p2p.core.auction.capacity import Capacity, Supply, supply_of
from skyops_p2p.core.auction.desk import BiddingDesk
from skyops_p2p.core.auction.prices import PriceStrategy
from skyops_p2p.core.auction.worker import BiddingContext, WorkerTerms
from skyops_p2p.core.machine import Effect, Event
from skyops_p2p.core.node_core import NodeCore
from skyops_p2p.core.node_events import LoadChanged
from skyops_p2p.crypto.node_key import NodeKey
from skyops_p2p.errors import RemoteProtocolError, SkyopsError
from skyops_p2p.node.auction_records import lease_entry, proof_entry
from skyops_p2p.node.calling import Caller
from skyops_p2p.node.ports_bundle import NodePorts
from skyops_p2p.node.pricing import MachinePricing
from skyops_p2p.ports import Store
from skyops_p2p.types import MonotonicS, PeerId
from skyops_p2p.wire.messages.auction import BookRequest
from skyops_p2p.wire.messages.peering import NodeRecord
from skyops_p2p.wire.model import encode_message

log = logging.getLogger(__name__)

JOURNAL_STEM = "auction"
Tell = Callable[[str, PeerId, str], None]


class BiddingShell:
    """Answers tenders for one worker.

    Args:
        core: Read for our own record.
        caller: Asks requesters.
        store: Where leases and proofs are kept.
        ports: Clock and entropy.
        node_key: Signs bids.
        pricing: What to ask.
        post: Queues an event for the node's core.
        tell: Reports to the node's feed.
    """

    def __init__(
        self,
        core: NodeCore,
        caller: Caller,
        store: Store,
        *,
        ports: NodePorts,
        node_key: NodeKey,
        pricing: PriceStrategy,
        post: Callable[[Event], None],
        tell: Tell,
    ) -> None:
        self._core = core
        self._caller = caller
        self._store = store
        self._ports = ports
        self._post = post
        self._tell = tell
        self._pricing = pricing
        self._capacity = Capacity(Supply((), 0, 0, 0, 0))
        self._record: NodeRecord | None = None
        context = BiddingContext(
            core.rules, node_key, self._capacity, pricing, self._own_record, WorkerTerms()
        )
        self.desk = BiddingDesk(context)
        self._ids = itertools.count(1)
        self._answers: dict[int, bytes | str] = {}
        self._changed = trio.Event()
        self._nursery: trio.Nursery | None = None

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep the deadlines of open tenders until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
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

    def leave(self) -> None:
        """Make no new bids: the node is shutting down."""
        self.desk.is_leaving = True

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
                case wev.StoreLease():
                    is_stored = await self._journal(effect.award.digest.hex(), lease_entry(effect))
                case ev.KeepProof():
                    await self._journal(f"proof/{effect.tender.hex()}", proof_entry(effect))
                    self._tell("note", effect.offender, f"offence proven: {effect.offence}")
                case wev.SendCommit():
                    self._start(self._send_commit, effect)
                case wev.FetchBook():
                    self._start(self._fetch_book, effect)
                case wev.CapacityChanged():
                    self._post(LoadChanged(self._slots_free(), self._capacity.utilisation_permille()))
                case wev.EndBid(tender, code):
                    log.info("bid_ended tender=%s code=%s", tender.hex()[:8], code)
        self._changed.set()
        self._changed = trio.Event()

    def _slots_free(self) -> int:
        return max(0, self._capacity.free().slots)

    async def _journal(self, key: str, body: bytes) -> bool:
        try:
            await self._store.append(JOURNAL_STEM, key, body)
        except SkyopsError as error:
            log.warning("auction_not_stored key=%s code=%s", key[:16], error.code)
            return False
        return True

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
        """Fetch the bid book of an award and audit it: a worker that was cheated can prove it."""
        request = encode_message(BookRequest(book=effect.book))
        try:
            data = await self._caller.ask(effect.peer, request, timeout_s=limits.REQUEST_TIMEOUT_S)
        except SkyopsError as error:
            log.info("book_not_fetched peer=%s code=%s", effect.peer[-8:], error.code)
            return
        report = audit(data, self._core.rules)  # at most TENDER_BIDS_MAX bids: some milliseconds
        if report.digest != effect.book or report.requester != effect.peer:
            log.info("book_is_another peer=%s", effect.peer[-8:])
            return
        findings = tuple(finding.rule for finding in report.findings)
        event = wev.BookAudited(effect.peer, data, findings)
        await self._perform(self.desk.handle(effect.tender, event, _now()))


def _now() -> MonotonicS:
    return MonotonicS(trio.current_time())
