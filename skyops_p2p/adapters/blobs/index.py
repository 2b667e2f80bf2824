"""The index of the block files: which are whole, for whom they are kept, and which were used last.

A row says `is_whole` only after its file is written, and stops saying so before its file goes. So whatever is killed at
whatever instant, a row that is not whole names a file that may be torn, and opening the index hands these back to be
deleted. The index is not synced at each commit (synchronous=NORMAL): a power cut may take back the newest rows, never
tear it, and the files that then have no row are found by `Index.was_left_open`. Blocking; used under the store's lock.
"""

import sqlite3
from collections.abc import Container, Iterable, Sequence
from pathlib import Path

from skyops_p2p.errors import StoreError
from skyops_p2p.ports.content import Owner
from skyops_p2p.types import UnixMs
from skyops_p2p.wire.cid import Cid, decode_cid

APPLICATION_ID = 0x536B7942
""""SkyB" in ASCII."""
ROWS_PER_QUERY = 500
"""SQLite's oldest bound on the parameters of a statement is 999."""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE blocks (
            cid BLOB PRIMARY KEY NOT NULL,
            size_bytes INTEGER NOT NULL,
            used INTEGER NOT NULL,
            pins INTEGER NOT NULL DEFAULT 0,
            is_whole INTEGER NOT NULL DEFAULT 0
        ) STRICT, WITHOUT ROWID""",
        "CREATE INDEX blocks_to_evict ON blocks (used) WHERE pins = 0 AND is_whole = 1",
        "CREATE INDEX blocks_torn ON blocks (cid) WHERE is_whole = 0",
        """CREATE TABLE owners (
            id INTEGER PRIMARY KEY,
            name TEXT UNIQUE NOT NULL,
            until_unix_ms INTEGER,
            note BLOB NOT NULL DEFAULT x''
        ) STRICT""",
        """CREATE TABLE pins (
            owner INTEGER NOT NULL,
            cid BLOB NOT NULL,
            PRIMARY KEY (owner, cid)
        ) STRICT, WITHOUT ROWID""",
        "CREATE INDEX pins_by_cid ON pins (cid)",
        # The count beside each block makes eviction a walk along one index.
        """CREATE TRIGGER pinned AFTER INSERT ON pins BEGIN
            UPDATE blocks SET pins = pins + 1 WHERE cid = NEW.cid; END""",
        """CREATE TRIGGER unpinned AFTER DELETE ON pins BEGIN
            UPDATE blocks SET pins = pins - 1 WHERE cid = OLD.cid; END""",
        "CREATE TABLE state (name TEXT PRIMARY KEY NOT NULL, value INTEGER NOT NULL) STRICT",
    ),
)


class Index:
    """One open index; `close` it.

    Args:
        path: The database file; made if there is none.

    Raises:
        sqlite3.Error: SQLite refused; the caller maps it.
        StoreError: `store_torn` (not an index, or damaged) or `store_too_new`.
    """

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, timeout=0.0, isolation_level=None, check_same_thread=False)
        try:
            self._prepare(path)
            self.was_left_open = self._begin_use()
        except BaseException:
            self._connection.close()
            raise
        self._used = self._number("SELECT max(used) FROM blocks")

    def close(self) -> None:
        """Note that all is in order, and close."""
        self._connection.execute("INSERT OR REPLACE INTO state VALUES ('is_open', 0)")
        self._connection.close()

    def abandon(self) -> None:
        """Close without a word, after an error."""
        self._connection.close()

    def sync(self) -> None:
        """Return when what was committed would survive a power cut."""
        self._connection.execute("PRAGMA wal_checkpoint(FULL)")

    # --- what is there ----------------------------------------------------------------------------------------
    def sizes(self) -> tuple[int, int, int]:
        """Return (blocks, bytes, bytes pinned) of what is whole."""
        row = self._connection.execute(
            """SELECT count(*), total(size_bytes), total(CASE WHEN pins > 0 THEN size_bytes END)
            FROM blocks WHERE is_whole = 1"""
        ).fetchone()
        return int(row[0]), int(row[1]), int(row[2])

    def whole(self, cids: Iterable[Cid]) -> dict[Cid, int]:
        """Return {cid: size} of those that are here and whole."""
        found: dict[Cid, int] = {}
        for keys in _slices(cids):
            rows = self._connection.execute(
                f"SELECT cid, size_bytes FROM blocks WHERE is_whole = 1 AND cid IN ({_marks(keys)})",  # noqa: S608
                keys,
            )
            found.update((decode_cid(cid), size) for cid, size in rows)
        return found

    def torn(self) -> list[Cid]:
        """Return the blocks whose files may be torn or gone."""
        rows = self._connection.execute("SELECT cid FROM blocks WHERE is_whole = 0")
        return [decode_cid(cid) for (cid,) in rows]

    def oldest_unpinned(self, bytes_wanted: int, without: Container[Cid]) -> list[tuple[Cid, int]]:
        """Return least recently used blocks without a pin that together hold so many bytes, or all there are."""
        chosen: list[tuple[Cid, int]] = []
        rows = self._connection.execute(
            "SELECT cid, size_bytes FROM blocks WHERE pins = 0 AND is_whole = 1 ORDER BY used"
        )
        for cid, size in rows:
            if bytes_wanted <= 0:
                break
            if (block := decode_cid(cid)) not in without:
                chosen.append((block, size))
                bytes_wanted -= size
        rows.close()
        return chosen

    # --- blocks come and go -----------------------------------------------------------------------------------
    def begin(self, sizes: Iterable[tuple[Cid, int]]) -> None:
        """Note blocks whose files are about to be written."""
        self._used += 1
        rows = [(bytes(cid), size, self._used) for cid, size in sizes]
        self._many(
            """INSERT INTO blocks (cid, size_bytes, used) VALUES (?, ?, ?)
            ON CONFLICT (cid) DO UPDATE SET size_bytes = excluded.size_bytes, used = excluded.used""",
            rows,
        )

    def finish(self, new: Sequence[Cid], pinned: Sequence[Cid], owner: str) -> None:
        """Note that the files of new blocks are whole, and pin blocks that are whole."""
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            keys = [(bytes(cid),) for cid in new]
            self._connection.executemany("UPDATE blocks SET is_whole = 1 WHERE cid = ?", keys)
            self._insert_pins(pinned, owner)

    def condemn(self, cids: Iterable[Cid]) -> None:
        """Note blocks whose files are about to be deleted."""
        self._many("UPDATE blocks SET is_whole = 0 WHERE cid = ?", [(bytes(cid),) for cid in cids])

    def forget(self, cids: Iterable[Cid]) -> None:
        """Forget blocks whose files are gone, with their pins."""
        keys = [(bytes(cid),) for cid in cids]
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany("DELETE FROM pins WHERE cid = ?", keys)
            self._connection.executemany("DELETE FROM blocks WHERE cid = ?", keys)

    def touch(self, cids: Iterable[Cid]) -> None:
        """Note that blocks were used just now."""
        self._used += 1
        self._many("UPDATE blocks SET used = ? WHERE cid = ?", [(self._used, bytes(cid)) for cid in cids])

    # --- owners -----------------------------------------------------------------------------------------------
    def pin(self, cids: Iterable[Cid], owner: str) -> None:
        """Pin blocks that are here."""
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._insert_pins(cids, owner)

    def unpin(self, owner: str) -> int:
        """Forget an owner; return how many blocks it had."""
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            row = self._connection.execute("SELECT id FROM owners WHERE name = ?", (owner,)).fetchone()
            if row is None:
                return 0
            gone = self._connection.execute("DELETE FROM pins WHERE owner = ?", row).rowcount
            self._connection.execute("DELETE FROM owners WHERE id = ?", row)
            return gone

    def keep_until(self, owner: str, until: UnixMs | None, note: bytes) -> None:
        """Set when an owner lapses, and its note."""
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            number = self._owner(owner)
            self._connection.execute(
                "UPDATE owners SET until_unix_ms = ?, note = ? WHERE id = ?", (until, note, number)
            )

    def lapsed(self, now: UnixMs) -> tuple[str, ...]:
        """Return the owners whose time is over."""
        rows = self._connection.execute(
            "SELECT name FROM owners WHERE until_unix_ms <= ? ORDER BY name", (now,)
        )
        return tuple(name for (name,) in rows)

    def owners(self) -> tuple[Owner, ...]:
        """Return all owners, by name."""
        rows = self._connection.execute(
            """SELECT name, count(blocks.cid), total(size_bytes), until_unix_ms, note FROM owners
            LEFT JOIN pins ON owner = id LEFT JOIN blocks ON blocks.cid = pins.cid AND is_whole = 1
            GROUP BY id ORDER BY name"""
        )
        return tuple(
            Owner(name, blocks, int(size), None if until is None else UnixMs(until), note)
            for name, blocks, size, until, note in rows
        )

    # --- parts ------------------------------------------------------------------------------------------------
    def _prepare(self, path: Path) -> None:
        connection = self._connection
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA journal_size_limit = 4194304")
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if (application, version) != (0, 0) and application != APPLICATION_ID:
            raise StoreError(f"{path} is damaged: it is not an index of blocks", code="store_torn")
        if version > len(MIGRATIONS):
            raise StoreError(
                f"{path} has schema {version}, and this program knows {len(MIGRATIONS)}",
                code="store_too_new",
                hint="Install the newer skyops that wrote it; going back needs another data directory.",
            )
        (finding,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if finding != "ok":
            raise StoreError(f"{path} is damaged: {finding}", code="store_torn")
        for number, statements in enumerate(MIGRATIONS[version:], start=version + 1):
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                for statement in statements:
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {number}")
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")

    def _begin_use(self) -> bool:
        """Note that the index is open; return whether it was not closed the last time."""
        was_open = bool(self._number("SELECT value FROM state WHERE name = 'is_open'"))
        self._connection.execute("INSERT OR REPLACE INTO state VALUES ('is_open', 1)")
        return was_open

    def _insert_pins(self, cids: Iterable[Cid], owner: str) -> None:
        number = self._owner(owner)
        rows = [(number, bytes(cid)) for cid in cids]
        self._connection.executemany("INSERT OR IGNORE INTO pins VALUES (?, ?)", rows)

    def _owner(self, name: str) -> int:
        self._connection.execute("INSERT OR IGNORE INTO owners (name) VALUES (?)", (name,))
        return self._number("SELECT id FROM owners WHERE name = ?", (name,))

    def _number(self, query: str, parameters: tuple[object, ...] = ()) -> int:
        row = self._connection.execute(query, parameters).fetchone()
        return int(row[0] or 0) if row else 0

    def _many(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(statement, rows)


def _slices(cids: Iterable[Cid]) -> Iterable[list[bytes]]:
    keys = [bytes(cid) for cid in cids]
    return (keys[at : at + ROWS_PER_QUERY] for at in range(0, len(keys), ROWS_PER_QUERY))


def _marks(keys: Sequence[bytes]) -> str:
    return ",".join("?" * len(keys))
