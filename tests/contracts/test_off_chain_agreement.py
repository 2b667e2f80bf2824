"""What the package signs and works out is what the compiled contracts take and pay."""

from dataclasses import replace
from typing import Any

import boa
import pytest
from boa.contracts.vyper.vyper_contract import VyperContract
from hypothesis import given, settings
from hypothesis import strategies as st

from skyops_p2p.core.settlement import pay_events as ev
from skyops_p2p.core.settlement import prices
from skyops_p2p.core.settlement.meters import Counts
from skyops_p2p.core.settlement.receipts import (
    ChainPlace,
    ReceiptWatch,
    equivocation,
    leaf_of,
    open_signed,
    sign_half,
    with_half,
)
from skyops_p2p.core.settlement.trees import prove
from skyops_p2p.core.settlement.vouchers import PairTerms, compact, sign_voucher
from skyops_p2p.crypto.typed_data import permit_digest
from skyops_p2p.crypto.wallet import Wallet, address_to_bytes
from skyops_p2p.types import WalletAddress
from skyops_p2p.wire.messages.settlement import Receipt, Voucher, VoucherItemPart
from skyops_p2p.wire.model import decode_message, encode_message
from tests.contracts.chain import DAY, ETH, HOUR, UNIT, Person, person, sha256
from tests.contracts.court import STAKE, Court
from tests.contracts.settled import SUPPLY, Settled
from tests.contracts.test_reservations import Reserved
from tests.unit.core.settlement.pair_world import FACTS, World, terms

GWEI = 10**9
NOBODY = bytes(20)


def account(contract: VyperContract | Person) -> bytes:
    return address_to_bytes(WalletAddress(contract.address))


def pair_of(settled: Settled, disputes: bytes = NOBODY, *, holdback_bps: int = 1000) -> PairTerms:
    """Return what alice and bob agree on, by the deployed contracts."""
    return PairTerms(
        network="testnet-4f2a",
        chain_id=boa.env.evm.chain.chain_id,
        contract=account(settled.settlement),
        disputes=disputes,
        token=account(settled.token),
        requester=account(person("alice")),
        worker=account(person("bob")),
        holdback_bps=holdback_bps,
    )


def wallet(owner: Person) -> Wallet:
    return Wallet.from_secret(owner.secret)


def taken_by_contract(voucher: Voucher) -> tuple[Any, ...]:
    """Return a voucher as the contract takes it."""
    amount = int.from_bytes(voucher.cumulative, "big")
    rest = voucher.holdback_bps, voucher.receipts_root, *compact(voucher.signature)
    return person("alice").address, amount, *rest


def three_jobs(pair: PairTerms) -> tuple[World, list[Receipt]]:
    """Have alice buy three jobs of bob; return both sides and the receipts, in the order of their tree."""
    world = World(pair=pair, wallets=(wallet(person("alice")), wallet(person("bob"))))
    world.both(ev.FundsSeen(0, 100 * UNIT, 0))
    lanes = [world.begin(terms(number, rate_wei=number * UNIT)) for number in (1, 2, 3)]
    world.settle()
    for lane, seconds in zip(lanes, (5, 31, 7), strict=True):
        world.pass_time(seconds)
        world.finish(lane, FACTS.model_copy(update={"result": sha256(lane)}))
        world.settle()
    kept = [
        effect for effect in world.effects_of("bob", ev.KeepReceipt) if isinstance(effect, ev.KeepReceipt)
    ]
    assert [effect.index for effect in kept] == [0, 1, 2]
    assert [effect.data for effect in kept] == [
        effect.data for effect in world.effects_of("alice", ev.KeepReceipt)
    ]  # type: ignore[attr-defined]
    return world, [open_signed(effect.data, pair.domain)[0] for effect in kept]


def words_of(receipt: Receipt) -> tuple[Any, ...]:
    """Return a receipt as `prove_receipt` takes it."""
    hashes = receipt.lane, receipt.result, receipt.log_head, receipt.metering_root
    return *hashes, int.from_bytes(receipt.amount, "big"), receipt.ended_unix_ms // 1000


def test_newest_voucher_of_a_pair_is_redeemed_and_each_receipt_proven(
    settled: Settled, alice: Person, bob: Person
) -> None:  # SET-9, SET-14, SET-23
    pair = pair_of(settled)
    world, receipts = three_jobs(pair)
    voucher = world.payee.account.voucher
    assert voucher is not None
    contract, where = settled.settlement, (bob.address, settled.token.address)
    before = settled.deposit_of(alice)
    credited = contract.redeem(*where, taken_by_contract(voucher), sender=bob.address)
    due = prices.redemption(
        world.payee.account.cumulative, 0, before, holdback_bps=pair.holdback_bps, unit=pair.unit_wei
    )
    state = settled.state(alice, bob)
    assert (credited, state.held, state.redeemed) == (due.credited, due.held, due.taken)
    assert before - settled.deposit_of(alice) == due.taken
    assert sum(int.from_bytes(one.amount, "big") for one in receipts) == world.payee.account.cumulative
    leaves = tuple(leaf_of(receipt) for receipt in receipts)
    for index, receipt in enumerate(receipts):
        proof, words = prove(leaves, index), words_of(receipt)
        place = proof.index, proof.count, list(proof.path)
        assert contract.prove_receipt(alice.address, *where, words, *place)
        for position in range(6):
            other = [word + 1 if isinstance(word, int) else sha256(word) for word in words]
            changed = (*words[:position], other[position], *words[position + 1 :])
            assert not contract.prove_receipt(alice.address, *where, changed, *place)


def test_an_older_voucher_of_the_pair_brings_nothing_more(settled: Settled, bob: Person) -> None:  # SET-11
    world, _ = three_jobs(pair_of(settled))
    signed = {m.cumulative: m for m in world.sent("alice", Voucher) if isinstance(m, Voucher)}
    older, *_, newest = signed.values()
    contract, where = settled.settlement, (bob.address, settled.token.address)
    assert contract.redeem(*where, taken_by_contract(newest), sender=bob.address) > 0
    with boa.reverts("nothing_to_redeem"):
        contract.redeem(*where, taken_by_contract(older), sender=bob.address)


@pytest.mark.parametrize(
    "change", [{"chain_id": 2}, {"contract": NOBODY}, {"worker": NOBODY}, {"token": NOBODY}]
)
def test_voucher_for_something_else_is_not_redeemed(
    settled: Settled, bob: Person, change: dict[str, Any]
) -> None:  # SET-9
    pair = replace(pair_of(settled), **change)
    voucher = _voucher(pair, UNIT)
    with boa.reverts("bad_signature"):
        settled.settlement.redeem(
            bob.address, settled.token.address, taken_by_contract(voucher), sender=bob.address
        )


AMOUNT = st.one_of(st.integers(1, 200 * UNIT), st.integers(1, 10**12), st.integers(1, 200).map(GWEI.__mul__))


@settings(max_examples=25)
@given(AMOUNT, AMOUNT, st.integers(0, 100 * UNIT), st.integers(0, 100 * UNIT), st.integers(0, 10_000))
def test_contract_pays_what_the_formula_says(
    deployed: Settled, first: int, more: int, allotted: int, shared: int, holdback_bps: int
) -> None:  # SET-23
    alice, bob = person("alice"), person("bob")
    pair = pair_of(deployed, holdback_bps=holdback_bps)
    with boa.env.anchor():
        for amount, worker in ((allotted, bob.address), (shared, ETH)):
            if amount >= GWEI:
                deployed.deposit(alice, amount, worker=worker)
        credit = 0
        for cumulative in (first, first + more):
            state = deployed.state(alice, bob)
            funds = state.allotted + deployed.deposit_of(alice) // GWEI * GWEI
            due = prices.redemption(
                cumulative, state.redeemed, funds, holdback_bps=holdback_bps, unit=pair.unit_wei
            )
            fees = deployed.settlement.fees(deployed.token.address)
            _redeem(deployed, _voucher(pair, cumulative), is_worth_it=due.taken > 0)
            credit += due.credited
            now = deployed.state(alice, bob)
            assert (now.redeemed, now.held) == (state.redeemed + due.taken, state.held + due.held)
            assert deployed.settlement.fees(deployed.token.address) - fees == due.fee
            assert deployed.credit_of(bob) == credit
        assert prices.refund(funds, cumulative, state.redeemed) <= now.allotted + deployed.deposit_of(alice)


def _voucher(pair: PairTerms, cumulative: int) -> Voucher:
    item = VoucherItemPart(lane=bytes(32), interval=1, counts=Counts(1).part())
    signer = wallet(person("alice"))
    return sign_voucher(pair, signer, cumulative=cumulative, receipts_root=bytes(32), items=(item,))


def _redeem(settled: Settled, voucher: Voucher, *, is_worth_it: bool) -> None:
    where = person("bob").address, settled.token.address
    if is_worth_it:
        settled.settlement.redeem(*where, taken_by_contract(voucher), sender=where[0])
        return
    with boa.reverts("nothing_to_redeem"):
        settled.settlement.redeem(*where, taken_by_contract(voucher), sender=where[0])


# --- double histories ---------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def founded() -> Court:
    return Court()


@pytest.fixture
def court(founded: Court, _fresh_chain: None) -> Court:
    return founded


def test_two_receipts_for_one_place_are_slashed(court: Court, bob: Person, carol: Person) -> None:  # SET-17
    pair = pair_of(court.settled, account(court.disputes))
    _, receipts = three_jobs(pair)
    first, second = (
        with_half(data, worker=sign_half(data, ChainPlace(), wallet(bob), pair.domain)[0])
        for data in map(encode_message, receipts[:2])
    )
    watch = ReceiptWatch(pair.domain)
    assert watch.see(first) is None
    proof = watch.see(second)
    assert proof is not None
    assert proof == equivocation(first, second, pair.domain)
    compacted = [compact(signature) for signature in proof.signatures]
    said = (
        proof.lane,
        proof.sequence,
        list(proof.contents),
        [r for r, _ in compacted],
        [vs for _, vs in compacted],
    )
    assert court.disputes.prove_equivocation(bob.address, *said, sender=carol.address) == STAKE // 2
    assert court.stake_of(bob) == 0


def test_honest_chain_gives_the_contract_nothing_to_slash(
    court: Court, bob: Person, carol: Person
) -> None:  # SET-15
    pair = pair_of(court.settled, account(court.disputes))
    world, _ = three_jobs(pair)
    kept = [effect.data for effect in world.effects_of("bob", ev.KeepReceipt)]  # type: ignore[attr-defined]
    watch = ReceiptWatch(pair.domain)
    assert [watch.see(data) for data in kept] == [None, None, None]
    signed = [open_signed(data, pair.domain)[1] for data in kept]
    halves = [one.worker for one in signed if one.worker is not None]
    assert [half.sequence for half in halves] == [1, 2, 3]
    compacted = [compact(half.signature) for half in halves[:2]]
    contents = [sha256(b"one"), sha256(b"two")]
    with boa.reverts("bad_signature"):
        court.disputes.prove_equivocation(
            bob.address, sha256(b"skyops/receipts/1"), 1, contents,
            [r for r, _ in compacted], [vs for _, vs in compacted], sender=carol.address,
        )  # fmt: skip
    assert court.stake_of(bob) == STAKE


# --- reservations and permits -------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def reserved() -> Reserved:
    return Reserved()


@settings(max_examples=25)
@given(st.integers(1, 48), st.integers(1, 10 * UNIT), st.integers(0, 3 * DAY))
def test_early_exit_is_what_the_contract_shows_and_pays(
    reserved: Reserved, hours: int, rate: int, after_s: int
) -> None:  # SET-26
    alice, bob = person("alice"), person("bob")
    with boa.env.anchor():
        before = reserved.owed(alice)
        reservation = reserved.checked_in(alice, bob, hours, rate=rate)
        prepaid = reserved.contract.price_of(rate, hours)
        after_s = min(after_s, hours * HOUR - 1)
        used, fee, refund = reserved.contract.refund_of(reservation, boa.env.timestamp + after_s)
        assert (refund, fee) == prices.early_exit(prepaid, used)
        assert used + fee + refund == prepaid
        boa.env.time_travel(seconds=after_s)
        assert reserved.contract.leave(reservation, refund, sender=alice.address) == refund
        assert reserved.owed(alice) - before == refund


@settings(max_examples=10)
@given(st.integers(1, 20 * UNIT))
def test_no_show_costs_the_worker_an_hour_of_its_rate(reserved: Reserved, rate: int) -> None:  # SET-26
    alice, bob = person("alice"), person("bob")
    with boa.env.anchor():
        prepaid = reserved.contract.price_of(rate, 2)
        reservation = reserved.reserve(alice, bob, 2, rate=rate)
        boa.env.time_travel(seconds=HOUR + 1)
        assert reserved.contract.report_no_show(reservation, sender=alice.address) == prepaid
        assert reserved.owed(alice) == prepaid + prices.no_show(rate)


def test_permit_is_signed_for_the_token(settled: Settled, alice: Person, bob: Person) -> None:
    token = settled.token
    deadline = boa.env.timestamp + HOUR
    digest = permit_digest(
        chain_id=boa.env.evm.chain.chain_id,
        contract=account(token),
        owner=account(alice),
        spender=account(bob),
        amount=SUPPLY,
        nonce=token.nonces(alice.address),
        deadline_unix_s=deadline,
    )
    signature = wallet(alice).sign_digest(digest)
    parts = signature[64], signature[:32], signature[32:64]
    with boa.reverts("bad_signature"):
        token.permit(alice.address, bob.address, SUPPLY - 1, deadline, *parts)
    token.permit(alice.address, bob.address, SUPPLY, deadline, *parts)
    assert token.allowance(alice.address, bob.address) == SUPPLY


def test_receipt_survives_the_wire_and_has_the_leaf_that_was_proven(settled: Settled) -> None:  # SET-14
    _, receipts = three_jobs(pair_of(settled))
    for receipt in receipts:
        assert leaf_of(decode_message(Receipt, encode_message(receipt))) == leaf_of(receipt)
