"""What a confirmed award holds: taken over by a job, ended by it, and put back after a restart."""

from dataclasses import replace

import pytest

from skyops_p2p import limits
from skyops_p2p.core.auction import events as ev
from skyops_p2p.core.auction import worker_events as wev
from skyops_p2p.core.auction.capacity import Capacity, ClaimState, Supply
from skyops_p2p.core.auction.desk import BiddingDesk
from skyops_p2p.core.auction.leases import AwardUse, LeaseTerms
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.types import MonotonicS
from tests.unit.core.auction.counter import Counter, code_of
from tests.unit.core.auction.house import Shop
from tests.unit.core.people import ALICE, BOB, CAROL, NOW, START, at

USE = AwardUse(bytes([5] * 16), NOW)


def awarded(shop: Shop | None = None, *, number: int = 1) -> tuple[Counter, bytes]:
    """Let bob confirm an award of alice's; return her and the award's envelope."""
    alice = Counter(shop, job_id=bytes([number] * 16))
    award = alice.award(alice.revealed())
    assert code_of(alice.send(award)) == "accepted"
    return alice, award


# --- the job that begins --------------------------------------------------------------------------------------------
def test_a_job_takes_its_lease_and_holds_the_capacity_until_it_ends_it() -> None:
    alice, award = awarded()
    desk, tender = alice.shop.desk, alice.tender.digest
    lease, effects = desk.take_lease(sha256(award), alice.now)
    assert lease is not None
    assert (lease.requester, lease.tender, lease.award.data) == (ALICE.peer, alice.tender, award)
    assert lease.bid.price == lease.award.message.price
    assert lease.claim == alice.shop.capacity.get(tender)
    assert (lease.claim.state, lease.claim.expires_at) == (ClaimState.LEASED, None)
    assert effects == [wev.EndBid(tender, "taken")]
    alice.wake(limits.LEASE_START_TIMEOUT_S + 1)
    assert len(alice.shop.capacity) == 1, "no time-out ends it"
    desk.check_invariants()
    assert desk.end_lease(tender, alice.now) == [wev.ForgetLease(sha256(award)), wev.CapacityChanged()]
    assert len(alice.shop.capacity) == 0
    assert desk.end_lease(tender, alice.now) == [], "again"


def test_a_lease_is_taken_once() -> None:
    alice, award = awarded()
    assert alice.shop.desk.take_lease(sha256(award), alice.now)[0] is not None
    assert alice.shop.desk.take_lease(sha256(award), alice.now) == (None, [])


def test_what_was_not_awarded_cannot_be_taken_or_ended() -> None:
    alice = Counter()
    bid = alice.revealed()
    award = alice.award(bid)
    assert alice.shop.desk.take_lease(sha256(award), alice.now) == (None, [])
    assert alice.shop.desk.end_lease(alice.tender.digest, alice.now) == []
    assert len(alice.shop.capacity) == 1, "a bid is no lease"


def test_a_lease_can_be_ended_before_it_is_taken() -> None:
    alice, award = awarded()
    effects = alice.shop.desk.end_lease(alice.tender.digest, alice.now)
    assert effects == [
        wev.EndBid(alice.tender.digest, "taken"),
        wev.ForgetLease(sha256(award)),
        wev.CapacityChanged(),
    ]
    assert len(alice.shop.capacity) == 0
    alice.shop.desk.check_invariants()
    assert alice.shop.desk.take_lease(sha256(award), alice.now) == (None, [])


@pytest.mark.parametrize("end", ["released", "expired", "hardware gone"])
def test_a_lease_that_has_ended_cannot_be_taken(end: str) -> None:  # AUC-33
    alice, award = awarded()
    if end == "released":
        alice.send(alice.release("withdrawn"))
    elif end == "expired":
        alice.wake(limits.LEASE_START_TIMEOUT_S)
    else:
        alice.shop.capacity.resize(replace(alice.shop.capacity.supply, devices=()))
    lease, effects = alice.shop.desk.take_lease(sha256(award), alice.now)
    assert lease is None
    alice.shop.said += effects
    assert alice.shop.told(wev.ForgetLease) == [wev.ForgetLease(sha256(award))]


def test_a_lease_that_outlived_its_hardware_is_ended_without_a_claim() -> None:
    alice, award = awarded()
    alice.shop.desk.take_lease(sha256(award), alice.now)
    alice.shop.capacity.resize(replace(alice.shop.capacity.supply, devices=()))
    assert alice.shop.desk.end_lease(alice.tender.digest, alice.now) == [wev.ForgetLease(sha256(award))]


def test_leases_do_not_count_as_open_tenders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "TENDERS_OPEN_MAX", 1)
    shop = Shop(BOB, slots=4, gpus=4)
    for number in (1, 2):
        awarded(shop, number=number)
    Counter(shop, job_id=bytes([3] * 16)).commit()
    shop.desk.check_invariants()
    assert code_of(Counter(shop, job_id=bytes([4] * 16)).offer()) == "busy"


# --- held for the job's next shard ------------------------------------------------------------------------------------
def taken(number: int = 1, shop: Shop | None = None) -> tuple[Counter, LeaseTerms]:
    """Let a job of alice's run at bob's; return her and its lease, with its use."""
    alice, award = awarded(shop, number=number)
    lease, _ = alice.shop.desk.take_lease(sha256(award), alice.now)
    assert lease is not None
    return alice, replace(lease, use=USE)


def test_a_lease_that_is_kept_holds_its_capacity_until_it_is_taken_again() -> None:  # EXE-37
    alice, lease = taken()
    desk, capacity = alice.shop.desk, alice.shop.capacity
    assert desk.keep_lease(lease, alice.now, until=at(10)) == []
    desk.check_invariants()
    assert len(capacity) == 1
    held = desk.waiting_lease(lease.award.digest)
    assert held is not None
    assert (held.use, held.claim.expires_at, held.claim.devices) == (USE, at(10), lease.claim.devices)
    again, _ = desk.take_lease(lease.award.digest, alice.now)
    assert again is not None
    assert (again.use, again.claim.expires_at) == (USE, None)
    assert desk.waiting_lease(lease.award.digest) is None, "one lease at a time"
    assert wev.CapacityChanged() in desk.end_lease(lease.tender.digest, alice.now)
    assert len(capacity) == 0


@pytest.mark.parametrize("end", ["released", "expired"])
def test_a_lease_that_was_kept_for_nobody_is_free_and_forgotten(end: str) -> None:  # EXE-37
    alice, lease = taken()
    alice.shop.desk.keep_lease(lease, alice.now, until=at(10))
    if end == "released":
        alice.send(alice.release("withdrawn"))
    else:
        alice.wake(9.9)
        assert len(alice.shop.capacity) == 1
        alice.wake(10)
    assert len(alice.shop.capacity) == 0
    assert alice.shop.told(wev.ForgetLease) == [wev.ForgetLease(lease.award.digest)]
    assert alice.shop.desk.take_lease(lease.award.digest, alice.now)[0] is None
    alice.shop.desk.check_invariants()


def test_a_kept_lease_whose_hardware_is_gone_is_ended() -> None:
    alice, lease = taken()
    alice.shop.capacity.resize(replace(alice.shop.capacity.supply, devices=()))
    assert alice.shop.desk.keep_lease(lease, alice.now, until=at(10)) == [wev.ForgetLease(lease.award.digest)]
    assert alice.shop.desk.waiting_lease(lease.award.digest) is None


def test_a_lease_that_has_ended_is_not_kept() -> None:
    alice, lease = taken()
    alice.shop.desk.end_lease(lease.tender.digest, alice.now)
    assert alice.shop.desk.keep_lease(lease, alice.now, until=at(10)) == []
    assert len(alice.shop.capacity) == 0


def test_the_award_of_a_kept_lease_is_confirmed_again_and_the_tender_is_over() -> None:  # AUC-30
    alice, lease = taken()
    alice.shop.desk.keep_lease(lease, alice.now, until=at(10))
    assert code_of(alice.send(lease.award.data)) == "accepted"
    assert code_of(alice.offer()) == "past_deadline"


# --- after a restart ------------------------------------------------------------------------------------------------
def stored(alice: Counter) -> LeaseTerms:
    """Return what bob wrote down before he confirmed."""
    kept = alice.shop.told(wev.StoreLease)[-1].lease
    assert isinstance(kept, LeaseTerms)
    return kept


def restarted(shop: Shop, *leases: LeaseTerms) -> Shop:
    """Start bob's program anew: his machine has not been looked at yet."""
    again = Shop(shop.person, gpus=shop.gpus, slots=shop.slots, terms=shop.terms)
    again.capacity = Capacity(Supply((), 0, 0, 0, 0))
    again.desk = BiddingDesk(replace(again.context, capacity=again.capacity, record=lambda: None))
    for lease in leases:
        assert again.desk.restore(lease)
        again.desk.check_invariants()
    return again


def test_a_restored_award_is_confirmed_again_and_nothing_else_is() -> None:  # AUC-30, AUC-31
    alice, award = awarded()
    lease = stored(alice)
    alice.shop = restarted(alice.shop, lease)
    assert code_of(alice.send(award)) == "accepted"
    assert alice.shop.told(wev.StoreLease) == []
    assert code_of(alice.send(alice.award(lease.bid, rank=1))) == "award_mismatch"
    assert code_of(alice.offer()) == "past_deadline", "the bid itself is forgotten"
    assert code_of(alice.send(alice.request(b"a commitment"))) == "past_deadline"


def test_a_restored_award_holds_its_devices_until_it_is_released() -> None:  # AUC-31, AUC-33
    alice, _ = awarded()
    lease = stored(alice)
    alice.shop = restarted(alice.shop, lease)
    alice.shop.capacity.resize(Shop(BOB).capacity.supply)
    assert alice.shop.capacity.claims() == (lease.claim,)
    assert alice.shop.capacity.free().devices == ()
    assert isinstance(alice.send(alice.release("withdrawn")), ev.AnswerRequest)
    assert len(alice.shop.capacity) == 0
    assert alice.shop.told(wev.ForgetLease) == [wev.ForgetLease(lease.award.digest)]


def test_a_restored_award_ends_by_itself() -> None:
    alice, _ = awarded()
    lease = stored(alice)
    lease = replace(lease, claim=replace(lease.claim, expires_at=at(5)))
    alice.shop = restarted(alice.shop, lease)
    alice.wake(4.9)
    assert len(alice.shop.capacity) == 1
    alice.wake(5)
    assert len(alice.shop.capacity) == 0
    assert alice.ended == ["expired"]


def test_a_restored_award_can_be_taken_by_its_job() -> None:
    alice, award = awarded()
    desk = restarted(alice.shop, stored(alice)).desk
    lease, _ = desk.take_lease(sha256(award), MonotonicS(START + 1))
    assert lease is not None
    assert (lease.award.data, lease.claim.expires_at) == (award, None)


def test_a_restored_award_that_the_machine_no_longer_has_is_not_confirmed() -> None:
    alice, award = awarded()
    alice.shop = restarted(alice.shop, stored(alice))
    alice.shop.capacity.resize(replace(Shop(BOB).capacity.supply, devices=()))
    assert code_of(alice.send(award)) == "reservation_expired"


def test_nothing_is_put_back_twice_or_on_a_device_that_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    alice, _ = awarded()
    lease = stored(alice)
    shop = restarted(alice.shop, lease)
    assert not shop.desk.restore(lease)
    carols = Counter(Shop(CAROL), job_id=bytes([2] * 16)).tender
    same_device = replace(lease, tender=carols, claim=replace(lease.claim, tender=carols.digest))
    assert not shop.desk.restore(same_device)
    shop.desk.check_invariants()
    monkeypatch.setattr(limits, "RESERVATIONS_MAX", 1)
    free_device = replace(same_device, claim=replace(same_device.claim, devices=()))
    assert not shop.desk.restore(free_device)


def test_a_second_tender_with_the_id_of_a_restored_one_is_a_proof() -> None:  # AUC-5
    alice, _ = awarded()
    again = Counter(restarted(alice.shop, stored(alice)), job_id=bytes([1] * 16), price_max=3_000_000)
    assert code_of(again.offer()) == "tender_conflict"
    assert [proof.offence for proof in again.proofs] == ["two_tenders"]
