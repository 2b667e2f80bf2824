"""SkyopsToken: ERC-20, burning, the faucet and EIP-2612 permits."""

import boa
import pytest
from boa.contracts.vyper.vyper_contract import VyperContract
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contracts.chain import DAY, ETH, UNIT, Person, deploy, domain_of, events, person

SUPPLY = 1000 * UNIT
PERMIT = [
    ("owner", "address"), ("spender", "address"), ("value", "uint256"), ("nonce", "uint256"), ("deadline", "uint256"),
]  # fmt: skip


@pytest.fixture
def token(alice: Person) -> VyperContract:
    return deploy("SkyopsToken", alice.address, SUPPLY, 0)


def _permit(
    token: VyperContract, owner: Person, spender: str, amount: int, nonce: int, deadline: int
) -> tuple:
    signed = owner.sign(
        domain_of("Skyops", token), PERMIT, _type="Permit",
        owner=owner.address, spender=spender, value=amount, nonce=nonce, deadline=deadline,
    )  # fmt: skip
    return signed.v, signed.r.to_bytes(32, "big"), signed.s.to_bytes(32, "big")


def test_whole_supply_is_the_holders(token: VyperContract, alice: Person) -> None:
    assert (token.name(), token.symbol(), token.decimals()) == ("Skyops", "SKYOPS", 18)
    assert token.totalSupply() == token.balanceOf(alice.address) == SUPPLY


def test_transfer_moves_and_is_logged(token: VyperContract, alice: Person, bob: Person) -> None:
    assert token.transfer(bob.address, 3, sender=alice.address) is True
    assert events(token) == [("Transfer", {"sender": alice.address, "receiver": bob.address, "value": 3})]
    assert (token.balanceOf(alice.address), token.balanceOf(bob.address)) == (SUPPLY - 3, 3)


def test_transfer_beyond_the_balance_or_to_nobody_is_refused(token: VyperContract, alice: Person) -> None:
    with boa.reverts("balance_too_small"):
        token.transfer(alice.address, SUPPLY + 1, sender=alice.address)
    with boa.reverts("bad_address"):
        token.transfer(ETH, 1, sender=alice.address)


def test_allowance_is_used_up(token: VyperContract, alice: Person, bob: Person, carol: Person) -> None:
    token.approve(bob.address, 5, sender=alice.address)
    token.transferFrom(alice.address, carol.address, 3, sender=bob.address)
    assert token.allowance(alice.address, bob.address) == 2
    with boa.reverts("allowance_too_small"):
        token.transferFrom(alice.address, carol.address, 3, sender=bob.address)
    token.approve(bob.address, 2**256 - 1, sender=alice.address)
    token.transferFrom(alice.address, carol.address, 3, sender=bob.address)
    assert token.allowance(alice.address, bob.address) == 2**256 - 1


def test_burning_takes_from_the_supply(token: VyperContract, alice: Person, bob: Person) -> None:
    token.burn(10, sender=alice.address)
    assert token.totalSupply() == token.balanceOf(alice.address) == SUPPLY - 10
    with boa.reverts("balance_too_small"):
        token.burn(1, sender=bob.address)


def test_permit_sets_the_allowance_once(
    token: VyperContract, alice: Person, bob: Person, mallory: Person
) -> None:
    deadline = boa.env.timestamp + 60
    v, r, s = _permit(token, alice, bob.address, 7, 0, deadline)
    token.permit(
        alice.address, bob.address, 7, deadline, v, r, s, sender=mallory.address
    )  # anybody may carry it
    assert token.allowance(alice.address, bob.address) == 7
    assert token.nonces(alice.address) == 1
    with boa.reverts("bad_signature"):  # replayed
        token.permit(alice.address, bob.address, 7, deadline, v, r, s, sender=bob.address)


def test_bad_permits_are_refused(token: VyperContract, alice: Person, bob: Person, mallory: Person) -> None:
    deadline = boa.env.timestamp + 60
    v, r, s = _permit(token, alice, bob.address, 7, 0, deadline)
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    high = (order - int.from_bytes(s, "big")).to_bytes(32, "big")
    bad = {
        "amount": (alice.address, bob.address, 8, deadline, v, r, s),
        "forged": (
            alice.address,
            bob.address,
            7,
            deadline,
            *_permit(token, mallory, bob.address, 7, 0, deadline),
        ),
        "high s": (alice.address, bob.address, 7, deadline, 55 - v, r, high),
        "other v": (alice.address, bob.address, 7, deadline, v - 27, r, s),
        "nobody": (ETH, bob.address, 7, deadline, 27, bytes(32), bytes(32)),
    }
    for arguments in bad.values():
        with boa.reverts("bad_signature"):
            token.permit(*arguments)
    boa.env.time_travel(seconds=61)
    with boa.reverts("permit_expired"):
        token.permit(alice.address, bob.address, 7, deadline, v, r, s)
    assert token.allowance(alice.address, bob.address) == 0


def test_permit_of_another_token_is_refused(token: VyperContract, alice: Person, bob: Person) -> None:
    other = deploy("SkyopsToken", alice.address, SUPPLY, 0)
    deadline = boa.env.timestamp + 60
    v, r, s = _permit(other, alice, bob.address, 7, 0, deadline)
    with boa.reverts("bad_signature"):
        token.permit(alice.address, bob.address, 7, deadline, v, r, s)
    assert token.DOMAIN_SEPARATOR() != other.DOMAIN_SEPARATOR()


def test_faucet_gives_once_a_day_where_there_is_one(token: VyperContract, alice: Person, bob: Person) -> None:
    with boa.reverts("no_faucet"):
        token.faucet(sender=bob.address)
    testing = deploy("SkyopsToken", alice.address, SUPPLY, 10)
    testing.faucet(sender=bob.address)
    with boa.reverts("faucet_too_soon"):
        testing.faucet(sender=bob.address)
    boa.env.time_travel(seconds=DAY)
    testing.faucet(sender=bob.address)
    assert testing.balanceOf(bob.address) == 20
    assert testing.totalSupply() == SUPPLY + 20


def test_supply_needs_a_holder() -> None:
    with boa.reverts("bad_address"):
        deploy("SkyopsToken", ETH, SUPPLY, 0)


STEPS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, SUPPLY)), max_size=12)


@given(steps=STEPS)
@settings(max_examples=15)
def test_balances_always_add_up_to_the_supply(steps: list[tuple[int, int, int]]) -> None:
    people = [person(name).address for name in ("alice", "bob", "carol")]
    with boa.env.anchor():
        token = deploy("SkyopsToken", people[0], SUPPLY, 0)
        for sender, receiver, amount in steps:
            if amount <= token.balanceOf(people[sender]):
                token.transfer(people[receiver], amount, sender=people[sender])
            else:
                with boa.reverts("balance_too_small"):
                    token.burn(amount, sender=people[sender])
        assert sum(map(token.balanceOf, people)) == token.totalSupply() == SUPPLY
