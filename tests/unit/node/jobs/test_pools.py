"""Pools: warm leases that take many tasks; alice holds them, bob and carol work."""

import base64
import json
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from skyops_p2p.errors import ExecutionError
from skyops_p2p.simulation.sandbox import SimBox
from tests.unit.node.jobs.job_world import ended, job_world, spec


async def shout(box: SimBox) -> int:
    """Answer each task with its arguments in capitals; the task "nonsense" with no answer at all."""
    tasks = trio.lowlevel.FdStream(_open(box, "SKYOPS_TASKS_IN"))
    answers = trio.lowlevel.FdStream(_open(box, "SKYOPS_TASKS_OUT"))
    rest = b""
    while True:
        *lines, rest = (rest + bytes(await tasks.receive_some())).split(b"\n")
        for line in lines:
            task = json.loads(line)
            words = " ".join(task["arguments"])
            if words == "nonsense":
                await answers.send_all(b"hello\n")
            elif words == "fail":
                await answers.send_all(json.dumps({"task": task["task"], "exit_code": 3}).encode() + b"\n")
            else:
                stdout = base64.b64encode(words.upper().encode() + base64.b64decode(task["stdin"])).decode()
                answer = {"task": task["task"], "stdout": stdout}
                await answers.send_all(json.dumps(answer).encode() + b"\n")


def _open(box: SimBox, variable: str) -> int:
    import os

    return os.open(box.path(box.env[variable]), os.O_RDWR | os.O_NONBLOCK)


def pool_spec() -> object:
    return spec(command=["shout"], inputs=[], outputs=[], checkpoint=None)


async def test_a_pool_runs_many_tasks_without_another_auction(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with job_world(tmp_path) as world:
        world.small.programs["shout"] = shout
        async with world.nodes["alice"].jobs.pool(pool_spec(), workers=2) as pool:
            with trio.fail_after(300):
                await pool.wait_ready(workers=2)
                first = await pool.run(["hello"], stdin=b"!")
                answers = [answer.stdout async for answer in pool.map([[f"task {n}"] for n in range(40)])]
            assert (first.stdout, first.exit_code) == (b"HELLO!", 0)
            assert answers == [f"TASK {n}".encode() for n in range(40)]
            assert {len(shard.attempts) for shard in pool.job.view().shards} == {1}
        assert (await ended(pool.job)).state == "cancelled"


async def test_a_task_that_fails_says_so_and_the_pool_goes_on(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with job_world(tmp_path) as world:
        world.small.programs["shout"] = shout
        async with world.nodes["alice"].jobs.pool(pool_spec()) as pool:
            with trio.fail_after(300):
                assert (await pool.run(["fail"])).exit_code == 3
                assert (await pool.run(["on"])).stdout == b"ON"


async def test_a_task_whose_worker_dies_is_run_by_another(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with job_world(tmp_path) as world:
        world.small.programs["shout"] = shout
        async with world.nodes["alice"].jobs.pool(pool_spec()) as pool:
            with trio.fail_after(600):
                first = await pool.run(["one"])
                await world.crash(world.worker_of(pool.job))
                second = await pool.run(["two"])
            assert second.stdout == b"TWO"
            assert first.worker != second.worker


async def test_a_program_that_speaks_nonsense_ends_its_pool_with_a_reason(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with job_world(tmp_path) as world:
        world.small.programs["shout"] = shout
        async with world.nodes["alice"].jobs.pool(pool_spec()) as pool:
            with trio.fail_after(600), pytest.raises(ExecutionError) as caught:
                await pool.run(["nonsense"])
            assert caught.value.code in ("pool_over", "task_lost")
            assert (await ended(pool.job)).code == "task_protocol"


async def test_a_task_that_is_too_large_is_refused_before_it_is_sent(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with job_world(tmp_path) as world:
        world.small.programs["shout"] = shout
        async with world.nodes["alice"].jobs.pool(pool_spec()) as pool:
            with pytest.raises(ExecutionError) as caught:
                await pool.run(stdin=bytes(1 << 20))
            assert caught.value.code == "task_too_large"
