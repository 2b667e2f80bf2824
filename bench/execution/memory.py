"""Memory and CPU of the nodes while eight jobs run: of the worker that runs them all, and of their requester."""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.execution.recovery import EXAMPLE
from bench.tables import number, print_place, print_table, say
from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.node.job_files import read_job
from skyops_p2p.testnet.launcher import Testnet
from skyops_p2p.testnet.startup import bring_up
from skyops_p2p.testnet.topology import NetworkPlan, NodePlan, Topology, expand

PAUSE_MS = 500
"""After each epoch; the jobs log, tell progress and save checkpoints all the time."""
SETTLE_S = 20.0
"""Between a change and its measurement."""
WINDOW_S = 20.0
"""Of a measurement."""
SAMPLE_S = 0.5
TIMEOUT_S = 300.0
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Load:
    """One node over a window."""

    node_mib: float
    """Most resident memory of its process."""
    programs_mib: float
    """Of the processes below it: sandboxes and what runs in them."""
    node_cpu: float
    """Percent of one core, of its process alone."""


def look_at(pids: dict[str, int]) -> dict[str, Load]:
    """Watch processes for a window."""
    time.sleep(SETTLE_S)
    processes = {name: psutil.Process(pid) for name, pid in pids.items()}
    before = {name: _cpu_s(process) for name, process in processes.items()}
    most = dict.fromkeys(pids, (0, 0))
    started = time.monotonic()
    while time.monotonic() < started + WINDOW_S:
        for name, process in processes.items():
            own, below = most[name]
            most[name] = max(own, process.memory_info().rss), max(below, _rss_below(process))
        time.sleep(SAMPLE_S)
    spent_s = time.monotonic() - started
    return {
        name: Load(most[name][0] / MIB, most[name][1] / MIB, (_cpu_s(process) - before[name]) / spent_s * 100)
        for name, process in processes.items()
    }


def spec() -> JobSpec:
    """Return the training, with a checkpoint each second, for longer than the measurement."""
    tree = read_job(EXAMPLE / "job-wasm.toml").model_dump(mode="json", by_alias=True, exclude_none=True)
    tree["args"] = ["--epochs", "1000000", "--hidden", "16", "--save-every", "1", "--sleep-ms", str(PAUSE_MS)]
    tree["checkpoint"]["interval"] = 1
    return JobSpec.model_validate(tree)


def measure(jobs: int) -> list[tuple[str, dict[str, Load]]]:
    """Return what the nodes use before, with so many jobs, and after."""
    plans = (
        NodePlan(name="requester", worker=False),
        NodePlan(name="worker", slots=jobs, cpu_cores=jobs),
        NodePlan(name="keeper", worker=False),
    )
    topology = expand(Topology(network=NetworkPlan(beat_s=2.0, chain=False), nodes=plans))
    with tempfile.TemporaryDirectory(prefix="skyops-bench-") as place:
        testnet = Testnet.create(Path(place, "net"), name="bench", topology=topology)
        try:
            bring_up(testnet, timeout_s=TIMEOUT_S, progress=lambda _line: None)
            pids = {entry.name: entry.pid for entry in testnet.record.nodes}
            client = testnet.client("requester", timeout_s=60.0).jobs
            say("idle")
            rows = [("idle", look_at(pids))]
            tree = spec().model_dump(mode="json", by_alias=True, exclude_none=True)
            ids = [client.submit(tree, base_dir=EXAMPLE, secrets={}).job_id for _ in range(jobs)]
            _wait(lambda: sum(_is_running(client.show(job)) for job in ids) == jobs, f"{jobs} jobs run")
            say(f"{jobs} jobs run")
            rows.append((f"{jobs} jobs run", look_at(pids)))
            for job in ids:
                client.cancel(job)
            _wait(lambda: all(client.show(job).is_over for job in ids), "all have ended")
            say("all have ended")
            rows.append(("all have ended", look_at(pids)))
        finally:
            testnet.down()
    return rows


def main(argv: Sequence[str]) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench execution.memory", description=__doc__)
    parser.add_argument("--jobs", type=int, default=8)
    jobs = parser.parse_args(argv).jobs
    rows = [
        (
            when,
            *(number(load[name].node_mib) for name in ("requester", "worker", "keeper")),
            number(load["worker"].programs_mib),
            *(number(load[name].node_cpu) for name in ("requester", "worker", "keeper")),
        )
        for when, load in measure(jobs)
    ]
    columns = ("requester MiB", "worker MiB", "keeper MiB", "its programs MiB", "requester CPU %")
    print_table(("", *columns, "worker CPU %", "keeper CPU %"), rows)
    print(
        f"The most resident memory of each node's process in {WINDOW_S:g} s, and its CPU in percent of one core; the "
        f"programs are the sandboxes of the worker, together. Each job is the handwritten-digits training as wasm with "
        f"an epoch and a line of log every {PAUSE_MS} ms and a checkpoint a second, which the requester fetches and "
        "the keeper has a copy of.\n"
    )
    print_place()


def _is_running(view: object) -> bool:
    return any(shard.phase == "running" for shard in getattr(view, "shards", ()))


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _rss_below(process: psutil.Process) -> int:
    total = 0
    for child in process.children(recursive=True):
        try:
            total += child.memory_info().rss
        except psutil.NoSuchProcess:
            continue  # it has just ended
    return total


def _wait(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {TIMEOUT_S:g} s it is still not so that {what}")
        time.sleep(SAMPLE_S)


if __name__ == "__main__":
    main(sys.argv[1:])
