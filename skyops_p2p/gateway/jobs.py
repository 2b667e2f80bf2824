"""The routes of the control API that are about jobs."""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from skyops_p2p.gateway import job_streams
from skyops_p2p.gateway.line_stream import LineResponse, StreamSlots
from skyops_p2p.gateway.subject import Subject
from skyops_p2p.gateway.submission import SubmitRequest, absolute_path, read_spec, read_values
from skyops_p2p.limits import API_PATH_CHARS_MAX, JOB_SHARDS_MAX
from skyops_p2p.node.job_preview import PreviewView
from skyops_p2p.node.job_rows import JobRowView
from skyops_p2p.node.jobs.job_views import CheckpointView, JobView
from skyops_p2p.node.jobs.verdict_views import VerdictView


class Jobs(BaseModel):
    """Jobs of this node, oldest first."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    jobs: tuple[JobRowView, ...]


class Checkpoints(BaseModel):
    """Saved checkpoints of one job."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    checkpoints: tuple[CheckpointView, ...]


class ResultRequest(BaseModel):
    """Where outputs go."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    into: str = Field(min_length=1, max_length=API_PATH_CHARS_MAX)
    """Absolute; a directory that is made if it is not there. Nothing in it is replaced."""


def job_routes(subject: Subject) -> APIRouter:
    """Return the routes under /v1/jobs."""
    router = APIRouter(prefix="/v1/jobs")
    slots = StreamSlots()
    _add_market(router, subject, slots)
    _add_jobs(router, subject)
    _add_streams(router, subject, slots)
    return router


def _add_market(router: APIRouter, subject: Subject, slots: StreamSlots) -> None:
    @router.post("/preview", summary="Which known nodes could run a job, and why the others could not")
    async def preview(tree: Annotated[dict[str, Any], Body()]) -> PreviewView:
        return await subject.preview(read_spec(tree))

    @router.post(
        "/match",
        summary="Look for a worker; one JSON object a line: the steps, then the end",
        response_class=Response,
    )
    async def match(tree: Annotated[dict[str, Any], Body()]) -> Any:
        spec = read_spec(tree)
        return LineResponse(slots, lambda lines: job_streams.say_match(subject, spec, lines))


def _add_jobs(router: APIRouter, subject: Subject) -> None:
    @router.post("", summary="Run a job", status_code=201)
    async def submit(request: SubmitRequest) -> JobView:
        spec = read_spec(request.spec)
        base_dir = absolute_path(request.base_dir, "base_dir")
        secrets = read_values(spec, request.secrets)
        job = await subject.jobs.submit(spec, base_dir=base_dir, secrets=secrets)
        return job.view()

    @router.get("", summary="All jobs, or those that have not ended")
    async def jobs(is_open: bool = False) -> Jobs:
        return Jobs(jobs=subject.jobs.rows(is_open=is_open))

    @router.get("/{job}", summary="One job by id, unique beginning of one, or name")
    async def job(job: str) -> JobView:
        return subject.jobs.find(job).view()

    @router.get("/{job}/checkpoints", summary="Its saved checkpoints")
    async def checkpoints(job: str) -> Checkpoints:
        return Checkpoints(checkpoints=subject.jobs.find(job).checkpoints())

    @router.get("/{job}/verdict", summary="What came of comparing the results of its workers")
    async def verdict(job: str, shard: Annotated[int, Query(ge=0, lt=JOB_SHARDS_MAX)] = 0) -> VerdictView:
        return await subject.jobs.find(job).verdict(shard=shard)

    @router.post("/{job}/cancel", summary="End it; programs get time for a last checkpoint", status_code=202)
    async def cancel(job: str) -> JobView:
        found = subject.jobs.find(job)
        await found.cancel()
        return found.view()

    @router.post("/{job}/retry", summary="Run again what has not succeeded", status_code=202)
    async def retry(job: str) -> JobView:
        found = subject.jobs.find(job)
        found.retry()
        return found.view()


def _add_streams(router: APIRouter, subject: Subject, slots: StreamSlots) -> None:
    @router.get(
        "/{job}/watch",
        summary="How it stands, at each change, until it ends; one JSON object a line",
        response_class=Response,
    )
    async def watch(job: str) -> Any:
        found = subject.jobs.find(job)
        return LineResponse(slots, lambda lines: job_streams.say_views(found, lines))

    @router.get("/{job}/logs", summary="Its log; one JSON object a line", response_class=Response)
    async def logs(
        job: str,
        follow: bool = False,
        shard: Annotated[int | None, Query(ge=0, lt=JOB_SHARDS_MAX)] = None,
        is_raw: bool = False,
    ) -> Any:
        found = subject.jobs.find(job)
        say = partial(job_streams.say_log, found, follow=follow, shard=shard, is_raw=is_raw)
        return LineResponse(slots, say)

    @router.post(
        "/{job}/result",
        summary="Wait for its end and decrypt its outputs into a directory; one JSON object a line",
        response_class=Response,
    )
    async def result(job: str, request: ResultRequest) -> Any:
        found, into = subject.jobs.find(job), absolute_path(request.into, "into")
        return LineResponse(slots, lambda lines: job_streams.say_result(found, into, lines))

    @router.post(
        "/{job}/publish",
        summary="Wait for its end and put its outputs out in plain for IPFS nodes; one JSON object a line",
        response_class=Response,
    )
    async def publish(job: str) -> Any:
        found = subject.jobs.find(job)
        return LineResponse(slots, lambda lines: job_streams.say_published(found, lines))

    @router.post(
        "/{job}/verify",
        summary="Wait for its end, run it again here, and compare its outputs; one JSON object a line",
        response_class=Response,
    )
    async def verify(
        job: str,
        shard: Annotated[int | None, Query(ge=0, lt=JOB_SHARDS_MAX)] = None,
        stretch: Annotated[bool, Query()] = False,
    ) -> Any:
        found = subject.jobs.find(job)
        return LineResponse(
            slots, lambda lines: job_streams.say_verified(found, shard, lines, is_stretch=stretch)
        )
