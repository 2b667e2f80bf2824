"""Jobs from submission to result, over a simulated network in virtual time; alice submits, bob and carol work."""

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from skyops_p2p.errors import ExecutionError
from skyops_p2p.simulation.sandbox import SimBox, StopAsked
from tests.unit.node.jobs.job_world import STEPS, ended, job_world, log_of, spec, until

WHOLE_LOG = ["begins at 0, resume=0", *(f"step {step}" for step in range(1, STEPS + 1))]


async def whisper(box: SimBox) -> int:
    await box.work(1.0)
    box.write("/results/model.txt", box.read("/data/results/model.txt").lower())
    return 0


async def test_a_job_is_run_and_its_result_opens_with_the_requesters_key(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with job_world(tmp_path) as world:
        job = await world.nodes["alice"].submit(spec(), base_dir=tmp_path)
        view = await ended(job)
        assert (view.state, view.code) == ("succeeded", "succeeded"), view
        result = await job.result(tmp_path / "out")
        assert (tmp_path / "out/results/model.txt").read_text() == "LOSS GOES DOWN"
        assert result.files == 1
        assert await log_of(job) == WHOLE_LOG
        (shard,) = view.shards
        assert shard.is_log_proven
        assert shard.exit_code == 0


async def test_a_view_tells_the_steps_of_the_match_and_why_nobody_took_a_job(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with job_world(tmp_path) as world:
        alice = world.nodes["alice"]
        job = await alice.submit(spec(timeouts={"queue": 20}), base_dir=tmp_path)
        search = (await ended(job)).shards[0].search
        assert search is not None
        assert (search.number, search.code) == (1, "accepted")
        assert [step.step for step in search.steps] == ["asked", "closed", "revealed", "decided", "awarding"]
        assert search.answers == {"bid": 2}
        greedy = spec(price={"per_hour_max": "0.000001"}, timeouts={"queue": 20})
        view = await ended(await alice.submit(greedy, base_dir=tmp_path))
        assert (view.state, view.code) == ("failed", "no_worker"), view
        search = view.shards[0].search
        assert search is not None
        assert search.number > 1
        assert [reason.nodes for reason in search.reasons] == [2], search
        assert search.reasons[0].meaning
        assert search.reasons[0].change


async def test_published_outputs_are_the_input_of_somebody_elses_job(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with job_world(tmp_path) as world:
        mallory = await world.start("mallory", enabled=False)
        await world.all_know_each_other()
        job = await world.nodes["alice"].submit(spec(), base_dir=tmp_path)
        told: list[tuple[int, int]] = []
        published = await job.publish(progress=lambda *moved: told.append(moved))
        assert (published.files, published.size_bytes) == (1, len("LOSS GOES DOWN"))
        assert told[-1] == (14, 14)
        assert published.addrs
        assert all(addr.endswith(f"/p2p/{world.nodes['alice'].peer_id}") for addr in published.addrs)
        words = [{"path": "/data", "uri": f"ipfs://{published.cid}"}]
        world.small.programs["whisper"] = whisper
        theirs = await mallory.submit(spec(command=["whisper"], inputs=words), base_dir=tmp_path)
        view = await ended(theirs)
        assert view.state == "succeeded", view
        await theirs.result(tmp_path / "out")
        assert (tmp_path / "out/results/model.txt").read_text() == "loss goes down"
        assert list((tmp_path / "alice/jobs/passage").iterdir()) == []


async def test_nothing_of_a_job_is_left_on_its_worker(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with job_world(tmp_path) as world:
        job = await world.nodes["alice"].submit(spec(), base_dir=tmp_path)
        await until(job, lambda view: view.state == "running")
        name = world.worker_of(job)
        await ended(job)
        await trio.sleep(60)
        service = world.nodes[name]._workshop.execution  # type: ignore[union-attr]
        assert service is not None
        assert service.runs == ()
        assert list((tmp_path / name / "work").iterdir()) == []
        assert not [owner for owner in world.small.blocks[name].pins if owner.startswith("run/")]
        assert world.nodes[name].node("self").slots_free == world.nodes[name].node("self").slots


async def test_a_killed_worker_is_replaced_and_the_job_goes_on_from_its_checkpoint(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with job_world(tmp_path) as world:
        job = await world.nodes["alice"].submit(spec(), base_dir=tmp_path)
        await until(job, lambda view: view.shards and view.shards[0].done >= 5)
        first = world.worker_of(job)
        await world.crash(first)
        view = await ended(job)
        assert view.state == "succeeded", view
        (shard,) = view.shards
        assert [attempt.code for attempt in shard.attempts] == ["worker_lost", "succeeded"]
        assert shard.attempts[0].worker != shard.attempts[1].worker
        lines = await log_of(job)
        begun = [line for line in lines if line.startswith("begins")]
        assert begun[0] == "begins at 0, resume=0"
        assert begun[1].endswith("resume=1")
        assert 4 <= int(begun[1].split()[2].rstrip(",")) <= 6, (
            begun
        )  # at most one checkpoint interval is lost
        await job.result(tmp_path / "out")
        assert (tmp_path / "out/results/model.txt").read_text() == "LOSS GOES DOWN"


async def test_a_killed_requester_finds_its_job_still_running_after_a_restart(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with job_world(tmp_path) as world:
        job = await world.nodes["alice"].submit(spec(), base_dir=tmp_path)
        await until(job, lambda view: view.shards and view.shards[0].done >= 3)
        job_id = job.job_id
        await world.crash("alice")
        await trio.sleep(3)
        alice = await world.start("alice")
        job = alice.jobs.find(job_id[:8])
        view = await ended(job)
        assert view.state == "succeeded", view
        assert [attempt.code for attempt in view.shards[0].attempts] == ["succeeded"]
        assert await log_of(job) == WHOLE_LOG
        assert view.shards[0].is_log_proven
        await job.result(tmp_path / "out")


async def test_a_result_waits_for_a_requester_that_was_away(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with job_world(tmp_path) as world:
        job = await world.nodes["alice"].submit(spec(), base_dir=tmp_path)
        await until(job, lambda view: view.shards and view.shards[0].done >= STEPS - 2)
        job_id = job.job_id
        view = await ended(await world.crash_and_find(job_id, away_s=60))
        assert view.state == "succeeded", view
        assert await log_of(world.nodes["alice"].jobs.find(job_id)) == WHOLE_LOG


async def test_a_worker_that_is_restarted_still_delivers_its_sealed_result(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with job_world(tmp_path) as world:
        job = await world.nodes["alice"].submit(spec(), base_dir=tmp_path)
        await until(job, lambda view: view.shards and view.shards[0].done >= STEPS - 2)
        name, job_id = world.worker_of(job), job.job_id
        await world.crash("alice")
        await trio.sleep(30)
        await world.crash(name)
        await world.start(name)
        alice = await world.start("alice")
        view = await ended(alice.jobs.find(job_id))
        assert view.state == "succeeded", view
        assert [attempt.code for attempt in view.shards[0].attempts] == ["succeeded"]


async def test_a_cancelled_job_stops_its_program(autojump_clock: MockClock, tmp_path: Path) -> None:
    asked: list[bool] = []

    async def patient(box: SimBox) -> int:
        try:
            await box.work(10_000.0)
        except StopAsked:
            asked.append(box.is_stopping)
        return 0

    async with job_world(tmp_path) as world:
        world.small.programs["train"] = patient
        job = await world.nodes["alice"].submit(spec(), base_dir=tmp_path)
        await until(job, lambda view: view.shards and view.shards[0].phase == "running")
        await job.cancel()
        view = await ended(job)
        assert (view.state, view.code) == ("cancelled", "cancelled")
        await trio.sleep(60)
        assert asked == [True]
        with pytest.raises(ExecutionError) as caught:
            await job.result(tmp_path / "out")
        assert caught.value.code == "no_result"


async def test_a_program_that_fails_is_not_tried_elsewhere_and_can_be_retried_by_hand(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    codes = [3, 0]

    async def flaky(box: SimBox) -> int:
        await box.work(1.0)
        box.write("/results/model.txt", b"made")
        return codes.pop(0)

    async with job_world(tmp_path) as world:
        world.small.programs["train"] = flaky
        job = await world.nodes["alice"].submit(spec(), base_dir=tmp_path)
        view = await ended(job)
        assert (view.state, view.code) == ("failed", "program_failed"), view
        assert view.shards[0].exit_code == 3
        assert len(view.shards[0].attempts) == 1
        job.retry()
        await until(job, lambda view: view.state != "failed")
        assert (await ended(job)).state == "succeeded"


async def test_exit_code_75_asks_for_another_attempt(autojump_clock: MockClock, tmp_path: Path) -> None:
    codes = [75, 0]

    async def requeue(box: SimBox) -> int:
        await box.work(1.0)
        box.write("/results/model.txt", b"made")
        return codes.pop(0)

    async with job_world(tmp_path) as world:
        world.small.programs["train"] = requeue
        job = await world.nodes["alice"].submit(spec(), base_dir=tmp_path)
        view = await ended(job)
        assert view.state == "succeeded", view
        assert [one.code for one in view.shards[0].attempts] == ["requeue_asked", "succeeded"]


async def test_a_worker_that_leaves_in_order_hands_its_job_on_without_losing_a_step(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with job_world(tmp_path) as world:
        job = await world.nodes["alice"].submit(spec(), base_dir=tmp_path)
        await until(job, lambda view: view.shards and view.shards[0].done >= 4)
        await world.stop(world.worker_of(job))
        view = await ended(job)
        assert view.state == "succeeded", view
        assert view.shards[0].attempts[0].code == "worker_leaving"
        steps = [line for line in await log_of(job) if line.startswith("step")]
        assert steps == WHOLE_LOG[1:]


async def test_a_missing_output_fails_the_job_and_says_which(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async def idle(box: SimBox) -> int:
        await box.work(1.0)
        return 0

    async with job_world(tmp_path) as world:
        world.small.programs["train"] = idle
        job = await world.nodes["alice"].submit(
            spec(outputs=[{"path": "/results/model.txt"}]), base_dir=tmp_path
        )
        view = await ended(job)
        assert (view.state, view.code) == ("failed", "output_missing"), view
        assert "/results/model.txt" in view.text


async def test_an_array_gathers_its_shards_and_a_reducer_sees_them_all(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async def part(box: SimBox) -> int:
        await box.work(1.0)
        box.write("/results/part.txt", box.env["SKYOPS_SHARD"].encode())
        return 0

    async def reduce(box: SimBox) -> int:
        parts = sorted(path.read_text() for path in box.path("/parts").rglob("part.txt"))
        box.write("/results/all.txt", "+".join(parts).encode())
        return 0

    async with job_world(tmp_path) as world:
        world.small.programs |= {"part": part, "reduce": reduce}
        alice = world.nodes["alice"]
        array = spec(name="sweep", command=["part"], shards=4, inputs=[])
        gather = spec(
            name="gather",
            command=["reduce"],
            depends_on=["sweep"],
            inputs=[{"path": "/parts", "uri": "job:sweep"}],
        )
        await alice.submit(array, base_dir=tmp_path)
        job = await alice.submit(gather, base_dir=tmp_path)
        view = await ended(job)
        assert view.state == "succeeded", view
        await job.result(tmp_path / "out")
        assert (tmp_path / "out/results/all.txt").read_text() == "0+1+2+3"


async def test_a_job_whose_dependency_failed_fails_and_says_so(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async def fail(box: SimBox) -> int:
        await box.work(1.0)
        return 1

    async with job_world(tmp_path) as world:
        world.small.programs["fail"] = fail
        alice = world.nodes["alice"]
        await alice.submit(spec(name="first", command=["fail"]), base_dir=tmp_path)
        job = await alice.submit(spec(name="second", depends_on=["first"]), base_dir=tmp_path)
        view = await ended(job)
        assert (view.state, view.code) == ("failed", "dependency_failed"), view


async def test_logs_and_checkpoints_outlive_their_worker_while_the_requester_is_away(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with job_world(tmp_path) as world:
        await world.start("mallory", enabled=False)
        await world.all_know_each_other()
        job = await world.nodes["alice"].submit(spec(env={"STEP_S": "10"}), base_dir=tmp_path)
        await until(job, lambda view: view.shards and view.shards[0].done >= 2)
        name, job_id = world.worker_of(job), job.job_id
        await world.crash("alice")
        await trio.sleep(50)  # less than the lease's time
        await world.crash(name)
        await trio.sleep(5)
        alice = await world.start("alice")
        job = alice.jobs.find(job_id)
        view = await ended(job)
        assert view.state == "succeeded", view
        assert view.shards[0].attempts[0].code in ("worker_lost", "worker_silent")
        lines = await log_of(job)
        resumed = int(next(line for line in lines if line.endswith("resume=1")).split()[2].rstrip(","))
        assert resumed >= 5, lines  # from a checkpoint that alice was not there to see
        assert [f"step {step}" for step in range(1, STEPS + 1) if f"step {step}" not in lines] == []


async def test_outputs_with_a_place_are_put_there(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with job_world(tmp_path) as world:
        outputs = [{"path": "/results/model.txt", "uri": "file:models/best.txt"}]
        job = await world.nodes["alice"].submit(spec(outputs=outputs), base_dir=tmp_path)
        await ended(job)
        await trio.sleep(1)
        assert (tmp_path / "models/best.txt").read_text() == "LOSS GOES DOWN"


async def test_a_path_in_a_directory_of_the_system_is_refused_at_once(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with job_world(tmp_path) as world:
        with pytest.raises(ExecutionError) as caught:
            await world.nodes["alice"].submit(spec(outputs=[{"path": "/etc/passwd"}]), base_dir=tmp_path)
        assert caught.value.code == "spec_refused"
        assert world.nodes["alice"].jobs.list() == ()
