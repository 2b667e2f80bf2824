"""Canaries: shards that the requester computes, too, before it takes anybody's result. VER-22, VER-30, VER-31.

Whole nodes over a simulated network in virtual time; alice submits, the others work.
"""

from pathlib import Path

import pytest
from trio.testing import MockClock

from skyops_p2p.core.verification.check import check_verdict
from skyops_p2p.errors import ExecutionError
from skyops_p2p.node.execution.run_link import RunLink
from skyops_p2p.node.jobs.check_words import verified_text
from skyops_p2p.node.spot_checks import SpotChecks
from skyops_p2p.wire.messages.verification import RevealResult
from tests.unit.node.jobs.canary_world import (
    REDUNDANT,
    SHARDS,
    SlowRuns,
    assert_right,
    canary_job,
    canary_world,
    checked,
    compared_job,
    ends,
    found_wrong,
    only,
    submitted,
)
from tests.unit.node.jobs.job_world import ended, until
from tests.unit.node.jobs.liars import first_lies


# --- honest workers ---------------------------------------------------------------------------------------------------
async def test_canaries_are_checked_and_the_other_shards_are_said_not_to_be(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # VER-22
    async with canary_world(tmp_path, monkeypatch) as (world, parts):
        job, view = await submitted(world, canary_job(2))
        assert view.state == "succeeded", view
        await assert_right(world, job)
        drawn = world.task(job).job.canary_shards()
        assert checked(view) == ["canary" if n in drawn else "no_canary" for n in range(SHARDS)]
        assert sorted(parts.own) == sorted(map(str, drawn))
        assert world.replicas(job) == (), "it costs no second worker"
        text = (
            "spot-checked: 2 of 4 shards verified by computing the same on this node, the others unverified"
        )
        assert verified_text(view.shards) == view.verified == text
        for shard in drawn:
            verdict = world.verdict(job, shard)
            assert verdict.findings == ()
            assert verdict.verdict is not None
            assert (verdict.verdict.outcome, verdict.winner, verdict.is_reworked) == ("decided", 0, False)
            assert [one.fault for one in verdict.judged] == ["none"]
        left = [path for path in (world.folder / "alice" / "work").rglob("*") if path.is_file()]
        assert left == []
        with pytest.raises(ExecutionError, match="no verdict"):
            await job.verdict(shard=next(n for n in range(SHARDS) if n not in drawn))


async def test_all_shards_may_be_canaries(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # VER-22
    async with canary_world(tmp_path, monkeypatch) as (world, parts):
        job, view = await submitted(world, canary_job(SHARDS))
        assert (view.state, set(checked(view))) == ("succeeded", {"canary"})
        assert sorted(parts.own) == list(map(str, range(SHARDS)))
        await assert_right(world, job)


async def test_no_lease_tells_whether_its_shard_is_a_canary(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # VER-1, VER-22
    async with canary_world(tmp_path, monkeypatch) as (world, _):
        job, view = await submitted(world, canary_job(1))
        assert view.state == "succeeded"
        mine = world.task(job).job
        openings = [
            mine.opening(shard=shard, epoch=1, award=bytes(32), resume=None, keepers=())
            for shard in range(SHARDS)
        ]
        assert len({opening.draw for opening in openings}) == SHARDS
        alike = [opening.model_copy(update={"shard": 0, "draw": bytes(32)}) for opening in openings]
        assert all(opening == alike[0] for opening in alike)
        attempts = [task.record.attempts[-1] for task in world.task(job).shards]
        assert all(one.commit is not None and one.reveal is not None for one in attempts)


async def test_nobody_shows_a_result_before_this_node_has_its_own(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slow: SlowRuns
) -> None:  # VER-22
    shown: list[tuple[int, list[int]]] = []
    show = RunLink._show

    async def note(link: RunLink, request: RevealResult) -> None:
        shown.append((link._facts.shard, list(slow.shards)))
        await show(link, request)

    monkeypatch.setattr(RunLink, "_show", note)
    async with canary_world(tmp_path, monkeypatch) as (world, _):
        job, view = await submitted(world, canary_job(2))
        assert view.state == "succeeded"
        drawn = world.task(job).job.canary_shards()
        assert {shard for shard, _ in shown} == set(range(SHARDS))
        assert all(shard in computed for shard, computed in shown if shard in drawn)


async def test_majority_that_agrees_with_the_canary_needs_no_word_of_this_node(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # VER-30
    async with canary_world(tmp_path, monkeypatch) as (world, parts):
        job, view = await submitted(world, canary_job(1, redundancy=2, shards=1))
        assert (view.state, checked(view), parts.own) == ("succeeded", ["canary"], ["0"])
        verdict = world.verdict(job)
        assert verdict.verdict is not None
        assert (verdict.verdict.known, verdict.verdict.outcome) == (None, "agreed")
        assert verdict.is_drawn
        assert verdict.is_reworked


# --- liars ------------------------------------------------------------------------------------------------------------
async def test_who_lies_at_a_canary_is_wrong_and_another_one_computes_it(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slow: SlowRuns
) -> None:  # VER-23, VER-30
    only(monkeypatch, 2)
    assert slow.seconds == 60.0, "bob has done more than one shard by then"
    async with canary_world(tmp_path, monkeypatch, workers=1, wrong=("bob",)) as (world, _):
        bob = world.nodes["bob"].peer_id
        job = await world.nodes["alice"].submit(canary_job(1), base_dir=world.folder)
        await until(job, lambda view: found_wrong(view) == {bob})
        carol = (await world.start("carol", enabled=True)).peer_id
        view = await ended(job)
        assert view.state == "succeeded", view
        await assert_right(world, job)
        found = ends(view)
        assert found.count((bob, "result_wrong")) == 1
        assert (bob, "worker_doubted") in found, "nobody had checked what else it did"
        assert (bob, "succeeded") not in found
        assert [(one.worker, one.code) for one in view.shards[2].attempts] == [
            (bob, "result_wrong"),
            (carol, "succeeded"),
        ]
        assert checked(view) == ["no_canary", "no_canary", "canary", "no_canary"]
        assert view.shards[2].attempts[0].text == "it is not what this node came to itself"
        assert view.shards[2].discrepancy == (
            f"worker {bob[-8:]} came to another result than this node, which has computed the shard, too"
            " (result_wrong); its result is not taken"
        )
        assert world.verdict(job, 2).judged[0].worker == carol
        beside = world.task(job).job.folder / "verdicts" / "shard-2-1.verdict"
        assert [(one.worker, one.fault) for one in check_verdict(beside.read_bytes()).judged] == [
            (bob, "wrong")
        ]


async def test_two_that_spoil_alike_are_both_found_out(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # VER-30
    liars = ("bob", "carol")
    async with canary_world(tmp_path, monkeypatch, wrong=liars, misbehaves="wrong-alike") as (world, _):
        peers = {world.nodes[name].peer_id for name in liars}
        job = await world.nodes["alice"].submit(canary_job(1, redundancy=2, shards=1), base_dir=world.folder)
        await until(job, lambda view: found_wrong(view) == peers)
        verdict = world.verdict(job)
        assert verdict.findings == ()
        assert (verdict.winner, [one.fault for one in verdict.judged]) == (None, ["wrong", "wrong"])
        for name in ("dave", "erin"):
            await world.start(name, enabled=True)
        view = await ended(job)
        assert view.state == "succeeded", view
        await assert_right(world, job, 1)
        assert (checked(view), found_wrong(view)) == (["canary"], peers)
        assert world.task(job).job.suspects == peers
        honest = {world.nodes[name].peer_id for name in ("dave", "erin")}
        assert {one.worker for one in world.verdict(job).judged} == honest


# --- nobody has a majority --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("liar", ["bob", "carol"])
async def test_two_results_and_nobody_else_are_decided_here(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, liar: str
) -> None:  # VER-31
    async with canary_world(tmp_path, monkeypatch, wrong=(liar,)) as (world, parts):
        job, view = await submitted(world, compared_job(1, REDUNDANT))
        assert view.state == "succeeded", view
        await assert_right(world, job, 1)
        assert (checked(view), found_wrong(view)) == (["canary"], {world.nodes[liar].peer_id})
        assert parts.own == ["0"]
        verdict = world.verdict(job)
        assert verdict.findings == ()
        assert verdict.verdict is not None
        assert verdict.verdict.known


async def test_of_results_of_which_none_is_right_none_is_taken(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # VER-31
    liars = ("bob", "carol")
    async with canary_world(tmp_path, monkeypatch, workers=2, wrong=liars) as (world, parts):
        peers = {world.nodes[name].peer_id for name in liars}
        job = await world.nodes["alice"].submit(compared_job(1, REDUNDANT), base_dir=world.folder)
        await until(job, lambda view: found_wrong(view) == peers)
        await world.start("dave", enabled=True)
        view = await ended(job)
        assert view.state == "succeeded", view
        await assert_right(world, job, 1)
        assert (checked(view), parts.own) == (["canary"], ["0"])


async def test_what_cannot_be_computed_here_either_is_not_decided(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # VER-31
    async with canary_world(tmp_path, monkeypatch, wrong=("bob",)) as (world, parts):
        parts.exit_code_here = 75  # another attempt is asked for
        job, view = await submitted(world, compared_job(1, REDUNDANT))
        assert (view.state, view.code) == ("failed", "results_differ")
        assert parts.own == ["0"]
        with pytest.raises(ExecutionError):
            await job.result(world.folder / "out")


async def test_results_that_agree_are_not_computed_here(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # VER-31
    async with canary_world(tmp_path, monkeypatch, workers=3, wrong=("bob",)) as (world, parts):
        _, view = await submitted(world, compared_job(1, REDUNDANT))
        assert (view.state, checked(view)) == ("succeeded", ["decided"])
        assert parts.own == []


async def test_without_an_honest_worker_no_result_is_taken(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # VER-30
    async with canary_world(tmp_path, monkeypatch, wrong=("bob", "carol")) as (world, _):
        job, view = await submitted(world, canary_job(1, shards=1, retry={"attempts_max": 2}))
        assert (view.state, view.code, checked(view)) == ("failed", "result_wrong", [""])
        assert len(ends(view)) == 2
        verdict = world.verdict(job)
        assert verdict.findings == ()
        assert (verdict.winner, [one.fault for one in verdict.judged]) == (None, ["wrong"])
        with pytest.raises(ExecutionError):
            await job.result(world.folder / "out")


async def test_result_that_no_lot_falls_on_is_compared_all_the_same(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # VER-16, VER-22
    monkeypatch.setattr(SpotChecks, "is_due", lambda *_given, **_named: False)
    first_lies(monkeypatch)
    async with canary_world(tmp_path, monkeypatch) as (world, _):
        adaptive = {"class": "exact", "check": "adaptive", "canaries": 1}
        job, view = await submitted(world, canary_job(1, shards=1, verification=adaptive))
        assert (view.state, checked(view)) == ("succeeded", ["canary"])
        assert [code for _, code in ends(view)] == ["result_wrong", "succeeded"]
        assert world.replicas(job) == ()
        await assert_right(world, job, 1)
