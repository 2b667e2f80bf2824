"""A block store in memory that behaves like the one on disk, with a disk that outlives it and can be full."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio

from skyops_p2p.errors import StoreError
from skyops_p2p.ports.content import Block, BlockStatistics, Owner
from skyops_p2p.types import UnixMs
from skyops_p2p.wire.cid import Cid

EVICTION_SLICE_BYTES = 16 << 20


@dataclass(slots=True)
class MemoryBlockDisk:
    """The durable content of one simulated block store."""

    free_bytes: int | None = None
    """Bytes of blocks that still fit on the disk; None for no limit."""
    blocks: dict[Cid, bytes] = field(default_factory=dict)
    """In the order of their last use, the oldest first."""
    pins: dict[str, set[Cid]] = field(default_factory=dict)
    until: dict[str, UnixMs | None] = field(default_factory=dict)
    notes: dict[str, bytes] = field(default_factory=dict)
    is_open: bool = False

    @property
    def bytes_used(self) -> int:
        """Bytes of all blocks."""
        return sum(map(len, self.blocks.values()))

    def pinned(self) -> set[Cid]:
        """Return the blocks that somebody has."""
        return set().union(*self.pins.values()) & self.blocks.keys()


@asynccontextmanager
async def open_memory_blocks(disk: MemoryBlockDisk, *, quota_bytes: int) -> AsyncIterator["MemoryBlocks"]:
    """Open a disk for the length of the block.

    Raises:
        StoreError: `store_locked` if it is open already.
    """
    await trio.lowlevel.checkpoint()
    if disk.is_open:
        raise StoreError("the simulated disk is in use", code="store_locked")
    disk.is_open = True
    store = MemoryBlocks(disk, quota_bytes)
    try:
        yield store
    finally:
        store.close()
        disk.is_open = False


class MemoryBlocks:
    """Implements ports.BlockStore; made by `open_memory_blocks`."""

    def __init__(self, disk: MemoryBlockDisk, quota_bytes: int) -> None:
        self._disk = disk
        self._quota_bytes = quota_bytes
        self._is_closed = False
        self._evicted = self._damaged = 0

    def close(self) -> None:
        """Refuse all later calls."""
        self._is_closed = True

    async def put(self, blocks: Sequence[Block], *, owner: str) -> None:
        """See ports.BlockStore."""
        disk = await self._usable_disk()
        self._use(cid for cid, _ in blocks)
        new = {cid: block for cid, block in blocks if cid not in disk.blocks}
        size = sum(map(len, new.values()))
        kept = {cid for cid, _ in blocks}
        self._make_room(size, kept)
        if disk.free_bytes is not None:
            if size > disk.free_bytes:
                self._evict(EVICTION_SLICE_BYTES, kept)
            if size > disk.free_bytes:
                raise StoreError("no room on the simulated disk", code="store_full")
            disk.free_bytes -= size
        disk.blocks |= new
        self._pins(owner).update(kept)

    async def get(self, cids: Sequence[Cid], *, is_checked: bool = True) -> list[bytes | None]:
        """See ports.BlockStore."""
        disk = await self._usable_disk()
        damaged = [
            cid for cid in cids if is_checked and cid in disk.blocks and not cid.names(disk.blocks[cid])
        ]
        self._remove(damaged)
        self._damaged += len(damaged)
        self._use(cids)
        return [disk.blocks.get(cid) for cid in cids]

    async def present(self, cids: Iterable[Cid]) -> frozenset[Cid]:
        """See ports.BlockStore."""
        disk = await self._usable_disk()
        return frozenset(cid for cid in cids if cid in disk.blocks)

    async def discard(self, cids: Iterable[Cid]) -> None:
        """See ports.BlockStore."""
        disk = await self._usable_disk()
        here = [cid for cid in cids if cid in disk.blocks]
        self._remove(here)
        self._damaged += len(here)

    async def pin(self, cids: Iterable[Cid], *, owner: str) -> frozenset[Cid]:
        """See ports.BlockStore."""
        disk = await self._usable_disk()
        here = frozenset(cid for cid in cids if cid in disk.blocks)
        self._pins(owner).update(here)
        return here

    async def unpin(self, owner: str) -> int:
        """See ports.BlockStore."""
        disk = await self._usable_disk()
        disk.until.pop(owner, None)
        disk.notes.pop(owner, None)
        return len(disk.pins.pop(owner, ()))

    async def keep_until(self, owner: str, until: UnixMs | None, *, note: bytes = b"") -> None:
        """See ports.BlockStore."""
        disk = await self._usable_disk()
        self._pins(owner)
        disk.until[owner], disk.notes[owner] = until, note

    async def expire(self, now: UnixMs) -> tuple[str, ...]:
        """See ports.BlockStore."""
        disk = await self._usable_disk()
        lapsed = tuple(
            sorted(name for name, until in disk.until.items() if until is not None and until <= now)
        )
        for name in lapsed:
            await self.unpin(name)
        return lapsed

    async def owners(self) -> tuple[Owner, ...]:
        """See ports.BlockStore."""
        disk = await self._usable_disk()
        return tuple(
            Owner(
                name,
                len(cids),
                sum(len(disk.blocks[cid]) for cid in cids),
                disk.until.get(name),
                disk.notes.get(name, b""),
            )
            for name, cids in sorted(disk.pins.items())
        )

    async def sync(self) -> None:
        """See ports.BlockStore."""
        await self._usable_disk()

    def statistics(self) -> BlockStatistics:
        """See ports.BlockStore."""
        if self._is_closed:
            raise StoreError("the simulated store is closed", code="store_closed")
        disk = self._disk
        pinned = sum(len(disk.blocks[cid]) for cid in disk.pinned())
        return BlockStatistics(
            len(disk.blocks), disk.bytes_used, pinned, self._quota_bytes, self._evicted, self._damaged
        )

    def _pins(self, owner: str) -> set[Cid]:
        self._disk.until.setdefault(owner, None)
        return self._disk.pins.setdefault(owner, set())

    def _use(self, cids: Iterable[Cid]) -> None:
        for cid in cids:
            block = self._disk.blocks.pop(cid, None)
            if block is not None:
                self._disk.blocks[cid] = block

    def _make_room(self, size_bytes: int, kept: set[Cid]) -> None:
        excess = self._disk.bytes_used + size_bytes - self._quota_bytes
        if excess > 0:
            self._evict(max(excess, min(EVICTION_SLICE_BYTES, self._quota_bytes // 8)), kept)
        if self._disk.bytes_used + size_bytes > self._quota_bytes:
            raise StoreError("the quota for blocks is used up", code="store_full")

    def _evict(self, bytes_wanted: int, kept: set[Cid]) -> None:
        pinned = self._disk.pinned() | kept
        for cid in list(self._disk.blocks):
            if bytes_wanted <= 0:
                return
            if cid not in pinned:
                bytes_wanted -= len(self._disk.blocks[cid])
                self._remove([cid])
                self._evicted += 1

    def _remove(self, cids: Iterable[Cid]) -> None:
        for cid in cids:
            block = self._disk.blocks.pop(cid)
            if self._disk.free_bytes is not None:
                self._disk.free_bytes += len(block)
            for pinned in self._disk.pins.values():
                pinned.discard(cid)

    async def _usable_disk(self) -> MemoryBlockDisk:
        await trio.lowlevel.checkpoint()
        if self._is_closed:
            raise StoreError("the simulated store is closed", code="store_closed")
        return self._disk
