"""The tables, as numbered migrations, and how a database file comes to be.

`PRAGMA user_version` is the number of migrations applied. A published migration is never edited: a change is
a new one at the end. `application_id` tells a Skyops store from any other SQLite file.
"""

import os
import sqlite3
from pathlib import Path

from skyops_p2p.adapters.sqlite.errors import torn
from skyops_p2p.errors import StoreError

APPLICATION_ID = 0x536B794F
""""SkyO" in ASCII."""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        # AUTOINCREMENT: the number of a forgotten entry is never given out again.
        """CREATE TABLE journal (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            stem TEXT NOT NULL,
            key TEXT NOT NULL,
            body BLOB NOT NULL,
            checksum INTEGER NOT NULL
        ) STRICT""",
        "CREATE INDEX journal_by_key ON journal (stem, key, number)",
        """CREATE TABLE nodes (
            peer TEXT PRIMARY KEY NOT NULL,
            record BLOB NOT NULL,
            addrs TEXT NOT NULL,
            state TEXT NOT NULL,
            seen_unix_ms INTEGER NOT NULL
        ) STRICT""",
        "CREATE INDEX nodes_by_seen ON nodes (seen_unix_ms, peer)",
        "CREATE TABLE named (name TEXT PRIMARY KEY NOT NULL, value BLOB NOT NULL) STRICT",
    ),
)


def connect(path: Path) -> sqlite3.Connection:
    """Open the database at `path`, making it if there is none, and bring it to the newest schema.

    Raises:
        sqlite3.Error: SQLite refused; the caller maps it.
        StoreError: `store_torn` or `store_too_new`.
        OSError: The file cannot be made.
    """
    wal = path.with_name(path.name + "-wal")
    if not path.exists():
        if wal.exists() and wal.stat().st_size:
            raise torn(path, f"it is gone, but {wal.name} is there")
        _create(path)
    elif path.stat().st_size == 0:
        raise torn(path, "it is empty")  # SQLite would take an empty file for a new database
    connection = sqlite3.connect(path, timeout=0.0, isolation_level=None, check_same_thread=False)
    try:
        _check(connection, path)
        # WAL: readers of other tools do not block us, and a commit is one write and one sync.
        # FULL: the sync happens at each commit. With NORMAL a power cut takes back acknowledged promises.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA journal_size_limit = 4194304")
        _migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def inspect(path: Path) -> int:
    """Check an existing database without changing it and return its schema's number.

    Raises:
        sqlite3.Error: SQLite refused; the caller maps it.
        StoreError: `store_torn` or `store_too_new`.
    """
    connection = _to_look(path)
    try:
        return _check(connection, path)
    finally:
        connection.close()


def peek(path: Path, name: str) -> bytes | None:
    """Return a named value of an existing database, also while a node has it; None: it has no such value.

    Raises:
        sqlite3.Error: SQLite refused; the caller maps it.
        StoreError: `store_torn` or `store_too_new`.
    """
    connection = _to_look(path)
    try:
        _check(connection, path)
        row = connection.execute("SELECT value FROM named WHERE name = ?", (name,)).fetchone()
        return None if row is None else bytes(row[0])
    finally:
        connection.close()


def count_keys(path: Path, stem: str) -> int:
    """Return how many keys of a stem the journal has, also while a node has the database.

    Raises:
        sqlite3.Error: SQLite refused; the caller maps it.
        StoreError: `store_torn` or `store_too_new`.
    """
    connection = _to_look(path)
    try:
        _check(connection, path)
        row = connection.execute("SELECT COUNT(DISTINCT key) FROM journal WHERE stem = ?", (stem,)).fetchone()
        return int(row[0])
    finally:
        connection.close()


def _to_look(path: Path) -> sqlite3.Connection:
    if path.stat().st_size == 0:
        raise torn(path, "it is empty")
    wal = path.with_name(path.name + "-wal")
    # After a clean stop there is no log, and `immutable` keeps SQLite from making new files beside the store.
    mode = "mode=ro" if wal.exists() and wal.stat().st_size else "immutable=1"
    return sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True, timeout=0.0)


def _create(path: Path) -> None:
    """Make an empty store under another name and rename it, so that a crash leaves all of it or nothing."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    connection = sqlite3.connect(draft, isolation_level=None)
    try:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        _migrate(connection)
    finally:
        connection.close()
    _sync(draft)
    draft.rename(path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    """Force a file's content, or a directory's entries, to the disk."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _check(connection: sqlite3.Connection, path: Path) -> int:
    """Refuse what is not ours, too new, or damaged, before anything is written; return the schema's number."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if application != APPLICATION_ID:
        raise torn(path, "it is not a Skyops store")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise StoreError(
            f"{path} has schema {version}, and this program knows {len(MIGRATIONS)}",
            code="store_too_new",
            hint="Install the newer skyops that wrote it; going back needs another data directory.",
        )
    (finding,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if finding != "ok":
        raise torn(path, finding)
    return int(version)


def _migrate(connection: sqlite3.Connection) -> None:
    """Apply the missing migrations, each whole or not at all."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    for number, statements in enumerate(MIGRATIONS[version:], start=version + 1):
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in statements:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
