"""Blocks that the embedded chain takes back: gone wherever one looks, also after kill -9; payments are made once."""

import os
import signal
from pathlib import Path
from random import Random

import pytest
import trio

from skyops_p2p.adapters.chain import KeySigner
from skyops_p2p.adapters.memory import MemoryDisk
from skyops_p2p.core.chain.facts import Fees, Order
from skyops_p2p.core.chain.transaction import TransactionState
from skyops_p2p.crypto.wallet import address_to_bytes
from skyops_p2p.limits import CHAIN_REORG_BLOCKS_MAX
from skyops_p2p.testnet.chain.disk import ChainDisk
from skyops_p2p.testnet.chain.evm import EmbeddedChain
from skyops_p2p.testnet.chain.place import chain_place, start_chain, stop_chain
from skyops_p2p.testnet.chain.refusals import Refused
from skyops_p2p.testnet.processes import wait_state
from skyops_p2p.types import Wei
from tests.ports.chain.conftest import (
    ALICE,
    BOB,
    PATIENCE_S,
    World,
    pay,
    sending,
    until_offered,
    until_state,
    until_taken_back,
)

FEES = Fees(Wei(20 * 10**9), Wei(10**9))


def signed(nonce: int) -> tuple[bytes, bytes]:
    """Return a payment of Alice's of one wei more than its nonce, and its hash."""

    async def sign() -> tuple[bytes, bytes]:
        order = Order(BOB, value_wei=Wei(nonce + 1))
        return await KeySigner(ALICE).sign(order, chain_id=31337, nonce=nonce, gas=21_000, fees=FEES)

    return trio.run(sign)


def check_whole(chain: EmbeddedChain) -> None:
    """See that every way to find a payment says the same, and that each was made once."""
    head = chain.head.block_number
    paid, nonces = 0, []
    for number in range(1, head + 1):
        block = chain.block(number)
        assert block.header.parent_hash == chain.header(number - 1).hash
        assert chain.number_of(block.hash) == number
        for one in block.transactions:
            assert chain.mined(one.hash).block.hash == block.hash
            paid += one.value
            nonces.append(one.nonce)
    assert nonces == list(range(len(nonces)))
    state = chain.state(head)
    assert state.get_balance(address_to_bytes(BOB)) == paid
    assert state.get_nonce(address_to_bytes(ALICE.address)) == len(nonces)
    assert chain.header(head + 1) is None


@pytest.mark.parametrize("seed", range(6))
def test_whatever_is_taken_back_the_chain_is_whole(seed: int, tmp_path: Path) -> None:
    random = Random(seed)
    chain = EmbeddedChain(ChainDisk(tmp_path / "chain.db"), chain_id=31337)
    hashes: set[bytes] = set()
    for _ in range(30):
        nonce = chain.state(chain.head.block_number).get_nonce(address_to_bytes(ALICE.address))
        match random.choice(("pay", "pay", "pay", "empty", "back", "drop", "reopen")):
            case "pay":
                raw, transaction_hash = signed(nonce)
                if chain.waiting(transaction_hash) is None:
                    chain.send(raw)
                else:  # it was taken back, and waits: to offer it again has it mined
                    with pytest.raises(Refused, match="already known"):
                        chain.send(raw)
                assert chain.mined(transaction_hash) is not None
            case "empty":
                chain.mine(transactions_max=0)
            case "back" | "drop" as how if chain.head.block_number:
                old = [chain.header(number).hash for number in range(1, chain.head.block_number + 1)]
                count = random.randint(1, len(old))
                chain.take_back(count, is_dropped=how == "drop")
                assert [chain.number_of(one) for one in old[-count:]] == [None] * count
                hashes |= set(old[-count:])
            case "reopen":
                chain.close()
                chain = EmbeddedChain(ChainDisk(tmp_path / "chain.db"), chain_id=31337)
        check_whole(chain)
    chain.mine()
    check_whole(chain)
    assert hashes, "this seed takes nothing back: choose another"
    standing = {chain.header(number).hash for number in range(chain.head.block_number + 1)}
    assert not hashes & standing, "a block came back as it was"
    chain.close()


def test_what_was_taken_back_waits_or_is_forgotten(tmp_path: Path) -> None:
    chain = EmbeddedChain(ChainDisk(tmp_path / "chain.db"), chain_id=31337)
    first, second = (chain.send(signed(nonce)[0]) for nonce in (0, 1))
    chain.take_back(1, is_dropped=False)
    assert (chain.mined(second), chain.waiting(second).hash) == (None, second)
    assert chain.pending_nonce(address_to_bytes(ALICE.address)) == 2
    chain.mine()
    assert chain.mined(second).block.number == 2
    chain.take_back(2, is_dropped=True)
    assert [chain.mined(one) or chain.waiting(one) for one in (first, second)] == [None, None]
    chain.close()


@pytest.mark.parametrize("count", [0, -1, 4, CHAIN_REORG_BLOCKS_MAX + 1])
def test_blocks_that_are_not_there_are_not_taken_back(count: int) -> None:
    chain = EmbeddedChain(ChainDisk(None), chain_id=31337)
    for nonce in range(3):
        chain.send(signed(nonce)[0])
    before = chain.head
    with pytest.raises(Refused):
        chain.take_back(count, is_dropped=True)
    assert chain.head == before
    check_whole(chain)


def test_as_many_blocks_as_are_allowed_are_taken_back_and_no_more() -> None:
    chain = EmbeddedChain(ChainDisk(None), chain_id=31337)
    for _ in range(CHAIN_REORG_BLOCKS_MAX + 1):
        chain.mine()
    with pytest.raises(Refused):
        chain.take_back(CHAIN_REORG_BLOCKS_MAX + 1, is_dropped=True)
    chain.take_back(CHAIN_REORG_BLOCKS_MAX, is_dropped=True)
    assert chain.head.block_number == 1


@pytest.mark.process
@pytest.mark.net
async def test_a_reorganisation_stays_after_kill_9(tmp_path: Path) -> None:
    place, disk = chain_place(tmp_path / "chain"), MemoryDisk()
    first = start_chain(place, port=0, chain_id=31337)
    async with sending(World("embedded", first.url), disk) as (chain, alice):
        for number in range(3):
            await alice.send(f"pay-{number}", pay(1))
            await alice.wait(f"pay-{number}")
        await World("embedded", first.url).command("anvil_rollback", 2)
        head = await chain.head()
    os.kill(first.pid, signal.SIGKILL)
    assert wait_state([(first.pid, first.process_start)], "dead", timeout_s=PATIENCE_S)
    second = start_chain(place, port=0, chain_id=31337)
    async with World("embedded", second.url).open() as chain:
        assert (await chain.head(), head.number, await chain.balance(BOB)) == (head, 1, 1)
    stop_chain(place)


@pytest.mark.process
@pytest.mark.net
@pytest.mark.parametrize("is_dropped", [False, True])
async def test_a_longer_branch_takes_over_and_an_order_ends_once(embedded_url: str, is_dropped: bool) -> None:
    world = World("embedded", embedded_url)
    try:
        async with sending(world, MemoryDisk(), confirmations=2) as (chain, alice):
            before = await chain.balance(BOB)
            await alice.send("rent", pay(7))
            transaction = next(iter(alice._outbox))
            await until_state(transaction, TransactionState.MINED)
            old, head = await chain.receipt(transaction.attempts[0].hash), await chain.head()
            await world.command(
                "evm_setAutomine", False
            )  # else it may be in a block again before anybody looks
            await world.command("skyops_reorg", 1, is_dropped)
            assert (await chain.head()).number == head.number + 1
            assert (await chain.block(old.block_number)).hash != old.block_hash
            await until_taken_back(transaction)
            await until_offered(chain, transaction.nonce)
            await world.command("evm_mine")
            await until_state(transaction, TransactionState.MINED)
            await world.command("anvil_mine", 2)
            outcome = await alice.wait("rent")
            assert outcome.block_number > old.block_number
            assert await chain.balance(BOB) == before + 7
    finally:
        await world.command("evm_setAutomine", True)
