"""What only a disk can do: be cut off at any instant, be damaged, be full."""

import os
import signal
import sqlite3
import sys
from pathlib import Path

import pytest
import trio

from skyops_p2p.adapters.blobs import open_disk_blocks
from skyops_p2p.errors import StoreError
from skyops_p2p.wire.cid import RAW, Cid, cid_of
from tests.ports.content.test_blocks import JOB, KIB, block, code_of

QUOTA = 64 * KIB * KIB


def file_of(directory: Path, cid: Cid) -> Path:
    return directory / f"{cid.digest[0]:02x}" / str(cid)


def files_in(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("b*") if path.is_file()]


@pytest.mark.parametrize("damage", ["flipped", "cut short", "grown", "gone"])
async def test_damage_is_found_when_a_block_is_read(tmp_path, damage) -> None:
    cid, data = block(1)
    async with open_disk_blocks(tmp_path, quota_bytes=QUOTA) as store:
        await store.put([(cid, data), block(2)], owner=JOB)
        path = file_of(tmp_path, cid)
        match damage:
            case "flipped":
                path.write_bytes(data[:500] + bytes([data[500] ^ 1]) + data[501:])
            case "cut short":
                os.truncate(path, 500)
            case "grown":
                path.write_bytes(data + b"x")
            case "gone":
                path.unlink()
        assert await store.get([cid, block(2)[0]]) == [None, block(2)[1]]
        assert await store.present([cid]) == frozenset()
        assert store.statistics().damaged == 1
        assert not path.exists()


async def test_a_full_disk_is_told_and_nothing_is_left(tmp_path, monkeypatch) -> None:
    real_write = os.write
    written = []

    def full_after_three(handle: int, data: bytes) -> int:
        if len(written) >= 3:
            raise OSError(28, "No space left on device")
        written.append(handle)
        return real_write(handle, data)

    async with open_disk_blocks(tmp_path, quota_bytes=QUOTA) as store:
        await store.put([block(100)], owner="job/old")
        monkeypatch.setattr(os, "write", full_after_three)
        with pytest.raises(StoreError) as caught:
            await store.put([block(number) for number in range(5)], owner=JOB)
        monkeypatch.undo()
        assert code_of(caught) == "store_full"
        assert store.statistics().bytes_used == 100 * KIB
        assert files_in(tmp_path) == [file_of(tmp_path, block(100)[0])]
        await store.put([block(number) for number in range(5)], owner=JOB)
        assert store.statistics().blocks == 6


async def test_a_full_disk_makes_unpinned_blocks_go(tmp_path, monkeypatch) -> None:
    real_write = os.write
    failures = [OSError(28, "No space left on device")]

    def full_once(handle: int, data: bytes) -> int:
        if failures:
            raise failures.pop()
        return real_write(handle, data)

    async with open_disk_blocks(tmp_path, quota_bytes=QUOTA) as store:
        await store.put([block(100)], owner="job/old")
        await store.unpin("job/old")
        monkeypatch.setattr(os, "write", full_once)
        await store.put([block(1)], owner=JOB)
        assert await store.present([block(100)[0], block(1)[0]]) == {block(1)[0]}


WRITER = """
import os, sys, trio
from pathlib import Path
from skyops_p2p.adapters.blobs import files, open_disk_blocks
from tests.ports.content.test_blocks import block

left = int(sys.argv[2])
real = os.write

def write(handle, data):
    global left
    done = real(handle, bytes(data)[: min(left, len(data))])
    left -= done
    if left <= 0:
        os.kill(os.getpid(), 9)
    return done

async def main():
    async with open_disk_blocks(Path(sys.argv[1]), quota_bytes=1 << 26) as store:
        await store.put([block(0, 1000)], owner="job/kept")
        await store.put([block(n, 1000) for n in range(1, 6)], owner="job/cut")

files.os.write = write
trio.run(main)
"""


@pytest.mark.process
@pytest.mark.parametrize("bytes_written", [1, 999, 1000, 1001, 2500, 5999])
async def test_kill_at_any_byte_leaves_whole_blocks_and_no_parts(tmp_path, bytes_written) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path), str(bytes_written)]
    done = await trio.run_process(command, check=False, cwd=Path(__file__).parents[3])
    assert done.returncode == -signal.SIGKILL
    async with open_disk_blocks(tmp_path, quota_bytes=QUOTA) as store:
        here = await store.present(block(n, 1000)[0] for n in range(6))
        assert here == ({block(0, 1000)[0]} if bytes_written > 1000 else set())
        assert {path.name for path in files_in(tmp_path)} == {str(cid) for cid in here}
        assert store.statistics().bytes_used == 1000 * len(here)
        await store.put([block(n, 1000) for n in range(6)], owner="job/again")
        assert await store.get([block(5, 1000)[0]]) == [block(5, 1000)[1]]


async def test_files_that_a_power_cut_left_without_a_row_are_swept(tmp_path) -> None:
    async with open_disk_blocks(tmp_path, quota_bytes=QUOTA) as store:
        await store.put([block(1)], owner=JOB)
    stray = file_of(tmp_path, cid_of(RAW, b"stray"))
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b"stray")
    odd = stray.with_name("bogus")
    odd.write_bytes(b"")
    with sqlite3.connect(tmp_path / "index.db") as index:
        index.execute("UPDATE state SET value = 1")
    index.close()
    async with open_disk_blocks(tmp_path, quota_bytes=QUOTA) as store:
        assert not stray.exists()
        assert not odd.exists()
        assert await store.get([block(1)[0]]) == [block(1)[1]]


@pytest.mark.parametrize("content", [b"not a database, but long enough to look at" * 50, None])
async def test_a_damaged_index_is_told_and_left_alone(tmp_path, content) -> None:
    index = tmp_path / "index.db"
    if content is None:
        with sqlite3.connect(index) as other:
            other.execute("PRAGMA user_version = 7")
        other.close()
    else:
        index.write_bytes(content)
    before = index.read_bytes()
    with pytest.raises(StoreError) as caught:
        async with open_disk_blocks(tmp_path, quota_bytes=QUOTA):
            raise AssertionError("opened")
    assert code_of(caught) == "store_torn"
    assert index.read_bytes()[:16] == before[:16]


async def test_an_index_of_a_newer_program_is_refused(tmp_path) -> None:
    async with open_disk_blocks(tmp_path, quota_bytes=QUOTA):
        assert (tmp_path / "index.db").exists()
    with sqlite3.connect(tmp_path / "index.db") as index:
        index.execute("PRAGMA user_version = 99")
    index.close()
    with pytest.raises(StoreError) as caught:
        async with open_disk_blocks(tmp_path, quota_bytes=QUOTA):
            raise AssertionError("opened")
    assert code_of(caught) == "store_too_new"


async def test_a_directory_that_cannot_be_is_told(tmp_path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError) as caught:
        async with open_disk_blocks(tmp_path / "file", quota_bytes=QUOTA):
            raise AssertionError("opened")
    assert code_of(caught) == "store_unusable"
