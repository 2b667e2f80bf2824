"""A worker audits the book that it was told of: what is the requester's fault is proven, what is not is nothing."""

import pytest

from skyops_p2p.core.auction import events as ev
from skyops_p2p.core.auction import worker_events as wev
from skyops_p2p.core.auction.named_book import audit_named_book, misaward
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.wire.envelope import seal
from skyops_p2p.wire.messages.auction import CommitAck
from tests.unit.core.auction.house import House, Shop
from tests.unit.core.auction.market import Worker, book_of, evidence_of, sign, signed_tender
from tests.unit.core.people import ALICE, BOB, CAROL, MALLORY, RULES

TENDER = signed_tender()
EVIDENCE = evidence_of(TENDER, [Worker(BOB, 900_000), Worker(CAROL)])
HONEST = book_of(EVIDENCE)
SWAPPED = sign(HONEST.model_copy(update={"ranking": HONEST.ranking[::-1]}))
STATEMENT = b"an award or a release of alice's, checked when it came"


def wanted(book: bytes, *acks: bytes, tender: bytes = TENDER.digest) -> wev.FetchBook:
    return wev.FetchBook(ALICE.peer, tender, sha256(book), STATEMENT, acks, is_winner=False)


def ack(commit: bytes) -> bytes:
    return seal(CommitAck(commit=sha256(commit)), ALICE.node_key, RULES.network)


def offence(audited: wev.BookAudited | None) -> str:
    assert audited is not None
    (proof,) = misaward(audited, TENDER.digest)
    assert isinstance(proof, ev.KeepProof)
    assert (proof.offender, proof.tender) == (ALICE.peer, TENDER.digest)
    assert proof.evidence[0] == STATEMENT
    return proof.offence


def test_an_honest_book_proves_nothing() -> None:
    book = sign(HONEST)
    audited = audit_named_book(wanted(book, ack(HONEST.commits[0])), book, RULES)
    assert audited is not None
    assert audited.findings == ()
    assert misaward(audited, TENDER.digest) == []


def test_a_book_against_the_rule_is_a_misaward() -> None:
    audited = audit_named_book(wanted(SWAPPED), SWAPPED, RULES)
    assert offence(audited) == "misaward"
    assert audited is not None
    assert audited.evidence == (STATEMENT, SWAPPED)


def test_an_acknowledged_commitment_that_is_not_in_the_book_is_censorship() -> None:  # AUC-10
    book, dropped = sign(HONEST), ack(b"a commitment of mallory's")
    audited = audit_named_book(wanted(book, dropped), book, RULES)
    assert offence(audited) == "commit_censored"
    assert audited is not None
    assert audited.evidence == (STATEMENT, book, dropped)


def test_the_book_of_another_tender_is_a_misaward() -> None:  # AUC-26
    book = sign(HONEST)
    audited = audit_named_book(wanted(book, tender=bytes(32)), book, RULES)
    assert audited is not None
    assert audited.findings == ("AUC-26",)


@pytest.mark.parametrize("book", [b"", b"no book at all", sign(HONEST, MALLORY)])
def test_what_was_named_as_a_book_and_is_none_is_the_requesters_fault(book: bytes) -> None:
    assert offence(audit_named_book(wanted(book), book, RULES)) == "misaward"


def test_other_bytes_than_those_named_prove_nothing() -> None:
    assert audit_named_book(wanted(sign(HONEST)), SWAPPED, RULES) is None


def test_every_worker_of_a_match_finds_its_book_in_order() -> None:  # AUC-34
    house = House(Shop(BOB, 900_000), Shop(CAROL, 1_200_000), Shop(MALLORY, 1_500_000)).begin().run()
    book = house.match.book.data
    for shop in house.shops.values():
        (fetch,) = shop.told(wev.FetchBook)
        assert fetch.is_winner == (shop.peer == BOB.peer)
        assert len(fetch.acks) == 1
        audited = audit_named_book(fetch, book, RULES)
        assert audited is not None
        assert audited.findings == ()
