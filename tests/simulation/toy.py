"""A small world of bare networks, without nodes: what the fabric's own tests run on."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import trio

from skyops_p2p.crypto.node_key import NodeKey
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.ports import NetworkEvent, PeerAddrs, Verdict
from skyops_p2p.simulation.entropy import derived_bytes
from skyops_p2p.simulation.fabric import SimFabric
from skyops_p2p.simulation.network import SimNetwork

TOPIC = "/skyops/toy/presence/1"
PROTOCOL = "/skyops/toy/node/1.0.0"


class ToyRules:
    """Values are a number in ASCII, and the largest is the best."""

    def validate(self, key: str, value: bytes) -> None:
        if not value.isdigit() or not key.startswith("/skyops/n/"):
            raise RemoteProtocolError("not a number", code="malformed", rule="TOY-1")

    def select(self, key: str, values: Sequence[bytes]) -> int:
        numbers = [int(value) for value in values]
        return numbers.index(max(numbers))


def toy_network(fabric: SimFabric, number: int, *, connections_max: int = 128) -> SimNetwork:
    key = NodeKey.from_seed(derived_bytes(fabric.seed, "node", number))
    return SimNetwork(fabric, key.peer_id, number, dht_rules=ToyRules(), connections_max=connections_max)


def addrs(network: SimNetwork) -> PeerAddrs:
    return PeerAddrs(network.peer_id, network.listen_addrs())


@asynccontextmanager
async def toy_world(count: int, fabric: SimFabric) -> AsyncIterator[list[SimNetwork]]:
    """Run a fabric and some networks that do not know each other yet."""
    networks = [toy_network(fabric, number) for number in range(count)]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(fabric.run)
        async with trio.open_nursery() as members:
            for network in networks:
                await members.start(_stay, network)
            yield networks
            members.cancel_scope.cancel()
        nursery.cancel_scope.cancel()


async def _stay(network: SimNetwork, *, task_status: trio.TaskStatus[None]) -> None:
    async with network:
        task_status.started()
        await trio.sleep_forever()


async def ring(networks: list[SimNetwork], *, reach: int = 3) -> None:
    """Connect each network with the next `reach` ones."""
    for index, network in enumerate(networks):
        for step in range(1, reach + 1):
            await network.dial(addrs(networks[(index + step) % len(networks)]), timeout_s=30)


async def echo(_peer: object, payload: bytes) -> bytes:
    return payload


def accept(_topic: str, _author: object, _payload: bytes) -> Verdict:
    return Verdict.ACCEPT


async def next_event(network: SimNetwork, kind: type[NetworkEvent]) -> NetworkEvent:
    """Wait for the next event of a kind, dropping others."""
    with trio.fail_after(60):
        while not isinstance(event := await network.events().receive(), kind):
            pass
    return event


def drain(network: SimNetwork) -> list[NetworkEvent]:
    """Take all events that wait."""
    events: list[NetworkEvent] = []
    while True:
        try:
            events.append(network.events().receive_nowait())
        except trio.WouldBlock:
            return events
