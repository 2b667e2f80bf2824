"""Workers that lie about what they did. The job ends well at another one, and a sentence says what happened.

Whole nodes over a simulated network in virtual time; alice submits, bob and carol work, one of them lies.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
from trio.testing import MockClock

from skyops_p2p.core.execution.outcomes import outcome_of
from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.crypto.chunks import Purpose
from skyops_p2p.node.jobs.job import Job
from skyops_p2p.node.jobs.job_views import AttemptView
from skyops_p2p.wire.messages.content import BundleRef
from skyops_p2p.wire.messages.execution import LogBatch
from tests.unit.node.jobs.job_world import JobWorld, ended, job_world, log_of, spec, until
from tests.unit.node.jobs.liars import (
    Liar,
    forge_results,
    keep_results_back,
    lie_in_beats,
    lie_in_checkpoints,
    lie_in_logs,
    lie_in_outputs,
    lie_in_results,
    seal_with_another_key,
)


def short_job(**changes: object) -> JobSpec:
    return spec(**{"command": ["shout"], "checkpoint": None, "timeouts": {"execution": 600}, **changes})


async def expect_it_ends_elsewhere(
    world: JobWorld, liar: Liar, code: str, *, job_spec: JobSpec | None = None
) -> tuple[Job, AttemptView]:
    """Run a job whose first worker lies; return it, and how its first attempt is told."""
    alice = world.nodes["alice"]
    job = await alice.submit(job_spec or short_job(), base_dir=world.folder)
    view = await ended(job)
    assert view.state == "succeeded", view
    (shard,) = view.shards
    assert [attempt.code for attempt in shard.attempts] == [code, "succeeded"], shard.attempts
    assert liar.lies >= 1
    assert shard.attempts[0].worker == liar.peer
    assert shard.attempts[1].worker != liar.peer
    assert outcome_of(code).meaning
    await job.result(world.folder / "out")
    assert (world.folder / "out/results/model.txt").read_text() == "LOSS GOES DOWN"
    assert set(world.nodes) == {"alice", "bob", "carol"}
    return job, shard.attempts[0]


# --- the receipt of the result ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "changes",
    [
        {"award": bytes(32)},
        {"spec_digest": bytes(32)},
        {"epoch": 7},
        {"exit_code": 1},
        {"started_unix_ms": 2**53 - 1},
    ],
    ids="-".join,
)  # EXE-13, EXE-34
async def test_a_receipt_that_does_not_fit_its_lease_ends_the_lease(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, object]
) -> None:
    async with job_world(tmp_path) as world:
        liar = lie_in_results(monkeypatch, **changes)
        _, told = await expect_it_ends_elsewhere(world, liar, "worker_lied")
        assert told.text.startswith("receipt: "), told


@pytest.mark.parametrize(
    "forge",
    [lambda _: b"\xff" * 40, lambda data: data[:-1] + bytes([data[-1] ^ 1])],
    ids=["noise", "altered"],
)  # EXE-34
async def test_a_receipt_that_does_not_open_ends_the_lease(
    autojump_clock: MockClock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    forge: Callable[[bytes], bytes],
) -> None:
    async with job_world(tmp_path) as world:
        liar = forge_results(monkeypatch, forge)
        _, told = await expect_it_ends_elsewhere(world, liar, "worker_lied")
        assert told.text, told


async def test_a_worker_that_speaks_of_a_cancelled_job_has_lied(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # EXE-20
    async with job_world(tmp_path) as world:
        liar = lie_in_results(
            monkeypatch, code="cancelled", exit_kind="stopped", exit_code=None, outputs=None
        )
        await expect_it_ends_elsewhere(world, liar, "worker_lied")


# --- the outputs -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "change",
    [
        lambda ref: ref.model_copy(update={"files": ref.files + 1}),
        lambda ref: ref.model_copy(update={"size_bytes": ref.size_bytes - 1}),
        lambda ref: ref.model_copy(update={"blocks": ref.blocks - 1}),
        lambda ref: ref.model_copy(update={"size_bytes": 2**53 - 1, "blocks": 2**53 - 1}),
    ],
    ids=["files", "size", "blocks", "endless"],
)  # CON-9, CON-12, EXE-35
async def test_outputs_that_are_not_what_the_receipt_says_are_no_result(
    autojump_clock: MockClock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[BundleRef], BundleRef],
) -> None:
    async with job_world(tmp_path) as world:
        liar = lie_in_outputs(monkeypatch, change)
        _, told = await expect_it_ends_elsewhere(world, liar, "worker_lied")
        assert told.text, told


@pytest.mark.parametrize(
    "purpose", [Purpose.FILE, Purpose.MANIFEST], ids=["a-file-of-it", "its-list"]
)  # CON-4, EXE-35
async def test_outputs_with_chunks_of_another_job_are_no_result(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, purpose: Purpose
) -> None:
    async with job_world(tmp_path) as world:
        liar = seal_with_another_key(monkeypatch, purpose)
        _, told = await expect_it_ends_elsewhere(world, liar, "worker_lied")
        assert told.text, told


async def test_outputs_of_an_earlier_job_are_no_result(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[BundleRef] = []

    def remember(ref: BundleRef) -> BundleRef:
        seen.append(ref)
        return seen[0]

    async with job_world(tmp_path) as world:
        first = await world.nodes["alice"].submit(short_job(name="first"), base_dir=tmp_path)
        with monkeypatch.context() as patch:
            once = lie_in_outputs(patch, remember)
            assert (await ended(first)).state == "succeeded"
        liar = lie_in_outputs(monkeypatch, lambda _: seen[0])
        await expect_it_ends_elsewhere(world, liar, "worker_lied")
        assert once.lies == 1
        await first.result(tmp_path / "first")
        assert (tmp_path / "first/results/model.txt").read_text() == "LOSS GOES DOWN"


# --- the checkpoints -------------------------------------------------------------------------------------------------
async def test_a_checkpoint_that_follows_none_is_no_checkpoint_and_ends_the_lease(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # EXE-12, EXE-34
    async with job_world(tmp_path) as world:
        liar = lie_in_checkpoints(
            monkeypatch, lambda receipt: receipt.model_copy(update={"previous": b"\x01" * 32})
        )
        job, told = await expect_it_ends_elsewhere(world, liar, "worker_lied", job_spec=spec())
        assert told.text == "receipt: it follows another one"
        assert [one for one in job.checkpoints() if one.worker == liar.peer] == []


# --- the log ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "change",
    [
        lambda batch: batch.model_copy(update={"head": b"\x01" * 32}),
        lambda batch: batch.model_copy(update={"first": batch.first + 3}),
    ],
    ids=["another-chain", "a-gap"],
)  # EXE-11, EXE-34
async def test_a_log_whose_chain_does_not_hold_ends_the_lease_after_three_sessions(
    autojump_clock: MockClock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[LogBatch], LogBatch],
) -> None:
    async with job_world(tmp_path) as world:
        liar = lie_in_logs(monkeypatch, change)
        job, told = await expect_it_ends_elsewhere(world, liar, "worker_lied")
        assert "log_broken" in told.text
        assert job.view().shards[0].is_log_proven
        assert (await log_of(job))[-1] == "ends"


async def test_a_receipt_for_another_log_is_told_beside_the_result(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # EXE-14
    async with job_world(tmp_path) as world:
        lie_in_results(monkeypatch, log_head=b"\x01" * 32)
        job = await world.nodes["alice"].submit(short_job(), base_dir=tmp_path)
        view = await ended(job)
        assert view.state == "succeeded"
        assert view.shards[0].is_log_proven is False


async def test_a_log_without_end_ends_the_lease(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # EXE-11
    monkeypatch.setattr("skyops_p2p.limits.LOG_TAKEN_BYTES_MAX", 4096)

    def longer(batch: LogBatch) -> LogBatch:
        return batch.model_copy(
            update={"records": tuple(one.model_copy(update={"data": b"x" * 9000}) for one in batch.records)}
        )

    async with job_world(tmp_path) as world:
        liar = lie_in_logs(monkeypatch, longer)
        await expect_it_ends_elsewhere(world, liar, "worker_lied")


# --- the progress ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "changes",
    [
        {"done": 2**53 - 1, "total": 1},
        {"done": 0, "total": 2**53 - 1},
        {"phase_done": 2**53 - 1, "phase_total": 1},
        {"sequence": 2**53 - 1},
        {"phase": "delivering"},
    ],
    ids="-".join,
)
async def test_made_up_progress_decides_nothing(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, object]
) -> None:
    async with job_world(tmp_path) as world:
        lie_in_beats(monkeypatch, lambda beat: beat.model_copy(update=changes))
        job = await world.nodes["alice"].submit(short_job(), base_dir=tmp_path)
        await until(job, lambda view: view.shards and view.shards[0].phase)
        view = await ended(job)
        assert view.state == "succeeded", view
        await job.result(tmp_path / "out")


async def test_progress_past_the_end_is_not_taken(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # EXE-26
    async with job_world(tmp_path) as world:
        lie_in_beats(monkeypatch, lambda beat: beat.model_copy(update={"done": 2**53 - 1, "total": 1}))
        job = await world.nodes["alice"].submit(short_job(), base_dir=tmp_path)
        view = await until(job, lambda view: view.shards and view.shards[0].phase == "running")
        assert (view.shards[0].done, view.shards[0].total, view.shards[0].remaining_s) == (0, 0, None)
        await ended(job)


async def test_a_worker_that_says_for_ever_that_it_runs_is_given_up(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # EXE-36
    async with job_world(tmp_path) as world:
        for name in ("RUN_FETCH_TIMEOUT_S", "SANDBOX_PREPARE_TIMEOUT_S", "RUN_COLLECT_TIMEOUT_S"):
            monkeypatch.setattr(f"skyops_p2p.limits.{name}", 30.0)
        liar = keep_results_back(monkeypatch)
        await expect_it_ends_elsewhere(
            world, liar, "worker_overdue", job_spec=short_job(timeouts={"execution": 60})
        )
