"""Requests in memory: a packet there, a packet back, and everything that may happen to either.

A lost packet means no answer until the caller's deadline, or with a transport that retransmits a late one; a doubled
one means that the server is asked twice, as when an adapter repeats a request on a fresh stream. Bounds and refusals
are those of the libp2p adapter.
"""

import zlib
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from skyops_p2p.errors import LocalProtocolError, NetworkError, RemoteProtocolError
from skyops_p2p.limits import (
    FRAME_BYTES_MAX,
    REQUEST_STREAMS_IDLE_MAX,
    REQUEST_TIMEOUT_S,
    REQUESTS_INBOUND_MAX,
    REQUESTS_INBOUND_PER_PEER_MAX,
)
from skyops_p2p.ports import RequestServer
from skyops_p2p.simulation.connection import Connection
from skyops_p2p.types import PeerId

if TYPE_CHECKING:
    from skyops_p2p.simulation.network import SimNetwork


UNSUPPORTED = "protocol_unsupported"


@dataclass(frozen=True, slots=True)
class _Answer:
    """What comes back: a response, or the code of a refusal."""

    body: bytes = b""
    refusal: str = ""


class _Pending:
    """A request that waits for its answer."""

    __slots__ = ("answer", "done", "is_broken")

    def __init__(self) -> None:
        self.done = trio.Event()
        self.answer: _Answer | None = None
        self.is_broken = False

    def arrive(self, answer: _Answer) -> None:
        if self.answer is None:
            self.answer = answer
            self.done.set()

    def give_up(self) -> None:
        self.is_broken = True
        self.done.set()


class Requests:
    """Both sides of one node's requests.

    Args:
        network: The node's network.
    """

    def __init__(self, network: "SimNetwork") -> None:
        self.sent = 0
        self.served = 0
        self.refused = 0
        self.bytes_sent = 0
        self.bytes_received = 0
        self._network = network
        self._servers: dict[str, tuple[RequestServer, int]] = {}
        self._serving: Counter[int] = Counter()
        self._slots: dict[int, trio.Semaphore] = {}
        """Node number -> how many more requests may be under way to it."""

    def serve(self, protocol: str, server: RequestServer, *, bytes_max: int) -> None:
        """Answer requests of a protocol."""
        self._servers[protocol] = (server, bytes_max)

    async def request(self, peer: PeerId, protocol: str, payload: bytes, *, timeout_s: float) -> bytes:
        """See ports.Network.request."""
        if len(payload) > FRAME_BYTES_MAX:
            message = f"a request of {len(payload)} bytes; the limit is {FRAME_BYTES_MAX}"
            raise NetworkError(message, code="payload_too_large")
        await trio.lowlevel.checkpoint()
        connection = self._network.connection_to(peer)
        pending = _Pending()
        connection.when_closed(pending.give_up)
        self.sent += 1
        self.bytes_sent += len(payload)
        target = connection.other(self._network.number)
        slots = self._slots.setdefault(target, trio.Semaphore(REQUESTS_INBOUND_PER_PEER_MAX))
        try:
            with trio.move_on_after(timeout_s):
                async with slots:
                    await self._take_stream(connection, protocol)
                    self._send(target, protocol, payload, pending)
                    await pending.done.wait()
                    self._keep_stream(connection, protocol)
        finally:
            connection.forget(pending.give_up)
        return self._result(peer, pending, timeout_s)

    async def _take_stream(self, connection: Connection, protocol: str) -> None:
        """Take an idle stream, or spend the round trips of opening one."""
        round_trips, own = self._network.fabric.transport.stream_round_trips, self._network.number
        if connection.idle_streams[own, protocol] > 0:
            connection.idle_streams[own, protocol] -= 1
        elif round_trips:
            other = connection.other(own)
            await trio.sleep(self._network.fabric.exchange_s(own, other, round_trips=round_trips))

    def _keep_stream(self, connection: Connection, protocol: str) -> None:
        key = (self._network.number, protocol)
        connection.idle_streams[key] = min(connection.idle_streams[key] + 1, REQUEST_STREAMS_IDLE_MAX)

    def _result(self, peer: PeerId, pending: _Pending, timeout_s: float) -> bytes:
        if pending.answer is None:
            if pending.is_broken:
                raise NetworkError(f"the connection to {peer} broke", code="stream_closed")
            raise NetworkError(f"{peer} did not answer within {timeout_s:g} s", code="request_timeout")
        if pending.answer.refusal == UNSUPPORTED:
            raise NetworkError(f"{peer} does not speak the protocol", code=UNSUPPORTED)
        if pending.answer.refusal:
            code = pending.answer.refusal
            raise RemoteProtocolError(f"{peer} refused: {code}", code=code, peer=peer)
        self.bytes_received += len(pending.answer.body)
        return pending.answer.body

    def _send(self, target: int, protocol: str, payload: bytes, pending: _Pending) -> None:
        fabric, own = self._network.fabric, self._network.number
        there = fabric.member(target)
        if there is not None:
            fabric.send(own, target, there.requests.take, self._network, protocol, payload, pending)

    # --- the serving side ---------------------------------------------------------------------------------
    def take(self, asker: "SimNetwork", protocol: str, payload: bytes, pending: _Pending) -> None:
        """Take one request that arrived: serve it in a task of its own, or refuse it."""
        network = self._network
        if not network.is_open or asker.number not in network.connections:
            return
        network.fabric.note("request", asker.number, network.number, detail=zlib.crc32(payload))
        self.bytes_received += len(payload)
        refusal = self._refusal(asker.number, protocol, payload)
        if refusal:
            self.refused += 1
            self._reply(asker, pending, _Answer(refusal=refusal))
            return
        self._serving[asker.number] += 1
        network.nursery.start_soon(self._serve, asker, protocol, payload, pending)

    def _refusal(self, asker: int, protocol: str, payload: bytes) -> str:
        server = self._servers.get(protocol)
        if server is None:
            return UNSUPPORTED
        if len(payload) > server[1]:
            return "oversized"
        is_busy = self._serving.total() >= REQUESTS_INBOUND_MAX
        return "busy" if is_busy or self._serving[asker] >= REQUESTS_INBOUND_PER_PEER_MAX else ""

    async def _serve(self, asker: "SimNetwork", protocol: str, payload: bytes, pending: _Pending) -> None:
        try:
            answer = await self._ask(asker.peer_id, protocol, payload)
        finally:
            self._serving[asker.number] -= 1
            if not self._serving[asker.number]:
                del self._serving[asker.number]
        if answer.refusal:
            self.refused += 1
        else:
            self.served += 1
        self._reply(asker, pending, answer)

    async def _ask(self, asker: PeerId, protocol: str, payload: bytes) -> _Answer:
        server = self._servers[protocol][0]
        try:
            with trio.fail_after(REQUEST_TIMEOUT_S):
                body = await server(asker, payload)
            if len(body) >= FRAME_BYTES_MAX:
                raise LocalProtocolError(f"a response of {len(body)} bytes does not fit a frame")
        except RemoteProtocolError as error:
            return _Answer(refusal=error.code)
        except NetworkError as error:
            return _Answer(refusal=error.code)
        except trio.TooSlowError:
            return _Answer(refusal="timeout")
        except Exception as error:  # noqa: BLE001 - a broken server is stopped at the port's edge, as in the adapter
            self._network.contain(error)
            return _Answer(refusal="internal")
        return _Answer(body=body)

    def _reply(self, asker: "SimNetwork", pending: _Pending, answer: _Answer) -> None:
        network = self._network
        if network.is_open:
            self.bytes_sent += len(answer.body)
            network.fabric.note("response", network.number, asker.number, detail=zlib.crc32(answer.body))
            network.fabric.send(network.number, asker.number, pending.arrive, answer)
