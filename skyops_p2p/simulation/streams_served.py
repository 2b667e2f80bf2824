"""Opening and serving simulated streams by protocol id, within STREAMS_PER_PEER_MAX."""

from collections import Counter
from typing import TYPE_CHECKING

import trio

from skyops_p2p.errors import NetworkError, RemoteProtocolError
from skyops_p2p.limits import STREAMS_PER_PEER_MAX
from skyops_p2p.ports import StreamServer
from skyops_p2p.simulation.streams import SimFrameStream, stream_pair
from skyops_p2p.types import PeerId

if TYPE_CHECKING:
    from skyops_p2p.simulation.network import SimNetwork


class ServedStreams:
    """Both sides of one node's streams.

    Args:
        network: The node's network.
    """

    def __init__(self, network: "SimNetwork") -> None:
        self._network = network
        self._servers: dict[str, StreamServer] = {}
        self._serving: Counter[int] = Counter()

    def serve(self, protocol: str, server: StreamServer) -> None:
        """Serve inbound streams of a protocol."""
        self._servers[protocol] = server

    async def open(self, peer: PeerId, protocol: str, *, timeout_s: float) -> SimFrameStream:
        """See ports.Network.open_stream."""
        await trio.lowlevel.checkpoint()
        network = self._network
        connection = network.connection_to(peer)
        target = connection.other(network.number)
        with trio.move_on_after(timeout_s) as scope:
            for source, to in ((network.number, target), (target, network.number)):
                delay_s = network.fabric.stream_delay_s(source, to)
                await trio.sleep(timeout_s if delay_s is None else delay_s)
        there = network.fabric.member(target)
        if scope.cancelled_caught or there is None or not connection.is_open:
            raise NetworkError(f"no stream to {peer} within {timeout_s:g} s", code="stream_timeout")
        return there.streams.accept(network, protocol)

    def accept(self, opener: "SimNetwork", protocol: str) -> SimFrameStream:
        """Take an inbound stream and serve our end in a task of its own.

        Returns:
            The opener's end.

        Raises:
            NetworkError: The protocol is not spoken here (`protocol_unsupported`), or too many are open (`busy`).
        """
        network = self._network
        if protocol not in self._servers:
            raise NetworkError(f"{network.peer_id} does not speak {protocol}", code="protocol_unsupported")
        if self._serving[opener.number] >= STREAMS_PER_PEER_MAX:
            raise NetworkError(f"{network.peer_id} has too many of our streams", code="busy")
        near, far = stream_pair(
            network.fabric,
            network.connections[opener.number],
            opener=(opener.number, opener.peer_id),
            server=(network.number, network.peer_id),
        )
        self._serving[opener.number] += 1
        network.fabric.note("stream", opener.number, network.number)
        network.nursery.start_soon(self._serve, protocol, far, opener.number)
        return near

    async def _serve(self, protocol: str, stream: SimFrameStream, opener: int) -> None:
        try:
            await self._servers[protocol](stream)
        except (NetworkError, RemoteProtocolError):
            self._network.fabric.note("stream-end", opener, self._network.number)
        except Exception as error:  # noqa: BLE001 - a broken server is stopped at the port's edge, as in the adapter
            self._network.contain(error)
        finally:
            self._serving[opener] -= 1
            if not self._serving[opener]:
                del self._serving[opener]
            await stream.aclose()
