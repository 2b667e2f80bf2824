"""The swarm: who may connect, how many, and how all of it ends quickly.

libp2p's swarm keeps a slot for every inbound connection it ever had until the node stops (so a node refuses
everybody after `max_connections` visitors), waits without limit for handshakes, dials peers on its own, and
closes its connections one after the other. This one bounds unfinished handshakes by source, gives the slot
back, dials nobody unasked, and closes all connections at once.
"""

import logging
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import trio
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.network.swarm import Swarm

from skyops_p2p import limits
from skyops_p2p.adapters.libp2p.transport import Meter, MeteredStream, shielded

logger = logging.getLogger(__name__)


class _NoAutoConnector:
    """Dials nobody: whom to connect to is the node's decision."""

    _is_connecting = False

    async def start(self) -> None:
        await trio.lowlevel.checkpoint()

    async def stop(self) -> None:
        await trio.lowlevel.checkpoint()

    async def run_background_task(self, nursery: trio.Nursery) -> None:
        await trio.lowlevel.checkpoint()

    async def maybe_connect(self) -> None:
        await trio.lowlevel.checkpoint()

    def record_disconnect(self, peer_id: Any) -> None:
        """Nothing is remembered."""


class HalfOpen:
    """Sockets that have not finished their handshake; newcomers push out the oldest of the same source.

    The newcomer is served because an honest handshake takes milliseconds, while a flood's sockets sit still.
    """

    def __init__(self) -> None:
        self._by_source: dict[str, dict[MeteredStream, None]] = defaultdict(dict)

    def __len__(self) -> int:
        return sum(len(sockets) for sockets in self._by_source.values())

    def add(self, source: str, stream: MeteredStream) -> None:
        """Admit a socket, making room for it if need be."""
        sockets = self._by_source[source]
        if len(sockets) >= limits.HALF_OPEN_PER_SOURCE_MAX:
            self._evict(source)
        elif len(self) >= limits.HALF_OPEN_MAX:
            self._evict(max(self._by_source, key=lambda name: len(self._by_source[name])))
        self._by_source[source][stream] = None

    def discard(self, source: str, stream: MeteredStream) -> None:
        """Forget a socket, finished or failed."""
        sockets = self._by_source.get(source, {})
        sockets.pop(stream, None)
        if not sockets:
            self._by_source.pop(source, None)

    def _evict(self, source: str) -> None:
        oldest = next(iter(self._by_source[source]))
        self.discard(source, oldest)
        oldest.abort()


class SkyopsSwarm(Swarm):
    """libp2p's swarm with our admission and our shutdown.

    Args:
        meter: The sockets, for closing them by force.
        contain: Called with (place, peer or None, error) for each error of foreign code that was stopped here.
    """

    def __init__(
        self, *args: Any, meter: Meter, contain: Callable[[str, Any, BaseException], None], **kwargs: Any
    ):
        super().__init__(*args, **kwargs)
        self._meter = meter
        self._contain = contain
        self.half_open = HalfOpen()
        self.auto_connector = _NoAutoConnector()

    def _schedule_auto_connect(self) -> None:
        """Dial nobody when a connection is lost."""

    async def notify_opened_stream(self, stream: Any) -> None:
        """Tell nobody: no listener of ours or libp2p's does anything here, and each telling opens a nursery."""
        await trio.lowlevel.checkpoint()

    async def notify_closed_stream(self, stream: Any) -> None:
        """Tell nobody; see `notify_opened_stream`."""
        stream._resource_released = True
        await trio.lowlevel.checkpoint()

    async def _handle_inbound_connection(self, read_write_closer: Any, maddr: Any) -> None:
        stream: MeteredStream = read_write_closer
        endpoint = stream.get_remote_address()
        if endpoint is None or len(self.get_connections()) >= self.connection_config.max_connections:
            stream.abort()
            return
        source = endpoint[0]
        self.half_open.add(source, stream)
        try:
            muxed = await self.upgrade_inbound_raw_conn(RawConnection(stream, False), maddr)
        except Exception as error:  # noqa: BLE001 - whatever a stranger's bytes raise ends here
            self._contain("inbound handshake", None, error)
            stream.abort()
            return
        finally:
            self.half_open.discard(source, stream)
        # The listener closes the socket when this returns.
        await muxed.event_closed.wait()

    def socket_of(self, connection: Any) -> MeteredStream | None:
        """Return the socket under a connection, None if it is relayed or closed."""
        if any("/p2p-circuit" in str(addr) for addr in connection.get_transport_addresses()):
            # Its bytes go through the relay's socket, which others share.
            return None
        endpoint = connection.muxed_conn.get_remote_address()
        return None if endpoint is None else self._meter.sockets.get(endpoint)

    async def drop(self, connection: Any) -> None:
        """Close one connection, by force if its peer does not read our farewell."""
        with shielded(limits.STREAM_CLOSE_TIMEOUT_S) as scope:
            await connection.close()
        if scope.cancelled_caught:
            socket = self.socket_of(connection)
            if socket is not None:
                socket.abort()

    async def close(self) -> None:
        """Close every connection at once, then the listeners."""
        async with trio.open_nursery() as nursery:
            for connection in self.get_connections():
                nursery.start_soon(self.drop, connection)
        for stream in list(self._meter.sockets.values()):
            stream.abort()
        await super().close()
