"""Jobs that several compute: they commit, show together, are judged; who is wrong is found out and replaced.

Whole nodes over a simulated network in virtual time; alice submits, the others work.
"""

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from skyops_p2p.core.execution.opening import OpenedLease
from skyops_p2p.node.execution.kept_commit import KeptCommit
from skyops_p2p.node.execution.offer import commit_result
from skyops_p2p.node.execution.run_link import RunLink
from skyops_p2p.node.execution.tools import RunTools
from skyops_p2p.simulation.sandbox import SimBox
from skyops_p2p.wire.messages.verification import RevealResult
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
        assert view.shards[0].is_log_proven is (None if wrong == "bob" else True)
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


# --- what breaks meanwhile ------------------------------------------------------------------------------------------
PHASES = ("running", "checking", "shown")


@pytest.mark.parametrize("phase", PHASES)
async def test_requester_that_is_restarted_goes_on_where_it_was(
    autojump_clock: MockClock, tmp_path: Path, phase: str
) -> None:
    async with redundant_world(tmp_path, wrong=("bob",)) as world:
        job = await world.nodes["alice"].submit(redundant_job(), base_dir=world.folder)
        job_id, primary = job.job_id, world.task(job)

        def is_there() -> bool:
            if not primary.shards:
                return False
            record = primary.shards[0].record
            is_shown = bool(record.attempts) and record.attempts[-1].receipt is not None
            return is_shown if phase == "shown" else record.state.value == phase

        with trio.fail_after(300):
            while not is_there():
                await job.wait_changed()
        again = await world.crash_and_find(job_id, away_s=5)
        view = await ended(again)
        assert view.state == "succeeded", view
        await again.result(world.folder / "out")
        assert (world.folder / "out/results/model.txt").read_text() == RIGHT
        checked = world.verdict(again)
        assert checked.findings == ()
        assert checked.verdict is not None
        assert checked.verdict.outcome == "decided"


async def test_worker_of_a_replica_that_dies_is_replaced(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with redundant_world(tmp_path, workers=4) as world:
        job = await world.nodes["alice"].submit(redundant_job(), base_dir=world.folder)
        victim = ""
        with trio.fail_after(300):
            while not victim:
                await trio.sleep(0.1)
                leases = [one.shards[0].record.lease for one in world.replicas(job)]
                running = [one.worker for one in leases if one is not None]
                victim = next((name for name in CROWD[:4] if world.nodes[name].peer_id in running), "")
        await world.crash(victim)
        view = await ended(job)
        assert view.state == "succeeded", view
        checked = world.verdict(job)
        assert checked.findings == ()
        assert sum(one.fault == "none" for one in checked.judged) == 3
        assert world.task(job).shards[0].record.checked in ("agreed", "decided")


async def test_replicas_of_a_job_that_is_cancelled_are_cancelled(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with redundant_world(tmp_path) as world:
        job = await world.nodes["alice"].submit(redundant_job(), base_dir=world.folder)
        with trio.fail_after(300):
            while not world.replicas(job):
                await job.wait_changed()
        await job.cancel()
        assert (await ended(job)).state == "cancelled"
        with trio.fail_after(120):
            for replica in world.replicas(job):
                await replica.wait_over()
        assert {one.standing().state for one in world.replicas(job)} == {"cancelled"}
        assert [one.job_id for one in world.nodes["alice"].jobs.rows()] == [job.job_id]


async def test_worker_that_shows_nothing_loses_what_it_committed_to(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with redundant_world(tmp_path) as world:
        silent, show = world.nodes["carol"].peer_id, RunLink._show

        async def keep_quiet(link: RunLink, request: RevealResult) -> None:
            if link._facts.worker != silent:
                await show(link, request)

        monkeypatch.setattr(RunLink, "_show", keep_quiet)
        job = await world.nodes["alice"].submit(redundant_job(), base_dir=world.folder)
        assert (await ended(job)).state == "succeeded"
        checked = world.verdict(job)
        assert checked.findings == ()
        assert {one.worker: one.fault for one in checked.judged}[silent] == "no_reveal"


async def test_worker_that_shows_another_result_than_it_committed_to_has_lied(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = commit_result

    def commit_to_nothing(receipt: bytes, opened: OpenedLease, tools: RunTools) -> KeptCommit | None:
        kept = honest(receipt, opened, tools)
        is_liar = kept is not None and tools.own == liar
        return KeptCommit(bytes(32), kept.commit) if kept is not None and is_liar else kept

    async with redundant_world(tmp_path) as world:
        liar = world.nodes["bob"].peer_id
        monkeypatch.setattr("skyops_p2p.node.execution.keeping.commit_result", commit_to_nothing)
        job = await world.nodes["alice"].submit(redundant_job(), base_dir=world.folder)
        view = await ended(job)
        assert view.state == "succeeded", view
        assert view.shards[0].attempts[0].code == "worker_lied"
        checked = world.verdict(job)
        assert checked.findings == ()
        assert {one.worker: one.fault for one in checked.judged}[liar] == "lied"


@pytest.mark.parametrize(("apart", "outcome"), [(1e-9, "agreed"), (0.5, "unresolved")], ids=["near", "far"])
async def test_numbers_are_compared_within_a_tolerance(
    autojump_clock: MockClock, tmp_path: Path, apart: float, outcome: str
) -> None:  # VER-12
    runs: list[int] = []

    async def compute(box: SimBox) -> int:
        runs.append(len(runs))
        box.write("/results/loss.json", f"[{1.0 + apart * runs[-1]}, 2.0]".encode())
        return 0

    async with redundant_world(tmp_path) as world:
        world.small.programs["compute"] = compute
        spec = redundant_job(command=["compute"], verification={"class": "numeric", "redundancy": 3})
        job = await world.nodes["alice"].submit(spec, base_dir=world.folder)
        view = await ended(job)
        assert view.code == ("succeeded" if outcome == "agreed" else "results_differ"), view
        checked = world.verdict(job)
        assert checked.findings == ()
        assert checked.verdict is not None
        assert checked.verdict.outcome == outcome
        assert len(checked.verdict.comparisons) == 3
        assert list((world.task(job).job.folder / "compared").iterdir()) == []
