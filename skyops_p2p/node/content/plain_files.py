"""Plaintext files of a bundle: where they are read from when it is sealed, and written to when it is opened.

Reading goes through `open_in_tree`, which follows no link. Writing goes into a directory that only this node writes to;
every file is made new, so no link that lies there is followed either. All functions block: call them in a thread.
"""

import errno
import io
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from skyops_p2p.adapters.workspace.tree import TreeFile, open_in_tree, walk_tree
from skyops_p2p.errors import ExecutionError
from skyops_p2p.limits import CONTENT_FILES_MAX

_NEW = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW
_WRITE = os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True, slots=True)
class TreePart:
    """A file, or a directory with all below it, that goes into a bundle."""

    root: Path
    """A directory that no link leads out of."""
    inner: str
    """Which part of it, relative; empty for all of it."""
    name: str
    """Path in the bundle: of the file, or before the paths of what is in the directory; empty for none."""


@dataclass(frozen=True, slots=True)
class PlainFile:
    """One file to be sealed."""

    path: str
    """In the bundle."""
    size_bytes: int
    is_executable: bool
    open: Callable[[], BinaryIO]


@dataclass(frozen=True, slots=True)
class PlainTree:
    """All that goes into a bundle."""

    files: tuple[PlainFile, ...]
    """Sorted by the bytes of their paths."""
    directories: tuple[str, ...]
    """Those that hold nothing, sorted."""

    @property
    def size_bytes(self) -> int:
        """Of all files."""
        return sum(file.size_bytes for file in self.files)


def look_at(parts: Iterable[TreePart], *, bytes_max: int) -> PlainTree:
    """List what the parts hold.

    Raises:
        ExecutionError: `output_unsafe`, `output_too_large`, `output_too_many`, `output_changed`, `output_missing`.
    """
    files: list[PlainFile] = []
    directories: set[str] = set()
    for part in parts:
        left = bytes_max - sum(file.size_bytes for file in files)
        for found in _found(part, bytes_max=left, files_max=CONTENT_FILES_MAX - len(files)):
            path = str(PurePosixPath(part.name) / found.path)
            if found.is_directory:
                directories.add(path)
            else:
                files.append(_plain(part, found, path))
        if part.name and not _is_file(part):
            directories.add(part.name)
    files.sort(key=lambda file: file.path.encode())
    return PlainTree(tuple(files), tuple(sorted(_empty(directories, files), key=str.encode)))


def plain_bytes(path: str, data: bytes) -> PlainTree:
    """Return a tree of one file."""
    return PlainTree((PlainFile(path, len(data), is_executable=False, open=lambda: io.BytesIO(data)),), ())


def make_files(into: Path, paths: Iterable[tuple[str, int, bool]], directories: Iterable[str]) -> None:
    """Make directories, and new files of their full size, (path, size, executable).

    Raises:
        ExecutionError: `workspace_full`, `workspace_failed`, or `output_exists`: one of the files is there already.
    """
    with _write_errors(into):
        into.mkdir(parents=True, exist_ok=True)
        for directory in directories:
            (into / directory).mkdir(parents=True, exist_ok=True)
        for path, size, is_executable in paths:
            place = into / path
            place.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(place, _NEW, 0o755 if is_executable else 0o644)
            try:
                os.truncate(handle, size)
            finally:
                os.close(handle)


def write_pieces(path: Path, pieces: Iterable[tuple[int, bytes]]) -> None:
    """Write (offset, bytes) into a file that `make_files` made.

    Raises:
        ExecutionError: `workspace_full` or `workspace_failed`.
    """
    with _write_errors(path):
        handle = os.open(path, _WRITE)
        try:
            for offset, data in pieces:
                done = 0
                while done < len(data):
                    done += os.pwrite(handle, memoryview(data)[done:], offset + done)
        finally:
            os.close(handle)


def read_exactly(file: BinaryIO, offset: int, size_bytes: int, path: str) -> bytes:
    """Read a piece of a file.

    Raises:
        ExecutionError: Code `output_changed`: the file is shorter than it was, or cannot be read any more.
    """
    try:
        file.seek(offset)
        data = file.read(size_bytes)
    except OSError as error:
        raise ExecutionError(f"{path!r} cannot be read: {error.strerror}", code="output_changed") from error
    if len(data) != size_bytes:
        raise ExecutionError(f"{path!r} became shorter while it was read", code="output_changed")
    return data


def _is_file(part: TreePart) -> bool:
    place = part.root / part.inner
    return place.is_file() and not place.is_symlink()


def _found(part: TreePart, *, bytes_max: int, files_max: int) -> Iterator[TreeFile]:
    """Yield what a part holds, with paths relative to it."""
    if not _is_file(part):
        if not (part.root / part.inner).exists():
            raise ExecutionError(f"{part.inner!r} is not there", code="output_missing")
        yield from walk_tree(part.root / part.inner, files_max=files_max, bytes_max=bytes_max)
        return
    if files_max < 1:
        raise ExecutionError(f"more than {CONTENT_FILES_MAX} files", code="output_too_many")
    with open_in_tree(part.root, PurePosixPath(part.inner)) as file:
        status = os.fstat(file.fileno())
    if status.st_size > bytes_max:
        raise ExecutionError(f"{part.inner!r} has {status.st_size} bytes", code="output_too_large")
    yield TreeFile(PurePosixPath(), False, status.st_size, bool(status.st_mode & 0o100))


def _plain(part: TreePart, found: TreeFile, path: str) -> PlainFile:
    inner = PurePosixPath(part.inner) / found.path

    def open_it() -> BinaryIO:
        return open_in_tree(part.root, inner)

    return PlainFile(path, found.size_bytes, found.is_executable, open_it)


def _empty(directories: set[str], files: Iterable[PlainFile]) -> set[str]:
    """Return the directories that neither a file nor another directory implies."""
    parents = {str(above) for path in directories for above in PurePosixPath(path).parents}
    parents |= {str(above) for file in files for above in PurePosixPath(file.path).parents}
    return directories - parents


@contextmanager
def _write_errors(place: Path) -> Iterator[None]:
    try:
        yield
    except FileExistsError as error:
        raise ExecutionError(
            f"{error.filename or place} is there already",
            code="output_exists",
            hint="Name an empty directory.",
        ) from error
    except OSError as error:
        code = "workspace_full" if error.errno in _NO_ROOM else "workspace_failed"
        raise ExecutionError(f"cannot write {place}: {error.strerror}", code=code) from error
