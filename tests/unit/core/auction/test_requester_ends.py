"""The requester's machine: who confirms, who is asked next, wider rounds, and how a match fails."""

from dataclasses import replace
from typing import Any

import pytest

from skyops_p2p import limits
from skyops_p2p.core.auction import events as ev
from skyops_p2p.core.auction.requester import AuctionState
from skyops_p2p.core.machine import DeadlineReached
from skyops_p2p.errors import UnexpectedEvent
from skyops_p2p.wire.envelope import open_envelope, seal
from skyops_p2p.wire.messages.auction import Confirm, Release
from tests.unit.core.auction.house import DEAD, House, Shop, answer_with, from_only, lose, three
from tests.unit.core.people import BOB, CAROL, MALLORY, NOW, RULES, START, Person, crowd

S = AuctionState


# --- awards ---------------------------------------------------------------------------------------------------------
def test_reserves_are_asked_in_order() -> None:  # AUC-27
    house = three()
    house.changes[ev.SendAward] = from_only(BOB, lose)
    house.begin().run()
    assert house.match.winner == CAROL.peer
    assert house.match.award.message.rank == 1
    assert house.outcomes() == {
        BOB.peer: "confirm_missing",
        CAROL.peer: "accepted",
        MALLORY.peer: "not_chosen",
    }
    assert house.claims() == {"carol": "leased"}


def test_a_silent_winner_is_told_that_its_award_is_void() -> None:  # AUC-28
    house = three()
    late: list[ev.ConfirmArrived] = []
    house.changes[ev.ConfirmArrived] = from_only(BOB, late.append)
    house.begin().run()
    assert house.auction.state is S.AWARDING
    assert house.claims()["bob"] == "leased"
    house.wait(limits.AWARD_TIMEOUT_MS / 1000).run()
    assert house.match.winner == CAROL.peer
    talk = [(type(item), item.peer) for item in house.done if isinstance(item, ev.SendAward | ev.SendRelease)]
    assert talk.index((ev.SendRelease, BOB.peer)) < talk.index((ev.SendAward, CAROL.peer)), (
        "one award at a time"
    )
    assert house.claims() == {"carol": "leased"}
    house.feed(late[0]).run()
    assert house.match.winner == CAROL.peer
    last = house.told(ev.SendRelease)[-1]
    assert (last.peer, open_envelope(last.data, Release, RULES.network).message.code) == (
        BOB.peer,
        "withdrawn",
    )


def confirm_with(who: Person = BOB, **changes: Any) -> Any:
    def change(event: ev.ConfirmArrived) -> ev.ConfirmArrived:
        confirm = open_envelope(event.data, Confirm, RULES.network).message.model_copy(update=changes)
        return replace(event, data=seal(confirm, who.node_key, RULES.network))

    return change


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (confirm_with(is_accepted=False, code="leaving"), "leaving"),
        (confirm_with(is_accepted=False, code="nonsense"), "other"),
        (confirm_with(award=bytes(32)), "confirm_invalid"),
        (confirm_with(code="leaving"), "confirm_invalid"),
        (confirm_with(is_accepted=False), "confirm_invalid"),
        (confirm_with(MALLORY), "confirm_invalid"),
        (answer_with(b"\x00"), "confirm_invalid"),
    ],
)
def test_a_winner_that_does_not_confirm_makes_way(change: Any, code: str) -> None:  # AUC-28, AUC-32
    house = three()
    house.changes[ev.ConfirmArrived] = from_only(BOB, change)
    house.begin().run()
    assert house.match.winner == CAROL.peer
    assert house.outcomes()[BOB.peer] == code
    assert house.claims() == {"carol": "leased"}, "whatever bob holds, he is released"


def test_a_winner_that_says_it_is_too_late_is_released_before_the_next_is_asked() -> None:  # AUC-28
    house = three().begin().until(ev.SendAward)
    house.now = type(house.now)(START + 0.999)
    bob = house.shops[BOB.peer]
    late = house.flight[0]
    assert isinstance(late, ev.SendAward)
    bobs_clock = type(house.now)(START + 1.0)
    answer = house.ask(bob, lambda rid: bob.desk.take_request(late.data, bobs_clock, request_id=rid))
    assert isinstance(answer, ev.AnswerRequest)
    house.flight[0] = ev.ConfirmArrived(BOB.peer, late.tender, answer.data)
    house.run()
    assert house.outcomes()[BOB.peer] == "past_deadline"
    assert house.claims() == {"carol": "leased"}


def released(house: House) -> dict[str, Release]:
    """Return what each worker was let go with, the last word counting."""
    return {
        house.shops[sent.peer].person.name: open_envelope(sent.data, Release, RULES.network).message
        for sent in house.told(ev.SendRelease)
    }


def test_losers_are_told_the_name_of_the_book() -> None:  # AUC-29
    house = three()
    house.changes[ev.AskReveal] = from_only(MALLORY, lose)
    house.begin().run()
    book = house.match.book.digest
    assert {name: (one.code, one.book) for name, one in released(house).items()} == {
        "carol": ("not_chosen", book),
        "mallory": ("not_chosen", book),
    }
    kinds = [type(effect) for effect in house.done]
    assert kinds.index(ev.StoreBook) < kinds.index(ev.SendRelease)


def test_losers_of_a_book_without_a_winner_are_told_its_name() -> None:  # AUC-29
    house = three().begin(reputation_min=900_000).run()
    assert house.failure.code == "all_excluded"
    (stored,) = house.told(ev.StoreBook)
    assert {(one.code, one.book) for one in released(house).values()} == {("no_match", stored.book)}


def test_without_a_book_nobody_is_told_of_one() -> None:  # AUC-29
    house = three().begin().until(ev.AskReveal)
    house.feed(ev.CancelRequested()).run()
    assert {(one.code, one.book) for one in released(house).values()} == {("withdrawn", None)}


def test_nobody_confirms() -> None:
    house = three()
    house.changes[ev.SendAward] = lose
    house.begin().run()
    assert house.failure.code == "no_confirm"
    assert [award.peer for award in house.told(ev.SendAward)] == [BOB.peer, CAROL.peer, MALLORY.peer]
    assert house.claims() == {}


def lose_book(house: House) -> House:
    """Do as the shell does when the book cannot be stored: drop what follows StoreBook, and say so."""
    (index,) = [n for n, effect in enumerate(house.done) if isinstance(effect, ev.StoreBook)]
    tender = house.done[index].tender
    del house.done[index + 1 :]
    house.flight.clear()
    return house.feed(ev.BookLost(tender, "disk_full"))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"reputation_min": 900_000},
        {"reputation_min": 900_000, "invite_share": 2**30},
    ],
    ids=["awarded", "all excluded", "all excluded, and a wider round begun"],
)
def test_an_unstored_book_awards_nobody_and_fails_the_match(changes: dict[str, Any]) -> None:  # AUC-26
    house = three().begin(**changes)
    while not house.told(ev.StoreBook):
        house.step()
    lose_book(house)
    assert (house.failure.code, house.failure.detail) == ("book_not_stored", "disk_full")
    house.run()
    assert house.claims() == {}
    assert {(one.code, one.book) for one in released(house).values()} == {("failed", None)}
    assert house.feed(ev.BookLost(house.told(ev.StoreBook)[0].tender, "disk_full")).failure, "once"


def test_the_award_of_a_bid_that_has_run_out_is_not_sent() -> None:
    house = three()
    house.changes[ev.ConfirmArrived] = lose
    house.begin(timeout_s=60.0, commit_ms=50, reveal_ms=50).run()
    assert house.auction.round is not None
    for reveal in house.auction.round.reveals.values():
        assert reveal.bid.valid_until_unix_ms == NOW + 60_000
    house.auction.round.reveals[CAROL.peer] = house.auction.round.reveals[CAROL.peer].model_copy(
        update={
            "bid": house.auction.round.reveals[CAROL.peer].bid.model_copy(
                update={"valid_until_unix_ms": NOW + 1}
            )
        }
    )
    house.wait(1.0).run()
    assert [award.peer for award in house.told(ev.SendAward)] == [BOB.peer, MALLORY.peer]
    assert house.outcomes()[CAROL.peer] == "bid_expired"


# --- rounds, limits, ends -------------------------------------------------------------------------------------------
def test_a_wider_round_asks_those_who_were_not_asked() -> None:
    people = crowd(20)
    shops = [Shop(person, 5_000_000) for person in people[:16]] + [Shop(person) for person in people[16:]]
    house = House(*shops).begin().run()
    asked = [told.count for told in house.told(ev.ReportProgress) if told.step == "asked"]
    assert asked == [16, 4]
    assert house.match.rounds == 2
    assert house.now == START
    codes = house.outcomes()
    assert [codes[shop.peer] for shop in shops[:16]] == ["price_too_low"] * 16


def test_those_who_bid_elsewhere_are_asked_again() -> None:
    bob = Shop(BOB)
    other = House(bob).begin(job_id=bytes([9] * 16)).until(ev.AskReveal)
    house = House(bob).begin().run()
    assert house.auction.state is S.WAITING
    assert house.outcomes() == {BOB.peer: "capacity_reserved"}
    assert other.auction.round is not None
    other.feed(ev.CancelRequested()).run()
    house.wait(0.4).run()
    assert house.match.winner == BOB.peer
    assert house.match.rounds == 2


def test_those_who_bid_elsewhere_for_long_fail_the_match_with_that_reason() -> None:
    bob = Shop(BOB)
    House(bob).begin(job_id=bytes([9] * 16)).until(ev.SendAward).run()
    assert bob.capacity.claims()[0].state.value == "leased"
    assert House(bob).begin().run().failure.code == "all_declined", "a lease is not waited for"
    carol = Shop(CAROL)
    House(carol).begin(job_id=bytes([9] * 16), timeout_s=60.0).until(ev.AskReveal)
    house = House(carol).begin().run()
    for _ in range(20):
        house.wait(0.4).run()
    assert house.failure.code == "all_declined"
    assert dict(house.failure.counts) == {"capacity_reserved": 1}
    assert 2 < house.failure.rounds <= limits.TENDER_ROUNDS_MAX + 1


def test_rounds_end_with_the_share_the_time_or_the_count(monkeypatch: pytest.MonkeyPatch) -> None:
    def rounds(**changes: Any) -> int:
        return House().begin(**changes).wait(60).failure.rounds

    assert rounds(invite_share=2**31, timeout_s=60.0, commit_ms=50) == 2, "the share is whole"
    assert rounds(invite_share=1, timeout_s=1.0, commit_ms=300) == 2, "less than half a second is left"
    monkeypatch.setattr(limits, "TENDER_ROUNDS_MAX", 3)
    assert rounds(invite_share=1, timeout_s=60.0, commit_ms=50) == 4


def test_answers_to_an_earlier_round_are_told_apart() -> None:
    people = crowd(17)
    house = House(*(Shop(person) for person in people))
    held: list[ev.AnswerArrived] = []
    house.changes[ev.AnswerArrived] = lambda event: held.append(event) if len(held) < 16 else event
    house.begin(commit_ms=500).run().wait(0.5)
    assert house.auction.round is not None
    assert house.auction.round.number == 1
    for event in held:
        house.feed(event)
    house.run()
    assert house.match.winner == people[16].peer
    assert house.claims() == {people[16].name: "leased"}, "the late ones of round 0 were released"


@pytest.mark.parametrize("kind", [ev.AnswerArrived, ev.AskReveal, ev.SendAward])
def test_the_hard_limit_ends_every_phase(kind: type) -> None:
    house = three().begin(timeout_s=0.9, commit_ms=30_000, reveal_ms=30_000)
    house.until(kind)
    house.flight.clear()
    state = house.auction.state
    house.now = type(house.now)(START + 0.9)
    house.feed(DeadlineReached()).run()
    assert house.failure.code == "match_timeout"
    assert house.failure.detail == f"while {state.value}"
    assert house.failure.elapsed_ms == 900
    house.wait(1)
    assert house.claims() == {}


@pytest.mark.parametrize("kind", [ev.AskBid, ev.AnswerArrived, ev.AskReveal, ev.RevealArrived, ev.SendAward])
def test_a_cancelled_match_frees_everybody(kind: type) -> None:
    house = three().begin().until(kind)
    house.feed(ev.CancelRequested()).run()
    assert house.failure.code == "withdrawn"
    assert house.claims() == {}
    house.feed(ev.CancelRequested())
    assert len(house.told(ev.FailMatch)) == 1


def test_cancel_before_the_beginning() -> None:
    assert House().feed(ev.CancelRequested()).auction.state is S.FAILED


def test_an_early_deadline_is_nothing() -> None:
    house = three().begin()
    before = len(house.done)
    house.feed(DeadlineReached())
    assert house.done[before:] == []


def test_events_before_the_beginning_and_a_second_beginning_are_refused() -> None:
    house = House()
    with pytest.raises(UnexpectedEvent):
        house.feed(ev.RevealMissing(BOB.peer, bytes(32), DEAD))
    house = three().begin()
    with pytest.raises(UnexpectedEvent):
        house.begin()
    assert house.run().auction.state is S.MATCHED
