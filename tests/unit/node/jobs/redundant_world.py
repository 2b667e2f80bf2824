"""Whole nodes of which several compute the same: alice submits, the others work; for tests in virtual time."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType

import trio

from skyops_p2p.config.models import MisbehaviourName
from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.core.verification.check import CheckedVerdict, check_verdict
from skyops_p2p.node.jobs.job import Job
from skyops_p2p.node.jobs.job_task import JobTask
from tests.unit.node.jobs.job_world import JobWorld, shout, spec, train
from tests.unit.node.small_world import small_world

PRICE = 60_000
CROWD = ("bob", "carol", "dave", "erin", "frank")


def redundant_job(**changes: object) -> JobSpec:
    """A short job that three compute."""
    return spec(
        **{
            "command": ["shout"],
            "checkpoint": None,
            "timeouts": {"execution": 600, "queue": 20},
            "verification": {"class": "exact", "redundancy": 3},
            **changes,
        }
    )


class RedundantWorld(JobWorld):
    """A job world whose workers are as many as a test wants."""

    def task(self, job: Job) -> JobTask:
        """Return what drives a job at alice's."""
        return self._keeper.find(job.job_id)

    def replicas(self, job: Job) -> tuple[JobTask, ...]:
        """Return a job's replicas, in the order in which they were begun."""
        return self._keeper.replicas.of(bytes.fromhex(job.job_id))

    def verdict(self, job: Job, shard: int = 0) -> CheckedVerdict:
        """Check the verdict about a shard, as anybody could."""
        path = self.task(job).job.folder / "verdicts" / f"shard-{shard}.verdict"
        return check_verdict(path.read_bytes())

    @property
    def _keeper(self):  # type: ignore[no-untyped-def]
        workshop = self.nodes["alice"]._workshop
        assert workshop is not None
        return workshop.keeper


@asynccontextmanager
async def redundant_world(
    folder: Path,
    *,
    workers: int = 3,
    wrong: tuple[str, ...] = (),
    conduct: Mapping[str, str] = MappingProxyType({}),
    misbehaves: MisbehaviourName = "wrong-result",
) -> AsyncIterator[RedundantWorld]:
    """Start alice and some workers; bob is the cheapest, and so the primary.

    Args:
        folder: Of the world.
        workers: How many.
        wrong: Those that do wrong.
        conduct: How others misbehave, by name.
        misbehaves: What they do, as the setting has it.
    """
    (folder / "words.txt").write_text("loss goes down")
    async with small_world(folder) as small, trio.open_nursery() as nursery:
        small.programs |= {"train": train, "shout": shout}
        world = RedundantWorld(small, nursery)
        await world.start("alice")
        for name in CROWD[:workers]:
            price = PRICE if name == "bob" else 2 * PRICE
            does = misbehaves if name in wrong else conduct.get(name, "")
            await world.start(name, enabled=True, price_microcredits_per_hour=price, misbehaves=does)
        await world.all_know_each_other()
        yield world
        nursery.cancel_scope.cancel()
