"""The block store port: content-addressed blocks on this machine, within a quota."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from skyops_p2p.types import UnixMs
from skyops_p2p.wire.cid import Cid

Block = tuple[Cid, bytes]


@dataclass(frozen=True, slots=True)
class BlockStatistics:
    """What a block store holds, and what happened since it was opened."""

    blocks: int
    bytes_used: int
    bytes_pinned: int
    quota_bytes: int
    evicted: int
    damaged: int
    """Blocks that no longer were what they are named after, and were removed."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Somebody for whom blocks are kept."""

    name: str
    blocks: int
    size_bytes: int
    until_unix_ms: UnixMs | None
    """When it lapses; None: never by itself."""
    note: bytes = b""
    """Bytes that were given with it."""


class BlockStore(Protocol):
    """Blocks by their CID. Whatever happens to the process, a block is whole or absent.

    A block is *pinned* while an owner has it; unpinned ones stay until room is needed, the least recently used going
    first. Content is checked against its name when it is read; what is damaged is removed and counts as absent. A call
    returns when its effect outlives the process; `sync` makes it outlive a power cut. Every call may raise StoreError:
    `store_full`, `store_locked`, `store_torn`, `store_unusable`, `store_closed`; after an error nothing of the call is
    visible.
    """

    async def put(self, blocks: Sequence[Block], *, owner: str) -> None:
        """Keep blocks, pinned by an owner; those that are here are only pinned. The caller has checked their names.

        Raises:
            StoreError: `store_full`: the quota or the disk does not hold them, even without all that is unpinned.
        """

    async def get(self, cids: Sequence[Cid], *, is_checked: bool = True) -> list[bytes | None]:
        """Read blocks, in the order asked; None for an absent one.

        Args:
            cids: At most CONTENT_BATCH_BLOCKS_MAX.
            is_checked: False where the reader finds damage by itself, as opening a sealed chunk does.
        """

    async def present(self, cids: Iterable[Cid]) -> frozenset[Cid]:
        """Tell which blocks are here, without reading them."""

    async def discard(self, cids: Iterable[Cid]) -> None:
        """Remove blocks that turned out to be damaged, pinned or not."""

    async def pin(self, cids: Iterable[Cid], *, owner: str) -> frozenset[Cid]:
        """Pin blocks that are here; return those that are."""

    async def unpin(self, owner: str) -> int:
        """Forget an owner; return how many blocks it had. An unknown one is ignored."""

    async def keep_until(self, owner: str, until: UnixMs | None, *, note: bytes = b"") -> None:
        """Set when an owner lapses, None for never, and its note; an unknown owner is remembered.

        Args:
            owner: At most CONTENT_OWNER_CHARS_MAX characters.
            until: When.
            note: At most CONTENT_NOTE_BYTES_MAX.
        """

    async def expire(self, now: UnixMs) -> tuple[str, ...]:
        """Forget the owners that have lapsed; return their names."""

    async def owners(self) -> tuple[Owner, ...]:
        """Return all owners, by name."""

    async def sync(self) -> None:
        """Return when all blocks and pins would survive a power cut."""

    def statistics(self) -> BlockStatistics:
        """Return a snapshot."""
