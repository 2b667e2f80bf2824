"""An array of small shards, whose workers go from one shard to the next, against as many jobs with an auction each."""

import argparse
import itertools
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import trio
import wasmtime

from bench.execution._job_world import JobWorld, job_world, succeeded
from bench.execution.roundtrip import HELLO, job
from bench.tables import number, percentile, print_place, print_table, say, spread
from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.node.jobs.job import Job
from skyops_p2p.wire.envelope import peek
from skyops_p2p.wire.messages.execution import ResultReceipt

WORKERS = 4


@dataclass(slots=True, eq=False)
class Times:
    """What was measured of one way."""

    name: str
    shard_ms: list[float] = field(default_factory=list)
    """Wall time of each round, for one shard."""
    awards: list[float] = field(default_factory=list)
    """Awards of each round."""
    between_ms: list[float] = field(default_factory=list)
    """On one worker, from the end of a run to the beginning of the next, as its receipts say."""


def receipts(jobs: Sequence[Job]) -> list[ResultReceipt]:
    """Return what the workers signed for all shards."""
    records = [task.record for one in jobs for task in one._task.shards]
    return [peek(record.result, ResultReceipt) for record in records if record.result is not None]


def note(times: Times, jobs: Sequence[Job], began: float, shards: int) -> None:
    """Add one round."""
    times.shard_ms.append((trio.current_time() - began) * 1000 / shards)
    signed = receipts(jobs)
    assert len(signed) == shards, "a shard without a receipt"
    times.awards.append(len({one.award for one in signed}))
    runs: dict[bytes, list[tuple[int, int]]] = defaultdict(list)
    for one in signed:
        runs[one.worker].append((one.started_unix_ms, one.ended_unix_ms))
    for mine in runs.values():
        for (_, ended), (started, _) in itertools.pairwise(sorted(mine)):
            times.between_ms.append(max(0.0, float(started - ended)))


async def as_array(world: JobWorld, spec: JobSpec, shards: int) -> list[Job]:
    """Run one job with many shards."""
    whole = await world.submit(spec.model_copy(update={"shards": shards}))
    await succeeded(whole)
    return [whole]


async def as_jobs(world: JobWorld, spec: JobSpec, shards: int) -> list[Job]:
    """Run as many jobs, submitted together."""
    jobs = [await world.submit(spec) for _ in range(shards)]
    for one in jobs:
        await succeeded(one)
    return jobs


async def measure(rounds: int, shards: int) -> list[Times]:
    """Run both ways in turn, after one round of each that is not counted."""
    ways = {Times(f"an array of {shards}"): as_array, Times(f"{shards} jobs"): as_jobs}
    async with job_world(WORKERS, slots=1) as world:
        module = Path(world.folder, "hello.wasm")
        await trio.Path(module).write_bytes(wasmtime.wat2wasm(HELLO))
        spec = job("wasm", module=f"file:{module.name}")
        for turn in range(rounds + 1):
            for times, run in ways.items():
                began = trio.current_time()
                jobs = await run(world, spec, shards)
                if turn:
                    note(times, jobs, began, shards)
                    say(f"{times.name}: {number(times.shard_ms[-1])} ms a shard")
    return list(ways)


def main(argv: Sequence[str]) -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(prog="python -m bench execution.array", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="runs of each way (10)")
    parser.add_argument("--shards", type=int, default=16, help="shards of the array, and jobs beside it (16)")
    options = parser.parse_args(argv)
    found = trio.run(measure, options.rounds, options.shards)
    print_table(
        ("way", "wall ms a shard, p50 / p99", "awards, p50", "between two on a worker ms, p50 / p99"),
        [
            (one.name, spread(one.shard_ms), number(percentile(one.awards, 0.5)), spread(one.between_ms))
            for one in found
        ],
    )
    print(
        f"A WebAssembly module that prints a line, {options.shards} times on {WORKERS} workers with one slot each, "
        f"{options.rounds} rounds after one that is not counted. Wall time: from the first `submit` to the last "
        "succeeded shard, divided by their number; all processes share this machine. Between: on one worker, from "
        "the end of a run to the beginning of the next, by its own clock; with an auction it may have waited for one.\n"
    )
    print_place()


if __name__ == "__main__":
    main(sys.argv[1:])
