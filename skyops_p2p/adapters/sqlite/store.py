"""The durable store: journal, node map and named values in one SQLite file.

All SQL runs in one worker thread at a time, never in the event loop. Writes that wait for the disk together
are committed together (group commit): each is acknowledged only after its transaction is synced, and sixteen
tasks that append at once pay for about two syncs, not for sixteen. A cancelled call is whole or absent: while
it waits it leaves the queue, and once its transaction runs the cancellation waits for the outcome.

Sources: sqlite.org/wal.html, pragma.html#pragma_synchronous; the habit of journal first from magic-wormhole.
"""

import json
import sqlite3
import zlib
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import trio

from skyops_p2p import limits
from skyops_p2p.adapters.sqlite.errors import is_sync_failure, store_error, torn
from skyops_p2p.adapters.sqlite.lock import StoreLock
from skyops_p2p.adapters.sqlite.schema import connect, count_keys, inspect, peek
from skyops_p2p.errors import LocalProtocolError, SkyopsError, StoreError
from skyops_p2p.ports import JournalEntry, StoredNode
from skyops_p2p.types import Multiaddr, PeerId, UnixMs

STORE_FILE_NAME = "store.db"
T = TypeVar("T")
Operation = Callable[[sqlite3.Connection], T]


@asynccontextmanager
async def open_sqlite_store(path: Path) -> AsyncIterator["SqliteStore"]:
    """Open the store at `path` for this process alone, for the length of the block.

    Args:
        path: The database file, usually STORE_FILE_NAME in the data directory, which must exist. A lock file
            with the suffix ".lock" is kept beside it.

    Raises:
        StoreError: `store_locked`, `store_torn`, `store_too_new`, `store_full` or `store_unusable`.
    """
    store = await trio.to_thread.run_sync(_open, path)
    try:
        yield store
    finally:
        with trio.CancelScope(shield=True):
            await store.aclose()


def inspect_store(path: Path) -> int:
    """Check the store at `path` without opening it for use; blocking. Return its schema's number.

    Raises:
        StoreError: `store_torn`, `store_too_new` or `store_unusable`.
    """
    try:
        return inspect(path)
    except sqlite3.Error as error:
        raise store_error(error, path) from error
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}", code="store_unusable") from error


def peek_value(path: Path, name: str) -> bytes | None:
    """Return a named value of the store at `path`, also while a node has it; blocking. None: there is none.

    Raises:
        StoreError: `store_torn`, `store_too_new` or `store_unusable`.
    """
    return _looked(path, lambda: peek(path, name))


def count_entries(path: Path, stem: str) -> int:
    """Return how many keys of a stem the journal at `path` holds, also while a node has it; blocking.

    Raises:
        StoreError: `store_torn`, `store_too_new` or `store_unusable`.
    """
    return _looked(path, lambda: count_keys(path, stem)) or 0


def _looked(path: Path, look: Callable[[], T]) -> T | None:
    """Return what a look at a database brings, or None if there is no such file."""
    try:
        return look()
    except FileNotFoundError:
        return None
    except sqlite3.Error as error:
        raise store_error(error, path) from error
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}", code="store_unusable") from error


def _open(path: Path) -> "SqliteStore":
    lock = StoreLock(path.with_suffix(".lock"))
    try:
        return SqliteStore(connect(path), path, lock)
    except BaseException as error:
        lock.release()
        if isinstance(error, sqlite3.Error):
            raise store_error(error, path) from error
        if isinstance(error, OSError):
            raise StoreError(f"cannot make {path}: {error.strerror}", code="store_unusable") from error
        raise


@dataclass(eq=False, slots=True)
class _Write(Generic[T]):
    """A write that waits for a transaction, and what became of it."""

    operation: Operation[T]
    result: T | None = None
    error: Exception | None = None
    is_done: bool = False


class SqliteStore:
    """Implements ports.Store; made by `open_sqlite_store`."""

    def __init__(self, connection: sqlite3.Connection, path: Path, lock: StoreLock) -> None:
        self._connection = connection
        self._path = path
        self._lock = lock
        self._turn = trio.Lock()
        self._thread = trio.CapacityLimiter(1)
        self._admission = trio.Semaphore(limits.STORE_CALLS_WAITING_MAX)
        self._waiting: list[_Write[Any]] = []
        self._is_closed = False
        self._is_unsynced = False

    async def append(self, stem: str, key: str, body: bytes) -> int:
        """See ports.Store."""
        if len(body) > limits.JOURNAL_ENTRY_BYTES_MAX:
            raise LocalProtocolError(f"journal entry of {len(body)} bytes for {stem}", code="oversized")
        row = (stem, key, body, _checksum(stem, key, body))
        statement = "INSERT INTO journal (stem, key, body, checksum) VALUES (?, ?, ?, ?)"
        number = await self._write(lambda connection: connection.execute(statement, row).lastrowid)
        assert number is not None
        return number

    async def entries(self, stem: str) -> tuple[JournalEntry, ...]:
        """See ports.Store."""
        return await self._read(lambda connection: _entries(connection, stem, self._path))

    async def compact(self, stem: str, key: str, *, keep_last: int) -> int:
        """See ports.Store."""
        statement = """DELETE FROM journal WHERE stem = ?1 AND key = ?2 AND number NOT IN
            (SELECT number FROM journal WHERE stem = ?1 AND key = ?2 ORDER BY number DESC LIMIT ?3)"""
        row = (stem, key, max(keep_last, 0))
        return await self._write(lambda connection: connection.execute(statement, row).rowcount)

    async def put_nodes(self, nodes: Iterable[StoredNode]) -> None:
        """See ports.Store. Past MAP_ENTRIES_MAX the nodes that were seen longest ago go."""
        rows = [(n.peer, n.record, json.dumps(n.addrs), n.state, n.seen_unix_ms) for n in nodes]
        await self._write(lambda connection: _put_nodes(connection, rows))

    async def forget_nodes(self, peers: Iterable[PeerId]) -> None:
        """See ports.Store."""
        rows = [(peer,) for peer in peers]
        await self._write(lambda connection: connection.executemany("DELETE FROM nodes WHERE peer = ?", rows))

    async def nodes(self) -> tuple[StoredNode, ...]:
        """See ports.Store."""
        return await self._read(lambda connection: _nodes(connection, self._path))

    async def set_value(self, name: str, value: bytes) -> None:
        """See ports.Store."""
        if len(value) > limits.STORE_VALUE_BYTES_MAX:
            raise LocalProtocolError(f"value {name!r} of {len(value)} bytes", code="oversized")
        statement = "INSERT OR REPLACE INTO named (name, value) VALUES (?, ?)"
        await self._write(lambda connection: connection.execute(statement, (name, value)))

    async def value(self, name: str) -> bytes | None:
        """See ports.Store."""
        statement = "SELECT value FROM named WHERE name = ?"
        row = await self._read(lambda connection: connection.execute(statement, (name,)).fetchone())
        return None if row is None else bytes(row[0])

    async def aclose(self) -> None:
        """Finish the call in progress, close the file and let the next process in; harmless when repeated."""
        async with self._turn:
            if self._is_closed:
                return
            self._is_closed = True
            try:
                await trio.to_thread.run_sync(self._connection.close, limiter=self._thread)
            finally:
                self._lock.release()

    async def _read(self, operation: Operation[T]) -> T:
        """Run a query in the thread."""
        async with self._admission, self._turn:
            self._check_usable()
            with trio.CancelScope(shield=True):
                row = await trio.to_thread.run_sync(self._query, operation, limiter=self._thread)
            return row  # noqa: RET504 - inside the scope mypy would miss a return: a scope may swallow

    async def _write(self, operation: Operation[T]) -> T:
        """Run a write together with those that wait beside it; return when it is on the disk."""
        async with self._admission:
            write = _Write(operation)
            self._waiting.append(write)
            try:
                async with self._turn:
                    if not write.is_done:  # else a call ahead of us in the queue took our write along
                        self._check_usable()
                        undone = [waiting for waiting in self._waiting if not waiting.is_done]
                        batch = undone[: limits.STORE_WRITES_PER_COMMIT_MAX]
                        assert write in batch, "the lock and the queue are in the same order"
                        with trio.CancelScope(shield=True):
                            await trio.to_thread.run_sync(self._commit, batch, limiter=self._thread)
            finally:
                self._waiting.remove(write)
        if write.error is not None:
            raise write.error
        return write.result  # type: ignore[return-value]  # set when is_done without an error

    def _check_usable(self) -> None:
        if self._is_closed:
            raise StoreError(f"{self._path} is closed", code="store_closed", hint="The node is stopping.")
        if self._is_unsynced:
            raise StoreError(
                f"{self._path}: the disk failed to sync, so what it holds is uncertain",
                code="store_unusable",
                hint="Look at the kernel's log for disk errors, then start the node again.",
            )

    # --- in the thread ---
    def _query(self, operation: Operation[T]) -> T:
        try:
            return operation(self._connection)
        except sqlite3.Error as error:
            raise store_error(error, self._path) from error

    def _commit(self, batch: list[_Write[Any]]) -> None:
        """Commit a batch as one transaction; if that fails, each alone, so that none pays for another."""
        error = self._transact(batch)
        if error is None:
            return
        for write in batch:
            if len(batch) > 1 and not self._is_unsynced:
                error = self._transact([write])
            if error is not None:
                write.error, write.is_done = error, True

    def _transact(self, batch: list[_Write[Any]]) -> SkyopsError | None:
        """Run a batch in one transaction; all are done, or an error is returned and nothing is visible."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            results = [write.operation(self._connection) for write in batch]
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._is_unsynced |= is_sync_failure(error)
            self._roll_back()
            refusal: SkyopsError = store_error(error, self._path)
            refusal.__cause__ = error
            return refusal
        except (OverflowError, ValueError) as error:  # a number or text that SQLite cannot hold
            self._roll_back()
            refusal = LocalProtocolError(f"this cannot be stored: {error}", code="unstorable")
            refusal.__cause__ = error
            return refusal
        for write, result in zip(batch, results, strict=True):
            write.result, write.is_done = result, True
        return None

    def _roll_back(self) -> None:
        """End a transaction that SQLite has not ended by itself (it does on some errors)."""
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")


def _checksum(stem: str, key: str, body: bytes) -> int:
    """Return a CRC-32: SQLite does not notice a changed byte inside a value."""
    return zlib.crc32(body, zlib.crc32(f"{stem}\0{key}\0".encode()))


def _entries(connection: sqlite3.Connection, stem: str, path: Path) -> tuple[JournalEntry, ...]:
    rows = connection.execute(
        "SELECT number, key, body, checksum FROM journal WHERE stem = ? ORDER BY number", (stem,)
    )
    entries = []
    for number, key, body, checksum in rows:
        if checksum != _checksum(stem, key, body):
            raise torn(path, f"journal entry {number} does not match its checksum")
        entries.append(JournalEntry(number, stem, key, body))
    return tuple(entries)


def _put_nodes(connection: sqlite3.Connection, rows: Iterable[tuple[object, ...]]) -> None:
    connection.executemany(
        "INSERT OR REPLACE INTO nodes (peer, record, addrs, state, seen_unix_ms) VALUES (?, ?, ?, ?, ?)", rows
    )
    (count,) = connection.execute("SELECT COUNT(*) FROM nodes").fetchone()
    excess = count - limits.MAP_ENTRIES_MAX
    if excess > 0:
        connection.execute(
            "DELETE FROM nodes WHERE peer IN (SELECT peer FROM nodes ORDER BY seen_unix_ms, peer DESC LIMIT ?)",
            (excess,),
        )


def _nodes(connection: sqlite3.Connection, path: Path) -> tuple[StoredNode, ...]:
    rows = connection.execute(
        "SELECT peer, record, addrs, state, seen_unix_ms FROM nodes ORDER BY seen_unix_ms DESC, peer"
    )
    try:
        return tuple(
            StoredNode(
                PeerId(peer),
                record,
                tuple(Multiaddr(addr) for addr in json.loads(addrs)),
                state,
                UnixMs(seen),
            )
            for peer, record, addrs, state, seen in rows
        )
    except ValueError as error:
        raise torn(path, "a node of the map has unreadable addresses") from error
