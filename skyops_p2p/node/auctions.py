"""The requester's side of auctions: one task for each match drives its machine and performs its effects.

The bid book is on the disk before an award is sent. Spec: protocol/04-auction.md, "Requester".
"""

import itertools
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import replace

import trio

from skyops_p2p import limits
from skyops_p2p.core.auction import events as ev
from skyops_p2p.core.auction import vdf
from skyops_p2p.core.auction.book import build_book
from skyops_p2p.core.auction.requester import Auction, AuctionContext
from skyops_p2p.core.machine import DeadlineReached, Effect, Event
from skyops_p2p.core.node_core import NodeCore
from skyops_p2p.core.records import check_record
from skyops_p2p.crypto.node_key import NodeKey
from skyops_p2p.errors import RemoteProtocolError, SkyopsError
from skyops_p2p.node.auction_journal import AuctionJournal
from skyops_p2p.node.calling import Caller
from skyops_p2p.node.candidates import bidder_of
from skyops_p2p.node.ports_bundle import NodePorts
from skyops_p2p.node.questions import Questions
from skyops_p2p.node.stake_gate import StakeGate
from skyops_p2p.ports import Network
from skyops_p2p.types import MonotonicS, PeerId
from skyops_p2p.wire.envelope import open_envelope, seal
from skyops_p2p.wire.messages.auction import Commit, Release

log = logging.getLogger(__name__)

Progress = Callable[[ev.ReportProgress], None]
Tell = Callable[[str, PeerId, str], None]
QUEUE_MAX = 1024
"""Answers of one match that wait for its task: bids are bounded below it."""
RELEASE_TIMEOUT_S = 2.0


_Arrived = ev.AnswerArrived | ev.RevealArrived | ev.ConfirmArrived
_Missing = ev.AnswerMissing | ev.RevealMissing | ev.ConfirmMissing


class AuctionHouse:
    """Runs matches.

    Args:
        core: Read for records of late bidders.
        network: To publish and to ask through.
        caller: Asks workers.
        journal: Where proofs are kept.
        ports: Standing of bidders, the clock, and where the bid books go.
        node_key: Signs tenders, books and awards.
        tell: Reports to the node's feed.
        stakes: Asks for stake where the job or the node does.
    """

    def __init__(
        self,
        core: NodeCore,
        network: Network,
        journal: AuctionJournal,
        *,
        caller: Caller,
        ports: NodePorts,
        node_key: NodeKey,
        tell: Tell,
        stakes: StakeGate,
    ) -> None:
        self._core = core
        self._network = network
        self._caller = caller
        self._journal = journal
        self._standing = ports.standing
        self._wall_clock = ports.wall_clock
        self._questions = Questions(network, core.rules)
        self._books = ports.books
        self._tell = tell
        self._stakes = stakes
        self._context = AuctionContext(core.rules, node_key, build_book)
        self._running: dict[int, _Run] = {}
        self._ids = itertools.count(1)
        self._awards: OrderedDict[bytes, ev.Match] = OrderedDict()
        """The last awards by their digests, oldest first: they can be taken back."""
        self.carrier: trio.Nursery
        """Set while `run` runs."""
        self._is_carrying = False

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Carry what nobody waits for (acknowledgements, releases, gossip) until cancelled."""
        async with trio.open_nursery() as nursery:
            self.carrier, self._is_carrying = nursery, True
            task_status.started()
            try:
                await trio.sleep_forever()
            finally:
                self._is_carrying = False

    async def match(
        self, begun: ev.AuctionBegun, progress: Progress, *, stake_wei: int = 0
    ) -> ev.Match | ev.MatchFailure:
        """Look for a worker until it is found or the match has failed.

        Args:
            begun: The job, and whom to ask.
            progress: Called with each step.
            stake_wei: What whoever bids unasked must have at stake.

        Raises:
            SkyopsError: Code `too_many_matches`: TENDERS_OPEN_MAX run already.
        """
        if len(self._running) >= limits.TENDERS_OPEN_MAX:
            raise SkyopsError(
                f"{limits.TENDERS_OPEN_MAX} matches run already",
                code="too_many_matches",
                hint="Wait for one to end.",
            )
        run = _Run(Auction(self._context), stake_wei)
        number = next(self._ids)
        self._running[number] = run
        try:
            async with trio.open_nursery() as nursery:
                performer = _Performer(self, run, nursery, progress)
                await performer.feed(begun)
                while run.result is None:
                    deadline = run.machine.next_deadline()
                    event: Event = DeadlineReached()
                    with trio.move_on_at(deadline if deadline is not None else float("inf")):
                        event = await run.receive.receive()
                    await performer.feed(event)
                nursery.cancel_scope.cancel()  # what was asked and not answered is of no use any more
        finally:
            del self._running[number]
            if run.result is None:
                self._withdraw(run)
        if isinstance(run.result, ev.Match):
            self._awards[run.result.award.digest] = run.result
            while len(self._awards) > limits.AWARDS_REMEMBERED_MAX:
                self._awards.popitem(last=False)
        return run.result

    def release_award(self, award: bytes) -> None:
        """Give an award back; see Market.release_award."""
        match_ = self._awards.pop(award, None)
        if match_ is None:
            return
        release = Release(tender=match_.tender.digest, code="withdrawn", book=match_.book.digest)
        self.carry(match_.winner, seal(release, self._context.node_key, self._core.rules.network))

    def carry(self, peer: PeerId, data: bytes) -> None:
        """Send what nobody waits for, unless the node is stopping: then what is held there runs out by itself."""
        if self._is_carrying:
            self.carrier.start_soon(self._send, peer, data)

    async def _send(self, peer: PeerId, data: bytes) -> None:
        await quietly(self._caller.ask(peer, data, timeout_s=RELEASE_TIMEOUT_S), "send", peer)

    def _withdraw(self, run: "_Run") -> None:
        """Let the bidders of a match go that was cancelled: else they hold capacity until their bids end."""
        for effect in run.machine.handle(ev.CancelRequested(), MonotonicS(trio.current_time())):
            if isinstance(effect, ev.SendRelease):
                self.carry(effect.peer, effect.data)

    async def answer_commit(self, peer: PeerId, data: bytes) -> bytes:
        """Answer a worker that offers a sealed bid for a tender it heard by gossip.

        Raises:
            RemoteProtocolError: The coded refusal to be sent.
        """
        tender = open_envelope(data, Commit, self._core.rules.network).message.tender
        run = next((run for run in self._running.values() if run.is_about(tender)), None)
        if run is None:
            raise RemoteProtocolError(
                "no such tender is open", code="unknown_tender", rule="AUC-35", peer=peer
            )
        number = next(self._ids)
        bidder = await self._staked(self._bidder(peer), run.stake_wei)
        reply = run.replies[number] = _Reply()
        run.post(ev.CommitArrived(number, peer, data, bidder))
        try:
            with trio.move_on_after(limits.REQUEST_TIMEOUT_S):
                await reply.is_there.wait()
        finally:
            del run.replies[number]
        if isinstance(reply.answer, str):
            raise RemoteProtocolError(f"refused: {reply.answer}", code=reply.answer, peer=peer)
        return reply.answer

    async def look_up(self, peer: PeerId) -> ev.Bidder | None:
        """Return a bidder with the record that it gives of itself; None if it gives no valid one."""
        entry = self._core.nodes.get(peer)
        try:
            reply = await self._questions.record(peer, peer)
            if entry is None or reply.record is None:
                return None
            record = check_record(reply.record, self._core.rules, now=self._wall_clock.now_ms())
        except SkyopsError as error:
            log.info("record_not_fetched peer=%s code=%s", peer[-8:], error.code)
            return None
        return replace(bidder_of(entry, self._standing), record=record) if record.peer == peer else None

    async def _staked(self, bidder: ev.Bidder | None, stake_wei: int) -> ev.Bidder | None:
        """Return a bidder with what is held against its stake. Rules: AUC-40."""
        if bidder is None or not stake_wei:
            return bidder
        await self._stakes.look([bidder.record], stake_wei)
        return replace(bidder, stake_code=self._stakes.code(bidder.record, stake_wei))

    def _bidder(self, peer: PeerId) -> ev.Bidder | None:
        entry = self._core.nodes.get(peer)
        return bidder_of(entry, self._standing) if entry else None


class _Reply:
    """The answer to one request of a worker, once the machine has given it."""

    def __init__(self) -> None:
        self.is_there = trio.Event()
        self.answer: bytes | str = "timeout"


class _Run:
    """One match under way."""

    def __init__(self, machine: Auction, stake_wei: int) -> None:
        self.machine = machine
        self.stake_wei = stake_wei
        self.result: ev.Match | ev.MatchFailure | None = None
        self.replies: dict[int, _Reply] = {}
        self._send, self.receive = trio.open_memory_channel[Event](QUEUE_MAX)

    def is_about(self, tender: bytes) -> bool:
        """Return whether a tender is this match's present one."""
        current = self.machine.round
        return current is not None and current.digest == tender

    def post(self, event: Event) -> None:
        """Queue an event; more than QUEUE_MAX are dropped, and the machine's deadline deals with their lack."""
        try:
            self._send.send_nowait(event)
        except trio.WouldBlock:
            log.warning("auction_event_dropped kind=%s", type(event).__name__)


_ANSWERS: dict[type[Effect], tuple[type[_Arrived], type[_Missing]]] = {
    ev.AskBid: (ev.AnswerArrived, ev.AnswerMissing),
    ev.AskReveal: (ev.RevealArrived, ev.RevealMissing),
    ev.SendAward: (ev.ConfirmArrived, ev.ConfirmMissing),
}
"""Question -> the events that report its answer, or that none came."""


class _Performer:
    """Performs the effects of one match."""

    def __init__(self, house: AuctionHouse, run: _Run, nursery: trio.Nursery, progress: Progress) -> None:
        self._house = house
        self._run = run
        self._nursery = nursery
        self._progress = progress
        self._network, self._caller = house._network, house._caller

    async def feed(self, event: Event) -> None:
        """Feed the machine one event and perform what it wants, in order."""
        queue: list[Effect] = list(self._run.machine.handle(event, MonotonicS(trio.current_time())))
        while queue:
            effect = queue.pop(0)
            if isinstance(effect, ev.StoreBook):
                lost = await self._store_book(effect)
                if lost is not None:
                    queue = list(self._run.machine.handle(lost, MonotonicS(trio.current_time())))
                continue
            await self._perform(effect)

    async def _perform(self, effect: Effect) -> None:
        match effect:
            case ev.AskBid() | ev.AskReveal() | ev.SendAward():
                self._nursery.start_soon(self._ask, effect)
            case ev.AcknowledgeCommit(peer, _, data) | ev.SendRelease(peer, _, data):
                self._house.carry(peer, data)
            case ev.PublishTender(_, resource, data):
                self._house.carrier.start_soon(self._publish, resource, data)
            case ev.LookUpBidder(peer, _):
                self._nursery.start_soon(self._look_up, peer)
            case ev.ProveDelay():
                self._nursery.start_soon(self._prove_delay, effect)
            case ev.AnswerRequest(number, answer) | ev.RefuseRequest(number, answer):
                self._reply(number, answer)
            case ev.KeepProof():
                await self._keep_proof(effect)
            case ev.ReportProgress():
                self._progress(effect)
            case ev.FinishMatch(result) | ev.FailMatch(result):
                self._run.result = result

    async def _ask(self, effect: ev.AskBid | ev.AskReveal | ev.SendAward) -> None:
        """Ask a worker, and post its answer or the lack of one."""
        arrived, missing = _ANSWERS[type(effect)]
        try:
            answer = await self._caller.ask(effect.peer, effect.data, timeout_s=effect.timeout_s)
        except SkyopsError as error:
            self._run.post(missing(effect.peer, effect.tender, error.code))
        else:
            self._run.post(arrived(effect.peer, effect.tender, answer))

    def _reply(self, number: int, answer: bytes | str) -> None:
        reply = self._run.replies.get(number)
        if reply is not None:
            reply.answer = answer
            reply.is_there.set()

    async def _publish(self, resource: str, data: bytes) -> None:
        topic = self._house._core.rules.tender_topic(resource)
        await quietly(self._network.publish(topic, data), "publish", self._network.peer_id)

    async def _look_up(self, peer: PeerId) -> None:
        """Fetch a bidder's newer record from itself; without it the bid is excluded, which is stated."""
        bidder = await self._house.look_up(peer)
        if bidder is not None:
            self._run.post(ev.BidderLookedUp(bidder))

    async def _prove_delay(self, effect: ev.ProveDelay) -> None:
        try:
            proof = await trio.to_thread.run_sync(vdf.evaluate, effect.challenge, effect.iterations)
        except SkyopsError as error:
            self._run.post(ev.DelayFailed(effect.tender, error.code))
        else:
            self._run.post(ev.DelayProven(effect.tender, proof))

    async def _store_book(self, effect: ev.StoreBook) -> ev.BookLost | None:
        current = self._run.machine.round
        assert current is not None, "a book without a round"
        job_id, number = current.tender.message.job_id, current.tender.message.round

        try:
            await self._house._books.save(effect.data, job_id=job_id, round_number=number)
        except SkyopsError as error:
            return ev.BookLost(effect.tender, error.code)
        return None

    async def _keep_proof(self, effect: ev.KeepProof) -> None:
        await quietly(self._house._journal.keep_proof(effect), "keep_proof", effect.offender)
        self._house._tell("note", effect.offender, f"offence proven: {effect.offence}")


async def quietly(action: Awaitable[object], what: str, peer: PeerId) -> None:
    """Do what nobody waits for: its failure costs no promise, and is logged."""
    try:
        await action
    except SkyopsError as error:
        log.debug("auction_%s_failed peer=%s code=%s", what, peer[-8:], error.code)
