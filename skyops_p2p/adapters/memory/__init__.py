"""The Store port in memory: the twin that tests and the simulator use."""

from skyops_p2p.adapters.memory.store import MemoryDisk, MemoryStore, open_memory_store

__all__ = ["MemoryDisk", "MemoryStore", "open_memory_store"]
