"""Which checkpoint a job goes on from when its worker goes at the worst of moments; bob and carol work for alice."""

from collections.abc import Callable
from pathlib import Path

import pytest
from trio.testing import MockClock

from skyops_p2p.errors import StoreError
from skyops_p2p.node.jobs.shard_content import ShardContent
from skyops_p2p.simulation.sandbox import SimBox, StopAsked
from tests.unit.node.jobs.job_world import STEPS, ended, job_world, log_of, spec, until
from tests.unit.node.jobs.redundant_world import redundant_world


async def careful(box: SimBox) -> int:
    """Count to STEPS, a second a step; save when asked to end, and else never."""
    saved = [int(path.name[5:]) for path in box.path("/checkpoint").glob("step-*")]
    done = max(saved, default=0)
    try:
        for step in range(done + 1, STEPS + 1):
            await box.work(1.0)
            done = step
            box.write("/skyops/progress", f"{step}/{STEPS}\n".encode())
            await box.print(f"step {step}")
    except StopAsked:
        box.write(f"/checkpoint/step-{done}", bytes(1 << 20))
        return 75
    box.write("/results/model.txt", b"made")
    return 0


async def test_a_worker_that_dies_as_it_tells_of_a_checkpoint_costs_no_attempt(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with job_world(tmp_path) as world:
        job = await world.nodes["alice"].submit(spec(), base_dir=tmp_path)
        await until(job, lambda view: view.shards and view.shards[0].checkpoints)
        await world.crash(world.worker_of(job))
        view = await ended(job)
        assert [attempt.code for attempt in view.shards[0].attempts] == ["worker_lost", "succeeded"]
        assert any(line.endswith("resume=1") for line in await log_of(job))


async def test_what_a_program_saves_when_it_is_asked_to_end_is_gone_on_from(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with job_world(tmp_path) as world:
        world.small.programs["train"] = careful
        job = await world.nodes["alice"].submit(
            spec(checkpoint={"interval": 3600}, resources={"cpu": 1, "memory": "16Mi", "disk": "64Mi"}),
            base_dir=tmp_path,
        )
        await until(job, lambda view: view.shards and view.shards[0].done >= 4)
        await world.stop(world.worker_of(job))
        view = await ended(job)
        assert [attempt.code for attempt in view.shards[0].attempts] == ["worker_leaving", "succeeded"]
        assert await log_of(job) == [f"step {step}" for step in range(1, STEPS + 1)]


@pytest.mark.parametrize("is_restarted", [False, True], ids=["at once", "after a restart"])
async def test_nobody_goes_on_from_what_a_worker_has_saved_whose_result_was_wrong(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_restarted: bool
) -> None:  # VER-27
    fetch, is_away = ShardContent.fetch_outputs, True

    async def fetch_later(content: ShardContent, envelope: bytes, told: Callable[[str], None]) -> None:
        if is_away:
            raise StoreError("no room", code="store_full", hint="Make room.")
        await fetch(content, envelope, told)

    monkeypatch.setattr(ShardContent, "fetch_outputs", fetch_later)
    checked = {"class": "exact", "redundancy": 3}
    async with redundant_world(tmp_path, workers=4, wrong=("bob",)) as world:
        job = await world.nodes["alice"].submit(spec(verification=checked), base_dir=tmp_path)
        view = await until(job, lambda view: view.shards and len(view.shards[0].checkpoints) == 2)
        pins = world.small.blocks["alice"].pins
        await until(job, lambda view: view.shards[0].epoch == 2 and view.shards[0].phase == "running")
        is_away = False
        if is_restarted:
            job = await world.crash_and_find(job.job_id, away_s=2)
        view = await ended(job)
        assert view.state == "succeeded", view
        assert [one.code for one in view.shards[0].attempts] == ["result_wrong", "succeeded"]
        assert [line for line in await log_of(job) if line.startswith("begins")] == [
            "begins at 0, resume=0"
        ] * 2
        assert {one.epoch for one in view.shards[0].checkpoints} == {2}
        kept = [name for name in pins if name.startswith(f"job/{job.job_id}/0/checkpoint-")]
        assert {name.rpartition("/")[2].split("-")[1] for name in kept} == {"2"}, kept
