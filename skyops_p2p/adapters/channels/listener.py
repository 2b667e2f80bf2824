"""The listening half of data channels: bounded in how many wait to be proven, and how many are served."""

import logging
import socket
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio

from skyops_p2p import limits
from skyops_p2p.adapters.channels.stream import TcpFrameStream
from skyops_p2p.core.content import channel
from skyops_p2p.core.content.channel import Ticket
from skyops_p2p.errors import NetworkError, RemoteProtocolError, SkyopsError
from skyops_p2p.ports import FrameStream
from skyops_p2p.types import PeerId

log = logging.getLogger(__name__)

UNPROVEN = PeerId("unproven")
BACKLOG = 64

Serve = Callable[[FrameStream], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Offer:
    peer: PeerId
    ticket: Ticket
    until: float


@asynccontextmanager
async def open_channel_listener(
    hosts: Sequence[str], port: int, serve: Serve, *, token: Callable[[int], bytes]
) -> AsyncIterator["ChannelListener"]:
    """Listen for data channels for the length of the block.

    Args:
        hosts: IP addresses to listen on.
        port: TCP port for all of them; 0 picks a free one.
        serve: Serves one channel whose caller is proven; the channel is closed when it returns.
        token: Gives random bytes.

    Raises:
        NetworkError: `port_taken` or `listen_failed`.
    """
    listener = ChannelListener(serve, token)
    sockets = listener.bind(hosts, port)
    async with trio.open_nursery() as nursery:
        for sock in sockets:
            nursery.start_soon(listener.accept, sock, nursery)
        try:
            yield listener
        finally:
            nursery.cancel_scope.cancel()
            for sock in sockets:
                sock.close()


class ChannelListener:
    """Made by `open_channel_listener`."""

    def __init__(self, serve: Serve, token: Callable[[int], bytes]) -> None:
        self.port = 0
        """Where it listens."""
        self._serve = serve
        self._token = token
        self._offers: OrderedDict[bytes, _Offer] = OrderedDict()
        self._half_open: OrderedDict[int, trio.CancelScope] = OrderedDict()
        self._serving: Counter[PeerId] = Counter()
        self._count = 0

    def offer(self, peer: PeerId) -> Ticket:
        """Make an offer to a peer, good for CONTENT_OFFER_S; past CONTENT_OFFERS_MAX the oldest is void."""
        ticket = Ticket(self.port, self._token(channel.TOKEN_BYTES), self._token(channel.KEY_BYTES))
        while len(self._offers) >= limits.CONTENT_OFFERS_MAX:
            self._offers.popitem(last=False)
        self._offers[ticket.token] = _Offer(peer, ticket, trio.current_time() + limits.CONTENT_OFFER_S)
        return ticket

    def bind(self, hosts: Sequence[str], port: int) -> list[trio.socket.SocketType]:
        """Bind one socket a host, all to the same port.

        Raises:
            NetworkError: `port_taken` or `listen_failed`.
        """
        sockets: list[trio.socket.SocketType] = []
        try:
            for host in hosts:
                family = socket.AF_INET6 if ":" in host else socket.AF_INET
                sock = socket.socket(family, socket.SOCK_STREAM)
                sockets.append(trio.socket.from_stdlib_socket(sock))
                if family == socket.AF_INET6:
                    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind((host, port))
                sock.listen(BACKLOG)
                port = port or sock.getsockname()[1]
        except OSError as error:
            for bound in sockets:
                bound.close()
            is_taken = "in use" in str(error)
            raise NetworkError(
                f"cannot listen for data channels on port {port}: {error.strerror}",
                code="port_taken" if is_taken else "listen_failed",
                hint="Set content.port to a free port, or 0 to have one picked.",
            ) from error
        self.port = port
        return sockets

    async def accept(self, sock: trio.socket.SocketType, nursery: trio.Nursery) -> None:
        """Accept connections until cancelled."""
        while True:
            try:
                connection, _ = await sock.accept()
            except OSError as error:
                log.warning("channel_not_accepted error=%s", error.strerror)
                await trio.sleep(0.1)  # out of descriptors: others must end first
                continue
            if self._serving.total() >= limits.CONTENT_CHANNELS_MAX:
                connection.close()
                continue
            if len(self._half_open) >= limits.CONTENT_CHANNELS_HALF_OPEN_MAX:
                _, oldest = self._half_open.popitem(last=False)
                oldest.cancel()
            nursery.start_soon(self._handle, connection)

    async def _handle(self, connection: trio.socket.SocketType) -> None:
        self._count += 1
        number = self._count
        stream = TcpFrameStream(connection, UNPROVEN)
        try:
            with trio.CancelScope() as scope, trio.fail_after(limits.CONTENT_OPEN_TIMEOUT_S):
                self._half_open[number] = scope
                try:
                    stream.belongs_to(await self._prove(stream))
                finally:
                    self._half_open.pop(number, None)
            if scope.cancelled_caught:
                return
            await self._serve_peer(stream)
        except (SkyopsError, trio.TooSlowError) as error:
            log.debug("channel_ended reason=%r", error)
        finally:
            connection.close()

    async def _prove(self, stream: TcpFrameStream) -> PeerId:
        """Let the caller prove that it knows the key of an offer.

        Raises:
            RemoteProtocolError: `malformed`, `unknown_offer` or `bad_proof`.
            NetworkError: It went away.

        Rules: CON-16, CON-17.
        """
        token, caller_nonce = channel.read_hello(await stream.receive_bytes(channel.HELLO_BYTES))
        offer = self._offers.get(token)
        if offer is None or offer.until < trio.current_time():
            raise RemoteProtocolError("no such offer", code="unknown_offer", rule="CON-16")
        nonce = self._token(channel.NONCE_BYTES)
        await stream.send_bytes(channel.listener_reply(offer.ticket, caller_nonce, nonce))
        proof = await stream.receive_bytes(channel.PROOF_BYTES)
        channel.check_caller(offer.ticket, caller_nonce, nonce, proof)
        return offer.peer

    async def _serve_peer(self, stream: TcpFrameStream) -> None:
        if self._serving[stream.peer] >= limits.CONTENT_CHANNELS_PER_PEER_MAX:
            return
        self._serving[stream.peer] += 1
        try:
            await self._serve(stream)
        finally:
            self._serving[stream.peer] -= 1
            if not self._serving[stream.peer]:
                del self._serving[stream.peer]
