"""What only a store on a real disk can show: damage, foreign files, schemas, locks, a full disk."""

import os
import resource
import sqlite3
import stat
import subprocess
import sys

import pytest
import trio

from skyops_p2p.adapters.sqlite import STORE_FILE_NAME, open_sqlite_store, schema
from skyops_p2p.adapters.sqlite.lock import lock_holder
from skyops_p2p.errors import LocalProtocolError, StoreError
from skyops_p2p.ports import StoredNode
from skyops_p2p.types import PeerId, UnixMs


@pytest.fixture
def path(tmp_path):
    return tmp_path / STORE_FILE_NAME


async def fill(path, count=50, padding=b""):
    async with open_sqlite_store(path) as store:
        for number in range(count):
            await store.append("peering", "bob", b"entry %d" % number + padding)


async def refused(path):
    with pytest.raises(StoreError) as caught:
        async with open_sqlite_store(path):
            pytest.fail("the store was opened")
    return caught.value


async def test_files_are_the_owners_alone(path):
    async with open_sqlite_store(path) as store:
        await store.append("peering", "bob", b"x")
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert set(modes) == {"store.db", "store.db-wal", "store.db-shm", "store.lock"}
    assert set(modes.values()) == {0o600}


async def test_each_commit_is_synced(path):
    async with open_sqlite_store(path) as store:
        (mode,) = await store._read(lambda connection: connection.execute("PRAGMA journal_mode").fetchone())
        (level,) = await store._read(lambda connection: connection.execute("PRAGMA synchronous").fetchone())
    assert (mode, level) == ("wal", 2)


async def test_waiting_writes_share_a_transaction(path):
    statements = []
    async with open_sqlite_store(path) as store:
        await store._read(lambda connection: connection.set_trace_callback(statements.append))
        async with trio.open_nursery() as nursery:
            for number in range(100):
                nursery.start_soon(store.append, "peering", "bob", b"%d" % number)
        await store._read(lambda connection: connection.set_trace_callback(None))
    assert sum("INSERT" in statement for statement in statements) == 100
    assert statements.count("COMMIT") <= 2


async def test_one_bad_write_does_not_spoil_its_neighbours(path):
    outcomes = {}

    async def put(store, peer, seen):
        try:
            await store.put_nodes([StoredNode(PeerId(peer), b"r", (), "active", UnixMs(seen))])
            outcomes[peer] = "stored"
        except LocalProtocolError as error:
            outcomes[peer] = error.code

    async with open_sqlite_store(path) as store:
        async with trio.open_nursery() as nursery:
            for peer, seen in [("alice", 1), ("mallory", 2**64), ("bob", 2), ("carol", 3)]:
                nursery.start_soon(put, store, peer, seen)
        stored = {node.peer for node in await store.nodes()}
    assert outcomes == {"alice": "stored", "bob": "stored", "carol": "stored", "mallory": "unstorable"}
    assert stored == {"alice", "bob", "carol"}


async def test_a_newer_schema_is_refused_and_left_alone(path):
    await fill(path)
    newer = sqlite3.connect(path)
    newer.execute(f"PRAGMA user_version = {len(schema.MIGRATIONS) + 1}")
    newer.close()
    before = path.read_bytes()
    error = await refused(path)
    assert error.code == "store_too_new"
    assert path.read_bytes() == before


async def test_an_older_schema_is_brought_forward_with_its_content(path, monkeypatch):
    await fill(path, count=3)
    newer = (*schema.MIGRATIONS, ("ALTER TABLE journal ADD COLUMN note TEXT",))
    monkeypatch.setattr(schema, "MIGRATIONS", newer)
    async with open_sqlite_store(path) as store:
        assert len(await store.entries("peering")) == 3
        (version,) = await store._read(
            lambda connection: connection.execute("PRAGMA user_version").fetchone()
        )
    assert version == len(newer)


async def test_a_failing_migration_changes_nothing(path, monkeypatch):
    await fill(path, count=3)
    broken = (
        *schema.MIGRATIONS,
        ("ALTER TABLE journal ADD COLUMN note TEXT", "CREATE TABLE journal (again TEXT)"),
    )
    with monkeypatch.context() as patched:
        patched.setattr(schema, "MIGRATIONS", broken)
        assert (await refused(path)).code == "store_unusable"
    async with open_sqlite_store(path) as store:
        columns = await store._read(
            lambda connection: connection.execute("PRAGMA table_info(journal)").fetchall()
        )
        assert "note" not in [column[1] for column in columns]
        assert len(await store.entries("peering")) == 3


def overwrite(path, at, content):
    with path.open("r+b") as file:
        file.seek(at)
        file.write(content)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda path: overwrite(path, 0, b"\xff" * 100), id="header"),
        pytest.param(lambda path: overwrite(path, 4096, b"\xff" * 4096 * 3), id="pages"),
        pytest.param(lambda path: os.truncate(path, path.stat().st_size // 2), id="truncated"),
        pytest.param(lambda path: os.truncate(path, 0), id="emptied"),
        pytest.param(
            lambda path: path.write_bytes(b"not a database at all, but long enough" * 100), id="replaced"
        ),
    ],
)
async def test_a_damaged_store_is_refused_and_never_recreated(path, damage):
    await fill(path, count=50, padding=b"." * 600)
    damage(path)
    before = path.read_bytes()
    error = await refused(path)
    assert error.code == "store_torn"
    assert "aside" in error.hint
    assert path.read_bytes() == before
    assert lock_holder(path.with_suffix(".lock")) is None


async def test_a_changed_byte_inside_an_entry_is_noticed(path):
    await fill(path)
    raw = path.read_bytes()
    overwrite(path, raw.index(b"entry 7"), b"entrx 7")
    async with open_sqlite_store(path) as store:
        with pytest.raises(StoreError) as caught:
            await store.entries("peering")
    assert caught.value.code == "store_torn"
    assert "checksum" in str(caught.value)


async def test_a_foreign_database_is_refused(path):
    foreign = sqlite3.connect(path)
    foreign.execute("CREATE TABLE photos (name TEXT)")
    foreign.close()
    assert (await refused(path)).code == "store_torn"


async def test_a_vanished_database_with_its_log_left_is_not_replaced_by_an_empty_one(path):
    path.with_name("store.db-wal").write_bytes(b"x" * 4096)
    assert (await refused(path)).code == "store_torn"
    assert not path.exists()


async def test_a_crash_while_the_store_was_being_made_is_no_damage(path):
    path.with_name("store.db.new").write_bytes(b"half")
    await fill(path, count=1)
    assert not path.with_name("store.db.new").exists()


async def test_a_missing_directory_is_said_plainly(tmp_path):
    error = await refused(tmp_path / "nowhere" / STORE_FILE_NAME)
    assert error.code == "store_unusable"
    assert "nowhere" in str(error)


async def test_the_lock_names_its_holder(path):
    lock = path.with_suffix(".lock")
    assert lock_holder(lock) is None
    async with open_sqlite_store(path):
        assert lock_holder(lock) == os.getpid()
        assert str(os.getpid()) in str(await refused(path))
    assert lock_holder(lock) is None


async def test_another_program_that_holds_the_file_is_a_lock(path):
    async with open_sqlite_store(path) as store:
        await store.append("peering", "bob", b"1")
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError) as caught:
            await store.append("peering", "bob", b"2")
        assert caught.value.code == "store_locked"
        other.execute("ROLLBACK")
        other.close()
        await store.append("peering", "bob", b"3")
        assert [entry.body for entry in await store.entries("peering")] == [b"1", b"3"]


FULL_DISK = """
import resource, signal, sys, trio
from pathlib import Path
from skyops_p2p.adapters.sqlite import open_sqlite_store
from skyops_p2p.errors import StoreError

async def main(path):
    async with open_sqlite_store(path) as store:
        await store.append("peering", "bob", b"first")
        # A write past the limit raises SIGXFSZ; ignored, it fails as on a full disk.
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (256 * 1024, hard))
        written = 0
        while True:
            try:
                await store.append("peering", "bob", b"x" * 50_000)
                written += 1
            except StoreError as error:
                print("refused", error.code, flush=True)
                break
        print("readable", len(await store.entries("peering")) == written + 1, flush=True)
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        await store.compact("peering", "bob", keep_last=1)
        await store.append("peering", "bob", b"room again")
        print("whole", len(await store.entries("peering")), flush=True)

trio.run(main, Path(sys.argv[1]))
"""


@pytest.mark.process
def test_a_full_disk_refuses_and_leaves_nothing_half_written(path):
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["refused store_full", "readable True", "whole 2"]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 256 * 1024, "the limit was the child's own"


SMALL_DISK = """
import os, sys, trio
from pathlib import Path
from skyops_p2p.adapters.sqlite import open_sqlite_store
from skyops_p2p.errors import StoreError

async def main(disk):
    async with open_sqlite_store(disk / "store.db") as store:
        written = 0
        while True:
            try:
                await store.append("peering", "bob", b"x" * 50_000)
                written += 1
            except StoreError as error:
                print("refused", error.code, written > 0, flush=True)
                break
        print("readable", len(await store.entries("peering")) == written, flush=True)
        (disk / "ballast").unlink()
        await store.append("peering", "bob", b"room again")
    async with open_sqlite_store(disk / "store.db") as store:
        print("whole", len(await store.entries("peering")) == written + 1, flush=True)

disk = Path(sys.argv[1])
(disk / "ballast").write_bytes(bytes(512 * 1024))
trio.run(main, disk)
"""


@pytest.mark.process
def test_a_disk_without_space_refuses_and_goes_on_when_there_is_some(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    # A mount namespace of its own: the small disk is seen by this child alone and goes with it.
    script = 'mount -t tmpfs -o size=2m none "$1" || exit 77; exec "$2" -c "$3" "$1"'
    command = ["unshare", "--mount", "sh", "-c", script, "sh", str(disk), sys.executable, SMALL_DISK]
    if os.geteuid() != 0:
        command[1:2] = ["--map-root-user", "--mount"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("this machine lets us mount nothing; the file size limit above is the portable way")
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["refused store_full True", "readable True", "whole True"]


CRASHING = """
import sys, trio
from pathlib import Path
from skyops_p2p.adapters.sqlite import open_sqlite_store

async def appender(store, name):
    while True:
        number = await store.append("peering", name, b"promise" * 40)
        sys.stdout.write(f"{number}\\n")
        sys.stdout.flush()

async def main(path):
    async with open_sqlite_store(path) as store, trio.open_nursery() as nursery:
        for name in ("alice", "bob", "carol"):
            nursery.start_soon(appender, store, name)

trio.run(main, Path(sys.argv[1]))
"""


@pytest.mark.process
@pytest.mark.parametrize("lines", [1, 100, 2000])
def test_every_acknowledged_entry_survives_kill_9(path, lines):
    child = subprocess.Popen([sys.executable, "-c", CRASHING, str(path)], stdout=subprocess.PIPE)
    try:
        acknowledged = [child.stdout.readline() for _ in range(lines)]
    finally:
        child.kill()
        rest, _ = child.communicate(timeout=30)
    acknowledged += [line for line in rest.splitlines(keepends=True) if line.endswith(b"\n")]
    assert child.returncode == -9

    async def stored_numbers():
        async with open_sqlite_store(path) as store:
            return {entry.number for entry in await store.entries("peering")}

    numbers = trio.run(stored_numbers)
    assert {int(line) for line in acknowledged} <= numbers
    assert len(acknowledged) >= lines
