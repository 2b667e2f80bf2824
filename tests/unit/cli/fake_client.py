"""A node in front of the command line whose jobs go the way that a test says."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from skyops_p2p.errors import ExecutionError
from skyops_p2p.node.control_client import ControlClient
from skyops_p2p.node.control_jobs import JobsClient
from skyops_p2p.node.job_rows import JobRowView
from skyops_p2p.node.jobs.job_views import JobView, LogLineView, PublishedView, ResultView
from skyops_p2p.node.jobs.verify_views import VerifyView
from skyops_p2p.node.run_file import RunFile
from tests.gateway import fake_jobs as fj
from tests.gateway.row_of_view import job_row

ENTRY = RunFile(url="http://127.0.0.1:1", token="x", pid=1, process_start="0")


@dataclass
class ScriptedJobs(JobsClient):
    """Jobs that go through the views of a script; the last one stays."""

    scripts: dict[str, list[JobView]] = field(default_factory=dict)
    """Name -> views."""
    lines: list[LogLineView] = field(default_factory=list)
    calls: list[object] = field(default_factory=list)
    moved: tuple[tuple[int, int], ...] = ((0, 4), (4, 4))
    other_files: tuple[str, ...] = ()
    """What comes out differently when a job is verified."""
    refusal: Exception | None = None
    """Raised by the next submission after the first."""

    def _views(self, job: str) -> list[JobView]:
        for name, views in self.scripts.items():
            if job == name or views[0].job_id.startswith(job):
                return views
        raise ExecutionError(
            f"there is no job {job!r}", code="unknown_job", hint="`skyops ps` lists all jobs."
        )

    def submit(self, tree: Mapping[str, object], *, base_dir: Path, secrets: Mapping[str, bytes]) -> JobView:
        if self.refusal is not None and self.calls:
            raise self.refusal
        self.calls.append((dict(tree), base_dir, dict(secrets)))
        name = str(tree["name"])
        number = len(self.calls)
        self.scripts.setdefault(
            name, [fj.job("preparing", name=name, job_id=f"{number:02x}{fj.TRAIN_ID[2:]}", text="waiting")]
        )
        return self.scripts[name][0]

    def list(self, *, is_open: bool = False) -> tuple[JobRowView, ...]:
        last = [views[-1] for views in self.scripts.values()]
        return tuple(job_row(view) for view in last if not (is_open and view.is_over))

    def show(self, job: str) -> JobView:
        return self._views(job)[-1]

    def watch(self, job: str) -> Iterator[JobView]:
        yield from self._views(job)

    def logs(
        self, job: str, *, follow: bool = False, shard: int | None = None, is_raw: bool = False
    ) -> Iterator[LogLineView]:
        self.calls.append(("logs", job, follow, shard, is_raw))
        yield from self.lines

    def cancel(self, job: str) -> JobView:
        self.calls.append(("cancel", job))
        return self.show(job).model_copy(update={"state": "cancelled"})

    def retry(self, job: str) -> JobView:
        self.calls.append(("retry", job))
        return self.show(job)

    def verify(
        self,
        job: str,
        *,
        shard: int | None = None,
        is_stretch: bool = False,
        told: Callable[[int, int], None] = lambda _done, _total: None,
    ) -> VerifyView:
        self.calls.append(("verify", job, shard, "stretch") if is_stretch else ("verify", job, shard))
        told(0, 1)
        return fj.verified(self.show(job), *self.other_files, shard=shard or 0)

    def result(
        self, job: str, into: Path, *, told: Callable[[int, int], None] = lambda _done, _total: None
    ) -> ResultView:
        self.calls.append(("result", job, into))
        if self.show(job).state != "succeeded":
            raise ExecutionError(
                "job 6b6577c4ec70 has no outputs (failed)", code="no_result", hint="Read its log."
            )
        for done, total in self.moved:
            told(done, total)
        return ResultView(job_id=self.show(job).job_id, folder=str(into), files=3, size_bytes=3 << 20)

    def publish(
        self, job: str, *, told: Callable[[int, int], None] = lambda _done, _total: None
    ) -> PublishedView:
        self.calls.append(("publish", job))
        for done, total in self.moved:
            told(done, total)
        return fj.published()


def stand_in_front(monkeypatch: pytest.MonkeyPatch) -> ScriptedJobs:
    """Have every command of the test talk to a scripted node; return its jobs."""
    scripted = ScriptedJobs()

    class Client(ControlClient):
        @property
        def jobs(self) -> JobsClient:
            return scripted

    monkeypatch.setattr(ControlClient, "of", classmethod(lambda cls, data_dir: Client(data_dir, ENTRY)))
    return scripted
