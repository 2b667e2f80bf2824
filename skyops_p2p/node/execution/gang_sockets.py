"""The sockets in a member's directory: one for each other member, made here, and the program's own.

The directory belongs to the program, which may put anything there under any name: it is used by a descriptor that was
opened before the program began, names in it are never followed, and what is connected to must be somebody else's
socket. Source of the way through /proc/self/fd, which also spares the 108 bytes that a socket's path may have: unix(7),
proc(5).
"""

import os
import select
import socket
import stat
from pathlib import Path

from skyops_p2p.core.execution.gangs import LISTEN_NAME
from skyops_p2p.errors import ExecutionError

BACKLOG = 16
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PLACE = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


class GangSockets:
    """A directory of sockets; all calls block for a moment at most.

    Args:
        folder: Is made; its parent must be there, and nobody else's yet.

    Raises:
        ExecutionError: Code `workspace_failed`.
    """

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(mode=0o755)
            self._directory = os.open(folder, _DIRECTORY)
        except OSError as error:
            raise _failed(error) from error
        self._own: set[tuple[int, int]] = set()
        """Device and inode of the sockets that were made here."""

    def listen(self, rank: int) -> socket.socket:
        """Make the socket at which the program finds another member.

        Raises:
            ExecutionError: Code `workspace_failed`.
        """
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        place = f"/proc/self/fd/{self._directory}/{rank}.sock"
        try:
            made.bind(place)
            os.chmod(place, 0o666)  # noqa: PTH101, S103 - the directory is the program's alone
            self._own.add(_identity(os.stat(place)))  # noqa: PTH116
            made.listen(BACKLOG)
        except OSError as error:
            made.close()
            raise _failed(error) from error
        return made

    def reach_program(self) -> socket.socket | None:
        """Connect to the program's own socket; None while there is none that takes a connection.

        Rules: EXE-33.
        """
        try:
            place = os.open(LISTEN_NAME, _PLACE, dir_fd=self._directory)
        except OSError:
            return None
        try:
            status = os.fstat(place)
            if not stat.S_ISSOCK(status.st_mode) or _identity(status) in self._own:  # EXE-33
                return None
            return _connected(f"/proc/self/fd/{place}")
        finally:
            os.close(place)

    def close(self) -> None:
        """Let go of the directory."""
        os.close(self._directory)


def is_closed_whole(handle: int) -> bool:
    """Tell whether the other end of a connected Unix socket was closed, and not only one direction of it."""
    poll = select.poll()
    poll.register(handle, 0)
    return any(events & select.POLLHUP for _, events in poll.poll(0))


def _connected(place: str) -> socket.socket | None:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        made.connect(place)
    except OSError:
        made.close()
        return None
    return made


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _failed(error: OSError) -> ExecutionError:
    return ExecutionError(
        f"the gang's sockets cannot be made: {error.strerror}",
        code="workspace_failed",
        hint="Its workspace must be on a file system with Unix sockets.",
    )
