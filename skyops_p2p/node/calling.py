"""Ask a peer over one protocol, dialling it if need be: a node is connected to few of the peers on its map.

One deadline holds for the dial and the answer together. At most AUCTION_DIALS_MAX dials are under way at a time; more
wait for a place within their deadlines. Connections stay open: the next question to the same peer costs no dial.
"""

from typing import Protocol

import trio

from skyops_p2p import limits
from skyops_p2p.errors import NetworkError
from skyops_p2p.ports import Network
from skyops_p2p.types import PeerId


class Connect(Protocol):
    """Dials a peer unless it is connected; see Performer.connect."""

    async def __call__(self, peer: PeerId, *, timeout_s: float) -> None:
        """Return once the connection stands.

        Raises:
            NetworkError: It cannot be had.
        """


class Caller:
    """Asks peers.

    Args:
        network: To ask through.
        connect: Makes connections.
        protocol: The libp2p protocol id.
    """

    def __init__(self, network: Network, connect: Connect, protocol: str) -> None:
        self._network = network
        self._connect = connect
        self._protocol = protocol
        self._dials = trio.CapacityLimiter(limits.AUCTION_DIALS_MAX)

    async def ask(self, peer: PeerId, data: bytes, *, timeout_s: float) -> bytes:
        """Send one request and return its answer.

        Raises:
            NetworkError: `request_timeout`, or why there is no connection or no answer.
            RemoteProtocolError: The peer refused with a code, or its answer is malformed.
        """
        deadline = trio.current_time() + timeout_s
        with trio.move_on_at(deadline):
            await self.reach(peer, timeout_s=timeout_s)
            left_s = max(0.0, deadline - trio.current_time())
            return await self._network.request(peer, self._protocol, data, timeout_s=left_s)
        raise NetworkError(f"{peer} did not answer within {timeout_s:g} s", code="request_timeout")

    async def reach(self, peer: PeerId, *, timeout_s: float) -> None:
        """Dial a peer unless it is connected, so that the next question costs no dial.

        Raises:
            NetworkError: There is no connection.
        """
        if peer in self._network.connected_peers():
            return
        with trio.move_on_after(timeout_s):
            async with self._dials:
                await self._connect(peer, timeout_s=timeout_s)
            return
        raise NetworkError(f"{peer} was not reached within {timeout_s:g} s", code="request_timeout")
