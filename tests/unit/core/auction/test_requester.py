"""The requester's machine: a match from tender to award, and answers that are no bids."""

from dataclasses import replace
from typing import Any

import pytest

from skyops_p2p import limits
from skyops_p2p.core.auction import events as ev
from skyops_p2p.core.auction.audit import audit
from skyops_p2p.core.auction.book import build_book
from skyops_p2p.core.auction.requester import AuctionState
from skyops_p2p.crypto.node_key import peer_id_to_bytes
from skyops_p2p.wire.envelope import seal
from skyops_p2p.wire.messages.auction import Commit, Decline
from tests.unit.core.auction.house import DEAD, House, Shop, answer_with, from_only, lose, tender_in, three
from tests.unit.core.auction.market import tender_of
from tests.unit.core.people import BOB, CAROL, MALLORY, NOW, RULES, START, crowd

S = AuctionState


# --- good matches ---------------------------------------------------------------------------------------------------
def test_the_best_bid_wins_without_any_waiting() -> None:
    house = three().begin().run()
    assert house.now == START, "every window closed early"
    assert house.match.winner == BOB.peer
    assert house.match.bid.price == 900_000
    assert house.match.rounds == 1
    assert house.outcomes() == {BOB.peer: "accepted", CAROL.peer: "not_chosen", MALLORY.peer: "not_chosen"}
    assert house.claims() == {"bob": "leased"}, "the losers are free again"


def test_the_book_of_a_match_passes_the_audit() -> None:
    house = three().begin().run()
    (stored,) = house.told(ev.StoreBook)
    assert audit(stored.data, RULES).findings == ()
    assert house.match.award.message.book == stored.book


def test_the_book_is_stored_before_the_award_is_sent() -> None:  # AUC-26
    kinds = [type(effect) for effect in three().begin().run().done]
    assert kinds.index(ev.StoreBook) < kinds.index(ev.SendAward)
    assert kinds.count(ev.SendAward) == 1


def test_each_commitment_is_acknowledged_before_the_set_is_closed() -> None:
    house = three().begin().run()
    kinds = [type(effect) for effect in house.done]
    assert kinds.count(ev.AcknowledgeCommit) == 3
    assert kinds.index(ev.AskReveal) > max(n for n, kind in enumerate(kinds) if kind is ev.AcknowledgeCommit)


def test_every_step_is_told() -> None:
    house = three().begin().run()
    steps = [(told.step, told.count) for told in house.told(ev.ReportProgress)]
    assert steps == [
        ("asked", 3),
        *[("answered", 0)] * 3,
        ("closed", 3),
        ("revealed", 3),
        ("decided", 3),
        ("awarding", 0),
    ]


def test_each_round_has_a_seed_of_its_own_and_fits_the_time_left() -> None:
    house = House(Shop(BOB)).begin(invite_share=1, commit_ms=30_000, reveal_ms=30_000)
    tender = tender_in(house.told(ev.AskBid)[0])
    assert (tender.commit_ms, tender.reveal_ms) == (2000, 1500)
    assert tender.expires_unix_ms == NOW + 5000
    house.changes[ev.PublishTender] = lose
    house.changes[ev.AskBid] = lose
    house.run().wait(2)
    again = tender_in(house.told(ev.PublishTender)[1])
    assert again.round == 1
    assert again.seed_digest != tender.seed_digest
    assert again.expires_unix_ms == NOW + 5000


def test_lists_that_do_not_fit_stay_with_the_requester() -> None:
    others = tuple(peer_id_to_bytes(person.peer) for person in crowd(32))
    begun = ev.AuctionBegun(tender_of(deny=others, allow=others), (), bytes(32), NOW, timeout_s=5.0)
    (sent,) = House().feed(begun).told(ev.PublishTender)
    assert len(sent.data) <= limits.TENDER_BYTES_MAX
    assert (tender_in(sent).deny, tender_in(sent).allow) == ((), others)


# --- declines and silence -------------------------------------------------------------------------------------------
def test_when_all_decline_the_failure_says_why() -> None:
    house = three().begin(price_max=600_000).run()
    assert house.now == START
    assert house.failure.code == "all_declined"
    assert dict(house.failure.counts) == {"price_too_low": 3}
    assert {outcome.peer for outcome in house.failure.outcomes} == {BOB.peer, CAROL.peer, MALLORY.peer}
    assert house.claims() == {}


def test_declines_are_in_the_book() -> None:
    house = House(Shop(BOB), Shop(CAROL, 5_000_000)).begin().run()
    assert len(house.match.book.message.declines) == 1
    assert house.outcomes()[CAROL.peer] == "price_too_low"


def test_a_decline_code_of_a_strangers_invention_is_not_repeated() -> None:
    house = House(Shop(BOB)).begin()
    assert house.auction.round is not None
    decline = Decline(tender=house.auction.round.digest, code="because_i_say_so")
    house.changes[ev.AnswerArrived] = answer_with(seal(decline, BOB.node_key, RULES.network))
    house.run()
    assert house.outcomes() == {BOB.peer: "other"}


def test_the_silent_are_waited_for_until_the_window_closes() -> None:
    house = three()
    house.changes[ev.AnswerArrived] = from_only(CAROL, lose)
    house.begin().run()
    assert house.auction.state is S.COMMITTING
    house.wait(1.5).run()
    assert house.match.winner == BOB.peer
    assert house.outcomes()[CAROL.peer] == "no_answer"


def test_the_unreachable_are_not_waited_for() -> None:
    house = three()
    house.shops[CAROL.peer].is_alive = False
    house.begin().run()
    assert house.now == START
    (carol,) = [outcome for outcome in house.match.outcomes if outcome.peer == CAROL.peer]
    assert (carol.code, carol.detail) == ("no_answer", DEAD)


def test_nobody_known_and_no_gossip_fails_at_once() -> None:
    screened = (ev.Outcome(BOB.peer, "vram", "has 8192 MiB"),)
    house = House().begin(screened=screened)
    assert house.failure.code == "no_candidates"
    assert house.failure.outcomes == screened


def test_nobody_known_waits_for_gossip_and_fails_at_the_window() -> None:
    house = House().begin(invite_share=2**32).run()
    assert house.auction.state is S.COMMITTING
    assert house.wait(1.5).failure.code == "no_answers"


@pytest.mark.parametrize("kind", ["oversized", "non_canonical", "malformed", "wrong_signer", "wrong_tender"])
def test_an_answer_that_breaks_the_protocol_is_an_outcome(kind: str) -> None:
    house = three()

    def break_it(event: ev.AnswerArrived) -> ev.AnswerArrived:
        commit = Commit(tender=event.tender, commitment=bytes(32), record_sequence=1)
        elsewhere = Commit(tender=bytes(32), commitment=bytes(32), record_sequence=1)
        data = {
            "oversized": event.data + bytes(limits.TENDER_BYTES_MAX),
            "non_canonical": event.data + b"\x00",
            "malformed": event.data[:40],
            "wrong_signer": seal(commit, MALLORY.node_key, RULES.network),
            "wrong_tender": seal(elsewhere, CAROL.node_key, RULES.network),
        }[kind]
        return replace(event, data=data)

    house.changes[ev.AnswerArrived] = from_only(CAROL, break_it)
    house.begin().run()
    (carol,) = [outcome for outcome in house.match.outcomes if outcome.peer == CAROL.peer]
    assert (carol.code, carol.detail) == ("answer_invalid", kind)
    assert house.match.winner == BOB.peer


def test_a_late_commitment_is_released() -> None:
    house = three()
    held: list[ev.AnswerArrived] = []
    house.changes[ev.AnswerArrived] = from_only(CAROL, held.append)
    house.begin().run().wait(1.5).run()
    assert house.match.winner == BOB.peer
    assert house.claims() == {"bob": "leased", "carol": "reserved"}
    house.feed(held[0]).run()
    assert house.claims() == {"bob": "leased"}


# --- the policy vdf ---------------------------------------------------------------------------------------------------
def vdf_house(**changes: Any) -> House:
    """Stop where the delay function is to be evaluated; any proof will do for this book."""

    def decide(evidence: Any, commit_set: bytes) -> Any:
        tender = evidence.tender.message.model_copy(update={"policy": "composite"})
        plain = replace(evidence, proof=b"", tender=replace(evidence.tender, message=tender))
        return build_book(plain, commit_set).model_copy(update={"proof": evidence.proof})

    house = House(Shop(BOB), Shop(CAROL, 1_500_000), decide=decide)
    return house.begin(policy="vdf", **changes)


def test_the_delay_is_proven_before_the_book() -> None:
    house = vdf_house().run()
    assert house.auction.state is S.PROVING
    (prove,) = house.told(ev.ProveDelay)
    assert prove.iterations == 200 * 1600, "the reveal window is short enough for the delay to fit"
    house.feed(ev.DelayProven(prove.tender, b"proof")).run()
    assert house.match.winner == BOB.peer
    assert house.match.book.message.proof == b"proof"


def test_a_delay_that_cannot_be_proven_fails_the_match() -> None:
    house = vdf_house().run()
    house.feed(ev.DelayFailed(house.told(ev.ProveDelay)[0].tender, "vdf_missing")).run()
    assert (house.failure.code, house.failure.detail) == ("delay_not_proven", "vdf_missing")
    assert house.claims() == {}


def test_a_delay_that_takes_too_long_fails_the_match() -> None:
    house = vdf_house().run().wait(5).run()
    assert house.failure.code == "match_timeout"


def test_nothing_is_proven_when_nobody_reveals() -> None:
    house = vdf_house()
    house.changes[ev.AskReveal] = lose
    house.run()
    assert house.told(ev.ProveDelay) == []
    assert house.failure.code == "no_reveals"
