"""A job that does nothing: from submission to its first line and its end, new and in a pool, against other ways."""

import argparse
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import trio
import wasmtime

from bench.execution import _schedulers
from bench.execution._job_world import JobWorld, first_line, job_world, succeeded
from bench.tables import number, print_place, print_table, say, spread
from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.errors import ExecutionError
from skyops_p2p.node.jobs.pool import PER_WORKER_MAX
from tests.ports.sandbox import docker_box, native_box
from tests.ports.sandbox.engine import Engine, private_engine
from tests.ports.sandbox.rootfs import PYTHON, python_image

WORKERS = 1
QUEUE_S = 5
"""How long a worker for a pool is looked for."""
HELLO = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1) (data (i32.const 8) "hello\\n")
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 8)) (i32.store (i32.const 4) (i32.const 6))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 20)))))"""
POOL_PROGRAM = """import json, os
with open(os.environ["SKYOPS_TASKS_IN"]) as tasks, open(os.environ["SKYOPS_TASKS_OUT"], "w", buffering=1) as answers:
    for line in tasks:
        print(json.dumps({"task": json.loads(line)["task"]}), file=answers)
"""


@dataclass(slots=True)
class Times:
    """What was measured of one way."""

    name: str
    first_ms: list[float] = field(default_factory=list)
    """To the first line."""
    whole_ms: list[float] = field(default_factory=list)
    pool_ms: list[float] = field(default_factory=list)
    """Of single tasks in a pool."""
    pool_per_s: float = float("nan")
    pool_open_ms: float = float("nan")
    """From nothing to a pool that is ready."""


# --- ours ---------------------------------------------------------------------------------------------------------
def job(runtime: str, **fields: object) -> JobSpec:
    """Return a small job."""
    resources = {"cpu": 1, "memory": "128Mi", "disk": "32Mi"}
    return JobSpec.model_validate({"name": "nothing", "runtime": runtime, "resources": resources} | fields)


async def new_jobs(world: JobWorld, times: Times, spec: JobSpec, rounds: int) -> None:
    """Submit a job some times, each with an auction of its own, after one that is not counted."""
    for turn in range(rounds + 1):
        began = trio.current_time()
        submitted = await world.submit(spec)
        line = await first_line(submitted)
        first_ms = (trio.current_time() - began) * 1000
        await succeeded(submitted)
        assert line == "hello\n", line
        if turn:
            times.first_ms.append(first_ms)
            times.whole_ms.append((trio.current_time() - began) * 1000)
    say(f"{times.name}, new: first line {spread(times.first_ms)} ms, whole {spread(times.whole_ms)} ms")


async def pooled(world: JobWorld, times: Times, spec: JobSpec, tasks: int) -> None:
    """Run tasks on a lease that stands: one after the other, then as many as fit side by side."""
    await trio.Path(world.folder, "code").mkdir(exist_ok=True)
    await trio.Path(world.folder, "code", "pool.py").write_text(POOL_PROGRAM)
    began = trio.current_time()
    async with world.node.jobs.pool(spec, base_dir=world.folder) as pool:
        await pool.run()
        times.pool_open_ms = (trio.current_time() - began) * 1000
        for _ in range(tasks):
            started = trio.current_time()
            assert (await pool.run()).exit_code == 0
            times.pool_ms.append((trio.current_time() - started) * 1000)
        started = trio.current_time()
        done = [result.exit_code async for result in pool.map([()] * (4 * tasks))]
        times.pool_per_s = len(done) / (trio.current_time() - started)
    say(f"{times.name}, pool: {spread(times.pool_ms)} ms, {times.pool_per_s:.0f} a second")


def pool_job(runtime: str, python: str, **fields: object) -> JobSpec:
    """Return the job of a pool."""
    code = {"path": "/code", "uri": "file:code"}
    queue = {"queue": QUEUE_S}  # a worker that runs no pools passes it on, and there is no other
    return job(runtime, command=[python, "-S", "/code/pool.py"], inputs=[code], timeouts=queue, **fields)


async def wasm(world: JobWorld, rounds: int) -> Times:
    """Measure the runtime wasm; it has no pools."""
    await trio.Path(world.folder, "hello.wasm").write_bytes(bytes(wasmtime.wat2wasm(HELLO)))
    times = Times("wasm")
    await new_jobs(world, times, job("wasm", module="file:hello.wasm"), rounds)
    return times


async def native(world: JobWorld, rounds: int, tasks: int) -> Times:
    """Measure the runtime native."""
    times = Times("native")
    await new_jobs(world, times, job("native", command=["/bin/echo", "hello"]), rounds)
    python = shutil.which("python3", path="/usr/bin:/usr/local/bin") or "python3"
    await pooled(world, times, pool_job("native", python), tasks)
    return times


async def docker(world: JobWorld, name: str, rounds: int, tasks: int) -> Times:
    """Measure the runtime docker; the image is with the engine before anything counts."""
    archive, image = python_image()
    times, large = Times(name), {"cpu": 1, "memory": "128Mi", "disk": "256Mi"}
    brought = job("docker", image=f"file:{archive}", command=["/bin/echo", "hello"], resources=large)
    await succeeded(await world.submit(brought))
    await new_jobs(world, times, job("docker", image=image, command=["/bin/echo", "hello"]), rounds)
    try:
        await pooled(world, times, pool_job("docker", PYTHON, image=image), tasks)
    except ExecutionError as error:  # gVisor does not let a program open the named pipes of a pool
        say(f"{name}: without a pool: {error}")
    return times


# --- the others ---------------------------------------------------------------------------------------------------
async def plain(name: str, command: Sequence[str], rounds: int, **env: str) -> Times:
    """Time a command, after one that is not counted."""
    times = Times(name)
    run = partial(trio.run_process, command, capture_stdout=True, capture_stderr=True, env=os.environ | env)
    for turn in range(rounds + 1):
        began = trio.current_time()
        done = await run()
        assert done.stdout == b"hello\n", done
        if turn:
            times.whole_ms.append((trio.current_time() - began) * 1000)
    say(f"{name}: {spread(times.whole_ms)} ms")
    return times


async def docker_run(engine: Engine, rounds: int) -> list[Times]:
    """Time `docker run` with each of the engine's runtimes."""
    client, (_, image) = shutil.which("docker"), python_image()
    if client is None:
        say("`docker run` is left out: there is no client")
        return []
    kinds = {"`docker run`": ()} | (
        {"`docker run`, gVisor": ("--runtime=runsc",)} if engine.has_gvisor else {}
    )
    return [
        await plain(
            name,
            (client, "run", "--rm", "--network=none", *options, image, "/bin/echo", "hello"),
            rounds,
            DOCKER_HOST=engine.address,
        )
        for name, options in kinds.items()
    ]


# --- all ------------------------------------------------------------------------------------------------------------
@contextmanager
def engine_or_none(*, gvisor: bool) -> Iterator[Engine | None]:
    """Start an engine for the workers; None, and a sentence, where none can be started."""
    if missing := docker_box.missing():
        say(f"docker is left out: {missing}")
        yield None
        return
    with private_engine(gvisor=gvisor) as engine:
        os.environ["DOCKER_HOST"] = engine.address
        try:
            yield engine
        finally:
            del os.environ["DOCKER_HOST"]


async def measure(options: argparse.Namespace) -> list[Times]:
    """Measure everything, one after the other."""
    rounds, tasks, found = options.rounds, options.tasks, []
    found.append(await plain("plain subprocess", ("/bin/echo", "hello"), rounds))
    with engine_or_none(gvisor=False) as engine:
        async with job_world(WORKERS) as world:
            found.append(await wasm(world, rounds))
            if missing := native_box.missing():
                say(f"native is left out: {missing}")
            else:
                found.append(await native(world, rounds, tasks))
            if engine is not None:
                found.append(await docker(world, "docker", rounds, tasks))
        if engine is not None:
            found += await docker_run(engine, rounds)
    with engine_or_none(gvisor=True) as engine:
        if engine is not None and engine.has_gvisor:
            async with job_world(WORKERS) as world:
                found.append(await docker(world, "docker, gVisor", rounds, tasks))
            found += (await docker_run(engine, rounds))[1:]
    return found


def main(argv: Sequence[str]) -> None:
    """Print two tables."""
    parser = argparse.ArgumentParser(prog="python -m bench execution.roundtrip", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="jobs of each kind (20)")
    parser.add_argument(
        "--tasks", type=int, default=300, help="tasks of each pool, one after the other (300)"
    )
    options = parser.parse_args(argv)
    found = trio.run(measure, options)
    others = [one for kind in _schedulers.PACKAGES if (one := _schedulers.measure(kind, options.tasks))]
    print_table(
        ("a new job", "first line ms, p50 / p99", "whole ms, p50 / p99"),
        [(one.name, spread(one.first_ms) if one.first_ms else "-", spread(one.whole_ms)) for one in found],
    )
    print(
        f"`echo hello`, {options.rounds} times after one that is not counted. Ours: from `submit` in the requester's "
        "program to the first line of the log, and to the succeeded job: inputs sealed, auction, session, lease, a "
        "fresh sandbox, the log proven, everything persisted. One worker, on this machine; the image is there.\n"
    )
    warm = [
        [f"{one.name}, pool", number(one.pool_open_ms), spread(one.pool_ms), number(one.pool_per_s)]
        for one in found
        if one.pool_ms
    ]
    warm += [
        [one.name, number(one.first_s * 1000), spread(one.times_ms), number(one.per_s)] for one in others
    ]
    print_table(("a task", "start ms", "one ms, p50 / p99", "many, a second"), warm)
    print(
        f"{options.tasks} tasks that do nothing, one after the other, and four times as many at once (ours: "
        f"{PER_WORKER_MAX} of them with the worker). Start: from nothing to the first result; ours on a network that "
        "stands, Dask's and Ray's of the whole local cluster. One worker each. Ours go through the encrypted session "
        "of two nodes, theirs over plain loopback.\n"
    )
    print_place()


if __name__ == "__main__":
    main(sys.argv[1:])
