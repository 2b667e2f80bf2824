"""`GET /v1/events` as server-sent events: bounded in streams, with heartbeats, ending with the node.

The response is an ASGI application of its own rather than an async generator: a generator that holds a trio
scope open while it is suspended may be closed by another task, which trio forbids.
"""

import trio
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from skyops_p2p.errors import NetworkError
from skyops_p2p.gateway.subject import Subject
from skyops_p2p.limits import API_EVENT_HEARTBEAT_S, API_EVENT_STREAMS_MAX
from skyops_p2p.node.views import NodeEventView

_HEADERS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store")]


class EventStreams:
    """Counts the open streams of one API."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._open = 0

    async def serve(self, receive: Receive, send: Send) -> None:
        """Send events until the client leaves or the node stops.

        Raises:
            NetworkError: `too_many_streams`, before anything was sent.
        """
        if self._open >= API_EVENT_STREAMS_MAX:
            raise NetworkError(
                f"{self._open} clients already follow the events of this node",
                code="too_many_streams",
                hint="Close another `skyops events -f`.",
            )
        self._open += 1
        try:
            async with self._subject.events() as feed, trio.open_nursery() as nursery:
                nursery.start_soon(wait_gone, receive, nursery.cancel_scope)
                await _send_all(feed, send)
                nursery.cancel_scope.cancel()
        finally:
            self._open -= 1


class EventResponse(Response):
    """The response object that a route returns; starlette calls it as an ASGI application."""

    def __init__(self, streams: EventStreams) -> None:
        super().__init__()
        self._streams = streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the stream."""
        await self._streams.serve(receive, send)


async def wait_gone(receive: Receive, scope: trio.CancelScope) -> None:
    """Cancel the stream when the client has closed its end."""
    while (await receive())["type"] != "http.disconnect":
        continue
    scope.cancel()


async def _send_all(feed: trio.MemoryReceiveChannel[NodeEventView], send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    # A first comment makes the client's library hand over the headers at once.
    await send({"type": "http.response.body", "body": b": following\n\n", "more_body": True})
    while True:
        chunk = b": still here\n\n"
        try:
            with trio.move_on_after(API_EVENT_HEARTBEAT_S):
                event = await feed.receive()
                chunk = f"event: {event.kind}\ndata: {event.model_dump_json()}\n\n".encode()
        except trio.EndOfChannel:
            break
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
