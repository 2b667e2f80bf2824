"""Jobs that stand as a test says, for tests of the API and of the command line."""

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.core.verification.check import check_verdict
from skyops_p2p.errors import ExecutionError
from skyops_p2p.node.job_rows import JobRowView
from skyops_p2p.node.jobs.job_views import (
    AttemptView,
    CheckpointView,
    GpuLoadView,
    JobView,
    LogLineView,
    PublishedView,
    ResultView,
    ShardView,
    UsageView,
    meaning_of,
)
from skyops_p2p.node.jobs.verdict_views import VerdictView, verdict_view
from skyops_p2p.node.jobs.verify_views import FileDifferenceView, ShardCheckView, VerifyView
from tests.gateway.row_of_view import job_row

BOB = "12D3KooWBobBobBobBobBobBobBobBobBobBobBobBobBobBobBo"
CAROL = "12D3KooWCarolCarolCarolCarolCarolCarolCarolCarolCaro"
TRAIN_ID = "6b6577c4ec7011aa22bb33cc44dd55ee"
TENDER_ID = "aa77c4ec7011aa22bb33cc44dd55ee66"
SUBMITTED_UNIX_MS = 1_700_000_000_000


def attempt(epoch: int = 1, worker: str = BOB, code: str = "", **more: Any) -> AttemptView:
    fields = {"price_microcredits_per_hour": 1_250_000, "tender_job": TENDER_ID, "text": ""}
    return AttemptView.model_validate({"epoch": epoch, "worker": worker, "code": code, **fields, **more})


def checkpoint(sequence: int = 1, done: int = 120, **more: Any) -> CheckpointView:
    fields = {
        "epoch": 1,
        "worker": BOB,
        "label": f"step-{done}",
        "size_bytes": 3 << 20,
        "done": done,
        "total": 500,
        "made_unix_ms": SUBMITTED_UNIX_MS + 60_000,
    }
    return CheckpointView.model_validate({**fields, "sequence": sequence, **more})


def shard(state: str = "running", index: int = 0, **more: Any) -> ShardView:
    meaning, change = meaning_of(str(more.get("code", "")))
    fields = {
        "text": "",
        "code": "",
        "meaning": meaning,
        "change": change,
        "epoch": 0,
        "worker": "",
        "phase": "",
        "phase_done": 0,
        "phase_total": 0,
        "done": 0,
        "total": 0,
        "metrics": {},
        "remaining_s": None,
        "estimate_basis": "",
        "usage": None,
        "gpus": (),
        "attempts": (),
        "checkpoints": (),
        "log_records": 0,
        "is_log_proven": None,
        "result_bytes": None,
        "exit_code": None,
    }
    return ShardView.model_validate({"index": index, "state": state, **fields, **more})


def job(state: str = "running", *shards: ShardView, **more: Any) -> JobView:
    meaning, change = meaning_of(str(more.get("code", "")))
    fields = {
        "job_id": TRAIN_ID,
        "name": "train",
        "text": "",
        "code": "",
        "meaning": meaning,
        "change": change,
        "submitted_unix_ms": SUBMITTED_UNIX_MS,
        "runtime": "wasm",
    }
    return JobView.model_validate({**fields, "state": state, "shards": shards, **more})


def running(index: int = 0, **more: Any) -> ShardView:
    """A shard that is half-way, with everything that telemetry can tell."""
    fields = {
        "text": "running",
        "epoch": 1,
        "worker": BOB,
        "phase": "running",
        "done": 120,
        "total": 500,
        "metrics": {"loss": 0.31, "accuracy": 0.914},
        "remaining_s": 95.0,
        "estimate_basis": "120 of 500 steps in 30 s",
        "usage": UsageView(wall_ms=30_000, cpu_ms=58_000, memory_bytes=700 << 20, memory_peak_bytes=1 << 30),
        "gpus": (
            GpuLoadView(
                index=0, utilisation_permille=873, memory_mib=21_300, power_mw=287_400, temperature_c=66
            ),
        ),
        "attempts": (attempt(),),
        "checkpoints": (checkpoint(),),
        "log_records": 12,
    }
    return shard("running", index, **{**fields, **more})


def line(text: str = "step 120 loss 0.31", number: int = 0, **more: Any) -> LogLineView:
    fields = {"shard": 0, "epoch": 1, "unix_ms": SUBMITTED_UNIX_MS + 1000, "stream": "stdout"}
    return LogLineView.model_validate({**fields, "number": number, "text": text, **more})


def published(job_id: str = TRAIN_ID) -> PublishedView:
    addrs = (f"/ip4/192.0.2.7/tcp/4001/p2p/{BOB}",)
    return PublishedView(job_id=job_id, cid="bafycid", files=1, size_bytes=4, addrs=addrs)


def verified(view: JobView, *paths: str, shard: int = 0) -> VerifyView:
    """Return how a job came out when it was run again: with other bytes in these files."""
    check = ShardCheckView(
        shard=shard,
        worker=BOB,
        code="differs" if paths else "same",
        text=f"{len(paths)} files differ" if paths else "the same bytes",
        files=2,
        size_bytes=4096,
        took_s=1.25,
        fuel=12,
        differences=tuple(
            FileDifferenceView(path=path, kind="differs", came_bytes=2, here_bytes=3) for path in paths
        ),
    )
    return VerifyView(job_id=view.job_id, name=view.name, is_same=not paths, shards=(check,))


@dataclass
class FakeJob:
    """A job that stands as it is told to."""

    shown: JobView
    lines: list[LogLineView] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    moved: Sequence[tuple[int, int]] = ((1, 4), (4, 4))
    """(done, total) of the transfer of its result."""
    open_logs: int = 0
    _changed: trio.Event = field(default_factory=trio.Event)

    def become(self, view: JobView) -> None:
        self.shown = view
        self._mark()

    def say(self, text: str) -> None:
        """Print, as a program does: with the ends of lines."""
        self.lines.append(line(text, len(self.lines)))
        self._mark()

    def _mark(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    def view(self) -> JobView:
        return self.shown

    async def wait_changed(self) -> JobView:
        await self._changed.wait()
        return self.shown

    async def logs(self, *, follow: bool = True, shard: int | None = None) -> AsyncGenerator[LogLineView]:
        if shard is not None and shard >= len(self.shown.shards):
            raise ExecutionError("job 6b6577c4ec70 has shards 0 to 0", code="no_shard", hint="Name one.")
        self.open_logs += 1
        try:
            for number in range(1 << 30):
                while number >= len(self.lines):
                    if not follow or self.shown.is_over:
                        return
                    await self._changed.wait()
                if shard in (None, self.lines[number].shard):
                    yield self.lines[number]
        finally:
            self.open_logs -= 1

    async def result(
        self, into: Path, *, progress: Callable[[int, int], None] = lambda _done, _total: None
    ) -> ResultView:
        while not self.shown.is_over:
            await self._changed.wait()
        if self.shown.state != "succeeded":
            raise ExecutionError("job 6b6577c4ec70 has no outputs", code="no_result", hint="Read its log.")
        for done, total in self.moved:
            progress(done, total)
        await trio.Path(into).mkdir(parents=True, exist_ok=True)
        await trio.Path(into / "model.bin").write_bytes(b"done")
        return ResultView(job_id=self.shown.job_id, folder=str(into), files=1, size_bytes=4)

    async def verify(
        self,
        *,
        shard: int | None = None,
        is_stretch: bool = False,
        progress: Callable[[int, int], None] = lambda _done, _total: None,
    ) -> VerifyView:
        self.calls.append(f"verify {shard}{' stretch' if is_stretch else ''}")
        if self.shown.runtime != "wasm":
            raise ExecutionError("job 6b6577c4ec70 cannot be verified", code="not_deterministic")
        progress(0, 1)
        progress(1, 1)
        return verified(self.shown, shard=shard or 0)

    async def verdict(self, *, shard: int = 0) -> VerdictView:
        self.calls.append(f"verdict {shard}")
        if self.shown.state != "succeeded":
            raise ExecutionError("there is no verdict about shard 0", code="no_verdict")
        data = b"no verdict at all"
        return verdict_view(check_verdict(data), data)

    async def publish(
        self, *, progress: Callable[[int, int], None] = lambda _done, _total: None
    ) -> PublishedView:
        if self.shown.state != "succeeded":
            raise ExecutionError("job 6b6577c4ec70 has no outputs", code="no_result", hint="Read its log.")
        for done, total in self.moved:
            progress(done, total)
        return published(job_id=self.shown.job_id)

    def checkpoints(self) -> tuple[CheckpointView, ...]:
        return tuple(one for item in self.shown.shards for one in item.checkpoints)

    async def cancel(self) -> None:
        self.calls.append("cancel")
        self.become(self.shown.model_copy(update={"state": "cancelled", "code": "cancelled"}))

    def retry(self) -> None:
        if not self.shown.is_over:
            raise ExecutionError("job 6b6577c4ec70 has not ended (running)", code="job_open")
        self.calls.append("retry")
        self.become(self.shown.model_copy(update={"state": "matching", "code": ""}))


@dataclass
class FakeJobs:
    """The jobs of a fake node."""

    found: list[FakeJob] = field(default_factory=list)
    submitted: list[tuple[JobSpec, Path | None, Sequence[tuple[str, bytes]] | None]] = field(
        default_factory=list
    )

    async def submit(
        self,
        spec: JobSpec,
        *,
        base_dir: Path | None = None,
        secrets: Sequence[tuple[str, bytes]] | None = None,
    ) -> FakeJob:
        if spec.name == "crowded":
            raise ExecutionError("1024 jobs are open", code="too_many_jobs", hint="Wait for some to end.")
        for other in spec.depends_on:
            self.find(other)
        self.submitted.append((spec, base_dir, secrets))
        number = len(self.found)
        job_id = f"{number + 1:02x}" + TRAIN_ID[2:]
        self.found.append(FakeJob(job("preparing", job_id=job_id, name=spec.name, text="waiting")))
        return self.found[-1]

    def find(self, text: str) -> FakeJob:
        by_id = [one for one in self.found if one.shown.job_id.startswith(text)]
        named = [one for one in self.found if one.shown.name == text]
        if len(by_id) == 1 and len(text) >= 4:
            return by_id[0]
        if named:
            return named[-1]
        raise ExecutionError(f"there is no job {text!r}", code="unknown_job", hint="`skyops ps` lists all.")

    def rows(self, *, is_open: bool = False) -> tuple[JobRowView, ...]:
        return tuple(job_row(one.shown) for one in self.found if not (is_open and one.shown.is_over))
