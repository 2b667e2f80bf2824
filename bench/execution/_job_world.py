"""A requester inside this program, and workers in processes of their own: for the benchmarks of whole jobs."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from bench.tables import say
from skyops_p2p import Node, NodeConfig
from skyops_p2p.adapters.system import SystemEntropy
from skyops_p2p.config import NetworkSection, PresenceSection
from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.node.identity import create_identity
from skyops_p2p.node.jobs.job import Job
from skyops_p2p.node.jobs.job_views import JobView
from skyops_p2p.testnet.launcher import Testnet
from skyops_p2p.testnet.startup import bring_up
from skyops_p2p.testnet.topology import NetworkPlan, NodePlan, Topology, expand

BEAT_S = 2.0
START_TIMEOUT_S = 240.0
JOB_TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True)
class JobWorld:
    """The network."""

    node: Node
    """The requester's."""
    testnet: Testnet
    """Of the workers."""
    folder: Path
    """For the files of jobs: where their relative paths begin."""

    async def submit(self, spec: JobSpec) -> Job:
        """Submit a job whose files lie in `folder`."""
        return await self.node.submit(spec, base_dir=self.folder)

    def worker_of(self, view: JobView) -> str:
        """Return the name of the worker that has the newest lease."""
        peer = view.shards[0].worker
        return next(entry.name for entry in self.testnet.record.nodes if entry.peer_id == peer)


@asynccontextmanager
async def job_world(workers: int, *, slots: int = 2) -> AsyncIterator[JobWorld]:
    """Bring up a network of workers, with a requester in this program, and take it down again."""
    plan = NodePlan(name="worker", count=workers, slots=slots, cpu_cores=slots)
    if workers == 1:
        plan = plan.model_copy(update={"name": "worker-1"})
    topology = expand(Topology(network=NetworkPlan(beat_s=BEAT_S, chain=False), nodes=(plan,)))
    with tempfile.TemporaryDirectory(prefix="skyops-bench-") as place:
        folder = Path(place, "files")
        await trio.Path(folder).mkdir()
        testnet = await trio.to_thread.run_sync(
            lambda: Testnet.create(Path(place, "net"), name="bench", topology=topology)
        )
        try:
            say(f"starting {workers} workers")
            await trio.to_thread.run_sync(
                lambda: bring_up(testnet, timeout_s=START_TIMEOUT_S, progress=lambda _line: None)
            )
            async with await _requester(testnet, Path(place, "requester")) as node:
                await node.wait_for(lambda node: _active(node) == workers + 1, timeout_s=START_TIMEOUT_S)
                yield JobWorld(node, testnet, folder)
        finally:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(testnet.down)


async def first_line(job: Job) -> str:
    """Wait for the first line that a job's program prints."""
    async with aclosing(job.logs()) as lines:
        async for line in lines:
            if line.stream == "stdout":
                return line.text
    raise RuntimeError(f"the job has said nothing: {job.view()}")


async def succeeded(job: Job) -> JobView:
    """Wait until a job has ended well."""
    with trio.fail_after(JOB_TIMEOUT_S):
        view = await job.wait()
    if view.state != "succeeded":
        said = [line.text async for line in job.logs(follow=False)]
        raise RuntimeError(f"the job {view.state}: {view.code} {view.text} {said[-3:]}")
    return view


def _active(node: Node) -> int:
    return sum(view.state == "active" for view in node.map())


async def _requester(testnet: Testnet, data_dir: Path) -> Node:
    record = testnet.record
    identity = await create_identity(data_dir, passphrase="", entropy=SystemEntropy(), kdf_work=1024)
    network = NetworkSection(
        name=record.network,
        chain_id=record.chain_id,
        listen=("/ip4/127.0.0.1/tcp/0",),
        bootstrap=tuple(record.bootstrap),
    )
    config = NodeConfig(
        data_dir=data_dir, is_testnet=True, network=network, presence=PresenceSection(beat_s=record.beat_s)
    )
    return Node(config, identity)
