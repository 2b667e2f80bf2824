"""What the client does on the embedded chain and on anvil alike."""

import pytest

from skyops_p2p.adapters.chain import LogFollower
from skyops_p2p.adapters.chain.abi import decode_result
from skyops_p2p.adapters.memory import MemoryDisk, open_memory_store
from skyops_p2p.core.chain.facts import LogFilter, Order
from skyops_p2p.core.chain.transaction import Ending, TransactionState
from skyops_p2p.crypto.wallet import Wallet
from skyops_p2p.errors import ChainError, ChainRefusal
from skyops_p2p.types import WalletAddress, Wei
from tests.ports.chain.conftest import (
    ALICE,
    BOB,
    LOG42,
    LOG42_INIT,
    World,
    nonce_of,
    pay,
    sending,
    until_offered,
    until_state,
)

CLOCK_INIT = bytes.fromhex("6009600c60003960096000f3" + "4260005260206000f3")
"""A contract that answers with the time of the block."""

pytestmark = [pytest.mark.process, pytest.mark.net]


async def test_payments_arrive_once_each_in_order(world: World) -> None:
    async with sending(world, MemoryDisk()) as (chain, alice):
        before, nonce = await chain.balance(BOB), await nonce_of(chain)
        for number in range(5):
            await alice.send(f"pay-{number}", pay(10 + number))
            await alice.send(f"pay-{number}", pay(10 + number))
        outcomes = [await alice.wait(f"pay-{number}") for number in range(5)]
        assert {outcome.ending for outcome in outcomes} == {Ending.CONFIRMED}
        assert await chain.balance(BOB) == before + 60
        assert await nonce_of(chain) == nonce + 5


async def test_a_key_means_one_order_also_after_a_restart(world: World) -> None:
    disk = MemoryDisk()
    async with sending(world, disk) as (chain, alice):
        before = await chain.balance(BOB)
        await alice.send("rent", pay(7))
        first = await alice.wait("rent")
    async with sending(world, disk) as (chain, alice):
        await alice.send("rent", pay(7))
        assert await alice.wait("rent") == first
        with pytest.raises(ChainError) as refused:
            await alice.send("rent", pay(8))
        assert refused.value.code == "key_reused"
        assert await chain.balance(BOB) == before + 7


async def deploy(alice, chain, key: str = "deploy", code: bytes = LOG42_INIT) -> WalletAddress:
    await alice.send(key, Order(None, code))
    outcome = await alice.wait(key)
    receipt = await chain.receipt(outcome.transaction_hash)
    assert receipt is not None
    assert receipt.created is not None
    assert outcome.fee_wei == receipt.fee_wei > 0
    return receipt.created


async def test_a_contract_is_made_and_its_events_are_handed_out_once(world: World) -> None:
    disk = MemoryDisk()
    async with sending(world, disk) as (chain, alice):
        contract = await deploy(alice, chain)
        assert await chain.code(contract) == LOG42
        first = (await chain.head()).number
        for number in range(3):
            await alice.send(f"log-{number}", Order(contract))
            await alice.wait(f"log-{number}")
        wanted = LogFilter((contract,), ((0xAA).to_bytes(32, "big"),))

        async with open_memory_store(MemoryDisk()) as store:

            def follower() -> LogFollower:
                return LogFollower(
                    chain, store, name="logs", wanted=wanted, first=first, confirmations=0, poll_s=0.05
                )

            undone = await follower().next()
            bob = follower()  # as after kill -9: what was not done comes again
            batch = await bob.next()
            assert batch == undone
            assert [decode_result(["uint256"], log.data) for log in batch.logs] == [(42,)] * 3
            await bob.done(batch)
            await alice.send("log-3", Order(contract))
            assert [log.block_number for log in (await follower().next()).logs] == [
                (await alice.wait("log-3")).block_number
            ]


async def test_orders_that_would_fail_leave_nothing_behind(world: World) -> None:
    poor = Wallet(b"\x77" * 32)
    async with sending(world, MemoryDisk(), wallet=poor) as (_, mallory):
        with pytest.raises(ChainRefusal) as refused:
            await mallory.send("much", pay(10**18))
        assert refused.value.code == "funds_missing"
        assert mallory.open_count == 0
    async with sending(world, MemoryDisk()) as (chain, alice):
        nonce = await nonce_of(chain)
        with pytest.raises(ChainRefusal) as refused:
            await alice.send("reverts", Order(None, bytes.fromhex("60006000fd")))
        assert refused.value.code == "call_reverted"
        assert await nonce_of(chain) == nonce


async def test_a_transaction_that_reverts_ends_so(world: World) -> None:
    async with sending(world, MemoryDisk()) as (_, alice):
        await alice.send("reverts", Order(None, bytes.fromhex("60006000fd"), gas_max=100_000))
        outcome = await alice.wait("reverts")
        assert outcome.ending is Ending.REVERTED
        assert outcome.fee_wei > 0


async def test_confirmations_are_waited_for(world: World) -> None:
    async with sending(world, MemoryDisk(), confirmations=2) as (chain, alice):
        await alice.send("deep", pay(1))
        await until_state(next(iter(alice._outbox)), TransactionState.MINED)
        assert alice.outcome("deep") is None
        await world.command("evm_mine")
        await world.command("evm_mine")
        outcome = await alice.wait("deep")
        assert (await chain.head()).number - outcome.block_number >= 2


async def test_a_call_after_a_block_sees_its_time_however_often_it_is_asked(world: World) -> None:
    async with sending(world, MemoryDisk()) as (chain, alice):
        clock = Order(await deploy(alice, chain, code=CLOCK_INIT))
        head = await chain.head()
        await world.command("evm_increaseTime", 100)

        async def time_at(number: int | None) -> int:
            return int.from_bytes(await chain.call(clock, at=number))

        assert [await time_at(head.number) for _ in range(2)] == [head.timestamp_unix_s] * 2
        await world.command("evm_mine")
        later = await chain.head()
        assert later.timestamp_unix_s > head.timestamp_unix_s  # a burst of blocks runs ahead of the clock
        assert [await time_at(number) for number in (head.number, later.number)] == [
            head.timestamp_unix_s,
            later.timestamp_unix_s,
        ]
        assert await time_at(None) >= later.timestamp_unix_s


async def test_a_second_process_with_the_key_ends_the_order_with_a_code(world: World) -> None:
    await world.command("evm_setAutomine", False)
    try:
        async with sending(world, MemoryDisk()) as (chain, alice):
            await alice.send("mine", pay(1))
            nonce = next(iter(alice._outbox)).nonce
            await _spend(world, nonce)
            outcome = await alice.wait("mine")
            assert outcome.ending is Ending.NONCE_TAKEN
            assert await chain.receipt(outcome.transaction_hash) is None
    finally:
        await world.command("evm_setAutomine", True)


async def test_an_order_that_waits_is_cancelled_and_the_next_one_goes_on(world: World) -> None:
    disk = MemoryDisk()
    await world.command("evm_setAutomine", False)
    try:
        async with sending(world, disk) as (chain, alice):
            before = await chain.balance(BOB)
            await alice.send("mistake", pay(5))
            await alice.send("rent", pay(2))
            await until_state(next(iter(alice._outbox)), TransactionState.OFFERED)
            await alice.cancel("mistake")
            await alice.cancel("mistake")  # twice is as once
            [mistake, rent] = alice.waiting()
            assert (mistake.newest.is_cancel, mistake.attempts) == (True, 2)
            assert (rent.newest.is_cancel, rent.nonce) == (False, mistake.nonce + 1)
            with pytest.raises(ChainError) as refused:
                await alice.cancel("nothing")
            assert refused.value.code == "unknown_order"
        async with sending(world, disk) as (chain, alice):  # the wish is in the journal
            assert [order.newest.is_cancel for order in alice.waiting()] == [True, False]
            await until_offered(chain, rent.nonce)  # the first process may have ended before that
            await world.command("evm_mine")
            assert (await alice.wait("mistake")).ending is Ending.CANCELLED
            assert (await alice.wait("rent")).ending is Ending.CONFIRMED
            assert await chain.balance(BOB) == before + 2
            assert alice.waiting() == ()
    finally:
        await world.command("evm_setAutomine", True)


async def test_an_order_in_a_block_is_not_called_back(world: World) -> None:
    async with sending(world, MemoryDisk(), confirmations=2) as (_, alice):
        await alice.send("rent", pay(1))
        await until_state(next(iter(alice._outbox)), TransactionState.MINED)
        with pytest.raises(ChainError) as refused:
            await alice.cancel("rent")
        assert refused.value.code == "order_in_block"
        await world.command("evm_mine")
        await world.command("evm_mine")
        assert (await alice.wait("rent")).ending is Ending.CONFIRMED


async def _spend(world: World, nonce: int) -> None:
    """Put another transaction of Alice with that nonce into a block, paying more than the waiting one."""
    from skyops_p2p.adapters.chain import KeySigner
    from skyops_p2p.core.chain.facts import Fees

    raw, transaction_hash = await KeySigner(ALICE).sign(
        Order(BOB, value_wei=Wei(3)),
        chain_id=31337,
        nonce=nonce,
        gas=21_000,
        fees=Fees(Wei(90 * 10**9), Wei(50 * 10**9)),
    )
    async with world.open() as chain:
        await chain.offer(raw, transaction_hash=transaction_hash)
    await world.command("evm_mine")
