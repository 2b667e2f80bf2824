"""Both block stores behind one name: each test of the suite runs on the disk and on its twin in memory."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest

from skyops_p2p.adapters.blobs import open_disk_blocks
from skyops_p2p.adapters.memory import MemoryBlockDisk, open_memory_blocks
from skyops_p2p.ports.content import BlockStore

KIB = 1024
OpenBlocks = Callable[..., AbstractAsyncContextManager[BlockStore]]


@pytest.fixture(params=["disk", "memory"])
def open_blocks(request, tmp_path) -> OpenBlocks:
    """Return a function that opens the same store each time it is called; `quota_bytes` is 1 MiB if not given."""
    disk = MemoryBlockDisk()

    def open_one(*, quota_bytes: int = KIB * KIB) -> AbstractAsyncContextManager[BlockStore]:
        if request.param == "disk":
            return open_disk_blocks(tmp_path / "blocks", quota_bytes=quota_bytes)
        return open_memory_blocks(disk, quota_bytes=quota_bytes)

    return open_one
