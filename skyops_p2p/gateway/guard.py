"""What every request must pass before a route sees it: host, rate, token, size. A plain ASGI middleware.

The host check stops DNS rebinding: a web page that resolves its own name to 127.0.0.1 sends that name as
Host. The token is compared in constant time. Health and readiness need no token, so that a supervisor can
look; the metrics need it, because they tell any local user who our peers are.
"""

import hmac
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from skyops_p2p.gateway.problems import MEDIA_TYPE, problem_body
from skyops_p2p.limits import (
    API_BODY_BYTES_MAX,
    API_REQUESTS_BURST,
    API_REQUESTS_PER_S,
    API_SUBMIT_BYTES_MAX,
)

OPEN_PATHS = frozenset({"/health", "/ready"})
"""Paths that need no token; they tell nothing but that a node is there."""
JOB_PATHS = frozenset({"/v1/jobs", "/v1/jobs/preview", "/v1/jobs/match"})
"""Paths that take a whole job: API_SUBMIT_BYTES_MAX bounds their bodies, API_BODY_BYTES_MAX those of all others."""


class TokenBucket:
    """Allows a burst and then a steady rate.

    Args:
        rate_per_s: Requests regained each second.
        burst: Requests that may come at once.
        now: A monotonic clock in seconds.
    """

    def __init__(self, rate_per_s: float, burst: int, now: Callable[[], float]) -> None:
        self._rate_per_s = rate_per_s
        self._burst = float(burst)
        self._now = now
        self._left = float(burst)
        self._at = now()

    def take(self) -> bool:
        """Take one request's worth; False if none is left."""
        now = self._now()
        self._left = min(self._burst, self._left + (now - self._at) * self._rate_per_s)
        self._at = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


class Guard:
    """Refuses requests with a wrong host, without the token, too many or too large.

    Args:
        app: What is guarded.
        token: The bearer token.
        hosts: Host names and addresses under which the API may be asked, without a port; empty: any.
        now: A monotonic clock in seconds, for the rate limit.
    """

    def __init__(self, app: ASGIApp, *, token: str, hosts: frozenset[str], now: Callable[[], float]) -> None:
        self._app = app
        self._expected = b"Bearer " + token.encode()
        self._hosts = hosts
        self._bucket = TokenBucket(API_REQUESTS_PER_S, API_REQUESTS_BURST, now)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check one request and pass it on."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # no websockets here; the server then refuses the upgrade
        headers = dict(scope["headers"])
        bytes_max = API_SUBMIT_BYTES_MAX if scope["path"] in JOB_PATHS else API_BODY_BYTES_MAX
        if self._hosts and _host_name(headers.get(b"host", b"")) not in self._hosts:
            await _refuse(send, 421, "wrong_host", "the Host header names another host")
        elif not self._bucket.take():
            await _refuse(send, 429, "rate_limited", "too many requests", retry_after_s=1)
        elif scope["path"] not in OPEN_PATHS and not self._is_authorized(headers):
            hint = "Send `Authorization: Bearer <token>` with the token of <data dir>/run/api.json."
            await _refuse(send, 401, "token_wrong", "the token is missing or wrong", hint=hint)
        elif _declared_length(headers) > bytes_max:
            await _refuse_large(send, bytes_max)
        else:
            await self._pass_on(scope, receive, send, bytes_max)

    def _is_authorized(self, headers: dict[bytes, bytes]) -> bool:
        return hmac.compare_digest(headers.get(b"authorization", b""), self._expected)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send, bytes_max: int) -> None:
        """Serve the request, cutting off a body that grows past the bound without having declared it."""
        received = 0

        async def bounded_receive() -> Message:
            nonlocal received
            message = await receive()
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                if received > bytes_max:
                    raise _BodyTooLargeError
            return message

        try:
            await self._app(scope, bounded_receive, send)
        except _BodyTooLargeError:
            await _refuse_large(send, bytes_max)


class _BodyTooLargeError(BaseException):
    """Passes through the framework, which turns any Exception while reading a body into a bad request."""


def _host_name(host: bytes) -> str:
    """Return the name part of a Host header in lower case."""
    text = host.decode("latin-1").strip().lower()
    if text.startswith("["):
        return text.partition("]")[0] + "]"
    return text.partition(":")[0]


def _declared_length(headers: dict[bytes, bytes]) -> int:
    """Return the declared body length; an unreadable one counts as too large."""
    text = headers.get(b"content-length", b"0")
    return int(text) if text.isdigit() and len(text) < 12 else API_SUBMIT_BYTES_MAX + 1


async def _refuse_large(send: Send, bytes_max: int) -> None:
    await _refuse(send, 413, "body_too_large", f"the body of this request has at most {bytes_max} bytes")


async def _refuse(
    send: Send, status: int, code: str, detail: str, *, hint: str = "", retry_after_s: int | None = None
) -> None:
    body = problem_body(status, code=code, detail=detail, hint=hint, kind="NetworkError")
    headers = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode())]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if retry_after_s is not None:
        headers.append((b"retry-after", str(retry_after_s).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
