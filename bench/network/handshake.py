"""Application handshakes between two nodes, each in a process of its own: latency, and how many a second."""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import trio

from bench.network._node_peer import make_node
from bench.tables import number, print_place, print_table, say, spread
from skyops_p2p.limits import HANDSHAKES_PER_PEER_MAX
from skyops_p2p.node.runtime import Node
from skyops_p2p.types import Multiaddr, PeerId
from tests.interop.line_peer import start_peer

JOIN_TIMEOUT_S = 30.0


async def shake(node: Node, peer: PeerId) -> float:
    """Shake hands once and close the session; return the milliseconds until it stood."""
    started = time.perf_counter()
    session = await node.open_session(peer)
    took_ms = (time.perf_counter() - started) * 1000
    await session.aclose()
    return took_ms


async def shake_many(node: Node, peer: PeerId, count: int, at_once: int) -> tuple[list[float], float]:
    """Return each handshake's milliseconds, and how long all took, in seconds."""
    times: list[float] = []

    async def work() -> None:
        times.extend([await shake(node, peer) for _ in range(count // at_once)])

    started = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for _ in range(at_once):
            nursery.start_soon(work)
    return times, time.perf_counter() - started


async def run(options: argparse.Namespace) -> list[list[object]]:
    """Measure one at a time, and as many at once as one peer may."""
    rows: list[list[object]] = []
    with tempfile.TemporaryDirectory() as directory:
        async with (
            start_peer([sys.executable, "-m", "bench.network._node_peer"]) as server,
            make_node(Path(directory)) as node,
        ):
            peer = await node.join(Multiaddr(server.addrs[0]))
            await node.wait_for(lambda n: n.status().map_counts["active"] == 2, timeout_s=JOIN_TIMEOUT_S)
            both = [psutil.Process(os.getpid()), psutil.Process(server.pid)]
            await shake_many(node, peer, 10, 1)
            for at_once in (1, HANDSHAKES_PER_PEER_MAX):
                before_s = _cpu_s(both)
                times, took_s = await shake_many(node, peer, options.count, at_once)
                cpu_ms = 1000 * (_cpu_s(both) - before_s) / len(times)
                rows.append([at_once, spread(times), number(len(times) / took_s), number(cpu_ms)])
                say(" ".join(str(cell) for cell in rows[-1]))
    return rows


def _cpu_s(processes: Sequence[psutil.Process]) -> float:
    return sum(time.user + time.system for time in (process.cpu_times() for process in processes))


def main(argv: Sequence[str]) -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench network.handshake", description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    options = parser.parse_args(argv)
    rows = trio.run(run, options)
    print_table(("at once", "ms, p50 / p99", "a second", "CPU ms each, both nodes"), rows)
    print(
        "From opening a stream on a standing connection to the encrypted session: three messages, four signatures of "
        "two kinds on each side, key agreement; then the session is closed. One peer may run "
        f"{HANDSHAKES_PER_PEER_MAX} at once.\n"
    )
    print_place()
