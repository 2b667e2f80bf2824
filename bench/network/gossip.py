"""Gossip: latency, delivery and CPU, one process a node, against js-libp2p and go-libp2p."""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass

import trio

from bench.network._worlds import IMPLEMENTATIONS, NAMES, Peer, Starter, cpu_s, find_starters, rss_mib, world
from bench.tables import number, percentile, print_place, print_table, say
from tests.interop.line_peer import ForeignPeerError

PAYLOAD_BYTES = 256
LEAD_S = 0.5
DRAIN_S = 2.0
"""Time after the last message for stragglers; what arrives later counts as lost."""
COLUMNS = (
    "implementation",
    "nodes",
    "messages/s",
    "delivered",
    "p50 ms",
    "p99 ms",
    "CPU s a node",
    "CPU ms a delivery",
    "RSS MiB a node",
)


@dataclass(frozen=True)
class Run:
    """One measured load."""

    sent: int
    planned: int
    latencies_ms: list[float]
    cpu_s: float


async def measure(peers: Sequence[Peer], *, rate: float, seconds: float) -> Run:
    """Publish `rate` messages a second in all, each peer in its turn, and collect what arrived."""
    count = max(1, round(rate * seconds))
    before_s = cpu_s(peers)
    t0_ns = time.monotonic_ns() + round(LEAD_S * 1e9)
    until_ns = t0_ns + round((count / rate + DRAIN_S) * 1e9)
    for index, peer in enumerate(peers):
        plan = {
            "first": index,
            "step": len(peers),
            "count": count,
            "size": PAYLOAD_BYTES,
            "until_ns": until_ns,
        }
        await peer.call("gossip_run", t0_ns=t0_ns, gap_ns=round(1e9 / rate), **plan)
    await trio.sleep(LEAD_S + count / rate + DRAIN_S)
    used_s = cpu_s(peers) - before_s
    reports = [await peer.call("gossip_report", timeout_s=60.0) for peer in peers]
    latencies = [value / 1000 for report in reports for value in report["latencies_us"]]
    return Run(sum(report["sent"] for report in reports), count, latencies, used_s)


def row(name: str, nodes: int, rate: float, run: Run, memory_mib: float) -> list[object]:
    """Return one line of the table."""
    expected = run.planned * (nodes - 1)
    received = len(run.latencies_ms)
    return [
        NAMES[name],
        nodes,
        f"{rate:g}",
        f"{100 * received / expected:.1f} %",
        number(percentile(run.latencies_ms, 0.5)),
        number(percentile(run.latencies_ms, 0.99)),
        number(run.cpu_s / nodes),
        number(1000 * run.cpu_s / max(1, received)),
        number(memory_mib),
    ]


async def measure_world(
    name: str, starter: Starter, nodes: int, options: argparse.Namespace
) -> list[list[object]]:
    """Measure all rates on one network."""
    rows = []
    async with world(starter, nodes) as peers:
        for rate in options.rates:
            run = await measure(peers, rate=rate, seconds=options.seconds)
            rows.append(row(name, nodes, rate, run, rss_mib(peers)))
            say(" ".join(str(cell) for cell in rows[-1]))
    return rows


async def run_all(options: argparse.Namespace) -> list[list[object]]:
    """Measure every combination; one network is used for all rates."""
    rows: list[list[object]] = []
    for name, starter in find_starters(options.implementations).items():
        for nodes in options.nodes:
            say(f"{name}: starting {nodes} nodes")
            try:
                rows += await measure_world(name, starter, nodes, options)
            except* (trio.TooSlowError, ForeignPeerError, OSError) as group:
                say(f"{name} with {nodes} nodes failed: {group.exceptions}")
                rows.append([NAMES[name], nodes, "-", "no network stood", *["-"] * (len(COLUMNS) - 4)])
    return rows


def _order(cells: Sequence[object]) -> tuple[int, float]:
    rate = str(cells[2])
    return int(str(cells[1])), 0.0 if rate == "-" else float(rate)


def main(argv: Sequence[str]) -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench network.gossip", description=__doc__)
    parser.add_argument("--nodes", type=int, nargs="+", default=[10, 20, 50])
    parser.add_argument(
        "--rates", type=float, nargs="+", default=[1, 10, 50], help="messages/s of all nodes together"
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="length of each run")
    parser.add_argument(
        "--implementations", nargs="+", default=list(IMPLEMENTATIONS), choices=IMPLEMENTATIONS
    )
    options = parser.parse_args(argv)
    rows = trio.run(run_all, options)
    print_table(COLUMNS, sorted(rows, key=_order))
    print(
        f"{PAYLOAD_BYTES}-byte signed messages for {options.seconds:g} s, published in turn by all nodes; each dialled "
        "about four others, and the DHTs of ours and of js-libp2p connect further. Latency is from the planned "
        "instant to the application of the receiver; what had not arrived "
        f"{DRAIN_S:g} s after the last one counts as lost. All nodes share this machine's cores: where "
        "nodes x messages/s x CPU ms nears the cores' time, the figures show the CPU and not the protocol. "
        "The go nodes are reached through a daemon's socket, whose other end is not in their CPU.\n"
    )
    print_place()
