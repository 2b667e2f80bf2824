"""The routes of the control API that are about jobs."""

from typing import Annotated, Any

from fastapi import APIRouter, Body
from starlette.responses import Response

from skyops_p2p.core.jobs.problems import check_spec
from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.errors import ConfigError
from skyops_p2p.gateway.match_stream import MatchResponse
from skyops_p2p.gateway.subject import Subject
from skyops_p2p.node.job_preview import PreviewView


def job_routes(subject: Subject) -> APIRouter:
    """Return the routes under /v1/jobs."""
    router = APIRouter(prefix="/v1/jobs")

    @router.post("/preview", summary="Which known nodes could run a job, and why the others could not")
    async def preview(tree: Annotated[dict[str, Any], Body()]) -> PreviewView:
        return subject.preview(read_spec(tree))

    @router.post(
        "/match",
        summary="Look for a worker; one JSON object a line: the steps, then the end",
        response_class=Response,
    )
    async def match(tree: Annotated[dict[str, Any], Body()]) -> Any:
        return MatchResponse(subject, read_spec(tree))

    return router


def read_spec(tree: object) -> JobSpec:
    """Return the job that a request carries.

    Raises:
        ConfigError: `job_invalid`, with every mistake.
    """
    spec, problems = check_spec(tree)
    if spec is None:
        raise ConfigError("; ".join(str(problem) for problem in problems), code="job_invalid")
    return spec
