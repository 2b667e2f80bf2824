"""Bid books on this machine: one file each, named by job, round and content. Spec: protocol/04-auction.md, "Book".

A book is kept as the signed envelope and nothing else, so that the file can be given to anybody. It is written whole
or not at all.
"""

import os
from pathlib import Path

from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.errors import AuditError, StoreError
from skyops_p2p.limits import BOOK_BYTES_MAX

SUFFIX = ".book"
_DIGEST_CHARS = 16


def books_directory(data_dir: Path) -> Path:
    """Return where a node keeps its bid books."""
    return data_dir / "books"


def save_book(data_dir: Path, data: bytes, *, job_id: bytes, round_number: int) -> Path:
    """Store an enveloped bid book; it is on the disk when this returns. Blocks: call it in a worker thread.

    Raises:
        StoreError: Code `book_unwritable`.
    """
    directory = books_directory(data_dir)
    name = f"{job_id.hex()}-{round_number}-{sha256(data).hex()[:_DIGEST_CHARS]}{SUFFIX}"
    path, fresh = directory / name, directory / f"{name}.new"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with fresh.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}", code="book_unwritable") from error
    return path


def find_book(name: str, data_dir: Path) -> Path:
    """Return the file that is meant: a path, or the beginning of a job's id or of a book's digest.

    Of several rounds of one job the last is meant.

    Raises:
        AuditError: Code `book_missing`, or `book_ambiguous` for several jobs.
    """
    path = Path(name)
    if path.is_file():
        return path
    wanted = name.lower().removeprefix("0x").replace("-", "")
    if wanted and all(character in "0123456789abcdef" for character in wanted):
        found = [
            file
            for file in sorted(books_directory(data_dir).glob(f"*{SUFFIX}"))
            if any(part.startswith(wanted) for part in file.stem.split("-")[::2])
        ]
        jobs = {file.stem.partition("-")[0] for file in found}
        if len(jobs) > 1:
            raise AuditError(
                f"{len(jobs)} jobs begin with {name!r}", code="book_ambiguous", hint="Give more of it."
            )
        if found:
            return found[-1]
    raise AuditError(
        f"there is no bid book {name!r}, neither as a file nor as a job of this node", code="book_missing"
    )


def read_book(path: Path) -> bytes:
    """Return a stored book's envelope.

    Raises:
        AuditError: Code `book_unreadable`: it cannot be read, or is longer than BOOK_BYTES_MAX.
    """
    try:
        if path.stat().st_size > BOOK_BYTES_MAX:
            raise AuditError(f"{path} is longer than any bid book", code="book_unreadable")
        return path.read_bytes()
    except OSError as error:
        raise AuditError(f"cannot read {path}: {error.strerror}", code="book_unreadable") from error
