"""The requester's machine: bids that nobody asked for, and sealed bids that do not open as they should."""

from dataclasses import replace
from typing import Any

import pytest

from skyops_p2p import limits
from skyops_p2p.core.auction import events as ev
from skyops_p2p.core.auction.audit import audit
from skyops_p2p.core.auction.requester import AuctionState
from skyops_p2p.core.auction.sealing import seal_bid
from skyops_p2p.crypto.node_key import peer_id_to_bytes
from skyops_p2p.wire.envelope import seal
from skyops_p2p.wire.messages.auction import Commit, Reveal
from skyops_p2p.wire.model import decode_message, encode_message
from tests.unit.core.auction.house import House, Shop, answer_with, from_only, lose, three
from tests.unit.core.people import BOB, CAROL, MALLORY, NOW, RULES, Person, crowd

S = AuctionState


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


def test_bidders_with_too_little_at_stake_are_refused_although_they_bid() -> None:  # AUC-40
    assert refused_with(bidder_with(stake_code="stake")) == "stake"
    assert refused_with(bidder_with(stake_code="stake_unknown")) == "stake_unknown"


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
    for number, data in enumerate((first, second, third, second)):
        house.feed(ev.CommitArrived(number, BOB.peer, data, None))
    assert house.auction.round is not None
    (proof,) = house.told(ev.KeepProof)
    assert (proof.offence, proof.offender, proof.evidence) == ("two_commits", BOB.peer, (first, second))
    assert [refusal.code for refusal in house.told(ev.RefuseRequest)] == ["equivocation"] * 3
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
