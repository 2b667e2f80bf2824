"""Every way in which a module can end is told apart."""

import os
import signal
from dataclasses import replace

import pytest
import trio

from skyops_p2p.errors import ExecutionError
from skyops_p2p.ports import ExitKind
from tests.ports.sandbox.box import DEADLINE_S, limits_with, read_until
from tests.ports.wasm.workbench import module_text

pytestmark = pytest.mark.process

ENDLESS = """(data (i32.const 64) "begun")
  (func (export "_start") (call $say (i32.const 64) (i32.const 5)) (loop (br 0)))"""


def start(code: str) -> str:
    return f'(func (export "_start") {code})'


@pytest.mark.parametrize("code", [0, 1, 75, 126, 137, 255])
async def test_exit_codes_come_through(bench, code):
    done = await bench.run(module_text(start(f"(call $proc_exit (i32.const {code}))")))
    assert (done.end.kind, done.end.exit_code) == (ExitKind.EXITED, code)


async def test_returning_from_start_is_success(bench):
    done = await bench.run(module_text(start("")))
    assert (done.end.kind, done.end.exit_code) == (ExitKind.EXITED, 0)


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("unreachable", "unreachable"),
        ("(drop (i32.div_u (i32.const 1) (i32.const 0)))", "integer division by zero"),
        ("(drop (i32.load (i32.const -4)))", "memory out of bounds"),
        ("(call 3)", "stack overflow"),
    ],
)
async def test_a_trap_is_told_by_its_name(bench, code, name):
    done = await bench.run(module_text(start(code)))
    assert (done.end.kind, done.end.exit_code) == (ExitKind.TRAPPED, None)
    assert name in done.end.text


async def test_a_trap_names_the_function(bench):
    done = await bench.run(module_text("(func $inner unreachable)" + start("(call $inner)")))
    assert "in inner" in done.end.text


async def test_running_out_of_fuel_is_exact(bench):
    text = module_text(start("(loop (br 0))"))
    done = await bench.run(text, limits=limits_with(fuel_max=100_000))
    assert done.end.kind is ExitKind.OUT_OF_FUEL
    assert done.usage.fuel == 100_000
    assert "100000" in done.end.text


async def test_fuel_is_the_same_each_time(bench):
    count = "(local.tee $i (i32.add (local.get $i) (i32.const 1)))"
    loop = f"(local $i i32) (loop (br_if 0 (i32.lt_u {count} (i32.const 9999))))"
    used = [(await bench.run(module_text(start(loop)))).usage.fuel for _ in range(3)]
    assert used[0] is not None
    assert used == [used[0]] * 3


async def test_a_memory_that_cannot_grow_and_a_failure_is_out_of_memory(bench):
    grow = "(loop (br_if 0 (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable"
    done = await bench.run(module_text(start(grow)))
    assert done.end.kind is ExitKind.OUT_OF_MEMORY
    assert "128 MiB" in done.end.text


async def test_a_module_that_lives_with_a_refused_growth_ends_as_it_likes(bench):
    grow = "(loop (br_if 0 (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))"
    assert (await bench.run(module_text(start(grow)))).end.exit_code == 0


async def test_a_first_memory_beyond_the_limit_is_out_of_memory(bench):
    done = await bench.run(module_text(start(""), pages="4096"))
    assert done.end.kind is ExitKind.OUT_OF_MEMORY


@pytest.mark.parametrize(
    ("body", "changes", "word"),
    [
        ("", {}, "exports no function step"),
        (start(""), {"entry_point": "train"}, "exports no function train"),
        ('(func (export "_start") (param i32))', {}, "parameters"),
        ('(func (export "step"))', {}, "returns nothing"),
    ],
)
async def test_a_missing_entry_point_is_not_started(bench, body, changes, word):
    done = await bench.run(module_text(body), **changes)
    assert done.end.kind is ExitKind.NOT_STARTED
    assert word in done.end.text


@pytest.mark.parametrize("name", ["wasi_unstable", "env"])
async def test_foreign_imports_are_not_there(bench, name):
    text = f'(module (import "{name}" "fd_write" (func (param i32 i32 i32 i32) (result i32))) (func (export "_start")))'
    done = await bench.run(text)
    assert done.end.kind is ExitKind.NOT_STARTED
    assert f"{name}.fd_write" in done.end.text


async def test_a_wasi_function_that_is_none_is_not_there(bench):
    text = '(module (import "wasi_snapshot_preview1" "sock_open" (func)) (func (export "_start")))'
    done = await bench.run(text)
    assert done.end.kind is ExitKind.NOT_STARTED
    assert "sock_open" in done.end.text


@pytest.mark.parametrize("returned", [3, -3])
async def test_another_function_returns_the_exit_code(bench, returned):
    text = module_text(f'(func (export "train") (result i32) (i32.const {returned}))')
    done = await bench.run(text, entry_point="train")
    assert (done.end.kind, done.end.exit_code) == (ExitKind.EXITED, 3)


@pytest.mark.parametrize("data", [b"", b"#!/bin/sh\n", b"\0asm\x0d\0\x01\0", b"\0asm\x01\0\0\0\xff\xff\xff"])
async def test_what_is_no_module_is_refused_before_it_starts(bench, data):
    with pytest.raises(ExecutionError) as caught:
        await bench.run(data)
    assert caught.value.code == "module_invalid"


async def test_a_loop_is_interrupted_and_its_fuel_told(bench):
    counted = '(func $nothing) (data (i32.const 64) "begun")' + start(
        "(call $say (i32.const 64) (i32.const 5)) (loop (call $nothing) (br 0))"
    )

    async def stop(running):
        await read_until(running, b"begun")
        return await running.stop(grace_s=30)

    done = await bench.drive(bench.spec(module_text(counted)), stop)
    assert done.end.kind is ExitKind.STOPPED
    assert done.usage.fuel > 0


async def test_a_module_that_can_hear_a_stop_ends_by_itself(bench):
    text = module_text(
        """(global $stopped (mut i32) (i32.const 0)) (data (i32.const 64) "begunsaved")
        (func (export "skyops_stop") (global.set $stopped (i32.const 1)))
        (func (export "_start")
          (call $say (i32.const 64) (i32.const 5))
          (loop (br_if 0 (i32.eqz (global.get $stopped))))
          (call $say (i32.const 69) (i32.const 5)))"""
    )

    async def stop(running):
        await read_until(running, b"begun")
        await running.stop(grace_s=DEADLINE_S)
        return await read_until(running, b"saved")

    done = await bench.drive(bench.spec(text), stop)
    assert done.end.kind is ExitKind.STOPPED


async def test_a_child_killed_from_outside_is_lost_and_the_next_one_runs(bench):
    async def kill(running):
        await read_until(running, b"begun")
        os.kill(running._child.pid, signal.SIGKILL)

    done = await bench.drive(bench.spec(module_text(ENDLESS)), kill)
    assert done.end.kind is ExitKind.LOST
    assert "signal 9" in done.end.text
    assert (await bench.run(module_text(start("")))).end.exit_code == 0


async def test_a_parent_that_dies_takes_its_children_and_a_new_one_comes(bench):
    async def kill(running):
        await read_until(running, b"begun")
        bench.sandbox._launcher._process.kill()

    done = await bench.drive(bench.spec(module_text(ENDLESS)), kill)
    assert done.end.kind is ExitKind.LOST
    assert (await bench.run(module_text(start("")))).end.exit_code == 0


async def test_paused_it_uses_no_cpu_and_a_stop_wakes_it(bench):
    async def pause(running):
        await read_until(running, b"begun")
        await running.pause()
        before = await running.usage()
        for _ in range(20):
            await trio.lowlevel.checkpoint()
        after = await running.usage()
        await running.stop(grace_s=0)
        return before.cpu_s, after.cpu_s

    done = await bench.drive(bench.spec(module_text(ENDLESS)), pause)
    assert done.out[0] == done.out[1]
    assert done.end.kind is ExitKind.STOPPED


async def test_after_the_end_there_is_nothing_to_pause_or_signal(bench):
    async def late(running):
        await running.wait()
        with pytest.raises(ExecutionError) as pausing:
            await running.pause()
        with pytest.raises(ExecutionError) as signalling:
            await running.signal(15)
        return pausing.value.code, signalling.value.code

    done = await bench.drive(bench.spec(module_text(start(""))), late)
    assert done.out == ("sandbox_ended", "sandbox_ended")


async def test_a_module_has_no_signals(bench):
    async def send(running):
        await read_until(running, b"begun")
        with pytest.raises(ExecutionError) as caught:
            await running.signal(15)
        await running.stop(grace_s=0)
        return caught.value.code

    assert (await bench.drive(bench.spec(module_text(ENDLESS)), send)).out == "not_supported"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"module": None}, "module_invalid"),
        ({"gpus": ("GPU-1",)}, "not_supported"),
        ({"limits": limits_with(cpu_cores=0.5)}, "limit_not_enforced"),
    ],
)
async def test_what_it_cannot_do_is_refused(bench, changes, code):
    spec = replace(bench.spec(module_text(start(""))), **changes)
    with pytest.raises(ExecutionError) as caught:
        await bench.sandbox.prepare(spec, progress=lambda done, total: None)
    assert caught.value.code == code
