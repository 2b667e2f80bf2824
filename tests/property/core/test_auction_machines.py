"""Several matches over the same workers, with messages in any order, lost, repeated and late, and people who die.

Whatever happens: each match ends once, by its hard limit; nothing is sold twice; nobody but a confirmed winner keeps
capacity when all is over; and a confirmed winner is one that the bid book ranks.
"""

from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from skyops_p2p.core.auction import events as ev
from skyops_p2p.core.auction import worker_events as wev
from skyops_p2p.core.auction.audit import audit
from skyops_p2p.core.auction.codes import ACCEPTED, explain
from skyops_p2p.core.auction.requester import Auction, AuctionState
from skyops_p2p.core.machine import DeadlineReached, Event
from skyops_p2p.errors import UnexpectedEvent
from skyops_p2p.types import MonotonicS
from tests.unit.core.auction.house import House, Shop, three
from tests.unit.core.people import RULES, START, crowd

PEOPLE = crowd(5)
STEPS = st.one_of(
    st.tuples(st.just("deliver"), st.integers(0, 30)),
    st.tuples(st.just("lose"), st.integers(0, 30)),
    st.tuples(st.just("repeat"), st.integers(0, 30)),
    st.tuples(st.just("wait"), st.sampled_from((0.05, 0.3, 1.1))),
    st.tuples(st.just("die"), st.integers(0, 4)),
    st.tuples(st.just("revive"), st.integers(0, 4)),
    st.tuples(st.just("cancel"), st.just(0)),
)
QUIET = st.lists(st.tuples(st.just("deliver"), st.integers(0, 30)), max_size=60)


class Fair:
    """Some houses that share their workers."""

    def __init__(self, houses: int, prices: list[int]) -> None:
        shops = [Shop(person, price) for person, price in zip(PEOPLE, prices, strict=True)]
        self.shops = shops
        self.houses = [House(*shops, asked=3 + number % 3) for number in range(houses)]
        for number, house in enumerate(self.houses):
            house.begin(job_id=bytes([number] * 16), invite_share=2**32, price_max=2_000_000)

    def step(self, house: House, kind: str, value: Any) -> None:
        if kind == "wait":
            self.wait(value)
        elif kind in ("die", "revive"):
            self.shops[value].is_alive = kind == "revive"
        elif kind == "cancel":
            house.feed(ev.CancelRequested())
        elif house.flight:
            index = value % len(house.flight)
            if kind == "repeat":
                house.flight.append(house.flight[index])
            elif kind == "lose":
                house.flight.pop(index)
            else:
                house.step(index)

    def wait(self, seconds: float) -> None:
        for house in self.houses:
            house.wait(seconds)

    def finish(self) -> None:
        """Deliver what is left, and let all time pass that anybody waits for."""
        for shop in self.shops:
            shop.is_alive = True
        for house in self.houses:
            house.run()
        for _ in range(4):
            self.wait(2.5)
            for house in self.houses:
                house.run()

    def check(self) -> None:
        for house in self.houses:
            ends = house.told(ev.FinishMatch) + house.told(ev.FailMatch)
            assert len(ends) == 1, "each match ends once"
            assert house.auction.next_deadline() is None
            assert all(
                explain(outcome.code) or outcome.code == ACCEPTED for outcome in house.auction.outcomes.all()
            )
            if house.told(ev.FinishMatch):
                match = house.match
                raw = match.award.message.winner
                assert raw in match.book.message.ranking
                assert match.elapsed_ms <= 5000
                assert audit(match.book.data, RULES).findings == ()
            else:
                assert house.failure.elapsed_ms <= 5000


@settings(max_examples=60, deadline=None)
@given(
    houses=st.integers(1, 3),
    prices=st.lists(st.sampled_from((700_000, 900_000, 1_500_000, 3_000_000)), min_size=5, max_size=5),
    steps=st.lists(st.tuples(st.integers(0, 2), STEPS), max_size=120),
)
def test_nothing_is_sold_twice_and_every_match_ends(
    houses: int, prices: list[int], steps: list[tuple[int, tuple[str, Any]]]
) -> None:
    fair = Fair(houses, prices)
    for number, (kind, value) in steps:
        fair.step(fair.houses[number % houses], kind, value)
    fair.finish()
    fair.check()
    for shop in fair.shops:
        shop.desk.check_invariants()
    for house in fair.houses:
        house.wait(60)
    assert all(len(shop.capacity) == 0 for shop in fair.shops), "a lease that no job takes ends"


@settings(max_examples=40, deadline=None)
@given(houses=st.integers(1, 4), orders=st.lists(QUIET, min_size=4, max_size=4))
def test_without_loss_each_winner_holds_its_capacity_and_nobody_else_does(
    houses: int, orders: list[list[tuple[str, int]]]
) -> None:
    fair = Fair(houses, [900_000] * 5)
    for house, order in zip(fair.houses, orders, strict=False):
        for kind, value in order:
            fair.step(house, kind, value)
    fair.finish()
    fair.check()
    winners = Counter(house.match.winner for house in fair.houses if house.told(ev.FinishMatch))
    assert max(winners.values(), default=1) == 1, "one slot, one job"
    held = {shop.peer for shop in fair.shops if len(shop.capacity)}
    assert held == set(winners)
    for shop in fair.shops:
        assert len(shop.told(wev.StoreLease)) >= winners[shop.peer]


def _event(kind: int, house: House) -> Event:
    peer = PEOPLE[kind % 5].peer
    tender = house.auction.round.digest if house.auction.round and kind % 3 else bytes(32)
    events: tuple[Event, ...] = (
        ev.AnswerArrived(peer, tender, b"x"),
        ev.AnswerMissing(peer, tender, "x"),
        ev.CommitArrived(1, peer, b"x", None),
        ev.RevealArrived(peer, tender, b"x"),
        ev.RevealMissing(peer, tender, "x"),
        ev.DelayProven(tender, b"x"),
        ev.DelayFailed(tender, "x"),
        ev.ConfirmArrived(peer, tender, b"x"),
        ev.ConfirmMissing(peer, tender, "x"),
        ev.BookLost(bytes(32), "x"),
        ev.BidderLookedUp(Shop(PEOPLE[0]).bidder()),
        DeadlineReached(),
    )
    return events[kind % len(events)]


@settings(max_examples=100, deadline=None)
@given(at=st.integers(0, 20), kinds=st.lists(st.integers(0, 200), max_size=20))
def test_events_at_the_wrong_time_change_nothing_for_the_honest(at: int, kinds: list[int]) -> None:
    house = three().begin()
    for _ in range(at):
        if house.flight:
            house.step()
    for kind in kinds:
        house.feed(_event(kind, house))
    house.run().wait(5).run()
    assert house.match.bid.price in (900_000, 1_200_000, 1_500_000)
    assert not {outcome.peer for outcome in house.match.outcomes if outcome.code == ACCEPTED} - set(
        house.shops
    )


@given(kinds=st.lists(st.integers(0, 200), min_size=1, max_size=5))
def test_nothing_happens_before_the_beginning(kinds: list[int]) -> None:
    house = three()
    for kind in kinds:
        try:
            house.feed(_event(kind, house))
        except UnexpectedEvent:
            assert house.auction.state is AuctionState.PREPARING
    assert house.done == []


def test_a_deadline_is_never_in_the_past_after_it_was_handled() -> None:
    house = three().begin()
    now = START
    while isinstance(house.auction, Auction) and (deadline := house.auction.next_deadline()) is not None:
        assert deadline > now
        now = MonotonicS(deadline)
        house.now = now
        house.feed(DeadlineReached())
    assert house.auction.state is AuctionState.FAILED
