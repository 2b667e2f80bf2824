"""A worker tells another phase at once, and not as often as it changes; alice submits, bob or carol works."""

from pathlib import Path

import trio
from trio.testing import MockClock

from skyops_p2p import limits
from skyops_p2p.core.execution import lease as ls
from skyops_p2p.simulation.sandbox import SimBox
from tests.unit.node.jobs.job_world import ended, job_world, spec, until


async def test_a_phase_that_is_shorter_than_a_beat_is_seen(
    autojump_clock: MockClock, tmp_path: Path
) -> None:  # EXE-7
    async def short(box: SimBox) -> int:
        await box.work(limits.LEASE_BEAT_S / 4)
        return 0

    async with job_world(tmp_path) as world:
        world.small.programs["train"] = short
        job = await world.nodes["alice"].submit(
            spec(inputs=[], outputs=[], checkpoint=None), base_dir=tmp_path
        )
        seen = set()
        while not job.view().is_over:
            seen |= {shard.phase for shard in job.view().shards}
            await job.wait_changed()
        assert "running" in seen


async def test_early_beats_are_bounded_however_often_the_phase_changes(
    autojump_clock: MockClock, tmp_path: Path
) -> None:  # EXE-7
    async with job_world(tmp_path) as world:
        job = await world.nodes["alice"].submit(spec(), base_dir=tmp_path)
        await until(job, lambda view: view.shards and view.shards[0].phase == "running")
        execution = world.nodes[world.worker_of(job)]._workshop.execution  # type: ignore[union-attr]
        assert execution is not None
        (run,) = execution.runs
        before, seconds = run.pulse._sequence, 5
        for _ in range(seconds * 100):
            run.pulse.is_paused = not run.pulse.is_paused
            await run._events_in.send(ls.PeerHeard())
            await trio.sleep(0.01)
        told = run.pulse._sequence - before
        run.pulse.is_paused = False
        each_s = limits.LEASE_EARLY_BEATS_MAX + round(1 / limits.LEASE_BEAT_S)
        assert seconds * 2 < told <= (seconds + 1) * each_s
        assert (await ended(job)).state == "succeeded"
