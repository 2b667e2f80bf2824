"""Run a shard on this machine, or a stretch of it: from a state that was fetched to the next checkpoint, or the end.

What comes out is sealed under the job's key, so its name can be compared with what workers have signed.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio

from skyops_p2p import limits
from skyops_p2p.core.execution.layout import layout_of
from skyops_p2p.core.execution.outcomes import SUCCEEDED, code_of_exit
from skyops_p2p.core.execution.progress import steps_of
from skyops_p2p.core.verification.result_root import ANSWER_CODES, answer_root_of
from skyops_p2p.errors import ExecutionError
from skyops_p2p.node.content.shelf import Holder
from skyops_p2p.node.execution.stage import RunStage, Work
from skyops_p2p.node.jobs.open_job import OpenJob
from skyops_p2p.ports import RunningSandbox, SandboxExit
from skyops_p2p.wire.messages.content import BundleRef
from skyops_p2p.wire.messages.execution import SecretPart


@dataclass(frozen=True, slots=True)
class Stretch:
    """What is to be run."""

    shard: int
    stride: int
    """Steps of a stretch, at least 1."""
    number: int
    """From 1."""
    before: BundleRef | None
    """State to begin with; None: the stretch is the first."""
    holders: tuple[Holder, ...]
    """Who may have that state."""

    @property
    def first(self) -> int:
        """Steps that are done before it."""
        return (self.number - 1) * self.stride

    @property
    def last(self) -> int:
        """Steps that are done after it, if the program does not end before."""
        return self.number * self.stride


def work_here(job: OpenJob, shard: int, *, epoch: int, is_resumed: bool = False) -> Work:
    """Return a shard as a worker had it, to be run on this machine.

    Args:
        job: Whose.
        shard: Which.
        epoch: Of the lease that is looked at.
        is_resumed: It goes on from a checkpoint.
    """
    values = dict(job.secrets.secrets)
    return Work(
        spec=job.spec,
        layout=layout_of(job.spec),
        job_id=job.job_id,
        shard=shard,
        epoch=epoch,
        inputs=job.inputs,
        content_key=job.secrets.content_key,
        secrets=tuple(
            SecretPart(name=item.name, value=values[item.name], path=item.path) for item in job.spec.secrets
        ),
        is_resumed=is_resumed,
    )


async def run_stretch(job: OpenJob, stretch: Stretch) -> bytes | None:
    """Run a stretch, and return the state root that it comes to.

    Args:
        job: Whose; its runtime is one of this node's own.
        stretch: Which.

    Returns:
        32 bytes: the root of the checkpoint after `last` steps, or the answer root if the program has ended before it;
        None: it ended as no answer ends, such as for want of memory.

    Raises:
        ExecutionError: `checkpoint_unavailable`, `input_unavailable`, `runtime_unavailable`, or what starting a sandbox
            raises.
        StoreError: The store is full.

    Rules: VER-21, VER-25.
    """
    work = work_here(job, stretch.shard, epoch=1, is_resumed=stretch.before is not None)
    async with _stage(job, work, "stretch") as stage:
        ended = await _run(stage, stretch)
        name = await _checkpoint(stage, stretch)
        if name is None:
            return await _answer(stage, ended)
        sealed = await stage.seal_checkpoint(name, owner=f"{stage.owner}/checkpoint")
        return sealed.root[-32:]


async def run_shard(job: OpenJob, shard: int) -> bytes | None:
    """Run a shard from the beginning to its end, and return its answer root.

    Args:
        job: Whose; its runtime is one of this node's own, and its inputs are here.
        shard: Which.

    Returns:
        32 bytes; None: it ended as no answer ends, such as for want of time or memory.

    Raises:
        ExecutionError: `input_unavailable`, `runtime_unavailable`, or what starting a sandbox raises.
        StoreError: The store is full.

    Rules: VER-3, VER-22.
    """
    async with _stage(job, work_here(job, shard, epoch=1), "canary") as stage:
        return await _answer(stage, await _run(stage, None))


@asynccontextmanager
async def _stage(job: OpenJob, work: Work, kind: str) -> AsyncIterator[RunStage]:
    """Make a place for a run; nothing of it is left afterwards."""
    tools, name = job.tools, f"{kind}-{job.short}-{work.shard}"
    owner = f"{kind}/{job.job_id.hex()}/{work.shard}"
    await tools.workspace.reap()
    async with (
        tools.open_own_runtime(job.spec.runtime) as sandboxes,
        tools.workspace.open(name, bytes_max=job.spec.resources.disk) as root,
    ):
        try:
            yield RunStage(work, tools.shelf, sandboxes, name=name, owner=owner, root=root, progress=_ignore)
        finally:
            with trio.CancelScope(shield=True):
                for part in ("inputs", "outputs", "checkpoint"):
                    await tools.shelf.release(f"{owner}/{part}")


async def _run(stage: RunStage, stretch: Stretch | None) -> SandboxExit:
    """Run the program until it ends, or the checkpoint that ends the stretch is there; None: all of it."""
    holders = () if stretch is None else stretch.holders
    await stage.bring_inputs(holders)
    checkpoint = stage.work.spec.checkpoint
    if stretch is not None and stretch.before is not None and checkpoint is not None:
        await stage.put_checkpoint(stretch.before, stage.folder(checkpoint.path), holders)
    await stage.put_secrets()
    await stage.prepare()
    async with stage.sandbox.start(stage.sandbox_spec()) as running, trio.open_nursery() as nursery:
        nursery.start_soon(_drain, running)
        if stretch is not None:
            nursery.start_soon(_stop_at_checkpoint, stage, stretch, running)
        ended = await running.wait()
        nursery.cancel_scope.cancel()
    return ended


async def _stop_at_checkpoint(stage: RunStage, stretch: Stretch, running: RunningSandbox) -> None:
    """End the program once the checkpoint is there; its files tell nobody when they are complete."""
    while True:
        await trio.sleep(limits.STRETCH_POLL_S)
        if await _checkpoint(stage, stretch) is not None:
            await running.stop(grace_s=0.0)
            return


async def _checkpoint(stage: RunStage, stretch: Stretch) -> str | None:
    """Return the name of the checkpoint that ends the stretch, if it is there."""
    saved = str(stretch.first)
    name = await trio.to_thread.run_sync(stage.next_checkpoint, saved)
    return name if name is not None and steps_of(name) == stretch.last else None


async def _answer(stage: RunStage, ended: SandboxExit) -> bytes | None:
    """Return the answer root of a program that has ended; None: it is no answer."""
    retry_codes = tuple(stage.work.spec.retry.exit_codes)
    code = code_of_exit(ended.kind.value, ended.exit_code, stopped_for="", retry_codes=retry_codes)
    outputs: BundleRef | None = None
    if code == SUCCEEDED:
        try:
            outputs = await stage.seal_outputs()
        except ExecutionError as error:
            code = error.code
    if code not in ANSWER_CODES:
        return None
    return answer_root_of((code, ended.kind.value, ended.exit_code, ended.signal), outputs)


async def _drain(running: RunningSandbox) -> None:
    async for _chunk in running.output:
        continue


def _ignore(_done: int, _total: int) -> None:
    """Of single bytes nothing is told."""
