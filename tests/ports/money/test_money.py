"""The port Money over the contracts: a pair is paid, from the deposit to the worker's purse, on both chains."""

import pytest

from skyops_p2p.core.settlement.funds import NO_ACCOUNT, RedemptionQuote
from skyops_p2p.errors import ChainRefusal
from skyops_p2p.types import Wei
from tests.ports.money.conftest import ALICE, BOB, CAROL, ONE, Market, account

pytestmark = pytest.mark.net

BOTH = pytest.mark.parametrize(
    "market", ["embedded", pytest.param("anvil", marks=pytest.mark.process)], indirect=True
)
HOUR = 3600


async def _deposit(market: Market, amount: int) -> None:
    settlement, token = market.contracts.settlement, market.contracts.places.token
    async with market.money(ALICE) as money:
        await money.approve("approve", settlement.account, Wei(amount))
        await money.do("deposit", settlement.deposit(token, Wei(amount)))


@BOTH
async def test_a_pair_is_paid_from_deposit_to_purse(market: Market) -> None:
    settlement, token = market.contracts.settlement, market.contracts.places.token
    await _deposit(market, 100 * ONE)
    async with market.money(ALICE) as money:
        await money.allot("allot", account(BOB), Wei(30 * ONE))
        await money.confirm("allot")
        funds = await money.pair_funds(account(ALICE), account(BOB))
        assert await money.coin_price() == 1000
    assert (funds.allotted, funds.shared, funds.redeemed) == (30 * ONE, 70 * ONE, 0)
    assert (funds.returns_at_unix_s, funds.held_until_unix_s, funds.receipts_root) == (None, 0, bytes(32))
    root = bytes([7]) * 32
    voucher = market.voucher(ALICE, BOB, 40 * ONE, root=root)
    async with market.money(BOB) as money:
        quote = await money.quote([voucher])
        assert (
            quote.credited == 40 * ONE * 97 // 100 * 9 // 10
        )  # less the fee of 3 %, then the holdback of 10 %
        assert quote.gas > 50_000
        assert quote.fee_wei > quote.gas
        await money.redeem("redeem", [voucher])
        assert (await money.confirm("redeem")).gas_used <= quote.gas * 5 // 4
        funds = await money.pair_funds(account(ALICE), account(BOB))
        assert (funds.redeemed, funds.allotted, funds.shared) == (40 * ONE, 0, 60 * ONE)
        assert (funds.held, funds.receipts_root) == (40 * ONE * 97 // 1000, root)
        assert await settlement.credit(account(BOB), token) == quote.credited
        assert await money.quote([voucher]) == RedemptionQuote(Wei(0), 0, Wei(0))
        with pytest.raises(ChainRefusal) as refused:
            await money.release("early", account(ALICE))
        assert (refused.value.code, refused.value.reason) == ("call_reverted", "too_soon")
        with pytest.raises(ChainRefusal) as refused:
            await money.quote_release(account(ALICE))
        assert (refused.value.code, refused.value.reason) == ("call_reverted", "too_soon")
        await market.pass_until(funds.held_until_unix_s)
        freed = await money.quote_release(account(ALICE))
        assert freed.credited == funds.held
        assert freed.fee_wei > freed.gas > 21_000
        await money.release("late", account(ALICE))
        await money.confirm("late")
        assert await money.quote_release(account(ALICE)) == RedemptionQuote(Wei(0), 0, Wei(0))
        await money.do("collect", settlement.collect(token, account(BOB)))
        assert await market.contracts.token.balance(account(BOB)) == 10_000 * ONE + 40 * ONE * 97 // 100


@BOTH
async def test_vouchers_of_several_requesters_are_redeemed_in_one_transaction(market: Market) -> None:
    await _deposit(market, 10 * ONE)
    vouchers = [market.voucher(ALICE, BOB, 4 * ONE), market.voucher(CAROL, BOB, 5 * ONE)]
    async with market.money(BOB) as money:
        quote = await money.quote(vouchers)
        assert quote.credited == 4 * ONE * 97 // 100 * 9 // 10  # carol has deposited nothing: passed over
        await money.redeem("both", vouchers)
        await money.confirm("both")
        assert (await money.pair_funds(account(ALICE), account(BOB))).redeemed == 4 * ONE
        assert (await money.pair_funds(account(CAROL), account(BOB))).redeemed == 0


async def test_a_key_is_sent_once_also_by_the_next_process(market: Market) -> None:
    await _deposit(market, 10 * ONE)
    for _ in range(2):
        async with market.money(ALICE) as money:
            await money.allot("allot-bob-1", account(BOB), Wei(4 * ONE))
            await money.confirm("allot-bob-1")
    async with market.money(ALICE) as money:
        funds = await money.pair_funds(account(ALICE), account(BOB))
    assert (funds.allotted, funds.shared) == (4 * ONE, 6 * ONE)


@BOTH
async def test_refusals_say_what_the_contract_means(market: Market) -> None:
    settlement, token = market.contracts.settlement, market.contracts.places.token
    async with market.money(ALICE) as money:
        with pytest.raises(ChainRefusal) as refused:
            await money.allot("too much", account(BOB), Wei(1 * ONE))
        assert (refused.value.code, refused.value.reason) == ("call_reverted", "deposit_too_small")
        assert refused.value.message == "the deposit does not hold so much (deposit_too_small)"
        assert money.outcome("too much") is None
        with pytest.raises(ChainRefusal) as refused:
            await money.do("deposit", settlement.deposit(token, Wei(1 * ONE)))
        assert refused.value.reason == "allowance_too_small"
    forged = market.voucher(CAROL, BOB, 1 * ONE).model_copy(update={"requester": account(ALICE)})
    async with market.money(BOB) as money:
        with pytest.raises(ChainRefusal) as refused:
            await money.quote([forged])
        assert refused.value.reason == "bad_signature"


async def test_coin_is_deposited_withdrawn_and_taken_back(market: Market) -> None:
    settlement = market.contracts.settlement
    bob = account(BOB)
    async with market.money(ALICE) as money:
        await money.do("deposit", settlement.deposit(NO_ACCOUNT, Wei(2 * ONE)))
        await money.do("more", settlement.deposit(NO_ACCOUNT, Wei(1 * ONE), bob))
        assert await settlement.deposited(money.account, NO_ACCOUNT) == 2 * ONE
        await money.do("return", settlement.request_return(bob, NO_ACCOUNT))
        await money.do("withdrawal", settlement.request_withdrawal(NO_ACCOUNT, Wei(3 * ONE // 2)))
        asked = await settlement.withdrawal(money.account, NO_ACCOUNT)
        pair = await settlement.pair(money.account, bob, NO_ACCOUNT)
        assert (asked.amount, pair.allotted) == (3 * ONE // 2, ONE)
        assert pair.returns_at_unix_s is not None
        with pytest.raises(ChainRefusal) as refused:
            await money.do("early", settlement.withdraw(NO_ACCOUNT, money.account))
        assert refused.value.reason == "too_soon"
        await market.pass_until(asked.ready_at_unix_s)
        await money.do("withdraw", settlement.withdraw(NO_ACCOUNT, money.account))
        await money.do("back", settlement.take_back(bob, NO_ACCOUNT))
        assert await settlement.deposited(money.account, NO_ACCOUNT) == 3 * ONE // 2


@BOTH
async def test_a_permit_saves_the_approval(market: Market) -> None:
    at = market.contracts
    deadline = (await market.chain.head()).timestamp_unix_s + HOUR
    signature = await at.token.sign_permit(
        ALICE, at.settlement.account, Wei(5 * ONE), chain_id=31337, deadline_unix_s=deadline
    )
    order = at.settlement.deposit_with_permit(
        at.places.token, Wei(5 * ONE), account(BOB), deadline_unix_s=deadline, signature=signature
    )
    async with market.money(ALICE) as money:
        await money.do("deposit", order)
        assert (await money.pair_funds(money.account, account(BOB))).allotted == 5 * ONE


async def test_all_stakes_together_and_blocks_by_their_time(market: Market) -> None:  # PRB-2, PRB-3
    chain, registry = market.contracts.chain, market.contracts.registry
    async with market.money(ALICE) as money:
        before = await money.staked()
        await money.approve("approve", registry.account, Wei(200 * ONE))
        await money.do("register", registry.register(bytes([1]) * 32, "", Wei(200 * ONE)))
        after = await money.staked()
        assert after - before == (await money.stake_of(account(ALICE))).amount > 0
        head, first = await chain.head(), await chain.block(0)
        assert first is not None
        assert await money.block_before(head.timestamp_unix_s) == head.hash
        assert await money.block_before(first.timestamp_unix_s - 1) == first.hash
        middle = await chain.block(head.number // 2)
        assert middle is not None
        found = await money.block_before(middle.timestamp_unix_s)
        times = {
            block.hash: block.timestamp_unix_s
            for n in range(head.number + 1)
            if (block := await chain.block(n))
        }
        assert times[found] == middle.timestamp_unix_s
