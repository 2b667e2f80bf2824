"""Jobs that several compute: they commit, show together, are judged; who is wrong is found out and replaced.

Whole nodes over a simulated network in virtual time; alice submits, the others work.
"""

from pathlib import Path

from trio.testing import MockClock

from tests.unit.node.jobs.job_world import ended
from tests.unit.node.jobs.redundant_world import redundant_job, redundant_world

RIGHT = "LOSS GOES DOWN"


async def test_three_that_agree_are_a_verdict_that_anybody_can_check(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with redundant_world(tmp_path) as world:
        job = await world.nodes["alice"].submit(redundant_job(), base_dir=world.folder)
        view = await ended(job)
        assert view.state == "succeeded", view
        await job.result(world.folder / "out")
        assert (world.folder / "out/results/model.txt").read_text() == RIGHT
        checked = world.verdict(job)
        assert checked.findings == ()
        assert checked.verdict is not None
        assert checked.verdict.outcome == "agreed"
        assert len({one.worker for one in checked.judged}) == 3
        assert checked.is_drawn
        assert checked.is_reworked
        assert world.task(job).shards[0].record.checked == "agreed"
