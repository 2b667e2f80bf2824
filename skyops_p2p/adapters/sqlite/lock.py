"""Exclusive use of a store by one process, through flock on a file beside it.

The kernel drops the lock when the process dies, however it dies, so there is nothing stale to clean up.
SQLite's own locks are not enough: they admit a second writer between two transactions.
"""

import errno
import fcntl
import os
from pathlib import Path

from skyops_p2p.errors import StoreError

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class StoreLock:
    """A held lock; release it exactly once.

    Args:
        path: The lock file, mode 0600; never deleted, since deleting it would let two processes in.

    Raises:
        StoreError: `store_locked` naming the process that holds it, `store_unusable` if there can be no file.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(f"cannot open {path}: {error.strerror}", code="store_unusable") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)
        except BlockingIOError as error:
            holder = os.pread(self._file, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._file)
            raise StoreError(
                f"{path.parent} is in use by process {holder}",
                code="store_locked",
                hint="Stop that node first, or use another data directory for this one.",
            ) from error
        except OSError as error:
            # A full disk takes no pid, but the lock is held: that is what counts, the name is a courtesy.
            if error.errno not in _NO_ROOM:
                os.close(self._file)
                raise StoreError(f"cannot lock {path}: {error.strerror}", code="store_unusable") from error

    def release(self) -> None:
        """Let the next process in."""
        os.close(self._file)


def lock_holder(path: Path) -> int | None:
    """Return the pid of the process that holds the lock file, 0 if that is unknown, None if nobody does."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(file, 32, 0).strip()
        return int(text) if text.isdigit() else 0
    finally:
        os.close(file)
    return None
