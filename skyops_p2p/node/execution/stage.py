"""Where a program of a job runs, whoever runs it: its folders, inputs and secrets, its sandbox, and its outputs.

A worker's run (steps.py) adds leases, checkpoints and gangs; a requester that runs a shard again for itself
(node/jobs/verifying.py) needs no more than this. Plaintext lies in the workspace and nowhere else.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import trio

from skyops_p2p import limits
from skyops_p2p.core.execution.layout import Layout, environment, place_of
from skyops_p2p.core.execution.opening import IMAGE_PATH, MODULE_PATH
from skyops_p2p.core.execution.progress import INCOMPLETE_MARK, newest_checkpoint, next_of_chain, steps_of
from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.core.verification.commit import compared_class
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.errors import ExecutionError, NetworkError, RemoteProtocolError
from skyops_p2p.node.content.shelf import ContentShelf, Holder, TreePart
from skyops_p2p.node.execution.small_files import list_names, put_file
from skyops_p2p.ports import Limit, Mount, Sandbox, SandboxLimits, SandboxSpec
from skyops_p2p.wire.messages.content import BundleRef
from skyops_p2p.wire.messages.execution import InputPart, SecretPart

PIDS_MAX = 512
"""Processes and threads of one program."""
FUEL_PER_S = 4_000_000_000
"""Instructions that an exact job may use for each second of its time-out: more than any processor metered so far does,
so that the same job ends alike on fast and slow ones."""
PROMISED = frozenset({Limit.WALL, Limit.LOG, Limit.NETWORK})
"""What every sandbox must enforce; with placement.hard_limits, all of it."""
Progress = Callable[[int, int], None]

_SHARED_NAME_DOMAIN = b"skyops/shared-name/1"


@dataclass(frozen=True, slots=True)
class Work:
    """One shard of a job, as somebody runs it."""

    spec: JobSpec
    layout: Layout
    job_id: bytes
    """16 bytes."""
    shard: int
    epoch: int
    """Of the lease."""
    inputs: tuple[InputPart, ...]
    content_key: bytes = field(repr=False)
    """32 bytes."""
    secrets: tuple[SecretPart, ...] = field(repr=False)
    is_resumed: bool = False
    """A checkpoint lies there to go on from."""

    @property
    def told_names(self) -> tuple[bytes, int]:
        """The job id and the epoch that the program is told, of which its random bytes come too.

        Where results are compared they are the same for all who compute it. Rules: VER-3.
        """
        if compared_class(self.spec) is None:
            return self.job_id, self.epoch
        return sha256(_SHARED_NAME_DOMAIN + self.content_key)[:16], 1


class RunStage:
    """The place of one program.

    Args:
        work: What is to run.
        shelf: Holds the sealed inputs, and takes the outputs.
        sandboxes: Runtime -> sandbox, those that may be used.
        name: Of the sandbox, as SandboxSpec.name.
        owner: Under it the content store keeps what belongs to this run.
        root: The workspace, empty.
        progress: Told (done, total) bytes of the step under way.
    """

    def __init__(
        self,
        work: Work,
        shelf: ContentShelf,
        sandboxes: Mapping[str, Sandbox],
        *,
        name: str,
        owner: str,
        root: Path,
        progress: Progress,
    ) -> None:
        self.work = work
        self.owner = owner
        self._shelf = shelf
        self._sandboxes = sandboxes
        self._progress = progress
        self._name = name
        self._mounts = root / "mounts"
        self._private = root / "private"
        """Module and image: not mounted."""
        self._snapshots = root / "snapshot"
        """What the runtime saves of the whole program; not mounted."""

    # --- before -----------------------------------------------------------------------------------------------
    async def bring_inputs(self, holders: Sequence[Holder]) -> None:
        """Fetch all bundles and open them into the workspace; the secrets come last, see `put_secrets`.

        Args:
            holders: Whom to ask for what is not here.

        Raises:
            ExecutionError: `input_unavailable`, `spec_refused`, `workspace_failed`.
            StoreError: `store_full`.
        """
        wanted = sum(item.bundle.size_bytes for item in self.work.inputs)
        if wanted > self.work.spec.resources.disk:
            raise ExecutionError(
                f"the inputs have {wanted} bytes, the job asked for {self.work.spec.resources.disk} of disk",
                code="spec_refused",
                hint="Raise resources.disk.",
            )
        await trio.to_thread.run_sync(self._make_folders)
        for item in self.work.inputs:
            await self._fetch(item.bundle, holders)
            await self._open_input(item)

    async def put_secrets(self) -> None:
        """Put the secrets that are files into the workspace.

        Raises:
            ExecutionError: `spec_refused`.
        """
        await trio.to_thread.run_sync(self._put_secrets)

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
        runtime = self.work.spec.runtime
        found = self._sandboxes.get(runtime)
        if found is None:
            raise ExecutionError(f"this machine has no runtime {runtime}", code="runtime_unavailable")
        return found

    # --- the program --------------------------------------------------------------------------------------------
    def sandbox_spec(self) -> SandboxSpec:
        """Return what the sandbox is to run."""
        work, spec = self.work, self.work.spec
        secrets = {item.name: item.value.decode() for item in work.secrets if item.path is None}
        job_id, epoch = work.told_names
        env = environment(
            spec,
            job_id=job_id,
            epoch=epoch,
            shard=work.shard,
            is_resumed=work.is_resumed,
            grace_s=limits.CHECKPOINT_GRACE_S,
        )
        resources, is_exact = spec.resources, spec.verification.kind == "exact"
        return SandboxSpec(
            name=self._name,
            command=(*spec.command, *spec.args),
            env=env | secrets,
            mounts=tuple(
                Mount(self._mounts / plan.folder, PurePosixPath(plan.target), plan.is_read_only)
                for plan in work.layout.mounts
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
            hosts=spec.resources.network,
            needs=frozenset(Limit) if spec.placement.hard_limits else PROMISED,
            is_deterministic=is_exact,
        )

    # --- beside and after ---------------------------------------------------------------------------------------
    def folder(self, path: str) -> Path:
        """Return where a path of the program lies in the workspace."""
        place = place_of(path)
        return self._mounts / self.work.layout.folder_of(place) / place.inner

    def next_checkpoint(self, saved: str) -> str | None:
        """Return the name of the completed checkpoint that is to be saved now; blocks for a moment.

        Args:
            saved: Name of the one that was saved last; empty: none was.

        Returns:
            The newest, or, where each has to be saved, the first after `saved`; None: there is none.

        Rules: EXE-24, EXE-41.
        """
        checkpoint = self.work.spec.checkpoint
        if checkpoint is None:
            return None
        folder = self.folder(checkpoint.path)
        names = list_names(folder)
        if checkpoint.stride is None:
            name = newest_checkpoint(names)
        else:
            name = next_of_chain(names, checkpoint.stride, steps_of(saved) or 0)
        is_unfinished = name is not None and INCOMPLETE_MARK in list_names(folder / name)
        return None if is_unfinished else name

    async def put_checkpoint(self, bundle: BundleRef, place: Path, holders: Sequence[Holder]) -> None:
        """Fetch a checkpoint, and put it where the program, or its runtime, looks for it.

        Raises:
            ExecutionError: `checkpoint_unavailable`: an older one is tried, or the job begins anew.
        """
        try:
            await self._fetch(bundle, holders)
            await self._open(bundle, place)
        except ExecutionError as error:
            raise ExecutionError(error.message, code="checkpoint_unavailable") from error

    async def seal_checkpoint(self, name: str, *, owner: str) -> BundleRef:
        """Seal one entry of the checkpoint directory into the store.

        Raises:
            ExecutionError: `output_unsafe`, `output_changed`, …: the program still writes, or wrote nonsense.
            StoreError: `store_full`.
        """
        checkpoint = self.work.spec.checkpoint
        assert checkpoint is not None, "a checkpoint of a job without"
        return await self._seal([TreePart(self.folder(checkpoint.path), name, name)], owner)

    async def seal_outputs(self) -> BundleRef | None:
        """Seal the outputs into the store; None if the job has none, or none is there that need not be.

        Raises:
            ExecutionError: `output_missing`, `output_unsafe`, `output_too_large`, `output_too_many`.
            StoreError: `store_full`.
        """
        parts = []
        for item in self.work.spec.outputs:
            place = place_of(item.path)
            root = self._mounts / self.work.layout.folder_of(place)
            if await trio.to_thread.run_sync(_is_there, root / place.inner):
                parts.append(TreePart(root, place.inner, item.path[1:]))
            elif item.is_required:
                raise ExecutionError(f"the output {item.path} is not there", code="output_missing")
        return await self._seal(parts, f"{self.owner}/outputs") if parts else None

    # --- all ----------------------------------------------------------------------------------------------------
    async def _seal(self, parts: list[TreePart], owner: str) -> BundleRef:
        return await self._shelf.seal_parts(
            parts,
            key=self.work.content_key,
            owner=owner,
            bytes_max=self.work.spec.resources.disk,
            progress=self._progress,
        )

    async def _fetch(self, bundle: BundleRef, holders: Sequence[Holder]) -> None:
        try:
            await self._shelf.fetch(bundle, holders, owner=f"{self.owner}/inputs", progress=self._progress)
        except (NetworkError, RemoteProtocolError) as error:
            raise ExecutionError(error.message, code="input_unavailable") from error

    async def _open(self, bundle: BundleRef, into: Path) -> None:
        try:
            await self._shelf.open_tree(bundle, into, key=self.work.content_key, progress=self._progress)
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
        has_archive = any(item.path == IMAGE_PATH for item in self.work.inputs)
        return self._single_file(IMAGE_PATH) if has_archive else None

    def _make_folders(self) -> None:
        for plan in self.work.layout.mounts:
            (self._mounts / plan.folder).mkdir(parents=True)
        for item in self.work.spec.outputs:
            parent = self.folder(item.path).parent
            parent.mkdir(parents=True, exist_ok=True)
        if self.work.spec.checkpoint is not None:
            self.folder(self.work.spec.checkpoint.path).mkdir(parents=True, exist_ok=True)
        self._private.mkdir()
        self._snapshots.mkdir()

    def _put_secrets(self) -> None:
        try:
            for item in self.work.secrets:
                if item.path is not None:
                    put_file(self.folder(item.path), item.value)
        except OSError as error:
            raise ExecutionError(
                f"a secret's file cannot be written: {error.strerror}", code="spec_refused"
            ) from error


def _is_there(path: Path) -> bool:
    """Tell whether there is anything at a path; what it is, the walker finds out."""
    return os.path.lexists(path)


def _move_single(folder: Path, target: Path) -> None:
    """Move the one file of a folder to its place, and remove the folder."""
    source = next(folder.iterdir())
    target.parent.mkdir(parents=True, exist_ok=True)
    source.rename(target)
    folder.rmdir()
