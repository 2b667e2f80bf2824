"""A network of real processes that matches jobs: brought up, kept busy by so many callers, and its CPU counted."""

import itertools
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from bench.tables import say
from skyops_p2p import limits
from skyops_p2p.errors import SkyopsError
from skyops_p2p.node.match_view import MatchStepView
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
"""Of each worker, and declared cores: the award of a match holds one of each for a minute."""
SETTLE_S_MAX = 480.0
"""After the start, until the network is quiet."""
IDLE_S = 10.0
"""For so long the CPU of the idle network is measured."""
QUIET_S, QUIET_OTHERS = 5.0, 0.15
"""The machine is quiet if for so many seconds all others used no more than this part of a core."""
QUIET_SHARE = 0.02
"""Of a core: a node that uses less has done with joining."""
CALL_TIMEOUT_S = 30.0
"""A match ends by itself after 5 s; the rest is for a machine whose cores are taken."""
BEAT_S = 30.0
"""Between heartbeats, as in a real network."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One match, as its caller saw it."""

    is_matched: bool
    code: str
    took_ms: float
    """From the call to the answer."""
    steps_ms: dict[str, float]
    """{step: milliseconds from the call to the first of its kind}."""
    rounds: int = 0


@dataclass(slots=True)
class Row:
    """All matches with one number of callers."""

    nodes: int
    at_once: int
    samples: list[Sample] = field(default_factory=list)
    seconds: float = 0.0
    cpu_s: float = 0.0
    """Of all nodes, beyond what they use when idle."""
    caller_cpu_s: float = 0.0
    """Of this program."""
    others_cpu_s: float = 0.0
    """Of whatever else ran on this machine meanwhile: it makes all figures worse."""

    @property
    def taken_ms(self) -> list[float]:
        """Milliseconds of the matches that succeeded."""
        return [sample.took_ms for sample in self.samples if sample.is_matched]


class World:
    """A running test network whose nodes are all workers that qualify."""

    def __init__(self, testnet: Testnet) -> None:
        self._testnet = testnet
        self._names = [entry.name for entry in testnet.record.nodes]
        self._processes = [psutil.Process(entry.pid) for entry in testnet.record.nodes]
        self._awards = 0
        """Since the last time when all were over; at most."""
        self._idle_share = 0.0
        """Seconds of CPU that all nodes use in a second while nothing is matched."""

    def __len__(self) -> int:
        return len(self._names)

    def settle(self) -> None:
        """Wait until the beginning is over, and note what the idle network costs.

        The first minute belongs to the DHT and the gossip mesh; how long it takes depends on the machine.
        """
        end = time.monotonic() + SETTLE_S_MAX
        while True:
            before, started = self._cpu_s(), time.monotonic()
            time.sleep(IDLE_S)
            self._idle_share = (self._cpu_s() - before) / (time.monotonic() - started)
            if self._idle_share <= QUIET_SHARE * len(self) or time.monotonic() > end:
                say(f"idle: {self._idle_share * 100 / len(self):.1f} % of a core for each node")
                return

    def wait_quiet(self, patience_s: float) -> None:
        """Wait until nothing else uses this machine, but no longer than this."""
        end = time.monotonic() + patience_s
        while time.monotonic() < end:
            before = self._others_s()
            time.sleep(QUIET_S)
            if self._others_s() - before < QUIET_OTHERS * QUIET_S:
                return

    def run(self, *, matches: int, at_once: int) -> Row:
        """Run matches, `at_once` at any time, from all nodes in turn."""
        self._free_slots(matches)
        row = Row(len(self), at_once)
        turns = iter(range(matches))
        lock = threading.Lock()

        def call() -> None:
            while True:
                with lock:
                    turn = next(turns, None)
                if turn is None:
                    return
                sample = self._match(self._names[turn % len(self._names)])
                with lock:
                    row.samples.append(sample)

        threads = [threading.Thread(target=call) for _ in range(at_once)]
        started, cpu, own, others = time.perf_counter(), self._cpu_s(), time.process_time(), self._others_s()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        row.seconds = time.perf_counter() - started
        row.cpu_s = self._cpu_s() - cpu - self._idle_share * row.seconds
        row.caller_cpu_s = time.process_time() - own
        row.others_cpu_s = max(0.0, self._others_s() - others)
        return row

    def _match(self, name: str) -> Sample:
        started = time.perf_counter()
        steps: dict[str, float] = {}

        def told(step: MatchStepView) -> None:
            steps.setdefault(step.step, (time.perf_counter() - started) * 1000)

        try:
            ended = self._testnet.client(name, timeout_s=CALL_TIMEOUT_S).match(JOB, told)
        except SkyopsError as error:
            return Sample(False, error.code, (time.perf_counter() - started) * 1000, steps)
        took_ms = (time.perf_counter() - started) * 1000
        return Sample(ended.is_matched, ended.code, took_ms, steps, ended.rounds)

    def _cpu_s(self) -> float:
        times = [process.cpu_times() for process in self._processes]
        return sum(taken.user + taken.system for taken in times)

    def _others_s(self) -> float:
        """Return the seconds of CPU that all but our processes have used since this machine started."""
        busy = sum(map(float, psutil.cpu_times())) - psutil.cpu_times().idle - psutil.cpu_times().iowait
        return busy - self._cpu_s() - time.process_time()

    def _free_slots(self, matches: int) -> None:
        """Wait until the awards have run out, if the coming ones could fill the slots of one worker."""
        self._awards += matches
        if self._awards > SLOTS:
            say("waiting for awards to run out")
            time.sleep(limits.LEASE_START_TIMEOUT_S)
            self._awards = matches


@contextmanager
def running(nodes: int) -> Iterator[World]:
    """Bring up a fresh network, settled, and take it down."""
    plan = default_topology(nodes, has_chain=False)
    large = {"slots": SLOTS, "cpu_cores": SLOTS, "worker": True}
    workers = tuple(node.model_copy(update=large) for node in plan.nodes)
    with tempfile.TemporaryDirectory() as folder:
        network = plan.network.model_copy(update={"beat_s": BEAT_S})
        topology = plan.model_copy(update={"nodes": workers, "network": network})
        testnet = Testnet.create(Path(folder) / "net", name="bench", topology=topology)
        try:
            bring_up(testnet, timeout_s=300.0, progress=say)
            world = World(testnet)
            world.settle()
            yield world
        finally:
            testnet.down()


def step_times(rows: list[Row]) -> dict[str, list[float]]:
    """Return {step: milliseconds} over all samples of rows, in the order in which steps happen."""
    samples = itertools.chain.from_iterable(row.samples for row in rows)
    times: dict[str, list[float]] = {}
    for sample in samples:
        for step, took_ms in sample.steps_ms.items():
            times.setdefault(step, []).append(took_ms)
    return dict(sorted(times.items(), key=lambda item: sum(item[1]) / len(item[1])))
