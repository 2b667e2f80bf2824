"""Bytes in the writable mounts of a sandbox, and what to do when they are too many.

A capped workspace (a tmpfs or an image of fixed size) bounds itself: writes fail at once. On any other file system
the trees are added up every DISK_WATCH_S, and a program that is over its bound is ended: it may be over by what it
writes in that time. Counting costs: the pause grows with the time that a count took.
"""

import contextlib
import os
import stat
from collections.abc import Sequence
from pathlib import Path

import trio

from skyops_p2p import limits
from skyops_p2p.ports import Mount

_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FULL_BYTES = 64 * 1024
"""Less room than this on a file system and a write of the program will have failed."""
_PAUSE_FACTOR = 20
"""Counting takes at most a twentieth of one core."""


class DiskWatch:
    """Watches the writable mounts of one sandbox.

    Args:
        mounts: All mounts of the sandbox.
        bytes_max: For the writable ones together.
    """

    def __init__(self, mounts: Sequence[Mount], bytes_max: int) -> None:
        self._writable = [mount.source for mount in mounts if not mount.is_read_only]
        self._bytes_max = bytes_max

    @property
    def is_capped(self) -> bool:
        """Whether the file systems below the mounts are no larger than the bound, so that it needs no watching."""
        sizes: dict[int, int] = {}  # {device: bytes}
        for place in self._writable:
            found = os.statvfs(place)
            sizes[place.stat().st_dev] = found.f_blocks * found.f_frsize
        return sum(sizes.values()) <= self._bytes_max

    def is_full(self) -> bool:
        """Return whether a writable mount has no room left: the program will have seen ENOSPC."""
        for place in self._writable:
            with contextlib.suppress(OSError):
                found = os.statvfs(place)
                if found.f_bavail * found.f_frsize < _FULL_BYTES or found.f_favail == 0 < found.f_files:
                    return True
        return False

    async def wait_exceeded(self) -> None:
        """Return when the mounts hold more than the bound; never, where the file systems see to it."""
        if self.is_capped:
            await trio.sleep_forever()
        while True:
            begun_s = trio.current_time()
            used = await trio.to_thread.run_sync(self._used_bytes, abandon_on_cancel=True)
            if used > self._bytes_max:
                return
            took_s = trio.current_time() - begun_s
            await trio.sleep(max(limits.DISK_WATCH_S, took_s * _PAUSE_FACTOR))

    def _used_bytes(self) -> int:
        count = _Count(self._bytes_max)
        for place in self._writable:
            count.add_tree(place)
        return count.used_bytes


class _Count:
    """Adds up blocks of trees that change meanwhile; too many entries, or too deep, count as over the bound."""

    def __init__(self, bytes_max: int) -> None:
        self._over = bytes_max + 1
        self._entries = 0
        self._shared: set[tuple[int, int]] = set()  # {(device, inode)} of files with several names
        self.used_bytes = 0

    def add_tree(self, root: Path) -> None:
        with contextlib.suppress(OSError):
            self._add(os.open(root, _OPEN_DIRECTORY), depth=0)

    def _add(self, directory: int, *, depth: int) -> None:
        try:
            with os.scandir(directory) as scan:
                for entry in scan:
                    if self.used_bytes >= self._over:
                        return
                    self._entries += 1
                    if self._entries > limits.DISK_ENTRIES_MAX or depth > limits.TREE_DEPTH_MAX:
                        self.used_bytes = self._over
                    # What vanished between the listing and the look takes no room any more.
                    with contextlib.suppress(OSError):
                        self._add_entry(entry, directory, depth)
        finally:
            os.close(directory)

    def _add_entry(self, entry: os.DirEntry[str], directory: int, depth: int) -> None:
        status = entry.stat(follow_symlinks=False)
        key = (status.st_dev, status.st_ino)
        if status.st_nlink == 1 or stat.S_ISDIR(status.st_mode) or key not in self._shared:
            self.used_bytes += status.st_blocks * 512
        if stat.S_ISDIR(status.st_mode):
            self._add(os.open(entry.name, _OPEN_DIRECTORY, dir_fd=directory), depth=depth + 1)
        elif status.st_nlink > 1:
            self._shared.add(key)
