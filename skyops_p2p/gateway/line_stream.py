"""Answers as lines of JSON (NDJSON): one object a line, an empty line as a sign of life, the end with the producer.

An ASGI application of its own, like the event stream: what produces the lines runs in it, and is cancelled when the
client leaves. An error before the first line becomes a problem document; a later one is the line {"problem": …}.
"""

import json
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import trio
from pydantic import BaseModel
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from skyops_p2p.errors import NetworkError, SkyopsError
from skyops_p2p.gateway.event_stream import wait_gone
from skyops_p2p.gateway.problems import problem, problem_members
from skyops_p2p.limits import API_EVENT_HEARTBEAT_S, API_JOB_STREAMS_MAX, API_LINES_BYTES, EVENT_FEED_MAX

_HEADERS = [(b"content-type", b"application/x-ndjson"), (b"cache-control", b"no-store")]


class Lines:
    """Where a producer puts what it has to say.

    Args:
        send: The other end is the client.
    """

    def __init__(self, send: trio.MemorySendChannel[bytes | SkyopsError]) -> None:
        self._send = send

    async def say(self, **content: object) -> None:
        """Send an object; waits while the client lags behind."""
        await self._send.send(_line(content))

    async def say_each(self, kind: str, views: Sequence[BaseModel]) -> None:
        """Send {kind: view} of each view, all at once: a log has many."""
        if views:
            head = f'{{"{kind}":'
            text = "".join(f"{head}{view.model_dump_json()}}}\n" for view in views)
            await self._send.send(text.encode())

    def mention(self, **content: object) -> None:
        """Send an object that may be left out if the client lags far behind."""
        if self._send.statistics().current_buffer_used < EVENT_FEED_MAX // 2:
            self._send.send_nowait(_line(content))


Produce = Callable[[Lines], Awaitable[None]]


class StreamSlots:
    """Counts the open streams of one API."""

    def __init__(self) -> None:
        self._open = 0

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Hold one for as long as the block runs.

        Raises:
            NetworkError: `too_many_streams`.
        """
        if self._open >= API_JOB_STREAMS_MAX:
            raise NetworkError(
                f"{self._open} clients already follow jobs of this node",
                code="too_many_streams",
                hint="End another `skyops logs -f`, `skyops top` or `--watch`.",
            )
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1


class LineResponse(Response):
    """The response object that a route returns; starlette calls it as an ASGI application.

    Args:
        slots: Bounds the streams.
        produce: Says the lines; cancelled when the client leaves.
    """

    def __init__(self, slots: StreamSlots, produce: Produce) -> None:
        super().__init__()
        self._slots = slots
        self._produce = produce

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the stream."""
        with self._slots.taken():
            lines_in, lines_out = trio.open_memory_channel[bytes | SkyopsError](EVENT_FEED_MAX)
            async with trio.open_nursery() as nursery, lines_out:
                nursery.start_soon(wait_gone, receive, nursery.cancel_scope)
                nursery.start_soon(self._run, lines_in)
                await _send_all(lines_out, scope, receive, send)
                nursery.cancel_scope.cancel()

    async def _run(self, send: trio.MemorySendChannel[bytes | SkyopsError]) -> None:
        async with send:
            try:
                await self._produce(Lines(send))
            except SkyopsError as error:
                await send.send(error)


async def _send_all(
    lines: trio.MemoryReceiveChannel[bytes | SkyopsError], scope: Scope, receive: Receive, send: Send
) -> None:
    """Send what is produced, as much at once as waits; an error that comes first is answered as a problem."""
    is_begun = False
    while True:
        item: bytes | SkyopsError | None = b"\n"
        with trio.move_on_after(API_EVENT_HEARTBEAT_S):
            item = await _next_of(lines)
        if isinstance(item, SkyopsError) and not is_begun:
            await problem(item)(scope, receive, send)
            return
        if not is_begun:
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            is_begun = True
        if item is None:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        body = item if isinstance(item, bytes) else _line({"problem": problem_members(item)})
        await send({"type": "http.response.body", "body": body, "more_body": True})


async def _next_of(lines: trio.MemoryReceiveChannel[bytes | SkyopsError]) -> bytes | SkyopsError | None:
    """Return all lines that wait, or an error, or None at the end."""
    try:
        item = await lines.receive()
    except trio.EndOfChannel:
        return None
    parts: list[bytes] = []
    size = 0
    while isinstance(item, bytes):
        parts.append(item)
        size += len(item)
        if size >= API_LINES_BYTES:
            break
        try:
            item = lines.receive_nowait()
        except (trio.WouldBlock, trio.EndOfChannel):
            break
    return b"".join(parts) if isinstance(item, bytes) else _with_error(parts, item)


def _with_error(parts: list[bytes], error: SkyopsError) -> bytes | SkyopsError:
    """Return an error that came after lines as a line of its own; one that came first as it is."""
    return b"".join([*parts, _line({"problem": problem_members(error)})]) if parts else error


def _line(content: Mapping[str, object]) -> bytes:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
