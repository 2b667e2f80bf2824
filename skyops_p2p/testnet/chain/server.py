"""The embedded chain's HTTP on loopback: JSON-RPC by POST, one request after the other.

Requests are answered in the order in which they came whole; while the EVM computes, others wait in their sockets.
Source: h11's documentation; an answer is written in one piece, as otherwise Nagle's algorithm costs 40 ms.
"""

import logging
from collections.abc import Callable
from contextlib import suppress

import h11
import trio

from skyops_p2p import limits

logger = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"


async def serve(answer: Callable[[bytes], bytes], *, port: int, is_ready: Callable[[int], None]) -> None:
    """Serve until cancelled.

    Args:
        answer: Answers a body; quick, never raises.
        port: TCP port on loopback; 0 picks a free one.
        is_ready: Called with the port once connections are taken.

    Raises:
        OSError: The port is in use.
    """
    listeners = await trio.open_tcp_listeners(port, host=LOOPBACK)
    seats = trio.CapacityLimiter(limits.CHAIN_SERVER_CONNECTIONS_MAX)

    async def handle(stream: trio.SocketStream) -> None:
        async with seats, stream:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await _converse(stream, answer)

    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, handle, listeners)
        is_ready(listeners[0].socket.getsockname()[1])


async def _converse(stream: trio.SocketStream, answer: Callable[[bytes], bytes]) -> None:
    """Answer the requests of one connection until it ends, errs, or is silent for CHAIN_SERVER_IDLE_S."""
    connection = h11.Connection(h11.SERVER)
    while True:
        try:
            with trio.fail_after(limits.CHAIN_SERVER_IDLE_S):
                request, body = await _request(stream, connection)
        except (h11.RemoteProtocolError, trio.TooSlowError) as error:
            logger.debug("chain_request_refused reason=%r", error)
            return
        if request is None:
            return
        status, content = _outcome(request, body, answer)
        head = h11.Response(
            status_code=status,
            headers=[("content-type", "application/json"), ("content-length", str(len(content)))],
        )
        parts = [connection.send(event) or b"" for event in (head, h11.Data(content), h11.EndOfMessage())]
        await stream.send_all(b"".join(parts))
        if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
            return
        connection.start_next_cycle()


def _outcome(request: h11.Request, body: bytes | None, answer: Callable[[bytes], bytes]) -> tuple[int, bytes]:
    if body is None:
        return 413, b"{}"
    if request.method != b"POST":
        return 405, b"{}"
    return 200, answer(body)


async def _request(
    stream: trio.SocketStream, connection: h11.Connection
) -> tuple[h11.Request | None, bytes | None]:
    """Read a request and its body; the body is None if it is too long, the request None at the end."""
    request: h11.Request | None = None
    body = bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await stream.receive_some(65_536))
        elif isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > limits.CHAIN_REQUEST_BYTES_MAX:
                return request, None
        elif isinstance(event, h11.EndOfMessage):
            return request, bytes(body)
        else:
            return None, None
