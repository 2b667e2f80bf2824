"""Arrays: the shards of one job use a worker one after the other, over a simulated network in virtual time.

Alice submits; bob and carol work, each with one slot.
"""

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from skyops_p2p import limits
from skyops_p2p.core.execution import opening
from skyops_p2p.node.execution import service
from skyops_p2p.node.market import Market
from tests.unit.node.jobs.array_world import (
    SHARDS,
    array,
    awards,
    codes,
    ended_well,
    expect_all_free,
    has_ended,
    held,
    part,
    submit,
    well,
)
from tests.unit.node.jobs.job_world import WORKERS, ended, job_world, until


async def test_all_shards_are_run_under_one_award_of_each_worker(
    autojump_clock: MockClock, tmp_path: Path
) -> None:  # EXE-37, EXE-38, EXE-39
    async with job_world(tmp_path) as world:
        job = await submit(world)
        view = await ended(job)
        assert view.state == "succeeded", view
        assert codes(job) == {"succeeded"}
        assert len(awards(job)) == 2
        assert len(set(ended_well(view))) == 2
        assert {shard.epoch for shard in view.shards} == {1}
        await job.result(tmp_path / "out")
        parts = sorted(path.read_text() for path in (tmp_path / "out").rglob("part.txt"))
        assert parts == [str(shard) for shard in range(SHARDS)]


async def test_worker_is_given_back_at_once_when_no_shard_waits(
    autojump_clock: MockClock, tmp_path: Path
) -> None:  # EXE-39
    async with job_world(tmp_path) as world:
        job = await submit(world)
        await ended(job)
        await trio.sleep(limits.AWARD_IDLE_S / 2)
        assert held(world) == {"bob": 0, "carol": 0}


async def test_award_that_nobody_gives_back_runs_out(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # EXE-37
    monkeypatch.setattr(Market, "release_award", lambda _market, _award: None)
    async with job_world(tmp_path) as world:
        job = await submit(world)
        await ended(job)
        assert set(held(world).values()) == {1}
        await trio.sleep(limits.AWARD_IDLE_S + 1)
        assert held(world) == {"bob": 0, "carol": 0}


async def test_capacity_is_never_sold_twice_while_shards_follow_each_other(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with job_world(tmp_path) as world:
        job = await submit(world)
        other = await world.nodes["alice"].submit(array(name="other"), base_dir=tmp_path)
        while not (job.view().is_over and other.view().is_over):
            assert max(held(world).values()) <= 1
            await trio.sleep(0.05)
        assert (job.view().state, other.view().state) == ("succeeded", "succeeded")
        await expect_all_free(world)


# --- what may come between --------------------------------------------------------------------------------------------
async def test_worker_that_declines_costs_nothing_and_the_market_is_asked(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # EXE-39
    monkeypatch.setattr(service, "is_award_kept", lambda _opened, _now: False)
    async with job_world(tmp_path) as world:
        job = await submit(world)
        view = await ended(job)
        assert view.state == "succeeded", view
        assert codes(job) == {"succeeded", "award_over"}
        assert all(shard.record.tally.attempts == 1 for shard in job._task.shards)
        await expect_all_free(world)


async def test_worker_refuses_when_the_time_of_the_award_is_used_up(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # EXE-38
    monkeypatch.setattr("skyops_p2p.node.jobs.array.Array._is_used_up", lambda _array, _award: False)
    monkeypatch.setattr(service, "is_award_kept", lambda _opened, _now: True)
    refused: list[str] = []
    check = opening._check_next

    def watched(*arguments: object) -> None:
        try:
            check(*arguments)  # type: ignore[arg-type]
        except Exception as error:
            refused.append(error.code)  # type: ignore[attr-defined]
            raise

    monkeypatch.setattr(opening, "_check_next", watched)
    async with job_world(tmp_path) as world:
        job = await submit(world, timeouts={"execution": 3}, shards=10)
        view = await ended(job)
        assert view.state == "succeeded", view
        assert set(refused) == {"award_over"}
        assert len(awards(job)) > 2
        await expect_all_free(world)


async def test_requester_asks_for_no_more_than_the_time_of_the_award(
    autojump_clock: MockClock, tmp_path: Path
) -> None:  # EXE-38
    async with job_world(tmp_path) as world:
        job = await submit(world, timeouts={"execution": 3}, shards=10)
        assert (await ended(job)).state == "succeeded"
        assert codes(job) == {"succeeded"}
        assert len(awards(job)) > 2
        await expect_all_free(world)


async def test_worker_does_not_work_longer_than_its_provider_allows(
    autojump_clock: MockClock, tmp_path: Path
) -> None:  # EXE-37
    async with job_world(tmp_path) as world:
        for name in WORKERS:
            await world.stop(name)
            await world.start(name, duration_s_max=3600)
        await world.all_know_each_other()
        job = await submit(world, timeouts={"execution": 3600})
        assert (await ended(job)).state == "succeeded"
        assert len({run.award for run in well(job)}) == SHARDS, "each run could be the longest one"
        again = await submit(world, timeouts={"execution": 1800})
        assert (await ended(again)).state == "succeeded"
        assert len(awards(again)) == 2


async def test_worker_that_dies_between_two_shards_is_replaced(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with job_world(tmp_path) as world:
        job = await submit(world)
        view = await until(job, has_ended(2))
        name = next(name for name in WORKERS if world.nodes[name].peer_id == ended_well(view)[0])
        await world.crash(name)
        view = await ended(job)
        assert view.state == "succeeded", view
        assert codes(job) <= {"succeeded", "worker_lost", "award_over"}
        await expect_all_free(world)


async def test_worker_that_was_restarted_while_it_held_an_award_is_free_again(
    autojump_clock: MockClock, tmp_path: Path
) -> None:  # EXE-37
    async with job_world(tmp_path) as world:
        job = await submit(world)
        await until(job, has_ended(2))
        for name in WORKERS:
            await world.crash(name)
        for name in WORKERS:
            await world.start(name)
        view = await ended(job)
        assert view.state == "succeeded", view
        await expect_all_free(world)


async def test_worker_that_leaves_holds_nothing_and_the_others_go_on(
    autojump_clock: MockClock, tmp_path: Path
) -> None:  # EXE-37
    async with job_world(tmp_path) as world:
        job = await submit(world)
        view = await until(job, has_ended(2))
        name = next(name for name in WORKERS if world.nodes[name].peer_id == ended_well(view)[0])
        await world.stop(name)
        view = await ended(job)
        assert view.state == "succeeded", view
        assert codes(job) <= {"succeeded", "worker_leaving", "award_over"}
        await expect_all_free(world)


async def test_preempted_shard_goes_elsewhere_and_its_award_is_not_passed_on(
    autojump_clock: MockClock, tmp_path: Path
) -> None:  # EXE-37
    async with job_world(tmp_path) as world:
        job = await submit(world, env={"WORK_S": "3"})
        await until(job, has_ended(1))
        await trio.sleep(1)
        runs = [run for name in WORKERS for run in world.nodes[name]._workshop.execution.runs]  # type: ignore[union-attr]
        run = next(run for run in runs if run.phase == "running")
        await run.notify_preemption("preempted", grace_s=1.0)
        view = await ended(job)
        assert view.state == "succeeded", view
        assert "preempted" in codes(job)
        preempted = job._task.shards[run.facts.shard].record.attempts
        assert preempted[0].award == run.facts.award
        later = {a.award for a in preempted[1:]}
        assert run.facts.award not in later
        await expect_all_free(world)


async def test_cancelled_array_gives_its_workers_back(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with job_world(tmp_path) as world:
        job = await submit(world)
        await until(job, has_ended(3))
        await job.cancel()
        view = await ended(job)
        assert view.state == "cancelled", view
        await trio.sleep(limits.LEASE_STOP_GRACE_S)
        assert held(world) == {"bob": 0, "carol": 0}


# --- how many matches -------------------------------------------------------------------------------------------------
async def test_matches_of_one_array_are_bounded(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "ARRAY_MATCHES_MAX", 3)
    match, running, most = Market.match, 0, 0

    async def counted(market: Market, *arguments: object, **options: object) -> object:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            return await match(market, *arguments, **options)  # type: ignore[arg-type]
        finally:
            running -= 1

    monkeypatch.setattr(Market, "match", counted)
    async with job_world(tmp_path) as world:
        job = await submit(world, shards=24)
        assert (await ended(job)).state == "succeeded"
        assert most == 3


async def test_shards_that_wait_for_their_own_job_do_not_run_out_of_time(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with job_world(tmp_path) as world:
        job = await submit(world, env={"WORK_S": "30"}, timeouts={"queue": 20}, shards=8)
        view = await ended(job)
        assert view.state == "succeeded", view


async def test_members_of_a_gang_and_workers_of_a_pool_pass_nothing_on(
    autojump_clock: MockClock, tmp_path: Path
) -> None:  # EXE-37
    async with job_world(tmp_path) as world:
        world.small.programs["part"] = part
        job = await world.nodes["alice"].submit(array(shards=2, gang=True, name="crew"), base_dir=tmp_path)
        await until(job, lambda view: view.state == "running")
        assert job._task.job.array is None
        assert (await ended(job)).state == "succeeded"
        await trio.sleep(1)
        assert held(world) == {"bob": 0, "carol": 0}, "no award of a gang is held"
