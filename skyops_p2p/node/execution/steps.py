"""The steps of a worker's run around and in its sandbox: what stage.py has, with gangs, devices and checkpoints.

Nothing here decides: core/execution/run.py says which step comes, and each tells how it ended by returning or by an
ExecutionError whose code is an outcome.
"""

from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path

import trio

from skyops_p2p.core.execution.gangs import GANG_FOLDER, gang_environment
from skyops_p2p.core.execution.layout import CONTROL
from skyops_p2p.core.execution.opening import OpenedLease
from skyops_p2p.core.execution.progress import SNAPSHOT_PREFIX, steps_of
from skyops_p2p.core.execution.task_lines import IN_FILE, OUT_FILE
from skyops_p2p.crypto.node_key import peer_id_from_bytes
from skyops_p2p.node.content.shelf import Holder, TreePart
from skyops_p2p.node.execution.gang_seat import GangSeat
from skyops_p2p.node.execution.stage import Progress, RunStage, Work
from skyops_p2p.node.execution.tools import RunTools
from skyops_p2p.node.lease_link import short_name
from skyops_p2p.node.misbehaving import spoil
from skyops_p2p.ports import RunningSandbox, SandboxSpec
from skyops_p2p.types import Multiaddr, PeerId
from skyops_p2p.wire.messages.content import BundleRef
from skyops_p2p.wire.messages.execution import HolderPart


class RunSteps(RunStage):
    """The work of one run.

    Args:
        opened: The lease.
        tools: Of the node.
        root: The run's workspace, empty.
        progress: Told (done, total) bytes of the step under way.
    """

    def __init__(self, opened: OpenedLease, tools: RunTools, root: Path, progress: Progress) -> None:
        name = short_name(opened.facts)
        super().__init__(
            _work_of(opened),
            tools.shelf,
            tools.sandboxes,
            name=name,
            owner=f"run/{name}",
            root=root,
            progress=progress,
        )
        self._opened = opened
        self._tools = tools
        self.seat: GangSeat | None = None
        """The member of a gang that it is."""

    # --- before -----------------------------------------------------------------------------------------------
    async def join_gang(self) -> None:
        """Be there for the other members, where the job is a gang."""
        if self._opened.gang is not None:
            self.seat = await self._tools.gangs.open_seat(self._opened.gang)

    def leave_gang(self) -> None:
        """Have nothing more to do with other members."""
        if self.seat is not None:
            self.seat.close()

    async def fetch_inputs(self) -> None:
        """Fetch and open the inputs, and the checkpoint to go on from, and put the secrets there.

        Raises:
            ExecutionError: As `bring_inputs` and `put_secrets`, or `checkpoint_unavailable`.
            StoreError: `store_full`.
        """
        await self.bring_inputs(self.holders())
        if self._opened.resume is not None and self._opened.spec.checkpoint is not None:
            resume = self._opened.resume.message
            is_snapshot = resume.label.startswith(SNAPSHOT_PREFIX)
            place = self._snapshots if is_snapshot else self.folder(self._opened.spec.checkpoint.path)
            await self.put_checkpoint(resume.bundle, place, self.holders())
        await self.put_secrets()

    # --- the program --------------------------------------------------------------------------------------------
    def start(self) -> AbstractAsyncContextManager[RunningSandbox]:
        """Start the program; see Sandbox.start.

        Raises:
            ExecutionError: Code `workspace_failed`: the sockets of its gang cannot be made.
        """
        if self.seat is not None:
            self.seat.listen(self.folder(CONTROL) / GANG_FOLDER)
        return self.sandbox.start(self.sandbox_spec())

    def sandbox_spec(self) -> SandboxSpec:
        """Return what the sandbox is to run."""
        opened, plain = self._opened, super().sandbox_spec()
        env = dict(plain.env)
        if opened.request.is_warm:
            env |= {"SKYOPS_TASKS_IN": f"{CONTROL}/{IN_FILE}", "SKYOPS_TASKS_OUT": f"{CONTROL}/{OUT_FILE}"}
        if opened.gang is not None:
            env |= gang_environment(opened.gang)
        return replace(
            plain,
            env=env,
            gpus=tuple(device.name for device in opened.terms.claim.devices),
            snapshot_dir=self._snapshots if opened.spec.checkpoint is not None else None,
            shares_sockets=opened.gang is not None,
            shares_pipes=opened.request.is_warm,
        )

    # --- beside and after ---------------------------------------------------------------------------------------
    async def seal_outputs(self) -> BundleRef | None:
        """Seal the outputs; see RunStage."""
        facts, spec, tools = self._opened.facts, self._opened.spec, self._tools
        if tools.conduct.is_spoiling(facts.job_id, spec.placement.allow, tools.own):
            for item in spec.outputs:
                await trio.to_thread.run_sync(spoil, self.folder(item.path), tools.conduct.mark(tools.own))
        return await super().seal_outputs()

    async def seal_checkpoint(self, name: str, *, owner: str) -> BundleRef:
        """Seal one entry of the checkpoint directory, or what the runtime saved; see RunStage."""
        if name.startswith(SNAPSHOT_PREFIX):
            return await self._seal([TreePart(self._snapshots, "", "")], owner)
        checkpoint = self._opened.spec.checkpoint
        assert checkpoint is not None, "a checkpoint of a job without"
        tools = self._tools
        if tools.conduct.is_spoiling_checkpoint(steps_of(name) or 0, checkpoint.stride):
            await trio.to_thread.run_sync(
                spoil, self.folder(checkpoint.path) / name, tools.conduct.mark(tools.own)
            )
        return await super().seal_checkpoint(name, owner=owner)

    def holders(self) -> list[Holder]:
        """Return who may have this job's bundles: the requester first."""
        facts, request = self._opened.facts, self._opened.request
        found = [Holder(facts.requester, ())]
        found += [holder_of(part) for part in request.holders]
        if self._opened.resume is not None:
            found.append(Holder(self._opened.resume.signer, ()))
        return [holder for holder in found if holder.peer != self._tools.own]


def _work_of(opened: OpenedLease) -> Work:
    request = opened.request
    return Work(
        spec=opened.spec,
        layout=opened.layout,
        job_id=opened.facts.job_id,
        shard=opened.facts.shard,
        epoch=opened.facts.epoch,
        inputs=request.inputs,
        content_key=request.content_key,
        secrets=request.secrets,
        is_resumed=opened.resume is not None,
    )


def holder_of(part: HolderPart) -> Holder:
    """Return a holder as the content store wants it."""
    return Holder(PeerId(peer_id_from_bytes(part.peer)), tuple(Multiaddr(addr) for addr in part.addrs))
