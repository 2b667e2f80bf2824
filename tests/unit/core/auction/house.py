"""An auction house: alice's machine and the workers' desks, joined by messages that a test may hold, change or lose."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from skyops_p2p.core.auction import events as ev
from skyops_p2p.core.auction import worker_events as wev
from skyops_p2p.core.auction.book import build_book
from skyops_p2p.core.auction.capacity import Capacity, supply_of
from skyops_p2p.core.auction.desk import BiddingDesk
from skyops_p2p.core.auction.prices import FixedPriceList
from skyops_p2p.core.auction.requester import Auction, AuctionContext
from skyops_p2p.core.auction.worker import BiddingContext, WorkerTerms
from skyops_p2p.core.machine import DeadlineReached, Effect, Event
from skyops_p2p.core.records import VerifiedRecord
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.types import MicroCredits, MonotonicS, PeerId, UnixMs
from skyops_p2p.wire.envelope import open_envelope
from skyops_p2p.wire.messages.auction import Tender
from tests.unit.core.auction.market import hardware, tender_of
from tests.unit.core.people import ALICE, BOB, CAROL, MALLORY, NOW, RULES, START, Person

DEAD = "unreachable"
"""The code of a request that did not arrive."""


ANYTHING = WorkerTerms()


@dataclass
class Shop:
    """A worker: its record, its price, and its desk."""

    person: Person
    price: int = 1_000_000
    vram_mib: int = 24_576
    slots: int = 1
    gpus: int = 1
    terms: WorkerTerms = ANYTHING
    desk: BiddingDesk = field(init=False)
    verified: VerifiedRecord = field(init=False)
    said: list[Effect] = field(default_factory=list)
    """Effects that are for the worker's own shell."""
    is_alive: bool = True

    def __post_init__(self) -> None:
        self.verified = self.person.verified(
            hardware=hardware(*[self.vram_mib] * self.gpus), slots=self.slots
        )
        self.capacity = Capacity(supply_of(self.verified.record))
        pricing = FixedPriceList(
            per_gpu={}, other_gpu=MicroCredits(self.price), machine=MicroCredits(self.price)
        )
        self.context = BiddingContext(
            rules=RULES,
            node_key=self.person.node_key,
            capacity=self.capacity,
            pricing=pricing,
            record=lambda: self.verified.record,
            terms=self.terms,
        )
        self.desk = BiddingDesk(self.context)

    @property
    def peer(self) -> PeerId:
        return self.person.peer

    def bidder(self, **changes: Any) -> ev.Bidder:
        fields = {
            "peer": self.peer,
            "record": self.verified,
            "round_trip_ms": 20,
            "bytes_per_s": 1_000_000,
            "reputation": 500_000,
        }
        return ev.Bidder(**{**fields, **changes})

    def told(self, kind: type[Effect]) -> list[Any]:
        return [effect for effect in self.said if isinstance(effect, kind)]


Message = ev.AskBid | ev.AskReveal | ev.SendAward | ev.SendRelease | ev.AcknowledgeCommit | ev.PublishTender
Change = Callable[[Any], Any]
"""Returns what arrives in place of a message or an answer; None if it is lost."""


class House:
    """Alice looks for a worker.

    Args:
        shops: The workers.
        asked: How many of them alice knows and may ask directly; all if omitted.
    """

    def __init__(self, *shops: Shop, asked: int | None = None, decide: Any = build_book) -> None:
        self.shops = {shop.peer: shop for shop in shops}
        self.known = shops[:asked]
        self.auction = Auction(AuctionContext(RULES, ALICE.node_key, decide))
        self.now, self.begun_at = START, START
        self.flight: list[Message | Event] = []
        """Alice's messages that did not arrive yet, and answers on their way to her."""
        self.done: list[Effect] = []
        """All effects of alice's machine."""
        self.changes: dict[type, Change] = {}
        """What happens to messages (by effect) and answers (by event) of a type."""
        self._ids = itertools.count()
        self._answers: dict[int, Effect] = {}

    @property
    def unix(self) -> UnixMs:
        return UnixMs(NOW + round((self.now - START) * 1000))

    def begin(self, *, timeout_s: float = 5.0, **changes: Any) -> "House":
        begun = {
            key: changes.pop(key) for key in ("expects_gossip", "allow", "deny", "screened") if key in changes
        }
        bidders = changes.pop("bidders", tuple(shop.bidder() for shop in self.known))
        terms = tender_of(**{"invite_share": 0, **changes})
        self.begun_at = self.now
        return self.feed(
            ev.AuctionBegun(terms, bidders, secret=bytes(32), unix_ms=self.unix, timeout_s=timeout_s, **begun)
        )

    def feed(self, event: Event) -> "House":
        """Hand alice's machine one event and keep what it asks for."""
        effects = self.auction.handle(event, self.now)
        self.auction.check_invariants()
        self.done.extend(effects)
        self.flight.extend(effect for effect in effects if isinstance(effect, Message))
        return self

    def step(self, index: int = 0) -> None:
        """Let one thing arrive."""
        item = self.flight.pop(index)
        change = self.changes.get(type(item))
        if change is not None:
            changed = change(item)
            if changed is None:
                if not isinstance(item, Event):
                    self._lost(item)
                return
            item = changed
        if isinstance(item, Event):
            self.feed(item)
        else:
            self._deliver(item)

    def run(self) -> "House":
        """Let everything arrive."""
        while self.flight:
            self.step()
        return self

    def until(self, kind: type) -> "House":
        """Let everything arrive until something of a type is next."""
        while self.flight and not isinstance(self.flight[0], kind):
            self.step()
        return self

    def wait(self, seconds: float) -> "House":
        """Let time pass, with a stop at each deadline."""
        end = MonotonicS(self.now + seconds)
        while True:
            ends = [
                self.auction.next_deadline(),
                *(shop.desk.next_deadline() for shop in self.shops.values()),
            ]
            due = min((at for at in ends if at is not None and at <= end), default=None)
            if due is None:
                break
            self.now = max(self.now, due)
            if (at := self.auction.next_deadline()) is not None and at <= self.now:
                self.feed(DeadlineReached())
            for shop in self.shops.values():
                self._keep(shop, shop.desk.wake(self.now))
        self.now = end
        return self

    def told(self, kind: type[Effect]) -> list[Any]:
        return [effect for effect in self.done if isinstance(effect, kind)]

    @property
    def match(self) -> ev.Match:
        (finished,) = self.told(ev.FinishMatch)
        assert not self.told(ev.FailMatch)
        return finished.match

    @property
    def failure(self) -> ev.MatchFailure:
        (failed,) = self.told(ev.FailMatch)
        assert not self.told(ev.FinishMatch)
        return failed.failure

    def outcomes(self) -> dict[PeerId, str]:
        return {outcome.peer: outcome.code for outcome in self.auction.outcomes.all()}

    def claims(self) -> dict[str, str]:
        """Who still holds capacity, and how firmly."""
        return {
            shop.person.name: claim.state.value
            for shop in self.shops.values()
            for claim in shop.capacity.claims()
        }

    # --- the network ------------------------------------------------------------------------------------------
    def ask(self, shop: Shop, call: Callable[[int], Sequence[Effect]]) -> Effect:
        """Make one request of a worker and return its answer: there is always one."""
        request_id = next(self._ids)
        self._keep(shop, call(request_id))
        return self._answers.pop(request_id)

    def hear(self, shop: Shop, data: bytes) -> None:
        """Let a worker hear a tender by gossip, and deliver the Commit that it may send."""
        before = len(shop.said)
        salt = sha256(shop.peer.encode())
        self._keep(shop, shop.desk.take_tender(data, self.now, self.unix, salt=salt))
        for effect in shop.said[before:]:
            if isinstance(effect, wev.SendCommit):
                self.flight.append(ev.CommitArrived(next(self._ids), shop.peer, effect.data, shop.bidder()))

    def give(self, shop: Shop, event: Event) -> None:
        """Hand a worker's machine an event of the present tender."""
        assert self.auction.round is not None
        self._keep(shop, shop.desk.handle(self.auction.round.digest, event, self.now))

    def _keep(self, shop: Shop, effects: Sequence[Effect]) -> None:
        shop.desk.check_invariants()
        for effect in effects:
            if isinstance(effect, ev.AnswerRequest | ev.RefuseRequest):
                assert effect.request_id not in self._answers, "a request was answered twice"
                self._answers[effect.request_id] = effect
            else:
                shop.said.append(effect)

    def _deliver(self, item: Any) -> None:
        if isinstance(item, ev.PublishTender):
            for shop in self.shops.values():
                if shop.is_alive:
                    self.hear(shop, item.data)
            return
        shop = self.shops.get(item.peer)
        if shop is None or not shop.is_alive:
            self._lost(item)
            return
        if isinstance(item, ev.AskBid):
            salt = sha256(item.peer.encode())
            answer = self.ask(
                shop,
                lambda rid: shop.desk.take_tender(item.data, self.now, self.unix, salt=salt, request_id=rid),
            )
        else:
            answer = self.ask(shop, lambda rid: shop.desk.take_request(item.data, self.now, request_id=rid))
        self._report(item, answer)

    def _report(self, item: Any, answer: Effect) -> None:
        arrived, missing = _EVENTS.get(type(item), (None, None))
        if arrived is None or missing is None:
            return
        if isinstance(answer, ev.AnswerRequest):
            self.flight.append(arrived(item.peer, item.tender, answer.data))
        else:
            assert isinstance(answer, ev.RefuseRequest)
            self.flight.append(missing(item.peer, item.tender, answer.code))

    def _lost(self, item: Any) -> None:
        _, missing = _EVENTS.get(type(item), (None, None))
        if missing is not None:
            self.flight.append(missing(item.peer, item.tender, DEAD))


_EVENTS: dict[type, tuple[Any, Any]] = {
    ev.AskBid: (ev.AnswerArrived, ev.AnswerMissing),
    ev.AskReveal: (ev.RevealArrived, ev.RevealMissing),
    ev.SendAward: (ev.ConfirmArrived, ev.ConfirmMissing),
}


def tender_in(effect: ev.AskBid | ev.PublishTender) -> Tender:
    return open_envelope(effect.data, Tender, RULES.network).message


def three() -> House:
    """Bob is the cheapest, then carol, then mallory."""
    return House(Shop(BOB, 900_000), Shop(CAROL, 1_200_000), Shop(MALLORY, 1_500_000))


def answer_with(data: bytes) -> Any:
    return lambda event: replace(event, data=data)


def from_only(person: Person, change: Any) -> Any:
    return lambda item: change(item) if item.peer == person.peer else item


def lose(_item: object) -> None:
    return None
