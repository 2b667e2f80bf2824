"""A program runs, says something, and ends: what every runtime tells of it."""

import pytest
import trio

from skyops_p2p import limits
from skyops_p2p.errors import ExecutionError
from skyops_p2p.ports import ExitKind, Limit
from tests.ports.sandbox.box import DEADLINE_S, LIMITS, MIB, drain, limits_with, read_until

HELLO = "print('hello')"
ENDLESS = "print('begun', flush=True)\nwhile True: pass"


async def test_output_and_exit_code_come_back(box):
    done = await box.run("import sys\nprint('to out')\nprint('to err', file=sys.stderr)\nsys.exit(37)")
    assert (done.end.kind, done.end.exit_code, done.end.signal) == (ExitKind.EXITED, 37, None)
    assert done.out == b"to out\n"
    assert b"to err" in done.err
    assert done.end.text
    assert done.end.log_bytes_dropped == 0


async def test_success_is_zero(box):
    done = await box.run(HELLO)
    assert (done.end.kind, done.end.exit_code) == (ExitKind.EXITED, 0)


async def test_arguments_and_environment_arrive_as_they_are(box):
    weird = "a b\"c'd $HOME ü"
    done = await box.run(
        "import os, sys\nprint(sys.argv[1] == os.environ['WEIRD'] == " + repr(weird) + ")",
        weird,
        env=box.env | {"WEIRD": weird},
    )
    assert done.text.strip() == "True", done.err


async def test_it_starts_in_its_working_directory_which_it_may_write(box):
    done = await box.run("import os\nopen('scratch', 'w').write('x')\nprint(os.getcwd())")
    assert (box.folder / "work" / "scratch").read_text() == "x", done.err
    # WASI knows no working directory: relative names lead to /work, though a module is told "/".
    assert done.text.strip() == ("/" if box.runtime == "wasm" else "/work")


async def test_inputs_are_read_and_outputs_written(box):
    (box.folder / "in" / "data").write_text("from alice")
    done = await box.run(
        "import os\ntext = open('/in/data').read()\nos.makedirs('/out/a')\nopen('/out/a/b', 'w').write(text.upper())"
    )
    assert done.end.exit_code == 0, done.err
    assert (box.out / "a" / "b").read_text() == "FROM ALICE"


async def test_inputs_cannot_be_changed(box):
    (box.folder / "in" / "data").write_text("from alice")
    done = await box.run("open('/in/data', 'w').write('mine')")
    assert done.end.kind is ExitKind.EXITED
    assert done.end.exit_code != 0
    assert (box.folder / "in" / "data").read_text() == "from alice"


async def test_what_was_left_in_a_writable_mount_can_be_changed(box):
    (box.out / "old").mkdir()
    (box.out / "old" / "state").write_text("1")
    done = await box.run("import shutil\nopen('/out/old/state', 'a').write('2')\nshutil.rmtree('/out/old')")
    assert done.end.exit_code == 0, done.err
    assert list(box.out.iterdir()) == []


async def test_bytes_that_are_no_text_come_through_unchanged(box):
    done = await box.run("import sys\nsys.stdout.buffer.write(bytes(range(256)))")
    assert done.out == bytes(range(256))


async def test_one_gigantic_line_comes_in_bounded_chunks(box):
    spec = box.spec("import sys\nsys.stdout.write('x' * 700_000)")
    with trio.fail_after(DEADLINE_S):
        await box.sandbox.prepare(spec, progress=lambda done, total: None)
        async with box.sandbox.start(spec) as running:
            sizes = [len(chunk.data) async for chunk in running.output]
            assert (await running.wait()).exit_code == 0
    assert sum(sizes) == 700_000
    assert max(sizes) <= limits.LOG_CHUNK_BYTES_MAX


async def test_a_flood_of_output_is_cut_and_counted(box):
    done = await box.run(
        "import sys\nfor _ in range(64): sys.stdout.write('y' * 65536)",
        limits=limits_with(log_bytes_max=100_000),
    )
    assert done.end.exit_code == 0, done.err
    assert len(done.out) + len(done.err) == 100_000
    assert done.end.log_bytes_dropped == 64 * 65536 - 100_000


async def test_a_program_waits_while_nobody_reads(box):
    spec = box.spec(
        "import sys\n"
        "for i in range(64):\n"
        "    sys.stdout.write('z' * 65536); sys.stdout.flush()\n"
        "    open('/out/written', 'w').write(str(i))\n",
        limits=limits_with(log_bytes_max=64 * MIB),
    )
    with trio.fail_after(DEADLINE_S):
        await box.sandbox.prepare(spec, progress=lambda done, total: None)
        async with box.sandbox.start(spec) as running:
            await running.output.receive()
            streams = await drain(running)
            assert (await running.wait()).exit_code == 0
    assert len(streams["stdout"]) <= 64 * 65536


async def test_an_endless_loop_ends_with_its_time(box):
    done = await box.run(ENDLESS, limits=limits_with(wall_s=1.0))
    assert done.end.kind is ExitKind.TIMED_OUT
    assert (done.end.exit_code, done.end.signal) == (None, None)


async def test_sleeping_past_the_limit_ends_with_its_time(box):
    done = await box.run("import time\ntime.sleep(3600)", limits=limits_with(wall_s=1.0))
    assert done.end.kind is ExitKind.TIMED_OUT


async def test_waiting_twice_and_together_gives_the_same_end(box):
    spec = box.spec("raise SystemExit(5)")
    ends = []
    with trio.fail_after(DEADLINE_S):
        await box.sandbox.prepare(spec, progress=lambda done, total: None)
        async with box.sandbox.start(spec) as running:

            async def wait() -> None:
                ends.append(await running.wait())

            async with trio.open_nursery() as nursery:
                nursery.start_soon(wait)
                nursery.start_soon(wait)
            ends.append(await running.wait())
    assert {end.exit_code for end in ends} == {5}
    assert len(set(ends)) == 1


async def test_a_wait_that_is_given_up_takes_nothing_with_it(box):
    spec = box.spec(ENDLESS)
    with trio.fail_after(DEADLINE_S):
        await box.sandbox.prepare(spec, progress=lambda done, total: None)
        async with box.sandbox.start(spec) as running:
            await read_until(running, b"begun")
            with trio.move_on_after(0) as given_up:
                await running.wait()
            assert given_up.cancelled_caught
            end = await running.stop(grace_s=0)
    assert end.kind is ExitKind.STOPPED


async def test_stop_ends_it_and_says_so(box):
    spec = box.spec(ENDLESS)
    with trio.fail_after(DEADLINE_S):
        await box.sandbox.prepare(spec, progress=lambda done, total: None)
        async with box.sandbox.start(spec) as running:
            await read_until(running, b"begun")
            end = await running.stop(grace_s=0)
            assert end.kind is ExitKind.STOPPED
            assert await running.wait() == end
            assert await running.stop(grace_s=0) == end


async def test_what_ended_before_the_stop_is_told_as_it_was(box):
    spec = box.spec("raise SystemExit(9)")
    with trio.fail_after(DEADLINE_S):
        await box.sandbox.prepare(spec, progress=lambda done, total: None)
        async with box.sandbox.start(spec) as running:
            await running.wait()
            end = await running.stop(grace_s=5)
    assert (end.kind, end.exit_code) == (ExitKind.EXITED, 9)


async def test_leaving_the_context_ends_it_and_its_output(box):
    spec = box.spec(ENDLESS)
    with trio.fail_after(DEADLINE_S):
        await box.sandbox.prepare(spec, progress=lambda done, total: None)
        async with box.sandbox.start(spec) as running:
            await read_until(running, b"begun")
        assert (await running.wait()).kind is ExitKind.STOPPED
        assert await drain(running) is not None


@pytest.mark.parametrize("checkpoints", range(12))
async def test_cancellation_at_each_await_of_a_start_leaves_nothing(box, checkpoints):
    spec = box.spec(ENDLESS)
    with trio.fail_after(DEADLINE_S):
        await box.sandbox.prepare(spec, progress=lambda done, total: None)
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:

                async def give_up() -> None:
                    for _ in range(checkpoints):
                        await trio.lowlevel.checkpoint()
                    scope.cancel()

                nursery.start_soon(give_up)
                async with box.sandbox.start(spec) as running:
                    await running.wait()
        assert await box.sandbox.reap() == 0


async def test_usage_grows_and_stays_after_the_end(box):
    spec = box.spec(
        "x = 'begun' * 1\nfor _ in range(3_000_00): pass\nprint('begun', flush=True)\nwhile True: pass"
    )
    with trio.fail_after(DEADLINE_S):
        await box.sandbox.prepare(spec, progress=lambda done, total: None)
        async with box.sandbox.start(spec) as running:
            await read_until(running, b"begun")
            early = await running.usage()
            await running.stop(grace_s=0)
            late = await running.usage()
            assert await running.usage() == late
    assert 0 < early.wall_s <= late.wall_s
    if late.cpu_s is not None:
        assert late.cpu_s > 0


async def test_two_sandboxes_run_beside_each_other(box):
    first, second = box.spec(ENDLESS), box.spec(HELLO)
    with trio.fail_after(DEADLINE_S):
        await box.sandbox.prepare(first, progress=lambda done, total: None)
        async with box.sandbox.start(first) as running:
            await read_until(running, b"begun")
            assert (await box.run_spec(second)).out == b"hello\n"
            assert (await running.stop(grace_s=0)).kind is ExitKind.STOPPED


async def test_a_job_that_asks_for_hosts_is_refused(box):
    spec = box.spec(HELLO, hosts=("example.org:443",))
    with pytest.raises(ExecutionError) as caught:
        await box.sandbox.prepare(spec, progress=lambda done, total: None)
    assert caught.value.code == "not_supported"
    with pytest.raises(ExecutionError):
        async with box.sandbox.start(spec):
            pytest.fail("it started")


async def test_no_network_is_enforced_everywhere(box):
    assert {Limit.NETWORK, Limit.WALL, Limit.LOG} <= box.sandbox.enforces


async def test_memory_hog_ends_by_itself_or_by_force_and_the_node_stays(box):
    done = await box.run("b = []\nwhile True: b.append(bytearray(4 << 20))", limits=LIMITS)
    assert done.end.kind in (ExitKind.OUT_OF_MEMORY, ExitKind.EXITED)
    assert done.end.exit_code != 0
    assert (await box.run(HELLO)).out == b"hello\n"
