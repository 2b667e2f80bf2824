"""Arrays of which alice computes some shards, too, and what a test of them looks at; for tests under a MockClock."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio

from skyops_p2p.config.models import MisbehaviourName
from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.node.jobs import canaries, open_job
from skyops_p2p.node.jobs.job import Job
from skyops_p2p.node.jobs.job_views import JobView
from skyops_p2p.node.jobs.open_job import OpenJob
from skyops_p2p.simulation.sandbox import SimBox
from tests.unit.node.jobs.job_world import ended
from tests.unit.node.jobs.redundant_world import RedundantWorld, redundant_world
from tests.unit.node.jobs.test_verifying import exact, with_own_wasm

SHARDS = 4
REDUNDANT: dict[str, object] = {"class": "exact", "redundancy": 2}
CHEAPEST = {"price": 1, "reputation": 0, "fit": 0, "latency": 0}


@dataclass
class Parts:
    """A program that says which shard it is, a second later; it notes what alice runs herself."""

    own: list[str] = field(default_factory=list)
    exit_code_here: int = 0
    """With what it ends on alice's machine."""

    async def __call__(self, box: SimBox) -> int:
        await box.work(1.0)
        box.write("/results/part.txt", box.env["SKYOPS_SHARD"].encode())
        if "alice" in box.path("/results").parts:
            self.own.append(box.env["SKYOPS_SHARD"])
            return self.exit_code_here
        return 0


@asynccontextmanager
async def canary_world(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    workers: int = 2,
    wrong: tuple[str, ...] = (),
    misbehaves: MisbehaviourName = "wrong-result",
) -> AsyncIterator[tuple[RedundantWorld, Parts]]:
    with_own_wasm(monkeypatch)
    (folder / "module.wasm").write_bytes(b"\0asm")
    async with redundant_world(folder, workers=workers, wrong=wrong, misbehaves=misbehaves) as world:
        parts = Parts()
        world.small.programs["part"] = parts
        yield world, parts


def canary_job(count: int, *, redundancy: int = 1, shards: int = SHARDS, **changes: object) -> JobSpec:
    """An array of which alice computes so many shards herself."""
    return compared_job(
        shards,
        {"class": "exact", "redundancy": redundancy, "canaries": count},
        **changes,
    )


def compared_job(shards: int, compared: dict[str, object], **changes: object) -> JobSpec:
    """An array that is compared so."""
    return exact(
        **{
            "command": ["part"],
            "inputs": [],
            "shards": shards,
            "award": CHEAPEST,
            "timeouts": {"execution": 600, "queue": 60},
            "verification": compared,
            **changes,
        }
    )


async def submitted(world: RedundantWorld, spec: JobSpec) -> tuple[Job, JobView]:
    job = await world.nodes["alice"].submit(spec, base_dir=world.folder)
    return job, await ended(job)


async def assert_right(world: RedundantWorld, job: Job, shards: int = SHARDS) -> None:
    await job.result(world.folder / "out")
    many = [world.folder / f"out/shard-{number}/results/part.txt" for number in range(shards)]
    paths = many if shards > 1 else [world.folder / "out/results/part.txt"]
    assert [path.read_text(errors="replace") for path in paths] == [str(number) for number in range(shards)]


def checked(view: JobView) -> list[str]:
    return [shard.checked for shard in view.shards]


def found_wrong(view: JobView) -> set[str]:
    """Return whose results were wrong, primaries and replicas."""
    replicas = [one for shard in view.shards for one in shard.replicas]
    found = {worker for worker, code in ends(view) if code == "result_wrong"}
    return found | {one.worker for one in replicas if one.code == "result_wrong"}


def ends(view: JobView) -> list[tuple[str, str]]:
    return [(one.worker, one.code) for shard in view.shards for one in shard.attempts]


def only(monkeypatch: pytest.MonkeyPatch, *shards: int) -> None:
    """Have these shards be the canaries."""
    monkeypatch.setattr(open_job, "canary_shards", lambda *_given, **_named: shards)


@dataclass
class SlowRuns:
    """Runs of alice's own that take long."""

    seconds: float
    begun: trio.Event = field(default_factory=trio.Event)
    shards: list[int] = field(default_factory=list)
    """Whose runs have ended."""

    async def __call__(self, job: OpenJob, shard: int) -> bytes | None:
        self.begun.set()
        await trio.sleep(self.seconds)
        self.shards.append(shard)
        return await RUN(job, shard)


RUN = canaries.run_shard


def slow_runs(monkeypatch: pytest.MonkeyPatch) -> SlowRuns:
    """Have alice's own runs take a minute, or as long as a test says."""
    found = SlowRuns(60.0)
    monkeypatch.setattr(canaries, "run_shard", found)
    return found
