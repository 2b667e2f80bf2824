"""A job is run again by its requester, and every file compared; whole nodes over a simulated network."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from skyops_p2p import limits
from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.errors import ExecutionError
from skyops_p2p.node.job_ports import JobPorts
from skyops_p2p.node.jobs.job import Job
from skyops_p2p.ports import Sandbox
from skyops_p2p.simulation.sandbox import SimBox, SimSandbox
from skyops_p2p.wire.cid import decode_cid
from tests.unit.node.jobs.job_world import JobWorld, ended, job_world, spec
from tests.unit.node.small_world import SmallWorld


def with_own_wasm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every node the runtime wasm, also for runs of its own."""
    honest = SmallWorld.job_ports

    def job_ports(small: SmallWorld, name: str, place: Path) -> JobPorts:
        @asynccontextmanager
        async def open_wasm() -> AsyncIterator[Mapping[str, Sandbox]]:
            await trio.lowlevel.checkpoint()
            yield {"wasm": SimSandbox(small.programs, runtime="wasm")}

        ports = honest(small, name, place)
        return replace(ports, open_sandboxes=open_wasm, open_own_runtime=lambda _name: open_wasm())

    monkeypatch.setattr(SmallWorld, "job_ports", job_ports)


@asynccontextmanager
async def wasm_world(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[JobWorld]:
    """Start nodes that all have the runtime wasm."""
    with_own_wasm(monkeypatch)
    (folder / "module.wasm").write_bytes(b"\0asm")
    async with job_world(folder) as world:
        yield world


def exact(**changes: object) -> JobSpec:
    return spec(
        **{
            "runtime": "wasm",
            "module": "file:module.wasm",
            "command": ["shout"],
            "checkpoint": None,
            "timeouts": {"execution": 600},
            **changes,
        }
    )


def changing(*versions: Callable[[SimBox], int]) -> Callable[[SimBox], object]:
    """Return a program that does something else each time it is run."""
    runs = iter(versions)

    async def run(box: SimBox) -> int:
        await box.work(1.0)
        return next(runs)(box)

    return run


def writes(**files: bytes) -> Callable[[SimBox], int]:
    def write(box: SimBox) -> int:
        for name, data in files.items():
            box.write(f"/results/{name}", data)
        return 0

    return write


async def done(world: JobWorld, job_spec: JobSpec) -> Job:
    job = await world.nodes["alice"].submit(job_spec, base_dir=world.folder)
    view = await ended(job)
    assert view.state == "succeeded", view
    return job


async def test_what_an_honest_worker_made_is_the_same_here(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with wasm_world(tmp_path, monkeypatch) as world:
        job = await done(world, exact(shards=3))
        told: list[tuple[int, int]] = []
        found = await job.verify(progress=lambda done, total: told.append((done, total)))
        assert found.is_same
        assert [(check.shard, check.code, check.files) for check in found.shards] == [
            (shard, "same", 1) for shard in range(3)
        ]
        assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]
        shards = job.view().shards
        assert [check.worker for check in found.shards] == [shard.worker for shard in shards]
        assert [check.shard for check in (await job.verify(shard=1)).shards] == [1]
        left = [path for path in (world.folder / "alice" / "work").rglob("*") if path.is_file()]
        assert left == []
        result = await job.result(tmp_path / "out")
        assert result.files == 3  # what the runs here sealed is let go, and the result is still there


async def test_each_file_that_is_not_alike_is_named(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with wasm_world(tmp_path, monkeypatch) as world:
        world.small.programs["draw"] = changing(
            writes(same=b"1", other=b"12", gone=b"123"), writes(same=b"1", other=b"21", new=b"")
        )
        job = await done(world, exact(command=["draw"]))
        (check,) = (found := await job.verify()).shards
        assert (found.is_same, check.code) == (False, "differs")
        assert [(one.path, one.kind, one.came_bytes, one.here_bytes) for one in check.differences] == [
            ("results/gone", "missing", 3, None),
            ("results/new", "added", None, 0),
            ("results/other", "differs", 2, 2),
        ]
        assert check.differences_left_out == 0


async def test_of_many_differences_some_are_named_and_all_are_counted(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"part-{number}" for number in range(limits.VERIFY_DIFFERENCES_MAX + 2)]
    async with wasm_world(tmp_path, monkeypatch) as world:
        world.small.programs["draw"] = changing(
            writes(**dict.fromkeys(names, b"a")), writes(**dict.fromkeys(names, b"b"))
        )
        job = await done(world, exact(command=["draw"]))
        (check,) = (await job.verify()).shards
        assert (len(check.differences), check.differences_left_out) == (limits.VERIFY_DIFFERENCES_MAX, 2)


async def test_a_program_that_fails_here_is_told_apart_from_one_that_makes_other_bytes(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with wasm_world(tmp_path, monkeypatch) as world:
        world.small.programs["draw"] = changing(writes(model=b"1"), lambda _box: 3)
        job = await done(world, exact(command=["draw"]))
        (check,) = (found := await job.verify()).shards
        assert (found.is_same, check.code, check.differences) == (False, "ended_otherwise", ())
        assert "exit code 3" in check.text


async def test_an_output_that_was_not_made_here_is_a_difference(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = {"path": "/results/model", "is_required": True}
    async with wasm_world(tmp_path, monkeypatch) as world:
        world.small.programs["draw"] = changing(writes(model=b"1"), writes(other=b"1"))
        job = await done(world, exact(command=["draw"], outputs=[output]))
        (check,) = (await job.verify()).shards
        assert [(one.path, one.kind) for one in check.differences] == [("results/model", "missing")]


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"runtime": "native", "module": ""}, "runtime is native"),
        ({"verification": {"class": "interactive"}}, "class is interactive"),
    ],
)
async def test_what_is_not_deterministic_is_refused(
    tmp_path: Path,
    autojump_clock: MockClock,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, object],
    word: str,
) -> None:
    async with wasm_world(tmp_path, monkeypatch) as world:
        job = await world.nodes["alice"].submit(exact(**changes), base_dir=world.folder)
        await job.cancel()
        with pytest.raises(ExecutionError, match=word) as refused:
            await job.verify()
        assert refused.value.code == "not_deterministic"


async def test_what_cannot_be_compared_or_run_says_why(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with wasm_world(tmp_path, monkeypatch) as world:
        job = await world.nodes["alice"].submit(exact(), base_dir=world.folder)
        with pytest.raises(ExecutionError) as no_shard:
            await job.verify(shard=1)
        await job.cancel()
        with pytest.raises(ExecutionError) as no_result:
            await job.verify()
        assert (no_shard.value.code, no_result.value.code) == ("no_shard", "no_result")

        job = await done(world, exact())
        codes: list[str] = []

        async def verify() -> None:
            try:
                codes.append("same" if (await job.verify()).is_same else "differs")
            except ExecutionError as error:
                codes.append(error.code)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(verify)
            nursery.start_soon(verify)
        assert sorted(codes) == ["same", "verify_busy"]


async def test_inputs_that_are_not_here_any_more_are_told(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with wasm_world(tmp_path, monkeypatch) as world:
        job = await done(world, exact())
        workshop = world.nodes["alice"]._workshop
        assert workshop is not None
        task = workshop.keeper.find(job.job_id)
        del world.small.blocks["alice"].blocks[decode_cid(task.job.inputs[0].bundle.root)]
        with pytest.raises(ExecutionError) as gone:
            await job.verify()
        assert gone.value.code == "inputs_gone"
        await job.result(tmp_path / "out")
