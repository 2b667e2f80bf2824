"""Reads a directory that a hostile program wrote, without ever being led out of it.

A job owns its output directory while it runs: it may leave symbolic links, devices, pipes, hard links, names that
are no text, a million files, a file that says it has an exabyte, and change all of it while we look. Every step
here goes from the descriptor of a directory to a name in it, never through a link (openat(2) with O_NOFOLLOW), so
that there is no path that could be swapped under us. All functions block: call them in a thread.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from skyops_p2p import limits
from skyops_p2p.errors import ExecutionError

_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Without O_NONBLOCK the open of a pipe that took a file's name after we looked would wait for ever.
_OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_KINDS = (
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISCHR, "a device"),
)


@dataclass(frozen=True, slots=True)
class TreeFile:
    """One regular file or directory below the root."""

    path: PurePosixPath
    """Relative to the root; valid UTF-8, without "..", at most TREE_DEPTH_MAX parts."""
    is_directory: bool
    size_bytes: int
    """Of a file when it was looked at; 0 for a directory. Read no more than this: the program may append."""
    is_executable: bool


@dataclass(frozen=True, slots=True)
class TreeNote:
    """Something that was left out."""

    path: str
    """Relative to the root, for a person: what is no text is escaped."""
    reason: str
    """What it is: "a symbolic link"."""


def walk_tree(
    root: Path, *, files_max: int, bytes_max: int, skipped: list[TreeNote] | None = None
) -> Iterator[TreeFile]:
    """Yield what lies below a directory, parents before children, in the order of the names' bytes.

    Everything is looked at before the first is yielded, so that a tree which is refused is refused whole.

    Args:
        root: The directory; it may not be a link itself.
        files_max: Entries of all kinds, directories and those left out included.
        bytes_max: Sum of the sizes of all files, as they say (a hole counts like bytes).
        skipped: Where to note links, devices, pipes, sockets, hard links to outside and names that are no text,
            which are then left out; without it the first of them refuses the tree.

    Raises:
        ExecutionError: `output_unsafe`, `output_too_large`, `output_too_many`, or `output_changed` (an entry
            vanished meanwhile: the program still writes).
    """
    survey = _Survey(files_max, bytes_max, skipped)
    descriptor = _open_root(root)
    try:
        survey.device = os.fstat(descriptor).st_dev
        survey.look(descriptor, PurePosixPath())
    finally:
        os.close(descriptor)
    return survey.result()


def open_in_tree(root: Path, path: PurePosixPath) -> BinaryIO:
    """Open one regular file below a directory for reading, through no link at any step.

    Args:
        root: As given to walk_tree.
        path: As yielded by it.

    Raises:
        ExecutionError: `output_unsafe` if it is now something else, `output_changed` if it is gone.
    """
    parts = path.parts
    if path.is_absolute() or ".." in parts or not parts:
        raise _unsafe(str(path), "not a path inside the directory")
    directory = _open_root(root)
    try:
        for part in parts[:-1]:
            directory, above = _open_at(part, directory, _OPEN_DIRECTORY), directory
            os.close(above)
        file = _open_at(parts[-1], directory, _OPEN_FILE)
    finally:
        os.close(directory)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise _unsafe(str(path), "no regular file any more")
    return os.fdopen(file, "rb")


@dataclass(slots=True)
class _Survey:
    files_max: int
    bytes_max: int
    skipped: list[TreeNote] | None
    device: int = 0
    entries: int = 0
    size_bytes: int = 0
    found: list[TreeFile] = field(default_factory=list)
    links: dict[int, list[TreeFile]] = field(default_factory=dict)
    """{inode: files found under it}, of those with more than one name; bounded by files_max."""
    names: dict[int, int] = field(default_factory=dict)
    """{inode: names that it has on the whole file system}."""

    def look(self, directory: int, above: PurePosixPath) -> None:
        """Go through one directory and those below it; at most TREE_DEPTH_MAX descriptors are open."""
        for name, status in self._entries(directory):
            place = above / os.fsdecode(name)
            reason = self._objection(name, status)
            if reason:
                self._leave_out(place, reason)
                continue
            if not stat.S_ISDIR(status.st_mode):
                self._add_file(place, status)
                continue
            if len(place.parts) >= limits.TREE_DEPTH_MAX:
                raise _unsafe(str(place), f"more than {limits.TREE_DEPTH_MAX} directories deep")
            self.found.append(TreeFile(place, is_directory=True, size_bytes=0, is_executable=True))
            below = _open_at(os.fsdecode(name), directory, _OPEN_DIRECTORY)
            try:
                self.look(below, place)
            finally:
                os.close(below)

    def result(self) -> Iterator[TreeFile]:
        """Return what was found, without files that also have a name elsewhere."""
        outside: set[PurePosixPath] = set()
        for inode, files in self.links.items():
            # All its names lie in the tree: a program's own hard links. Otherwise it shares bytes with the outside.
            if len(files) < self.names[inode]:
                for file in files:
                    self._leave_out(file.path, "a hard link to a file outside")
                    outside.add(file.path)
        return (file for file in self.found if file.path not in outside)

    def _entries(self, directory: int) -> list[tuple[bytes, os.stat_result]]:
        entries: list[tuple[bytes, os.stat_result]] = []
        with _told_apart("."), os.scandir(directory) as scan:
            for entry in scan:
                self.entries += 1
                if self.entries > self.files_max:
                    raise ExecutionError(
                        f"the output has more than {self.files_max} files",
                        code="output_too_many",
                        hint="Let the job pack them into an archive.",
                    )
                entries.append((os.fsencode(entry.name), entry.stat(follow_symlinks=False)))
        return sorted(entries, key=lambda entry: entry[0])

    def _objection(self, name: bytes, status: os.stat_result) -> str:
        try:
            name.decode("utf-8")
        except UnicodeDecodeError:
            return "a name that is not UTF-8"
        for is_kind, words in _KINDS:
            if is_kind(status.st_mode):
                return words
        return "another file system" if status.st_dev != self.device else ""

    def _add_file(self, place: PurePosixPath, status: os.stat_result) -> None:
        self.size_bytes += status.st_size
        if self.size_bytes > self.bytes_max:
            raise ExecutionError(
                f"the output is larger than {self.bytes_max} bytes",
                code="output_too_large",
                hint="Ask for more in the job's outputs, or let it write less.",
            )
        file = TreeFile(
            place,
            is_directory=False,
            size_bytes=status.st_size,
            is_executable=bool(status.st_mode & stat.S_IXUSR),
        )
        self.found.append(file)
        if status.st_nlink > 1:
            self.links.setdefault(status.st_ino, []).append(file)
            self.names[status.st_ino] = status.st_nlink

    def _leave_out(self, place: PurePosixPath, reason: str) -> None:
        if self.skipped is None:
            raise _unsafe(str(place), reason)
        self.skipped.append(TreeNote(_shown(str(place)), reason))


def _open_root(root: Path) -> int:
    with _told_apart(str(root)):
        return os.open(root, _OPEN_DIRECTORY)


def _open_at(name: str, directory: int, flags: int) -> int:
    with _told_apart(name):
        return os.open(name, flags, dir_fd=directory)


@contextlib.contextmanager
def _told_apart(name: str) -> Iterator[None]:
    """Map what the kernel says: a link or another kind where we saw a file or directory, gone, or unreadable."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOENT:
            raise ExecutionError(
                f"{_shown(name)} vanished while the output was read", code="output_changed"
            ) from error
        raise _unsafe(name, str(error.strerror)) from error


def _unsafe(name: str, reason: str) -> ExecutionError:
    return ExecutionError(
        f"the output cannot be taken: {_shown(name)}: {reason}",
        code="output_unsafe",
        hint="A job's output may hold regular files and directories only.",
    )


def _shown(name: str) -> str:
    """Return a name that the program chose so that it can be shown at a terminal."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)
