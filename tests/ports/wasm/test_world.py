"""What a module sees of the world: clocks, randomness, sleep, files."""

import struct
import time

import pytest

from skyops_p2p import limits
from skyops_p2p.ports import ExitKind
from tests.ports.sandbox.box import MIB, limits_with, read_until
from tests.ports.wasm.workbench import module_text

pytestmark = pytest.mark.process

LOOK = """(func (export "_start")
  (drop (call $clock_time_get (i32.const 0) (i64.const 1) (i32.const 64)))
  (drop (call $clock_time_get (i32.const 1) (i64.const 1) (i32.const 72)))
  (drop (call $random_get (i32.const 80) (i32.const 40)))
  (call $say (i32.const 64) (i32.const 56)))"""


def clock_subscription(timeout_ns: int, *, flags: int = 0) -> str:
    packed = struct.pack("<QB7xI4xQQH6x", 7, 0, 1, timeout_ns, 0, flags)
    return "".join(f"\\{byte:02x}" for byte in packed)


def sleeping(timeout_ns: int, *, after: str = "") -> str:
    return module_text(
        f"""(data (i32.const 200) "{clock_subscription(timeout_ns)}") (data (i32.const 64) "begun")
        (func (export "_start")
          (call $say (i32.const 64) (i32.const 5))
          (drop (call $poll_oneoff (i32.const 200) (i32.const 300) (i32.const 1) (i32.const 400))) {after})""",
        imports=("poll_oneoff", "clock_time_get"),
    )


def looking() -> str:
    return module_text(LOOK, imports=("clock_time_get", "random_get"))


async def test_a_deterministic_run_sees_the_same_each_time(bench):
    env = {"SKYOPS_JOB": "ab", "SKYOPS_SHARD": "3"}
    seen = [(await bench.run(looking(), is_deterministic=True, env=env)).out for _ in range(2)]
    assert seen[0] == seen[1]
    assert len(seen[0]) == 56
    [clock] = struct.unpack_from("<Q", seen[0])
    assert time.gmtime(clock // 10**9)[:3] == (2000, 1, 1)


async def test_another_shard_sees_other_random_bytes(bench):
    seen = {
        (await bench.run(looking(), is_deterministic=True, env={"SKYOPS_SHARD": shard})).out[16:]
        for shard in ("0", "1")
    }
    assert len(seen) == 2


async def test_else_clocks_and_randomness_are_real(bench):
    before = time.time_ns()
    first, second = [(await bench.run(looking())).out for _ in range(2)]
    assert before < struct.unpack_from("<Q", first)[0] < time.time_ns()
    assert first[16:] != second[16:]


async def test_a_deterministic_clock_moves_by_what_was_slept(bench):
    after = """(drop (call $clock_time_get (i32.const 1) (i64.const 1) (i32.const 72)))
      (call $say (i32.const 72) (i32.const 8)) (call $say (i32.const 400) (i32.const 4))"""
    done = await bench.run(sleeping(2_000_000, after=after), is_deterministic=True)
    clock, events = struct.unpack("<QI", done.out[5:])
    assert 2_000_000 < clock < 2_100_000
    assert events == 1


@pytest.mark.parametrize("is_deterministic", [False, True])
async def test_a_long_sleep_is_cut_by_a_stop(bench, is_deterministic):
    async def stop(running):
        await read_until(running, b"begun")
        return await running.stop(grace_s=0)

    spec = bench.spec(sleeping(1 << 62), is_deterministic=is_deterministic)
    done = await bench.drive(spec, stop)
    assert done.end.kind is ExitKind.STOPPED
    assert done.usage.fuel > 0, "it was killed instead of interrupted"


def sleeping_until(moment: str) -> str:
    """Sleep until a moment of the monotonic clock: an expression in which $now is what the clock showed."""
    return module_text(
        f"""(data (i32.const 200) "{clock_subscription(0, flags=1)}") (data (i32.const 64) "begun")
        (func (export "_start") (local $now i64)
          (call $say (i32.const 64) (i32.const 5))
          (drop (call $clock_time_get (i32.const 1) (i64.const 1) (i32.const 72)))
          (local.set $now (i64.load (i32.const 72)))
          (i64.store (i32.const 224) {moment})
          (call $proc_exit
            (call $poll_oneoff (i32.const 200) (i32.const 300) (i32.const 1) (i32.const 400))))""",
        imports=("poll_oneoff", "clock_time_get", "proc_exit"),
    )


@pytest.mark.parametrize("is_deterministic", [False, True])
async def test_a_sleep_until_a_moment_far_away_is_long(bench, is_deterministic):
    async def stop(running):
        await read_until(running, b"begun")
        return await running.stop(grace_s=0)

    # Nearer than any machine's time since its start: measured by another clock it would be over at once.
    far = sleeping_until("(i64.add (local.get $now) (i64.const 60000000000))")
    done = await bench.drive(bench.spec(far, is_deterministic=is_deterministic), stop)
    assert done.end.kind is ExitKind.STOPPED


@pytest.mark.parametrize("is_deterministic", [False, True])
async def test_a_sleep_until_a_moment_that_is_over_is_none(bench, is_deterministic):
    over = sleeping_until("(i64.sub (local.get $now) (i64.const 1))")
    assert (await bench.run(over, is_deterministic=is_deterministic)).end.exit_code == 0


async def test_the_monotonic_clock_is_the_one_by_which_sleep_is_measured(bench):
    before = time.monotonic_ns()
    done = await bench.run(looking())
    assert before < struct.unpack_from("<Q", done.out, 8)[0] < time.monotonic_ns()


@pytest.mark.parametrize(
    "count", ["(i32.const 0)", f"(i32.const {limits.WASM_POLL_MAX + 1})", "(i32.const -1)"]
)
async def test_a_senseless_poll_is_an_error(bench, count):
    text = module_text(
        f"""(func (export "_start") (call $proc_exit
          (call $poll_oneoff (i32.const 200) (i32.const 300) {count} (i32.const 400))))""",
        imports=("poll_oneoff", "proc_exit"),
    )
    assert (await bench.run(text)).end.exit_code == 28


@pytest.mark.parametrize(
    "call",
    [
        "(call $poll_oneoff (i32.const -8) (i32.const 300) (i32.const 1) (i32.const 400))",
        "(call $clock_time_get (i32.const 0) (i64.const 1) (i32.const -4))",
        "(call $random_get (i32.const 65530) (i32.const 64))",
    ],
)
async def test_an_address_outside_of_the_memory_is_an_error(bench, call):
    text = module_text(
        f'(func (export "_start") (call $proc_exit {call}))',
        imports=("poll_oneoff", "clock_time_get", "random_get", "proc_exit"),
    )
    assert (await bench.run(text, is_deterministic=True)).end.exit_code == 21


def opening(path: str, *, directory: int, write: bool = False) -> str:
    """Open a file below the directory number (3 is "/in", 4 "/out", 5 "/work", 6 "."), and exit with the errno."""
    rights = "(i64.const 64)" if write else "(i64.const 2)"
    return module_text(
        f"""(data (i32.const 64) "{path}")
        (func (export "_start") (call $proc_exit (call $path_open (i32.const {directory}) (i32.const 1)
          (i32.const 64) (i32.const {len(path)}) (i32.const {1 if write else 0}) {rights} (i64.const 0)
          (i32.const 0) (i32.const 400))))""",
        imports=("path_open", "proc_exit"),
    )


@pytest.mark.parametrize(
    "path", ["../secret", "a/../../secret", "/etc/passwd", "link", "folder/secret", "../work/x"]
)
async def test_nothing_outside_of_the_mounts_is_opened(bench, path):
    (bench.folder / "secret").write_text("of the host")
    (bench.folder / "work" / "x").write_text("elsewhere")
    (bench.folder / "out" / "a").mkdir()
    (bench.folder / "out" / "link").symlink_to("/etc/passwd")
    (bench.folder / "out" / "folder").symlink_to("..")
    assert (await bench.run(opening(path, directory=4))).end.exit_code != 0


async def test_what_lies_in_the_mounts_is_opened(bench):
    (bench.folder / "in" / "x").write_text("x")
    (bench.folder / "in" / "near").symlink_to("x")
    assert (await bench.run(opening("x", directory=3))).end.exit_code == 0
    assert (await bench.run(opening("near", directory=3))).end.exit_code == 0


async def test_a_link_to_the_host_that_a_module_made_leads_nowhere(bench):
    text = module_text(
        """(data (i32.const 64) "/etc/passwd") (data (i32.const 96) "made")
        (func (export "_start") (local $refused i32)
          (local.set $refused (call $path_symlink
            (i32.const 64) (i32.const 11) (i32.const 4) (i32.const 96) (i32.const 4)))
          (if (local.get $refused) (then (call $proc_exit (i32.const 200))))
          (call $proc_exit (call $path_open (i32.const 4) (i32.const 1) (i32.const 96) (i32.const 4)
            (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 400))))""",
        imports=("path_symlink", "path_open", "proc_exit"),
    )
    assert (await bench.run(text)).end.exit_code not in (0, None)


async def test_an_input_cannot_be_written(bench):
    (bench.folder / "in" / "x").write_text("x")
    assert (await bench.run(opening("x", directory=3, write=True))).end.exit_code != 0
    assert (await bench.run(opening("new", directory=3, write=True))).end.exit_code != 0
    assert [path.name for path in (bench.folder / "in").iterdir()] == ["x"]


def writing(count: int, size: int, *, unlink: bool = False) -> str:
    """Write a file of `count` pieces of `size` bytes to /out, twice if it is removed between; exit with the errno."""
    removed = "(drop (call $path_unlink_file (i32.const 4) (i32.const 64) (i32.const 4)))" if unlink else ""
    return module_text(
        f"""(data (i32.const 64) "file") (data (i32.const 16) "\\00\\04\\00\\00")
        (func $write (local $i i32) (local $error i32)
          (local.set $error (call $path_open (i32.const 4) (i32.const 0) (i32.const 64) (i32.const 4)
            (i32.const 1) (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 80)))
          (if (local.get $error) (then (call $proc_exit (local.get $error))))
          (i32.store (i32.const 20) (i32.const {size}))
          (loop
            (local.set $error (call $fd_write (i32.load (i32.const 80)) (i32.const 16) (i32.const 1) (i32.const 84)))
            (if (local.get $error) (then (call $proc_exit (local.get $error))))
            (br_if 0 (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const {count}))))
          (drop (call $fd_close (i32.load (i32.const 80)))))
        (func (export "_start") (call $write) {removed + "(call $write)" if unlink else ""})""",
        imports=("path_open", "proc_exit", "path_unlink_file", "fd_close"),
    )


async def test_a_full_disk_is_an_error_at_once_and_told_at_the_end(bench):
    done = await bench.run(writing(100, 32768), limits=limits_with(disk_bytes=MIB))
    assert done.end.kind is ExitKind.OUT_OF_DISK
    assert "1 MiB" in done.end.text
    assert 0 < (bench.folder / "out" / "file").stat().st_size <= MIB


async def test_what_fits_is_written(bench):
    done = await bench.run(writing(31, 32768), limits=limits_with(disk_bytes=MIB))
    assert done.end.exit_code == 0
    assert (bench.folder / "out" / "file").stat().st_size == 31 * 32768


async def test_what_was_removed_counts_no_more(bench):
    done = await bench.run(writing(20, 32768, unlink=True), limits=limits_with(disk_bytes=MIB))
    assert done.end.exit_code == 0


async def test_what_lay_there_before_counts(bench):
    (bench.folder / "work" / "old").write_bytes(bytes(900_000))
    done = await bench.run(writing(10, 32768), limits=limits_with(disk_bytes=MIB))
    assert done.end.kind is ExitKind.OUT_OF_DISK


async def test_one_file_has_its_own_bound(bench):
    done = await bench.run(writing(100, 32768), limits=limits_with(file_bytes_max=100_000))
    assert (done.end.kind, done.end.exit_code) == (ExitKind.EXITED, 22)
    assert (bench.folder / "out" / "file").stat().st_size == 100_000


@pytest.mark.parametrize("size", [1 << 40, -1])
async def test_room_cannot_be_reserved_beyond_the_bound(bench, size):
    text = module_text(
        f"""(data (i32.const 64) "file")
        (func (export "_start")
          (drop (call $path_open (i32.const 4) (i32.const 0) (i32.const 64) (i32.const 4)
            (i32.const 1) (i64.const 320) (i64.const 0) (i32.const 0) (i32.const 80)))
          (call $proc_exit (call $fd_allocate (i32.load (i32.const 80)) (i64.const 0) (i64.const {size}))))""",
        imports=("path_open", "fd_allocate", "proc_exit"),
    )
    assert (await bench.run(text)).end.kind is ExitKind.OUT_OF_DISK


async def test_empty_files_and_directories_count_too(bench):
    text = module_text(
        """(data (i32.const 64) "d0000000")
        (func (export "_start") (local $i i32) (local $error i32)
          (loop
            (i32.store (i32.const 68) (i32.add (i32.const 0x30303030) (local.get $i)))
            (local.set $error (call $path_create_directory (i32.const 4) (i32.const 64) (i32.const 8)))
            (if (i32.eq (local.get $error) (i32.const 51)) (then (call $proc_exit (i32.const 51))))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br 0)))""",
        imports=("path_create_directory", "proc_exit"),
    )
    done = await bench.run(text, limits=limits_with(disk_bytes=40 * 4096))
    assert done.end.kind is ExitKind.OUT_OF_DISK
    assert 0 < len(list((bench.folder / "out").iterdir())) <= 40


async def test_only_the_environment_of_the_job_is_there(bench):
    text = """(module
      (import "wasi_snapshot_preview1" "environ_sizes_get" (func $sizes (param i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (memory (export "memory") 1)
      (func (export "_start")
        (drop (call $sizes (i32.const 0) (i32.const 4))) (call $exit (i32.load (i32.const 0)))))"""
    assert (await bench.run(text, env={"A": "1", "B": "2"})).end.exit_code == 2
