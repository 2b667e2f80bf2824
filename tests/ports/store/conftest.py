"""Both stores behind one name: each test of the suite runs on the durable one and on its twin in memory."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest

from skyops_p2p.adapters.memory import MemoryDisk, open_memory_store
from skyops_p2p.adapters.sqlite import STORE_FILE_NAME, open_sqlite_store
from skyops_p2p.ports import Store

OpenStore = Callable[[], AbstractAsyncContextManager[Store]]


@pytest.fixture(params=["sqlite", "memory"])
def open_store(request, tmp_path) -> OpenStore:
    """Return a function that opens the same store each time it is called."""
    if request.param == "sqlite":
        return lambda: open_sqlite_store(tmp_path / STORE_FILE_NAME)
    disk = MemoryDisk()
    return lambda: open_memory_store(disk)
