"""Unpacks a root file system that a stranger packed, without letting it write, link or point outside. Blocks.

Every step goes from a directory's descriptor to a name in it, never through a link. Refused: absolute names, "..",
links that climb out, devices, pipes, members below a link, more than the bounds. Set-user-id bits are dropped: the
sandbox would ignore them, and on the host they must not exist. Everything becomes readable, since the program runs
as another user; nothing becomes writable for others.
"""

import os
import stat
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

from skyops_p2p import limits
from skyops_p2p.errors import ExecutionError

_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_CHUNK_BYTES = 1 << 20


def unpack(archive: Path, target: Path, *, given_up: threading.Event) -> int:
    """Unpack a tar, plain or compressed, into an empty directory and return the bytes of its files.

    Args:
        archive: The tar.
        target: Exists and is empty.
        given_up: Set by whoever no longer waits; the unpacking then ends soon.

    Raises:
        ExecutionError: `image_invalid`.
    """
    root = os.open(target, _OPEN_DIRECTORY)
    try:
        with tarfile.open(archive, "r:*") as tar:
            return _Unpacking(root, given_up).take_all(tar)
    except (tarfile.TarError, EOFError, ValueError, OSError) as error:
        raise _invalid(str(error)) from error
    finally:
        os.close(root)


class _Unpacking:
    def __init__(self, root: int, given_up: threading.Event) -> None:
        self._root = root
        self._given_up = given_up
        self._size_bytes = 0

    def take_all(self, tar: tarfile.TarFile) -> int:
        for count, member in enumerate(tar, start=1):
            if count > limits.IMAGE_FILES_MAX:
                raise _invalid(f"more than {limits.IMAGE_FILES_MAX} files")
            parts = _parts(member.name)
            if parts:
                self._take(tar, member, parts)
        return self._size_bytes

    def _take(self, tar: tarfile.TarFile, member: tarfile.TarInfo, parts: list[str]) -> None:
        directory = self._descend(parts[:-1])
        try:
            if member.isdir():
                os.close(_enter(directory, parts[-1]))
            elif member.issym():
                _refuse_climbing(member.linkname, parts[:-1])
                _make_room(directory, parts[-1])
                os.symlink(member.linkname, parts[-1], dir_fd=directory)
            elif member.islnk():
                self._link(_parts(member.linkname), directory, parts[-1])
            elif member.isreg():
                self._write(tar, member, directory, parts[-1])
            else:
                raise _invalid(f"{member.name} is a device or pipe")
        finally:
            os.close(directory)

    def _descend(self, parts: list[str]) -> int:
        directory = os.dup(self._root)
        try:
            for part in parts:
                directory, above = _enter(directory, part), directory
                os.close(above)
        except OSError:
            os.close(directory)
            raise
        return directory

    def _link(self, parts: list[str], directory: int, name: str) -> None:
        if not parts:
            raise _invalid("a hard link to nothing")
        source = self._descend(parts[:-1])
        try:
            if not stat.S_ISREG(os.lstat(parts[-1], dir_fd=source).st_mode):
                raise _invalid(f"a hard link to {parts[-1]}, which is no file")
            _make_room(directory, name)
            os.link(parts[-1], name, src_dir_fd=source, dst_dir_fd=directory, follow_symlinks=False)
        finally:
            os.close(source)

    def _write(self, tar: tarfile.TarFile, member: tarfile.TarInfo, directory: int, name: str) -> None:
        _make_room(directory, name)
        content = tar.extractfile(member)
        if content is None:
            raise _invalid(f"{member.name} has no content")
        mode = 0o755 if member.mode & 0o111 else 0o644
        with content, os.fdopen(os.open(name, _CREATE, mode, dir_fd=directory), "wb") as file:
            os.fchmod(file.fileno(), mode)
            while chunk := content.read(_CHUNK_BYTES):
                self._size_bytes += len(chunk)
                if self._size_bytes > limits.IMAGE_BYTES_MAX:
                    raise _invalid(f"more than {limits.IMAGE_BYTES_MAX} bytes")
                if self._given_up.is_set():
                    raise _invalid("given up")
                file.write(chunk)


def _parts(name: str) -> list[str]:
    if name.startswith("/") or "\0" in name:
        raise _invalid(f"{name!r} is an absolute name")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise _invalid(f"{name!r} climbs out")
    return parts


def _refuse_climbing(target: str, above: list[str]) -> None:
    """Refuse a relative link that leaves the root; an absolute one is read inside the sandbox, from its root."""
    depth = 0 if target.startswith("/") else len(above)
    for part in _link_parts(target):
        depth += -1 if part == ".." else 1
        if depth < 0:
            raise _invalid(f"a link to {target!r} climbs out")


def _link_parts(target: str) -> Iterator[str]:
    return (part for part in target.split("/") if part not in ("", "."))


def _enter(directory: int, name: str) -> int:
    """Open a directory in another one, made if it is missing."""
    try:
        os.mkdir(name, 0o755, dir_fd=directory)
    except FileExistsError:
        return os.open(name, _OPEN_DIRECTORY, dir_fd=directory)
    made = os.open(name, _OPEN_DIRECTORY, dir_fd=directory)
    os.fchmod(made, 0o755)
    return made


def _make_room(directory: int, name: str) -> None:
    """Remove an earlier member of the same name; later ones win, as in tar."""
    try:
        os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        return


def _invalid(reason: str) -> ExecutionError:
    return ExecutionError(
        f"the root file system cannot be used: {reason}",
        code="image_invalid",
        hint="It is a tar of a root directory, as `docker export` writes it.",
    )
