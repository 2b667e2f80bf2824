"""Wallets of a test network are given money: also as many workers as do not fit into one transaction."""

import hashlib
from functools import partial

import trio

from skyops_p2p.crypto.node_key import NodeKey
from skyops_p2p.testnet.chain.market import DEPOSITED, Person, give_money
from tests.ports.money.conftest import CHAIN_ID, PATIENCE_S, Market, account, person

WORKERS = 15
"""Marks of more than 13 did not fit into the gas of one transaction."""


async def test_every_worker_of_a_large_network_is_active(market: Market) -> None:
    people = [
        Person(person(name), NodeKey(hashlib.sha256(name.encode()).digest()), "testnet", is_worker=True)
        for name in (f"worker {number}" for number in range(WORKERS))
    ]
    with trio.fail_after(PATIENCE_S):
        await trio.to_thread.run_sync(partial(give_money, market.url, chain_id=CHAIN_ID, people=people))
        token = market.contracts.token.account
        for one in people:
            assert await market.contracts.registry.is_active(account(one.wallet))
            assert await market.contracts.settlement.deposited(account(one.wallet), token) == DEPOSITED
