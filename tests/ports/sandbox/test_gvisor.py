"""The docker runtime with gVisor between the program and this machine's kernel: contained, and saved whole."""

import re

import pytest
import trio

from skyops_p2p.errors import ExecutionError
from skyops_p2p.ports import ExitKind
from tests.ports.sandbox import docker_box
from tests.ports.sandbox.box import DEADLINE_S, limits_with, read_until
from tests.ports.sandbox.conftest import skip_unless_there

COUNTER = "import itertools, time\nfor n in itertools.count():\n    print(f'<{n}>', flush=True)\n    time.sleep(0.02)\n"


@pytest.fixture
async def box(engine, tmp_path):
    skip_unless_there(
        "gvisor", "" if engine.has_gvisor else "runsc not installed (Debian: apt-get install runsc)"
    )
    async with docker_box.open_box(tmp_path, engine, gvisor=True) as opened:
        yield opened


@pytest.fixture(autouse=True)
def there() -> None:
    skip_unless_there("gvisor", docker_box.missing())


async def test_programs_run_on_another_kernel(box):
    done = await box.run("print(open('/proc/version').read())")
    assert (done.end.kind, done.end.exit_code) == (ExitKind.EXITED, 0)
    assert "Linux version 4.4.0" in done.text  # what gVisor says of itself


async def test_an_endless_loop_ends_with_its_time(box):
    done = await box.run("while True: pass", limits=limits_with(wall_s=2.0))
    assert done.end.kind is ExitKind.TIMED_OUT


async def test_a_memory_hog_ends_and_the_node_stays(box):
    done = await box.run("b = []\nwhile True: b.append(bytearray(4 << 20))")
    assert done.end.kind in (ExitKind.OUT_OF_MEMORY, ExitKind.SIGNALLED, ExitKind.EXITED)
    assert done.end.exit_code != 0
    assert (await box.run("print('well')")).text == "well\n"


def numbers(seen: bytes) -> list[int]:
    return [int(text) for text in re.findall(rb"<(\d+)>", seen)]


async def test_a_counter_is_saved_and_goes_on_where_it_was_in_a_new_sandbox(box):
    folder = box.folder / "snapshot"
    folder.mkdir()
    spec = box.spec(COUNTER, snapshot_dir=folder)
    with trio.fail_after(2 * DEADLINE_S):
        await box.sandbox.prepare(spec, progress=lambda done, total: None)
        async with box.sandbox.start(spec) as running:
            await read_until(running, b"<10>")
            assert await running.snapshot()
            seen = numbers(await read_until(running, b"5>"))
            assert seen == sorted(seen)
            assert (await running.stop(grace_s=0)).kind is ExitKind.STOPPED
        again = box.spec(COUNTER, snapshot_dir=folder)
        async with box.sandbox.start(again) as running:
            first = numbers(await read_until(running, b">"))[0]
            assert first > 10
            assert (await running.stop(grace_s=0)).kind is ExitKind.STOPPED


async def test_without_a_snapshot_directory_nothing_is_saved(box):
    spec = box.spec(COUNTER)
    with trio.fail_after(DEADLINE_S):
        await box.sandbox.prepare(spec, progress=lambda done, total: None)
        async with box.sandbox.start(spec) as running:
            await read_until(running, b"<1>")
            assert not await running.snapshot()
            await running.stop(grace_s=0)


@pytest.mark.parametrize("shared", ["shares_sockets", "shares_pipes"])
async def test_gangs_and_pools_are_refused_since_they_would_reach_no_socket_and_pipe(box, shared):
    with pytest.raises(ExecutionError) as caught:
        await box.run("print()", **{shared: True})
    assert caught.value.code == "not_supported"
