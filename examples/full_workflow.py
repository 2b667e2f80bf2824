"""The whole way of a job, in one program: a network of its own, a training, a dead worker, the result and the bill.

    python examples/full_workflow.py [DIRECTORY]

It starts a requester and three workers as processes on this machine, with an embedded chain that the job is paid on
(with --free nothing is paid), and has them train the handwritten digits of examples/digits. Half-way it kills the
worker. Another goes on from the checkpoint, and the model is put into DIRECTORY (./workflow-result if it is left out).
At the end everything is stopped and removed. Takes about a minute.
"""

import json
import signal
import sys
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

from skyops_p2p import JobSpec, SkyopsError, SyncClient
from skyops_p2p.node.jobs.job_views import JobView, ShardView
from skyops_p2p.node.sync_client import SyncJob
from skyops_p2p.testnet.creation import node_dir
from skyops_p2p.testnet.launcher import Testnet
from skyops_p2p.testnet.startup import bring_up
from skyops_p2p.testnet.topology import NetworkPlan, NodePlan, Topology, expand

DIGITS = Path(__file__).resolve().parent / "digits"
WORKERS = ("bob", "carol", "dave")
EPOCHS = 20
WEI = Decimal(10) ** 18


def training() -> JobSpec:
    """Return a training that lasts long enough to be watched, with a checkpoint after each epoch."""
    return JobSpec.model_validate(
        {
            "name": "full-workflow",
            "module": "file:train_c/train.wasm",
            "args": ["--epochs", str(EPOCHS), "--hidden", "32", "--save-every", "1", "--sleep-ms", "500"],
            "inputs": [{"path": "/data", "uri": "file:data"}],
            "outputs": [{"path": "/results"}],
            "resources": {"cpu": 1, "memory": "64Mi", "disk": "16Mi"},
            "checkpoint": {"interval": 1},
            "price": {"per_hour_max": 10, "total_max": 5},
            "timeouts": {"execution": 600},
        }
    )


def main(into: Path, *, is_paid: bool) -> None:
    """Run it all, and take it down whatever happens."""
    plans = (NodePlan(name="alice", worker=False), *(NodePlan(name=name) for name in WORKERS))
    topology = expand(Topology(network=NetworkPlan(beat_s=1.0, chain=is_paid), nodes=plans))
    with TemporaryDirectory() as folder:
        testnet = Testnet.create(Path(folder) / "net", name="workflow", topology=topology)
        try:
            bring_up(testnet, timeout_s=120, progress=lambda line: print(f"  {line}"))
            run_job(testnet, into)
        finally:
            testnet.down()


def run_job(testnet: Testnet, into: Path) -> None:
    """Submit the training as alice, kill its worker half-way, and fetch the result."""
    alice = SyncClient.local(node_dir(testnet.directory, "alice"))
    job = alice.submit(training(), base_dir=DIGITS)
    print(f"submitted {job.job_id[:12]}")
    victim = wait_half_way(testnet, job)
    testnet.signal(victim, signal.SIGKILL)
    print(f"killed {victim}, who was half-way")
    view = job.wait(timeout_s=300)
    print(f"{view.state}: {view.meaning}")
    if view.state != "succeeded":
        sys.exit(f"{view.code}: {view.text}")
    tell_attempts(testnet, view)
    result = job.result(into)
    metrics = json.loads((into / "results" / "metrics.json").read_text(encoding="utf-8"))
    print(f"{result.files} files in {result.folder}; {metrics['accuracy']:.1%} of new digits are read right")
    tell_cost(job)


def wait_half_way(testnet: Testnet, job: SyncJob) -> str:
    """Show progress until half of the epochs are done and saved; return who does them."""
    told = 0
    for view in job.watch():
        for shard in view.shards:
            if shard.done > told:
                told = shard.done
                print(
                    f"  epoch {shard.done}/{shard.total} on {name_of(testnet, shard.worker)}{loss_of(shard)}"
                )
            if shard.done >= EPOCHS // 2 and shard.checkpoints:
                return name_of(testnet, shard.worker)
    view = job.view()
    sys.exit(f"the job has ended before it was half-way: {view.state}, {view.code}: {view.text}")


def loss_of(shard: ShardView) -> str:
    """Return the loss in words, if the program has told one."""
    return f", loss {shard.metrics['loss']:.4f}" if "loss" in shard.metrics else ""


def tell_attempts(testnet: Testnet, view: JobView) -> None:
    """Print who had the job, and how that ended."""
    for attempt in view.shards[0].attempts:
        print(f"  attempt {attempt.epoch} on {name_of(testnet, attempt.worker)}: {attempt.code}")


def tell_cost(job: SyncJob) -> None:
    """Print the bill."""
    bill = job.billing()
    if not bill.is_paid:
        print("it was free: no directory of contracts is set")
        return
    cost = f"{Decimal(bill.paid_wei) / WEI:f} {bill.symbol}"
    print(f"it cost {cost} for {bill.runtime_ms / 1000:.1f} s of {len(bill.lanes)} workers")


def name_of(testnet: Testnet, peer_id: str) -> str:
    """Return how a peer is called here."""
    return next(entry.name for entry in testnet.record.nodes if entry.peer_id == peer_id)


if __name__ == "__main__":
    arguments = [word for word in sys.argv[1:] if word != "--free"]
    try:
        main(
            Path(arguments[0] if arguments else "workflow-result"),
            is_paid=len(arguments) == len(sys.argv) - 1,
        )
    except SkyopsError as error:
        sys.exit(f"error[{error.code}]: {error}\n  hint: {error.hint}")
