"""The Store port over SQLite: durable, exclusive to one process, and honest about damage."""

from skyops_p2p.adapters.sqlite.store import STORE_FILE_NAME, SqliteStore, open_sqlite_store

__all__ = ["STORE_FILE_NAME", "SqliteStore", "open_sqlite_store"]
