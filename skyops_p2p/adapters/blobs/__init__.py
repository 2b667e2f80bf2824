"""The block store port on disk: one file a block, an index in SQLite, a quota with eviction."""

from skyops_p2p.adapters.blobs.store import BLOBS_DIR_NAME, DiskBlocks, open_disk_blocks

__all__ = ["BLOBS_DIR_NAME", "DiskBlocks", "open_disk_blocks"]
