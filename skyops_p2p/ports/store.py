"""The local store port: journal, node map and small named values."""

from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from skyops_p2p.types import Multiaddr, PeerId, UnixMs


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One promise or fact that must survive a crash."""

    number: int
    stem: str
    """Which machine family it belongs to ("peering", "auction", …)."""
    key: str
    """Which machine of the family, e.g. a peer id."""
    body: bytes
    """Canonical msgpack."""


@dataclass(frozen=True, slots=True)
class StoredNode:
    """One node of the map as it is kept across restarts."""

    peer: PeerId
    record: bytes
    """The signed envelope as received; for a SLASHED node the proof."""
    addrs: tuple[Multiaddr, ...]
    state: str
    seen_unix_ms: UnixMs


class Store(Protocol):
    """Durable local state. A call returns when its effect would survive a power cut. One process at a time.

    Every call may raise StoreError with a code: `store_full`, `store_locked`, `store_torn`, `store_too_new`,
    `store_closed`. Calls are atomic: after an error nothing of them is visible.
    """

    async def append(self, stem: str, key: str, body: bytes) -> int:
        """Append to the journal and return the entry's number (rising, without reuse)."""

    async def entries(self, stem: str) -> tuple[JournalEntry, ...]:
        """Return a stem's journal in order."""

    async def compact(self, stem: str, key: str, *, keep_last: int) -> int:
        """Forget all but the last `keep_last` entries of one key; return how many went."""

    async def put_nodes(self, nodes: Iterable[StoredNode]) -> None:
        """Insert or replace nodes of the map."""

    async def forget_nodes(self, peers: Iterable[PeerId]) -> None:
        """Delete nodes of the map; unknown ones are ignored."""

    async def nodes(self) -> tuple[StoredNode, ...]:
        """Return the whole stored map, most recently seen first."""

    async def set_value(self, name: str, value: bytes) -> None:
        """Set a small named value (at most 64 KiB)."""

    async def value(self, name: str) -> bytes | None:
        """Return a named value, or None."""


OpenStore = Callable[[], AbstractAsyncContextManager[Store]]
