"""The chain's process is killed and comes back with its state; and its clock is moved far ahead."""

import json
from pathlib import Path

import pytest
import trio

from skyops_p2p.adapters.chain import JsonRpcChain
from skyops_p2p.adapters.memory import MemoryDisk
from skyops_p2p.core.chain.transaction import Ending
from tests.ports.chain.anvil import run_anvil
from tests.ports.chain.conftest import BOB, PATIENCE_S, World, nonce_of, pay, sending

pytestmark = [pytest.mark.process, pytest.mark.net]

GENESIS = ["--timestamp", "1700000000"]
"""anvil's first block has the time of its start, unless it is told one: then it is another chain each time."""
FORTNIGHT_S = 14 * 86_400


async def _kept(state: Path, block_number: int) -> Path:
    """Wait until anvil has written a state with a block; return a copy, as whatever kills anvil may tear the file."""
    written, copy = trio.Path(state), trio.Path(state.with_name("kept.json"))
    text = ""
    with trio.fail_after(PATIENCE_S):
        while _block_in(text) < block_number:
            await trio.sleep(0.05)
            text = await written.read_text() if await written.exists() else ""
    await copy.write_text(text)
    return Path(copy)


def _block_in(text: str) -> int:
    """Return the number of the last block in a state; -1 if it is not whole."""
    try:
        return int(str(json.loads(text)["best_block_number"]), 0)
    except ValueError:
        return -1


async def _until_paid(chain: JsonRpcChain) -> None:
    with trio.fail_after(PATIENCE_S):
        while await chain.balance(BOB) == 0:  # noqa: ASYNC110 - another process moves it
            await trio.sleep(0.02)


async def test_anvil_that_was_killed_goes_on_with_its_state(anvil_program: Path, tmp_path: Path) -> None:
    state, disk = tmp_path / "state.json", MemoryDisk()
    options = ["--state-interval", "1", *GENESIS]
    with run_anvil(anvil_program, tmp_path / "first.log", "--state", str(state), *options) as url:
        async with sending(World("anvil", url), disk) as (chain, alice):
            await alice.send("rent", pay(5))
            first = await alice.wait("rent")
            head = await chain.head()
        kept = await _kept(state, head.number)
    with run_anvil(anvil_program, tmp_path / "second.log", "--state", str(kept), *options) as url:
        async with sending(World("anvil", url), disk) as (chain, alice):
            assert (await chain.head()).hash == head.hash
            await alice.send("rent", pay(5))
            assert await alice.wait("rent") == first
            await alice.send("more", pay(7))
            assert (await alice.wait("more")).ending is Ending.CONFIRMED
            assert await chain.balance(BOB) == 12


async def test_block_that_a_restart_has_lost_is_made_up_for(anvil_program: Path, tmp_path: Path) -> None:
    """The state was written before the payment: it is offered again, and paid once."""
    state, disk = tmp_path / "state.json", MemoryDisk()
    with run_anvil(
        anvil_program, tmp_path / "first.log", "--state", str(state), "--state-interval", "1", *GENESIS
    ):
        kept = await _kept(state, 0)
    with run_anvil(anvil_program, tmp_path / "second.log", "--load-state", str(kept), *GENESIS) as url:
        async with sending(World("anvil", url), disk, confirmations=3) as (chain, alice):
            await alice.send("rent", pay(5))
            await _until_paid(chain)
            assert alice.outcome("rent") is None

    with run_anvil(anvil_program, tmp_path / "third.log", "--load-state", str(kept), *GENESIS) as url:
        world = World("anvil", url)
        async with sending(world, disk, confirmations=3) as (chain, alice):
            assert alice.open_count == 1
            await _until_paid(chain)
            await world.command("anvil_mine", hex(4))
            assert (await alice.wait("rent")).ending is Ending.CONFIRMED
            assert (await chain.balance(BOB), await nonce_of(chain)) == (5, 1)


async def test_time_travel_of_the_chain_ages_no_transaction(world: World) -> None:
    """What waits is raised by this machine's clock: a chain that jumps ahead makes nobody pay more."""
    await world.command("evm_setAutomine", False)
    try:
        async with sending(world, MemoryDisk()) as (chain, alice):
            before, nonce = (await chain.head()).timestamp_unix_s, await chain.nonce(alice.account)
            await alice.send("rent", pay(1))
            waiting = next(iter(alice._outbox))
            while await chain.nonce(alice.account) == nonce:  # noqa: ASYNC110 - until the chain has it: no event says so
                await trio.sleep(0.02)
            await world.command("evm_increaseTime", FORTNIGHT_S)
            await world.command("evm_mine")
            outcome = await alice.wait("rent")
            assert outcome.ending is Ending.CONFIRMED
            assert len(waiting.attempts) == 1
            # Blocks that come quickly one after the other have dated the head a little ahead.
            assert (await chain.head()).timestamp_unix_s >= before + FORTNIGHT_S - 60
    finally:
        await world.command("evm_setAutomine", True)
