"""Arrays of small shards, and what is left of them at their workers; for tests of whole jobs in virtual time."""

from collections.abc import Callable

import trio

from skyops_p2p import limits
from skyops_p2p.core.execution.shard_record import Attempt
from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.node.jobs.job import Job
from skyops_p2p.node.jobs.job_views import JobView
from skyops_p2p.simulation.sandbox import SimBox
from tests.unit.node.jobs.job_world import WORKERS, JobWorld, spec

SHARDS = 6


async def part(box: SimBox) -> int:
    """Say which shard it is, after a second or as long as WORK_S says."""
    await box.work(float(box.env.get("WORK_S", "1")))
    box.write("/results/part.txt", box.env["SKYOPS_SHARD"].encode())
    return 0


def array(**changes: object) -> JobSpec:
    return spec(**{"command": ["part"], "shards": SHARDS, "inputs": [], **changes})


async def submit(world: JobWorld, **changes: object) -> Job:
    world.small.programs["part"] = part
    return await world.nodes["alice"].submit(array(**changes), base_dir=world.folder)


def ended_well(view: JobView) -> list[str]:
    return [shard.worker for shard in view.shards if shard.state == "succeeded"]


def has_ended(count: int) -> Callable[[JobView], bool]:
    return lambda view: len(ended_well(view)) >= count


def awards(job: Job) -> set[bytes]:
    """Return the awards of all leases."""
    return {attempt.award for shard in job._task.shards for attempt in shard.record.attempts}


def well(job: Job) -> list[Attempt]:
    """Return the leases that ended well."""
    attempts = [attempt for shard in job._task.shards for attempt in shard.record.attempts]
    return [attempt for attempt in attempts if attempt.code == "succeeded"]


def codes(job: Job) -> set[str]:
    return {attempt.code for shard in job.view().shards for attempt in shard.attempts}


def held(world: JobWorld) -> dict[str, int]:
    """Return how many claims each worker has sold, and check that none is sold twice."""
    found = {}
    for name in WORKERS:
        if name in world.nodes:
            desk = world.nodes[name]._market.bidding.desk
            desk.check_invariants()
            found[name] = len(desk._context.capacity)
    return found


async def expect_all_free(world: JobWorld) -> None:
    """Nothing of it is left at any worker once the awards that were held have run out, but results nobody has taken."""
    with trio.fail_after(limits.LEASE_START_TIMEOUT_S + 1):
        while any(held(world).values()):  # noqa: ASYNC110 - a worker tells nobody of its claims
            await trio.sleep(1)
    for name in set(WORKERS) & set(world.nodes):
        execution = world.nodes[name]._workshop.execution  # type: ignore[union-attr]
        assert execution is not None
        assert {run.phase for run in execution.runs} <= {"delivering"}
