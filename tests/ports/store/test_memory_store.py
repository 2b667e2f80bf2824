"""What the simulator asks of the store in memory: a crash, and a full disk."""

import pytest

from skyops_p2p.adapters.memory import MemoryDisk, open_memory_store
from skyops_p2p.errors import StoreError
from skyops_p2p.ports import StoredNode
from skyops_p2p.types import PeerId, UnixMs


async def test_a_full_simulated_disk_refuses_and_keeps_what_it_has():
    disk = MemoryDisk(free_bytes=10)
    async with open_memory_store(disk) as store:
        await store.append("peering", "bob", b"x" * 6)
        for call in (
            lambda: store.append("peering", "bob", b"x" * 5),
            lambda: store.set_value("name", b"x" * 5),
            lambda: store.put_nodes([StoredNode(PeerId("bob"), b"x" * 5, (), "active", UnixMs(1))]),
        ):
            with pytest.raises(StoreError) as caught:
                await call()
            assert caught.value.code == "store_full"
        assert len(await store.entries("peering")) == 1
        assert await store.nodes() == ()
        await store.append("peering", "bob", b"x" * 4)
        disk.free_bytes = None
        await store.append("peering", "bob", b"x" * 1000)


async def test_the_disk_outlives_a_crash_of_its_user():
    disk = MemoryDisk()

    async def use_and_crash():
        async with open_memory_store(disk) as store:
            await store.append("peering", "bob", b"promise")
            raise RuntimeError("crash")

    with pytest.raises(RuntimeError, match="crash"):
        await use_and_crash()
    async with open_memory_store(disk) as store:
        assert [entry.body for entry in await store.entries("peering")] == [b"promise"]
