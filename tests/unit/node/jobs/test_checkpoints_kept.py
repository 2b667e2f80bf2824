"""Which checkpoint a job goes on from when its worker goes at the worst of moments; bob and carol work for alice."""

from pathlib import Path

from trio.testing import MockClock

from skyops_p2p.simulation.sandbox import SimBox, StopAsked
from tests.unit.node.jobs.job_world import STEPS, ended, job_world, log_of, spec, until


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
