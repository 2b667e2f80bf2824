"""Shelves of a few people in one process: streams and requests through memory, data channels through loopback TCP."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trio

from skyops_p2p.adapters.blobs import open_disk_blocks
from skyops_p2p.adapters.system import SystemEntropy
from skyops_p2p.core.rules import NetworkRules
from skyops_p2p.errors import NetworkError, RemoteProtocolError
from skyops_p2p.node.content.shelf import ContentShelf, ShelfSettings
from skyops_p2p.node.content.ways import Ways
from skyops_p2p.ports import FrameStream, PeerAddrs
from skyops_p2p.ports.content import BlockStore
from skyops_p2p.types import Multiaddr, NetworkName, PeerId, UnixMs
from tests.vectors.people import ALICE, BOB, CAROL, MALLORY, NOW

RULES = NetworkRules(NetworkName("testnet-loop"), 31337, is_testnet=True)
PEERS = {person.name: person.node_key.peer_id for person in (ALICE, BOB, CAROL, MALLORY)}
KEY = bytes(range(32))
LOOPBACK = Multiaddr("/ip4/127.0.0.1/tcp/1")
MIB = 1 << 20


@dataclass
class Clock:
    """Wall time that stands still until it is set."""

    now: UnixMs = NOW

    def now_ms(self) -> UnixMs:
        return self.now


class LoopStream:
    """One end of a framed stream in memory."""

    def __init__(
        self, peer: PeerId, out: trio.MemorySendChannel[bytes], back: trio.MemoryReceiveChannel[bytes]
    ) -> None:
        self.peer = peer
        self._out, self._back = out, back

    async def send_frame(self, frame: bytes) -> None:
        try:
            await self._out.send(frame)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise NetworkError("gone", code="stream_closed") from error

    async def receive_frame(self, *, bytes_max: int) -> bytes:
        try:
            frame = await self._back.receive()
        except (trio.EndOfChannel, trio.ClosedResourceError) as error:
            raise NetworkError("gone", code="stream_closed") from error
        if len(frame) > bytes_max:
            raise RemoteProtocolError("too long", code="oversized")
        return frame

    async def aclose(self) -> None:
        self._out.close()
        self._back.close()


@dataclass
class Hub:
    """Carries streams and requests between people."""

    nursery: trio.Nursery
    streams: dict[tuple[PeerId, str], Callable[[FrameStream], Awaitable[None]]] = field(default_factory=dict)
    servers: dict[tuple[PeerId, str], Callable[[PeerId, bytes], Awaitable[bytes]]] = field(
        default_factory=dict
    )
    cut: set[PeerId] = field(default_factory=set)
    """Who cannot be reached."""
    opened: list[tuple[PeerId, PeerId]] = field(default_factory=list)
    """Streams that were opened, (from, to)."""


class LoopNetwork:
    """As much of `ports.Network` as content needs."""

    def __init__(self, hub: Hub, own: PeerId) -> None:
        self.hub, self.own = hub, own

    def listen_addrs(self) -> tuple[Multiaddr, ...]:
        return (LOOPBACK,)

    def connected_peers(self) -> frozenset[PeerId]:
        return frozenset(PEERS.values()) - self.hub.cut

    async def dial(self, target: PeerAddrs, *, timeout_s: float) -> None:
        await trio.lowlevel.checkpoint()
        if target.peer in self.hub.cut:
            raise NetworkError("unreachable", code="dial_failed")

    def serve_streams(self, protocol: str, server: Callable[[FrameStream], Awaitable[None]]) -> None:
        self.hub.streams[self.own, protocol] = server

    def serve_requests(
        self, protocol: str, server: Callable[[PeerId, bytes], Awaitable[bytes]], *, bytes_max: int
    ) -> None:
        self.hub.servers[self.own, protocol] = server

    async def request(self, peer: PeerId, protocol: str, payload: bytes, *, timeout_s: float) -> bytes:
        if peer in self.hub.cut or (peer, protocol) not in self.hub.servers:
            raise NetworkError("unreachable", code="not_connected")
        return await self.hub.servers[peer, protocol](self.own, payload)

    async def open_stream(self, peer: PeerId, protocol: str, *, timeout_s: float) -> FrameStream:
        if peer in self.hub.cut or (peer, protocol) not in self.hub.streams:
            raise NetworkError("unreachable", code="not_connected")
        there_in, there_out = trio.open_memory_channel[bytes](4)
        back_in, back_out = trio.open_memory_channel[bytes](4)
        self.hub.opened.append((self.own, peer))
        self.hub.nursery.start_soon(
            self._serve, self.hub.streams[peer, protocol], LoopStream(self.own, back_in, there_out)
        )
        return LoopStream(peer, there_in, back_out)

    async def _serve(self, server: Callable[[FrameStream], Awaitable[None]], stream: LoopStream) -> None:
        try:
            await server(stream)
        except (NetworkError, RemoteProtocolError):
            await trio.lowlevel.checkpoint()
        finally:
            await stream.aclose()


@dataclass
class Person:
    """One shelf and what is under it."""

    peer: PeerId
    shelf: ContentShelf
    store: BlockStore
    network: LoopNetwork
    clock: Clock


@dataclass
class Loop:
    """Opens people's shelves below one directory."""

    hub: Hub
    directory: Path

    @asynccontextmanager
    async def person(
        self,
        name: str,
        *,
        quota_bytes: int = 256 * MIB,
        replica_bytes: int = 64 * MIB,
        channel: bool = False,
        addrs: tuple[Multiaddr, ...] = (LOOPBACK,),
    ) -> AsyncIterator[Person]:
        clock, network = Clock(), LoopNetwork(self.hub, PEERS[name])

        async def reach(peer: PeerId) -> None:
            raise NetworkError(f"{peer} is nowhere", code="unknown_address")

        ways = Ways(
            network,
            RULES,
            entropy=SystemEntropy(),
            reach=reach,
            addrs_of=lambda _peer: addrs,
            channel_port=0 if channel else None,
        )
        async with open_disk_blocks(self.directory / name / "blocks", quota_bytes=quota_bytes) as store:
            shelf = ContentShelf(
                store, ways, wall_clock=clock, settings=ShelfSettings(replica_bytes=replica_bytes)
            )
            async with trio.open_nursery() as nursery:
                await nursery.start(shelf.run)
                yield Person(PEERS[name], shelf, store, network, clock)
                nursery.cancel_scope.cancel()


def make_tree(root: Path, files: dict[str, bytes]) -> Path:
    """Write files below a directory; a name that ends with a slash is an empty directory."""
    root.mkdir(parents=True)
    for name, data in files.items():
        path = root / name
        if name.endswith("/"):
            path.mkdir(parents=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def read_tree(root: Path) -> dict[str, bytes]:
    """Read what `make_tree` writes."""
    found = {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    empty = [path for path in root.rglob("*") if path.is_dir() and not any(path.iterdir())]
    return found | {f"{path.relative_to(root)}/": b"" for path in empty}
