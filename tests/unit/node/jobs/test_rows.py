"""The rows of a list say what the whole views say, and open no receipt for it."""

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from skyops_p2p.node.jobs import present
from skyops_p2p.node.runtime import Node
from skyops_p2p.simulation.sandbox import SimBox
from tests.gateway.row_of_view import job_row
from tests.unit.node.jobs.job_world import ended, job_world, spec, until


def expect_alike(alice: Node) -> None:
    views = alice.jobs.list()
    assert alice.jobs.rows() == tuple(map(job_row, views))
    assert [row.job_id for row in alice.jobs.rows(is_open=True)] == [
        view.job_id for view in views if not view.is_over
    ]


async def fail(box: SimBox) -> int:
    await box.work(1.0)
    return 3


async def test_rows_are_those_of_the_views_at_every_change(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with job_world(tmp_path) as world:
        alice = world.nodes["alice"]
        world.small.programs["fail"] = fail
        jobs = [
            await alice.submit(spec(), base_dir=tmp_path),
            await alice.submit(
                spec(name="many", command=["shout"], checkpoint=None, shards=3), base_dir=tmp_path
            ),
            await alice.submit(spec(name="bad", command=["fail"], outputs=[]), base_dir=tmp_path),
        ]
        seen = set()
        while not all(job.view().is_over for job in jobs):
            expect_alike(alice)
            seen |= {view.state for view in alice.jobs.list()}
            with trio.move_on_after(0.7):
                await jobs[0].wait_changed()
        expect_alike(alice)
        assert {"preparing", "running"} <= seen
        assert [row.state for row in alice.jobs.rows()] == ["succeeded", "succeeded", "failed"]
        await world.crash("alice")
        expect_alike(await world.start("alice"))


async def test_a_list_of_rows_opens_no_receipt(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with job_world(tmp_path) as world:
        alice = world.nodes["alice"]
        job = await alice.submit(spec(), base_dir=tmp_path)
        await until(job, lambda view: view.shards and view.shards[0].checkpoints)
        await ended(job)

        def refuse(*_: object) -> None:
            raise AssertionError("a receipt is opened")

        monkeypatch.setattr(present, "peek", refuse)
        assert [row.state for row in alice.jobs.rows()] == ["succeeded"]
