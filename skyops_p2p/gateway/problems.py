"""Errors as problem details (RFC 9457): one shape for every failed request.

A problem carries, besides the standard members, our stable `code`, the `hint`, and the class name as `kind`,
so that a client can raise the same error again.
"""

import json
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from skyops_p2p.errors import (
    ChainError,
    ChainRefusal,
    ConfigError,
    ExecutionError,
    LocalProtocolError,
    NetworkError,
    RemoteProtocolError,
    SkyopsError,
    StoreError,
    TestnetError,
)

MEDIA_TYPE = "application/problem+json"
_STATUS_OF_CODE = {
    "unknown_peer": 404,
    "unknown_job": 404,
    "no_shard": 404,
    "ambiguous_peer": 409,
    "busy": 503,
    "too_many_streams": 503,
    "too_many_jobs": 503,
}
_STATUS_OF_CLASS: tuple[tuple[type[SkyopsError], int], ...] = (
    (ConfigError, 422),
    (RemoteProtocolError, 502),
    (NetworkError, 504),
    (StoreError, 507),
    (ChainRefusal, 409),
    (ChainError, 503),
    (ExecutionError, 409),
    (TestnetError, 409),
    (LocalProtocolError, 500),
)


def status_of(error: SkyopsError) -> int:
    """Return the HTTP status that fits an error best; clients should look at the code instead."""
    by_code = _STATUS_OF_CODE.get(error.code)
    if by_code is not None:
        return by_code
    return next((status for kind, status in _STATUS_OF_CLASS if isinstance(error, kind)), 500)


def problem_body(status: int, *, code: str, detail: str, hint: str = "", **more: str) -> bytes:
    """Return the JSON bytes of a problem."""
    members = {
        "type": f"urn:skyops:error:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "hint": hint,
    } | more
    return json.dumps(members).encode()


def problem_members(error: SkyopsError) -> dict[str, str]:
    """Return what a client needs to raise the same error again."""
    members = {
        "detail": error.message,
        "code": error.code,
        "hint": error.hint,
        "kind": type(error).__name__,
    }
    if isinstance(error, RemoteProtocolError):
        members |= {"rule": error.rule, "peer": error.peer}
    return members


def problem(error: SkyopsError) -> Response:
    """Return the response for one of our errors."""
    status = status_of(error)
    body = problem_body(status, **problem_members(error))
    return Response(body, status_code=status, media_type=MEDIA_TYPE)


def install_problems(app: FastAPI) -> None:
    """Make every error of the app a problem document."""

    async def on_skyops_error(_request: Request, error: Exception) -> Response:
        assert isinstance(error, SkyopsError)
        return problem(error)

    async def on_invalid(_request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        body = problem_body(
            422, code="request_invalid", detail=f"{place}: {first['msg']}", kind="ConfigError"
        )
        return Response(body, status_code=422, media_type=MEDIA_TYPE)

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        status = error.status_code
        code = {404: "no_such_route", 405: "wrong_method"}.get(status, "request_invalid")
        body = problem_body(
            status,
            code=code,
            detail=f"{request.method} {request.url.path}: {error.detail}",
            kind="NetworkError",
        )
        return Response(body, status_code=status, media_type=MEDIA_TYPE, headers=error.headers)

    async def on_bug(_request: Request, _error: Exception) -> Response:
        hint = "This is a bug in skyops: please report it with the node's log."
        body = problem_body(
            500, code="internal_error", detail="the node failed inside", hint=hint, kind="SkyopsError"
        )
        return Response(body, status_code=500, media_type=MEDIA_TYPE)

    app.add_exception_handler(SkyopsError, on_skyops_error)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(Exception, on_bug)
