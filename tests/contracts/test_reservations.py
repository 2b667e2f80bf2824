"""Reservations: price, discount, earning by time, early exit, no-show, usage, and conservation of the prepaid."""

import boa
import pytest
from eth_abi import encode
from eth_utils import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contracts.chain import (
    DAY,
    ETH,
    HOUR,
    TEST_SOURCES,
    UNIT,
    Person,
    deploy,
    domain_of,
    events,
    person,
)
from tests.contracts.reserved import OVER, RATE, SALT, STAKE, USAGE, Reserved


@pytest.fixture(scope="module")
def founded() -> Reserved:
    return Reserved()


@pytest.fixture
def reserved(founded: Reserved, _fresh_chain: None) -> Reserved:
    return founded


@pytest.mark.parametrize(
    ("hours", "discount"),
    [
        (1, 0),
        (23, 0),
        (24, 500),
        (167, 500),
        (168, 1000),
        (720, 2000),
        (2160, 3000),
        (4320, 4000),
        (8760, 5000),
    ],
)
def test_longer_terms_are_cheaper_an_hour(reserved: Reserved, hours: int, discount: int) -> None:
    assert reserved.contract.discount_of(hours) == discount
    assert reserved.contract.price_of(RATE, hours) == RATE * hours * (10_000 - discount) // 10_000


def test_term_is_prepaid_and_earned_by_the_second(reserved: Reserved, alice: Person, bob: Person) -> None:
    before = reserved.token.balanceOf(alice.address)
    reservation = reserved.reserve(alice, bob, 10)
    assert reserved.token.balanceOf(alice.address) == before - 10 * RATE
    assert reserved.registry.nodes(bob.address).locked == 2 * RATE
    with boa.reverts("not_checked_in"):
        reserved.contract.draw(reservation)
    reserved.contract.check_in(reservation, sender=bob.address)
    assert events(reserved.contract) == [("CheckedIn", {"reservation": reservation})]
    with boa.reverts("nothing_to_draw"):
        reserved.contract.draw(reservation)
    boa.env.time_travel(seconds=3 * HOUR)
    assert reserved.contract.draw(reservation) == 2 * RATE * 97 // 100  # an hour stays for the check-in
    assert reserved.owed(bob) == 2 * RATE * 97 // 100
    with boa.reverts("too_soon"):
        reserved.contract.finish(reservation)
    boa.env.time_travel(seconds=8 * HOUR)
    reserved.contract.finish(reservation)
    ended = {"reservation": reservation, "reason": OVER, "refund": 0, "exit_fee": 0, "compensation": 0}
    assert events(reserved.contract)[-1] == ("Ended", ended)
    assert reserved.owed(bob) == 10 * RATE * 97 // 100
    assert reserved.registry.nodes(bob.address).locked == 0
    with boa.reverts("not_running"):
        reserved.contract.finish(reservation)
    reserved.assert_all_is_owed()


def test_refund_is_shown_before_and_paid_as_shown(reserved: Reserved, alice: Person, bob: Person) -> None:
    reservation = reserved.checked_in(alice, bob, 10)
    boa.env.time_travel(seconds=4 * HOUR)
    shown = reserved.contract.refund_of(reservation, boa.env.timestamp)
    used, fee, refund = 4 * RATE, 6 * RATE * 3 // 10, 6 * RATE * 7 // 10
    assert tuple(shown) == (used, fee, refund)
    with boa.reverts("not_requester"):
        reserved.contract.leave(reservation, 0, sender=bob.address)
    with boa.reverts("refund_too_small"):
        reserved.contract.leave(reservation, refund + 1, sender=alice.address)
    assert reserved.contract.leave(reservation, refund, sender=alice.address) == refund
    assert (reserved.owed(alice), reserved.owed(bob)) == (refund, (used + fee) * 97 // 100)
    reserved.assert_all_is_owed()


def test_leaving_before_the_start_costs_the_exit_fee(reserved: Reserved, alice: Person, bob: Person) -> None:
    reservation = reserved.reserve(alice, bob, 10, after=DAY)
    assert reserved.contract.leave(reservation, 0, sender=alice.address) == 7 * RATE
    reserved.assert_all_is_owed()


def test_worker_that_never_shows_up_pays_an_hour(
    reserved: Reserved, alice: Person, bob: Person, carol: Person
) -> None:
    reservation = reserved.reserve(alice, bob, 10)
    boa.env.time_travel(seconds=HOUR)
    with boa.reverts("not_absent"):
        reserved.contract.report_no_show(reservation, sender=alice.address)
    boa.env.time_travel(seconds=1)
    with boa.reverts("too_late"):
        reserved.contract.check_in(reservation, sender=bob.address)
    with boa.reverts("not_party"):
        reserved.contract.report_no_show(reservation, sender=carol.address)
    supply = reserved.token.totalSupply()
    assert reserved.contract.report_no_show(reservation, sender=alice.address) == 10 * RATE
    assert reserved.owed(alice) == 10 * RATE + RATE
    assert reserved.token.totalSupply() == supply - RATE
    node = reserved.registry.nodes(bob.address)
    assert (node.stake, node.locked) == (STAKE - 2 * RATE, 0)
    reserved.assert_all_is_owed()


def test_worker_that_does_not_answer_earns_until_it_was_asked(
    reserved: Reserved, alice: Person, bob: Person
) -> None:
    reservation = reserved.checked_in(alice, bob, 10)
    boa.env.time_travel(seconds=DAY // 6)
    reserved.contract.ask(reservation, sender=alice.address)
    assert events(reserved.contract) == [
        ("Asked", {"reservation": reservation, "answer_by": boa.env.timestamp + HOUR})
    ]
    with boa.reverts("not_checked_in"):
        reserved.contract.draw(reservation)
    boa.env.time_travel(seconds=HOUR + 1)
    assert reserved.contract.report_no_show(reservation, sender=bob.address) == 6 * RATE
    assert reserved.owed(alice) == 6 * RATE + RATE
    assert reserved.owed(bob) == 4 * RATE * 97 // 100
    reserved.assert_all_is_owed()


def test_worker_that_answers_is_asked_once_a_day(
    reserved: Reserved, alice: Person, bob: Person, mallory: Person
) -> None:
    reservation = reserved.checked_in(alice, bob, 48)
    with boa.reverts("not_requester"):
        reserved.contract.ask(reservation, sender=mallory.address)
    reserved.contract.ask(reservation, sender=alice.address)
    with boa.reverts("asked_lately"):
        reserved.contract.ask(reservation, sender=alice.address)
    with boa.reverts("not_worker"):
        reserved.contract.check_in(reservation, sender=mallory.address)
    reserved.contract.check_in(reservation, sender=bob.address)
    boa.env.time_travel(seconds=2 * HOUR)
    with boa.reverts("not_absent"):
        reserved.contract.report_no_show(reservation, sender=alice.address)
    with boa.reverts("asked_lately"):
        reserved.contract.ask(reservation, sender=alice.address)
    reserved.contract.draw(reservation)
    boa.env.time_travel(seconds=46 * HOUR)
    with boa.reverts("wrong_time"):
        reserved.contract.ask(reservation, sender=alice.address)
    with boa.reverts("over"):
        reserved.contract.leave(reservation, 0, sender=alice.address)


def test_nobody_asks_or_answers_before_the_start(reserved: Reserved, alice: Person, bob: Person) -> None:
    reservation = reserved.reserve(alice, bob, after=DAY)
    with boa.reverts("wrong_time"):
        reserved.contract.ask(reservation, sender=alice.address)
    with boa.reverts("wrong_time"):
        reserved.contract.check_in(reservation, sender=bob.address)


def test_usage_only_grows_and_needs_the_requesters_signature(
    reserved: Reserved, alice: Person, bob: Person, mallory: Person
) -> None:
    reservation = reserved.checked_in(alice, bob)
    domain = domain_of("Skyops Reservations", reserved.contract)

    def signed(signer: Person, used: int) -> tuple[bytes, bytes]:
        return signer.sign_compact(domain, USAGE, _type="Usage", reservation=reservation, usedS=used)

    reserved.contract.record_usage(reservation, 600, *signed(alice, 600), sender=bob.address)
    assert events(reserved.contract) == [("UsageRecorded", {"reservation": reservation, "used_s": 600})]
    with boa.reverts("stale_usage"):
        reserved.contract.record_usage(reservation, 600, *signed(alice, 600))
    with boa.reverts("bad_signature"):
        reserved.contract.record_usage(reservation, 700, *signed(mallory, 700))
    assert reserved.contract.reservations(reservation).used_s == 600


def test_eth_is_taken_and_the_stake_counts_by_its_rate(
    reserved: Reserved, alice: Person, bob: Person
) -> None:
    rate = UNIT // 100  # 10 SKYOPS an hour
    reservation = reserved.checked_in(alice, bob, 10, token=ETH, rate=rate)
    assert boa.env.get_balance(reserved.contract.address) == 10 * rate
    assert reserved.registry.nodes(bob.address).locked == 20 * UNIT
    boa.env.time_travel(seconds=11 * HOUR)
    reserved.contract.finish(reservation)
    before = boa.env.get_balance(bob.address)
    reserved.contract.collect(ETH, bob.address, sender=bob.address)
    assert boa.env.get_balance(bob.address) == before + 10 * rate * 97 // 100
    reserved.contract.pay_fees(ETH)
    assert boa.env.get_balance(reserved.contract.address) == 0


def test_offers_that_cannot_be_taken_are_refused(
    reserved: Reserved, alice: Person, bob: Person, carol: Person, mallory: Person
) -> None:
    contract, now = reserved.contract, boa.env.timestamp
    good = reserved.offer(bob)
    cases = {
        "bad_token": (reserved.offer(bob, token=mallory.address), 10, now),
        "offer_expired": (reserved.offer(bob, expiresAt=now - 1), 10, now),
        "bad_term": (reserved.offer(bob, hoursLeast=11), 10, now),
        "bad_start": (good, 10, now - 1),
        "bad_price": (reserved.offer(bob, rate=0), 10, now),
        "stake_too_small": (reserved.offer(carol), 10, now),
    }
    for code, (offer, hours, starts_at) in cases.items():
        signer = carol if code == "stake_too_small" else bob
        with boa.reverts(code):
            contract.reserve(offer, hours, starts_at, *reserved.sign(signer, offer), sender=alice.address)
    for hours in (0, 366 * 24 + 1):
        with boa.reverts("bad_term"):
            contract.reserve(reserved.offer(bob, hoursLeast=0), hours, now, *reserved.sign(bob, good))
    with boa.reverts("bad_start"):
        contract.reserve(good, 10, now + 30 * DAY + 1, *reserved.sign(bob, good), sender=alice.address)
    with boa.reverts("bad_signature"):
        contract.reserve(good, 10, now, *reserved.sign(mallory, good), sender=alice.address)
    with boa.reverts("bad_signature"):
        cheaper = reserved.offer(bob, rate=1)
        contract.reserve(cheaper, 10, now, *reserved.sign(bob, good), sender=alice.address)
    reserved.reserve(alice, bob)
    with boa.reverts("offer_taken"):
        reserved.reserve(alice, bob)
    reserved.settled.pause()
    with boa.reverts("paused"):
        reserved.reserve(alice, bob, salt=bytes(32))


def test_revoked_offer_is_void(reserved: Reserved, alice: Person, bob: Person) -> None:
    reserved.contract.revoke_offer(SALT, sender=bob.address)
    assert events(reserved.contract) == [("OfferRevoked", {"worker": bob.address, "salt": SALT})]
    with boa.reverts("offer_taken"):
        reserved.reserve(alice, bob)


def test_requester_that_calls_back_when_refunded_gets_nothing_twice(reserved: Reserved, bob: Person) -> None:
    contract, thief = reserved.contract, deploy("Reentrant", folder=TEST_SOURCES)
    offer = reserved.offer(bob, token=ETH, rate=1000)
    price = contract.price_of(1000, 10)
    boa.env.set_balance(thief.address, price)
    signed = reserved.sign(bob, offer)
    taken = contract.reserve.prepare_calldata(offer, 10, boa.env.timestamp, *signed)
    thief.act(contract.address, taken, price)
    fields = ["uint256", "address", "address", "bytes32"]
    made = keccak(encode(fields, [boa.env.evm.chain.chain_id, contract.address, bob.address, SALT]))
    thief.act(contract.address, contract.leave.prepare_calldata(made, 0), 0)
    refund = contract.owed(thief.address, ETH)
    assert refund == price * 7 // 10
    boa.env.set_balance(contract.address, 10 * price)  # of others
    for call in (
        contract.collect.prepare_calldata(ETH, thief.address),
        contract.pay_fees.prepare_calldata(ETH),
    ):
        with boa.env.anchor():
            thief.arm(contract.address, call)
            thief.act(contract.address, contract.collect.prepare_calldata(ETH, thief.address), 0)
            assert thief.was_called()
            assert not thief.is_answered()
            assert boa.env.get_balance(thief.address) == refund


def test_unknown_reservation_is_refused(reserved: Reserved, alice: Person) -> None:
    for call in ("check_in", "ask", "draw", "finish", "report_no_show"):
        with boa.reverts("not_running"):
            getattr(reserved.contract, call)(bytes(32), sender=alice.address)
    with boa.reverts("bad_address"):
        reserved.contract.collect(ETH, ETH)
    with boa.reverts("bad_address"):
        deploy("Reservations", ETH, ETH, ETH)


@given(
    rate=st.integers(1, 20 * UNIT),
    hours=st.integers(1, 300),
    passed=st.integers(0, 300 * HOUR),
    is_drawn=st.booleans(),
)
@settings(max_examples=20, deadline=None)
def test_prepaid_is_always_shared_out_whole(
    founded: Reserved, rate: int, hours: int, passed: int, is_drawn: bool
) -> None:
    alice, bob = person("alice"), person("bob")
    with boa.env.anchor():
        reservation = founded.checked_in(alice, bob, hours, rate=rate)
        prepaid = founded.contract.reservations(reservation).prepaid
        elapsed = min(passed, hours * HOUR - 1)
        boa.env.time_travel(seconds=elapsed)
        if is_drawn and elapsed > HOUR:
            founded.contract.draw(reservation)
        used, fee, refund = founded.contract.refund_of(reservation, boa.env.timestamp)
        assert used + fee + refund == prepaid
        assert fee == -(-(prepaid - used) * 3 // 10)
        assert founded.contract.leave(reservation, refund, sender=alice.address) == refund
        assert founded.owed(alice) == refund
        founded.assert_all_is_owed()
