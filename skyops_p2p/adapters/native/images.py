"""Root file systems that came with jobs: unpacked once, found again by the digest of their tar, bounded in all."""

import contextlib
import hashlib
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import trio

from skyops_p2p import limits
from skyops_p2p.adapters.native.unpack import unpack
from skyops_p2p.errors import ExecutionError

_PARTIAL = "partial-"
_SIZE = "size"
_ROOT = "root"
_DIGESTS_REMEMBERED_MAX = 64


class RootImages:
    """The directory of unpacked root file systems.

    Args:
        folder: Ours alone; made when needed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._unpacking = trio.Lock()
        self._used: dict[str, int] = {}  # {digest: sandboxes that run from it}
        self._digests: dict[tuple[str, int, int, int], str] = {}  # {(path, inode, size, mtime ns): digest}

    async def get(self, archive: Path) -> Path:
        """Return the unpacked root of a tar, unpacking it first where that is needed.

        Raises:
            ExecutionError: `image_missing`, `image_invalid`.
        """
        digest = await self._digest(archive)
        async with self._unpacking:
            place = self._folder / digest
            if not (place / _SIZE).exists():
                await self._unpack(archive, digest)
            os.utime(place)  # the clock of "least recently used"
        return place / _ROOT

    @contextlib.contextmanager
    def in_use(self, root: Path) -> Iterator[None]:
        """Keep a root that `get` returned from being thrown away."""
        digest = root.parent.name
        self._used[digest] = self._used.get(digest, 0) + 1
        try:
            yield
        finally:
            self._used[digest] -= 1
            if not self._used[digest]:
                del self._used[digest]

    def remove_partial(self) -> None:
        """Remove what an earlier process did not finish; blocks."""
        for place in self._folder.glob(f"{_PARTIAL}*"):
            shutil.rmtree(place, ignore_errors=True)

    async def _digest(self, archive: Path) -> str:
        try:
            status = await trio.Path(archive).stat()
            key = (str(archive), status.st_ino, status.st_size, status.st_mtime_ns)
            if key not in self._digests:
                found = await trio.to_thread.run_sync(_file_digest, archive, abandon_on_cancel=True)
                while len(self._digests) >= _DIGESTS_REMEMBERED_MAX:
                    self._digests.pop(next(iter(self._digests)))
                self._digests[key] = found
        except OSError as error:
            raise ExecutionError(
                f"the root file system {archive.name} cannot be read: {error.strerror}", code="image_missing"
            ) from error
        return self._digests[key]

    async def _unpack(self, archive: Path, digest: str) -> None:
        given_up = threading.Event()
        work = partial(_unpack_into, self._folder, archive, digest, given_up=given_up)
        try:
            await trio.to_thread.run_sync(work, abandon_on_cancel=True)
        finally:
            given_up.set()
        await trio.to_thread.run_sync(self._make_room, {digest, *self._used})

    def _make_room(self, kept: set[str]) -> None:
        """Throw away the least recently used until the rest fits."""
        sizes: dict[Path, int] = {}
        for place in sorted(self._folder.iterdir(), key=lambda place: place.stat().st_mtime):
            if (place / _SIZE).exists():
                sizes[place] = int((place / _SIZE).read_text())
        for place in list(sizes):
            if sum(sizes.values()) <= limits.IMAGES_BYTES_MAX:
                return
            if place.name not in kept:
                (place / _SIZE).unlink()  # first: what is half gone must not be found
                shutil.rmtree(place, ignore_errors=True)
                del sizes[place]


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unpack_into(folder: Path, archive: Path, digest: str, *, given_up: threading.Event) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=folder))
    try:
        (place / _ROOT).mkdir(mode=0o755)
        size = unpack(archive, place / _ROOT, given_up=given_up)
        place.chmod(0o755)
        (place / _ROOT).chmod(0o755)
        (place / _SIZE).write_text(str(size))
        shutil.rmtree(folder / digest, ignore_errors=True)
        place.rename(folder / digest)
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
