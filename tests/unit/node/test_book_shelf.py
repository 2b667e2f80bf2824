"""Where a requester keeps its bid books: the newest in memory, all of them as files."""

import pytest

from skyops_p2p import limits
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.errors import StoreError
from skyops_p2p.node.book_files import books_directory
from skyops_p2p.node.book_shelf import FileShelf

JOB = bytes(16)


async def test_book_is_found_by_its_digest_by_this_shelf_and_the_next(tmp_path):
    shelf = FileShelf(tmp_path)
    await shelf.save(b"a book", job_id=JOB, round_number=0)
    for where in (shelf, FileShelf(tmp_path)):
        assert await where.find(sha256(b"a book")) == b"a book"
        assert await where.find(sha256(b"another book")) is None


async def test_files_that_changed_on_the_disk_are_not_shown(tmp_path):
    await FileShelf(tmp_path).save(b"a book", job_id=JOB, round_number=0)
    (file,) = books_directory(tmp_path).iterdir()
    file.write_bytes(b"A book")
    assert await FileShelf(tmp_path).find(sha256(b"a book")) is None


async def test_newest_books_need_no_disk_and_older_ones_are_still_there(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "BOOKS_RECENT_MAX", 2)
    shelf = FileShelf(tmp_path)
    for number in range(3):
        await shelf.save(b"book %d" % number, job_id=JOB, round_number=number)
    assert await shelf.find(sha256(b"book 0")) == b"book 0"
    for file in books_directory(tmp_path).iterdir():
        file.unlink()
    found = [await shelf.find(sha256(b"book %d" % number)) for number in range(3)]
    assert found == [None, b"book 1", b"book 2"]


async def test_book_that_could_not_be_written_is_not_there(tmp_path):
    books_directory(tmp_path).parent.mkdir(parents=True, exist_ok=True)
    books_directory(tmp_path).write_bytes(b"a file in the way")
    shelf = FileShelf(tmp_path)
    with pytest.raises(StoreError, match="cannot write"):
        await shelf.save(b"a book", job_id=JOB, round_number=0)
    assert await shelf.find(sha256(b"a book")) is None
