"""Requests and responses over long-lived streams, and streams served by protocol id.

A request stream carries one request at a time: a frame out, a frame back. The first frame travels with the offer of
the protocol, so that a request costs one round trip on a new stream too. When the response is in, the stream waits
idle for the next request. Concurrent requests take further streams, at most REQUESTS_INBOUND_PER_PEER_MAX per peer.
A request whose idle stream turns out to be closed is sent once more on a fresh one, so a server may see it twice.

Response frame: one status byte, 0 with the response or 1 with the ASCII code of a refusal.
"""

import logging
from collections import Counter, defaultdict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import trio

from skyops_p2p import limits
from skyops_p2p.adapters.libp2p.frames import Libp2pFrameStream
from skyops_p2p.adapters.libp2p.host import Contain
from skyops_p2p.errors import LocalProtocolError, NetworkError, RemoteProtocolError, SkyopsError
from skyops_p2p.ports import RequestServer
from skyops_p2p.types import PeerId

logger = logging.getLogger(__name__)

STATUS_OK = b"\x00"
STATUS_REFUSED = b"\x01"

OpenStream = Callable[[PeerId, str], Awaitable[Libp2pFrameStream]]


@dataclass(slots=True)
class RequestCounters:
    """Requests since the start."""

    sent: int = 0
    served: int = 0
    refused: int = 0


class RequestClient:
    """Sends requests; keeps idle streams."""

    def __init__(self, open_stream: OpenStream, counters: RequestCounters) -> None:
        self._open_stream = open_stream
        self._counters = counters
        self._idle: dict[tuple[PeerId, str], deque[Libp2pFrameStream]] = defaultdict(deque)
        self._slots: dict[PeerId, trio.Semaphore] = {}

    async def request(self, peer: PeerId, protocol: str, payload: bytes, *, timeout_s: float) -> bytes:
        """Send one request and wait for its response.

        Raises:
            NetworkError: No answer in time (`request_timeout`), no stream could be had, or the payload is
                longer than a frame (`payload_too_large`).
            RemoteProtocolError: The peer refused with a code, or its answer is malformed.
        """
        if len(payload) > limits.FRAME_BYTES_MAX:
            message = f"a request of {len(payload)} bytes; the limit is {limits.FRAME_BYTES_MAX}"
            raise NetworkError(message, code="payload_too_large", hint="Send it over a stream instead.")
        slots = self._slots.setdefault(peer, trio.Semaphore(limits.REQUESTS_INBOUND_PER_PEER_MAX))
        try:
            with trio.fail_after(timeout_s):
                async with slots:
                    self._counters.sent += 1
                    answer = await self._exchange(peer, protocol, payload)
        except trio.TooSlowError as error:
            raise NetworkError(
                f"{peer} did not answer within {timeout_s:g} s", code="request_timeout"
            ) from error
        return _parse_response(answer, peer)

    def forget_peer(self, peer: PeerId) -> None:
        """Drop the idle streams of a disconnected peer; its connection, and they with it, are closed."""
        self._slots.pop(peer, None)
        for key in [key for key in self._idle if key[0] == peer]:
            del self._idle[key]

    async def _exchange(self, peer: PeerId, protocol: str, payload: bytes) -> bytes:
        idle = self._idle[peer, protocol]
        if idle:
            try:
                return await self._exchange_on(idle.pop(), protocol, payload)
            except NetworkError as error:
                logger.debug("request_stream_stale peer=%s reason=%s", peer[-8:], error.code)
        return await self._exchange_on(await self._open_stream(peer, protocol), protocol, payload)

    async def _exchange_on(self, stream: Libp2pFrameStream, protocol: str, payload: bytes) -> bytes:
        is_done = False
        try:
            await stream.send_frame(payload)
            answer = await stream.receive_frame(bytes_max=limits.FRAME_BYTES_MAX)
            is_done = True
        finally:
            if not is_done:
                await stream.abort()
        idle = self._idle[stream.peer, protocol]
        if len(idle) < limits.REQUEST_STREAMS_IDLE_MAX:
            idle.append(stream)
        else:
            await stream.aclose()
        return answer


def _parse_response(answer: bytes, peer: PeerId) -> bytes:
    status, body = answer[:1], answer[1:]
    if status == STATUS_OK:
        return body
    if status != STATUS_REFUSED or not 0 < len(body) <= limits.REQUEST_REFUSAL_BYTES_MAX:
        raise RemoteProtocolError(
            "the answer is neither a response nor a refusal", code="malformed", peer=peer
        )
    code = body.decode("ascii", errors="replace")
    if not all(char.islower() or char.isdigit() or char == "_" for char in code) or not code.isascii():
        raise RemoteProtocolError("the refusal's code is not a code", code="malformed", peer=peer)
    raise RemoteProtocolError(f"{peer} refused: {code}", code=code, peer=peer)


class RequestService:
    """Serves requests of all protocols within the bounds of limits."""

    def __init__(self, counters: RequestCounters, contain: Contain) -> None:
        self._counters = counters
        self._contain = contain
        self._serving: Counter[PeerId] = Counter()

    async def serve_stream(self, stream: Libp2pFrameStream, server: RequestServer, *, bytes_max: int) -> None:
        """Answer the requests of one stream until it ends, idles too long or misbehaves."""
        try:
            while True:
                with trio.fail_after(limits.REQUEST_IDLE_S):
                    await stream.wait_readable()
                with trio.fail_after(limits.REQUEST_TIMEOUT_S):
                    payload = await stream.receive_frame(bytes_max=bytes_max)
                answer = await self._answer(stream.peer, payload, server)
                with trio.fail_after(limits.REQUEST_TIMEOUT_S):
                    await stream.send_frame(answer)
        except (NetworkError, trio.TooSlowError) as error:
            logger.debug("request_stream_ended peer=%s reason=%r", stream.peer[-8:], error)
        except RemoteProtocolError as error:
            self._counters.refused += 1
            logger.info("request_refused peer=%s code=%s", stream.peer[-8:], error.code)
            with trio.move_on_after(limits.STREAM_CLOSE_TIMEOUT_S):
                await _send_quietly(stream, _refusal(error.code))
        finally:
            await stream.aclose()

    async def _answer(self, peer: PeerId, payload: bytes, server: RequestServer) -> bytes:
        if (
            self._serving.total() >= limits.REQUESTS_INBOUND_MAX
            or self._serving[peer] >= limits.REQUESTS_INBOUND_PER_PEER_MAX
        ):
            self._counters.refused += 1
            return _refusal("busy")
        self._serving[peer] += 1
        try:
            answer = await self._ask(peer, payload, server)
        finally:
            self._serving[peer] -= 1
            if not self._serving[peer]:
                del self._serving[peer]
        if answer.startswith(STATUS_REFUSED):
            self._counters.refused += 1
        else:
            self._counters.served += 1
        return answer

    async def _ask(self, peer: PeerId, payload: bytes, server: RequestServer) -> bytes:
        try:
            with trio.fail_after(limits.REQUEST_TIMEOUT_S):
                body = await server(peer, payload)
            if len(body) >= limits.FRAME_BYTES_MAX:
                raise LocalProtocolError(f"a response of {len(body)} bytes does not fit a frame")
        except RemoteProtocolError as error:
            return _refusal(error.code)
        except trio.TooSlowError:
            return _refusal("timeout")
        except Exception as error:  # noqa: BLE001 - a server that fails must not end the node
            self._contain("request server", peer, error)
            return _refusal(error.code if isinstance(error, NetworkError) else "internal")
        return STATUS_OK + body


async def _send_quietly(stream: Libp2pFrameStream, frame: bytes) -> None:
    try:
        await stream.send_frame(frame)
    except SkyopsError as error:
        logger.debug("refusal_not_sent peer=%s reason=%s", stream.peer[-8:], error.code)


def _refusal(code: str) -> bytes:
    return STATUS_REFUSED + code.encode("ascii", errors="replace")[: limits.REQUEST_REFUSAL_BYTES_MAX]


class Lingering:
    """Streams that we closed and whose peers have not: reset after STREAM_LINGER_S, or when there are too many."""

    def __init__(self) -> None:
        self._streams: deque[tuple[float, Any]] = deque()

    def add(self, stream: Any) -> None:
        """Take a stream that was closed on our side."""
        self._streams.append((trio.current_time() + limits.STREAM_LINGER_S, stream))

    def take_overdue(self) -> list[Any]:
        """Return the streams to be reset now."""
        overdue = []
        while self._streams and (
            self._streams[0][0] <= trio.current_time() or len(self._streams) > limits.STREAMS_LINGERING_MAX
        ):
            overdue.append(self._streams.popleft()[1])
        return overdue
