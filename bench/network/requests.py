"""Requests and dials: round trip on a long-lived stream and on fresh ones, and dialling; two processes."""

import argparse
from collections.abc import Sequence

import trio

from bench.network._worlds import IMPLEMENTATIONS, NAMES, Peer, Starter, cpu_s, find_starters
from bench.tables import number, print_place, print_table, say, spread

PAYLOAD_BYTES = 200
WARM_UP = 20


async def measure_pair(dialler: Peer, server: Peer, *, count: int, dials: int) -> list[object]:
    """Measure one pair; return the cells of its row."""
    await dialler.call("dial", addr=server.addrs[0])
    cells: list[object] = []
    for is_fresh, rounds in ((False, count), (True, count // 2)):
        request = {"peer": server.peer_id, "size": PAYLOAD_BYTES, "fresh": is_fresh}
        await dialler.call("echo", count=WARM_UP, **request)
        answer = await dialler.call("echo", count=rounds, timeout_s=120.0, **request)
        cells.append(spread([us / 1000 for us in answer["us"]]))
    return [*cells, *await _dial_again(dialler, server, dials)]


async def _dial_again(dialler: Peer, server: Peer, dials: int) -> list[object]:
    """Hang up and dial again; return the cells for the dial and its CPU time."""
    times_ms, before_s = [], cpu_s([dialler, server])
    for number_of_dial in range(dials):
        try:
            await dialler.call("hangup", peer=server.peer_id)
        except trio.TooSlowError:
            say(f"hanging up was not answered after {number_of_dial} dials")
            return ["hanging up hangs", "-"]
        times_ms.append((await dialler.call("dial", addr=server.addrs[0]))["us"] / 1000)
    cpu_ms = 1000 * (cpu_s([dialler, server]) - before_s) / dials
    return [spread(times_ms), number(cpu_ms)]


async def run_all(options: argparse.Namespace) -> list[list[object]]:
    """Measure each implementation with itself, and ours with js-libp2p in both directions."""
    starters = find_starters(options.implementations)
    pairs = [(name, name) for name in starters]
    if {"skyops", "js"} <= set(starters):
        pairs += [("skyops", "js"), ("js", "skyops")]
    rows = []
    for client, server in pairs:
        rows.append([NAMES[client], NAMES[server], *await _pair(starters[client], starters[server], options)])
        say(" ".join(str(cell) for cell in rows[-1]))
    return rows


async def _pair(client: Starter, server: Starter, options: argparse.Namespace) -> list[object]:
    async with client() as dialler, server() as listener:
        await trio.sleep(1.0)  # what goes on after a start
        return await measure_pair(dialler, listener, count=options.count, dials=options.dials)


def main(argv: Sequence[str]) -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench network.requests", description=__doc__)
    parser.add_argument("--count", type=int, default=1000, help="requests on the long-lived stream")
    parser.add_argument("--dials", type=int, default=50)
    parser.add_argument(
        "--implementations", nargs="+", default=list(IMPLEMENTATIONS), choices=IMPLEMENTATIONS
    )
    options = parser.parse_args(argv)
    rows = trio.run(run_all, options)
    columns = (
        "client",
        "server",
        "request, long-lived stream",
        "request, fresh stream",
        "dial",
        "CPU ms a dial, both",
    )
    print_table(columns, rows)
    print(
        f"Milliseconds, p50 / p99. Requests and answers of {PAYLOAD_BYTES} bytes, one after the other, on loopback. "
        "A dial is TCP, Noise and yamux until the remote peer's identity is proven (for go also identify), the CPU "
        "with identify and hanging up. The go peers are reached through their daemon's socket: its hops are in "
        "their times, this program's part is not in their CPU.\n"
    )
    print_place()
