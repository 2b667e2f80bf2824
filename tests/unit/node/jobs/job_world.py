"""Nodes that live and die by name, and a program that counts; for tests of whole jobs in virtual time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.node.jobs.job import Job
from skyops_p2p.node.jobs.job_views import JobView
from skyops_p2p.node.runtime import Node
from skyops_p2p.simulation.sandbox import SimBox
from tests.unit.node.small_world import SmallWorld, all_in_state, small_world

STEPS = 10
WORKERS = ("bob", "carol")


async def train(box: SimBox) -> int:
    """Count to STEPS, a second a step or as STEP_S says, with a checkpoint and a line of log after each."""
    folder = box.path("/checkpoint")
    saved = sorted(folder.glob("step-*"), key=lambda path: int(path.name[5:]))
    done = int(saved[-1].read_text()) if saved else 0
    await box.print(f"begins at {done}, resume={box.env['SKYOPS_RESUME']}")
    for step in range(done + 1, STEPS + 1):
        await box.work(float(box.env.get("STEP_S", "1")))
        box.write(f"/checkpoint/step-{step}", str(step).encode())
        box.write("/skyops/progress", f"{step}/{STEPS} loss={1 / step}\n".encode())
        await box.print(f"step {step}")
    box.write("/results/model.txt", box.read("/data/words.txt").upper())
    return 0


async def shout(box: SimBox) -> int:
    """Take two seconds, and put the input out in capitals."""
    await box.print("begins")
    await box.work(2.0)
    await box.print("ends")
    box.write("/results/model.txt", box.read("/data/words.txt").upper())
    return 0


def spec(**changes: object) -> JobSpec:
    fields = {
        "name": "train",
        "runtime": "native",
        "command": ["train"],
        "inputs": [{"path": "/data/words.txt", "uri": "file:words.txt"}],
        "outputs": [{"path": "/results"}],
        "checkpoint": {"interval": 1},
        "resources": {"cpu": 1, "memory": "16Mi", "disk": "16Mi"},
        **changes,
    }
    return JobSpec.model_validate(fields)


class JobWorld:
    """Nodes by name: alice submits, bob and carol work."""

    def __init__(self, small: SmallWorld, nursery: trio.Nursery) -> None:
        self.small = small
        self.folder = small.folder or Path()
        self.nodes: dict[str, Node] = {}
        self._nursery = nursery
        self._scopes: dict[str, trio.CancelScope] = {}
        self._stops: dict[str, trio.Event] = {}
        self._gone: dict[str, trio.Event] = {}

    async def start(self, name: str, **worker: object) -> Node:
        """Start a node, again after it died."""
        join = None if name == "alice" else "alice"
        if name == "alice" and "bob" in self.nodes:
            join = "bob"
        options = {"enabled": name in WORKERS, **worker}
        node = self.small.node(name, join=join, worker=options)
        self._gone[name], self._stops[name] = trio.Event(), trio.Event()
        await self._nursery.start(self._live, name, node)
        return node

    async def crash(self, name: str) -> None:
        """Kill a node between two instructions: nothing more is sent or done."""
        self.small.networks[name].kill()
        self._scopes[name].cancel()
        await self._gone[name].wait()

    async def crash_and_find(self, job_id: str, *, away_s: float, name: str = "alice") -> Job:
        """Kill a job's requester, start it after `away_s` of virtual time (autojump_clock), and find the job there."""
        await self.crash(name)
        await trio.sleep(away_s)
        await self.start(name)
        return self.nodes[name].jobs.find(job_id)

    async def stop(self, name: str) -> None:
        """Stop a node in order: what its user does with Ctrl-C."""
        self._stops[name].set()
        await self._gone[name].wait()

    async def _live(self, name: str, node: Node, task_status: trio.TaskStatus[None]) -> None:
        with trio.CancelScope() as scope:
            self._scopes[name] = scope
            async with node:
                self.nodes[name] = node
                task_status.started()
                await self._stops[name].wait()
        del self.nodes[name]
        self._gone[name].set()

    async def all_know_each_other(self) -> None:
        for node in list(self.nodes.values()):
            await node.wait_for(all_in_state("active", list(self.nodes)), timeout_s=300)

    def worker_of(self, job: Job) -> str:
        """Return the name of the worker that has the newest lease."""
        peer = job.view().shards[0].worker
        return next(name for name, node in self.nodes.items() if node.peer_id == peer)


@asynccontextmanager
async def job_world(folder: Path) -> AsyncIterator[JobWorld]:
    (folder / "words.txt").write_text("loss goes down")
    async with small_world(folder) as small, trio.open_nursery() as nursery:
        small.programs |= {"train": train, "shout": shout}
        world = JobWorld(small, nursery)
        for name in ("alice", *WORKERS):
            await world.start(name)
        await world.all_know_each_other()
        yield world
        nursery.cancel_scope.cancel()


async def until(job: Job, condition: "object", *, timeout_s: float = 120) -> JobView:
    """Wait until a condition over a job's view holds."""
    assert callable(condition)
    with trio.fail_after(timeout_s):
        view = job.view()
        while not condition(view):
            view = await job.wait_changed()
        return view


async def ended(job: Job, *, timeout_s: float = 900) -> JobView:
    """Wait until a job has ended."""
    with trio.fail_after(timeout_s):
        return await job.wait()


async def log_of(job: Job) -> list[str]:
    return [line.text.rstrip("\n") async for line in job.logs(follow=False) if line.stream != "skyops"]
