"""Circuit relay v2 and hole punching, as far as py-libp2p carries them; only with `relay=True`.

A node with relaying on serves as a relay for others, accepts circuits, dials addresses with /p2p-circuit, and
tries to replace a circuit by a direct connection (DCUtR). A peer behind a relay keeps a reservation there and
announces the circuit address that `reserve` returns. Identity is proven end to end: the relay sees ciphertext.

libp2p's relay takes the name of the reserving peer from the message; here it is the one that Noise proved.

Sources: libp2p circuit-v2 and DCUtR specifications.
"""

import logging
from contextlib import AsyncExitStack
from typing import Any

import trio
from libp2p.peer.id import ID
from libp2p.relay.circuit_v2.config import RelayConfig, RelayRole
from libp2p.relay.circuit_v2.dcutr import DCUtRProtocol
from libp2p.relay.circuit_v2.protocol import PROTOCOL_ID, CircuitV2Protocol
from libp2p.relay.circuit_v2.resources import RelayLimits
from libp2p.relay.circuit_v2.transport import CircuitV2Transport
from libp2p.tools.anyio_service import background_trio_service
from multiaddr import Multiaddr as RawMultiaddr

from skyops_p2p import limits
from skyops_p2p.adapters.libp2p.frames import FOREIGN_ERRORS
from skyops_p2p.errors import NetworkError
from skyops_p2p.types import Multiaddr

logger = logging.getLogger(__name__)

CIRCUIT_MARK = "/p2p-circuit"


class _Circuits(CircuitV2Protocol):
    """libp2p's relay, for which nobody reserves in another's name."""

    async def _handle_reserve(self, stream: Any, msg: Any) -> None:
        msg.ClearField("peer")
        await super()._handle_reserve(stream, msg)


class Relay:
    """Relaying of one host."""

    def __init__(self, host: Any) -> None:
        self._host = host
        bounds = RelayLimits(
            duration=limits.RELAY_CIRCUIT_S,
            data=limits.RELAY_CIRCUIT_BYTES_MAX,
            max_circuit_conns=limits.RELAY_CIRCUITS_PER_PEER_MAX,
            max_reservations=limits.RELAY_RESERVATIONS_MAX,
            reservation_ttl=limits.RELAY_RESERVATION_S,
        )
        self._circuits = _Circuits(host, bounds, allow_hop=True)
        # Without the client role, dialling does not first reserve a place that it does not need.
        config = RelayConfig(roles=RelayRole.HOP | RelayRole.STOP, limits=bounds)
        self._transport = CircuitV2Transport(host, self._circuits, config)
        self._punching = DCUtRProtocol(host)

    async def start(self, stack: AsyncExitStack) -> None:
        """Run until the stack is closed."""
        await stack.enter_async_context(background_trio_service(self._circuits))
        await stack.enter_async_context(background_trio_service(self._punching))
        with trio.fail_after(limits.DIAL_TIMEOUT_S):
            await self._circuits.event_started.wait()

    async def reserve(self, relay: ID, addr: Multiaddr, *, timeout_s: float) -> Multiaddr:
        """Ask a connected relay to keep us reachable.

        Args:
            relay: The relay.
            addr: An address at which others reach the relay, without /p2p.
            timeout_s: Seconds to wait.

        Returns:
            Our address through the relay, to be announced; good for RELAY_RESERVATION_S.

        Raises:
            NetworkError: The relay did not grant it in time (`relay_refused`).
        """
        is_granted = False
        try:
            with trio.move_on_after(timeout_s):
                stream = await self._host.new_stream(relay, [PROTOCOL_ID])
                is_granted = await self._transport._make_reservation(stream, relay)
                await stream.close()
        except FOREIGN_ERRORS as error:
            raise NetworkError(f"{relay} does not relay", code="relay_refused") from error
        if not is_granted:
            raise NetworkError(f"{relay} did not grant a reservation", code="relay_refused")
        return Multiaddr(f"{addr}/p2p/{relay.to_base58()}{CIRCUIT_MARK}")

    async def dial(self, addr: RawMultiaddr, peer: ID) -> None:
        """Connect to a peer over a circuit address, "…/p2p/<relay>/p2p-circuit".

        Raises:
            Whatever libp2p raises; the dialler maps it.
        """
        text = str(addr).partition(CIRCUIT_MARK)[0]
        await self._transport.dial(RawMultiaddr(f"{text}{CIRCUIT_MARK}/p2p/{peer.to_base58()}"))
