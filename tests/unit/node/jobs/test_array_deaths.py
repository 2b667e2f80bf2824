"""Arrays whose requester or worker is killed at any step from one shard to the next, in virtual time."""

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from skyops_p2p.node.bidding import BiddingShell
from skyops_p2p.node.jobs.records import JobRecords
from tests.unit.node.jobs.array_world import codes, expect_all_free, has_ended, submit
from tests.unit.node.jobs.job_world import ended, job_world, until


@pytest.mark.parametrize("count", [1, 2, 4])
async def test_killed_requester_goes_on_where_it_was(
    autojump_clock: MockClock, tmp_path: Path, count: int
) -> None:  # EXE-4, EXE-16
    async with job_world(tmp_path) as world:
        job = await submit(world)
        await until(job, has_ended(count))
        job_id = job.job_id
        job = await world.crash_and_find(job_id, away_s=3)
        view = await ended(job)
        assert view.state == "succeeded", view
        assert codes(job) <= {"succeeded", "restarted"}
        await expect_all_free(world)


@pytest.mark.parametrize("moment", ["take_lease", "keep_lease", "end_lease"])
@pytest.mark.parametrize("is_before", [True, False])
async def test_worker_that_dies_at_any_step_of_the_handover_loses_nothing(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str, is_before: bool
) -> None:
    """Nothing is sold twice or held for ever, and every shard comes to its end."""
    async with job_world(tmp_path) as world, trio.open_nursery() as nursery:
        step, calls = getattr(BiddingShell, moment), 0
        bob = world.nodes["bob"]

        async def dying(shell: BiddingShell, *arguments: object, **options: object) -> object:
            nonlocal calls
            calls += shell is bob._market.bidding
            is_now = shell is bob._market.bidding and calls == 2
            result = None if is_now and is_before else await step(shell, *arguments, **options)
            if is_now:
                nursery.start_soon(again)
                await trio.sleep_forever()
            return result

        async def again() -> None:
            await world.crash("bob")
            await world.start("bob")

        monkeypatch.setattr(BiddingShell, moment, dying)
        job = await submit(world, shards=8)
        view = await ended(job)
        assert view.state == "succeeded", view
        await expect_all_free(world)


@pytest.mark.parametrize("write", [11, 13, 15, 18])
@pytest.mark.parametrize("is_before", [True, False])
async def test_requester_that_dies_at_any_step_of_the_handover_loses_nothing(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: int, is_before: bool
) -> None:  # EXE-4
    """Alice dies before or after a write of a shard's record: each shard has one result, under rising epochs."""
    async with job_world(tmp_path) as world, trio.open_nursery() as nursery:
        save, writes, back = JobRecords.save_shard, 0, trio.Event()

        async def dying(records: JobRecords, *arguments: object, **options: object) -> None:
            nonlocal writes
            writes += 1
            is_now = writes == write
            if not (is_now and is_before):
                await save(records, *arguments, **options)  # type: ignore[arg-type]
            if is_now:
                nursery.start_soon(again)
                await trio.sleep_forever()

        async def again() -> None:
            await world.crash("alice")
            await world.start("alice")
            back.set()

        monkeypatch.setattr(JobRecords, "save_shard", dying)
        job_id = (await submit(world)).job_id
        with trio.fail_after(600):
            await back.wait()
        job = world.nodes["alice"].jobs.find(job_id)
        view = await ended(job)
        assert view.state == "succeeded", view
        assert codes(job) <= {"succeeded", "restarted", "award_over"}
        for shard in view.shards:
            epochs = [attempt.epoch for attempt in shard.attempts]
            assert epochs == sorted(set(epochs))
        await expect_all_free(world)
