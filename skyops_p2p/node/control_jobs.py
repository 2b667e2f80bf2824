"""The part of the control API's client that is about jobs."""

import base64
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote, urlencode

from skyops_p2p.errors import ExecutionError
from skyops_p2p.node.control_link import ControlLink
from skyops_p2p.node.job_rows import JobRowView
from skyops_p2p.node.jobs.job_views import CheckpointView, JobView, LogLineView, PublishedView, ResultView
from skyops_p2p.node.jobs.verdict_views import VerdictView
from skyops_p2p.node.jobs.verify_views import VerifyView


class JobsClient:
    """The jobs of one node. A job is named by its id, a unique beginning of it, or its name.

    Args:
        link: To the node.

    Raises:
        SkyopsError: Of every method: what the node answered, or that it did not answer.
    """

    def __init__(self, link: ControlLink) -> None:
        self._link = link

    @property
    def link(self) -> ControlLink:
        """To the node."""
        return self._link

    def submit(self, tree: Mapping[str, object], *, base_dir: Path, secrets: Mapping[str, bytes]) -> JobView:
        """Have it run a job.

        Args:
            tree: The job as `JobSpec.model_dump(mode="json", by_alias=True)` gives it.
            base_dir: Absolute; where relative `file:` URIs begin.
            secrets: Values of its secrets.
        """
        values = {name: base64.b64encode(value).decode() for name, value in secrets.items()}
        body = {"spec": dict(tree), "base_dir": str(base_dir), "secrets": values}
        return JobView.model_validate(self._link.call("POST", "/v1/jobs", body))

    def list(self, *, is_open: bool = False) -> tuple[JobRowView, ...]:
        """Return all jobs, or those that have not ended, oldest first."""
        rows = self._link.call("GET", "/v1/jobs" + ("?is_open=true" if is_open else ""))["jobs"]
        return tuple(JobRowView.model_validate(row) for row in rows)

    def show(self, job: str) -> JobView:
        """Return how a job stands."""
        return JobView.model_validate(self._link.call("GET", _path(job)))

    def watch(self, job: str) -> Iterator[JobView]:
        """Yield how a job stands, at each change, until it has ended."""
        for _, content in self._link.objects("GET", _path(job, "/watch")):
            view = JobView.model_validate(content)
            yield view
            if view.is_over:
                return
        raise self._link.broken_off("watching the job")

    def logs(
        self, job: str, *, follow: bool = False, shard: int | None = None, is_raw: bool = False
    ) -> Iterator[LogLineView]:
        """Yield a job's log, line by line.

        Args:
            job: Whose.
            follow: Also what comes, until it ends.
            shard: Only of this one.
            is_raw: Yield records as the worker made them, with the ends of lines in their text.
        """
        flags = {"follow": str(follow).lower(), "is_raw": str(is_raw).lower()}
        query = urlencode(flags if shard is None else {**flags, "shard": shard})
        for kind, content in self._link.objects("GET", _path(job, f"/logs?{query}")):
            if kind == "end":
                return
            yield LogLineView.model_validate(content)
        raise self._link.broken_off("the log")

    def checkpoints(self, job: str) -> tuple[CheckpointView, ...]:
        """Return a job's saved checkpoints."""
        found = self._link.call("GET", _path(job, "/checkpoints"))["checkpoints"]
        return tuple(CheckpointView.model_validate(one) for one in found)

    def verdict(self, job: str, *, shard: int = 0) -> VerdictView:
        """Return what came of comparing the results of a shard's workers."""
        found = self._link.call("GET", _path(job, f"/verdict?{urlencode({'shard': shard})}"))
        return VerdictView.model_validate(found)

    def cancel(self, job: str) -> JobView:
        """Have it end a job; programs that run get time for a last checkpoint."""
        return JobView.model_validate(self._link.call("POST", _path(job, "/cancel")))

    def retry(self, job: str) -> JobView:
        """Have it run again what has not succeeded of a job."""
        return JobView.model_validate(self._link.call("POST", _path(job, "/retry")))

    def result(
        self, job: str, into: Path, *, told: Callable[[int, int], None] = lambda _done, _total: None
    ) -> ResultView:
        """Wait for a job's end and have its outputs decrypted into a directory.

        Args:
            job: Which.
            into: Absolute; made if it is not there, and nothing in it is replaced.
            told: Called with (done, total) bytes.
        """
        for kind, content in self._link.objects("POST", _path(job, "/result"), {"into": str(into)}):
            if kind == "result":
                return ResultView.model_validate(content)
            told(int(content["done"]), int(content["total"]))
        raise self._link.broken_off("the transfer")

    def publish(
        self, job: str, *, told: Callable[[int, int], None] = lambda _done, _total: None
    ) -> PublishedView:
        """Wait for a job's end and have its outputs put out in plain, for everybody; `told` as for `result`."""
        for kind, content in self._link.objects("POST", _path(job, "/publish")):
            if kind == "published":
                return PublishedView.model_validate(content)
            told(int(content["done"]), int(content["total"]))
        raise self._link.broken_off("publishing")

    def verify(
        self,
        job: str,
        *,
        shard: int | None = None,
        is_stretch: bool = False,
        told: Callable[[int, int], None] = lambda _done, _total: None,
    ) -> VerifyView:
        """Have it run a job again and compare the outputs; `told` of (shards compared, shards in all).

        Args:
            job: Which.
            shard: Only this one.
            is_stretch: Only the stretch that has decided between two results.
            told: Told as it goes.
        """
        wanted = {} if shard is None else {"shard": str(shard)}
        query = urlencode(wanted | ({"stretch": "true"} if is_stretch else {}))
        path = _path(job, f"/verify?{query}" if query else "/verify")
        for kind, content in self._link.objects("POST", path):
            if kind == "verified":
                return VerifyView.model_validate(content)
            told(int(content["done"]), int(content["total"]))
        raise self._link.broken_off("verifying")


def _path(job: str, rest: str = "") -> str:
    if not job:
        raise ExecutionError(
            "no job is named", code="unknown_job", hint="`skyops ps` lists all jobs of this node."
        )
    return f"/v1/jobs/{quote(job, safe='')}{rest}"
