"""Settlement: deposits, allotments, withdrawals, credits, fees, terms, and who may do what."""

import boa
import pytest
from eth.exceptions import Revert

from tests.contracts.chain import DAY, ETH, UNIT, Person, deploy, domain_of, events, person
from tests.contracts.settled import Settled
from tests.contracts.test_token import PERMIT


def test_deposit_is_the_owners_and_is_logged(settled: Settled, bob: Person) -> None:
    assert settled.deposit(bob, 7) == 7
    fields = {"owner": bob.address, "token": settled.token.address, "amount": 7}
    assert events(settled.settlement) == [("Deposited", fields)]
    assert settled.deposit_of(bob) == 7
    assert settled.deposit(bob, 5) == 5
    assert settled.deposit_of(bob) == 12


def test_eth_comes_with_the_call(settled: Settled, bob: Person) -> None:
    settled.deposit(bob, 9, token=ETH)
    assert settled.deposit_of(bob, ETH) == 9
    assert boa.env.get_balance(settled.settlement.address) == 9
    with boa.reverts("wrong_eth_amount"):
        settled.settlement.deposit(ETH, 9, sender=bob.address, value=8)
    with boa.reverts("wrong_eth_amount"):
        settled.settlement.deposit(settled.token.address, 9, sender=bob.address, value=9)


def test_plain_eth_transfer_is_refused(settled: Settled, bob: Person) -> None:
    with pytest.raises(Revert):
        boa.env.raw_call(settled.settlement.address, sender=bob.address, value=1)


def test_deposit_without_approval_is_refused(settled: Settled, bob: Person) -> None:
    settled.token.approve(settled.settlement.address, 0, sender=bob.address)
    with boa.reverts("allowance_too_small"):
        settled.deposit(bob, 7)


def test_deposit_with_a_permit_needs_no_approval(settled: Settled, bob: Person, carol: Person) -> None:
    contract, token = settled.settlement, settled.token
    token.approve(contract.address, 0, sender=bob.address)
    deadline = boa.env.timestamp + 60
    signed = bob.sign(
        domain_of("Skyops", token), PERMIT, _type="Permit",
        owner=bob.address, spender=contract.address, value=7, nonce=0, deadline=deadline,
    )  # fmt: skip
    permit = (deadline, signed.v, signed.r.to_bytes(32, "big"), signed.s.to_bytes(32, "big"))
    token.permit(bob.address, contract.address, 7, *permit, sender=carol.address)  # somebody was faster
    contract.deposit_with_permit(token.address, 7, ETH, *permit, sender=bob.address)
    assert settled.deposit_of(bob) == 7
    with boa.reverts("allowance_too_small"):
        contract.deposit_with_permit(token.address, 7, ETH, *permit, sender=bob.address)


def test_withdrawal_waits_and_pays_once(settled: Settled, alice: Person, carol: Person) -> None:
    contract, token = settled.settlement, settled.token.address
    contract.request_withdrawal(token, 30 * UNIT, sender=alice.address)
    ready_at = boa.env.timestamp + 2 * DAY
    fields = {"owner": alice.address, "token": token, "amount": 30 * UNIT, "ready_at": ready_at}
    assert events(contract) == [("WithdrawalRequested", fields)]
    boa.env.time_travel(seconds=2 * DAY - 1)
    with boa.reverts("too_soon"):
        contract.withdraw(token, carol.address, sender=alice.address)
    boa.env.time_travel(seconds=1)
    before = settled.token.balanceOf(carol.address)
    assert contract.withdraw(token, carol.address, sender=alice.address) == 30 * UNIT
    fields = {"owner": alice.address, "token": token, "to": carol.address, "amount": 30 * UNIT}
    assert events(contract) == [("Withdrawn", fields)]
    assert settled.token.balanceOf(carol.address) == before + 30 * UNIT
    assert settled.deposit_of(alice) == 70 * UNIT
    with boa.reverts("not_requested"):
        contract.withdraw(token, carol.address, sender=alice.address)


def test_vouchers_are_redeemed_from_what_waits_to_be_withdrawn(
    settled: Settled, alice: Person, bob: Person
) -> None:
    contract, token = settled.settlement, settled.token.address
    contract.request_withdrawal(token, 100 * UNIT, sender=alice.address)
    boa.env.time_travel(seconds=2 * DAY)
    settled.redeem(alice, bob, 60 * UNIT)
    assert contract.withdraw(token, alice.address, sender=alice.address) == 40 * UNIT
    assert settled.deposit_of(alice) == 0


def test_withdrawal_is_taken_back_and_not_beyond_the_deposit(settled: Settled, alice: Person) -> None:
    contract, token = settled.settlement, settled.token.address
    with boa.reverts("deposit_too_small"):
        contract.request_withdrawal(token, 100 * UNIT + 1, sender=alice.address)
    contract.request_withdrawal(token, UNIT, sender=alice.address)
    contract.request_withdrawal(token, 0, sender=alice.address)
    boa.env.time_travel(seconds=3 * DAY)
    with boa.reverts("not_requested"):
        contract.withdraw(token, alice.address, sender=alice.address)
    with boa.reverts("bad_address"):
        contract.withdraw(token, ETH, sender=alice.address)


def test_eth_is_withdrawn(settled: Settled, bob: Person, carol: Person) -> None:
    settled.deposit(bob, 9, token=ETH)
    settled.settlement.request_withdrawal(ETH, 9, sender=bob.address)
    boa.env.time_travel(seconds=2 * DAY)
    before = boa.env.get_balance(carol.address)
    settled.settlement.withdraw(ETH, carol.address, sender=bob.address)
    assert boa.env.get_balance(carol.address) == before + 9


def test_allotment_is_one_workers_and_comes_back_after_the_delay(
    settled: Settled, alice: Person, bob: Person, carol: Person
) -> None:
    contract, token = settled.settlement, settled.token.address
    contract.allot(bob.address, token, 40 * UNIT, sender=alice.address)
    fields = {"owner": alice.address, "worker": bob.address, "token": token, "amount": 40 * UNIT}
    assert events(contract) == [("Allotted", fields)]
    assert settled.deposit_of(alice) == 60 * UNIT
    settled.redeem(alice, carol, 100 * UNIT)  # gets the shared part only
    assert settled.state(alice, carol).redeemed == 60 * UNIT
    assert settled.state(alice, bob).allotted == 40 * UNIT
    with boa.reverts("not_requested"):
        contract.take_back(bob.address, token, sender=alice.address)
    contract.request_return(bob.address, token, sender=alice.address)
    boa.env.time_travel(seconds=2 * DAY - 1)
    with boa.reverts("too_soon"):
        contract.take_back(bob.address, token, sender=alice.address)
    settled.redeem(alice, bob, 10 * UNIT)
    boa.env.time_travel(seconds=1)
    assert contract.take_back(bob.address, token, sender=alice.address) == 30 * UNIT
    assert [name for name, _ in events(contract)] == ["Returned"]
    assert settled.deposit_of(alice) == 30 * UNIT
    assert settled.state(alice, bob).allotted == 0
    with boa.reverts("nothing_allotted"):
        contract.request_return(bob.address, token, sender=alice.address)


def test_adding_to_an_allotment_takes_the_return_back(settled: Settled, alice: Person, bob: Person) -> None:
    contract, token = settled.settlement, settled.token.address
    settled.deposit(alice, UNIT, worker=bob.address)
    contract.request_return(bob.address, token, sender=alice.address)
    settled.deposit(alice, UNIT, worker=bob.address)
    boa.env.time_travel(seconds=3 * DAY)
    with boa.reverts("not_requested"):
        contract.take_back(bob.address, token, sender=alice.address)
    assert settled.state(alice, bob).allotted == 2 * UNIT


def test_part_of_a_unit_goes_to_the_shared_deposit(settled: Settled, alice: Person, bob: Person) -> None:
    settled.deposit(alice, 3 * 10**9 + 5, worker=bob.address)
    assert settled.state(alice, bob).allotted == 3 * 10**9
    assert settled.deposit_of(alice) == 100 * UNIT + 5


def test_allotments_that_cannot_be_are_refused(settled: Settled, alice: Person, bob: Person) -> None:
    contract, token = settled.settlement, settled.token.address
    with boa.reverts("bad_address"):
        contract.allot(ETH, token, UNIT, sender=alice.address)
    with boa.reverts("deposit_too_small"):
        contract.allot(bob.address, token, 101 * UNIT, sender=alice.address)
    with boa.reverts("nothing_to_allot"):
        contract.allot(bob.address, token, 10**9 - 1, sender=alice.address)
    boa.env.set_balance(alice.address, 2**100)
    with boa.reverts("allotment_too_large"):
        settled.deposit(alice, 2**64 * 10**9, token=ETH, worker=bob.address)


def test_nobody_moves_what_is_anothers(settled: Settled, alice: Person, bob: Person, mallory: Person) -> None:
    contract, token = settled.settlement, settled.token.address
    settled.deposit(alice, UNIT, worker=bob.address)
    settled.redeem(alice, bob, UNIT)
    with boa.reverts("deposit_too_small"):
        contract.request_withdrawal(token, 1, sender=mallory.address)
    with boa.reverts("not_requested"):
        contract.withdraw(token, mallory.address, sender=mallory.address)
    with boa.reverts("deposit_too_small"):
        contract.allot(mallory.address, token, 1, sender=mallory.address)
    with boa.reverts("nothing_allotted"):
        contract.request_return(bob.address, token, sender=mallory.address)
    assert contract.collect(token, mallory.address, sender=mallory.address) == 0


def test_collecting_pays_the_credit_once(settled: Settled, alice: Person, bob: Person, carol: Person) -> None:
    contract, token = settled.settlement, settled.token.address
    credited = settled.redeem(alice, bob, 10 * UNIT)
    before = settled.token.balanceOf(carol.address)
    with boa.reverts("bad_address"):
        contract.collect(token, ETH, sender=bob.address)
    assert contract.collect(token, carol.address, sender=bob.address) == credited
    fields = {"owner": bob.address, "token": token, "to": carol.address, "amount": credited}
    assert events(contract) == [("Collected", fields)]
    assert contract.collect(token, carol.address, sender=bob.address) == 0
    assert settled.token.balanceOf(carol.address) == before + credited


def test_fees_are_split_as_published_and_skyops_are_destroyed(
    settled: Settled, alice: Person, bob: Person
) -> None:
    contract, token = settled.settlement, settled.token
    settled.redeem(alice, bob, 100 * UNIT)
    supply = token.totalSupply()
    assert contract.pay_fees(token.address) == 3 * UNIT
    fields = {"token": token.address, "pool": 15 * UNIT // 10, "fund": UNIT, "burned": UNIT // 2}
    assert events(contract) == [("FeesPaid", fields)]
    assert token.balanceOf(person("pool").address) == 15 * UNIT // 10
    assert token.balanceOf(person("fund").address) == UNIT
    assert token.totalSupply() == supply - UNIT // 2
    assert contract.pay_fees(token.address) == 0


def test_burned_part_of_eth_is_sent_where_nobody_can_take_it(
    settled: Settled, alice: Person, bob: Person
) -> None:
    settled.deposit(alice, 100 * UNIT, token=ETH)
    settled.redeem(alice, bob, 100 * UNIT, token=ETH)
    settled.settlement.pay_fees(ETH)
    assert boa.env.get_balance("0x000000000000000000000000000000000000dEaD") == UNIT // 2


def test_fees_of_zero_leave_everything_to_the_worker(settled: Settled, alice: Person, bob: Person) -> None:
    for key in (0, 1, 2):
        settled.set_parameter(key, 0)
    assert settled.redeem(alice, bob, 10 * UNIT, holdback=500) == 95 * UNIT // 10
    assert settled.settlement.pay_fees(settled.token.address) == 0


def test_terms_change_only_when_they_are_renewed(settled: Settled, alice: Person, bob: Person) -> None:
    settled.parameters.propose(0, 0, sender=person("gov").address)
    boa.env.time_travel(seconds=2 * DAY)
    settled.parameters.execute(0)
    settled.redeem(alice, bob, UNIT)
    assert settled.settlement.fees(settled.token.address) == 3 * UNIT // 100
    settled.settlement.renew_terms(sender=bob.address)
    assert [name for name, _ in events(settled.settlement)] == ["TermsRenewed"]
    settled.redeem(alice, bob, 2 * UNIT)
    assert settled.settlement.fees(settled.token.address) == (3 * UNIT + UNIT * 15 // 10) // 100


def test_pause_stops_deposits_and_never_money_on_its_way_out(
    settled: Settled, alice: Person, bob: Person
) -> None:
    contract, token = settled.settlement, settled.token.address
    settled.pause()
    with boa.reverts("paused"):
        settled.deposit(alice, 1)
    settled.redeem(alice, bob, UNIT)
    assert contract.collect(token, bob.address, sender=bob.address) > 0
    contract.request_withdrawal(token, UNIT, sender=alice.address)
    boa.env.time_travel(seconds=2 * DAY)
    assert settled.parameters.is_paused()
    assert contract.withdraw(token, alice.address, sender=alice.address) == UNIT
    contract.release(alice.address, bob.address, token)


def test_arbiter_is_bound_once_by_the_deployer(alice: Person, mallory: Person) -> None:
    fresh = Settled()
    contract = fresh.settlement
    with boa.reverts("not_allowed"):
        contract.bind_arbiter(fresh.arbiter.address, sender=mallory.address)
    with boa.reverts("bad_address"):
        contract.bind_arbiter(alice.address)
    contract.bind_arbiter(fresh.arbiter.address)
    assert events(contract) == [("ArbiterBound", {"arbiter": fresh.arbiter.address})]
    with boa.reverts("not_allowed"):
        contract.bind_arbiter(fresh.arbiter.address)


@pytest.mark.parametrize("missing", range(3))
def test_deployment_needs_every_address(settled: Settled, missing: int) -> None:
    addresses = [settled.parameters.address, settled.token.address, settled.active.address]
    addresses[missing] = ETH
    with boa.reverts("bad_address"):
        deploy("Settlement", *addresses)
