"""The requester's machine: one match after another, each awkward answer with its coded outcome."""

from dataclasses import replace
from typing import Any

import pytest

from skyops_p2p import limits
from skyops_p2p.core.auction import events as ev
from skyops_p2p.core.auction.audit import audit
from skyops_p2p.core.auction.book import build_book
from skyops_p2p.core.auction.requester import AuctionState
from skyops_p2p.core.auction.sealing import seal_bid
from skyops_p2p.core.machine import DeadlineReached
from skyops_p2p.crypto.node_key import peer_id_to_bytes
from skyops_p2p.errors import UnexpectedEvent
from skyops_p2p.wire.envelope import open_envelope, seal
from skyops_p2p.wire.messages.auction import Commit, Confirm, Decline, Release, Reveal
from skyops_p2p.wire.model import decode_message, encode_message
from tests.unit.core.auction.house import DEAD, House, Shop, tender_in
from tests.unit.core.auction.market import tender_of
from tests.unit.core.people import BOB, CAROL, MALLORY, NOW, RULES, START, Person, crowd

S = AuctionState


def three() -> House:
    """Bob is the cheapest, then carol, then mallory."""
    return House(Shop(BOB, 900_000), Shop(CAROL, 1_200_000), Shop(MALLORY, 1_500_000))


def answer_with(data: bytes) -> Any:
    return lambda event: replace(event, data=data)


def from_only(person: Person, change: Any) -> Any:
    return lambda item: change(item) if item.peer == person.peer else item


def lose(_item: object) -> None:
    return None


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


def test_the_book_is_stored_before_the_award_is_sent() -> None:
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


# --- commitments by gossip ------------------------------------------------------------------------------------------
def by_gossip(*shops: Shop, **changes: Any) -> House:
    """Begin with nobody known, so that the window stays open for whoever hears the tender."""
    return House(*shops, asked=0).begin(invite_share=2**32, **changes)


def answered(house: House) -> list[Any]:
    return house.told(ev.AnswerRequest) + house.told(ev.RefuseRequest)


def test_uninvited_workers_bid_and_win() -> None:
    house = by_gossip(Shop(BOB, 900_000), Shop(CAROL, 800_000)).run()
    assert len(house.told(ev.AnswerRequest)) == 1, "one bid is enough to close"
    assert house.auction.state is S.MATCHED


def test_the_window_stays_open_for_gossip_until_enough_have_bid() -> None:
    people = crowd(5)
    house = House(*(Shop(person) for person in people), asked=1)
    house.begin(invite_share=2**32, expects_gossip=True)
    house.until(ev.CommitArrived)
    assert house.auction.state is S.COMMITTING
    house.step()
    assert house.auction.state is S.COMMITTING
    house.step()
    assert house.auction.state is S.REVEALING, "three bids"


def test_an_invited_worker_that_bids_by_gossip_has_answered() -> None:
    house = House(Shop(BOB)).begin(invite_share=2**32)
    house.flight.reverse()
    house.step()
    house.flight.reverse()
    house.step()
    assert house.auction.state is S.REVEALING
    house.run()
    assert house.match.winner == BOB.peer


def refused_with(change: Any, **changes: Any) -> str:
    """Let bob bid by gossip with something wrong, and return the refusal's code."""
    house = by_gossip(Shop(BOB), **changes)
    house.changes[ev.CommitArrived] = change
    house.run()
    (refusal,) = house.told(ev.RefuseRequest)
    assert house.auction.state is S.COMMITTING
    assert house.auction.round is not None
    assert house.auction.round.commits == {}
    return str(refusal.code)


def bidder_with(**changes: Any) -> Any:
    return lambda event: replace(event, bidder=replace(event.bidder, **changes))


def test_unknown_unbound_and_inactive_bidders_are_refused() -> None:
    assert refused_with(lambda event: replace(event, bidder=None)) == "unknown_node"
    assert refused_with(bidder_with(record=None)) == "unbound"
    assert refused_with(bidder_with(is_trusted=False)) == "node_inactive"


def test_denied_bidders_are_refused_although_they_bid() -> None:
    assert refused_with(bidder_with(), deny=frozenset({BOB.peer})) == "denied"
    assert refused_with(bidder_with(), allow=frozenset({CAROL.peer})) == "not_allowed"


def test_a_bidder_that_the_hash_test_does_not_invite_is_refused() -> None:
    house = House(Shop(BOB), asked=0).begin(invite_share=1)
    assert house.auction.round is not None
    commit = Commit(tender=house.auction.round.digest, commitment=bytes(32), record_sequence=1)
    data = seal(commit, BOB.node_key, RULES.network)
    house.feed(ev.CommitArrived(7, BOB.peer, data, house.shops[BOB.peer].bidder()))
    assert house.told(ev.RefuseRequest) == [ev.RefuseRequest(7, "not_invited")]


def test_a_commitment_signed_by_another_is_refused() -> None:
    def steal(event: ev.CommitArrived) -> ev.CommitArrived:
        return replace(event, peer=MALLORY.peer)

    assert refused_with(steal) == "wrong_signer"


def commit_of(house: House, person: Person, number: int) -> bytes:
    assert house.auction.round is not None
    commit = Commit(
        tender=house.auction.round.digest, commitment=number.to_bytes(32, "big"), record_sequence=1
    )
    return seal(commit, person.node_key, RULES.network)


def test_a_flood_ends_at_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "TENDER_BIDS_MAX", 3)
    people = crowd(5)
    house = House(Shop(MALLORY), asked=1).begin(invite_share=2**32)  # mallory's answer is awaited
    for number, person in enumerate(people):
        shop = Shop(person)
        house.feed(ev.CommitArrived(number, person.peer, commit_of(house, person, 1), shop.bidder()))
    refused = house.told(ev.RefuseRequest)
    assert [(refusal.request_id, refusal.code) for refusal in refused] == [(3, "book_full"), (4, "book_full")]
    assert house.outcomes()[people[3].peer] == "book_full"


def test_the_same_commitment_again_is_acknowledged_again() -> None:
    house = House(Shop(BOB), Shop(CAROL), asked=2).begin(invite_share=2**32)
    data = commit_of(house, BOB, 1)
    for number in (1, 2):
        house.feed(ev.CommitArrived(number, BOB.peer, data, None))
    first, second = house.told(ev.AnswerRequest)
    assert first.data == second.data


def test_two_different_commitments_are_kept_as_a_proof_and_never_win() -> None:
    house = three().begin(invite_share=2**32)
    first, second, third = (commit_of(house, BOB, number) for number in (1, 2, 3))
    for number, data in enumerate((first, second, third)):
        house.feed(ev.CommitArrived(number, BOB.peer, data, None))
    assert house.auction.round is not None
    (proof,) = house.told(ev.KeepProof)
    assert (proof.offence, proof.offender, proof.evidence) == ("two_commits", BOB.peer, (first, second))
    assert [refusal.code for refusal in house.told(ev.RefuseRequest)] == ["equivocation"] * 2
    house.run()
    assert house.match.winner == CAROL.peer
    assert house.outcomes()[BOB.peer] == "equivocation"
    assert len(house.match.book.message.commits) == 4
    assert audit(house.match.book.data, RULES).findings == ()


def test_a_second_commitment_after_the_close_is_a_proof_too() -> None:
    house = three().begin().until(ev.AskReveal)
    house.feed(ev.CommitArrived(9, BOB.peer, commit_of(house, BOB, 9), None))
    assert [proof.offence for proof in house.told(ev.KeepProof)] == ["two_commits"]
    house.run()
    assert audit(house.match.book.data, RULES).findings == ()


def test_a_commitment_by_gossip_after_the_close_is_late() -> None:
    house = three().begin(invite_share=1).until(ev.AskReveal)
    late = crowd(1)[0]
    house.feed(ev.CommitArrived(9, late.peer, commit_of(house, late, 1), Shop(late).bidder()))
    assert house.told(ev.RefuseRequest) == [ev.RefuseRequest(9, "commit_late")]
    assert house.outcomes()[late.peer] == "commit_late"


def test_a_newer_record_is_looked_up_and_used() -> None:
    shop = Shop(BOB)
    house = House(shop)
    shop.verified = BOB.verified(sequence=2, hardware=shop.verified.record.hardware, slots=1)
    old = BOB.verified(hardware=shop.verified.record.hardware, slots=1)
    house.begin(bidders=(shop.bidder(record=old),)).until(ev.AskReveal)
    assert house.told(ev.LookUpBidder) == [ev.LookUpBidder(BOB.peer, 2)]
    house.feed(ev.BidderLookedUp(shop.bidder()))
    house.run()
    assert house.match.winner == BOB.peer


def test_without_the_newer_record_the_bidder_is_excluded() -> None:
    shop = Shop(BOB)
    house = House(shop)
    shop.verified = BOB.verified(sequence=2, hardware=shop.verified.record.hardware, slots=1)
    old = BOB.verified(hardware=shop.verified.record.hardware, slots=1)
    house.begin(bidders=(shop.bidder(record=old),)).run()
    assert house.failure.code == "all_excluded"
    assert house.outcomes() == {BOB.peer: "record_missing"}


# --- reveals --------------------------------------------------------------------------------------------------------
def test_commit_without_reveal() -> None:
    house = three()
    house.changes[ev.AskReveal] = from_only(BOB, lose)
    house.begin().run()
    assert house.match.winner == CAROL.peer
    assert house.outcomes()[BOB.peer] == "reveal_missing"
    assert audit(house.match.book.data, RULES).findings == ()
    assert house.claims() == {"carol": "leased"}


def test_a_reveal_that_does_not_come_is_waited_for_until_the_window_closes() -> None:
    house = three()
    house.changes[ev.RevealArrived] = from_only(BOB, lose)
    house.begin().run()
    assert house.auction.state is S.REVEALING
    house.wait(1.0).run()
    assert house.match.winner == CAROL.peer
    late = ev.RevealArrived(BOB.peer, house.match.tender.digest, b"")
    house.feed(late)
    assert house.outcomes()[BOB.peer] == "reveal_late"


def cheaper(event: ev.RevealArrived) -> ev.RevealArrived:
    reveal = decode_message(Reveal, event.data)
    bid = reveal.bid.model_copy(update={"price": 1})
    return replace(event, data=encode_message(reveal.model_copy(update={"bid": bid})))


@pytest.mark.parametrize("change", [cheaper, answer_with(b"\x81"), answer_with(b"")])
def test_a_reveal_that_does_not_match(change: Any) -> None:
    house = three()
    house.changes[ev.RevealArrived] = from_only(CAROL, change)
    house.begin().run()
    assert house.match.winner == BOB.peer
    assert house.outcomes()[CAROL.peer] == "reveal_mismatch"
    assert audit(house.match.book.data, RULES).findings == ()


def test_a_reveal_without_a_commitment() -> None:
    house = three().begin().until(ev.AskReveal)
    assert house.auction.round is not None
    stranger = crowd(1)[0].peer
    house.feed(ev.RevealArrived(stranger, house.auction.round.digest, b""))
    assert house.outcomes()[stranger] == "reveal_unasked"


def test_nobody_reveals() -> None:
    house = three()
    house.changes[ev.AskReveal] = lose
    house.begin().run()
    assert house.failure.code == "no_reveals"
    assert dict(house.failure.counts) == {"reveal_missing": 3}
    assert house.claims() == {}


def forged(house: House, person: Person, **changes: Any) -> tuple[bytes, bytes]:
    """Return a commitment and a reveal of a bid that an honest worker would not make."""
    shop = house.shops[person.peer]
    honest = House(shop).begin()
    honest.until(ev.RevealArrived)
    bid = decode_message(Reveal, honest.flight[0].data).bid.model_copy(update=changes)  # type: ignore[union-attr]
    assert house.auction.round is not None
    digest = house.auction.round.digest
    commit, reveal = seal_bid(digest, peer_id_to_bytes(person.peer), bid, bytes(32), record_sequence=1)
    return seal(commit, person.node_key, RULES.network), encode_message(reveal)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"price": 2_000_001}, "price_above_max"),
        ({"devices": ("GPU-of-another",)}, "hardware_mismatch"),
        ({"vram_mib": 81_920}, "hardware_mismatch"),
        ({"valid_until_unix_ms": NOW - 1}, "bid_expired"),
    ],
)
def test_bids_that_no_honest_worker_makes_are_excluded(changes: dict[str, Any], code: str) -> None:
    house = three().begin()
    commit, reveal = forged(house, MALLORY, **changes)
    house.changes[ev.AnswerArrived] = from_only(MALLORY, answer_with(commit))
    house.changes[ev.RevealMissing] = from_only(
        MALLORY, lambda event: ev.RevealArrived(event.peer, event.tender, reveal)
    )
    house.run()
    assert house.match.winner == BOB.peer
    assert house.outcomes()[MALLORY.peer] == code
    assert audit(house.match.book.data, RULES).findings == ()


# --- awards ---------------------------------------------------------------------------------------------------------
def test_reserves_are_asked_in_order() -> None:
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


def test_a_silent_winner_is_told_that_its_award_is_void() -> None:
    house = three()
    late: list[ev.ConfirmArrived] = []
    house.changes[ev.ConfirmArrived] = from_only(BOB, late.append)
    house.begin().run()
    assert house.auction.state is S.AWARDING
    assert house.claims()["bob"] == "leased"
    house.wait(limits.AWARD_TIMEOUT_MS / 1000).run()
    assert house.match.winner == CAROL.peer
    assert house.claims() == {"carol": "leased"}
    house.feed(late[0]).run()
    assert house.match.winner == CAROL.peer
    last = house.told(ev.SendRelease)[-1]
    assert (last.peer, open_envelope(last.data, Release, RULES.network).message.code) == (
        BOB.peer,
        "withdrawn",
    )


def confirm_with(**changes: Any) -> Any:
    def change(event: ev.ConfirmArrived) -> ev.ConfirmArrived:
        confirm = open_envelope(event.data, Confirm, RULES.network).message.model_copy(update=changes)
        return replace(event, data=seal(confirm, BOB.node_key, RULES.network))

    return change


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (confirm_with(is_accepted=False, code="leaving"), "leaving"),
        (confirm_with(is_accepted=False, code="nonsense"), "other"),
        (confirm_with(award=bytes(32)), "confirm_invalid"),
        (answer_with(b"\x00"), "confirm_invalid"),
    ],
)
def test_a_winner_that_does_not_confirm_makes_way(change: Any, code: str) -> None:
    house = three()
    house.changes[ev.ConfirmArrived] = from_only(BOB, change)
    house.begin().run()
    assert house.match.winner == CAROL.peer
    assert house.outcomes()[BOB.peer] == code


def test_nobody_confirms() -> None:
    house = three()
    house.changes[ev.SendAward] = lose
    house.begin().run()
    assert house.failure.code == "no_confirm"
    assert [award.peer for award in house.told(ev.SendAward)] == [BOB.peer, CAROL.peer, MALLORY.peer]
    assert house.claims() == {}


def test_an_unstored_book_awards_nobody() -> None:
    house = three().begin().until(ev.SendAward)
    assert house.auction.round is not None
    house.flight.clear()  # the shell drops what follows StoreBook
    house.feed(ev.BookLost(house.auction.round.digest, "disk_full")).run()
    assert (house.failure.code, house.failure.detail) == ("book_not_stored", "disk_full")
    assert house.claims() == {}


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
