"""The DHT: put, get, provide and find on a network of 20 processes, against js-libp2p and go-libp2p."""

import argparse
import random
from collections.abc import Sequence

import trio

from bench.network._worlds import IMPLEMENTATIONS, NAMES, Peer, find_starters, world
from bench.tables import print_place, print_table, say, spread
from tests.interop.line_peer import ForeignPeerError

SETTLE_S = 5.0
"""For the routing tables to fill."""
OPERATIONS = ("put", "get", "provide", "find")


async def measure(name: str, peers: Sequence[Peer], *, rounds: int) -> list[object]:
    """Put and provide at random peers, get and find at others; return the cells of a row."""
    draw = random.Random(1)
    times_ms: dict[str, list[float]] = {operation: [] for operation in OPERATIONS}
    failed = dict.fromkeys(OPERATIONS, 0)
    operations = ("provide", "find") if name == "go" else OPERATIONS
    for number in range(rounds):
        writer, reader = draw.sample(list(peers), 2)
        for operation in operations:
            peer = writer if operation in ("put", "provide") else reader
            is_record = operation in ("put", "get")
            key = f"/skyops/b/{number:032}" if is_record else f"bench:{number}"
            extra = {"value": "x" * 800} if operation == "put" else {}
            try:
                answer = await peer.call(f"dht_{operation}", timeout_s=60.0, key=key, **extra)
            except (ForeignPeerError, trio.TooSlowError):
                failed[operation] += 1
                continue
            times_ms[operation].append(answer["us"] / 1000)
            if operation in ("get", "find"):
                failed[operation] += not answer["is_found"]
    cells = [
        spread(times_ms[operation]) if operation in operations else "not possible" for operation in OPERATIONS
    ]
    return [
        NAMES[name],
        *cells,
        ", ".join(f"{operation} {count}" for operation, count in failed.items() if count) or "none",
    ]


async def run_all(options: argparse.Namespace) -> list[list[object]]:
    """Measure each implementation on a network of its own."""
    rows = []
    for name, starter in find_starters(options.implementations).items():
        say(f"{name}: starting {options.nodes} nodes")
        async with world(starter, options.nodes) as peers:
            await trio.sleep(SETTLE_S)
            rows.append(await measure(name, peers, rounds=options.rounds))
            say(" ".join(str(cell) for cell in rows[-1]))
    return rows


def main(argv: Sequence[str]) -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench network.dht", description=__doc__)
    parser.add_argument("--nodes", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument(
        "--implementations", nargs="+", default=list(IMPLEMENTATIONS), choices=IMPLEMENTATIONS
    )
    options = parser.parse_args(argv)
    print_table(("implementation", "put", "get", "provide", "find", "failed"), trio.run(run_all, options))
    print(
        f"Milliseconds, p50 / p99 of {options.rounds} operations on {options.nodes} nodes, one after the other, "
        "by random nodes; records of 800 bytes. What is compared differs: our get asks all of the closest peers "
        "and takes the newest record, js-libp2p's is timed to its first value; a put or provide ends when all "
        "closest peers have been asked. The go daemon admits no records of ours.\n"
    )
    print_place()
