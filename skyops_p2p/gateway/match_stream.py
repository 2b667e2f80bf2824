"""`POST /v1/jobs/match` as lines of JSON: {"step": …} while the match runs, then {"match": …} or {"problem": …}.

An ASGI application of its own, like the event stream: the match runs in it, and is cancelled when the client leaves.
"""

import json

import trio
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.errors import SkyopsError
from skyops_p2p.gateway.event_stream import wait_gone
from skyops_p2p.gateway.subject import Subject
from skyops_p2p.limits import EVENT_FEED_MAX
from skyops_p2p.node.match_view import MatchStepView

_HEADERS = [(b"content-type", b"application/x-ndjson"), (b"cache-control", b"no-store")]


class MatchResponse(Response):
    """Runs one match and tells its steps.

    Args:
        subject: The node.
        spec: The job.
    """

    def __init__(self, subject: Subject, spec: JobSpec) -> None:
        super().__init__()
        self._subject = subject
        self._spec = spec

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the match."""
        lines_in, lines_out = trio.open_memory_channel[bytes](EVENT_FEED_MAX)
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait_gone, receive, nursery.cancel_scope)
            nursery.start_soon(self._run, lines_in)
            async for line in lines_out:
                await send({"type": "http.response.body", "body": line, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            nursery.cancel_scope.cancel()

    async def _run(self, lines: trio.MemorySendChannel[bytes]) -> None:
        async with lines:
            try:
                ended = await self._subject.match(self._spec, progress=lambda step: _tell(lines, step))
            except SkyopsError as error:
                problem = {"code": error.code, "detail": error.message, "hint": error.hint}
                await lines.send(_line({"problem": problem}))
            else:
                await lines.send(_line({"match": ended.model_dump(mode="json")}))


def _tell(lines: trio.MemorySendChannel[bytes], step: MatchStepView) -> None:
    """Tell a step; one that finds the client far behind is left out, the end never is."""
    if lines.statistics().current_buffer_used < EVENT_FEED_MAX:
        lines.send_nowait(_line({"step": step.model_dump(mode="json")}))


def _line(content: object) -> bytes:
    return json.dumps(content, ensure_ascii=False).encode() + b"\n"
