"""Mallory's jobs that take more than they were given, against the runtimes that run real processes.

Endless loops and floods of output are in test_basics.py, on every runtime.
"""

import errno

import pytest

from skyops_p2p.ports import ExitKind
from tests.ports.sandbox.box import MIB, limits_with
from tests.ports.sandbox.conftest import RUNTIMES, skip_unless_there

FORK_BOMB = """
import os, time
count = 0
try:
    while True:
        if os.fork() == 0:
            time.sleep(600)
            os._exit(0)
        count += 1
except OSError as error:
    print(count, error.errno)
"""
MEMORY_HOG = "b = []\nwhile True: b.append(bytearray(4 << 20))"


@pytest.fixture(params=["native", "docker"])
def runtime(request) -> str:
    skip_unless_there(request.param, RUNTIMES[request.param].missing())
    return request.param


async def test_a_fork_bomb_stops_at_the_process_limit(box):
    done = await box.run(FORK_BOMB, limits=limits_with(pids_max=24))
    count, number = map(int, done.text.split())
    assert (done.end.kind, done.end.exit_code) == (ExitKind.EXITED, 0)
    assert number == errno.EAGAIN
    assert 8 <= count <= 24


async def test_a_memory_hog_is_ended_and_told_why(box):
    done = await box.run(MEMORY_HOG, limits=limits_with(memory_bytes=64 * MIB))
    assert done.end.kind is ExitKind.OUT_OF_MEMORY
    assert "64 MiB" in done.end.text


async def test_a_child_that_runs_out_of_memory_does_not_fail_a_job_that_copes(box):
    program = f"import os\nif os.fork() == 0:\n    exec({MEMORY_HOG!r})\nos.wait()\nprint('coped')"
    done = await box.run(program, limits=limits_with(memory_bytes=64 * MIB))
    assert done.end.kind in (ExitKind.EXITED, ExitKind.OUT_OF_MEMORY)  # v2 takes the whole group down
    assert "memory" in done.end.text


async def test_shared_memory_counts_as_memory(box):
    program = (
        "with open('/dev/shm/x', 'wb') as f:\n"
        "    for _ in range(100): f.write(bytes(1 << 20)); f.flush()\n"
        "print('wrote')"
    )
    done = await box.run(program, limits=limits_with(memory_bytes=64 * MIB, file_bytes_max=512 * MIB))
    assert done.end.exit_code != 0
    assert b"wrote" not in done.out


async def test_a_disk_filler_is_ended_and_told_why(box):
    program = (
        "import itertools, time\n"
        "for n in itertools.count():\n"
        "    open(f'/out/{n}', 'wb').write(bytes(1 << 20)); time.sleep(0.005)\n"
    )
    done = await box.run(program, limits=limits_with(disk_bytes=8 * MIB))
    assert done.end.kind is ExitKind.OUT_OF_DISK
    assert "8 MiB" in done.end.text


async def test_a_flood_of_empty_files_is_ended_too(box, monkeypatch):
    monkeypatch.setattr("skyops_p2p.limits.DISK_ENTRIES_MAX", 500)
    done = await box.run(
        "import itertools\nfor n in itertools.count(): open(f'/out/{n}', 'w').close()",
        limits=limits_with(disk_bytes=31 * MIB),
    )
    assert done.end.kind is ExitKind.OUT_OF_DISK


async def test_a_file_stops_growing_at_its_limit(box):
    done = await box.run(
        "try:\n"
        "    with open('/out/big', 'wb') as f:\n"
        "        for _ in range(64): f.write(bytes(1 << 20)); f.flush()\n"
        "except OSError as e: print(e.errno)",
        limits=limits_with(file_bytes_max=2 * MIB),
    )
    assert done.text.strip() == str(errno.EFBIG), done.err
    assert (box.out / "big").stat().st_size <= 2 * MIB


async def test_a_program_that_dies_of_its_file_limit_is_told_why(box):
    done = await box.run(
        "import signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_DFL)\n"
        "open('/out/big', 'wb', buffering=0).write(bytes(4 << 20))\n"
        "open('/out/big', 'ab', buffering=0).write(bytes(4 << 20))",
        limits=limits_with(file_bytes_max=2 * MIB),
    )
    assert done.end.kind is ExitKind.OUT_OF_DISK
    assert "2 MiB" in done.end.text
