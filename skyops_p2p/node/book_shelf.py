"""Where a requester keeps its bid books: files beside its store, or memory in a simulation."""

from collections import OrderedDict
from pathlib import Path
from typing import Protocol

import trio

from skyops_p2p import limits
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.errors import SkyopsError
from skyops_p2p.node.book_files import find_book, read_book, save_book


class BookShelf(Protocol):
    """Keeps enveloped bid books."""

    async def save(self, data: bytes, *, job_id: bytes, round_number: int) -> None:
        """Keep a book; it is on the disk when this returns.

        Raises:
            StoreError: Code `book_unwritable`.
        """

    async def find(self, digest: bytes) -> bytes | None:
        """Return the book of a digest, or None."""


class FileShelf:
    """Books as files under the data directory; what `skyops audit` reads.

    The newest BOOKS_RECENT_MAX are held in memory too: all bidders ask for a book within seconds of its award, and to
    find a file means to look through the names of all.
    """

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._recent: OrderedDict[bytes, bytes] = OrderedDict()
        """{digest: book}, the oldest first."""

    async def save(self, data: bytes, *, job_id: bytes, round_number: int) -> None:
        """See BookShelf."""

        def write() -> None:
            save_book(self._data_dir, data, job_id=job_id, round_number=round_number)

        await trio.to_thread.run_sync(write)
        self._recent[sha256(data)] = data
        while len(self._recent) > limits.BOOKS_RECENT_MAX:
            self._recent.popitem(last=False)

    async def find(self, digest: bytes) -> bytes | None:
        """See BookShelf."""

        recent = self._recent.get(digest)
        if recent is not None:
            await trio.lowlevel.checkpoint()
            return recent

        def read() -> bytes:
            return read_book(find_book(digest.hex()[:16], self._data_dir))

        try:
            data = await trio.to_thread.run_sync(read)
        except SkyopsError:
            return None
        return data if sha256(data) == digest else None


class MemoryShelf:
    """Books that live as long as the object."""

    def __init__(self) -> None:
        self.books: dict[bytes, bytes] = {}

    async def save(self, data: bytes, *, job_id: bytes, round_number: int) -> None:
        """See BookShelf."""
        await trio.lowlevel.checkpoint()
        self.books[sha256(data)] = data

    async def find(self, digest: bytes) -> bytes | None:
        """See BookShelf."""
        await trio.lowlevel.checkpoint()
        return self.books.get(digest)
