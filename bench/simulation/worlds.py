"""What a simulated world costs: milliseconds for a seed of the core simulation, CPU and memory for worlds of Nodes."""

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Sequence

from bench.tables import number, print_place, print_table, say
from skyops_p2p.simulation.core_world import run_core_seed
from skyops_p2p.simulation.memo import shared_checks
from skyops_p2p.simulation.scenarios import join
from skyops_p2p.simulation.world import WorldOptions, simulate

CORE_NODES = 6
SEED = 7


def core_seeds(seeds: int) -> list[object]:
    """Run some seeds of the core simulation and return their row."""
    started = time.process_time()
    with shared_checks():
        outcomes = [run_core_seed(seed, nodes=CORE_NODES, has_full_disks=False) for seed in range(seeds)]
    cpu_s = time.process_time() - started
    steps = sum(outcome.steps for outcome in outcomes)
    return [
        f"{seeds} core seeds of {CORE_NODES} nodes",
        number(cpu_s),
        number(1e3 * cpu_s / seeds),
        steps,
        "-",
        "-",
    ]


def world(nodes: int) -> list[object]:
    """Let whole nodes find each other, and return their row; run in a process of its own, for the memory."""
    started = time.process_time()
    outcome = simulate(join, seed=SEED, nodes=nodes, options=WorldOptions(tick_s=0.01))
    cpu_s = time.process_time() - started
    memory_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    joined_s = outcome.result["joined_after_s"]
    return [
        f"{nodes} nodes join",
        number(cpu_s),
        number(1e6 * cpu_s / nodes**2),
        outcome.trace_entries,
        number(joined_s),
        number(memory_mib),
    ]


def main(argv: Sequence[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench simulation.worlds", description=__doc__)
    parser.add_argument("--seeds", type=int, default=300)
    parser.add_argument("--nodes", type=int, nargs="*", default=[20, 100, 200])
    parser.add_argument("--one", type=int, help="one world, as a row")
    options = parser.parse_args(argv)
    if options.one is not None:
        print("\t".join(str(cell) for cell in world(options.one)))
        return
    rows: list[Sequence[object]] = [core_seeds(options.seeds)]
    for nodes in options.nodes:
        say(f"{nodes} nodes")
        command = [sys.executable, "-m", "bench", "simulation.worlds", "--one", str(nodes)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        rows.append(done.stdout.strip().split("\t"))
    print_table(
        ["world", "CPU s", "ms a seed, us a pair", "events", "joined after virtual s", "peak MiB"], rows
    )
    print_place()
