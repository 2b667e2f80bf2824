"""A shard that is computed anew: only those count that compute it in the attempt that is compared.

Whole nodes over a simulated network in virtual time; alice submits, the others work.
"""

from pathlib import Path

import pytest
from trio.testing import MockClock

from skyops_p2p.node.jobs.records import ReplicaPart
from tests.unit.node.jobs.job_world import ended, until
from tests.unit.node.jobs.redundant_world import PRICE, RedundantWorld, redundant_job, redundant_world
from tests.unit.node.jobs.test_hostile_holders import serve_falsely

RIGHT = "LOSS GOES DOWN"
TWO = {"class": "exact", "redundancy": 2}


async def more_workers(world: RedundantWorld, *names: str) -> None:
    for name in names:
        await world.start(name, enabled=True, price_microcredits_per_hour=2 * PRICE)
    await world.all_know_each_other()


@pytest.mark.parametrize("is_restarted", [False, True], ids=["at once", "after a restart"])
async def test_that_nobody_could_check_the_first_attempt_says_nothing_of_the_second(
    autojump_clock: MockClock, tmp_path: Path, is_restarted: bool
) -> None:
    async with redundant_world(tmp_path, workers=1) as world:
        job = await world.nodes["alice"].submit(redundant_job(verification=TWO), base_dir=world.folder)
        await until(job, lambda view: view.shards and view.shards[0].state == "running")
        serve_falsely(world.nodes["bob"])
        await until(job, lambda view: view.shards[0].state == "fetching")
        assert [one.shards[0].record.code for one in world.replicas(job)] == ["no_worker"]
        await more_workers(world, "carol", "dave")
        await until(job, lambda view: view.shards[0].epoch == 2 and view.shards[0].phase == "running")
        if is_restarted:
            job = await world.crash_and_find(job.job_id, away_s=5)
        view = await ended(job)
        assert view.state == "succeeded", view
        assert [one.code for one in view.shards[0].attempts] == ["result_unavailable", "succeeded"]
        assert view.shards[0].checked == "agreed", "the replica of the first attempt was counted"
        checked = world.verdict(job)
        assert checked.findings == ()
        assert len(checked.judged) == 2
        assert view.verified == "verified by 2 workers"


def test_replica_of_an_older_version_belongs_to_the_first_attempt() -> None:
    now = ReplicaPart(job_id=bytes(16), shard=0, round=0, place=0, epoch=3)
    before = ReplicaPart.from_wire({key: value for key, value in now.to_wire().items() if key != 5})
    assert (now.of_epoch, before.of_epoch) == (3, 1)


async def test_retry_by_hand_is_compared_anew(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with redundant_world(tmp_path, workers=2, wrong=("carol",)) as world:
        job = await world.nodes["alice"].submit(redundant_job(verification=TWO), base_dir=world.folder)
        assert (await ended(job)).code == "results_differ"
        await more_workers(world, "dave", "erin")
        before = {one.job_id for one in world.replicas(job)}
        job.retry()
        await until(job, lambda view: not view.is_over)
        view = await ended(job)
        assert view.state == "succeeded", view
        assert [one.code for one in view.shards[0].attempts] == ["results_differ", "succeeded"]
        await job.result(world.folder / "out")
        assert (world.folder / "out/results/model.txt").read_text() == RIGHT
        checked = world.verdict(job)
        assert checked.findings == ()
        assert checked.verdict is not None
        assert [answer.round for answer in checked.verdict.answers][:2] == [0, 0]
        assert {one.job_id for one in world.replicas(job)} - before
