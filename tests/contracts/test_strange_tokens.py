"""Settlement: tokens that do not keep to ERC-20, and accounts that call back, harm nobody who does not use them."""

import boa
import pytest
from boa.contracts.vyper.vyper_contract import VyperContract

from tests.contracts.chain import DAY, ETH, TEST_SOURCES, UNIT, Person, deploy
from tests.contracts.settled import Settled

BONUS_POOL = 29  # a key of Parameters
NOTHING, FEE, LIAR, NO, GREEDY, REENTRANT = range(6)


def _strange(kind: int, *owners: Person, decimals: int = 18) -> VyperContract:
    token = deploy("StrangeToken", kind, decimals, folder=TEST_SOURCES)
    for owner in owners:
        token.give(owner.address, 1000 * UNIT)
    return token


def _withdraw(settled: Settled, token: VyperContract, owner: Person, amount: int) -> int:
    settled.settlement.request_withdrawal(token.address, amount, sender=owner.address)
    boa.env.time_travel(seconds=2 * DAY)
    return int(settled.settlement.withdraw(token.address, owner.address, sender=owner.address))


def test_token_that_returns_nothing_is_accepted(settled: Settled, alice: Person, bob: Person) -> None:
    token = _strange(NOTHING, alice)
    settled.deposit(alice, 10 * UNIT, token=token.address)
    settled.redeem(alice, bob, UNIT, token=token.address)
    settled.settlement.collect(token.address, bob.address, sender=bob.address)
    assert _withdraw(settled, token, alice, 9 * UNIT) == 9 * UNIT
    assert token.balanceOf(alice.address) == 999 * UNIT
    settled.settlement.pay_fees(token.address)


def test_token_with_a_fee_counts_as_what_arrives(settled: Settled, alice: Person, bob: Person) -> None:
    token = _strange(FEE, alice, bob)
    assert settled.deposit(alice, 100 * UNIT, token=token.address) == 99 * UNIT
    settled.deposit(bob, 100 * UNIT, token=token.address)
    with boa.reverts("deposit_too_small"):
        _withdraw(settled, token, alice, 100 * UNIT)
    assert _withdraw(settled, token, alice, 99 * UNIT) == 99 * UNIT
    assert token.balanceOf(settled.settlement.address) == settled.deposit_of(bob, token.address) == 99 * UNIT


def test_token_that_lies_gives_no_deposit(settled: Settled, alice: Person, bob: Person) -> None:
    token = _strange(LIAR, alice)
    assert settled.deposit(alice, 100 * UNIT, token=token.address) == 0
    with boa.reverts("nothing_to_allot"):
        settled.deposit(alice, 100 * UNIT, token=token.address, worker=bob.address)
    assert settled.deposit_of(alice, token.address) == 0


def test_token_that_says_no_is_refused(settled: Settled, alice: Person) -> None:
    token = _strange(NO, alice)
    with boa.reverts("transfer_failed"):
        settled.deposit(alice, 100 * UNIT, token=token.address)


def test_token_that_takes_too_much_is_stopped(settled: Settled, alice: Person, bob: Person) -> None:
    token = _strange(GREEDY, alice, bob)
    for owner in (alice, bob):
        settled.deposit(owner, 100 * UNIT, token=token.address)
    with boa.reverts("took_too_much"):
        _withdraw(settled, token, alice, 50 * UNIT)
    assert token.balanceOf(settled.settlement.address) == 200 * UNIT


def test_account_without_code_is_no_token(settled: Settled, alice: Person, bob: Person) -> None:
    with boa.reverts():
        settled.deposit(alice, 100 * UNIT, token=bob.address)


@pytest.mark.parametrize(("decimals", "unit"), [(0, 1), (6, 1), (9, 1), (10, 10), (18, 10**9), (36, 10**27)])
def test_unit_fits_the_token(settled: Settled, alice: Person, bob: Person, decimals: int, unit: int) -> None:
    token = _strange(NOTHING, decimals=decimals)
    token.give(alice.address, 7 * unit)
    settled.deposit(alice, 7 * unit, token=token.address)
    settled.redeem(alice, bob, 3 * unit + unit // 2, token=token.address)
    assert settled.state(alice, bob, token.address).redeemed == 3 * unit
    assert settled.deposit_of(alice, token.address) == 4 * unit


def test_absurdly_fine_token_is_refused(settled: Settled, alice: Person) -> None:
    with boa.reverts("bad_decimals"):
        settled.deposit(alice, UNIT, token=_strange(NOTHING, alice, decimals=37).address)


def test_unit_of_a_token_never_changes(settled: Settled, alice: Person, bob: Person) -> None:
    token = _strange(NOTHING, alice, decimals=6)
    settled.deposit(alice, 10, token=token.address, worker=bob.address)
    token.eval("self.decimals = 18")
    settled.deposit(alice, 5, token=token.address, worker=bob.address)
    assert settled.state(alice, bob, token.address).allotted == 15


def test_voucher_over_a_token_nobody_deposited_pays_nothing(
    settled: Settled, alice: Person, bob: Person
) -> None:
    with boa.reverts("nothing_to_redeem"):
        settled.redeem(alice, bob, UNIT, token=_strange(NOTHING).address)


def test_token_that_calls_back_gets_nothing_twice(settled: Settled, alice: Person) -> None:
    contract, token = settled.settlement, _strange(REENTRANT, alice)
    settled.deposit(alice, 100 * UNIT, token=token.address)
    contract.request_withdrawal(token.address, 60 * UNIT, sender=alice.address)
    boa.env.time_travel(seconds=2 * DAY)
    calls = [
        contract.withdraw.prepare_calldata(token.address, alice.address),
        contract.collect.prepare_calldata(token.address, alice.address),
        contract.deposit.prepare_calldata(ETH, 0),
        contract.pay_fees.prepare_calldata(settled.token.address),
    ]
    for data in calls:
        token.arm(contract.address, data)
        with boa.env.anchor():
            assert contract.withdraw(token.address, alice.address, sender=alice.address) == 60 * UNIT
            assert token.was_called()
            assert not token.is_answered()
            assert token.balanceOf(contract.address) == 40 * UNIT


def test_account_that_calls_back_when_paid_gets_nothing_twice(settled: Settled, alice: Person) -> None:
    contract = settled.settlement
    thief = deploy("Reentrant", folder=TEST_SOURCES)
    settled.deposit(alice, 100, token=ETH)
    boa.env.set_balance(thief.address, 10)
    thief.act(contract.address, contract.deposit.prepare_calldata(ETH, 10), 10)
    thief.act(contract.address, contract.request_withdrawal.prepare_calldata(ETH, 10), 0)
    boa.env.time_travel(seconds=2 * DAY)
    withdraw = contract.withdraw.prepare_calldata(ETH, thief.address)
    thief.arm(contract.address, withdraw)
    thief.act(contract.address, withdraw, 0)
    assert thief.was_called()
    assert not thief.is_answered()
    assert boa.env.get_balance(thief.address) == 10
    assert boa.env.get_balance(contract.address) == 100


def test_pool_that_calls_back_when_fees_are_paid_gets_nothing_twice(
    settled: Settled, alice: Person, bob: Person
) -> None:
    contract, pool = settled.settlement, deploy("Reentrant", folder=TEST_SOURCES)
    settled.set_parameter(BONUS_POOL, int(pool.address, 16))
    settled.deposit(alice, 10 * UNIT, token=ETH)
    settled.redeem(alice, bob, 10 * UNIT, token=ETH)
    fees = contract.fees(ETH)
    pool.arm(contract.address, contract.pay_fees.prepare_calldata(ETH))
    assert contract.pay_fees(ETH) == fees > 0
    assert pool.was_called()
    assert not pool.is_answered()
    assert (contract.fees(ETH), boa.env.get_balance(pool.address)) == (0, fees // 2)
