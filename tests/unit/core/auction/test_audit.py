"""An honest book passes; whatever a requester, or anybody on the way, changes in it is found and named."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skyops_p2p.core.auction.audit import FINDINGS_MAX, Item, Result, audit
from skyops_p2p.core.auction.book import Evidence
from skyops_p2p.core.auction.sealing import seal_bid
from skyops_p2p.wire.envelope import open_envelope, seal
from skyops_p2p.wire.messages.auction import BidBook, CommitAck, Decline, Exclusion
from tests.unit.core.auction.market import (
    Worker,
    book_of,
    commit_set_of,
    evidence_of,
    sign,
    signed_tender,
)
from tests.unit.core.people import ALICE, BOB, CAROL, DAY_MS, MAINNET, MALLORY, NOW, RULES, crowd

BIDDERS = [
    Worker(BOB, price=900_000),
    Worker(CAROL, price=1_500_000, reveals=False),
    Worker(MALLORY, price=2_500_000),
    *(Worker(person, price=1_000_000 + 10_000 * n) for n, person in enumerate(crowd(3))),
]


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    return evidence_of(signed_tender(), BIDDERS)


@pytest.fixture(scope="module")
def book(evidence: Evidence) -> BidBook:
    return book_of(evidence)


def rules_broken(book: BidBook, **changes: Any) -> set[str]:
    """Let the requester sign a changed book; return the rules that the audit names."""
    data = sign(book.model_copy(update=changes))
    return {finding.rule for finding in audit(data, RULES).findings}


def test_honest_book_passes_anywhere_and_for_ever(book: BidBook) -> None:
    report = audit(sign(book), RULES)
    assert report.findings == ()
    assert report.ok
    assert (report.requester, report.bids, report.ranking[0]) == (ALICE.peer, 6, BOB.peer)
    assert len(report.ranking) == 4
    assert {bytes(e.bidder): e.codes for e in book.exclusions} == {
        BIDDERS[1].bidder: ("reveal_missing",),
        BIDDERS[2].bidder: ("price_above_max",),
    }


def test_book_without_bids_passes() -> None:
    report = audit(sign(book_of(evidence_of(signed_tender(), []))), RULES)
    assert (report.findings, report.ranking) == ((), ())


def test_book_of_another_network_is_refused(book: BidBook) -> None:
    assert not audit(sign(book), MAINNET).ok


@settings(max_examples=150, deadline=None)
@given(place=st.integers(0, 10**9), bit=st.integers(0, 7))
def test_any_flipped_bit_fails(place: int, bit: int) -> None:
    good = SIGNED
    at = place % len(good)
    bad = good[:at] + bytes([good[at] ^ 1 << bit]) + good[at + 1 :]
    assert not audit(bad, RULES).ok


SIGNED = sign(book_of(evidence_of(signed_tender(), BIDDERS[:2])))


@given(st.binary(max_size=400))
def test_garbage_is_a_finding_and_no_error(data: bytes) -> None:
    assert not audit(data, RULES).ok
    assert not audit(SIGNED[: len(data)], RULES).ok


def test_book_signed_by_another_than_the_requester(book: BidBook) -> None:
    report = audit(sign(book, MALLORY), RULES)
    assert {finding.rule for finding in report.findings} == {"AUC-13"}


def test_award_against_the_rule(book: BidBook) -> None:
    swapped = (book.ranking[1], book.ranking[0], *book.ranking[2:])
    assert rules_broken(book, ranking=swapped) == {"AUC-20"}
    assert rules_broken(book, ranking=()) == {"AUC-20"}
    scores = (book.scores[1], book.scores[0], *book.scores[2:])
    assert rules_broken(book, ranking=swapped, scores=scores) == {"AUC-20", "AUC-18"}


def test_wrong_scores(book: BidBook) -> None:
    better = book.scores[-1].model_copy(update={"total": 1_000_000})
    assert rules_broken(book, scores=(*book.scores[:-1], better)) == {"AUC-18"}
    assert rules_broken(book, scores=book.scores[:-1]) == {"AUC-18"}


def test_wrong_exclusions(book: BidBook) -> None:
    unfounded = Exclusion(bidder=BIDDERS[0].bidder, codes=("reputation",))
    nobody = Exclusion(bidder=bytes(34), codes=("reputation",))
    for exclusions in ((*book.exclusions, unfounded), book.exclusions[:1], (*book.exclusions, nobody)):
        assert rules_broken(book, exclusions=exclusions) == {"AUC-16"}
    assert rules_broken(book, exclusions=book.exclusions[::-1]) == {"AUC-16"}


def test_dropped_added_and_reordered_commits(book: BidBook, evidence: Evidence) -> None:
    assert "AUC-11" in rules_broken(book, commits=book.commits[1:])
    assert "AUC-13" in rules_broken(book, commits=book.commits[::-1])
    other = signed_tender(job_id=bytes([2] * 16))
    foreign, _ = Worker(crowd(4)[3]).sealed(other)
    assert {"AUC-11", "AUC-13"} <= rules_broken(book, commits=(*book.commits, foreign.envelope))
    forged = seal(evidence.commits[0].commit, MALLORY.node_key, RULES.network)
    assert {"AUC-11", "AUC-12"} <= rules_broken(book, commits=(forged, *book.commits[1:]))
    assert "ENV-3" in rules_broken(
        book, commits=(book.commits[0][:-1] + bytes([book.commits[0][-1] ^ 1]), *book.commits[1:])
    )


def test_commit_set_that_bidders_did_not_see(book: BidBook, evidence: Evidence) -> None:
    for changes in ({"root": bytes(32)}, {"count": 5}, {"tender": bytes(32)}):
        assert rules_broken(book, commit_set=commit_set_of(evidence, **changes)) == {"AUC-11"}
    assert rules_broken(book, commit_set=commit_set_of(evidence, MALLORY)) == {"AUC-11"}
    assert "ENV-6" in rules_broken(book, commit_set=book.tender)


def test_dates_out_of_order(book: BidBook, evidence: Evidence) -> None:
    early = commit_set_of(evidence, closed_unix_ms=NOW - 1)
    late = commit_set_of(evidence, closed_unix_ms=book.closed_unix_ms + 1)
    for commit_set in (early, late):
        assert rules_broken(book, commit_set=commit_set) == {"AUC-14"}
    assert "AUC-14" in rules_broken(book, closed_unix_ms=NOW + 10_001)


def test_reveals_changed_dropped_and_reordered(book: BidBook) -> None:
    first = book.reveals[0]
    cheaper = first.model_copy(update={"bid": first.bid.model_copy(update={"price": 1})})
    resalted = first.model_copy(update={"salt": bytes(32)})
    for reveals in ((cheaper, *book.reveals[1:]), (resalted, *book.reveals[1:]), book.reveals[::-1]):
        assert rules_broken(book, reveals=reveals) == {"AUC-12"}
    assert rules_broken(book, reveals=book.reveals[1:]) == {"AUC-14"}
    assert rules_broken(book, reveals=(*book.reveals, first)) == {"AUC-12"}


def test_another_seed(book: BidBook) -> None:
    assert rules_broken(book, seed=bytes(32)) == {"AUC-15"}


def test_proof_where_none_belongs(book: BidBook) -> None:
    assert rules_broken(book, proof=b"x") == {"AUC-23"}


def test_observations_missing_changed_and_foreign(book: BidBook) -> None:
    first, *rest = book.observations
    assert rules_broken(book, observations=tuple(rest)) == {"AUC-14"}
    assert rules_broken(book, observations=book.observations[::-1]) == {"AUC-14"}
    foreign = first.model_copy(update={"record": rest[0].record})
    assert rules_broken(book, observations=(foreign, *rest)) == {"AUC-14"}
    slow = first.model_copy(update={"round_trip_ms": 900})
    assert rules_broken(book, observations=(slow, *rest)) <= {"AUC-18", "AUC-20"}
    assert rules_broken(book, observations=(slow, *rest))


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"issued_unix_ms": NOW - 2 * DAY_MS}, "PER-3"),
        ({"issued_unix_ms": NOW + DAY_MS}, "PER-3"),
        ({"binding": BOB.binding[:-1]}, "ENV-4"),
        ({"binding": CAROL.binding}, "IDN-3"),
    ],
)
def test_bidder_with_a_bad_record(changes: dict[str, Any], rule: str) -> None:
    tender = signed_tender()
    evidence = evidence_of(tender, [Worker(BOB, record_changes=tuple(changes.items()))])
    report = audit(sign(book_of(evidence)), RULES)
    assert [finding.rule for finding in report.findings] == [rule]


def test_equivocation_is_kept_as_its_own_proof() -> None:
    tender = signed_tender()
    first, second = Worker(MALLORY).sealed(tender)[0], Worker(MALLORY, price=1).sealed(tender, salt=1)[0]
    plain = evidence_of(tender, [Worker(BOB), Worker(CAROL)])
    commits = tuple(sorted((*plain.commits, first, second), key=lambda commit: commit.digest))
    book = book_of(replace(plain, commits=commits))
    assert audit(sign(book), RULES).ok
    assert [(e.bidder, e.codes) for e in book.exclusions] == [(Worker(MALLORY).bidder, ("equivocation",))]


def test_missing_acknowledged_commit_is_censorship(book: BidBook, evidence: Evidence) -> None:
    left_out, _ = Worker(crowd(5)[4]).sealed(evidence.tender)
    ack = seal(CommitAck(commit=left_out.digest), ALICE.node_key, RULES.network)
    kept = seal(CommitAck(commit=evidence.commits[0].digest), ALICE.node_key, RULES.network)
    forged = seal(CommitAck(commit=left_out.digest), MALLORY.node_key, RULES.network)
    data = sign(book)
    assert audit(data, RULES, acks=(kept, forged)).ok
    assert [f.rule for f in audit(data, RULES, acks=(kept, ack)).findings] == ["AUC-10"]
    assert not audit(data, RULES, acks=(b"x",)).ok


def test_declines_are_signed_and_for_this_tender(evidence: Evidence) -> None:
    good = seal(Decline(tender=evidence.tender.digest, code="vram"), BOB.node_key, RULES.network)
    foreign = seal(Decline(tender=bytes(32), code="vram"), BOB.node_key, RULES.network)
    assert audit(sign(book_of(replace(evidence, declines=(good,)))), RULES).ok
    bad = book_of(replace(evidence, declines=(good, foreign, b"x")))
    assert {f.rule for f in audit(sign(bad), RULES).findings} == {"AUC-13", "ENV-4"}


def test_work_that_is_spread_finds_the_same_in_the_same_order(book: BidBook) -> None:
    seen: list[int] = []

    def backwards(work: Callable[[Item], Result], items: Sequence[Item], /) -> list[Result]:
        seen.append(len(items))
        return [work(item) for item in reversed(items)][::-1]

    first, *rest = book.observations
    bad = book.model_copy(
        update={
            "commits": (b"x", *book.commits, b"y"),
            "declines": (b"z", book.commits[0]),
            "observations": (first.model_copy(update={"record": b"x"}), *rest),
        }
    )
    for data in (sign(book), sign(bad), sign(book.model_copy(update={"observations": bad.observations}))):
        assert audit(data, RULES, spread=backwards) == audit(data, RULES)
    assert seen == [6, 0, 5, 8, 2, 5, 6, 0, 5]


def test_report_is_bounded() -> None:
    tender = signed_tender()
    declines = (b"x",) * (FINDINGS_MAX + 1)
    book = book_of(replace(evidence_of(tender, []), declines=declines))
    assert len(audit(sign(book), RULES).findings) == FINDINGS_MAX


def test_tender_that_no_worker_should_have_taken(book: BidBook) -> None:
    tender = open_envelope(book.tender, type(signed_tender().message), RULES.network).message
    wrong = tender.model_copy(update={"price_floor": tender.price_max})
    data = seal(wrong, ALICE.node_key, RULES.network)
    assert rules_broken(book, tender=data) == {"AUC-4"}


def test_bid_sealed_for_another_tender_does_not_open(evidence: Evidence) -> None:
    worker = Worker(BOB)
    commit, reveal = seal_bid(bytes(32), worker.bidder, worker.bid(1), bytes(32), record_sequence=1)
    assert commit.tender == reveal.tender == bytes(32)
    book = book_of(evidence)
    assert rules_broken(book, reveals=(reveal,)) == {"AUC-12"}
