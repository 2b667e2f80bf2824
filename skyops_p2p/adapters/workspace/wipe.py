"""Removes a tree that a hostile program wrote: however deep, whatever its permissions, through no link. Blocks.

Recursion would end at Python's stack, or at the limit of open files: a program can nest a million directories. So
every directory found below is moved up to the top under a new name, and removed from there, one after the other.
"""

import itertools
import os
import stat
from pathlib import Path

_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MOVED = ".wipe-"


def wipe(root: Path) -> None:
    """Remove a directory with all that is below it; nothing happens if it is not there.

    Raises:
        OSError: Something cannot be removed; what could is gone.
    """
    try:
        top = _open_ours(root)
    except FileNotFoundError:
        return
    try:
        _Wiping(top).empty()
    finally:
        os.close(top)
    root.rmdir()


def _open_ours(place: Path) -> int:
    try:
        return os.open(place, _OPEN_DIRECTORY)
    except PermissionError:  # the program closed what belongs to our own user
        place.chmod(stat.S_IRWXU)
        return os.open(place, _OPEN_DIRECTORY)


class _Wiping:
    def __init__(self, top: int) -> None:
        self._top = top
        self._numbers = itertools.count()

    def empty(self) -> None:
        """Remove all entries of the top, and of what is moved there meanwhile."""
        os.fchmod(self._top, stat.S_IRWXU)
        while names := os.listdir(self._top):  # noqa: PTH208 - a descriptor has no path
            for name in names:
                self._remove(name)

    def _remove(self, name: str) -> None:
        try:
            directory = os.open(name, _OPEN_DIRECTORY, dir_fd=self._top)
        except NotADirectoryError:
            os.unlink(name, dir_fd=self._top)
            return
        except PermissionError:  # a directory of ours that the program closed
            os.chmod(name, stat.S_IRWXU, dir_fd=self._top)
            directory = os.open(name, _OPEN_DIRECTORY, dir_fd=self._top)
        try:
            os.fchmod(directory, stat.S_IRWXU)
            self._empty_directory(directory)
        finally:
            os.close(directory)
        os.rmdir(name, dir_fd=self._top)

    def _empty_directory(self, directory: int) -> None:
        for name in os.listdir(directory):
            status = os.lstat(name, dir_fd=directory)
            if not stat.S_ISDIR(status.st_mode):
                os.unlink(name, dir_fd=directory)
                continue
            if not status.st_mode & stat.S_IWUSR:  # moving a directory writes into it
                os.chmod(name, stat.S_IRWXU, dir_fd=directory)
            os.rename(name, self._free_name(), src_dir_fd=directory, dst_dir_fd=self._top)

    def _free_name(self) -> str:
        """Return a name that the top does not have: the program may have taken any."""
        while True:
            name = f"{_MOVED}{next(self._numbers)}"
            try:
                os.lstat(name, dir_fd=self._top)
            except FileNotFoundError:
                return name
