"""What every block store does: keeps what is pinned, within its quota, whole or not at all."""

import hashlib

import pytest
import trio

from skyops_p2p.errors import StoreError
from skyops_p2p.types import UnixMs
from skyops_p2p.wire.cid import DAG_PB, RAW, Cid, cid_of

KIB = 1024
JOB = "job/00ff"


def block(number: int, size: int = 100 * KIB) -> tuple[Cid, bytes]:
    data = hashlib.shake_128(number.to_bytes(8, "big")).digest(size)
    return cid_of(RAW, data), data


def code_of(caught: pytest.ExceptionInfo[StoreError]) -> str:
    return caught.value.code


async def test_blocks_come_back_in_the_order_asked_and_absent_ones_are_none(open_blocks) -> None:
    first, second, absent = block(1), block(2, 0), block(3)
    async with open_blocks() as store:
        await store.put([first, second], owner=JOB)
        assert await store.get([second[0], absent[0], first[0]]) == [b"", None, first[1]]
        assert await store.present([first[0], absent[0]]) == {first[0]}


async def test_everything_is_there_after_a_restart(open_blocks) -> None:
    kept = block(1)
    async with open_blocks() as store:
        await store.put([kept], owner=JOB)
        await store.keep_until(JOB, UnixMs(50), note=b"receipt")
        before = await store.owners()
    async with open_blocks() as store:
        assert await store.get([kept[0]]) == [kept[1]]
        assert await store.owners() == before
        assert before[0].note == b"receipt"
        assert (before[0].name, before[0].blocks, before[0].size_bytes, before[0].until_unix_ms) == (
            JOB,
            1,
            100 * KIB,
            50,
        )


async def test_the_same_block_twice_takes_room_once(open_blocks) -> None:
    async with open_blocks() as store:
        await store.put([block(1), block(1)], owner=JOB)
        await store.put([block(1)], owner="job/other")
        assert store.statistics().bytes_used == 100 * KIB


async def test_a_raw_and_a_node_block_of_the_same_bytes_are_two(open_blocks) -> None:
    data = block(1)[1]
    async with open_blocks() as store:
        await store.put([(cid_of(RAW, data), data), (cid_of(DAG_PB, data), data)], owner=JOB)
        await store.discard([cid_of(RAW, data)])
        assert await store.get([cid_of(RAW, data), cid_of(DAG_PB, data)]) == [None, data]


async def test_unpinned_blocks_go_when_room_is_needed_the_least_used_first(open_blocks) -> None:
    async with open_blocks() as store:
        for number in range(10):
            await store.put([block(number)], owner=JOB)
        await store.unpin(JOB)
        await store.get([block(0)[0]])
        await store.put([block(10)], owner="job/new")
        left = await store.present(block(number)[0] for number in range(11))
        assert block(0)[0] in left
        assert block(1)[0] not in left
        assert block(10)[0] in left
        assert store.statistics().evicted >= 1


async def test_pinned_blocks_are_never_taken_and_a_full_quota_is_told(open_blocks) -> None:
    async with open_blocks() as store:
        for number in range(10):
            await store.put([block(number)], owner=JOB)
        with pytest.raises(StoreError) as caught:
            await store.put([block(10)], owner=JOB)
        assert code_of(caught) == "store_full"
        assert len(await store.present(block(number)[0] for number in range(11))) == 10
        await store.put([block(3)], owner="job/other")  # what is here needs no room


async def test_a_call_that_does_not_fit_leaves_nothing(open_blocks) -> None:
    async with open_blocks() as store:
        with pytest.raises(StoreError):
            await store.put([block(number) for number in range(11)], owner=JOB)
        assert store.statistics().blocks == 0
        assert JOB not in [owner.name for owner in await store.owners()]


async def test_one_owner_of_two_keeps_a_block(open_blocks) -> None:
    async with open_blocks() as store:
        await store.put([block(1)], owner=JOB)
        await store.put([block(1)], owner="replica/bob")
        assert await store.unpin(JOB) == 1
        assert store.statistics().bytes_pinned == 100 * KIB
        assert await store.unpin("replica/bob") == 1
        assert store.statistics().bytes_pinned == 0
        assert await store.unpin("nobody") == 0


async def test_pinning_tells_what_is_here(open_blocks) -> None:
    async with open_blocks() as store:
        await store.put([block(1)], owner=JOB)
        await store.unpin(JOB)
        assert await store.pin([block(1)[0], block(2)[0]], owner="job/again") == {block(1)[0]}
        assert (await store.owners())[0].blocks == 1


async def test_owners_lapse_at_their_time(open_blocks) -> None:
    async with open_blocks() as store:
        await store.put([block(1)], owner=JOB)
        await store.put([block(2)], owner="replica/bob")
        await store.keep_until("replica/bob", UnixMs(1000))
        assert await store.expire(UnixMs(999)) == ()
        assert await store.expire(UnixMs(1000)) == ("replica/bob",)
        assert [owner.name for owner in await store.owners()] == [JOB]
        assert store.statistics().bytes_pinned == 100 * KIB


async def test_a_time_can_be_taken_back(open_blocks) -> None:
    async with open_blocks() as store:
        await store.keep_until(JOB, UnixMs(1000))
        await store.keep_until(JOB, None)
        assert await store.expire(UnixMs(2000)) == ()


async def test_discarded_blocks_are_gone_with_their_pins(open_blocks) -> None:
    async with open_blocks() as store:
        await store.put([block(1)], owner=JOB)
        await store.discard([block(1)[0], block(2)[0]])
        assert await store.get([block(1)[0]]) == [None]
        assert store.statistics().damaged == 1
        await store.put([block(1)], owner=JOB)
        assert await store.get([block(1)[0]]) == [block(1)[1]]


async def test_many_tasks_may_write_the_same_blocks(open_blocks) -> None:
    blocks = [block(number, KIB) for number in range(40)]
    async with open_blocks() as store:
        async with trio.open_nursery() as nursery:
            for start in range(8):

                async def write(at: int = start) -> None:
                    await store.put(blocks[at:] + blocks[:at], owner=f"job/{at}")

                nursery.start_soon(write)
        assert store.statistics().blocks == 40
        assert [owner.blocks for owner in await store.owners()] == [40] * 8
        await store.sync()


async def test_a_second_process_is_refused(open_blocks) -> None:
    async with open_blocks():
        with pytest.raises(StoreError) as caught:
            async with open_blocks():
                raise AssertionError("opened twice")
        assert code_of(caught) == "store_locked"


async def test_a_closed_store_says_so(open_blocks) -> None:
    async with open_blocks() as store:
        await store.put([block(1)], owner=JOB)
    with pytest.raises(StoreError) as caught:
        await store.get([block(1)[0]])
    assert code_of(caught) == "store_closed"
    with pytest.raises(StoreError):
        store.statistics()


async def test_a_smaller_quota_lets_unpinned_blocks_go(open_blocks) -> None:
    async with open_blocks() as store:
        for number in range(9):
            await store.put([block(number)], owner="job/old" if number < 8 else JOB)
        await store.unpin("job/old")
    async with open_blocks(quota_bytes=300 * KIB) as store:
        await store.put([block(20)], owner=JOB)
        assert store.statistics().bytes_used <= 300 * KIB
        assert await store.present([block(8)[0], block(20)[0]]) == {block(8)[0], block(20)[0]}
