"""A redemption that a reorganisation takes away is sent again, and pays once."""

import pytest
import trio

from skyops_p2p.adapters.chain import JournalledSender, KeySigner, open_sender
from skyops_p2p.adapters.chain.endpoint import Endpoint
from skyops_p2p.adapters.chain.sender import SenderTerms
from skyops_p2p.adapters.contracts.money import ContractMoney
from skyops_p2p.adapters.memory import MemoryDisk, open_memory_store
from skyops_p2p.core.chain.transaction import TransactionState
from skyops_p2p.types import Wei
from tests.ports.money.conftest import ALICE, BOB, ONE, PATIENCE_S, Market, account

pytestmark = [pytest.mark.process, pytest.mark.net]


async def _until_redeemed(market: Market, money: ContractMoney, amount: int) -> None:
    with trio.fail_after(PATIENCE_S):
        while (await money.pair_funds(account(ALICE), account(BOB))).redeemed != amount:  # noqa: ASYNC110 - the chain moves it
            await trio.sleep(0.02)


async def _until_in_block(sender: JournalledSender) -> int:
    """Wait until a sender has seen its only order in a block; return the order's nonce."""
    with trio.fail_after(PATIENCE_S):
        while (order := sender.waiting()[0]).state is not TransactionState.MINED:  # noqa: ASYNC110 - as above
            await trio.sleep(0.02)
    return order.nonce


async def _until_offered(market: Market, nonce: int) -> None:
    with trio.fail_after(PATIENCE_S):
        while await market.chain.nonce(BOB.address) <= nonce:  # noqa: ASYNC110 - pools tell nobody
            await trio.sleep(0.02)


@pytest.mark.parametrize("market", ["embedded", "anvil"], indirect=True)
async def test_redemption_that_a_reorg_takes_away_pays_once(market: Market) -> None:
    settlement, token = market.contracts.settlement, market.contracts.places.token
    async with market.money(ALICE) as money:
        await money.approve("approve", settlement.account, Wei(10 * ONE))
        await money.do("deposit", settlement.deposit(token, Wei(10 * ONE)))
    endpoint = Endpoint(market.url)
    terms = SenderTerms(confirmations=3, poll_s=0.05, fee_wei_max=Wei(100 * 10**9))
    try:
        async with (
            open_memory_store(MemoryDisk()) as store,
            open_sender(market.chain, KeySigner(BOB), store, terms=terms) as sender,
        ):
            money = ContractMoney(market.contracts, sender)
            await money.redeem("redeem", [market.voucher(ALICE, BOB, 4 * ONE)])
            await _until_redeemed(market, money, 4 * ONE)
            nonce = await _until_in_block(sender)
            assert sender.outcome("redeem") is None
            await endpoint.ask(
                "evm_setAutomine", False
            )  # else it may be in a block again before anybody looks
            await endpoint.ask("anvil_rollback", 1)
            assert (await money.pair_funds(account(ALICE), account(BOB))).redeemed == 0
            await _until_offered(market, nonce)
            await endpoint.ask("anvil_mine", hex(1))
            await _until_redeemed(market, money, 4 * ONE)
            await endpoint.ask("anvil_mine", hex(6))
            await money.confirm("redeem")
            funds = await money.pair_funds(account(ALICE), account(BOB))
            assert (funds.redeemed, funds.shared) == (4 * ONE, 6 * ONE)
            assert await settlement.credit(account(BOB), token) == 4 * ONE * 97 // 100 * 9 // 10
    finally:
        await endpoint.aclose()
