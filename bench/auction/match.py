"""Match latency between real processes: from the call to the confirmed award, one after the other and side by side."""

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from bench.tables import number, percentile, print_place, print_table, say
from skyops_p2p.testnet.launcher import Testnet
from skyops_p2p.testnet.startup import bring_up
from skyops_p2p.testnet.topology import default_topology

JOB = {
    "name": "bench",
    "runtime": "wasm",
    "module": "file:bench.wasm",
    "resources": {"cpu": 1, "memory": "1Mi", "disk": "1Mi"},
}
SLOTS = 256
"""Of each worker, so that its processor cores are what runs out: a match holds them for a minute."""

SETTLE_S = 15.0
"""After the start: the first seconds belong to the DHT and the gossip mesh."""


def one_match(testnet: Testnet, name: str, results: list[tuple[bool, float]]) -> None:
    """Run one match from a node and note whether it succeeded and how many milliseconds the caller waited."""
    started = time.perf_counter()
    ended = testnet.client(name).match(JOB, lambda _step: None)
    results.append((ended.is_matched, (time.perf_counter() - started) * 1000))


def measure(testnet: Testnet, *, matches: int, at_once: int) -> list[tuple[bool, float]]:
    """Run matches, `at_once` at a time, each wave from different nodes."""
    names = [entry.name for entry in testnet.record.nodes]
    results: list[tuple[bool, float]] = []
    for wave in range(0, matches, at_once):
        requesters = [names[(wave + index) % len(names)] for index in range(at_once)]
        threads = [threading.Thread(target=one_match, args=(testnet, name, results)) for name in requesters]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return results


def run_world(nodes: int, at_once: int) -> list[tuple[bool, float]]:
    """Bring up a fresh network and run as many matches as leave a fourth of all processor cores free."""
    with tempfile.TemporaryDirectory() as folder:
        plan = default_topology(nodes)
        workers = tuple(node.model_copy(update={"slots": SLOTS, "worker": True}) for node in plan.nodes)
        testnet = Testnet.create(
            Path(folder) / "net", name="bench", topology=plan.model_copy(update={"nodes": workers})
        )
        try:
            bring_up(testnet, timeout_s=180.0, progress=say)
            cores = sum(view.cpu_cores for view in testnet.client(testnet.record.nodes[0].name).map())
            time.sleep(SETTLE_S)
            say(f"{nodes} nodes, {at_once} at once")
            return measure(testnet, matches=cores * 3 // 4 // at_once * at_once, at_once=at_once)
        finally:
            testnet.down()


def row(nodes: int, at_once: int, results: list[tuple[bool, float]]) -> tuple[str, ...]:
    """Return one line of the table."""
    taken = sorted(took_ms for is_matched, took_ms in results if is_matched)
    share = f"{len(taken)} of {len(results)}"
    return (str(nodes), str(at_once), share, *(number(percentile(taken, part)) for part in (0.5, 0.9, 0.99)))


def main(argv: Sequence[str]) -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="bench auction.match", description=__doc__)
    parser.add_argument("--nodes", type=int, nargs="+", default=[3, 10, 20])
    parser.add_argument("--at-once", type=int, nargs="+", default=[1, 4])
    options = parser.parse_args(argv)
    print_place()
    rows = [
        row(nodes, at_once, run_world(nodes, at_once))
        for nodes in options.nodes
        for at_once in options.at_once
        if at_once < nodes
    ]
    print_table(["nodes", "at once", "matched", "p50 ms", "p90 ms", "p99 ms"], rows)
    print("\nFrom the call of the control API to its answer; every other node is a worker that qualifies.")
    print("Beside it, as published: a competitor needed 1.3 s for 3 and 10 nodes and 10.1 s for 100.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
