"""The Store and BlockStore ports in memory: the twins that tests and the simulator use."""

from skyops_p2p.adapters.memory.blocks import MemoryBlockDisk, MemoryBlocks, open_memory_blocks
from skyops_p2p.adapters.memory.store import MemoryDisk, MemoryStore, open_memory_store

__all__ = [
    "MemoryBlockDisk",
    "MemoryBlocks",
    "MemoryDisk",
    "MemoryStore",
    "open_memory_blocks",
    "open_memory_store",
]
