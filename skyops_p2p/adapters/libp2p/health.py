"""Find connections whose peer is frozen or gone.

A peer that was stopped, or whose network vanished, leaves a TCP connection that looks alive for minutes. Any
received byte proves life; after HEALTH_INTERVAL_S of silence a yamux PING asks for one, and after
CONNECTION_SILENCE_MAX_S without a byte the socket is closed without a farewell.
"""

import logging
import struct
from collections.abc import Callable
from typing import Any

import trio
from libp2p.stream_muxer.yamux.yamux import FLAG_SYN, TYPE_PING, YAMUX_HEADER_FORMAT

from skyops_p2p.adapters.libp2p.frames import FOREIGN_ERRORS
from skyops_p2p.adapters.libp2p.swarm import SkyopsSwarm

logger = logging.getLogger(__name__)


async def watch_connections(
    swarm: SkyopsSwarm, *, interval_s: float, silence_max_s: float, tick: Callable[[], Any]
) -> None:
    """Ping silent connections and drop dead ones, for ever; `tick` is awaited once per round."""
    async with trio.open_nursery() as nursery:
        while True:
            await trio.sleep(min(interval_s, 1.0))
            now = trio.current_time()
            for connection in swarm.get_connections():
                socket = swarm.socket_of(connection)
                if socket is None:
                    continue
                silence_s = now - socket.received_at
                if silence_s >= silence_max_s:
                    logger.info("connection_dropped peer=%s silence_s=%.1f", _short(connection), silence_s)
                    socket.abort()
                elif silence_s >= interval_s:
                    nursery.start_soon(_ping, connection, interval_s)
            await tick()


async def _ping(connection: Any, timeout_s: float) -> None:
    """Send a yamux PING; the answer is counted by the socket, not here."""
    frame = struct.pack(YAMUX_HEADER_FORMAT, 0, TYPE_PING, FLAG_SYN, 0, 0)
    with trio.move_on_after(timeout_s):
        try:
            await connection.muxed_conn._write_frame(frame)
        except FOREIGN_ERRORS as error:
            logger.debug("connection_ping_failed peer=%s error=%r", _short(connection), error)


def _short(connection: Any) -> str:
    return str(connection.muxed_conn.peer_id)[-8:]
