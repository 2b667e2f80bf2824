"""AUC-7: the commit window closes before its time once enough have answered, and never after it."""

import pytest

from skyops_p2p.core.auction import events as ev
from skyops_p2p.core.auction.patience import BIDS_ENOUGH, GOSSIP_S_MIN, STRAGGLERS_PART, Patience
from skyops_p2p.types import MonotonicS
from tests.unit.core.auction.house import House, Shop, lose
from tests.unit.core.people import ALICE, BOB, CAROL, MALLORY, crowd

WINDOW_S = 1.5
(FAR,) = crowd(1)


def ends_after(waited_s: float, *, asked: int, awaited: int, bids: int) -> float | None:
    """Return how long the window stays open after the answer that came after `waited_s`."""
    patience = Patience(asked, MonotonicS(100.0))
    end = patience.ends_at(MonotonicS(100.0 + waited_s), awaited=awaited, bids=bids)
    return None if end is None else end - 100.0 - waited_s


def test_stragglers_get_a_part_of_the_time_once_half_have_answered_and_enough_have_bid() -> None:
    assert ends_after(0.8, asked=16, awaited=8, bids=BIDS_ENOUGH) == pytest.approx(0.8 / STRAGGLERS_PART)
    assert ends_after(0.8, asked=16, awaited=9, bids=BIDS_ENOUGH) is None
    assert ends_after(0.8, asked=16, awaited=8, bids=BIDS_ENOUGH - 1) is None


def test_gossip_gets_as_long_again_once_all_asked_have_answered() -> None:
    assert ends_after(0.8, asked=16, awaited=0, bids=0) == pytest.approx(0.8)
    assert ends_after(0.01, asked=3, awaited=0, bids=1) == pytest.approx(GOSSIP_S_MIN)


def test_round_that_asks_nobody_directly_waits_for_gossip_as_long_as_it_said() -> None:
    assert ends_after(0.8, asked=0, awaited=0, bids=0) is None


def four() -> House:
    shops = [Shop(who, 900_000 + 100_000 * n) for n, who in enumerate((BOB, CAROL, FAR, MALLORY))]
    return House(*shops)


def test_one_silent_node_of_four_does_not_hold_up_the_match() -> None:
    house = four()
    house.begin()
    silent = next(item for item in house.flight if isinstance(item, ev.AskBid) and item.peer == MALLORY.peer)
    house.flight.remove(silent)  # neither an answer nor an error comes
    house.wait(0.2).run()
    assert house.told(ev.AskReveal) == []
    house.wait(0.2 / STRAGGLERS_PART).run()
    assert house.match.winner == BOB.peer
    assert house.outcomes()[MALLORY.peer] == "no_answer"
    assert house.now - house.begun_at < WINDOW_S / 2


def test_late_commitment_of_a_straggler_is_released() -> None:
    house = four()
    house.begin()
    late = next(item for item in house.flight if isinstance(item, ev.AskBid) and item.peer == MALLORY.peer)
    house.flight.remove(late)
    house.wait(0.2).run().wait(0.2 / STRAGGLERS_PART).run()
    house.flight.append(late)
    house.run()
    assert house.outcomes()[MALLORY.peer] in ("no_answer", "commit_late")
    assert MALLORY.name not in house.claims()


def test_two_bids_of_four_asked_are_waited_for_as_long_as_the_window_lasts() -> None:
    house = four()
    house.begin()
    for who in (FAR, MALLORY):
        house.flight.remove(
            next(one for one in house.flight if isinstance(one, ev.AskBid) and one.peer == who.peer)
        )
    house.wait(0.2).run().wait(WINDOW_S - 0.2 - 0.01).run()
    assert house.told(ev.AskReveal) == []
    house.wait(0.02).run()
    assert house.match.winner == BOB.peer


def test_gossip_is_not_waited_for_longer_than_the_answers_took() -> None:
    house = House(Shop(BOB, 900_000), Shop(CAROL, 1_000_000), asked=2)
    house.changes[ev.PublishTender] = lose
    house.begin(expects_gossip=True, invite_share=2**32).run()
    assert house.told(ev.AskReveal) == []
    house.wait(GOSSIP_S_MIN).run()
    assert house.match.winner == BOB.peer
    assert ALICE.peer not in house.outcomes()
