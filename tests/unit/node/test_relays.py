"""Reservations at relays: made, told, renewed, and given up when the relay is gone."""

from collections.abc import Callable

import trio
from trio.testing import MockClock

from skyops_p2p import limits
from skyops_p2p.errors import NetworkError
from skyops_p2p.node.relays import RelayKeeper
from skyops_p2p.ports import PeerAddrs
from skyops_p2p.types import Multiaddr, PeerId
from tests.unit.node.small_world import identity

RELAY = PeerAddrs(identity("carol").node_key.peer_id, (Multiaddr("/ip4/10.0.0.1/tcp/1"),))
CIRCUIT = Multiaddr(f"/ip4/10.0.0.1/tcp/1/p2p/{RELAY.peer}/p2p-circuit")


class OneRelay:
    """The part of a network that a keeper uses, with one relay that can be switched off."""

    def __init__(self) -> None:
        self.is_up = True
        self.reservations: list[float] = []

    def connected_peers(self) -> frozenset[PeerId]:
        return frozenset({RELAY.peer}) if self.is_up else frozenset()

    async def dial(self, target: PeerAddrs, *, timeout_s: float) -> None:
        await trio.sleep(0.01)
        if not self.is_up:
            raise NetworkError(f"{target.peer} is down after {timeout_s} s", code="dial_failed")

    async def reserve_relay(self, relay: PeerAddrs, *, timeout_s: float) -> Multiaddr:
        await trio.sleep(0.01)
        self.reservations.append(trio.current_time())
        return Multiaddr(f"{relay.addrs[0]}/p2p/{relay.peer}/p2p-circuit")


async def keep(network: OneRelay, body: Callable[[RelayKeeper, list[int]], object]) -> None:
    changes: list[int] = []
    keeper = RelayKeeper(network, (RELAY,), changed=lambda: changes.append(len(keeper.addrs())))  # type: ignore[arg-type]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper.run)
        await body(keeper, changes)  # type: ignore[misc]
        nursery.cancel_scope.cancel()


async def test_circuit_is_told_and_renewed_before_it_runs_out(autojump_clock: MockClock) -> None:
    network = OneRelay()

    async def body(keeper: RelayKeeper, changes: list[int]) -> None:
        await trio.sleep(2.2 * limits.RELAY_RESERVATION_S)
        assert keeper.addrs() == (CIRCUIT,)
        assert changes == [1]

    await keep(network, body)
    gaps = [
        after - before for before, after in zip(network.reservations, network.reservations[1:], strict=False)
    ]
    assert len(gaps) >= 4
    assert max(gaps) < limits.RELAY_RESERVATION_S


async def test_lost_relay_is_no_longer_told_and_tried_again(autojump_clock: MockClock) -> None:
    network = OneRelay()

    async def body(keeper: RelayKeeper, changes: list[int]) -> None:
        await trio.sleep(1)
        network.is_up = False
        await trio.sleep(3 * limits.RELAY_WATCH_S)
        assert keeper.addrs() == ()
        network.is_up = True
        await trio.sleep(60)
        assert keeper.addrs() == (CIRCUIT,)
        assert changes == [1, 0, 1]

    await keep(network, body)
