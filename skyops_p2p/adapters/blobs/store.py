"""Blocks on disk: files and their index together, under a quota.

All calls run in threads; one lock guards the index, and files are read and written outside of it, so that several
batches are hashed and written side by side. A call that was cancelled runs to its end, so it is whole or absent.
"""

import errno
import logging
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Container, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import trio

from skyops_p2p.adapters.blobs.files import BlockFiles
from skyops_p2p.adapters.blobs.index import Index
from skyops_p2p.errors import StoreError
from skyops_p2p.ports.content import Block, BlockStatistics, Owner
from skyops_p2p.types import UnixMs
from skyops_p2p.wire.cid import Cid

log = logging.getLogger(__name__)

BLOBS_DIR_NAME = "blocks"
INDEX_FILE_NAME = "index.db"
THREADS = 4
PUT_ATTEMPTS = 3
TOUCHED_MAX = 4096
"""Blocks whose use is noted together; a crash forgets that they were used, which costs at most their place in the
order of eviction."""
EVICTION_SLICE_BYTES = 16 << 20
"""Room is made in slices of this size at least, so that not every batch has to."""

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_TORN = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_LOCKED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE)
T = TypeVar("T")


@asynccontextmanager
async def open_disk_blocks(directory: Path, *, quota_bytes: int) -> AsyncIterator["DiskBlocks"]:
    """Open the block store in a directory for the length of the block, for this process alone.

    Args:
        directory: Usually BLOBS_DIR_NAME in the data directory; made if it is missing.
        quota_bytes: What all blocks together may take.

    Raises:
        StoreError: `store_locked`, `store_torn`, `store_too_new`, `store_full` or `store_unusable`.
    """
    store = await trio.to_thread.run_sync(DiskBlocks, directory, quota_bytes)
    try:
        yield store
    finally:
        with trio.CancelScope(shield=True):
            await store.aclose()


class DiskBlocks:
    """Implements ports.BlockStore; made by `open_disk_blocks`."""

    def __init__(self, directory: Path, quota_bytes: int) -> None:
        self._directory = directory
        self._quota_bytes = quota_bytes
        self._lock = threading.Lock()
        self._settled = threading.Condition(self._lock)
        self._threads = trio.CapacityLimiter(THREADS)
        self._is_closed = False
        self._in_the_making: dict[Cid, int] = {}
        self._touched: set[Cid] = set()
        self._unsynced: set[Cid] = set()
        self._evicted = self._damaged = 0
        with self._errors():
            self._files = BlockFiles(directory)
            self._index = Index(directory / INDEX_FILE_NAME)
            self._clean_up()
            _, self._bytes_used, _ = self._index.sizes()

    # --- the port ---------------------------------------------------------------------------------------------
    async def put(self, blocks: Sequence[Block], *, owner: str) -> None:
        """See ports.BlockStore."""
        await self._run(lambda: self._put(dict(blocks), owner))

    async def get(self, cids: Sequence[Cid], *, is_checked: bool = True) -> list[bytes | None]:
        """See ports.BlockStore."""
        return await self._run(lambda: self._get(cids, is_checked=is_checked))

    async def present(self, cids: Iterable[Cid]) -> frozenset[Cid]:
        """See ports.BlockStore."""
        return await self._run(lambda: self._locked(lambda: frozenset(self._index.whole(cids))))

    async def discard(self, cids: Iterable[Cid]) -> None:
        """See ports.BlockStore."""
        await self._run(lambda: self._locked(lambda: self._discard(list(cids))))

    async def pin(self, cids: Iterable[Cid], *, owner: str) -> frozenset[Cid]:
        """See ports.BlockStore."""
        return await self._run(lambda: self._locked(lambda: self._pin(cids, owner)))

    async def unpin(self, owner: str) -> int:
        """See ports.BlockStore."""
        return await self._run(lambda: self._locked(lambda: self._index.unpin(owner)))

    async def keep_until(self, owner: str, until: UnixMs | None, *, note: bytes = b"") -> None:
        """See ports.BlockStore."""
        await self._run(lambda: self._locked(lambda: self._index.keep_until(owner, until, note)))

    async def expire(self, now: UnixMs) -> tuple[str, ...]:
        """See ports.BlockStore."""
        return await self._run(lambda: self._locked(lambda: self._expire(now)))

    async def owners(self) -> tuple[Owner, ...]:
        """See ports.BlockStore."""
        return await self._run(lambda: self._locked(self._index.owners))

    async def sync(self) -> None:
        """See ports.BlockStore."""
        await self._run(self._sync)

    def statistics(self) -> BlockStatistics:
        """See ports.BlockStore."""
        with self._errors():
            blocks, used, pinned = self._locked(self._index.sizes)
        return BlockStatistics(blocks, used, pinned, self._quota_bytes, self._evicted, self._damaged)

    async def aclose(self) -> None:
        """Close; a second call does nothing."""
        await trio.to_thread.run_sync(self._close)

    # --- blocks come --------------------------------------------------------------------------------------------
    def _put(self, blocks: dict[Cid, bytes], owner: str) -> None:
        for _ in range(PUT_ATTEMPTS):
            new = self._begin(blocks)
            try:
                for cid in new:
                    self._write(cid, blocks[cid])
                if self._locked(partial(self._finish, list(blocks), new, owner)):
                    return
            except BaseException:
                self._locked(partial(self._undo, new))
                raise
        raise self._full("blocks were evicted while others were written")

    def _begin(self, blocks: dict[Cid, bytes]) -> list[Cid]:
        """Make room and note the blocks that are not here yet; waits for others that write the same ones."""
        with self._settled:
            while not self._in_the_making.keys().isdisjoint(blocks):
                self._settled.wait()
            here = self._index.whole(blocks)
            sizes = {cid: len(block) for cid, block in blocks.items() if cid not in here}
            self._index.touch(here)
            self._make_room(sum(sizes.values()), here)
            self._index.begin(sizes.items())
            self._in_the_making |= sizes
            self._bytes_used += sum(sizes.values())
        return list(sizes)

    def _write(self, cid: Cid, block: bytes) -> None:
        try:
            self._files.write(cid, block)
        except OSError as error:
            if error.errno not in _NO_ROOM or not self._locked(lambda: self._evict(EVICTION_SLICE_BYTES, ())):
                raise
            self._files.write(cid, block)  # the disk was full, and something could go

    def _finish(self, cids: list[Cid], new: list[Cid], owner: str) -> bool:
        """Note that new blocks are whole, and pin all; False if one that was here went meanwhile."""
        is_all_here = set(cids) == set(new) | self._index.whole(cids).keys()
        self._index.finish(new, cids if is_all_here else new, owner)
        self._unsynced.update(new)
        self._settle(new)
        return is_all_here

    def _undo(self, new: list[Cid]) -> None:
        self._settle(new)
        self._remove([(cid, 0) for cid in new])
        _, whole, _ = self._index.sizes()
        self._bytes_used = whole + sum(self._in_the_making.values())

    def _settle(self, new: list[Cid]) -> None:
        for cid in new:
            self._in_the_making.pop(cid, None)
        self._settled.notify_all()

    # --- blocks are read ----------------------------------------------------------------------------------------
    def _get(self, cids: Sequence[Cid], *, is_checked: bool) -> list[bytes | None]:
        sizes = self._locked(lambda: self._index.whole(cids))
        found: list[bytes | None] = []
        damaged: list[Cid] = []
        for cid in cids:
            block = self._files.read(cid, sizes[cid]) if cid in sizes else None
            if cid in sizes and (block is None or (is_checked and not cid.names(block))):
                damaged.append(cid)
                block = None
            found.append(block)
        self._locked(lambda: self._used(sizes, damaged))
        return found

    def _used(self, cids: Iterable[Cid], damaged: list[Cid]) -> None:
        if damaged:
            self._discard(damaged)
        self._touched.update(cids)
        if len(self._touched) >= TOUCHED_MAX:
            self._note_use()

    def _note_use(self) -> None:
        self._index.touch(self._touched)
        self._touched.clear()

    def _pin(self, cids: Iterable[Cid], owner: str) -> frozenset[Cid]:
        here = frozenset(self._index.whole(cids))
        self._index.pin(here, owner)
        return here

    # --- blocks go ----------------------------------------------------------------------------------------------
    def _make_room(self, size_bytes: int, kept: Container[Cid]) -> None:
        excess = self._bytes_used + size_bytes - self._quota_bytes
        if excess > 0:
            self._evict(max(excess, min(EVICTION_SLICE_BYTES, self._quota_bytes // 8)), kept)
        if self._bytes_used + size_bytes > self._quota_bytes:
            raise StoreError(
                f"the quota of {self._quota_bytes >> 20} MiB for blocks is used up",
                code="store_full",
                hint="Raise content.quota_mib, or end jobs whose data is kept here.",
            )

    def _evict(self, bytes_wanted: int, kept: Container[Cid]) -> int:
        """Delete least recently used blocks that nobody pinned; return how many bytes came free."""
        self._note_use()
        victims = self._index.oldest_unpinned(bytes_wanted, kept)
        self._remove(victims)
        self._evicted += len(victims)
        return sum(size for _, size in victims)

    def _discard(self, cids: list[Cid]) -> None:
        here = self._index.whole(cids)
        if here:
            log.warning("blocks_damaged count=%d first=%s", len(here), min(here))
        self._remove(list(here.items()))
        self._damaged += len(here)

    def _remove(self, blocks: list[tuple[Cid, int]]) -> None:
        cids = [cid for cid, _ in blocks]
        self._index.condemn(cids)
        self._files.delete(cids)
        self._index.forget(cids)
        self._touched.difference_update(cids)
        self._unsynced.difference_update(cids)
        self._bytes_used -= sum(size for _, size in blocks)

    def _expire(self, now: UnixMs) -> tuple[str, ...]:
        names = self._index.lapsed(now)
        for name in names:
            self._index.unpin(name)
        return names

    # --- start and end ------------------------------------------------------------------------------------------
    def _clean_up(self) -> None:
        """Delete what an earlier process had in the making, or had begun to delete."""
        torn = self._index.torn()
        self._files.delete(torn)
        self._index.forget(torn)
        if not self._index.was_left_open:
            return
        batch: list[tuple[Path, Cid | None]] = []
        for entry in self._files.found():
            batch.append(entry)
            if len(batch) >= TOUCHED_MAX:
                self._delete_strays(batch)
                batch = []
        self._delete_strays(batch)

    def _delete_strays(self, batch: list[tuple[Path, Cid | None]]) -> None:
        """Delete files that the index does not know: a power cut took their rows back."""
        known = self._index.whole(cid for _, cid in batch if cid is not None)
        for path, cid in batch:
            if cid not in known:
                path.unlink(missing_ok=True)

    def _sync(self) -> None:
        with self._lock:
            waiting, self._unsynced = self._unsynced, set()
        try:
            self._files.sync(waiting)
            self._locked(self._index.sync)
        except BaseException:
            with self._lock:
                self._unsynced |= waiting
            raise

    def _close(self) -> None:
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            with self._errors():
                try:
                    self._note_use()
                    self._index.close()
                except sqlite3.Error:
                    self._index.abandon()
                    raise

    # --- how calls run ------------------------------------------------------------------------------------------
    async def _run(self, call: Callable[[], T]) -> T:
        def work() -> T:
            with self._errors():
                return call()

        return await trio.to_thread.run_sync(work, limiter=self._threads)

    def _locked(self, call: Callable[[], T]) -> T:
        with self._lock:
            if self._is_closed:
                raise StoreError("the block store is closed", code="store_closed")
            return call()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Map what SQLite and the system say to StoreError."""
        try:
            yield
        except sqlite3.Error as error:
            raise self._sqlite_error(error) from error
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise self._full(error.strerror or "no room") from error
            text = f"{self._directory} cannot be used: {error.strerror}"
            raise StoreError(text, code="store_unusable") from error

    def _sqlite_error(self, error: sqlite3.Error) -> StoreError:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
        if code in _FULL or code & 0xFF == sqlite3.SQLITE_FULL:
            return self._full(str(error))
        if code & 0xFF in _TORN:
            return StoreError(
                f"{self._directory / INDEX_FILE_NAME} is damaged: {error}",
                code="store_torn",
                hint="Move the directory aside and start again: blocks are fetched again from where they are held.",
            )
        if code & 0xFF in _LOCKED:
            return StoreError(f"{self._directory} is in use by another process", code="store_locked")
        return StoreError(f"{self._directory} cannot be used: {error}", code="store_unusable")

    def _full(self, reason: str) -> StoreError:
        return StoreError(
            f"no room for blocks in {self._directory}: {reason}",
            code="store_full",
            hint="Free disk space; nothing was half-written.",
        )
