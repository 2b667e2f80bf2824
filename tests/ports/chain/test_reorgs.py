"""Reorganisations and endpoints that die, on the embedded chain and on anvil alike."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from skyops_p2p.adapters.chain import LogFollower, open_chain
from skyops_p2p.adapters.memory import MemoryDisk, open_memory_store
from skyops_p2p.core.chain.facts import LogFilter, Order
from skyops_p2p.core.chain.transaction import Ending, TransactionState
from skyops_p2p.errors import ChainError
from skyops_p2p.testnet.chain.place import chain_place, start_chain, stop_chain
from tests.ports.chain.anvil import run_anvil
from tests.ports.chain.conftest import BOB, PATIENCE_S, World, pay, sending, until_state, until_taken_back
from tests.ports.chain.test_both_chains import deploy

pytestmark = [pytest.mark.process, pytest.mark.net]


async def test_a_payment_that_a_reorg_takes_away_is_offered_again(world: World) -> None:
    async with sending(world, MemoryDisk(), confirmations=3) as (chain, alice):
        before = await chain.balance(BOB)
        await alice.send("rent", pay(5))
        transaction = next(iter(alice._outbox))
        await until_state(transaction, TransactionState.MINED)
        await world.command("anvil_rollback", 1)
        await until_taken_back(transaction)
        await until_state(
            transaction, TransactionState.MINED
        )  # else the blocks may come before it, and none after
        await world.command("anvil_mine", hex(3))
        outcome = await alice.wait("rent")
        assert outcome.ending is Ending.CONFIRMED
        assert await chain.balance(BOB) == before + 5
        assert "MINED --ReceiptMissing--> OFFERED" in str([str(step) for step in transaction.history])


async def test_events_are_held_until_no_reorg_reaches_them(world: World) -> None:
    async with sending(world, MemoryDisk()) as (chain, alice), open_memory_store(MemoryDisk()) as store:
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
        await world.command("anvil_mine", hex(4))
        batch = await follower.next()
        assert len(batch.logs) == 1
        await follower.done(batch)
        await world.command("anvil_rollback", 5)
        await world.command("anvil_mine", hex(8))
        with pytest.raises(ChainError) as stopped:
            await follower.next()
        assert stopped.value.code == "reorg_too_deep"


async def test_the_second_endpoint_answers_for_the_first(world: World) -> None:
    with trio.fail_after(PATIENCE_S):
        async with (
            open_chain(["http://127.0.0.1:1", world.url], chain_id=31337) as chain,
            world.open() as alone,
        ):
            assert await chain.genesis() == await alone.genesis()


async def test_a_chain_begun_anew_is_noticed(
    world: World, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    disk = MemoryDisk()
    async with sending(world, disk) as (_, alice):
        await alice.send("one", pay(1))
        await alice.wait("one")
    with begun_anew(world.kind, tmp_path, request) as url:
        async with sending(World(world.kind, url), disk) as (_, alice):
            with pytest.raises(ChainError) as refused:
                await alice.send("two", pay(1))
            assert refused.value.code == "chain_replaced"


@contextmanager
def begun_anew(kind: str, directory: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    if kind == "anvil":
        program = request.getfixturevalue("anvil_program")
        with run_anvil(program, directory / "other.log", "--timestamp", "2000000000") as url:
            yield url
        return
    place = chain_place(directory / "other")
    yield start_chain(place, port=0, chain_id=31337).url
    stop_chain(place)
