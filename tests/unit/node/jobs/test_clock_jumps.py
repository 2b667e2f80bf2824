"""Wall clocks that are set by hours while a job runs: leases are kept by monotonic clocks, and notice nothing."""

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from tests.unit.node.jobs.job_world import STEPS, ended, job_world, log_of, spec, until

HOUR_MS = 3_600_000
WHOLE_LOG = ["begins at 0, resume=0", *(f"step {step}" for step in range(1, STEPS + 1))]


@pytest.mark.parametrize("hours", [6, -6, 24 * 400], ids=["forward", "back", "a year"])
@pytest.mark.parametrize("side", ["requester", "worker"])
async def test_a_clock_that_is_set_during_a_lease_costs_nothing(
    autojump_clock: MockClock, tmp_path: Path, side: str, hours: int
) -> None:
    async with job_world(tmp_path) as world:
        job = await world.nodes["alice"].submit(spec(), base_dir=tmp_path)
        await until(job, lambda view: view.shards and view.shards[0].done >= 3)
        name = "alice" if side == "requester" else world.worker_of(job)
        world.small.clocks[name].step(hours * HOUR_MS)
        view = await ended(job)
        assert view.state == "succeeded", view
        (shard,) = view.shards
        assert [attempt.code for attempt in shard.attempts] == ["succeeded"]
        assert await log_of(job) == WHOLE_LOG
        assert shard.is_log_proven
        await job.result(tmp_path / "out")
        assert set(world.nodes) == {"alice", "bob", "carol"}


async def test_a_clock_that_is_set_back_under_a_program_leaves_a_receipt_that_counts(
    autojump_clock: MockClock, tmp_path: Path
) -> None:  # EXE-13: a result does not end before it started, whatever the clock says
    async with job_world(tmp_path) as world:
        job = await world.nodes["alice"].submit(spec(), base_dir=tmp_path)
        await until(job, lambda view: view.shards and view.shards[0].phase == "running")
        for name in ("bob", "carol"):
            world.small.clocks[name].step(-HOUR_MS)
        view = await ended(job)
        assert [attempt.code for attempt in view.shards[0].attempts] == ["succeeded"]


@pytest.mark.parametrize("hours", [6, -6], ids=["forward", "back"])
async def test_a_requester_that_comes_back_with_a_wrong_date_keeps_its_job_until_the_date_is_right(
    autojump_clock: MockClock, tmp_path: Path, hours: int
) -> None:
    async with job_world(tmp_path) as world:
        job = await world.nodes["alice"].submit(spec(timeouts={"queue": 60}), base_dir=tmp_path)
        await until(job, lambda view: view.shards and view.shards[0].done >= 3)
        await world.crash("alice")
        world.small.clocks["alice"].step(hours * HOUR_MS)
        await trio.sleep(3)
        alice = await world.start("alice")
        view = await ended(alice.jobs.find(job.job_id))
        assert (view.state, view.code) == ("failed", "no_worker"), view  # nobody believes what she signs
        assert view.shards[0].attempts[0].code == "worker_silent"
        assert view.meaning
        assert view.change
        world.small.clocks["alice"].step(-hours * HOUR_MS)
        await world.all_know_each_other()
        again = alice.jobs.find(job.job_id)
        again.retry()
        await until(again, lambda view: view.state != "failed")
        assert (await ended(again)).state == "succeeded"
