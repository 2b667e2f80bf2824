"""Gangs: all at once or not at all, over lines that nobody else gets into; alice submits, bob and carol work."""

from pathlib import Path

import trio
from trio.testing import MockClock

from skyops_p2p.node.jobs.job import Job
from skyops_p2p.node.jobs.job_views import JobView
from skyops_p2p.simulation.sandbox import SimBox
from tests.unit.node.jobs.gang_world import gang_spec, gang_world, summing, whole_sum
from tests.unit.node.jobs.job_world import STEPS, JobWorld, ended, log_of, spec, until


def is_running(view: JobView) -> bool:
    return bool(view.shards) and all(shard.phase == "running" for shard in view.shards)


def is_past(step: int) -> object:
    return lambda view: bool(view.shards) and all(shard.done >= step for shard in view.shards)


def codes(view: JobView) -> list[list[str]]:
    return [[attempt.code for attempt in shard.attempts] for shard in view.shards]


def worker_names(world: JobWorld, view: JobView) -> list[str]:
    peers = {node.peer_id: name for name, node in world.nodes.items()}
    return [peers.get(shard.worker, "gone") for shard in view.shards]


def free_slots(world: JobWorld, name: str) -> int:
    """What nobody holds at a worker, bids included."""
    return world.nodes[name]._market.bidding._capacity.free().slots


async def begun_at(job: Job) -> list[tuple[int, int]]:
    """Return (shard, step) of every beginning of a program, by shard and in order."""
    lines = [line async for line in job.logs(follow=False) if line.text.startswith("begins at ")]
    return sorted(
        ((line.shard, int(line.text.split()[2].rstrip(","))) for line in lines), key=lambda item: item[0]
    )


# --- together -----------------------------------------------------------------------------------------------------
async def test_members_compute_together_each_on_a_worker_of_its_own(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with gang_world(tmp_path) as world:
        job = await world.nodes["alice"].submit(gang_spec(), base_dir=tmp_path)
        view = await until(job, is_running)
        assert sorted(worker_names(world, view)) == ["bob", "carol"]
        view = await ended(job)
        assert view.state == "succeeded", view
        assert codes(view) == [["succeeded"], ["succeeded"]]
        await job.result(tmp_path / "out")
        totals = {path.read_text() for path in (tmp_path / "out").rglob("total.txt")}
        assert totals == {whole_sum(2)}


async def test_one_worker_with_room_for_all_may_run_them_all(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with gang_world(tmp_path, bob={"slots": 4}) as world:
        await world.stop("carol")
        job = await world.nodes["alice"].submit(gang_spec(4), base_dir=tmp_path)
        view = await ended(job)
        assert view.state == "succeeded", view
        assert set(worker_names(world, view)) == {"bob"}
        await job.result(tmp_path / "out")
        totals = [path.read_text() for path in (tmp_path / "out").rglob("total.txt")]
        assert totals == [whole_sum(4)] * 4


# --- all or nothing -------------------------------------------------------------------------------------------------
async def test_gang_that_is_not_complete_does_not_begin_and_gives_back_what_it_won(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with gang_world(tmp_path) as world:
        alice = world.nodes["alice"]
        job = await alice.submit(gang_spec(3), base_dir=tmp_path)
        view = await until(job, lambda view: "gang_incomplete" in view.text)
        assert codes(view) == [[], [], []], "no lease was opened"
        await trio.sleep(1.0)
        assert [free_slots(world, name) for name in ("bob", "carol")] == [1, 1]
        began = trio.current_time()
        other = await alice.submit(spec(inputs=[], command=["idle"], outputs=[]), base_dir=tmp_path)
        world.small.programs["idle"] = _idle
        await until(other, lambda view: view.state == "running")
        assert trio.current_time() - began < 30, "what an award held is free before the minute is over"
        await ended(other)
        await world.start("mallory", enabled=True)
        view = await ended(job)
        assert view.state == "succeeded", view
        assert codes(view) == [["succeeded"]] * 3


async def test_gang_that_never_comes_together_ends_with_a_reason_when_its_time_is_over(
    autojump_clock: MockClock,
    tmp_path: Path,
) -> None:
    async with gang_world(tmp_path) as world:
        wanted = gang_spec(3, timeouts={"queue": 30})
        job = await world.nodes["alice"].submit(wanted, base_dir=tmp_path)
        view = await ended(job)
        assert (view.state, view.code) == ("failed", "no_worker"), view
        assert "gang_incomplete" in view.text
        assert codes(view) == [[], [], []]
        await trio.sleep(1.0)
        assert [free_slots(world, name) for name in ("bob", "carol")] == [1, 1]


async def test_cancelled_gang_gives_back_what_it_won(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with gang_world(tmp_path) as world:
        job = await world.nodes["alice"].submit(gang_spec(3), base_dir=tmp_path)
        await until(job, lambda view: bool(view.shards))
        shards = job._task.shards
        await until(job, lambda _view: any(step.step == "awarding" for one in shards for step in one.steps))
        await job.cancel()
        assert (await ended(job)).state == "cancelled"
        await trio.sleep(5.0)
        assert [free_slots(world, name) for name in ("bob", "carol")] == [1, 1]


# --- broken ---------------------------------------------------------------------------------------------------------
async def test_broken_gang_begins_again_as_a_whole_from_one_cut(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with gang_world(tmp_path, mallory={}) as world:
        wanted = gang_spec(retry={"attempts_max": 2, "pause": 1})
        job = await world.nodes["alice"].submit(wanted, base_dir=tmp_path)
        view = await until(job, is_past(4))
        victim, healthy = worker_names(world, view)
        await world.crash(victim)
        view = await ended(job)
        assert view.state == "succeeded", view
        assert codes(view) == [["worker_lost", "succeeded"], ["gang_broken", "succeeded"]]
        assert healthy in worker_names(world, view), "the healthy worker was not blamed"
        begun = await begun_at(job)
        last = dict(begun)
        assert last[0] == last[1] >= 3, begun
        await job.result(tmp_path / "out")
        assert {path.read_text() for path in (tmp_path / "out").rglob("total.txt")} == {whole_sum(2)}
        attempts = [line for line in await log_of(job) if line.startswith("begins")]
        assert sorted(line.rpartition("=")[2] for line in attempts) == ["1", "1", "2", "2"]


async def test_worker_that_leaves_in_order_takes_its_gang_along_and_no_step_is_lost(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with gang_world(tmp_path, mallory={}) as world:
        job = await world.nodes["alice"].submit(gang_spec(), base_dir=tmp_path)
        view = await until(job, is_past(4))
        await world.stop(worker_names(world, view)[1])
        view = await ended(job)
        assert view.state == "succeeded", view
        assert codes(view) == [["gang_broken", "succeeded"], ["worker_leaving", "succeeded"]]
        begun = await begun_at(job)
        assert begun[1][1] == begun[3][1] >= 4, begun


async def test_member_that_asks_for_another_attempt_is_not_taken_for_lost_by_the_others(
    autojump_clock: MockClock,
    tmp_path: Path,
) -> None:
    asked: list[int] = []

    def once(box: SimBox, step: int) -> int:
        if box.env["SKYOPS_RANK"] == "1" and step == 5 and not asked:
            asked.append(step)
            return 75
        return 0

    async with gang_world(tmp_path) as world:
        world.small.programs["sum"] = summing(once)  # type: ignore[assignment]
        job = await world.nodes["alice"].submit(gang_spec(), base_dir=tmp_path)
        view = await ended(job)
        assert view.state == "succeeded", view
        assert codes(view) == [["gang_broken", "succeeded"], ["requeue_asked", "succeeded"]]
        assert "a member is gone" not in await log_of(job)


async def test_member_that_fails_for_good_ends_the_gang_and_is_named(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    code = [3]
    async with gang_world(tmp_path) as world:
        world.small.programs["sum"] = summing(  # type: ignore[assignment]
            lambda box, step: code[0] if box.env["SKYOPS_RANK"] == "1" and step == 4 else 0
        )
        job = await world.nodes["alice"].submit(gang_spec(), base_dir=tmp_path)
        view = await ended(job)
        assert (view.state, view.code) == ("failed", "program_failed"), view
        assert [shard.code for shard in view.shards] == ["gang_failed", "program_failed"]
        code[0] = 0
        job.retry()
        await until(job, lambda view: view.state != "failed")
        view = await ended(job)
        assert view.state == "succeeded", view
        assert [step for _, step in await begun_at(job)] == [0, 3, 0, 3]


async def test_gang_outlives_a_restart_of_its_requester(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with gang_world(tmp_path) as world:
        job = await world.nodes["alice"].submit(gang_spec(), base_dir=tmp_path)
        await until(job, is_past(3))
        job_id = job.job_id
        view = await ended(await world.crash_and_find(job_id, away_s=3))
        assert view.state == "succeeded", view
        assert codes(view) == [["succeeded"], ["succeeded"]]


async def test_lines_outlive_their_sessions(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with gang_world(tmp_path) as world:
        job = await world.nodes["alice"].submit(gang_spec(), base_dir=tmp_path)
        view = await until(job, is_running)
        worker = world.nodes[worker_names(world, view)[1]]
        for step in range(2, STEPS):
            await until(job, is_past(step))
            for session in worker.sessions:
                if session.peer != world.nodes["alice"].peer_id:
                    await session.aclose("expired")
        view = await ended(job)
        assert view.state == "succeeded", view
        assert codes(view) == [["succeeded"], ["succeeded"]]


# --- strangers ------------------------------------------------------------------------------------------------------
async def test_two_gangs_on_the_same_workers_do_not_mix(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with gang_world(tmp_path, bob={"slots": 2}, carol={"slots": 2}) as world:
        alice = world.nodes["alice"]
        jobs = [await alice.submit(gang_spec(name=f"gang-{n}"), base_dir=tmp_path) for n in range(2)]
        for job in jobs:
            await until(job, is_running)
        parts = [job._task.job.gang.part for job in jobs]  # type: ignore[union-attr]
        assert parts[0].token != parts[1].token  # type: ignore[union-attr]
        for number, job in enumerate(jobs):
            view = await ended(job)
            assert view.state == "succeeded", view
            await job.result(tmp_path / f"out-{number}")
            texts = {path.read_text() for path in (tmp_path / f"out-{number}").rglob("total.txt")}
            assert texts == {whole_sum(2)}


async def _idle(box: SimBox) -> int:
    await box.work(1.0)
    return 0
