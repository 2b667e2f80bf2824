"""Canaries that alice cannot compute, and restarts in the middle of them. VER-22.

Whole nodes over a simulated network in virtual time; alice submits, the others work.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from skyops_p2p.node.job_ports import JobPorts
from skyops_p2p.node.jobs import canaries
from skyops_p2p.node.jobs.shard_task import ShardTask
from skyops_p2p.node.jobs.verdicts import VerdictFiles
from skyops_p2p.ports import Sandbox
from tests.unit.node.jobs.canary_world import (
    REDUNDANT,
    SHARDS,
    Parts,
    SlowRuns,
    assert_right,
    canary_job,
    canary_world,
    checked,
    compared_job,
    ends,
    found_wrong,
    submitted,
)
from tests.unit.node.jobs.job_world import ended, until
from tests.unit.node.jobs.liars import first_lies
from tests.unit.node.jobs.redundant_world import redundant_world
from tests.unit.node.jobs.test_verifying import with_own_wasm
from tests.unit.node.small_world import SmallWorld


# --- what this node cannot do -----------------------------------------------------------------------------------------
def without_own_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave all nodes without a runtime for runs of their own."""
    honest = SmallWorld.job_ports

    @asynccontextmanager
    async def open_none(_name: str) -> AsyncIterator[Mapping[str, Sandbox]]:
        await trio.lowlevel.checkpoint()
        yield {}

    def job_ports(small: SmallWorld, name: str, place: Path) -> JobPorts:
        return replace(honest(small, name, place), open_own_runtime=open_none)

    monkeypatch.setattr(SmallWorld, "job_ports", job_ports)


@pytest.mark.parametrize(("redundancy", "code"), [(1, "canary_failed"), (2, "agreed")])
async def test_without_a_runtime_the_canary_says_nothing_of_anybody(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, redundancy: int, code: str
) -> None:  # VER-22
    notes: list[str] = []
    note = ShardTask.note
    monkeypatch.setattr(ShardTask, "note", lambda task, text: (notes.append(text), note(task, text)))
    with_own_wasm(monkeypatch)
    without_own_runtime(monkeypatch)
    (tmp_path / "module.wasm").write_bytes(b"\0asm")
    async with redundant_world(tmp_path, workers=2) as world:
        parts = world.small.programs["part"] = Parts()
        _, view = await submitted(world, canary_job(1, redundancy=redundancy, shards=1))
        assert (view.state, checked(view), parts.own) == ("succeeded", [code], [])
        assert any("could not compute it, too" in text and "runtime_unavailable" in text for text in notes)
        if redundancy == 1:
            assert view.verified == "unverified: this node could not compute it, too"


async def test_run_here_that_is_no_answer_says_nothing_of_anybody(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # VER-22
    async with canary_world(tmp_path, monkeypatch) as (world, parts):
        parts.exit_code_here = 75  # another attempt is asked for
        _, view = await submitted(world, canary_job(SHARDS))
        assert (view.state, set(checked(view))) == ("succeeded", {"canary_failed"})
        assert len(parts.own) == SHARDS
        assert {code for _, code in ends(view)} == {"succeeded"}


async def test_run_here_that_comes_to_no_end_is_given_up(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slow: SlowRuns
) -> None:  # VER-22
    monkeypatch.setattr(canaries, "longest_lease_s", lambda _execution_s: 30.0)
    async with canary_world(tmp_path, monkeypatch) as (world, parts):
        _, view = await submitted(world, canary_job(1, shards=1))
        assert (view.state, checked(view), parts.own) == ("succeeded", ["canary_failed"], [])


async def test_job_that_is_cancelled_waits_for_no_canary(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slow: SlowRuns
) -> None:
    slow.seconds = 1e6
    async with canary_world(tmp_path, monkeypatch) as (world, _):
        job = await world.nodes["alice"].submit(canary_job(1, shards=1), base_dir=world.folder)
        await until(job, lambda view: view.shards and view.shards[0].state == "checking")
        await job.cancel()
        assert (await ended(job, timeout_s=60)).state == "cancelled"
        with trio.fail_after(60):
            await world.task(job).job.tools.verify_turn.acquire()


async def test_job_that_is_cancelled_while_this_node_decides_is_over(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slow: SlowRuns
) -> None:  # VER-31
    slow.seconds = 1e6
    async with canary_world(tmp_path, monkeypatch, wrong=("bob",)) as (world, _):
        job = await world.nodes["alice"].submit(compared_job(1, REDUNDANT), base_dir=world.folder)
        with trio.fail_after(600):
            await slow.begun.wait()
        await job.cancel()
        assert (await ended(job, timeout_s=60)).state == "cancelled"
        with trio.fail_after(60):
            await world.task(job).job.tools.verify_turn.acquire()


# --- restarts ---------------------------------------------------------------------------------------------------------
async def test_same_shards_are_canaries_after_a_restart_and_their_results_are_not_taken_without(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slow: SlowRuns
) -> None:  # VER-22
    first_lies(monkeypatch)
    async with canary_world(tmp_path, monkeypatch) as (world, parts):
        job = await world.nodes["alice"].submit(canary_job(1, shards=1), base_dir=world.folder)
        before = world.task(job).job.canary_shards()
        await until(job, lambda view: view.shards and view.shards[0].state == "checking")
        assert slow.begun.is_set()
        assert parts.own == []
        await world.crash("alice")
        slow.seconds = 1.0
        await trio.sleep(5)
        await world.start("alice")
        again = world.nodes["alice"].jobs.find(job.job_id)
        view = await ended(again)
        assert world.task(again).job.canary_shards() == before
        assert (view.state, checked(view)) == ("succeeded", ["canary"])
        assert [code for _, code in ends(view)] == ["result_wrong", "succeeded"]
        await assert_right(world, again, 1)


async def test_result_that_was_shown_before_a_restart_is_compared_after_it(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # VER-22
    first_lies(monkeypatch)
    written, may_write, write = trio.Event(), trio.Event(), VerdictFiles.keep

    async def keep(files: VerdictFiles, *given: Any) -> None:
        written.set()
        await may_write.wait()
        await write(files, *given)

    monkeypatch.setattr(VerdictFiles, "keep", keep)
    async with canary_world(tmp_path, monkeypatch) as (world, parts):
        job = await world.nodes["alice"].submit(canary_job(1, shards=1), base_dir=world.folder)
        with trio.fail_after(300):
            await written.wait()  # so it was shown, and judged, and nobody has heard of it
        await world.crash("alice")
        may_write.set()
        await trio.sleep(5)
        await world.start("alice")
        again = world.nodes["alice"].jobs.find(job.job_id)
        view = await ended(again)
        assert [code for _, code in ends(view)] == ["result_wrong", "succeeded"]
        assert checked(view) == ["canary"]
        assert parts.own == ["0", "0"], "what was computed before is computed again"


async def test_what_this_node_is_to_decide_it_decides_after_a_restart(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slow: SlowRuns
) -> None:  # VER-31
    async with canary_world(tmp_path, monkeypatch, wrong=("bob",)) as (world, parts):
        job = await world.nodes["alice"].submit(compared_job(1, REDUNDANT), base_dir=world.folder)
        with trio.fail_after(600):
            await slow.begun.wait()
        assert parts.own == []
        await world.crash("alice")
        slow.seconds = 1.0
        await trio.sleep(5)
        await world.start("alice")
        again = world.nodes["alice"].jobs.find(job.job_id)
        view = await ended(again)
        assert (view.state, checked(view), parts.own) == ("succeeded", ["canary"], ["0"])
        assert found_wrong(view) == {world.nodes["bob"].peer_id}
        await assert_right(world, again, 1)
