"""Reorganisations, stuck transactions and endpoints that die, on anvil."""

import pytest
import trio

from skyops_p2p.adapters.chain import LogFollower, open_chain
from skyops_p2p.adapters.memory import MemoryDisk, open_memory_store
from skyops_p2p.core.chain.facts import LogFilter, Order
from skyops_p2p.core.chain.transaction import Ending, TransactionState
from skyops_p2p.errors import ChainError
from tests.ports.chain.conftest import BOB, World, pay, sending, until_state
from tests.ports.chain.test_both_chains import deploy

pytestmark = [pytest.mark.process, pytest.mark.net]


async def test_a_payment_that_a_reorg_takes_away_is_offered_again(anvil: World) -> None:
    async with sending(anvil, MemoryDisk(), confirmations=3) as (chain, alice):
        await alice.send("rent", pay(5))
        transaction = next(iter(alice._outbox))
        await until_state(transaction, TransactionState.MINED)
        await anvil.command("anvil_rollback", 1)
        await until_state(transaction, TransactionState.OFFERED)
        await anvil.command("anvil_mine", hex(6))
        outcome = await alice.wait("rent")
        assert outcome.ending is Ending.CONFIRMED
        assert await chain.balance(BOB) == 5
        assert "MINED --ReceiptMissing--> OFFERED" in str([str(step) for step in transaction.history])


async def test_events_are_held_until_no_reorg_reaches_them(anvil: World) -> None:
    async with sending(anvil, MemoryDisk()) as (chain, alice), open_memory_store(MemoryDisk()) as store:
        contract = await deploy(alice, chain)
        wanted = LogFilter((contract,))
        follower = LogFollower(
            chain, store, name="deep", wanted=wanted, first=1, confirmations=4, poll_s=0.05
        )
        await alice.send("log", Order(contract))
        await alice.wait("log")
        with trio.move_on_after(0.5) as held:
            await follower.next()
        assert held.cancelled_caught
        await anvil.command("anvil_mine", hex(4))
        batch = await follower.next()
        assert len(batch.logs) == 1
        await follower.done(batch)
        await anvil.command("anvil_rollback", 5)
        await anvil.command("anvil_mine", hex(8))
        with pytest.raises(ChainError) as stopped:
            await follower.next()
        assert stopped.value.code == "reorg_too_deep"


async def test_the_second_endpoint_answers_for_the_first(anvil: World) -> None:
    with trio.fail_after(20):
        async with open_chain(["http://127.0.0.1:1", anvil.url], chain_id=31337) as chain:
            assert (await chain.head()).number == 0


async def test_a_chain_begun_anew_is_noticed(anvil: World, anvil_program, tmp_path) -> None:
    from tests.ports.chain.anvil import run_anvil

    disk = MemoryDisk()
    async with sending(anvil, disk) as (_, alice):
        await alice.send("one", pay(1))
        await alice.wait("one")
    later = ["--timestamp", "2000000000"]
    with run_anvil(anvil_program, tmp_path / "other.log", *later) as url:
        async with sending(World("anvil", url), disk) as (_, alice):
            with pytest.raises(ChainError) as refused:
                await alice.send("two", pay(1))
            assert refused.value.code == "chain_replaced"
