"""`kill -9` of a worker under its job: how long until another makes new steps, and how much work is lost."""

import argparse
import itertools
import random
import re
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, aclosing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import trio

from bench.execution._job_world import START_TIMEOUT_S, JobWorld, job_world
from bench.execution.roundtrip import engine_or_none
from bench.tables import number, percentile, print_place, print_table, say
from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.node.jobs.job import Job
from skyops_p2p.node.jobs.job_views import JobView, ShardView
from tests.ports.sandbox import native_box
from tests.ports.sandbox.rootfs import PYTHON, python_image

EXAMPLE = Path(__file__).parents[2] / "examples" / "digits"
WORKERS = 3
PAUSE_MS = 100
"""After each step: the training is to last, not to be done."""
STEPS_BEFORE = 5
TIMEOUT_S = 180.0


@dataclass(slots=True)
class Steps:
    """What the program told, by lease."""

    told: list[tuple[int, int, float]] = field(default_factory=list)
    """(lease, step, when it arrived)."""

    def of(self, lease: int) -> list[tuple[int, float]]:
        """Return (step, when) of one lease."""
        return [(step, at) for epoch, step, at in self.told if epoch == lease]


@dataclass(frozen=True, slots=True)
class Recovery:
    """One kill; seconds from it."""

    given_up_s: float
    """The lease was closed."""
    leased_s: float
    """Another worker had the next one."""
    running_s: float
    """Its program ran, as a beat told."""
    step_s: float
    """It told its first step."""
    new_step_s: float
    """It told a step that nobody had told before."""
    lost_steps: int
    lost_s: float
    """What they had taken."""


def spec_of(runtime: str, interval_s: int) -> JobSpec:
    """Return a training that never ends, with a checkpoint after each step; the node saves one an interval."""
    small = ["--epochs", "1000000", "--save-every", "1", "--sleep-ms", str(PAUSE_MS), "--hidden", "8"]
    inputs = [{"path": "/data", "uri": "file:data"}]
    program: dict[str, object] = {"module": "file:train_c/train.wasm"}
    if runtime != "wasm":
        inputs.append({"path": "/code", "uri": "file:train_python"})
        machine = shutil.which("python3", path="/usr/bin:/usr/local/bin") or "python3"
        python = PYTHON if runtime == "docker" else machine
        program = {"command": [python, "-S", "/code/train_pure.py"]}
        if runtime == "docker":
            program["image"] = f"file:{python_image()[0]}"
    return JobSpec.model_validate(
        {
            "name": "recovery",
            "runtime": runtime,
            "args": small,
            "inputs": inputs,
            "outputs": [{"path": "/results"}],
            "resources": {"cpu": 1, "memory": "256Mi", "disk": "256Mi"},
            "checkpoint": {"path": "/checkpoint", "interval": interval_s},
            "retry": {"attempts_max": 5, "is_after_loss": True},
            **program,
        }
    )


async def kill_once(world: JobWorld, spec: JobSpec, pause_s: float) -> Recovery:
    """Run the training, kill its worker so long after its second checkpoint, and see what happens."""
    job = await world.node.submit(spec, base_dir=EXAMPLE)
    steps = Steps()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_follow, job, steps)
        with trio.fail_after(TIMEOUT_S):
            view = await _until(job, lambda shard: shard.done >= STEPS_BEFORE and len(shard.checkpoints) > 1)
            await trio.sleep(pause_s)
            name = world.worker_of(view)
            killed_at = trio.current_time()
            await trio.to_thread.run_sync(world.testnet.signal, name, signal.SIGKILL)
            await _until(job, lambda shard: bool(shard.attempts[0].code))
            given_up_at = trio.current_time()
            await _until(job, lambda shard: shard.epoch > 1)
            leased_at = trio.current_time()
            await _until(job, lambda shard: shard.phase == "running")
            running_at = trio.current_time()
            before = steps.of(1)
            while not any(step > before[-1][0] for step, _ in steps.of(job.view().shards[0].epoch)):
                await job.wait_changed()
        nursery.cancel_scope.cancel()
    view = job.view()
    assert [attempt.code for attempt in view.shards[0].attempts] == ["worker_lost", ""], view
    after = steps.of(2)
    pace_s = median(later - earlier for (_, earlier), (_, later) in itertools.pairwise(before))
    new = next(at for step, at in after if step > before[-1][0])
    lost = before[-1][0] - after[0][0] + 1
    await job.cancel()
    await job.wait()
    await trio.to_thread.run_sync(world.testnet.restart, name)
    await world.node.wait_for(
        lambda node: sum(one.state == "active" for one in node.map()) > WORKERS, timeout_s=START_TIMEOUT_S
    )
    return Recovery(
        given_up_at - killed_at,
        leased_at - killed_at,
        running_at - killed_at,
        after[0][1] - killed_at,
        new - killed_at,
        lost,
        lost * pace_s,
    )


async def measure(options: argparse.Namespace) -> list[list[object]]:
    """Return the rows of the table."""
    chance, rows = random.Random(1), []
    with ExitStack() as stack:
        runtimes = list(options.runtimes)
        if "docker" in runtimes and stack.enter_context(engine_or_none(gvisor=False)) is None:
            runtimes.remove("docker")
        if "native" in runtimes and (missing := native_box.missing()):
            say(f"native is left out: {missing}")
            runtimes.remove("native")
        async with job_world(WORKERS) as world:
            for runtime in runtimes:
                for interval_s in options.intervals:
                    spec = spec_of(runtime, interval_s)
                    found = [
                        await kill_once(world, spec, chance.uniform(0, interval_s))
                        for _ in range(options.rounds)
                    ]
                    rows.append([runtime, interval_s, *_cells(found)])
                    say(" | ".join(map(str, rows[-1])))
    return rows


def main(argv: Sequence[str]) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench execution.recovery", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="kills of each kind (5)")
    parser.add_argument(
        "--intervals", type=int, nargs="+", default=[1, 5], help="seconds between checkpoints"
    )
    parser.add_argument("--runtimes", nargs="+", default=["wasm", "native", "docker"])
    options = parser.parse_args(argv)
    print_table(
        (
            "runtime", "checkpoint each s", "given up", "leased again", "program runs", "first step", "first new step",
            "steps lost", "work lost s",
        ),
        trio.run(measure, options),
    )  # fmt: skip
    print(
        f"Seconds from `kill -9` of the worker, median / most of {options.rounds}; a step takes {PAUSE_MS} ms and "
        "somewhat more, and each is a checkpoint of the program, of which the node saves one an interval. The kill "
        "falls at random into an interval. Lost: steps that had been told and were done again. A network of "
        f"{WORKERS} workers and the requester on this machine; that the program runs is told by a beat a second.\n"
    )
    print_place()


async def _follow(job: Job, steps: Steps) -> None:
    async with aclosing(job.logs()) as lines:
        async for line in lines:
            for told in re.finditer(r"epoch ([0-9]+)/", line.text):
                steps.told.append((line.epoch, int(told[1]), trio.current_time()))


async def _until(job: Job, condition: Callable[[ShardView], bool]) -> JobView:
    view = job.view()
    while not (view.shards and condition(view.shards[0])):
        assert not view.is_over, view
        view = await job.wait_changed()
    return view


def _cells(found: Sequence[Recovery]) -> list[str]:
    columns = zip(*(_figures(one) for one in found), strict=True)
    return [f"{number(percentile(column, 0.5))} / {number(max(column))}" for column in columns]


def _figures(one: Recovery) -> tuple[float, ...]:
    return (
        one.given_up_s,
        one.leased_s,
        one.running_s,
        one.step_s,
        one.new_step_s,
        one.lost_steps,
        one.lost_s,
    )


if __name__ == "__main__":
    main(sys.argv[1:])
