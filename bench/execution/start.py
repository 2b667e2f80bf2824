"""Time from asking for a program to its end, in each runtime, beside a plain subprocess and `docker run`.

The program does nothing: `true`, and Python that ends at once. Everything is prepared before; each start is a new
sandbox with three mounts and all limits. Docker needs root: the tests' private engine is used, with gVisor if there.
"""

import argparse
import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import trio

from bench.tables import number, print_place, print_table, say, spread
from tests.ports.sandbox import docker_box, native_box
from tests.ports.sandbox.box import Box
from tests.ports.sandbox.engine import Engine, missing, private_engine
from tests.ports.sandbox.rootfs import PYTHON, python_image


async def measure(rounds: int, once: Callable[[], Awaitable[None]]) -> list[float]:
    await once()
    times = []
    for _ in range(rounds):
        begun = trio.current_time()
        await once()
        times.append((trio.current_time() - begun) * 1000)
    return times


def in_box(box: Box, command: tuple[str, ...]) -> Callable[[], Awaitable[None]]:
    async def once() -> None:
        spec = box.spec("", command=command)
        async with box.sandbox.start(spec) as running:
            end = await running.wait()
        assert end.exit_code == 0, end

    return once


def plain(*command: str, env: dict[str, str] | None = None) -> Callable[[], Awaitable[None]]:
    async def once() -> None:
        await trio.run_process(command, capture_stdout=True, env=env)

    return once


async def rows_of(box: Box, name: str, python: str, rounds: int) -> list[tuple[str, ...]]:
    rows = []
    for program, command in (("true", ("/bin/true",)), ("Python", (python, "-S", "-c", "pass"))):
        await box.sandbox.prepare(box.spec("", command=command), progress=lambda done, total: None)
        rows.append(row(name, program, await measure(rounds, in_box(box, command))))
    return rows


def row(name: str, program: str, times: list[float]) -> tuple[str, ...]:
    say(f"{name} {program}: {spread(times)} ms")
    return (name, program, spread(times), number(min(times)))


async def docker_rows(engine: Engine, folder: Path, rounds: int) -> list[tuple[str, ...]]:
    rows = []
    async with docker_box.open_box(folder / "docker", engine) as box:
        rows += await rows_of(box, "docker (runc)", PYTHON, rounds)
    if engine.has_gvisor:
        async with docker_box.open_box(folder / "gvisor", engine, gvisor=True) as box:
            rows += await rows_of(box, "docker (gVisor)", PYTHON, rounds)
    client = shutil.which("docker")
    if client:
        _, image = python_image()
        base = (client, "run", "--rm", "--network=none", image)
        env = dict(os.environ, DOCKER_HOST=engine.address)
        for program, command in (("true", ("/bin/true",)), ("Python", (PYTHON, "-S", "-c", "pass"))):
            once = plain(*base, *command, env=env)
            rows.append(row("`docker run`", program, await measure(rounds, once)))
    return rows


async def run(rounds: int) -> list[tuple[str, ...]]:
    python = shutil.which("python3", path="/usr/bin:/usr/local/bin") or sys.executable
    rows = [
        row("subprocess", "true", await measure(rounds, plain("/bin/true"))),
        row("subprocess", "Python", await measure(rounds, plain(python, "-S", "-c", "pass"))),
    ]
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as opened:
        if native_box.missing():
            say(f"without native: {native_box.missing()}")
        else:
            async with native_box.open_box(Path(folder, "native")) as box:
                rows += await rows_of(box, "native", python, rounds)
        if missing():
            say(f"without docker: {missing()}")
        else:
            rows += await docker_rows(opened.enter_context(private_engine()), Path(folder), rounds)
    return rows


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="bench execution.start", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="starts of each kind (20)")
    rounds = parser.parse_args(argv).rounds
    print_table(("runtime", "program", "p50 / p99 ms", "least ms"), trio.run(run, rounds))
    print(f"{rounds} starts of each, one after the other, after one that was not counted.\n")
    print_place()


if __name__ == "__main__":
    main(sys.argv[1:])
