"""A simulated disk: it takes time to sync, can be full, and a crash loses what was not synced."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import trio

from skyops_p2p.adapters.memory.store import MemoryDisk, MemoryStore, open_memory_store
from skyops_p2p.errors import StoreError
from skyops_p2p.ports import JournalEntry, StoredNode
from skyops_p2p.types import PeerId

SYNC_S = 0.002
"""Until a write survives a power cut: an NVMe drive's fsync."""


class SimDisk:
    """What survives a crash of one node, and how its disk behaves.

    Args:
        sync_s: Seconds that each write takes until it is durable.
    """

    def __init__(self, *, sync_s: float = SYNC_S) -> None:
        self.sync_s = sync_s
        self._durable = MemoryDisk()
        self._powered: list[SimStore] = []

    def fill(self) -> None:
        """Let every further write fail with `store_full`."""
        self._durable.free_bytes = 0

    def empty(self) -> None:
        """Make room again."""
        self._durable.free_bytes = None

    def cut_power(self) -> None:
        """Lose what is not synced: stores that are open never write again."""
        for store in self._powered:
            store.has_power = False

    @asynccontextmanager
    async def open(self) -> AsyncIterator["SimStore"]:
        """Open the store for the length of the block; see ports.OpenStore."""
        async with open_memory_store(self._durable) as inner:
            store = SimStore(inner, self.sync_s)
            self._powered.append(store)
            try:
                yield store
            finally:
                self._powered.remove(store)


class SimStore:
    """ports.Store over the memory store: writes wait for the sync, and are absent if the power goes before it."""

    def __init__(self, inner: MemoryStore, sync_s: float) -> None:
        self._inner = inner
        self._sync_s = sync_s
        self.has_power = True
        """False after a crash: nothing can be read or written any more."""

    async def append(self, stem: str, key: str, body: bytes) -> int:
        """See ports.Store."""
        await self._sync()
        return await self._inner.append(stem, key, body)

    async def entries(self, stem: str) -> tuple[JournalEntry, ...]:
        """See ports.Store."""
        return await self._inner.entries(stem)

    async def compact(self, stem: str, key: str, *, keep_last: int) -> int:
        """See ports.Store."""
        await self._sync()
        return await self._inner.compact(stem, key, keep_last=keep_last)

    async def put_nodes(self, nodes: Iterable[StoredNode]) -> None:
        """See ports.Store."""
        await self._sync()
        await self._inner.put_nodes(nodes)

    async def forget_nodes(self, peers: Iterable[PeerId]) -> None:
        """See ports.Store."""
        await self._sync()
        await self._inner.forget_nodes(peers)

    async def nodes(self) -> tuple[StoredNode, ...]:
        """See ports.Store."""
        return await self._inner.nodes()

    async def set_value(self, name: str, value: bytes) -> None:
        """See ports.Store."""
        await self._sync()
        await self._inner.set_value(name, value)

    async def value(self, name: str) -> bytes | None:
        """See ports.Store."""
        return await self._inner.value(name)

    async def _sync(self) -> None:
        await trio.sleep(self._sync_s)
        if not self.has_power:
            raise StoreError("the simulated machine has no power", code="store_closed")
