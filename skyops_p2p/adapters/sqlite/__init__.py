"""The Store port over SQLite: durable, exclusive to one process, and honest about damage."""

from skyops_p2p.adapters.sqlite.lock import lock_holder
from skyops_p2p.adapters.sqlite.store import (
    STORE_FILE_NAME,
    SqliteStore,
    count_entries,
    inspect_store,
    open_sqlite_store,
    peek_value,
)

__all__ = [
    "STORE_FILE_NAME",
    "SqliteStore",
    "count_entries",
    "inspect_store",
    "lock_holder",
    "open_sqlite_store",
    "peek_value",
]
