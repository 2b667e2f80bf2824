"""A store in memory that behaves like the durable one, with a disk that outlives it and can be full.

A MemoryDisk is what survives when a simulated node crashes; opening it again is the restart. Effects happen
in one step after a checkpoint, so a cancelled call is absent.
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio

from skyops_p2p import limits
from skyops_p2p.errors import LocalProtocolError, StoreError
from skyops_p2p.ports import JournalEntry, StoredNode
from skyops_p2p.types import PeerId


@dataclass(slots=True)
class MemoryDisk:
    """The durable content of one simulated node."""

    free_bytes: int | None = None
    """Bytes of new content that still fit; None for no limit. Deleting gives nothing back."""
    journal: list[JournalEntry] = field(default_factory=list)
    next_number: int = 1
    nodes: dict[PeerId, StoredNode] = field(default_factory=dict)
    values: dict[str, bytes] = field(default_factory=dict)
    is_open: bool = False

    def take(self, size_bytes: int) -> None:
        """Use up room.

        Raises:
            StoreError: `store_full`; nothing is taken.
        """
        if self.free_bytes is None:
            return
        if size_bytes > self.free_bytes:
            raise StoreError("no room on the simulated disk", code="store_full")
        self.free_bytes -= size_bytes


@asynccontextmanager
async def open_memory_store(disk: MemoryDisk) -> AsyncIterator["MemoryStore"]:
    """Open a disk for the length of the block.

    Raises:
        StoreError: `store_locked` if it is open already.
    """
    await trio.lowlevel.checkpoint()
    if disk.is_open:
        raise StoreError("the simulated disk is in use", code="store_locked")
    disk.is_open = True
    store = MemoryStore(disk)
    try:
        yield store
    finally:
        store.close()
        disk.is_open = False


class MemoryStore:
    """Implements ports.Store; made by `open_memory_store`."""

    def __init__(self, disk: MemoryDisk) -> None:
        self._disk = disk
        self._is_closed = False

    def close(self) -> None:
        """Refuse all later calls."""
        self._is_closed = True

    async def append(self, stem: str, key: str, body: bytes) -> int:
        """See ports.Store."""
        if len(body) > limits.JOURNAL_ENTRY_BYTES_MAX:
            raise LocalProtocolError(f"journal entry of {len(body)} bytes for {stem}", code="oversized")
        disk = await self._usable_disk()
        disk.take(len(body))
        number = disk.next_number
        disk.next_number += 1
        disk.journal.append(JournalEntry(number, stem, key, bytes(body)))
        return number

    async def entries(self, stem: str) -> tuple[JournalEntry, ...]:
        """See ports.Store."""
        disk = await self._usable_disk()
        return tuple(entry for entry in disk.journal if entry.stem == stem)

    async def compact(self, stem: str, key: str, *, keep_last: int) -> int:
        """See ports.Store."""
        disk = await self._usable_disk()
        numbers = [entry.number for entry in disk.journal if (entry.stem, entry.key) == (stem, key)]
        gone = set(numbers[: max(0, len(numbers) - max(keep_last, 0))])
        disk.journal = [entry for entry in disk.journal if entry.number not in gone]
        return len(gone)

    async def put_nodes(self, nodes: Iterable[StoredNode]) -> None:
        """See ports.Store. Past MAP_ENTRIES_MAX the nodes that were seen longest ago go."""
        disk = await self._usable_disk()
        new = {node.peer: node for node in nodes}
        disk.take(sum(len(node.record) for node in new.values()))
        disk.nodes.update(new)
        for node in _newest_first(disk.nodes)[limits.MAP_ENTRIES_MAX :]:
            del disk.nodes[node.peer]

    async def forget_nodes(self, peers: Iterable[PeerId]) -> None:
        """See ports.Store."""
        disk = await self._usable_disk()
        for peer in peers:
            disk.nodes.pop(peer, None)

    async def nodes(self) -> tuple[StoredNode, ...]:
        """See ports.Store."""
        return tuple(_newest_first((await self._usable_disk()).nodes))

    async def set_value(self, name: str, value: bytes) -> None:
        """See ports.Store."""
        if len(value) > limits.STORE_VALUE_BYTES_MAX:
            raise LocalProtocolError(f"value {name!r} of {len(value)} bytes", code="oversized")
        disk = await self._usable_disk()
        disk.take(len(value))
        disk.values[name] = bytes(value)

    async def value(self, name: str) -> bytes | None:
        """See ports.Store."""
        return (await self._usable_disk()).values.get(name)

    async def _usable_disk(self) -> MemoryDisk:
        await trio.lowlevel.checkpoint()
        if self._is_closed:
            raise StoreError("the simulated store is closed", code="store_closed")
        return self._disk


def _newest_first(nodes: dict[PeerId, StoredNode]) -> list[StoredNode]:
    return sorted(nodes.values(), key=lambda node: (-node.seen_unix_ms, node.peer))
