"""Holders that send other blocks than they were asked for, and requesters that go away for good."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from skyops_p2p.node.runtime import Node
from skyops_p2p.simulation.sandbox import SimBox
from skyops_p2p.wire.cid import Cid
from tests.unit.node.jobs.job_world import STEPS, JobWorld, ended, job_world, log_of, spec, until


class FalseStore:
    """A block store that hands out something else than what is asked for, to whoever asks over the network.

    Args:
        store: The honest one.
        foreign: What is handed out instead; the blocks with one byte changed if it is not given.
    """

    def __init__(self, store: Any, foreign: bytes | None = None) -> None:
        self._store = store
        self._foreign = foreign
        self.is_false = True
        self.lies = 0

    async def get(self, cids: Sequence[Cid], **options: Any) -> list[bytes | None]:
        found: list[bytes | None] = await self._store.get(cids, **options)
        if not self.is_false:
            return found
        self.lies += len(found)
        return [
            None if block is None else self._foreign or block[:-1] + bytes([block[-1] ^ 1]) for block in found
        ]


def serve_falsely(node: Node, foreign: bytes | None = None) -> FalseStore:
    """Have a node send other blocks than it holds, from now on."""
    assert node._workshop is not None
    service = node._workshop.shelf._service
    service._store = store = FalseStore(service._store, foreign)  # type: ignore[assignment]
    return store


async def a_block_of_another_job(world: JobWorld) -> bytes:
    """Run a job to its end; return one of its sealed blocks."""
    alice = world.nodes["alice"]
    other = await alice.submit(spec(name="other"), base_dir=world.folder)
    assert (await ended(other)).state == "succeeded"
    blocks = world.small.blocks["alice"]
    owner = next(name for name in blocks.pins if name.startswith(f"job/{other.job_id}/0/outputs"))
    return max((blocks.blocks[cid] for cid in blocks.pins[owner]), key=len)


@pytest.mark.parametrize("kind", ["corrupt", "of another job"])
async def test_outputs_whose_blocks_come_wrong_are_computed_elsewhere(
    autojump_clock: MockClock, tmp_path: Path, kind: str
) -> None:  # CON-5, CON-11
    async with job_world(tmp_path) as world:
        foreign = await a_block_of_another_job(world) if kind == "of another job" else None
        alice = world.nodes["alice"]
        job = await alice.submit(spec(checkpoint=None, command=["shout"]), base_dir=tmp_path)
        await until(job, lambda view: view.shards and view.shards[0].phase == "running")
        false = serve_falsely(world.nodes[world.worker_of(job)], foreign)
        view = await ended(job)
        assert view.state == "succeeded", view
        first, second = view.shards[0].attempts
        assert (first.code, second.code) == ("result_unavailable", "succeeded")
        assert "no holder has all of it" in first.text, first
        assert first.worker != second.worker
        assert false.lies
        await job.result(tmp_path / "out")
        assert (tmp_path / "out/results/model.txt").read_text() == "LOSS GOES DOWN"
        assert set(world.nodes) == {"alice", "bob", "carol"}


async def test_outputs_that_cannot_be_had_for_a_while_are_not_computed_again(
    autojump_clock: MockClock, tmp_path: Path
) -> None:  # EXE-40
    async with job_world(tmp_path) as world:
        job = await world.nodes["alice"].submit(spec(checkpoint=None, command=["shout"]), base_dir=tmp_path)
        await until(job, lambda view: view.shards and view.shards[0].phase == "running")
        away = serve_falsely(world.nodes[world.worker_of(job)])
        view = await until(job, lambda view: "cannot be fetched yet" in view.text)
        assert view.shards[0].state == "fetching"
        assert away.lies
        await trio.sleep(15)
        away.is_false = False
        view = await ended(job)
        assert view.state == "succeeded", view
        assert [attempt.code for attempt in view.shards[0].attempts] == ["succeeded"]


@pytest.mark.parametrize("liars", [["mallory"], ["mallory", "other"]], ids=["one keeper", "all keepers"])
async def test_keepers_that_send_wrong_blocks_cost_time_and_nothing_else(
    autojump_clock: MockClock, tmp_path: Path, liars: list[str]
) -> None:  # CON-11
    async with job_world(tmp_path) as world:
        await world.start("mallory", enabled=False)
        await world.all_know_each_other()
        job = await world.nodes["alice"].submit(spec(env={"STEP_S": "10"}), base_dir=tmp_path)
        await until(job, lambda view: view.shards and view.shards[0].done >= 2)
        worker = world.worker_of(job)
        other = "carol" if worker == "bob" else "bob"
        false = [serve_falsely(world.nodes[other if name == "other" else name]) for name in liars]
        await world.crash("alice")
        await trio.sleep(50)
        await world.crash(worker)
        await trio.sleep(5)
        alice = await world.start("alice")
        job = alice.jobs.find(job.job_id)
        await until(job, lambda view: view.shards and view.shards[0].epoch == 2 and view.state == "running")
        for store in false:  # the other worker runs it now, and its outputs are wanted
            store.is_false = False
        view = await ended(job)
        assert view.state == "succeeded", view
        lines = await log_of(job)
        resumed = int(next(line for line in lines if line.endswith("resume=1")).split()[2].rstrip(","))
        honest = [name for name in ("mallory", "other") if name not in liars]
        assert (resumed >= 5) == bool(honest), lines  # else from the last that alice had herself
        assert resumed >= 1
        assert [f"step {step}" for step in range(resumed + 1, STEPS + 1) if f"step {step}" not in lines] == []
        assert all(one.lies for one in false)


async def test_a_requester_that_goes_away_for_good_leaves_its_worker_free_for_others(
    autojump_clock: MockClock, tmp_path: Path
) -> None:  # EXE-8
    async with job_world(tmp_path) as world:
        mallory = await world.start("mallory", enabled=False)
        await world.all_know_each_other()
        job = await world.nodes["alice"].submit(spec(env={"STEP_S": "1000"}), base_dir=tmp_path)
        await until(job, lambda view: view.shards and view.shards[0].phase == "running")
        name = world.worker_of(job)
        await world.crash("alice")
        await trio.sleep(150)  # more than the lease's time
        worker = world.nodes[name]
        assert worker._workshop is not None
        assert worker._workshop.execution is not None
        assert worker._workshop.execution.runs == ()
        assert list((tmp_path / name / "work").iterdir()) == []
        assert worker.node("self").slots_free == worker.node("self").slots
        theirs = await mallory.submit(spec(), base_dir=tmp_path)
        assert (await ended(theirs)).state == "succeeded"


async def test_a_result_that_is_never_taken_holds_no_machine(
    autojump_clock: MockClock, tmp_path: Path
) -> None:  # EXE-15
    made: list[str] = []

    async with job_world(tmp_path) as world:
        mallory = await world.start("mallory", enabled=False)
        await world.all_know_each_other()

        async def short(box: SimBox) -> int:
            await box.work(20.0)
            box.write("/results/model.txt", b"made")
            made.append("made")
            return 0

        world.small.programs["train"] = short
        job = await world.nodes["alice"].submit(spec(), base_dir=tmp_path)
        await until(job, lambda view: view.shards and view.shards[0].phase == "running")
        name = world.worker_of(job)
        await world.crash("alice")  # before it has the result, and so before it could pay for it
        await trio.sleep(60)
        assert made == ["made"]
        worker = world.nodes[name]
        assert worker._workshop is not None
        assert worker._workshop.execution is not None
        assert [run.phase for run in worker._workshop.execution.runs] == ["delivering"]
        assert worker.node("self").slots_free == worker.node("self").slots
        assert list((tmp_path / name / "work").iterdir()) == []
        theirs = await mallory.submit(spec(), base_dir=tmp_path)
        assert (await ended(theirs)).state == "succeeded"
