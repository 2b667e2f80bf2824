"""Jobs that several compute: they commit, show together, are judged; who is wrong is found out and replaced.

Whole nodes over a simulated network in virtual time; alice submits, the others work.
"""

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from skyops_p2p.simulation.sandbox import SimBox
from tests.unit.node.jobs.job_world import ended
from tests.unit.node.jobs.redundant_world import CROWD, redundant_job, redundant_world

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


@pytest.mark.parametrize("wrong", ["bob", "carol"], ids=["primary", "replica"])
async def test_one_that_is_wrong_is_found_out_and_another_ones_result_is_taken(
    autojump_clock: MockClock, tmp_path: Path, wrong: str
) -> None:
    async with redundant_world(tmp_path, wrong=(wrong,)) as world:
        job = await world.nodes["alice"].submit(redundant_job(), base_dir=world.folder)
        view = await ended(job)
        assert view.state == "succeeded", view
        await job.result(world.folder / "out")
        assert (world.folder / "out/results/model.txt").read_text() == RIGHT
        checked = world.verdict(job)
        assert checked.findings == ()
        assert checked.verdict is not None
        assert checked.verdict.outcome == "decided"
        faults = {one.worker: one.fault for one in checked.judged}
        assert faults == {
            world.nodes[name].peer_id: "wrong" if name == wrong else "none" for name in CROWD[:3]
        }
        (attempt,) = view.shards[0].attempts
        assert attempt.worker == world.nodes["bob"].peer_id
        assert attempt.code == ("result_wrong" if wrong == "bob" else "succeeded")
        with trio.fail_after(60):
            for replica in world.replicas(job):
                await replica.wait_over()
        codes = [replica.shards[0].record.code for replica in world.replicas(job)]
        assert sorted(codes) == (
            ["succeeded", "succeeded"] if wrong == "bob" else ["result_wrong", "succeeded"]
        )


async def test_two_that_differ_are_decided_by_a_third(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with redundant_world(tmp_path, wrong=("bob",)) as world:
        spec = redundant_job(verification={"class": "exact", "redundancy": 2})
        job = await world.nodes["alice"].submit(spec, base_dir=world.folder)
        assert (await ended(job)).state == "succeeded"
        checked = world.verdict(job)
        assert checked.findings == ()
        assert checked.verdict is not None
        assert [answer.round for answer in checked.verdict.answers] == [0, 0, 1]
        assert checked.verdict.outcome == "decided"
        await job.result(world.folder / "out")
        assert (world.folder / "out/results/model.txt").read_text() == RIGHT


async def test_two_that_differ_with_nobody_to_decide_are_no_result(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with redundant_world(tmp_path, workers=2, wrong=("carol",)) as world:
        spec = redundant_job(verification={"class": "exact", "redundancy": 2})
        job = await world.nodes["alice"].submit(spec, base_dir=world.folder)
        view = await ended(job)
        assert (view.state, view.code) == ("failed", "results_differ")
        checked = world.verdict(job)
        assert checked.findings == ()
        assert checked.verdict is not None
        assert checked.verdict.outcome == "unresolved"


async def test_result_that_nobody_else_could_compute_is_taken_and_says_so(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with redundant_world(tmp_path, workers=1) as world:
        job = await world.nodes["alice"].submit(redundant_job(), base_dir=world.folder)
        view = await ended(job)
        assert view.state == "succeeded"
        assert world.task(job).shards[0].record.checked == "no_replica"


async def test_failure_that_all_see_is_the_programs(autojump_clock: MockClock, tmp_path: Path) -> None:
    async def fail(_box: SimBox) -> int:
        return 3

    async with redundant_world(tmp_path) as world:
        world.small.programs["fail"] = fail
        job = await world.nodes["alice"].submit(redundant_job(command=["fail"]), base_dir=world.folder)
        view = await ended(job)
        assert (view.state, view.code) == ("failed", "program_failed")
        assert world.task(job).shards[0].record.checked == "agreed"


async def test_programs_that_compute_the_same_are_told_the_same_names(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    told: list[tuple[str, str]] = []

    async def tell(box: SimBox) -> int:
        told.append((box.env["SKYOPS_JOB"], box.env["SKYOPS_EPOCH"]))
        box.write("/results/names.txt", " ".join(told[-1]).encode())
        return 0

    async with redundant_world(tmp_path) as world:
        world.small.programs["tell"] = tell
        job = await world.nodes["alice"].submit(redundant_job(command=["tell"]), base_dir=world.folder)
        assert (await ended(job)).state == "succeeded"
        assert len(told) == 3
        assert len(set(told)) == 1
        assert job.job_id not in told[0]
