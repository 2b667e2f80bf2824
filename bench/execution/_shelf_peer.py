"""A content shelf over real sockets in a child process, driven by JSON lines; see tests/interop/line_peer.py."""

import json
import logging
import os
import resource
import secrets
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import trio

from skyops_p2p.adapters.blobs import open_disk_blocks
from skyops_p2p.adapters.libp2p.network import Libp2pNetwork
from skyops_p2p.adapters.system import SystemClock, SystemEntropy
from skyops_p2p.adapters.system.allocator import keep_freed_memory
from skyops_p2p.core.rules import NetworkRules
from skyops_p2p.node.content.shelf import ContentShelf, Holder, no_progress
from skyops_p2p.node.content.ways import Ways
from skyops_p2p.ports import PeerAddrs
from skyops_p2p.types import Multiaddr, NetworkName, PeerId
from skyops_p2p.wire.messages.content import BundleRef

NETWORK = NetworkRules(NetworkName("bench"), 31337, is_testnet=True)
QUOTA_BYTES = 64 << 30
SAMPLE_S = 0.02


class AnyValue:
    """Rules of a DHT without rules."""

    def validate(self, key: str, value: bytes) -> None:
        """Admit everything."""

    def select(self, key: str, values: object) -> int:
        """Take the first."""
        return 0


class MemoryWatch(threading.Thread):
    """Notes the most resident memory until it is asked."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._process = psutil.Process()
        self._most = 0
        self.start()

    def run(self) -> None:
        while True:
            self._most = max(self._most, self._process.memory_info().rss)
            time.sleep(SAMPLE_S)

    def most_mib(self) -> float:
        """Return the most since the last call."""
        most, self._most = self._most, 0
        return most / (1 << 20)


class ShelfPeer:
    """The commands."""

    def __init__(self, shelf: ContentShelf, network: Libp2pNetwork, ways: Ways) -> None:
        self._shelf, self._network, self._ways = shelf, network, ways
        self._memory = MemoryWatch()

    async def dial(self, addr: str) -> dict[str, Any]:
        head, _, peer = addr.rpartition("/p2p/")
        await self._network.dial(PeerAddrs(PeerId(peer), (Multiaddr(head),)), timeout_s=10.0)
        return {}

    async def seal(self, *, path: str, key: str, owner: str) -> dict[str, Any]:
        ref, figures = await self._timed(
            lambda: self._shelf.seal_tree(
                Path(path), key=bytes.fromhex(key), owner=owner, bytes_max=1 << 40, progress=no_progress
            )
        )
        return {"ref": {**ref.model_dump(), "root": ref.root.hex()}, **figures}

    async def fetch(self, *, ref: dict[str, Any], holder: str, owner: str, channel: bool) -> dict[str, Any]:
        self._ways._dials_channels = channel
        holders = [Holder(PeerId(holder))]
        _, figures = await self._timed(
            lambda: self._shelf.fetch(_ref(ref), holders, owner=owner, progress=no_progress)
        )
        return figures

    async def open(self, *, ref: dict[str, Any], into: str, key: str) -> dict[str, Any]:
        _, figures = await self._timed(
            lambda: self._shelf.open_tree(_ref(ref), Path(into), key=bytes.fromhex(key), progress=no_progress)
        )
        return figures

    async def sync(self) -> dict[str, Any]:
        _, figures = await self._timed(self._shelf.sync)
        return figures

    async def memory(self) -> dict[str, Any]:
        return {"most_mib": self._memory.most_mib()}

    async def _timed(self, work: Callable[[], Any]) -> tuple[Any, dict[str, Any]]:
        self._memory.most_mib()
        before = psutil.Process().memory_info().rss / (1 << 20)
        cpu = _cpu_s()
        started = time.perf_counter()
        result = await work()
        took = time.perf_counter() - started
        most = max(self._memory.most_mib(), before)
        return result, {"s": took, "cpu_s": _cpu_s() - cpu, "before_mib": before, "most_mib": most}


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _ref(fields: dict[str, Any]) -> BundleRef:
    return BundleRef.model_validate({**fields, "root": bytes.fromhex(fields["root"])})


def tell(line: dict[str, Any]) -> None:
    """Print one line."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


async def serve(peer: ShelfPeer) -> None:
    """Answer commands until stdin ends."""
    buffer = b""
    async for chunk in trio.lowlevel.FdStream(os.dup(0)):
        *lines, buffer = (buffer + chunk).split(b"\n")
        for line in lines:
            command = json.loads(line)
            number, name = command.pop("id"), command.pop("name")
            tell({"id": number, **await getattr(peer, name)(**command)})


async def main() -> None:
    """Run one peer below the directory that the first argument names."""
    logging.basicConfig(level=logging.DEBUG if os.environ.get("BENCH_LOG") else logging.CRITICAL)
    keep_freed_memory()
    network = Libp2pNetwork(
        seed=secrets.token_bytes(32),
        network=NETWORK.network,
        listen=["/ip4/127.0.0.1/tcp/0"],
        dht_rules=AnyValue(),
    )
    with tempfile.TemporaryDirectory(dir=sys.argv[1]) as directory:
        async with network, open_disk_blocks(Path(directory) / "blocks", quota_bytes=QUOTA_BYTES) as store:

            async def reach(peer: PeerId) -> None:
                del peer

            ways = Ways(
                network,
                NETWORK,
                entropy=SystemEntropy(),
                reach=reach,
                addrs_of=lambda peer: (Multiaddr("/ip4/127.0.0.1/tcp/1"),),
                channel_port=0,
            )
            shelf = ContentShelf(store, ways, wall_clock=SystemClock())
            async with trio.open_nursery() as nursery:
                await nursery.start(shelf.run)
                addrs = [f"{addr}/p2p/{network.peer_id}" for addr in network.listen_addrs()]
                tell({"event": "ready", "peer": network.peer_id, "addrs": addrs})
                await serve(ShelfPeer(shelf, network, ways))
                nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main)
