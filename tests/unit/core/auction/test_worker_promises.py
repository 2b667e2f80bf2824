"""The worker's machine and its desk: sealed bids that stay sealed, awards, and capacity that comes back."""

from dataclasses import replace
from typing import Any

import pytest

from skyops_p2p.core.auction import events as ev
from skyops_p2p.core.auction import worker_events as wev
from skyops_p2p.core.auction.audit import audit
from skyops_p2p.core.auction.sealing import commit_root
from skyops_p2p.core.auction.worker import RECEIVED, Bidding, BiddingContext, WorkerTerms
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.crypto.node_key import peer_id_to_bytes
from skyops_p2p.errors import UnexpectedEvent
from skyops_p2p.wire.messages.auction import (
    CommitSet,
    Decline,
    Reveal,
    RevealRequest,
)
from skyops_p2p.wire.model import decode_message, encode_message
from tests.unit.core.auction.counter import Counter, code_of
from tests.unit.core.auction.house import House, Shop
from tests.unit.core.auction.market import signed_tender
from tests.unit.core.people import ALICE, BOB, CAROL, MALLORY, NOW, RULES, START


def forged(envelope: bytes) -> bytes:
    """Return an envelope with one bit of its signature changed."""
    return envelope[:-1] + bytes([envelope[-1] ^ 1])


# --- reveals --------------------------------------------------------------------------------------------------------
def test_a_bid_is_opened_under_a_set_that_it_is_in() -> None:  # AUC-11
    alice = Counter()
    commit = alice.commit()
    request = alice.request(commit, b"another")
    first, second = alice.send(request), alice.send(request)
    assert isinstance(first, ev.AnswerRequest)
    assert isinstance(second, ev.AnswerRequest)
    assert first.data == second.data
    assert decode_message(Reveal, first.data).tender == alice.tender.digest


def test_a_requester_that_drops_an_acknowledged_commitment_is_proven() -> None:  # AUC-10
    alice = Counter()
    commit = alice.commit()
    assert alice.send(alice.ack(commit)) == ev.AnswerRequest(1, RECEIVED)
    request = alice.request(b"another")
    assert code_of(alice.send(request)) == "commit_missing"
    (proof,) = alice.proofs
    assert (proof.offence, proof.offender) == ("commit_censored", ALICE.peer)
    assert proof.evidence == (alice.tender.data, commit, alice.ack(commit), request)
    assert alice.ended == ["commit_missing"]
    assert len(alice.shop.capacity) == 0


def test_the_proof_of_censorship_convinces_an_audit() -> None:
    house = House(Shop(BOB), Shop(CAROL, 1_500_000)).begin()
    house.until(ev.AskReveal)
    acks = {effect.peer: effect.data for effect in house.told(ev.AcknowledgeCommit)}
    assert house.auction.round is not None
    honest = house.run().match.book
    assert audit(honest.data, RULES, acks=tuple(acks.values())).findings == ()
    without = House(Shop(CAROL, 1_500_000)).begin().run().match.book
    assert without.message.tender == honest.message.tender, "the same tender"
    assert audit(without.data, RULES, acks=(acks[BOB.peer],)).findings


def test_a_commitment_that_was_not_acknowledged_is_missed_without_a_proof() -> None:
    alice = Counter()
    alice.commit()
    assert code_of(alice.send(alice.request(b"another"))) == "commit_missing"
    assert alice.proofs == []


def test_two_commit_sets_are_kept_as_a_proof() -> None:
    alice = Counter()
    commit = alice.commit()
    first, second = alice.request(commit), alice.request(commit, b"another")
    alice.send(first)
    assert code_of(alice.send(second)) == "commit_set_conflict"
    (proof,) = alice.proofs
    assert proof.offence == "two_commit_sets"
    sets = [decode_message(RevealRequest, request).commit_set for request in (first, second)]
    assert proof.evidence == (alice.tender.data, *sets)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"root": bytes(32)}, "commit_set_invalid"),
        ({"count": 2}, "commit_set_invalid"),
        ({"tender": bytes(32)}, "unknown_tender"),
        ({"who": MALLORY}, "wrong_signer"),
    ],
)
def test_a_bid_stays_sealed_under_a_set_that_is_wrong(changes: dict[str, Any], code: str) -> None:
    alice = Counter()
    commit = alice.commit()
    assert code_of(alice.send(alice.request(commit, **changes))) == code
    assert alice.revealed(), "the right one opens it"


def test_a_commitment_named_twice_is_no_set() -> None:
    alice = Counter()
    digest = sha256(alice.commit())
    message = CommitSet(
        tender=alice.tender.digest, root=commit_root((digest, digest)), count=2, closed_unix_ms=NOW
    )
    request = RevealRequest(commit_set=alice.sign(message), digests=(digest, digest))
    assert code_of(alice.send(encode_message(request))) == "commit_set_invalid"


def test_a_foreign_acknowledgement_is_refused() -> None:
    alice = Counter()
    commit = alice.commit()
    assert code_of(alice.send(alice.ack(commit, MALLORY))) == "wrong_signer"
    assert code_of(alice.send(alice.ack(b"another"))) == "unknown_tender"


# --- awards ---------------------------------------------------------------------------------------------------------
def test_an_award_is_stored_and_confirmed_and_its_book_audited() -> None:
    alice = Counter()
    award = alice.award(alice.revealed())
    assert code_of(alice.send(award)) == "accepted"
    (stored,) = alice.shop.told(wev.StoreLease)
    assert (stored.lease.requester, stored.lease.award.data) == (ALICE.peer, award)
    (fetch,) = alice.shop.told(wev.FetchBook)
    assert fetch == wev.FetchBook(ALICE.peer, alice.tender.digest, bytes(32), award, (), is_winner=True)
    assert alice.shop.capacity.claims()[0].state.value == "leased"
    assert code_of(alice.send(award)) == "accepted", "again"
    assert len(alice.shop.told(wev.StoreLease)) == 1


def test_a_lease_is_stored_before_it_is_confirmed() -> None:  # AUC-31
    alice = Counter()
    award = alice.award(alice.revealed())
    kinds = [type(effect) for effect in alice.shop.desk.take_request(award, alice.now, request_id=99)]
    assert kinds.index(wev.StoreLease) < kinds.index(ev.AnswerRequest)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"price": 999_999}, "award_mismatch"),
        ({"winner": peer_id_to_bytes(CAROL.peer)}, "award_mismatch"),
        ({"expires_unix_ms": NOW}, "past_deadline"),
        ({"who": MALLORY}, "wrong_signer"),
        ({"tender": bytes(32)}, "unknown_tender"),
    ],
)
def test_a_wrong_award_is_not_confirmed(  # AUC-30
    changes: dict[str, Any], code: str
) -> None:
    alice = Counter()
    bid = alice.revealed()
    assert code_of(alice.send(alice.award(bid, **changes))) == code
    assert alice.shop.told(wev.StoreLease) == []
    assert code_of(alice.send(alice.award(bid))) == "accepted", "the right one is"
    assert code_of(alice.send(alice.award(bid, rank=1))) == "award_mismatch", "a second one is not"


def test_a_sealed_bid_cannot_be_awarded() -> None:
    alice = Counter()
    alice.commit()
    bid = Counter().revealed()
    assert code_of(alice.send(alice.award(bid))) == "award_mismatch"


def test_an_award_after_the_reservation_is_refused() -> None:  # AUC-30
    alice = Counter()
    bid = alice.revealed()
    alice.shop.capacity.release(alice.tender.digest)
    assert code_of(alice.send(alice.award(bid))) == "reservation_expired"
    assert alice.ended == ["reservation_expired"]


def test_an_award_against_the_rule_is_kept_as_a_proof() -> None:
    alice = Counter()
    alice.send(alice.award(alice.revealed()))
    desk, digest = alice.shop.desk, alice.tender.digest
    good = wev.BookAudited(ALICE.peer, (), (b"award", b"book"))
    assert desk.handle(digest, good, alice.now) == []
    (proof,) = desk.handle(digest, replace(good, findings=("AUC-18",)), alice.now)
    assert proof == ev.KeepProof("misaward", ALICE.peer, digest, (b"award", b"book"))
    desk.handle(digest, wev.LeaseTaken(), alice.now)
    assert desk.handle(digest, replace(good, findings=("AUC-18",)), alice.now) == [proof], "also afterwards"


def test_an_award_whose_hardware_is_gone_is_not_confirmed_again() -> None:  # AUC-30
    alice = Counter()
    award = alice.award(alice.revealed())
    assert code_of(alice.send(award)) == "accepted"
    alice.shop.capacity.resize(replace(alice.shop.capacity.supply, devices=()))
    assert code_of(alice.send(award)) == "reservation_expired"
    assert alice.ended == ["reservation_expired"]
    assert alice.shop.told(wev.ForgetLease) == [wev.ForgetLease(sha256(award))]


# --- books that a release names -------------------------------------------------------------------------------------
BOOK = bytes([3] * 32)


@pytest.mark.parametrize("is_acknowledged", [False, True])
def test_a_loser_looks_at_the_book_that_it_is_released_with(is_acknowledged: bool) -> None:  # AUC-34
    alice = Counter()
    commit = alice.commit()
    acks = (alice.ack(commit),) if is_acknowledged else ()
    for ack in acks:
        alice.send(ack)
    released = alice.release(book=BOOK)
    alice.send(released)
    (fetch,) = alice.shop.told(wev.FetchBook)
    assert fetch == wev.FetchBook(ALICE.peer, alice.tender.digest, BOOK, released, acks, is_winner=False)
    assert alice.ended == ["not_chosen"]


def test_nobody_looks_where_there_is_no_book_or_where_it_does_not_want_to() -> None:
    for shop, book in ((Shop(BOB), None), (Shop(BOB, terms=WorkerTerms(audits_awards=False)), BOOK)):
        alice = Counter(shop)
        alice.commit()
        alice.send(alice.release(book=book))
        assert shop.told(wev.FetchBook) == []
        assert alice.ended == ["not_chosen"]


def test_a_winner_that_is_shown_a_second_book_keeps_both_statements() -> None:  # AUC-26
    alice = Counter()
    award = alice.award(alice.revealed())
    alice.send(award)
    released = alice.release("withdrawn", book=BOOK)
    alice.send(released)
    (proof,) = alice.proofs
    assert (proof.offence, proof.offender) == ("two_books", ALICE.peer)
    assert proof.evidence == (alice.tender.data, award, released)
    assert len(alice.shop.told(wev.FetchBook)) == 1, "that of the award"


def test_a_winner_that_is_released_with_the_same_book_has_nothing_to_prove() -> None:
    alice = Counter()
    alice.send(alice.award(alice.revealed(), book=BOOK))
    alice.send(alice.release("withdrawn", book=BOOK))
    assert alice.proofs == []


def test_a_release_code_of_a_strangers_invention_is_not_repeated() -> None:  # AUC-29
    alice = Counter()
    alice.commit()
    alice.send(alice.release("because_i_say_so"))
    assert alice.ended == ["other"]


# --- ends -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("step", ["committed", "revealed", "held"])
def test_a_release_frees_the_capacity_at_every_step(step: str) -> None:  # AUC-33, AUC-29
    alice = Counter()
    if step == "committed":
        alice.commit()
    else:
        bid = alice.revealed()
        if step == "held":
            alice.send(alice.award(bid))
    assert code_of(alice.send(alice.release(who=MALLORY))) == "wrong_signer"
    assert len(alice.shop.capacity) == 1
    assert alice.send(alice.release("withdrawn")) == ev.AnswerRequest(_last_id(alice), RECEIVED)
    assert len(alice.shop.capacity) == 0
    assert alice.ended == ["withdrawn"]
    assert code_of(alice.send(alice.release())) == "unknown_tender"


def _last_id(alice: Counter) -> int:
    return next(alice._house._ids) - 1


@pytest.mark.parametrize(("step", "seconds"), [("committed", 10.0), ("revealed", 10.0), ("held", 60.0)])
def test_the_capacity_of_a_dead_requester_is_free_after_the_expiry(  # AUC-33
    step: str, seconds: float
) -> None:
    alice = Counter()
    if step == "committed":
        alice.commit()
    else:
        bid = alice.revealed()
        if step == "held":
            alice.send(alice.award(bid))
    alice.wake(seconds - 0.01)
    assert len(alice.shop.capacity) == 1
    alice.wake(seconds)
    assert len(alice.shop.capacity) == 0
    assert alice.ended == ["expired"]
    assert alice.shop.desk.next_deadline() is None


def test_a_forged_signature_is_refused_whatever_it_is_under() -> None:  # ENV-3
    alice = Counter()
    commit = alice.commit()
    asked = alice.request(commit)
    signed = decode_message(RevealRequest, asked)
    forged_set = signed.model_copy(update={"commit_set": forged(signed.commit_set)})
    for data in (forged(alice.ack(commit)), encode_message(forged_set), forged(alice.release())):
        assert code_of(alice.send(data)) == "bad_signature"
    answer = alice.send(asked)
    assert isinstance(answer, ev.AnswerRequest), "nothing of it was believed"
    award = alice.award(decode_message(Reveal, answer.data).bid)
    assert code_of(alice.send(forged(award))) == "bad_signature"
    assert (alice.ended, alice.proofs) == ([], [])
    assert code_of(alice.send(award)) == "accepted"


def test_what_concerns_no_open_tender_is_not_even_verified() -> None:  # AUC-35
    alice = Counter()
    for data in (alice.release(), forged(alice.release()), forged(alice.ack(b"nobody's"))):
        assert code_of(alice.send(data)) == "unknown_tender"


def test_what_is_no_request_of_a_worker_is_refused() -> None:
    alice = Counter()
    assert code_of(alice.send(alice.sign(Decline(tender=bytes(32), code="vram")))) == "wrong_type"
    assert code_of(alice.send(b"")) == "malformed"
    assert code_of(alice.send(b"\x0a")) == "malformed"


def test_events_out_of_order_are_refused() -> None:
    shop = Shop(BOB)
    context = BiddingContext(
        RULES, BOB.node_key, shop.capacity, _never(), lambda: shop.verified.record, WorkerTerms()
    )
    machine = Bidding(context, signed_tender(), salt=bytes(32))
    for event in (wev.LeaseTaken(), wev.RevealRequested(1, b""), wev.AwardReceived(1, b"")):
        with pytest.raises(UnexpectedEvent):
            machine.handle(event, START)
    machine.handle(wev.TenderReceived(1, NOW), START)
    assert machine.code == "price_too_low"


def _never() -> Any:
    class Never:
        def quote(self, ask: object) -> None:
            return None

    return Never()
