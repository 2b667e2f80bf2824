"""Stake, jobs in escrow, disputes and reservations through their typed calls, on the embedded chain."""

import pytest

from skyops_p2p import limits
from skyops_p2p.adapters.contracts.disputes import commitment, dispute_id
from skyops_p2p.adapters.contracts.money import ContractMoney
from skyops_p2p.adapters.contracts.parameters import Parameter
from skyops_p2p.adapters.contracts.reservations import reservation_id, sign_offer
from skyops_p2p.adapters.contracts.settlement import leaf_tuple
from skyops_p2p.adapters.contracts.stake import RegistryStake
from skyops_p2p.core.settlement.contract_facts import (
    ReceiptLeaf,
    ReceiptPlace,
    ReservationOffer,
    StakeState,
)
from skyops_p2p.core.settlement.funds import NO_ACCOUNT
from skyops_p2p.core.settlement.receipts import DisputesDomain, equivocation
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.crypto.typed_data import statement_digest, usage_digest
from skyops_p2p.crypto.wallet import Wallet
from skyops_p2p.errors import ChainRefusal
from skyops_p2p.types import Wei
from tests.ports.money.conftest import ALICE, BOB, CAROL, ONE, Market, account
from tests.vectors.signed_receipt_cases import receipt, signed_receipt

pytestmark = pytest.mark.net

STAKE = Wei(1_000 * ONE)
HOUR = 3600


async def register(market: Market, wallet: Wallet) -> int:
    """Register and mark a node; return what was burned of its stake."""
    registry = market.contracts.registry
    async with market.money(wallet) as money:
        await money.approve("approve-stake", registry.account, STAKE)
        await money.do("register", registry.register(b"\5" * 32, "ipfs://about", STAKE))
        await money.do("mark", registry.mark([money.account]))
    return await market.contracts.parameters.value(Parameter.REGISTRATION_BURN)


async def deposit(market: Market, wallet: Wallet, amount: int) -> None:
    settlement, token = market.contracts.settlement, market.contracts.places.token
    async with market.money(wallet) as money:
        await money.approve("approve-deposit", settlement.account, Wei(amount))
        await money.do("deposit", settlement.deposit(token, Wei(amount)))


async def refusal_of(money: ContractMoney, key: str, order: object) -> str:
    """Return why a contract refuses an order."""
    with pytest.raises(ChainRefusal) as refused:
        await money.do(key, order)  # type: ignore[arg-type]
    return refused.value.reason


async def test_a_node_is_staked_marked_unbonded_and_leaves(market: Market) -> None:
    registry = market.contracts.registry
    burned = await register(market, BOB)
    bob = account(BOB)
    node = await registry.node(bob)
    assert (node.state, node.stake, node.unbonding, node.binding) == (
        StakeState.ACTIVE,
        STAKE - burned,
        0,
        b"\5" * 32,
    )
    assert await registry.metadata_uri(bob) == "ipfs://about"
    assert (await registry.node(account(CAROL))).state is StakeState.UNKNOWN
    async with market.money(BOB) as money:
        assert (
            await refusal_of(money, "again", registry.register(b"\5" * 32, "", STAKE)) == "registered_already"
        )
        await money.do("update", registry.update(b"\6" * 32, ""))
        await money.approve("approve-more", registry.account, Wei(5 * ONE))
        await money.do("more", registry.add_stake(Wei(5 * ONE)))
        await money.do("unstake", registry.unstake(Wei(STAKE + 5 * ONE - burned)))
        node = await registry.node(bob)
        assert (node.state, node.stake, node.binding) == (StakeState.INACTIVE, 0, b"\6" * 32)
        assert await refusal_of(money, "early", registry.withdraw_stake(bob)) == "too_soon"
        await market.pass_until(node.unbonded_at_unix_s)
        await money.do("leave", registry.withdraw_stake(bob))
    assert await market.contracts.token.balance(bob) == 10_000 * ONE - burned


async def test_a_stake_is_believed_for_a_minute(market: Market) -> None:
    now_s = [1000.0]
    stake = RegistryStake(market.contracts.registry, market.contracts.parameters, clock=lambda: now_s[0])
    assert not await stake.is_sufficient(BOB.address)
    await register(market, BOB)
    assert not await stake.is_sufficient(BOB.address)
    now_s[0] += limits.STAKE_KEPT_S
    assert await stake.is_sufficient(BOB.address)
    assert not await stake.is_sufficient(CAROL.address)


async def test_a_job_in_escrow_is_claimed_completed_and_paid(market: Market) -> None:
    settlement, token = market.contracts.settlement, market.contracts.places.token
    await register(market, BOB)
    await deposit(market, ALICE, 50 * ONE)
    deadline = (await market.chain.head()).timestamp_unix_s + HOUR
    terms = (b"\7" * 32, token, Wei(20 * ONE))
    order = settlement.post_job(*terms, worker=NO_ACCOUNT, deadline_unix_s=deadline)
    async with market.money(ALICE) as money:
        job = await market.chain.call(order, sender=ALICE.address)
        assert (await settlement.job(job)).state == 0
        await money.do("post", order)
    async with market.money(BOB) as money:
        await money.do("claim", settlement.on_job("claim", job))
        done = settlement.complete(
            job, execution_hash=b"\2" * 32, log_hash=b"\3" * 32, metering_hash=b"\4" * 32
        )
        await money.do("complete", done)
        assert await refusal_of(money, "cheeky", settlement.on_job("accept", job)) == "not_requester"
    found = await settlement.job(job)
    assert (found.requester, found.worker, found.payment, found.state) == (
        account(ALICE),
        account(BOB),
        20 * ONE,
        3,
    )
    assert (found.spec_hash, found.execution_hash, found.metering_hash) == (
        b"\7" * 32,
        b"\2" * 32,
        b"\4" * 32,
    )
    async with market.money(ALICE) as money:
        await money.do("accept", settlement.on_job("accept", job))
    assert await settlement.credit(account(BOB), token) == 20 * ONE * 97 // 100
    fees = market.contracts.settlement.pay_fees(token)
    async with market.money(CAROL) as money:
        await money.do("fees", fees)


async def test_a_paid_job_is_proven_disputed_and_stays_paid_without_a_jury(market: Market) -> None:
    at, token = market.contracts, market.contracts.places.token
    await register(market, BOB)
    await deposit(market, ALICE, 50 * ONE)
    alice, bob = account(ALICE), account(BOB)
    ended = (await market.chain.head()).timestamp_unix_s
    leaf = ReceiptLeaf(b"\1" * 32, b"\2" * 32, b"\3" * 32, b"\4" * 32, Wei(8 * ONE), ended)
    encoded = b"".join(
        value if isinstance(value, bytes) else value.to_bytes(32, "big") for value in leaf_tuple(leaf)
    )
    other = sha256(b"\0another")
    root = sha256(b"\1" + sha256(b"\0" + encoded) + other)
    place = ReceiptPlace(0, 2, (other,))
    async with market.money(BOB) as money:
        await money.redeem("redeem", [market.voucher(ALICE, BOB, 10 * ONE, root=root)])
        await money.confirm("redeem")
    assert await at.settlement.is_proven(alice, bob, token, leaf=leaf, place=place)
    assert not await at.settlement.is_proven(alice, bob, token, leaf=leaf, place=ReceiptPlace(1, 2, (other,)))
    case = dispute_id(alice, bob, token, leaf.job_id)
    assert (await at.disputes.case(case)).opened_at_unix_s == 0
    bond = await at.disputes.bond_for(token, leaf.amount)
    order = at.disputes.open_receipt(alice, bob, token, leaf=leaf, place=place, evidence=b"\x09" * 32)
    async with market.money(ALICE) as money:
        assert await refusal_of(money, "unpaid", order) == "allowance_too_small"
        await money.approve("bond", at.disputes.account, bond)
        await money.do("open", order)
        found = await at.disputes.case(case)
        assert (found.challenger, found.worker, found.amount, found.bond) == (alice, bob, leaf.amount, bond)
        assert (found.verdict, found.is_closed, found.job) == (0, False, bytes(32))
        assert await refusal_of(money, "again", order) == "disputed_already"
        jury = await at.disputes.jury_of(case, 0)
        drawn = await at.disputes.jury(jury)
        assert (drawn.size, drawn.seed, drawn.rights) == (7, bytes(32), 0)
        assert await refusal_of(money, "early", at.disputes.on_dispute("close_draw", case)) == "wrong_phase"
        await market.pass_until(drawn.draw_ends_unix_s)
        await money.do("close", at.disputes.on_dispute("close_draw", case))
        assert await at.disputes.seats(jury) == ()
        assert (await at.disputes.case(case)).is_closed
        assert await at.disputes.owed(alice) == bond


async def test_a_double_history_costs_the_whole_stake(market: Market) -> None:
    at = market.contracts
    burned = await register(market, BOB)
    contents = (b"\1" * 32, b"\2" * 32)
    lane = b"\x0a" * 32
    digests = (
        statement_digest(chain_id=31337, contract=at.disputes.account, lane=lane, sequence=7, content=content)
        for content in contents
    )
    first, second = (BOB.sign_digest(digest) for digest in digests)
    order = at.disputes.prove_equivocation(
        account(BOB), lane, 7, contents=contents, signatures=(first, second)
    )
    async with market.money(ALICE) as money:
        await money.do("prove", order)
        node = await at.registry.node(account(BOB))
        assert (node.state, node.stake) == (StakeState.SLASHED, 0)
        assert await at.disputes.owed(money.account) == (STAKE - burned) // 2
        await money.do("collect", at.disputes.collect(money.account))
        assert await at.token.balance(money.account) == 10_000 * ONE + (STAKE - burned) // 2


async def test_the_money_port_shows_a_double_history_once_and_only_where_there_is_something_to_slash(
    market: Market,
) -> None:  # SET-17, RCP-13
    at = market.contracts
    domain = DisputesDomain(market.chain.chain_id, at.disputes.account)
    receipts = [
        receipt(chain_id=market.chain.chain_id, worker=account(BOB), lane=bytes([n]) * 32) for n in (1, 2)
    ]
    signed = [signed_receipt(one, requester=None, worker=BOB, domain=domain) for one in receipts]
    history = equivocation(*signed, domain)
    assert history is not None
    async with market.money(CAROL) as money:
        assert not await money.accuse("stranger", history), "nobody has staked anything"
        burned = await register(market, BOB)
        assert (await money.stake_of(account(BOB))).amount == STAKE - burned
        assert await money.accuse("accuse", history)
        await money.confirm("accuse")
        found = await money.stake_of(account(BOB))
        assert (found.amount, found.is_slashed) == (0, True)
        assert await at.disputes.owed(money.account) == (STAKE - burned) // 2
        assert not await money.accuse("again", history), "it was taken already"


async def test_a_jury_is_named_and_a_vote_committed_as_the_contract_does(market: Market) -> None:
    at = market.contracts
    jury = await at.disputes.jury_of(b"\1" * 32, 0)
    assert (await at.disputes.jury(jury)).size == 0
    assert await at.disputes.seats(jury) == ()
    bob = account(BOB)
    assert commitment(jury, bob, vote=1, finding=b"\2" * 32, salt=b"\3" * 32) != commitment(
        jury, bob, vote=2, finding=b"\2" * 32, salt=b"\3" * 32
    )


async def test_a_reservation_is_taken_used_and_left(market: Market) -> None:
    at = market.contracts
    await register(market, BOB)
    now = (await market.chain.head()).timestamp_unix_s
    offer = ReservationOffer(
        account(BOB), at.places.token, Wei(2 * ONE), 1, 48, now + 7 * 24 * HOUR, b"\x0b" * 32
    )
    signature = sign_offer(BOB, offer, chain_id=31337, contract=at.reservations.account)
    price = await at.reservations.price(offer.rate, 10)
    assert (price, await at.reservations.discount_bps(10)) == (20 * ONE, 0)
    starts = now + HOUR
    reservation = reservation_id(31337, at.reservations.account, offer.worker, offer.salt)
    async with market.money(ALICE) as money:
        await money.approve("approve", at.reservations.account, price)
        await money.do(
            "reserve", at.reservations.reserve(offer, 10, starts, signature=signature, price=price)
        )
    state = await at.reservations.state(reservation)
    assert (state.requester, state.worker, state.prepaid) == (account(ALICE), account(BOB), price)
    assert (state.starts_at_unix_s, state.ends_at_unix_s, state.is_ended) == (
        starts,
        starts + 10 * HOUR,
        False,
    )
    usage = usage_digest(chain_id=31337, contract=at.reservations.account, reservation=reservation, used_s=60)
    await market.pass_until(starts)
    async with market.money(BOB) as money:
        await money.do("in", at.reservations.on_reservation("check_in", reservation))
        record = at.reservations.record_usage(reservation, 60, signature=ALICE.sign_digest(usage))
        await money.do("usage", record)
    assert (await at.reservations.state(reservation)).used_s == 60
    refund = await at.reservations.refund(reservation, starts + 4 * HOUR)
    assert (refund.used, refund.exit_fee, refund.refund) == (8 * ONE, 36 * ONE // 10, 84 * ONE // 10)
    async with market.money(ALICE) as money:
        await money.do("leave", at.reservations.leave(reservation, Wei(10 * ONE)))
        owed = await at.reservations.owed(money.account, at.places.token)
        await money.do("collect", at.reservations.collect(at.places.token, money.account))
    assert owed >= 10 * ONE
    assert (await at.reservations.state(reservation)).is_ended
