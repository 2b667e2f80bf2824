"""What a node costs: start-up, resident memory and CPU while idle, beside the bare import of libp2p."""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

from bench.tables import number, percentile, print_place, print_table, say
from skyops_p2p.errors import NetworkError
from skyops_p2p.node.control_client import ControlClient
from skyops_p2p.testnet.creation import node_dir
from skyops_p2p.testnet.launcher import Testnet
from skyops_p2p.testnet.topology import NetworkPlan, default_topology

REAL_BEAT_S = 30.0
"""The interval of a real network; testnets beat faster."""
SETTLE_S = 15.0
"""After convergence: the first synchronisations and DHT look-ups are over."""
POLL_S = 0.005
COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "skyops --help": ["-m", "skyops_p2p", "--help"],
    "python -c 'import libp2p'": ["-c", "import libp2p"],
}
IMPORTS = {"bare Python": "", "after `import libp2p`": "libp2p"}
PRINT_RSS = "; import psutil; print(psutil.Process().memory_info().rss)"


def time_command(arguments: Sequence[str], *, rounds: int) -> list[float]:
    """Return the wall milliseconds of a command, each round a new process; the first, cold one is left out."""
    times = []
    for _ in range(rounds + 1):
        started = time.perf_counter()
        subprocess.run(arguments, stdout=subprocess.DEVNULL, check=True, timeout=60)
        times.append((time.perf_counter() - started) * 1000)
    return times[1:]


def import_rss_mib(module: str) -> float:
    """Return the resident memory of a Python that has imported a module (empty: nothing)."""
    statement = (f"import {module}" if module else "pass") + PRINT_RSS
    done = subprocess.run(
        [sys.executable, "-c", statement], capture_output=True, text=True, check=True, timeout=60
    )
    return int(done.stdout) / 2**20


def wait_until(is_so: Callable[[], bool], *, timeout_s: float) -> float:
    """Return the seconds until a condition held."""
    started = time.perf_counter()
    while not is_so():
        if time.perf_counter() - started > timeout_s:
            raise TimeoutError("the condition did not hold in time")
        time.sleep(POLL_S)
    return time.perf_counter() - started


def ready_s(testnet: Testnet, name: str) -> float:
    """Start a node and return the seconds until it says that it is ready."""
    directory = node_dir(testnet.directory, name)

    def is_ready() -> bool:
        try:
            return ControlClient.of(directory, timeout_s=5.0).is_ready()
        except NetworkError:
            return False

    testnet.start([name])
    return wait_until(is_ready, timeout_s=60.0)


def measure_network(nodes: int, *, idle_s: float) -> tuple[list[float], list[float], list[float]]:
    """Return seconds to ready of each node, then, idle and all connected, CPU percent and MiB of each."""
    with tempfile.TemporaryDirectory() as place:
        topology = default_topology(nodes).model_copy(
            update={"network": NetworkPlan(beat_s=REAL_BEAT_S, chain=False)}
        )
        testnet = Testnet.create(Path(place) / "net", name="footprint", topology=topology)
        try:
            starts = [ready_s(testnet, entry.name) for entry in testnet.record.nodes]
            testnet.wait_converged(timeout_s=120.0)
            time.sleep(SETTLE_S)
            processes = [psutil.Process(entry.pid) for entry in testnet.record.nodes]
            before = [_cpu_s(process) for process in processes]
            started = time.monotonic()
            time.sleep(idle_s)
            length_s = time.monotonic() - started
            cpu = [
                100 * (_cpu_s(process) - then) / length_s
                for process, then in zip(processes, before, strict=True)
            ]
            return starts, cpu, [process.memory_info().rss / 2**20 for process in processes]
        finally:
            testnet.down()


def _command_row(name: str, arguments: Sequence[str], rounds: int) -> list[str]:
    return [f"`{name}`", *_median_and_most(time_command([sys.executable, *arguments], rounds=rounds), "ms")]


def _median_and_most(values: Sequence[float], unit: str) -> list[str]:
    return [f"{number(value)} {unit}" for value in (percentile(values, 0.5), max(values))]


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def main(argv: Sequence[str]) -> None:
    """Run and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m bench network.footprint", description=__doc__)
    parser.add_argument("--idle", type=float, default=30.0, help="seconds of idling that are measured")
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 8], help="sizes of the idle networks")
    parser.add_argument("--rounds", type=int, default=10, help="of each command")
    options = parser.parse_args(argv)
    os.environ.pop("PYTHONUNBUFFERED", None)
    commands = [_command_row(name, arguments, options.rounds) for name, arguments in COMMANDS.items()]
    idle = [[name, f"{number(import_rss_mib(module))} MiB", "-", "-"] for name, module in IMPORTS.items()]
    for nodes in options.nodes:
        starts, cpu, memory = measure_network(nodes, idle_s=options.idle)
        what = "node alone" if nodes == 1 else f"node of {nodes}, one after the other"
        commands.append([f"{what}, process to ready", *_median_and_most(starts, "s")])
        cpu_cells = [f"{number(value)} %" for value in (sum(cpu) / nodes, max(cpu))]
        idle.append([f"node of {nodes}, idle", f"{number(percentile(memory, 0.5))} MiB", *cpu_cells])
        say(f"{commands[-1]} {idle[-1]}")
    print_table(("start-up", "median", "most"), commands)
    print_table(("idle", "resident memory, median", "CPU, mean", "CPU, most"), idle)
    print(
        f"Idle: {options.idle:g} s after all nodes see each other and {SETTLE_S:g} s more, with heartbeats every "
        f"{REAL_BEAT_S:g} s as in a real network; percent of one core. Ready: `GET /ready` of the control API.\n"
    )
    print_place()
