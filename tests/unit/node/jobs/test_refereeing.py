"""Two results that differ: the requester runs the stretch where their checkpoints part; no third worker is needed.

Whole nodes over a simulated network in virtual time; alice submits, the others work.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from skyops_p2p import limits
from skyops_p2p.config.models import MisbehaviourName
from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.errors import ExecutionError
from skyops_p2p.node.jobs import refereeing
from skyops_p2p.node.jobs.check_words import verified_text
from skyops_p2p.node.jobs.job import Job
from skyops_p2p.node.jobs.job_views import JobView
from skyops_p2p.node.jobs.open_job import OpenJob
from skyops_p2p.node.jobs.shard_task import ShardTask
from skyops_p2p.node.jobs.stretch_run import Stretch
from skyops_p2p.simulation.sandbox import SimBox
from tests.unit.node.jobs.job_world import ended
from tests.unit.node.jobs.redundant_world import RedundantWorld, redundant_world
from tests.unit.node.jobs.test_verifying import exact, with_own_wasm

STEPS, STRIDE = 21, 5
"""Four stretches, and a step to the end."""


@dataclass
class Learner:
    """A program whose states follow from each other; it counts the steps of all its runs."""

    skipped: int = 0
    """A checkpoint that it does not save."""
    is_moody: bool = False
    """What it does after a resume depends on how often it was resumed."""
    begun_at: list[int] = field(default_factory=list)
    steps: int = 0

    async def __call__(self, box: SimBox) -> int:
        saved = sorted(box.path("/checkpoint").glob("step-*"), key=lambda path: int(path.name[5:]))
        done = int(saved[-1].name[5:]) if saved else 0
        state = saved[-1].read_bytes() if saved else sha256(b"begin")
        self.begun_at.append(done)
        if saved and self.is_moody:
            state = sha256(state)
        for step in range(done + 1, STEPS + 1):
            await box.work(0.5)
            self.steps += 1
            state = sha256(state + bytes([step]))
            if step % int(box.env.get("SKYOPS_CHECKPOINT_STRIDE", "1")) == 0 and step != self.skipped:
                box.write(f"/checkpoint/step-{step}", state)
        box.write("/results/model.bin", state)
        return 0


def model() -> bytes:
    """Return what an honest run leaves."""
    state = sha256(b"begin")
    for step in range(1, STEPS + 1):
        state = sha256(state + bytes([step]))
    return state


@asynccontextmanager
async def learning_world(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    learner: Learner,
    *,
    workers: int = 2,
    wrong: tuple[str, ...] = ("bob",),
    misbehaves: MisbehaviourName = "wrong-training",
) -> AsyncIterator[RedundantWorld]:
    with_own_wasm(monkeypatch)
    (folder / "module.wasm").write_bytes(b"\0asm")
    async with redundant_world(folder, workers=workers, wrong=wrong, misbehaves=misbehaves) as world:
        world.small.programs["learn"] = learner
        yield world


def learning(**changes: object) -> JobSpec:
    """A training that two compute, with a checkpoint after each STRIDE steps."""
    return exact(
        **{
            "command": ["learn"],
            "checkpoint": {"interval": 60, "stride": STRIDE},
            "timeouts": {"execution": 600, "queue": 20},
            "verification": {"class": "exact", "redundancy": 2},
            **changes,
        }
    )


async def submitted(world: RedundantWorld, spec: JobSpec) -> tuple[Job, JobView]:
    job = await world.nodes["alice"].submit(spec, base_dir=world.folder)
    return job, await ended(job)


async def assert_right(world: RedundantWorld, job: Job) -> None:
    await job.result(world.folder / "out")
    assert (world.folder / "out/results/model.bin").read_bytes() == model()


@pytest.mark.parametrize("wrong", ["bob", "carol"], ids=["primary", "replica"])
async def test_training_that_goes_wrong_is_convicted_by_one_stretch(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:  # VER-21, VER-24, VER-25, VER-26
    learner = Learner()
    async with learning_world(tmp_path, monkeypatch, learner, wrong=(wrong,)) as world:
        job, view = await submitted(world, learning())
        assert view.state == "succeeded", view
        await assert_right(world, job)
        assert len(world.replicas(job)) == 1
        assert sorted(learner.begun_at) == [0, 0, 10]
        assert (
            learner.steps <= 2 * STEPS + STRIDE + 1
        )  # the sandbox is stopped soon after the checkpoint is there
        checked = world.verdict(job)
        assert checked.findings == ()
        assert checked.verdict is not None
        assert checked.verdict.stretch is not None
        assert (checked.verdict.stretch.number, checked.verdict.outcome) == (3, "decided")
        assert not checked.is_reworked
        faults = {one.worker: one.fault for one in checked.judged}
        names = ("bob", "carol")
        assert faults == {world.nodes[name].peer_id: "wrong" if name == wrong else "none" for name in names}
        assert world.task(job).shards[0].record.checked == "refereed"
        assert verified_text(view.shards) == "verified by running the steps where two results part"
        (attempt,) = view.shards[0].attempts
        assert attempt.code == ("result_wrong" if wrong == "bob" else "succeeded")


async def test_result_that_does_not_follow_from_right_checkpoints_is_found_at_the_end(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # VER-24
    learner = Learner()
    async with learning_world(tmp_path, monkeypatch, learner, misbehaves="wrong-result") as world:
        job, view = await submitted(world, learning())
        assert view.state == "succeeded", view
        await assert_right(world, job)
        assert sorted(learner.begun_at) == [0, 0, 20]
        assert learner.steps == 2 * STEPS + 1
        checked = world.verdict(job)
        assert checked.verdict is not None
        assert checked.verdict.stretch is not None
        assert checked.verdict.stretch.number == STEPS // STRIDE + 1


async def test_stretch_can_be_run_again_later(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # VER-26
    learner = Learner()
    async with learning_world(tmp_path, monkeypatch, learner) as world:
        job, view = await submitted(world, learning())
        assert view.state == "succeeded", view
        await world.crash("bob")  # nobody has to be there for it
        await world.crash("carol")
        found = await job.verify(is_stretch=True)
        (check,) = found.shards
        assert (found.is_same, check.code) == (True, "same")
        assert check.text == "steps 10 to 15 come to what the verdict says"
        assert learner.begun_at[-2:] == [10, 10]
        learner.is_moody = True
        assert [one.code for one in (await job.verify(is_stretch=True)).shards] == ["differs"]


async def test_job_that_no_stretch_has_decided_says_so(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with learning_world(tmp_path, monkeypatch, Learner(), wrong=()) as world:
        job, _ = await submitted(world, learning())
        with pytest.raises(ExecutionError) as refused:
            await job.verify(is_stretch=True)
        assert refused.value.code == "no_stretch"


@pytest.mark.parametrize("why", ["no chain", "no stride", "other bits", "no runtime", "too slow"])
async def test_where_no_stretch_can_decide_another_worker_does(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:  # VER-13, VER-25
    learner = Learner(skipped=10 if why == "no chain" else 0, is_moody=why == "other bits")

    async def refuse(*_arguments: object) -> bytes | None:
        if why == "too slow":
            await trio.sleep_forever()
        raise ExecutionError("this machine has no runtime wasm", code="runtime_unavailable")

    if why in ("no runtime", "too slow"):
        monkeypatch.setattr(refereeing, "run_stretch", refuse)
        monkeypatch.setattr(limits, "STRETCH_TIMEOUT_S", 5.0)
    changes: dict[str, object] = {}
    if why == "no stride":
        changes = {"checkpoint": {"interval": 1}}
    async with learning_world(tmp_path, monkeypatch, learner, workers=3) as world:
        job, view = await submitted(world, learning(**changes))
        assert view.state == "succeeded", view
        await assert_right(world, job)
        checked = world.verdict(job)
        assert checked.findings == ()
        assert checked.verdict is not None
        assert checked.verdict.stretch is None
        assert [answer.round for answer in checked.verdict.answers] == [0, 0, 1]
        assert world.task(job).shards[0].record.checked == "decided"


async def test_state_that_nobody_gives_any_more_is_told_and_the_whole_is_run(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # VER-25, VER-31
    told: list[str] = []
    note = ShardTask.note
    honest = refereeing.run_stretch

    async def lose_it(job: OpenJob, stretch: Stretch) -> bytes | None:
        assert stretch.before is not None
        root = stretch.before.root[:4] + sha256(b"nobody has it")
        return await honest(job, replace(stretch, before=stretch.before.model_copy(update={"root": root})))

    def keep_note(task: ShardTask, text: str) -> None:
        told.append(text)
        note(task, text)

    monkeypatch.setattr(refereeing, "run_stretch", lose_it)
    monkeypatch.setattr(ShardTask, "note", keep_note)
    async with learning_world(tmp_path, monkeypatch, Learner()) as world:
        _, view = await submitted(world, learning())
        assert (view.state, view.shards[0].checked) == ("succeeded", "canary"), view
    assert any("checkpoint_unavailable" in text for text in told), told


async def test_job_without_a_dispute_runs_nothing_here(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = Learner()
    async with learning_world(tmp_path, monkeypatch, learner, wrong=()) as world:
        job, view = await submitted(world, learning())
        assert view.state == "succeeded", view
        assert learner.begun_at == [0, 0]
        assert world.task(job).shards[0].record.checked == "agreed"
        shard = world.task(job).shards[0]
        assert len(shard.content.chain(shard.record.epoch)) == STEPS // STRIDE


async def test_requester_that_was_restarted_is_told_the_chain_again(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # EXE-41
    async with learning_world(tmp_path, monkeypatch, Learner()) as world:
        job = await world.nodes["alice"].submit(learning(), base_dir=world.folder)
        job_id = job.job_id
        with trio.fail_after(300):
            while {shard.record.state.value for shard in world.task(job).shards} != {"running"}:
                await job.wait_changed()
            await trio.sleep(STEPS * 0.5 - 2)  # most checkpoints are told by then
        again = await world.crash_and_find(job_id, away_s=5)
        view = await ended(again)
        assert view.state == "succeeded", view
        assert world.task(again).shards[0].record.checked == "refereed"
