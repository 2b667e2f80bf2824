"""From SQLite's result codes to the codes of StoreError.

Source: https://sqlite.org/rescode.html. The extended code is used: only ENOSPC becomes SQLITE_FULL, while a
quota or a file size limit shows as SQLITE_IOERR_WRITE.
"""

import sqlite3
from pathlib import Path

from skyops_p2p.errors import StoreError

_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE}
_TORN = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_UNSYNCED = {sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC}
_TORN_HINT = (
    "Move the store and its -wal file aside and start again: keys and settings are kept, the map is "
    "relearnt, open promises are lost. `sqlite3 FILE .recover` may save more."
)


def store_error(error: sqlite3.Error, path: Path) -> StoreError:
    """Return the StoreError that says what happened to the database at `path`."""
    extended = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    primary = extended & 0xFF
    if extended in _FULL or primary == sqlite3.SQLITE_FULL:
        return StoreError(
            f"no room to write {path}: {error}",
            code="store_full",
            hint="Free disk space, or raise the quota or file size limit; nothing was half-written.",
        )
    if primary in _TORN:
        return torn(path, str(error))
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreError(f"another program holds {path} locked: {error}", code="store_locked")
    return StoreError(f"{path} cannot be used: {error}", code="store_unusable")


def torn(path: Path, finding: str) -> StoreError:
    """Return the error for a damaged database; it is never repaired or replaced without being asked."""
    return StoreError(f"{path} is damaged: {finding}", code="store_torn", hint=_TORN_HINT)


def is_sync_failure(error: sqlite3.Error) -> bool:
    """Return whether an fsync failed: the kernel may have dropped the pages, so trust nothing after it."""
    return getattr(error, "sqlite_errorcode", 0) in _UNSYNCED
