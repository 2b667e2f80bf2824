"""Look into directories that a program may fill with anything, without being led out of them or held up.

All functions block for a moment at most: they open without following links or waiting for a pipe's other end.
"""

import os
import stat
from pathlib import Path

NAMES_MAX = 256
"""Entries of a checkpoint directory that are looked at."""


def read_end(path: Path, *, bytes_max: int) -> str | None:
    """Return the end of a regular file as text, what is no UTF-8 replaced; None if there is no such file.

    Args:
        path: Its directory is ours; the file itself may be anything.
        bytes_max: How much of the end is read.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            return None
        data = os.pread(handle, bytes_max, max(0, status.st_size - bytes_max))
    except OSError:
        return None
    finally:
        os.close(handle)
    return data.decode("utf-8", "replace")


def list_names(path: Path) -> list[str]:
    """Return the names of at most NAMES_MAX regular files and directories in a directory; none if it is not there."""
    names: list[str] = []
    try:
        with os.scandir(path) as scan:
            for entry in scan:
                if len(names) >= NAMES_MAX:
                    break
                is_plain = entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False)
                if is_plain and entry.name.isprintable():
                    names.append(entry.name)
    except OSError:
        return []
    return names


def put_file(path: Path, data: bytes) -> None:
    """Write a new file that only this user can read; nothing that is there is followed or replaced.

    Raises:
        OSError: It is there already, or cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
