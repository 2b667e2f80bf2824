"""The worker's machine and its desk: whom it bids for, and why not."""

from typing import Any

import pytest

from skyops_p2p import limits
from skyops_p2p.core.auction import worker_events as wev
from skyops_p2p.core.auction.worker import WorkerTerms
from skyops_p2p.crypto.node_key import peer_id_to_bytes
from skyops_p2p.wire.envelope import seal
from tests.unit.core.auction.counter import OWN, Counter, code_of
from tests.unit.core.auction.house import Shop
from tests.unit.core.auction.market import NEEDS, tender_of
from tests.unit.core.people import ALICE, BOB, CAROL, MALLORY, RULES, at


# --- bid or decline -------------------------------------------------------------------------------------------------
def test_a_bid_reserves_its_capacity_and_offers_what_is_there() -> None:
    alice = Counter()
    bid = alice.revealed()
    assert bid.price == 1_000_000
    assert bid.devices == (f"{BOB.peer}/0",)
    assert (bid.gpu_model, bid.vram_mib) == ("NVIDIA A100", 24_576)
    assert bid.speed_milli == 6100
    assert bid.valid_until_unix_ms == alice.tender.message.expires_unix_ms
    assert [claim.tender for claim in alice.shop.capacity.claims()] == [alice.tender.digest]
    assert alice.shop.told(wev.CapacityChanged)


def test_the_same_tender_again_gets_the_same_commitment() -> None:  # AUC-7
    alice = Counter()
    assert alice.commit() == alice.commit()
    assert len(alice.shop.capacity) == 1


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"needs": NEEDS.model_copy(update={"vram_mib": 90_000})}, "vram"),
        ({"needs": NEEDS.model_copy(update={"runtime": "docker"})}, "runtime_missing"),
        ({"price_max": 999_999}, "price_too_low"),
        ({"deny": (OWN,)}, "denied"),
        ({"allow": (peer_id_to_bytes(CAROL.peer),)}, "not_allowed"),
    ],
)
def test_every_reason_has_its_code(changes: dict[str, Any], code: str) -> None:
    alice = Counter(**changes)
    assert code_of(alice.offer()) == code
    assert code_of(alice.offer()) == code, "again"
    assert alice.ended == [code]
    assert len(alice.shop.capacity) == 0


@pytest.mark.parametrize(
    ("terms", "code"),
    [
        (WorkerTerms(modes=frozenset({"flex"})), "mode_refused"),
        (WorkerTerms(tokens=frozenset({"ETH"})), "token_refused"),
        (WorkerTerms(duration_s_max=3599), "duration_too_long"),
        (WorkerTerms(refused=frozenset({ALICE.peer})), "requester_refused"),
    ],
)
def test_a_worker_chooses_what_it_works_for(terms: WorkerTerms, code: str) -> None:
    assert code_of(Counter(Shop(BOB, terms=terms)).offer()) == code


def test_a_worker_at_its_bounds_bids() -> None:
    terms = WorkerTerms(tokens=frozenset({"SKYOPS"}), duration_s_max=3600)
    assert Counter(Shop(BOB, terms=terms), price_max=1_000_000).commit()


def test_nobody_bids_for_its_own_job() -> None:
    assert code_of(Counter(who=BOB).offer()) == "requester_refused"


def test_a_tender_with_a_past_deadline_is_declined() -> None:
    alice = Counter()
    alice.now = at(10)
    assert code_of(alice.offer()) == "past_deadline"
    assert alice.shop.said == []


def test_a_tender_that_breaks_the_protocol_is_refused() -> None:
    alice = Counter()
    forged = seal(tender_of(), MALLORY.node_key, RULES.network)
    assert code_of(alice.offer(forged)) == "wrong_signer"
    assert code_of(alice.offer(alice.tender.data + b"\x00")) == "non_canonical"
    assert code_of(alice.offer(bytes(limits.TENDER_BYTES_MAX + 1))) == "oversized"
    alice.hear(forged)
    assert alice.shop.said == []


def test_overlapping_tenders_are_not_both_bid_for() -> None:
    shop = Shop(BOB)
    first, second = Counter(shop), Counter(shop, job_id=bytes([2] * 16))
    first.commit()
    assert code_of(second.offer()) == "capacity_reserved"
    third = Counter(shop, job_id=bytes([3] * 16))
    first.send(first.release())
    third.commit()


def test_open_tenders_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "TENDERS_OPEN_MAX", 1)
    shop = Shop(BOB, slots=4, gpus=4)
    Counter(shop).commit()
    assert code_of(Counter(shop, job_id=bytes([2] * 16)).offer()) == "busy"


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "TENDERS_SEEN_MAX", 2)
    shop = Shop(BOB, price=9_000_000)
    for number in range(5):
        assert code_of(Counter(shop, job_id=bytes([number] * 16)).offer()) == "price_too_low"
    shop.desk.check_invariants()


def test_a_leaving_worker_makes_no_new_bid() -> None:
    alice = Counter()
    alice.shop.desk.is_leaving = True
    assert code_of(alice.offer()) == "leaving"


def test_two_tenders_with_one_id_are_kept_as_a_proof() -> None:  # AUC-5
    shop = Shop(BOB, slots=4, gpus=4)
    first, second = Counter(shop), Counter(shop, price_max=3_000_000)
    first.commit()
    assert code_of(second.offer()) == "tender_conflict"
    (proof,) = first.proofs
    assert (proof.offence, proof.offender) == ("two_tenders", ALICE.peer)
    assert proof.evidence == (first.tender.data, second.tender.data)
    assert first.revealed(), "the first one goes on"
    Counter(shop, round=1, price_max=3_000_000).commit()  # another round is another tender


# --- by gossip ------------------------------------------------------------------------------------------------------
def test_a_tender_heard_by_gossip_is_answered_with_a_request() -> None:
    alice = Counter()
    alice.hear()
    (sent,) = alice.shop.told(wev.SendCommit)
    assert sent.peer == ALICE.peer
    assert alice.commit() == sent.data, "asked directly too: the same bid"


def test_gossip_is_not_answered_with_a_no() -> None:  # AUC-6
    for changes in ({"invite_share": 0}, {"price_max": 600_000}, {"deny": (OWN,)}):
        alice = Counter(**changes)
        alice.hear()
        assert alice.shop.told(wev.SendCommit) == []
        assert alice.proofs == []
    alice = Counter(invite_share=0)
    alice.hear()
    alice.commit()  # asked directly, the share does not matter


def test_a_refused_commitment_frees_its_capacity() -> None:
    alice = Counter()
    alice.hear()
    effects = alice.shop.desk.handle(alice.tender.digest, wev.CommitRefused("book_full"), alice.now)
    assert wev.EndBid(alice.tender.digest, "book_full") in effects
    assert len(alice.shop.capacity) == 0
    assert code_of(alice.offer()) == "past_deadline", "it is not bid for again"


def test_a_refusal_after_an_acknowledgement_is_nothing() -> None:
    alice = Counter()
    commit = alice.commit()
    desk, digest = alice.shop.desk, alice.tender.digest
    assert desk.handle(digest, wev.CommitAcknowledged(alice.ack(commit)), alice.now) == []
    assert desk.handle(digest, wev.CommitRefused("timeout"), alice.now) == []
    assert len(alice.shop.capacity) == 1
