"""A module in steps: driven by the host, saved between two steps, and gone on with elsewhere."""

import hashlib
import json
import struct

import pytest
import trio
import trio.testing

from skyops_p2p.adapters.wasm.sandbox import SNAPSHOT_FILE
from skyops_p2p.ports import ExitKind
from tests.ports.sandbox.box import DEADLINE_S, MIB, limits_with, read_until
from tests.ports.wasm.workbench import module_text

pytestmark = pytest.mark.process

# Adds a random number and the step's number to a sum in memory at each step, and says the sum at the end. Global
# "count" is state outside of the memory; page 5 is grown in init, so that the memory is larger than at first.
COUNTING = """
  (global $count (export "count") (mut i32) (i32.const 0))
  (global $share (export "share") (mut f64) (f64.const 0.5))
  (data (i32.const 64) "....")
  (func $add (param $n i32) (i32.store (i32.const 327680)
    (i32.add (i32.mul (i32.load (i32.const 327680)) (i32.const 31)) (local.get $n))))
  (func (export "init") (result i32) (drop (memory.grow (i32.const 5))) (i32.const 0))
  (func (export "step") (result i32)
    (drop (call $random_get (i32.const 128) (i32.const 4)))
    (call $add (i32.load (i32.const 128)))
    (global.set $count (i32.add (global.get $count) (i32.const 1)))
    (global.set $share (f64.div (global.get $share) (f64.const 3)))
    (call $add (global.get $count))
    (call $add (i32.wrap_i64 (i64.reinterpret_f64 (global.get $share))))
    (i32.store (i32.const 64) (i32.load (i32.const 327680)))
    (call $say (i32.const 64) (i32.const 32768))
    (i32.lt_u (global.get $count) (i32.const STEPS)))"""
RANDOM = ("random_get",)


def counting(steps: int) -> str:
    return module_text(COUNTING.replace("STEPS", str(steps)), imports=RANDOM)


def step(result: str) -> str:
    return module_text(f'(func (export "step") (result i32) {result})')


def changes(bench, **more):
    env = {"SKYOPS_JOB": "ab" * 16, "SKYOPS_SHARD": "0"}
    limits = limits_with(log_bytes_max=64 * MIB)
    standard = {
        "is_deterministic": True,
        "snapshot_dir": bench.folder / "state",
        "env": env,
        "limits": limits,
    }
    return standard | more


async def save_while_it_runs(running) -> bool:
    """Ask for a snapshot and read on meanwhile.

    A step says more than all buffers take in a few of them, so the module is held up until the question is on its way.
    """
    answers = []

    async def ask() -> None:
        answers.append(await running.snapshot())

    await running.output.receive()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        async for _ in running.output:
            if answers:
                break
    await running.stop(grace_s=0)
    return answers[0]


async def save(bench, text) -> None:
    """Run for a few steps, save, and stop."""
    done = await bench.drive(bench.spec(text, **changes(bench)), save_while_it_runs)
    assert done.out is True
    assert done.end.kind is ExitKind.STOPPED


@pytest.mark.parametrize(
    ("result", "kind", "code"),
    [
        ("(i32.const 0)", ExitKind.EXITED, 0),
        ("(i32.const -1)", ExitKind.EXITED, 1),
        ("(i32.const -75)", ExitKind.EXITED, 75),
        ("(i32.const -1000)", ExitKind.EXITED, 255),
        ("(i32.const 2)", ExitKind.TRAPPED, None),
        ("unreachable", ExitKind.TRAPPED, None),
        ("(call $proc_exit (i32.const 9)) (i32.const 1)", ExitKind.EXITED, 9),
    ],
)
async def test_what_a_step_returns_decides(bench, result, kind, code):
    done = await bench.run(step(result))
    assert (done.end.kind, done.end.exit_code) == (kind, code)


async def test_a_failing_init_is_the_end(bench):
    text = module_text(
        '(func (export "init") (result i32) (i32.const 4)) (func (export "step") (result i32) unreachable)'
    )
    assert (await bench.run(text)).end.exit_code == 4


async def test_initialize_runs_before_init_and_once(bench):
    text = module_text(
        """(global $n (mut i32) (i32.const 0))
        (func (export "_initialize") (global.set $n (i32.add (i32.mul (global.get $n) (i32.const 10)) (i32.const 1))))
        (func (export "init") (result i32)
          (global.set $n (i32.add (i32.mul (global.get $n) (i32.const 10)) (i32.const 2))) (i32.const 0))
        (func (export "step") (result i32) (i32.sub (i32.const 0) (global.get $n)))"""
    )
    assert (await bench.run(text)).end.exit_code == 12


async def test_resumed_it_ends_as_if_it_had_not_been_stopped_with_the_same_fuel(bench):
    straight = await bench.run(counting(200), **changes(bench))
    assert not list((bench.folder / "state").iterdir())
    await save(bench, counting(200))
    assert [path.name for path in (bench.folder / "state").iterdir()] == [SNAPSHOT_FILE]
    resumed = await bench.run(counting(200), **changes(bench))
    assert len(resumed.out) < len(straight.out)
    assert resumed.out == straight.out[-len(resumed.out) :]
    assert (resumed.end, resumed.usage.fuel) == (straight.end, straight.usage.fuel)


async def test_fuel_before_a_snapshot_counts_against_the_bound(bench):
    await save(bench, counting(10_000_000))
    done = await bench.run(counting(10_000_000), **changes(bench, limits=limits_with(fuel_max=10)))
    assert done.end.kind is ExitKind.OUT_OF_FUEL
    assert done.out == b""


async def test_a_snapshot_of_another_module_is_refused(bench):
    await save(bench, counting(10_000_000))
    done = await bench.run(counting(5), **changes(bench))
    assert done.end.kind is ExitKind.NOT_STARTED
    assert "another module" in done.end.text


async def test_a_snapshot_with_other_directories_is_refused(bench):
    await save(bench, counting(10_000_000))
    spec = bench.spec(counting(10_000_000), **changes(bench))
    done = await bench.run(counting(10_000_000), **changes(bench, mounts=spec.mounts[:2]))
    assert done.end.kind is ExitKind.NOT_STARTED
    assert "other directories" in done.end.text


def flip(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:40],
        lambda data: data[:-1],
        lambda data: data + b"x",
        lambda data: flip(data, 3),
        lambda data: flip(data, 60),
        lambda data: flip(data, len(data) // 2),
        lambda data: flip(data, len(data) - 1),
    ],
)
async def test_a_damaged_snapshot_is_refused(bench, damage):
    await save(bench, counting(10_000_000))
    file = bench.folder / "state" / SNAPSHOT_FILE
    file.write_bytes(damage(file.read_bytes()))
    done = await bench.run(counting(10_000_000), **changes(bench))
    assert done.end.kind is ExitKind.NOT_STARTED
    assert done.end.text.startswith("could not be started: it is")


@pytest.mark.parametrize(
    "forged",
    [
        {"memory_bytes": 1 << 40},
        {"memory_bytes": 65536},
        {"memory_bytes": 6 * 65536 + 1},
        {"fuel": -1},
        {"steps": "many"},
        {"globals": {}},
        {"globals": {"count": "x", "share": 1}},
        {"random_blocks": 1 << 70},
    ],
)
async def test_mallorys_snapshot_with_a_good_digest_starts_nothing(bench, forged):
    await save(bench, counting(10_000_000))
    file = bench.folder / "state" / SNAPSHOT_FILE
    data = file.read_bytes()[:-32]
    [size] = struct.unpack(">I", data[8:12])
    header = json.dumps(json.loads(data[12 : 12 + size]) | forged).encode()
    data = data[:8] + struct.pack(">I", len(header)) + header + data[12 + size :]
    file.write_bytes(data + hashlib.sha256(data).digest())
    done = await bench.run(counting(10_000_000), **changes(bench))
    assert done.end.kind is ExitKind.NOT_STARTED


async def test_state_in_globals_that_are_not_exported_is_not_saved(bench):
    text = module_text(
        """(global $a (mut i32) (i32.const 0)) (global $b (mut i32) (i32.const 0)) (data (i32.const 64) "step")
        (func (export "step") (result i32)
          (global.set $a (i32.const 1)) (call $say (i32.const 64) (i32.const 4)) (i32.const 1))"""
    )

    async def try_to_save(running):
        await read_until(running, b"step")
        is_saved = await running.snapshot()
        await running.stop(grace_s=0)
        return is_saved

    assert (await bench.drive(bench.spec(text, **changes(bench)), try_to_save)).out is False
    assert not list((bench.folder / "state").iterdir())


async def test_a_module_that_runs_as_a_whole_says_no_to_a_snapshot(bench):
    text = module_text(
        """(data (i32.const 64) "begun")
        (func (export "_start") (call $say (i32.const 64) (i32.const 5)) (loop (br 0)))"""
    )

    async def try_to_save(running):
        await read_until(running, b"begun")
        is_saved = await running.snapshot()
        await running.stop(grace_s=0)
        return is_saved

    assert (await bench.drive(bench.spec(text, **changes(bench)), try_to_save)).out is False


async def test_a_stop_lets_the_step_end_and_calls_the_stop_function(bench):
    text = module_text(
        """(data (i32.const 64) "stepsaved")
        (func (export "skyops_stop") (call $say (i32.const 68) (i32.const 5)))
        (func (export "step") (result i32) (call $say (i32.const 64) (i32.const 4)) (i32.const 1))"""
    )

    async def stop(running):
        seen = await read_until(running, b"step")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: running.stop(grace_s=DEADLINE_S))
            async for chunk in running.output:
                seen += chunk.data
        return seen

    done = await bench.drive(bench.spec(text), stop)
    assert done.end.kind is ExitKind.STOPPED
    assert done.out.endswith(b"stepsaved")
    assert done.out.count(b"saved") == 1


async def test_a_snapshot_larger_than_a_file_may_be_is_still_written(bench):
    limits = limits_with(file_bytes_max=16, log_bytes_max=64 * MIB)
    spec = bench.spec(counting(10_000_000), **changes(bench, limits=limits))
    assert (await bench.drive(spec, save_while_it_runs)).out is True
    assert (bench.folder / "state" / SNAPSHOT_FILE).stat().st_size > 16
