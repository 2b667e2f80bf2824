"""A peer over our libp2p adapter, driven by JSON lines; see tests/interop/line_peer.py.

It stands for a node's network part alone: gossip on one topic, an echo, and the DHT without rules for values.
"""

import json
import logging
import os
import secrets
import sys
import time
from collections.abc import Sequence
from typing import Any

import trio

from skyops_p2p.adapters.libp2p.network import Libp2pNetwork
from skyops_p2p.errors import SkyopsError
from skyops_p2p.ports import GossipReceived, PeerAddrs, Verdict
from skyops_p2p.types import Multiaddr, PeerId

NETWORK = "bench"
TOPIC = f"/skyops/{NETWORK}/load/1"
ECHO = f"/skyops/{NETWORK}/echo/1.0.0"
FRAME_BYTES_MAX = 1 << 20
TIMEOUT_S = 30.0
STAMP_BYTES = 8


class AnyValue:
    """Rules of a DHT without rules."""

    def validate(self, key: str, value: bytes) -> None:
        """Admit everything."""

    def select(self, key: str, values: Sequence[bytes]) -> int:
        """Take the first."""
        return 0


class PyPeer:
    """The commands."""

    def __init__(self, network: Libp2pNetwork, nursery: trio.Nursery) -> None:
        self._network = network
        self._nursery = nursery
        self._latencies_us: list[int] = []
        self._sent = 0
        self._until_ns = 0

    async def start(self) -> None:
        self._network.serve_requests(ECHO, self._echo, bytes_max=FRAME_BYTES_MAX)
        await self._network.subscribe(TOPIC, lambda topic, author, payload: Verdict.ACCEPT)
        self._nursery.start_soon(self._receive)

    async def _echo(self, peer: PeerId, request: bytes) -> bytes:
        return request

    async def _receive(self) -> None:
        async for event in self._network.events():
            if isinstance(event, GossipReceived):
                now_ns, stamp = time.monotonic_ns(), int.from_bytes(event.payload[:STAMP_BYTES], "big")
                if now_ns <= self._until_ns:
                    self._latencies_us.append((now_ns - stamp) // 1000)

    async def dial(self, addr: str) -> dict[str, Any]:
        head, _, peer = addr.rpartition("/p2p/")
        started = time.perf_counter()
        await self._network.dial(PeerAddrs(PeerId(peer), (Multiaddr(head),)), timeout_s=TIMEOUT_S)
        return {"us": (time.perf_counter() - started) * 1e6}

    async def hangup(self, peer: str) -> dict[str, Any]:
        await self._network.disconnect(PeerId(peer))
        while PeerId(peer) in self._network.connected_peers():
            # The other side's DHT may have dialled back in the meantime.
            await self._network.disconnect(PeerId(peer))
            await trio.sleep(0.001)
        return {}

    async def mesh(self) -> dict[str, Any]:
        return {"mesh": self._network.statistics().mesh_peers.get(TOPIC, 0)}

    async def gossip_run(
        self, *, t0_ns: int, gap_ns: int, first: int, step: int, count: int, size: int, until_ns: int
    ) -> dict[str, Any]:
        self._latencies_us, self._sent, self._until_ns = [], 0, until_ns
        self._nursery.start_soon(self._publish_all, range(first, count, step), t0_ns, gap_ns, size)
        return {}

    async def _publish_all(self, numbers: range, t0_ns: int, gap_ns: int, size: int) -> None:
        for index in numbers:
            due_ns = t0_ns + index * gap_ns
            await trio.sleep(max(0, due_ns - time.monotonic_ns()) / 1e9)
            filler = secrets.token_bytes(size - STAMP_BYTES)
            try:
                await self._network.publish(TOPIC, due_ns.to_bytes(STAMP_BYTES, "big") + filler)
            except SkyopsError:
                continue
            self._sent += 1

    async def gossip_report(self) -> dict[str, Any]:
        return {"latencies_us": self._latencies_us, "sent": self._sent}

    async def echo(self, *, peer: str, count: int, size: int, fresh: bool) -> dict[str, Any]:
        """Time requests: on one long-lived stream, or each on a stream of its own."""
        payload = secrets.token_bytes(size)
        times_us = []
        for _ in range(count):
            started = time.perf_counter()
            if fresh:
                stream = await self._network.open_stream(PeerId(peer), ECHO, timeout_s=TIMEOUT_S)
                await stream.send_frame(payload)
                await stream.receive_frame(bytes_max=FRAME_BYTES_MAX)
            else:
                await self._network.request(PeerId(peer), ECHO, payload, timeout_s=TIMEOUT_S)
            times_us.append((time.perf_counter() - started) * 1e6)
            if fresh:
                await stream.aclose()
        return {"us": times_us}

    async def dht_put(self, *, key: str, value: str) -> dict[str, Any]:
        started = time.perf_counter()
        await self._network.put_record(key, value.encode(), timeout_s=TIMEOUT_S)
        return {"us": (time.perf_counter() - started) * 1e6}

    async def dht_get(self, *, key: str) -> dict[str, Any]:
        started = time.perf_counter()
        value = await self._network.get_record(key, timeout_s=TIMEOUT_S)
        return {"us": (time.perf_counter() - started) * 1e6, "is_found": value is not None}

    async def dht_provide(self, *, key: str) -> dict[str, Any]:
        started = time.perf_counter()
        await self._network.provide(key, timeout_s=TIMEOUT_S)
        return {"us": (time.perf_counter() - started) * 1e6}

    async def dht_find(self, *, key: str) -> dict[str, Any]:
        started = time.perf_counter()
        found = await self._network.find_providers(key, count_max=20, timeout_s=TIMEOUT_S)
        return {"us": (time.perf_counter() - started) * 1e6, "is_found": bool(found)}


COMMANDS = {
    "dial", "hangup", "mesh", "gossip_run", "gossip_report", "echo", "dht_put", "dht_get", "dht_provide", "dht_find",
}  # fmt: skip


def tell(message: dict[str, Any]) -> None:
    """Print one line."""
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


async def serve(peer: PyPeer, nursery: trio.Nursery) -> None:
    """Run commands side by side until stdin ends."""

    async def run(command: dict[str, Any]) -> None:
        number, name = command.pop("id"), command.pop("name")
        assert name in COMMANDS
        try:
            tell({"id": number, **await getattr(peer, name)(**command)})
        except SkyopsError as error:
            tell({"id": number, "error": f"{error.code}: {error}"})

    buffer = b""
    async for chunk in trio.lowlevel.FdStream(os.dup(0)):
        *lines, buffer = (buffer + chunk).split(b"\n")
        for line in lines:
            nursery.start_soon(run, json.loads(line))


async def main() -> None:
    """Run one peer."""
    logging.disable(logging.CRITICAL)
    network = Libp2pNetwork(
        seed=os.urandom(32), network=NETWORK, listen=["/ip4/127.0.0.1/tcp/0"], dht_rules=AnyValue()
    )
    async with network, trio.open_nursery() as nursery:
        peer = PyPeer(network, nursery)
        await peer.start()
        addrs = [f"{addr}/p2p/{network.peer_id}" for addr in network.listen_addrs()]
        tell({"event": "ready", "peer": network.peer_id, "addrs": addrs})
        await serve(peer, nursery)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main)
