"""AUC-8 to AUC-15: sealing, the commit set, matching reveals, and a book from its evidence."""

from dataclasses import replace

import pytest

from skyops_p2p.core.auction.book import (
    build_book,
    close_commits,
    decide,
    equivocators,
    match_reveals,
    ordered_reveals,
)
from skyops_p2p.core.auction.sealing import check_reveal, commit_root, commitment_of, opens, seal_bid
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.errors import LocalProtocolError, RemoteProtocolError
from skyops_p2p.limits import BOOK_BYTES_MAX, MESSAGE_BYTES_MAX
from skyops_p2p.wire import canonical
from skyops_p2p.wire.envelope import open_envelope, seal
from skyops_p2p.wire.messages.auction import BidBook
from tests.unit.core.auction.market import (
    CLOSED,
    Worker,
    book_of,
    commit_set_of,
    evidence_of,
    sign,
    signed_tender,
)
from tests.unit.core.people import ALICE, BOB, CAROL, MALLORY, NOW, RULES, crowd

TENDER = signed_tender()
SALT = bytes([3] * 32)


# --- sealing, AUC-8 and AUC-12 ----------------------------------------------------------------------------------
def test_commitment_is_the_hash_that_the_specification_says() -> None:
    worker = Worker(BOB)
    bid = worker.bid(1)
    text = b"skyops/bid/1" + TENDER.digest + worker.bidder + canonical.encode(bid.to_wire()) + SALT
    assert commitment_of(TENDER.digest, worker.bidder, bid, SALT) == sha256(text)


def test_only_what_was_sealed_opens() -> None:
    bob, carol = Worker(BOB), Worker(CAROL)
    commit, reveal = seal_bid(TENDER.digest, bob.bidder, bob.bid(1), SALT, record_sequence=7)
    assert commit.record_sequence == 7
    check_reveal(reveal, commit, bob.bidder)
    cheaper = reveal.bid.model_copy(update={"price": 1})
    for wrong, bidder in (
        (reveal, carol.bidder),
        (reveal.model_copy(update={"bid": cheaper}), bob.bidder),
        (reveal.model_copy(update={"salt": bytes(32)}), bob.bidder),
        (reveal.model_copy(update={"tender": bytes(32)}), bob.bidder),
    ):
        assert not opens(wrong, commit, bidder)
        with pytest.raises(RemoteProtocolError) as caught:
            check_reveal(wrong, commit, bidder)
        assert (caught.value.code, caught.value.rule) == ("reveal_mismatch", "AUC-12")


def test_salt_hides_equal_bids() -> None:
    worker = Worker(BOB)
    seals = {commitment_of(TENDER.digest, worker.bidder, worker.bid(1), bytes([n] * 32)) for n in range(3)}
    assert len(seals) == 3


# --- the commit set, AUC-11 -------------------------------------------------------------------------------------
def test_commit_set_names_all_commits_whatever_their_order() -> None:
    commits = [Worker(person).sealed(TENDER)[0] for person in (BOB, CAROL, MALLORY)]
    closed = close_commits(TENDER.digest, commits, closed_unix_ms=NOW)
    assert closed == close_commits(TENDER.digest, commits[::-1], closed_unix_ms=NOW)
    assert closed.root == sha256(b"".join(sorted(commit.digest for commit in commits)))
    assert (closed.count, closed.closed_unix_ms, closed.tender) == (3, NOW, TENDER.digest)
    assert commit_root([]) == sha256(b"")


# --- matching and equivocation, AUC-9 and AUC-12 ------------------------------------------------------------------
def test_reveals_find_their_bidders() -> None:
    evidence = evidence_of(TENDER, [Worker(person) for person in (BOB, CAROL, MALLORY)])
    reveals = ordered_reveals(evidence)
    assert match_reveals(evidence.commits, reveals) == dict(evidence.reveals)
    assert match_reveals(evidence.commits, reveals[1:]) is not None
    assert match_reveals(evidence.commits, reveals[::-1]) is None
    assert match_reveals(evidence.commits[1:], reveals) is None
    assert match_reveals((), ()) == {}


def test_two_commitments_of_one_bidder_are_equivocation() -> None:
    one, _ = Worker(BOB).sealed(TENDER)
    two, reveal = Worker(BOB, price=5).sealed(TENDER, salt=1)
    carol, _ = Worker(CAROL).sealed(TENDER)
    assert equivocators([one, carol]) == frozenset()
    assert equivocators([one, two, carol]) == {Worker(BOB).bidder}
    plain = evidence_of(TENDER, [Worker(CAROL)])
    commits = tuple(sorted((*plain.commits, one, two), key=lambda commit: commit.digest))
    both = replace(plain, commits=commits, reveals={**plain.reveals, Worker(BOB).bidder: reveal})
    book = book_of(both)
    assert len(book.reveals) == len(book.observations) == 1
    assert [e.codes for e in book.exclusions] == [("equivocation",)]


# --- the book ---------------------------------------------------------------------------------------------------
def test_book_holds_what_the_award_follows_from() -> None:
    workers = [Worker(BOB, price=600_000), Worker(CAROL, reveals=False), Worker(MALLORY, price=9_000_000)]
    evidence = evidence_of(TENDER, workers)
    commit_set = commit_set_of(evidence)
    book = build_book(evidence, commit_set)
    assert (book.tender, book.commit_set, book.seed) == (TENDER.data, commit_set, evidence.seed)
    assert book.closed_unix_ms == CLOSED
    assert list(book.commits) == [commit.envelope for commit in evidence.commits]
    assert [seen.bidder for seen in book.observations] == sorted(w.bidder for w in workers if w.reveals)
    assert [e.bidder for e in book.exclusions] == sorted(w.bidder for w in workers[1:])
    assert book.ranking == (workers[0].bidder,)
    assert book.scores[0].bidder == workers[0].bidder


def test_seed_must_be_the_one_of_the_tender() -> None:
    with pytest.raises(LocalProtocolError, match="seed"):
        decide(replace(evidence_of(TENDER, []), seed=bytes(32)))


def test_book_may_be_longer_than_any_other_message() -> None:
    workers = [Worker(person) for person in crowd(60)]
    data = sign(book_of(evidence_of(TENDER, workers)))
    assert MESSAGE_BYTES_MAX < len(data) < BOOK_BYTES_MAX
    assert open_envelope(data, BidBook, RULES.network).signer == ALICE.peer
    with pytest.raises(RemoteProtocolError, match="longer") as caught:
        open_envelope(data, BidBook, RULES.network, bytes_max=MESSAGE_BYTES_MAX)
    assert caught.value.code == "oversized"


def test_other_messages_stay_short() -> None:
    tender = TENDER.message.model_copy(update={"allow": (bytes(38),) * 2000})
    with pytest.raises(LocalProtocolError):
        seal(tender, ALICE.node_key, RULES.network)
