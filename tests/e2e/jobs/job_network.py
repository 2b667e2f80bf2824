"""A network of processes that runs the handwritten-digits training: alice submits, bob, carol and dave work."""

import re
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.node.control_client import ControlClient
from skyops_p2p.node.job_files import read_job
from skyops_p2p.node.jobs.job_views import JobView, ShardView
from skyops_p2p.testnet.launcher import Testnet
from skyops_p2p.testnet.startup import bring_up
from skyops_p2p.testnet.topology import NetworkPlan, NodePlan, Topology, expand
from tests.ports.sandbox import rootfs
from tests.repo.source_tree import ROOT

EXAMPLE = ROOT / "examples" / "digits"
WORKERS = ("bob", "carol", "dave")
EPOCHS = 14
WATCHED_MS = 500
"""Pause after each epoch: the training lasts seven seconds, and is killed after one or two."""
TIMEOUT_S = 180.0
TRIES_MAX = 4


@dataclass(frozen=True)
class Ended:
    """How a job ended."""

    view: JobView
    files: dict[str, bytes]
    """What alice decrypted."""
    epochs: list[list[int]]
    """Of each lease, the epochs that the program told."""

    @property
    def codes(self) -> list[str]:
        """How each lease ended."""
        return [attempt.code for attempt in self.view.shards[0].attempts]


class JobNetwork:
    """The network.

    Args:
        testnet: Of alice and WORKERS.
        folder: For results.
    """

    def __init__(self, testnet: Testnet, folder: Path) -> None:
        self.testnet = testnet
        self._folder = folder
        self._undisturbed: dict[str, Ended] = {}

    @classmethod
    def start(cls, folder: Path) -> "JobNetwork":
        plans = [NodePlan(name="alice", worker=False), *(NodePlan(name=name) for name in WORKERS)]
        topology = expand(Topology(network=NetworkPlan(beat_s=1.0, chain=False), nodes=tuple(plans)))
        testnet = Testnet.create(folder / "net", name="jobs", topology=topology)
        bring_up(testnet, timeout_s=120, progress=lambda _line: None)
        return cls(testnet, folder)

    @property
    def alice(self) -> ControlClient:
        return self.testnet.client("alice", timeout_s=60.0)

    def revive(self) -> None:
        """Start again what a test has killed, and wait until all know each other."""
        dead = [entry.name for entry in self.testnet.record.nodes if self.testnet.state(entry) == "dead"]
        self.testnet.restart(*dead)
        self.testnet.wait_converged(timeout_s=120)

    def submit(self, spec: JobSpec) -> str:
        tree = spec.model_dump(mode="json", by_alias=True, exclude_none=True)
        return self.alice.jobs.submit(tree, base_dir=EXAMPLE, secrets={}).job_id

    def wait(self, job: str, condition: Callable[[JobView], bool]) -> JobView:
        """Wait until a condition over a job's view holds; it fails if the job ends before."""
        deadline = time.monotonic() + TIMEOUT_S
        for view in self.alice.jobs.watch(job):
            if condition(view):
                return view
            assert time.monotonic() < deadline, view
        raise AssertionError(f"the job ended before: {self.alice.jobs.show(job)}")

    def half_way(self, spec: JobSpec) -> tuple[str, JobView]:
        """Submit a training, and return it half-way; on a busy machine it may be over before anybody has looked."""
        for _ in range(TRIES_MAX):
            job = self.submit(spec)
            view = self.wait(job, lambda view: view.is_over or is_half_way(view))
            if not view.is_over:
                return job, view
            assert view.state == "succeeded", view
        raise AssertionError(f"{TRIES_MAX} times it was over before it was seen half-way")

    def end(self, job: str) -> Ended:
        """Wait until a job has ended well, and open its result."""
        view = self.wait(job, lambda view: view.is_over)
        assert (view.state, view.code) == ("succeeded", "succeeded"), view
        into = self._folder / f"out-{job[:12]}"
        self.alice.jobs.result(job, into)
        files = {str(path.relative_to(into)): path.read_bytes() for path in into.rglob("*") if path.is_file()}
        epochs: list[list[int]] = [[] for _ in view.shards[0].attempts]
        for line in self.alice.jobs.logs(job):
            told = re.match(r"epoch ([0-9]+)/", line.text)
            if line.stream == "stdout" and told:
                epochs[line.epoch - 1].append(int(told[1]))
        return Ended(view, files, epochs)

    def undisturbed(self, runtime: str) -> Ended:
        """Return how the training ends that nobody disturbs."""
        if runtime not in self._undisturbed:
            self._undisturbed[runtime] = self.end(self.submit(digits(runtime, pause_ms=0)))
        return self._undisturbed[runtime]

    def worker_of(self, view: JobView) -> str:
        """Return the name of the worker that has the newest lease."""
        peer = view.shards[0].worker
        return next(entry.name for entry in self.testnet.record.nodes if entry.peer_id == peer)

    def kill(self, name: str) -> None:
        assert self.testnet.signal(name, signal.SIGKILL)


def digits(runtime: str, *, pause_ms: int) -> JobSpec:
    """Return the example's job for a runtime, small, with a checkpoint after each epoch."""
    spec = read_job(EXAMPLE / f"job-{runtime}.toml")
    small = ("--epochs", str(EPOCHS), "--hidden", "16", "--save-every", "1", "--sleep-ms", str(pause_ms))
    tree = spec.model_dump(mode="json", by_alias=True, exclude_none=True) | {"args": small}
    tree["checkpoint"]["interval"] = 1
    if runtime != "wasm":  # NumPy comes with the job: this machine may have none
        path = rootfs.python_tree("numpy") if runtime == "native" else rootfs.python_image("numpy")[0]
        tree |= {"image": f"file:{path}", "env": rootfs.ENV}
        tree["resources"]["disk"] = "512Mi"
    return JobSpec.model_validate(tree)


def is_half_way(view: JobView) -> bool:
    """Tell whether a job runs, has a checkpoint with some epochs in it, and is not near its end."""
    return any(
        shard.phase == "running" and saved_epochs(shard) > 0 and shard.done < EPOCHS - 4
        for shard in view.shards
    )


def saved_epochs(shard: ShardView) -> int:
    """Return how many epochs are in the newest checkpoint; 0 without one that the trainer has made itself."""
    label = shard.checkpoints[-1].label if shard.checkpoints else ""
    return int(label.removeprefix("epoch-")) if label.startswith("epoch-") else 0
