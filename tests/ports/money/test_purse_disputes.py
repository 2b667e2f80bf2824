"""A dispute about a receipt from its opening to the pay of its jury, by the acts of the people in it."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from skyops_p2p.adapters.chain.endpoint import Endpoint
from skyops_p2p.adapters.contracts.disputes import dispute_id
from skyops_p2p.cli.main import run_main
from skyops_p2p.core.settlement.amounts import wei_to_bytes
from skyops_p2p.core.settlement.receipts import DisputesDomain, leaf_of
from skyops_p2p.errors import ExecutionError
from skyops_p2p.node.control_client import ControlClient
from skyops_p2p.node.settlement.settlement_views import ReceiptView
from skyops_p2p.node.wallet import actions as acts
from skyops_p2p.node.wallet.dispute_steps import best_ticket, opened_receipt
from skyops_p2p.types import Wei
from tests.ports.money.conftest import ALICE, BOB, CAROL, ONE, Market, account, pay, person
from tests.ports.money.test_purse import BINDING, HASH, Person, states
from tests.unit.cli.fake_client import stand_in_front
from tests.vectors.signed_receipt_cases import receipt, signed_receipt

pytestmark = pytest.mark.net
ERIN, FRANK = person("erin"), person("frank")
AMOUNT = 20 * ONE


async def _open_receipt(market: Market) -> acts.OpenDispute:
    """Have bob paid for a job by alice, and return the challenge of its receipt, the only one of the pair."""
    places = market.contracts.places
    one = receipt(
        chain_id=market.chain.chain_id,
        contract=places.settlement,
        token=places.token,
        requester=account(ALICE),
        worker=account(BOB),
        amount=wei_to_bytes(AMOUNT),
        ended_unix_ms=(await market.chain.head()).timestamp_unix_s * 1000,
    )
    await Person(market).act(acts.Deposit(symbol="SKYOPS", amount=50 * ONE), "in")
    async with market.money(BOB) as money:
        await money.redeem("redeem", [market.voucher(ALICE, BOB, AMOUNT, root=leaf_of(one))])
        await money.confirm("redeem")
    signed = signed_receipt(
        one, requester=ALICE, worker=BOB, domain=DisputesDomain(market.chain.chain_id, places.disputes)
    )
    return acts.OpenDispute(receipt=signed.hex(), index=0, count=1, path=(), evidence=HASH)


async def _seat_people(market: Market) -> tuple[Person, Person, Person]:
    """Give erin and frank money, and all jurors and bob a stake."""
    async with market.money(ALICE) as money:
        for wallet in (ERIN, FRANK):
            await money.do(f"coin-{wallet.address}", pay(wallet, ONE))
            tokens = market.contracts.token.transfer(account(wallet), Wei(500 * ONE))
            await money.do(f"tokens-{wallet.address}", tokens)
    people = [Person(market, wallet) for wallet in (CAROL, ERIN, FRANK, BOB)]
    for one in people:
        await one.act(acts.AddStake(amount=300 * ONE, binding=BINDING), "stake")
    carol, erin, frank, _ = people
    return carol, erin, frank


async def test_a_receipt_is_challenged_judged_and_paid_out(market: Market) -> None:
    alice, bob, jurors = Person(market), Person(market, BOB), await _seat_people(market)
    challenge = await _open_receipt(market)
    refusal = await bob.refused(challenge)
    assert (refusal.code, "its own work" in refusal.message) == ("not_disputable", True)
    later = challenge.model_copy(update={"count": 2, "path": (HASH,)})
    assert "newest redemption" in (await alice.refused(later)).message
    assert set(states(await alice.act(challenge, "open")).values()) == {"done"}
    token = market.contracts.places.token
    assert "disputed before" in (await alice.refused(challenge)).message
    lane = opened_receipt(challenge.receipt, market.chain.chain_id, market.contracts.places.disputes).lane
    dispute = dispute_id(account(ALICE), account(BOB), token, lane)
    name = dispute.hex()
    assert (await alice.dispute(dispute)).bond_wei == AMOUNT // 2
    endpoint = Endpoint(market.url)
    for _ in range(3):  # the seed is the hash of a block that comes after
        await endpoint.ask("evm_mine")
    await endpoint.aclose()
    advance = acts.Advance(dispute=name)
    assert states(await bob.act(advance, "seed")) == {"fix-seed-0": "done"}

    for number, juror in enumerate(jurors, 1):
        await juror.act(acts.Enrol(dispute=name), "enrol")
        assert len((await alice.dispute(dispute)).seats) == number
    assert (await bob.refused(acts.Enrol(dispute=name))).reason == "is_party"
    await market.pass_until((await alice.dispute(dispute)).until_unix_s)
    await alice.act(advance, "close-draw")
    votes = [
        acts.Vote(dispute=name, is_worker_right=is_right, finding=HASH) for is_right in (False, False, True)
    ]
    for juror, vote in zip(jurors, votes, strict=True):
        assert states(await juror.act(vote, "sealed")) == {"commit": "done"}
    await market.pass_until((await alice.dispute(dispute)).until_unix_s)
    other = votes[0].model_copy(update={"is_worker_right": True})
    assert (await jurors[0].refused(other)).reason == "bad_commitment"
    for juror, vote in zip(jurors, votes, strict=True):
        assert states(await juror.act(vote, "opened")) == {"reveal": "done"}
    await market.pass_until((await alice.dispute(dispute)).until_unix_s)
    await bob.act(advance, "count")
    found = await alice.dispute(dispute)
    assert (found.verdict, found.rights, found.wrongs, found.phase) == ("worker_wrong", 1, 2, "appeal")
    appeal = acts.Appeal(dispute=name, evidence=HASH)
    assert (await alice.refused(appeal)).code == "not_disputable"
    async with bob.purse() as purse:
        plan = await purse.plan(appeal)
    assert "lets Disputes take the bond, 20 SKYOPS" in plan.steps[0].text

    await market.pass_until(found.until_unix_s)
    await alice.act(advance, "carry-out")
    await alice.act(advance, "settle")
    seen = await alice.dispute(dispute)
    assert (seen.phase, seen.is_settled) == ("closed", True)
    assert (await bob.stake()).stake_wei == 300 * ONE - 10 * AMOUNT
    carol, _, frank = jurors
    assert (await carol.balance()).tokens[0].owed_wei == ONE
    assert ((await frank.balance()).tokens[0].owed_wei, (await frank.stake()).stake_wei) == (0, 299 * ONE)


async def test_a_receipt_that_was_exported_is_challenged_by_somebody_else(
    market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    challenge = await _open_receipt(market)
    opened = opened_receipt(challenge.receipt, market.chain.chain_id, market.contracts.places.disputes)
    root = leaf_of(opened)
    view = ReceiptView(
        lane=opened.lane.hex(),
        receipt=challenge.receipt,
        is_signed_by_both=True,
        index=0,
        count=1,
        path=(),
        leaf=root.hex(),
        root=root.hex(),
        is_on_chain=True,
        amount_wei=AMOUNT,
        outcome=opened.outcome,
        result=opened.result.hex(),
    )
    stand_in_front(monkeypatch)
    monkeypatch.setattr(ControlClient, "payments", property(lambda _client: _OneReceipt(view)))
    target, evidence = tmp_path / "receipt.json", tmp_path / "comparison.txt"
    evidence.write_text("two files differ")
    assert run_main(["receipts", "--lease", view.lane, "--export", str(target)]) == 0
    assert "on chain yet" not in capsys.readouterr().out
    acted: list[acts.OpenDispute] = []

    def note(_invocation: object, action: acts.OpenDispute, _options: object, *, then: str) -> int:
        acted.append(action)
        assert then.startswith("Dispute ")
        return 0

    monkeypatch.setattr("skyops_p2p.cli.dispute.perform", note)
    assert run_main(["dispute", "open", str(target), "--evidence", str(evidence)]) == 0
    carol = Person(market, CAROL)
    assert set(states(await carol.act(acted[0], "open")).values()) == {"done"}
    case = dispute_id(account(ALICE), account(BOB), market.contracts.places.token, opened.lane)
    found = await carol.dispute(case)
    assert (found.bond_wei, found.challenger) == (AMOUNT // 2, CAROL.address)
    target.write_text("{}")
    assert run_main(["dispute", "open", str(target), "--evidence", str(evidence)]) != 0
    assert "error[receipt_invalid]" in capsys.readouterr().err


@dataclass(frozen=True)
class _OneReceipt:
    """The payments of a node that knows one lease."""

    view: ReceiptView

    def receipt(self, lane: str) -> ReceiptView:
        assert lane == self.view.lane
        return self.view


async def test_a_receipt_of_other_contracts_is_no_challenge(market: Market) -> None:
    foreign = acts.OpenDispute(
        receipt=signed_receipt(receipt()).hex(), index=0, count=1, path=(), evidence=HASH
    )
    async with Person(market).purse() as purse:
        with pytest.raises(ExecutionError) as error:
            await purse.plan(foreign)
    assert (error.value.code, error.value.hint != "") == ("receipt_unusable", True)


def test_the_best_ticket_has_the_lowest_hash() -> None:
    seed, juror = bytes([5]) * 32, bytes([6]) * 20
    found = best_ticket(seed, juror, 50)
    assert best_ticket(seed, juror, found + 1) == found
    assert best_ticket(seed, juror, 1) == 0
    assert {best_ticket(bytes([n]) * 32, juror, 8) for n in range(40)} == set(range(8))
