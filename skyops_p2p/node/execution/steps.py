"""The steps of a run around and in its sandbox: fetch and open inputs, start, save checkpoints, collect outputs.

Nothing here decides: core/execution/run.py says which step comes, and each tells how it ended by returning or by an
ExecutionError whose code is an outcome. Plaintext lies in the run's workspace and nowhere else.
"""

import os
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path, PurePosixPath

import trio

from skyops_p2p import limits
from skyops_p2p.core.execution.gangs import GANG_FOLDER, gang_environment
from skyops_p2p.core.execution.layout import CONTROL, environment, place_of
from skyops_p2p.core.execution.opening import IMAGE_PATH, MODULE_PATH, OpenedLease
from skyops_p2p.core.execution.progress import INCOMPLETE_MARK, SNAPSHOT_PREFIX, newest_checkpoint
from skyops_p2p.core.execution.task_lines import IN_FILE, OUT_FILE
from skyops_p2p.crypto.node_key import peer_id_from_bytes
from skyops_p2p.errors import ExecutionError, NetworkError, RemoteProtocolError
from skyops_p2p.node.content.shelf import Holder, TreePart
from skyops_p2p.node.execution.gang_seat import GangSeat
from skyops_p2p.node.execution.small_files import list_names, put_file
from skyops_p2p.node.execution.tools import RunTools
from skyops_p2p.node.lease_link import short_name
from skyops_p2p.ports import Limit, Mount, RunningSandbox, Sandbox, SandboxLimits, SandboxSpec
from skyops_p2p.types import Multiaddr, PeerId
from skyops_p2p.wire.messages.content import BundleRef
from skyops_p2p.wire.messages.execution import HolderPart, InputPart

PIDS_MAX = 512
"""Processes and threads of one program."""
FUEL_PER_S = 4_000_000_000
"""Instructions that an exact job may use for each second of its time-out: more than any processor metered so far does,
so that the same job ends alike on fast and slow ones."""
PROMISED = frozenset({Limit.WALL, Limit.LOG, Limit.NETWORK})
"""What every sandbox must enforce; with placement.hard_limits, all of it."""
Progress = Callable[[int, int], None]


class RunSteps:
    """The work of one run.

    Args:
        opened: The lease.
        tools: Of the node.
        root: The run's workspace, empty.
        progress: Told (done, total) bytes of the step under way.
    """

    def __init__(self, opened: OpenedLease, tools: RunTools, root: Path, progress: Progress) -> None:
        self._opened = opened
        self._tools = tools
        self._progress = progress
        self._mounts = root / "mounts"
        self._private = root / "private"
        """Module and image: not mounted."""
        self._snapshots = root / "snapshot"
        """What the runtime saves of the whole program; not mounted."""
        self._key = opened.request.content_key
        self._name = short_name(opened.facts)
        self.owner = f"run/{self._name}"
        """Under it the content store keeps what belongs to this run."""
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
        """Fetch all bundles, open them into the workspace, and put the secrets there.

        Raises:
            ExecutionError: `input_unavailable`, `spec_refused`, `workspace_failed`, `store_full`.
        """
        wanted = sum(item.bundle.size_bytes for item in self._opened.request.inputs)
        if wanted > self._opened.spec.resources.disk:
            raise ExecutionError(
                f"the inputs have {wanted} bytes, the job asked for {self._opened.spec.resources.disk} of disk",
                code="spec_refused",
                hint="Raise resources.disk.",
            )
        await trio.to_thread.run_sync(self._make_folders)
        for item in self._opened.request.inputs:
            await self._fetch(item.bundle)
            await self._open_input(item)
        if self._opened.resume is not None and self._opened.spec.checkpoint is not None:
            resume = self._opened.resume.message
            is_snapshot = resume.label.startswith(SNAPSHOT_PREFIX)
            place = self._snapshots if is_snapshot else self.folder(self._opened.spec.checkpoint.path)
            await self._put_back(resume.bundle, place)
        await trio.to_thread.run_sync(self._put_secrets)

    async def _put_back(self, bundle: BundleRef, place: Path) -> None:
        """Put a checkpoint where the program, or its runtime, looks for it.

        Raises:
            ExecutionError: `checkpoint_unavailable`: an older one is tried, or the job begins anew.
        """
        try:
            await self._fetch(bundle)
            await self._open(bundle, place)
        except ExecutionError as error:
            raise ExecutionError(error.message, code="checkpoint_unavailable") from error

    async def prepare(self) -> None:
        """Get image or module ready.

        Raises:
            ExecutionError: See Sandbox.prepare.
        """
        await self.sandbox.prepare(self.sandbox_spec(), progress=self._progress)

    @property
    def sandbox(self) -> Sandbox:
        """The runtime that the job asks for.

        Raises:
            ExecutionError: `runtime_unavailable`.
        """
        runtime = self._opened.spec.runtime
        found = self._tools.sandboxes.get(runtime)
        if found is None:
            raise ExecutionError(f"this machine has no runtime {runtime}", code="runtime_unavailable")
        return found

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
        spec, facts = self._opened.spec, self._opened.facts
        secrets = {
            item.name: item.value.decode() for item in self._opened.request.secrets if item.path is None
        }
        env = environment(
            spec,
            job_id=facts.job_id,
            epoch=facts.epoch,
            shard=facts.shard,
            is_resumed=self._opened.resume is not None,
            grace_s=limits.CHECKPOINT_GRACE_S,
        )
        if self._opened.request.is_warm:
            env |= {"SKYOPS_TASKS_IN": f"{CONTROL}/{IN_FILE}", "SKYOPS_TASKS_OUT": f"{CONTROL}/{OUT_FILE}"}
        if self._opened.gang is not None:
            env |= gang_environment(self._opened.gang)
        resources, is_exact = spec.resources, spec.verification.kind == "exact"
        return SandboxSpec(
            name=self._name,
            command=(*spec.command, *spec.args),
            env=env | secrets,
            mounts=tuple(
                Mount(self._mounts / plan.folder, PurePosixPath(plan.target), plan.is_read_only)
                for plan in self._opened.layout.mounts
            ),
            limits=SandboxLimits(
                cpu_cores=float(resources.cpu),
                memory_bytes=resources.memory,
                pids_max=PIDS_MAX,
                disk_bytes=resources.disk,
                file_bytes_max=resources.disk,
                wall_s=float(spec.timeouts.execution),
                log_bytes_max=limits.LOG_BYTES_MAX,
                fuel_max=spec.timeouts.execution * FUEL_PER_S if is_exact else None,
            ),
            image="" if self._archive else spec.image,
            image_archive=self._archive,
            module=self._single_file(MODULE_PATH) if spec.module else None,
            entry_point=spec.entry_point,
            gpus=tuple(device.name for device in self._opened.terms.claim.devices),
            hosts=spec.resources.network,
            needs=frozenset(Limit) if spec.placement.hard_limits else PROMISED,
            is_deterministic=is_exact,
            snapshot_dir=self._snapshots if spec.checkpoint is not None else None,
            shares_sockets=self._opened.gang is not None,
            shares_pipes=self._opened.request.is_warm,
        )

    # --- beside and after ---------------------------------------------------------------------------------------
    def folder(self, path: str) -> Path:
        """Return where a path of the program lies in the workspace."""
        place = place_of(path)
        return self._mounts / self._opened.layout.folder_of(place) / place.inner

    def completed_checkpoint(self) -> str | None:
        """Return the name of the newest completed checkpoint; blocks for a moment."""
        checkpoint = self._opened.spec.checkpoint
        if checkpoint is None:
            return None
        folder = self.folder(checkpoint.path)
        name = newest_checkpoint(list_names(folder))
        is_unfinished = name is not None and INCOMPLETE_MARK in list_names(folder / name)
        return None if is_unfinished else name

    async def seal_checkpoint(self, name: str, *, owner: str) -> BundleRef:
        """Seal one entry of the checkpoint directory, or what the runtime saved, into the store.

        Raises:
            ExecutionError: `output_unsafe`, `output_changed`, …: the program still writes, or wrote nonsense.
            StoreError: `store_full`.
        """
        checkpoint = self._opened.spec.checkpoint
        assert checkpoint is not None, "a checkpoint of a job without"
        part = TreePart(self.folder(checkpoint.path), name, name)
        if name.startswith(SNAPSHOT_PREFIX):
            part = TreePart(self._snapshots, "", "")
        return await self._seal([part], owner)

    async def seal_outputs(self) -> BundleRef | None:
        """Seal the outputs into the store; None if the job has none, or none is there that need not be.

        Raises:
            ExecutionError: `output_missing`, `output_unsafe`, `output_too_large`, `output_too_many`.
            StoreError: `store_full`.
        """
        parts = []
        for item in self._opened.spec.outputs:
            place = place_of(item.path)
            root = self._mounts / self._opened.layout.folder_of(place)
            if await trio.to_thread.run_sync(_is_there, root / place.inner):
                parts.append(TreePart(root, place.inner, item.path[1:]))
            elif item.is_required:
                raise ExecutionError(f"the output {item.path} is not there", code="output_missing")
        return await self._seal(parts, f"{self.owner}/outputs") if parts else None

    # --- all ----------------------------------------------------------------------------------------------------
    async def _seal(self, parts: list[TreePart], owner: str) -> BundleRef:
        return await self._tools.shelf.seal_parts(
            parts,
            key=self._key,
            owner=owner,
            bytes_max=self._opened.spec.resources.disk,
            progress=self._progress,
        )

    async def _fetch(self, bundle: BundleRef) -> None:
        try:
            await self._tools.shelf.fetch(
                bundle, self.holders(), owner=f"{self.owner}/inputs", progress=self._progress
            )
        except (NetworkError, RemoteProtocolError) as error:
            raise ExecutionError(error.message, code="input_unavailable") from error

    def holders(self) -> list[Holder]:
        """Return who may have this job's bundles: the requester first."""
        facts, request = self._opened.facts, self._opened.request
        found = [Holder(facts.requester, ())]
        found += [holder_of(part) for part in request.holders]
        if self._opened.resume is not None:
            found.append(Holder(self._opened.resume.signer, ()))
        return [holder for holder in found if holder.peer != self._tools.own]

    async def _open(self, bundle: BundleRef, into: Path) -> None:
        try:
            await self._tools.shelf.open_tree(bundle, into, key=self._key, progress=self._progress)
        except RemoteProtocolError as error:
            raise ExecutionError(
                f"an input does not open: {error.message}", code="input_unavailable"
            ) from error
        except OSError as error:
            raise ExecutionError(f"the workspace: {error.strerror}", code="workspace_failed") from error

    async def _open_input(self, item: InputPart) -> None:
        if item.path in (MODULE_PATH, IMAGE_PATH):
            await self._open(item.bundle, self._private / item.path[1:])
            return
        target = self.folder(item.path)
        if not item.is_file:
            await self._open(item.bundle, target)
            return
        passage = self._private / "passage"
        await self._open(item.bundle, passage)
        await trio.to_thread.run_sync(_move_single, passage, target)

    def _single_file(self, path: str) -> Path:
        """Return the one file of an input that is not mounted."""
        return next((self._private / path[1:]).iterdir())

    @property
    def _archive(self) -> Path | None:
        has_archive = any(item.path == IMAGE_PATH for item in self._opened.request.inputs)
        return self._single_file(IMAGE_PATH) if has_archive else None

    def _make_folders(self) -> None:
        for plan in self._opened.layout.mounts:
            (self._mounts / plan.folder).mkdir(parents=True)
        for item in self._opened.spec.outputs:
            parent = self.folder(item.path).parent
            parent.mkdir(parents=True, exist_ok=True)
        if self._opened.spec.checkpoint is not None:
            self.folder(self._opened.spec.checkpoint.path).mkdir(parents=True, exist_ok=True)
        self._private.mkdir()
        self._snapshots.mkdir()

    def _put_secrets(self) -> None:
        try:
            for item in self._opened.request.secrets:
                if item.path is not None:
                    put_file(self.folder(item.path), item.value)
        except OSError as error:
            raise ExecutionError(
                f"a secret's file cannot be written: {error.strerror}", code="spec_refused"
            ) from error


def holder_of(part: HolderPart) -> Holder:
    """Return a holder as the content store wants it."""
    return Holder(PeerId(peer_id_from_bytes(part.peer)), tuple(Multiaddr(addr) for addr in part.addrs))


def _is_there(path: Path) -> bool:
    """Tell whether there is anything at a path; what it is, the walker finds out."""
    return os.path.lexists(path)


def _move_single(folder: Path, target: Path) -> None:
    """Move the one file of a folder to its place, and remove the folder."""
    source = next(folder.iterdir())
    target.parent.mkdir(parents=True, exist_ok=True)
    source.rename(target)
    folder.rmdir()
