"""Directories for plaintext on this machine, which exist while a job runs.

As root: a tmpfs where it is small enough for memory, else a file system of fixed size in a file of ours. Otherwise a
directory under the data directory, closed to others, without a cap of its own. All are wiped when left, and by
`reap` when the node was killed.
"""

import logging
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import trio

from skyops_p2p.adapters.workspace.mounting import (
    can_make_images,
    can_mount,
    mount_image,
    mount_tmpfs,
    unmount,
)
from skyops_p2p.adapters.workspace.wipe import wipe
from skyops_p2p.errors import ExecutionError

logger = logging.getLogger(__name__)
T = TypeVar("T")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_IMAGE = ".img"
_MEMORY_SHARE = 2
"""A workspace in memory takes at most half of what is free: the program needs memory too."""


class LocalWorkspace:
    """Implements ports.Workspace; made by `open_workspace`.

    Args:
        folder: Ours alone.
        is_mounted: Whether each directory is a file system of its own.
        has_images: Whether those that do not fit into memory may lie on disk, in the clear.
    """

    def __init__(self, folder: Path, *, is_mounted: bool, has_images: bool) -> None:
        self._folder = folder
        self._is_mounted = is_mounted
        self._has_images = has_images
        self._open: set[str] = set()

    @property
    def is_capped(self) -> bool:
        """See the port."""
        return self._is_mounted

    @property
    def is_volatile(self) -> bool:
        """See the port: only where all are in memory, and memory is never swapped out."""
        return self._is_mounted and not self._has_images and not _has_swap()

    @asynccontextmanager
    async def open(self, name: str, *, bytes_max: int) -> AsyncIterator[Path]:
        """See the port."""
        if not _NAME.fullmatch(name) or name in self._open:
            raise ExecutionError(f"there can be no workspace {name!r} now", code="workspace_failed")
        self._open.add(name)
        place = self._folder / name
        try:
            await _in_thread(partial(self._make, place, bytes_max))
            yield place
        finally:
            with trio.CancelScope(shield=True):
                await self._remove(place)
            self._open.discard(name)

    async def reap(self) -> int:
        """See the port."""
        names = await _in_thread(self._leftovers)
        for name in names:
            await self._remove(self._folder / name)
        return len(names)

    def _leftovers(self) -> list[str]:
        found = {path.name.removesuffix(_IMAGE) for path in self._folder.glob("*")}
        return sorted(found - self._open)

    def _make(self, place: Path, bytes_max: int) -> None:
        place.mkdir(mode=0o700)
        if not self._is_mounted:
            if shutil.disk_usage(place).free < bytes_max:
                raise _full(bytes_max)
        elif bytes_max <= _free_memory_bytes() // _MEMORY_SHARE:
            mount_tmpfs(place, bytes_max)
        elif self._has_images:
            mount_image(_image(place), place, bytes_max)
        else:
            raise _full(bytes_max)

    async def _remove(self, place: Path) -> None:
        try:
            await _in_thread(partial(self._remove_now, place))
        except ExecutionError as error:
            # It is closed to others, and the next `reap` tries again.
            logger.warning("workspace_stays name=%s error=%s", place.name, error)

    def _remove_now(self, place: Path) -> None:
        if self._is_mounted:
            unmount(place)
        wipe(place)
        _image(place).unlink(missing_ok=True)


async def open_workspace(data_dir: Path, *, in_memory_only: bool = False) -> LocalWorkspace:
    """Find out what workspaces this user may have here.

    Args:
        data_dir: Where they lie.
        in_memory_only: Refuse those that do not fit into memory, instead of putting them on disk.

    Raises:
        ExecutionError: `workspace_failed` if the data directory cannot be used.
    """
    folder = data_dir / "workspace"

    def look() -> LocalWorkspace:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        is_mounted = can_mount(folder)
        has_images = is_mounted and not in_memory_only and can_make_images()
        return LocalWorkspace(folder, is_mounted=is_mounted, has_images=has_images)

    return await _in_thread(look)


async def _in_thread(work: Callable[[], T]) -> T:
    """Run what blocks to its end: half a workspace would be one that nobody removes."""
    try:
        return await trio.to_thread.run_sync(work)
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", b"") or str(error).encode()
        raise ExecutionError(
            f"the workspace failed: {said.decode('utf-8', 'replace').strip()}",
            code="workspace_failed",
            hint="Look for free space, and at the permissions of the data directory.",
        ) from error


def _image(place: Path) -> Path:
    return place.with_name(place.name + _IMAGE)


def _full(bytes_max: int) -> ExecutionError:
    return ExecutionError(
        f"there is no room for a workspace of {bytes_max} bytes",
        code="workspace_full",
        hint="Free memory or disk space, or offer less of it.",
    )


def _free_memory_bytes() -> int:
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _has_swap() -> bool:
    return len(Path("/proc/swaps").read_text(encoding="ascii").splitlines()) > 1
