"""A worker is accused of a result that a verdict calls wrong: the act of a person, against the real contracts."""

from dataclasses import replace

import pytest

from skyops_p2p.core.verification.charge import Charge
from skyops_p2p.crypto.wallet import Wallet, address_from_bytes
from skyops_p2p.node.wallet import actions as acts
from skyops_p2p.types import Wei
from tests.ports.money.conftest import ALICE, BOB, CAROL, ONE, Market, account
from tests.ports.money.test_purse import BINDING, Person, states

pytestmark = pytest.mark.net
AGE_S = 7 * 86_400


async def _charge(market: Market, worker: Wallet = BOB) -> Charge:
    return Charge(
        requester=account(ALICE),
        worker=account(worker),
        amount=Wei(20 * ONE),
        made_unix_s=(await market.chain.head()).timestamp_unix_s,
        commitment=bytes([1]) * 32,
        proof=bytes([2]) * 32,
    )


def _act(charge: Charge) -> acts.OpenResultDispute:
    return acts.OpenResultDispute(
        requester=address_from_bytes(charge.requester),
        worker=address_from_bytes(charge.worker),
        amount=charge.amount,
        made_unix_s=charge.made_unix_s,
        commitment=charge.commitment.hex(),
        proof=charge.proof.hex(),
    )


async def test_a_worker_is_accused_by_a_verdict(market: Market) -> None:
    alice, bob, carol = Person(market), Person(market, BOB), Person(market, CAROL)
    charge = await _charge(market)
    assert "half of which does not pay a jury" in (await carol.refused(_act(charge))).message
    await bob.act(acts.AddStake(amount=300 * ONE, binding=BINDING), "stake")

    refusals = {
        "its own work": (bob, charge),
        "does not cost its worker what a jury costs": (carol, replace(charge, amount=Wei(ONE))),
        "the verdict is too old": (carol, replace(charge, made_unix_s=charge.made_unix_s - AGE_S - 60)),
    }
    for text, (who, said) in refusals.items():
        refusal = await who.refused(_act(said))
        assert (refusal.code, text in refusal.message) == ("not_disputable", True), refusal.message
    async with carol.purse() as purse:
        plan = await purse.plan(_act(charge))
    assert "lets Disputes take the bond, 10 SKYOPS" in plan.steps[0].text

    assert states(await carol.act(_act(charge), "open")) == {"approve": "done", "open": "done"}
    found = await alice.dispute(charge.dispute)
    assert (found.phase, found.challenger, found.worker) == ("seed", CAROL.address, BOB.address)
    assert (found.amount_wei, found.worth_wei, found.bond_wei) == (20 * ONE, 20 * ONE, 10 * ONE)
    assert (found.proof, found.commitment) == (charge.proof.hex(), charge.commitment.hex())
    assert found.made_unix_s == charge.made_unix_s
    assert "by this verdict before" in (await alice.refused(_act(charge))).message
    assert (await bob.stake()).holds == 1

    # a worth above what is at stake counts for that, and the bond with it
    dear = replace(charge, amount=Wei(10**6 * ONE), commitment=bytes([3]) * 32)
    await alice.act(_act(dear), "dear")
    found = await alice.dispute(dear.dispute)
    assert (found.worth_wei, found.bond_wei) == (300 * ONE, 150 * ONE)
    assert not await market.contracts.disputes.is_charged(charge.commitment)
    assert not any((await market.contracts.disputes.result(bytes(32))).commitment)
