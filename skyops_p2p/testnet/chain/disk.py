"""Where the embedded chain keeps its state: a dictionary, and one SQLite file that follows it block by block.

py-evm reads its trie nodes one at a time, so they stay in memory; what a block changes is written in one transaction,
so that after kill -9 the chain is whole at some block. A power cut may cost the last blocks. The file only grows.
"""

import sqlite3
from pathlib import Path

from eth.db.backends.memory import MemoryDB

from skyops_p2p.errors import ChainError

_SCHEMA = "CREATE TABLE IF NOT EXISTS kept (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID"


class ChainDisk(MemoryDB):
    """Keys and values of py-evm.

    Args:
        path: The SQLite file; None keeps nothing.

    Raises:
        ChainError: `chain_store_unusable`.
    """

    def __init__(self, path: Path | None) -> None:
        super().__init__({})
        self._changed: dict[bytes, bytes | None] = {}
        self._file: sqlite3.Connection | None = None
        if path is None:
            return
        try:
            self._file = sqlite3.connect(path, isolation_level=None)
            self._file.execute("PRAGMA journal_mode=WAL")
            self._file.execute("PRAGMA synchronous=NORMAL")
            self._file.execute("PRAGMA locking_mode=EXCLUSIVE")
            self._file.execute(_SCHEMA)
            self.kv_store.update(self._file.execute("SELECT key, value FROM kept"))
        except sqlite3.Error as error:
            raise ChainError(
                f"the chain's file {path.name} cannot be used: {error}",
                code="chain_store_unusable",
                hint="Another embedded chain may use it; `skyops chain start --fresh` begins anew.",
            ) from error

    def __setitem__(self, key: bytes, value: bytes) -> None:
        super().__setitem__(key, value)
        if self._file is not None:
            self._changed[key] = value

    def __delitem__(self, key: bytes) -> None:
        super().__delitem__(key)
        if self._file is not None:
            self._changed[key] = None

    def flush(self) -> None:
        """Write what changed since the last call, all of it or nothing.

        Raises:
            ChainError: `chain_store_unusable`: the disk is full, for example.
        """
        if self._file is None or not self._changed:
            return
        put = [(key, value) for key, value in self._changed.items() if value is not None]
        gone = [(key,) for key, value in self._changed.items() if value is None]
        try:
            self._file.execute("BEGIN")
            self._file.executemany("INSERT OR REPLACE INTO kept VALUES (?, ?)", put)
            self._file.executemany("DELETE FROM kept WHERE key = ?", gone)
            self._file.execute("COMMIT")
        except sqlite3.Error as error:
            raise ChainError(f"the chain's file: {error}", code="chain_store_unusable") from error
        self._changed.clear()

    def close(self) -> None:
        """Write what is left and close the file."""
        self.flush()
        if self._file is not None:
            self._file.close()
            self._file = None
