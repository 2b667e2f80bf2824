"""Keep a node that cannot be dialled reachable: a reservation at each configured relay, renewed in time.

A relay (circuit relay v2) forgets a reservation after RELAY_RESERVATION_S; it is renewed at half of that, and at once
with back-off when the relay was lost. What others are told is the circuit addresses that stand at present.
"""

import logging
from collections.abc import Callable

import trio

from skyops_p2p import limits
from skyops_p2p.errors import SkyopsError
from skyops_p2p.ports import Network, PeerAddrs
from skyops_p2p.types import Multiaddr, PeerId

log = logging.getLogger(__name__)

RETRY_FIRST_S = 2.0
RETRY_MAX_S = 300.0


class RelayKeeper:
    """Keeps reservations.

    Args:
        network: To dial and to reserve through.
        relays: The relays of the configuration.
        changed: Called whenever the circuit addresses change.
    """

    def __init__(
        self, network: Network, relays: tuple[PeerAddrs, ...], *, changed: Callable[[], None]
    ) -> None:
        self._network = network
        self._relays = relays
        self._changed = changed
        self._circuits: dict[PeerId, Multiaddr] = {}

    def addrs(self) -> tuple[Multiaddr, ...]:
        """Return our addresses through relays, as they stand."""
        return tuple(self._circuits.values())

    async def run(self) -> None:
        """Keep all reservations until cancelled."""
        async with trio.open_nursery() as nursery:
            for relay in self._relays:
                nursery.start_soon(self._keep, relay)

    async def _keep(self, relay: PeerAddrs) -> None:
        rest_s = RETRY_FIRST_S
        while True:
            try:
                await self._network.dial(relay, timeout_s=limits.DIAL_TIMEOUT_S)
                addr = await self._network.reserve_relay(relay, timeout_s=limits.DIAL_TIMEOUT_S)
            except SkyopsError as error:
                log.warning("relay_unavailable relay=%s code=%s", relay.peer[-8:], error.code)
                self._set(relay.peer, None)
                await trio.sleep(rest_s)
                rest_s = min(2 * rest_s, RETRY_MAX_S)
                continue
            self._set(relay.peer, addr)
            rest_s = RETRY_FIRST_S
            await self._wait_lost_or_due(relay.peer)

    async def _wait_lost_or_due(self, relay: PeerId) -> None:
        """Wait until half of the reservation is over or the relay is gone, whichever is first."""
        with trio.move_on_after(limits.RELAY_RESERVATION_S / 2):
            while relay in self._network.connected_peers():  # noqa: ASYNC110 - the port tells no single peer
                await trio.sleep(limits.RELAY_WATCH_S)

    def _set(self, relay: PeerId, addr: Multiaddr | None) -> None:
        if self._circuits.get(relay) == addr:
            return
        if addr is None:
            del self._circuits[relay]
        else:
            self._circuits[relay] = addr
        self._changed()
