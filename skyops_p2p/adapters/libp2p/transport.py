"""TCP as we need it: bind errors that are seen, sockets that count bytes and can be cut off.

libp2p's own listener sets SO_REUSEPORT (for hole punching), so two nodes can share a port without noticing,
and its error is swallowed on the way up. Ours binds plainly. With `share_port` (relays, which punch holes)
the port is probed first and the stock listener is used.
"""

import errno
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import trio
from libp2p.io.trio import TrioTCPStream
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.transport.exceptions import OpenConnectionError
from libp2p.transport.tcp.tcp import TCP, TCPListener
from libp2p.utils.multiaddr_utils import extract_ip_from_multiaddr
from multiaddr import Multiaddr as RawMultiaddr

logger = logging.getLogger(__name__)

LISTEN_BACKLOG = 512
"""Connections that the kernel holds for us while a flood is sorted out."""

Endpoint = tuple[str, int]


@dataclass(slots=True)
class Meter:
    """What passed through all sockets of one network."""

    bytes_sent: int = 0
    bytes_received: int = 0
    sockets: dict[Endpoint, "MeteredStream"] = field(default_factory=dict)
    """{remote (host, port): socket}, while it is open."""
    listen_errors: list[OSError] = field(default_factory=list)
    """Why an address could not be listened on."""


class MeteredStream(TrioTCPStream):
    """A socket that counts, remembers when it last received, and closes without asking anybody."""

    def __init__(self, stream: trio.SocketStream, meter: Meter) -> None:
        super().__init__(stream)
        self._endpoint: Endpoint | None = None
        self._meter = meter
        self.received_at = trio.current_time()
        """Monotonic seconds of the last byte received."""
        endpoint = self.get_remote_address()
        if endpoint is not None:
            meter.sockets[endpoint] = self

    async def read(self, n: int | None = None) -> bytes:
        """Receive up to `n` bytes."""
        chunk = await super().read(n)
        if chunk:
            self.received_at = trio.current_time()
            self._meter.bytes_received += len(chunk)
        return chunk

    async def write(self, data: bytes) -> None:
        """Send all bytes."""
        await super().write(data)
        self._meter.bytes_sent += len(data)

    async def close(self) -> None:
        """Close the socket."""
        self._forget()
        await super().close()

    def abort(self) -> None:
        """Close the socket now, without a farewell: readers see the end, writers a broken connection."""
        self._forget()
        self.stream.socket.close()

    def get_remote_address(self) -> Endpoint | None:
        """Return the remote (host, port); libp2p's own answer is None for IPv6."""
        if self._endpoint is None:
            try:
                name = self.stream.socket.getpeername()
            except OSError:
                return None
            self._endpoint = (str(name[0]), int(name[1]))
        return self._endpoint

    def _forget(self) -> None:
        if self._endpoint is not None and self._meter.sockets.get(self._endpoint) is self:
            del self._meter.sockets[self._endpoint]


class PlainListener(TCPListener):
    """A listener that binds without SO_REUSEPORT and keeps its error."""

    def __init__(self, handler: Any, meter: Meter, *, share_port: bool) -> None:
        async def handle_metered(stream: TrioTCPStream) -> None:
            await handler(MeteredStream(stream.stream, meter))

        super().__init__(handle_metered)
        self._meter = meter
        self._share_port = share_port

    async def listen(self, maddr: RawMultiaddr) -> None:
        """Bind and serve.

        Raises:
            OpenConnectionError: The address cannot be bound; the reason is in `Meter.listen_errors`.
        """
        host = extract_ip_from_multiaddr(maddr)
        port = int(maddr.value_for_protocol("tcp") or 0)
        try:
            listeners = await trio.open_tcp_listeners(port, host=host, backlog=LISTEN_BACKLOG)
        except OSError as error:
            self._meter.listen_errors.append(error)
            raise OpenConnectionError(f"cannot listen on {maddr}: {error}") from error
        if self._share_port:
            # The probe held the port alone for a moment; the stock listener may now share it.
            bound_port = listeners[0].socket.getsockname()[1]
            for listener in listeners:
                await listener.aclose()
            await super().listen(RawMultiaddr(str(maddr).replace(f"/tcp/{port}", f"/tcp/{bound_port}", 1)))
            return
        try:
            await self._serve(listeners)
        except BaseException:
            for listener in listeners:
                listener.socket.close()
            raise

    async def _serve(self, listeners: Sequence[trio.SocketListener]) -> None:
        async with self._lifecycle_lock:
            if self._nursery is None:
                await self._spawn_background_task()
            nursery = cast("trio.Nursery", self._nursery)
            await nursery.start(trio.serve_listeners, self._handle_socket, listeners)
            self.listeners.extend(listeners)

    async def _handle_socket(self, stream: trio.SocketStream) -> None:
        try:
            await self.handler(TrioTCPStream(stream))
        except Exception as error:  # noqa: BLE001 - foreign code below; an escape would end the whole program
            logger.info("inbound_connection_failed error=%r", error)


class MeteredTcp(TCP):
    """The TCP transport with our listener and our sockets."""

    def __init__(self, meter: Meter, *, share_port: bool = False) -> None:
        super().__init__()
        self._meter = meter
        self._share_port = share_port

    def create_listener(self, handler_function: Any) -> TCPListener:
        """Return a listener for one address."""
        return PlainListener(handler_function, self._meter, share_port=self._share_port)

    async def _dial_resolved(self, maddr: RawMultiaddr, source: Endpoint | None = None) -> RawConnection:
        connection = cast("RawConnection", await super()._dial_resolved(maddr, source))
        stream = cast("TrioTCPStream", connection.stream)
        connection.stream = MeteredStream(stream.stream, self._meter)
        return connection


def shielded(seconds: float) -> trio.CancelScope:
    """Return a scope for cleanup: cancellation from outside waits, but no longer than `seconds`."""
    return trio.CancelScope(shield=True, deadline=trio.current_time() + seconds)


def is_port_taken(errors: list[OSError]) -> bool:
    """Tell whether one of the errors is an address in use."""
    return any(error.errno == errno.EADDRINUSE for error in errors)
