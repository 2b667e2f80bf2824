"""Spot checks: a lot that no worker can see decides after its commitment whether others compute the same. VER-16.

Whole nodes over a simulated network in virtual time; alice submits, the others work.
"""

from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.errors import ExecutionError
from skyops_p2p.node.execution.run_link import RunLink
from skyops_p2p.node.jobs.job import Job
from skyops_p2p.node.spot_checks import SpotChecks
from skyops_p2p.types import PeerId
from skyops_p2p.wire.messages.verification import RevealResult
from tests.unit.node.jobs.array_world import part
from tests.unit.node.jobs.job_world import ended
from tests.unit.node.jobs.redundant_world import RedundantWorld, redundant_job, redundant_world

RIGHT = "LOSS GOES DOWN"
ADAPTIVE = {"class": "exact", "check": "adaptive"}


@dataclass
class Lots:
    """What a test says of the checks, in the place of reputation."""

    is_due: bool = True
    spared: set[PeerId] = field(default_factory=set)
    """Never checked."""
    lucky: set[PeerId] = field(default_factory=set)
    """Not checked the first time."""
    asked: list[tuple[PeerId, int]] = field(default_factory=list)
    """(worker, lot)."""

    def __call__(self, worker: PeerId, _spec: JobSpec, _price: int, *, lot: int) -> bool:
        is_first = worker not in [one for one, _ in self.asked]
        self.asked.append((worker, lot))
        if is_first and worker in self.lucky:
            return False
        return self.is_due and worker not in self.spared


@pytest.fixture
def lots(monkeypatch: pytest.MonkeyPatch) -> Lots:
    found = Lots()
    monkeypatch.setattr(SpotChecks, "is_due", lambda _self, *given, **named: found(*given, **named))
    return found


async def submitted(world: RedundantWorld, **changes: object) -> Job:
    spec = redundant_job(verification=ADAPTIVE, **changes)
    return await world.nodes["alice"].submit(spec, base_dir=world.folder)


async def result(world: RedundantWorld, job: Job) -> str:
    await job.result(world.folder / "out")
    return (world.folder / "out/results/model.txt").read_text(errors="replace")


def checked(world: RedundantWorld, job: Job) -> str:
    return world.task(job).shards[0].record.checked


async def test_result_that_no_lot_falls_on_is_taken_and_said_to_be_unverified(
    autojump_clock: MockClock, tmp_path: Path, lots: Lots
) -> None:
    lots.is_due = False
    async with redundant_world(tmp_path, wrong=("bob",)) as world:
        job = await submitted(world)
        view = await ended(job)
        assert (view.state, view.shards[0].checked) == ("succeeded", "not_drawn")
        assert world.replicas(job) == ()
        assert await result(world, job) != RIGHT, "nobody has looked, and nobody claims to have"
        assert [worker for worker, _ in lots.asked] == [world.nodes["bob"].peer_id]
        with pytest.raises(ExecutionError, match="no verdict"):
            await job.verdict()


async def test_lot_falls_and_whoever_is_wrong_is_found_out(
    autojump_clock: MockClock, tmp_path: Path, lots: Lots
) -> None:
    async with redundant_world(tmp_path, wrong=("bob",)) as world:
        job = await submitted(world)
        view = await ended(job)
        assert view.state == "succeeded", view
        assert await result(world, job) == RIGHT
        verdict = world.verdict(job)
        assert verdict.findings == ()
        assert verdict.is_drawn
        faults = {one.worker: one.fault for one in verdict.judged}
        assert faults == {
            world.nodes[name].peer_id: "wrong" if name == "bob" else "none"
            for name in ("bob", "carol", "dave")
        }
        assert view.shards[0].attempts[0].code == "result_wrong"
        assert len(lots.asked) == 1, "no lot is drawn for a replica"


async def test_two_that_agree_are_enough(autojump_clock: MockClock, tmp_path: Path, lots: Lots) -> None:
    async with redundant_world(tmp_path) as world:
        job = await submitted(world)
        assert (await ended(job)).state == "succeeded"
        assert (checked(world, job), len(world.replicas(job))) == ("agreed", 1)


async def test_check_that_nobody_can_do_leaves_the_result_unverified(
    autojump_clock: MockClock, tmp_path: Path, lots: Lots
) -> None:
    async with redundant_world(tmp_path, workers=1) as world:
        job = await submitted(world)
        assert (await ended(job)).state == "succeeded"
        assert checked(world, job) == "no_replica"


async def test_lot_stands_after_a_restart_whatever_is_known_of_the_worker_then(
    autojump_clock: MockClock, tmp_path: Path, lots: Lots, monkeypatch: pytest.MonkeyPatch
) -> None:
    lots.is_due = False
    asked, show = trio.Event(), RunLink._show

    async def keep_quiet_until_restarted(link: RunLink, request: RevealResult) -> None:
        asked.set()
        if lots.is_due:
            await show(link, request)

    monkeypatch.setattr(RunLink, "_show", keep_quiet_until_restarted)
    async with redundant_world(tmp_path) as world:
        job = await submitted(world)
        with trio.fail_after(300):
            await asked.wait()  # so the commitment is on the disk
        await world.crash("alice")
        lots.is_due = True
        await trio.sleep(5)
        await world.start("alice")
        again = world.nodes["alice"].jobs.find(job.job_id)
        assert (await ended(again)).state == "succeeded"
        assert (checked(world, again), world.replicas(again)) == ("not_drawn", ())


async def test_next_attempt_has_a_lot_of_its_own(
    autojump_clock: MockClock, tmp_path: Path, lots: Lots, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with redundant_world(tmp_path) as world:
        show = RunLink._show
        lots.spared.add(world.nodes["bob"].peer_id)

        async def keep_quiet(link: RunLink, request: RevealResult) -> None:
            if len(lots.asked) > 1:  # the second attempt
                await show(link, request)

        monkeypatch.setattr(RunLink, "_show", keep_quiet)
        job = await submitted(world)
        view = await ended(job)
        assert [attempt.code for attempt in view.shards[0].attempts] == ["no_reveal", "succeeded"]
        assert checked(world, job) == "agreed"
        assert len({lot for _, lot in lots.asked}) == 2


async def test_lease_looks_the_same_whether_it_will_be_checked_or_not(
    autojump_clock: MockClock, tmp_path: Path, lots: Lots
) -> None:
    lots.is_due = False
    async with redundant_world(tmp_path) as world:
        alone, always = await submitted(world), redundant_job(verification={**ADAPTIVE, "check": "always"})
        await ended(alone)
        job = world.task(alone).job
        opening = job.opening(shard=0, epoch=1, award=bytes(32), resume=None, keepers=())
        assert opening.draw == job.draw_of(0)
        assert (job.compared, always.verification.check) == ("exact", None)


async def test_where_nothing_is_paid_everything_is_checked(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with redundant_world(tmp_path) as world:
        job = await submitted(world)
        assert (await ended(job)).state == "succeeded"
        assert checked(world, job) == "agreed"


async def test_whoever_is_caught_at_one_shard_is_believed_no_other(
    autojump_clock: MockClock, tmp_path: Path, lots: Lots
) -> None:  # VER-23
    async with redundant_world(tmp_path, wrong=("bob",)) as world:
        world.small.programs["part"] = part
        bob = world.nodes["bob"].peer_id
        lots.lucky.add(bob)
        cheapest = {"price": 1, "reputation": 0, "fit": 0, "latency": 0}
        spec = redundant_job(command=["part"], inputs=[], shards=4, verification=ADAPTIVE, award=cheapest)
        job = await world.nodes["alice"].submit(spec, base_dir=world.folder)
        view = await ended(job)
        assert view.state == "succeeded", view
        ends = [(one.worker, one.code) for shard in view.shards for one in shard.attempts]
        assert ends.count((bob, "worker_doubted")) == 1, ends
        assert (bob, "result_wrong") in ends
        assert (bob, "succeeded") not in ends
        await job.result(world.folder / "out")
        parts = [world.folder / f"out/shard-{number}/results/part.txt" for number in range(4)]
        assert [path.read_text() for path in parts] == ["0", "1", "2", "3"]
