"""The simulator as a world of the port suite: the same tests run over it as over libp2p."""

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import trio

from skyops_p2p.crypto.node_key import NodeKey
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.ports import Network
from skyops_p2p.simulation.fabric import SimFabric
from skyops_p2p.simulation.latency import Latency
from skyops_p2p.simulation.network import SimNetwork


class SuiteRules:
    """Values are a version of 8 bytes and "good" or more; the highest version wins."""

    def validate(self, key: str, value: bytes) -> None:
        if not key.startswith("/skyops/n/") or not value[8:].startswith(b"good"):
            raise RemoteProtocolError("a bad record", code="bad_record")

    def select(self, key: str, values: Sequence[bytes]) -> int:
        return max(range(len(values)), key=lambda index: values[index][:8])


class SimulatedWorld:
    """One fabric of local latencies under the real clock; it runs until the test's trio program ends."""

    def __init__(self) -> None:
        self._fabric = SimFabric(1, latency=Latency(1, is_wide_area=False))
        self._fabric.dht.propagation_mean_s = 0.0
        self._numbers: dict[str, int] = {}
        self._is_running = False

    @asynccontextmanager
    async def open(self, name: str, **options: Any) -> AsyncIterator[Network]:
        if not self._is_running:
            trio.lowlevel.spawn_system_task(self._fabric.run)
            self._is_running = True
        number = self._numbers.setdefault(name, len(self._numbers))
        key = NodeKey.from_seed(hashlib.sha256(name.encode()).digest())
        rules = options.get("dht_rules", SuiteRules())
        async with SimNetwork(
            self._fabric,
            key.peer_id,
            number,
            dht_rules=rules,
            name=options.get("network", "suite"),
            connections_max=options.get("connections_max", 128),
        ) as network:
            yield network
