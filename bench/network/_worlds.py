"""Networks of equal peers for the benchmarks: one process each, connected at random, each to about eight."""

import random
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import psutil
import trio

from bench.network._go_peer import install_go, start_go_peer
from bench.tables import say
from tests.interop.js_peer import install_js, start_js_peer
from tests.interop.line_peer import ForeignPeerMissingError, start_peer

JS_SOURCES = Path(__file__).parent / "js"
IMPLEMENTATIONS = ("skyops", "js", "go")
NAMES = {"skyops": "skyops (py-libp2p)", "js": "js-libp2p", "go": "go-libp2p (p2pd)"}
DIALS_EACH = 4
"""Each peer dials up to so many earlier ones, so that each has about twice as many connections."""
STARTS_AT_ONCE = 4
MESH_MIN = 3
MESH_TIMEOUT_S = 120.0
SETTLE_TIMEOUT_S = 60.0
SETTLE_WINDOW_S = 2.0
"""At least two heartbeats."""
CALM_CORES = 0.25
"""CPU of all peers together, below which the network counts as settled."""


class Peer(Protocol):
    """What the three kinds of peers have in common."""

    pid: int
    peer_id: str
    addrs: tuple[str, ...]

    async def call(self, command: str, *, timeout_s: float = 30.0, **arguments: Any) -> dict[str, Any]:
        """Run a command of _py_peer.py."""


Starter = Callable[[], AbstractAsyncContextManager[Peer]]


def find_starters(wanted: Sequence[str]) -> dict[str, Starter]:
    """Return what starts a peer of each implementation; one that cannot be had here is left out, and said."""
    found: dict[str, Starter] = {}
    for name in wanted:
        try:
            found[name] = _starter(name)
        except ForeignPeerMissingError as error:
            say(f"{name} is left out: {error}")
    return found


def _starter(name: str) -> Starter:
    match name:
        case "skyops":
            return partial(start_peer, [sys.executable, "-m", "bench.network._py_peer"])
        case "js":
            return partial(start_js_peer, install_js(JS_SOURCES), {}, program="bench_peer.mjs")
        case "go":
            return partial(start_go_peer, install_go())
        case _:
            raise ValueError(f"no implementation {name!r}; there are {', '.join(IMPLEMENTATIONS)}")


@asynccontextmanager
async def world(starter: Starter, count: int, *, seed: int = 1) -> AsyncIterator[list[Peer]]:
    """Start `count` peers, connect them and wait until their gossip mesh stands."""
    peers: list[Peer] = []
    limiter = trio.CapacityLimiter(STARTS_AT_ONCE)

    async def run_one(task_status: trio.TaskStatus[None]) -> None:
        async with starter() as peer:
            peers.append(peer)
            task_status.started()
            await trio.sleep_forever()

    async def start_one(nursery: trio.Nursery) -> None:
        async with limiter:
            await nursery.start(run_one)

    async with trio.open_nursery() as nursery:
        async with trio.open_nursery() as starting:
            for _ in range(count):
                starting.start_soon(start_one, nursery)
        await connect(peers, random.Random(seed))
        yield peers
        nursery.cancel_scope.cancel()


async def connect(peers: Sequence[Peer], draw: random.Random) -> None:
    """Let each peer dial some earlier ones, and wait for the mesh."""
    for index, peer in enumerate(peers):
        for target in draw.sample(peers[:index], min(index, DIALS_EACH)):
            await peer.call("dial", addr=target.addrs[0])
    enough = min(MESH_MIN, len(peers) - 1)
    with trio.fail_after(MESH_TIMEOUT_S):
        for peer in peers:
            while (await peer.call("mesh"))["mesh"] < enough:  # noqa: ASYNC110 - no event says it
                await trio.sleep(0.1)
    await settle(peers)


async def settle(peers: Sequence[Peer]) -> None:
    """Wait until the peers have found each other: they hardly use the CPU any more. Gives up after a while."""
    with trio.move_on_after(SETTLE_TIMEOUT_S) as scope:
        used_s = float("inf")
        while used_s > SETTLE_WINDOW_S * CALM_CORES:
            before_s = cpu_s(peers)
            await trio.sleep(SETTLE_WINDOW_S)
            used_s = cpu_s(peers) - before_s
    if scope.cancelled_caught:
        say(f"{len(peers)} peers are still busy after {SETTLE_TIMEOUT_S:g} s; measured all the same")


def cpu_s(peers: Sequence[Peer]) -> float:
    """Return the CPU seconds that all peers have used since their starts."""
    times = [psutil.Process(peer.pid).cpu_times() for peer in peers]
    return sum(time.user + time.system for time in times)


def rss_mib(peers: Sequence[Peer]) -> float:
    """Return the mean resident memory of the peers."""
    return sum(psutil.Process(peer.pid).memory_info().rss for peer in peers) / len(peers) / 2**20
