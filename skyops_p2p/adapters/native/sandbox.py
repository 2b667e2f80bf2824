"""The native runtime: bubblewrap, control groups and a system call filter around programs of this machine or a tar."""

import contextlib
import hashlib
import logging
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path, PurePosixPath

import trio

from skyops_p2p import limits
from skyops_p2p.adapters.confine.background import background_tasks
from skyops_p2p.adapters.confine.cgroups import Cgroup, CgroupTree, GroupLimits, open_tree, remove_leftovers
from skyops_p2p.adapters.confine.mounts import (
    JOB_USER,
    check_sources,
    check_spec,
    in_memory_bytes,
    make_over,
)
from skyops_p2p.adapters.confine.program import SandboxView, objection
from skyops_p2p.adapters.native.arguments import MACHINE_TOPS, Layout, lay_out, packed
from skyops_p2p.adapters.native.bubblewrap import BubblewrapProcess, LaunchPlan, find_stage, resource_limits
from skyops_p2p.adapters.native.gpus import device_nodes
from skyops_p2p.adapters.native.images import RootImages
from skyops_p2p.adapters.native.running import NativeRun
from skyops_p2p.adapters.native.seccomp import filter_program
from skyops_p2p.errors import ExecutionError
from skyops_p2p.ports import ExitKind, Limit, Progress, RunningSandbox, SandboxLimits, SandboxSpec

logger = logging.getLogger(__name__)
_BUBBLEWRAP_PROCESSES = 2
"""Bubblewrap itself and the first process of its namespace count in the group like the program's."""
_BY_ITSELF = frozenset({Limit.WALL, Limit.LOG, Limit.FILE_SIZE, Limit.DISK, Limit.NETWORK, Limit.GPU})
_TRIAL = SandboxLimits(
    cpu_cores=1.0,
    memory_bytes=64 << 20,
    pids_max=8,
    disk_bytes=1 << 20,
    file_bytes_max=1 << 20,
    wall_s=float(limits.ENGINE_TIMEOUT_S),
    log_bytes_max=4096,
)


class NativeSandbox:
    """Implements ports.Sandbox; made by `open_native_sandbox`."""

    runtime = "native"

    def __init__(self, data_dir: Path, bubblewrap: str, seccomp: bytes, groups: CgroupTree) -> None:
        self._home = data_dir / "native"
        self._bubblewrap = bubblewrap
        self._seccomp = seccomp
        self._groups = groups
        self._images = RootImages(self._home / "images")
        self._is_root = os.geteuid() == 0
        self._running: set[str] = set()  # names in use

    @property
    def enforces(self) -> frozenset[Limit]:
        """See the port: CPU, memory and process count as far as we may make control groups."""
        return _BY_ITSELF | self._groups.enforces

    async def prepare(self, spec: SandboxSpec, *, progress: Progress) -> None:
        """See the port; what may take long is unpacking a root file system."""
        check_spec(spec, self.enforces, runtime=self.runtime)
        _check_image(spec)
        device_nodes(spec.gpus)
        try:
            with trio.fail_after(limits.SANDBOX_PREPARE_TIMEOUT_S):
                if spec.image_archive is not None:
                    await self._images.get(spec.image_archive)
        except trio.TooSlowError:
            raise ExecutionError(
                "unpacking the root file system took too long", code="prepare_timeout"
            ) from None
        progress(0, 0)

    @asynccontextmanager
    async def start(self, spec: SandboxSpec) -> AsyncIterator[RunningSandbox]:
        """See the port."""
        check_spec(spec, self.enforces, runtime=self.runtime)
        _check_image(spec)
        check_sources(mount.source for mount in spec.mounts)
        root = await self._images.get(spec.image_archive) if spec.image_archive is not None else None
        if self._is_root:
            await trio.to_thread.run_sync(make_over, spec, JOB_USER)
        with self._images.in_use(root) if root is not None else contextlib.nullcontext():
            async with background_tasks() as tasks:
                run = NativeRun(spec, self._new_group(spec), partial(self._launch, spec, root))
                try:
                    self._begin(run, spec, root)
                    tasks.start_soon(run.accompany)
                    yield run
                finally:
                    with trio.CancelScope(shield=True):
                        await run.remove()
                        self._record(spec.name).unlink(missing_ok=True)
                        self._running.discard(spec.name)

    async def reap(self) -> int:
        """See the port: bubblewrap dies with its node, so what is left are groups, and half-unpacked images."""
        return await trio.to_thread.run_sync(self._reap_now)

    def _begin(self, run: NativeRun, spec: SandboxSpec, root: Path | None) -> None:
        view = SandboxView(
            root or Path("/"), None if root is not None else frozenset(MACHINE_TOPS), spec.mounts
        )
        reason = objection(spec.command, view, env=spec.env, cwd=spec.working_dir)
        if reason:
            run.begin_in_vain(reason)
            return
        try:
            run.begin()
        except OSError as error:
            raise ExecutionError(
                f"bubblewrap could not be started: {error.strerror}", code="sandbox_failed"
            ) from error

    def _new_group(self, spec: SandboxSpec) -> Cgroup | None:
        if not self._groups.enforces:
            return None
        wanted = GroupLimits(
            memory_bytes=spec.limits.memory_bytes + in_memory_bytes(spec),
            cpu_cores=spec.limits.cpu_cores,
            pids_max=spec.limits.pids_max + _BUBBLEWRAP_PROCESSES,
        )
        # The record comes first: what is made after it is found by `reap` whenever we are killed.
        record = self._record(spec.name)
        self._running.add(spec.name)
        try:
            record.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            record.write_text(
                "".join(f"{path}\n" for path in sorted(set(self._groups.paths(spec.name).values())))
            )
            return self._groups.create(spec.name, wanted)
        except OSError as error:
            record.unlink(missing_ok=True)
            raise ExecutionError(
                f"no control group could be made: {error.strerror}", code="sandbox_failed"
            ) from error

    def _launch(self, spec: SandboxSpec, root: Path | None) -> BubblewrapProcess:
        layout = Layout(stage=find_stage() if self._is_root else "")
        lay_out(layout, spec, root, etc=_make_etc(self._home / "etc"), devices=device_nodes(spec.gpus))
        group = self._groups.paths(spec.name) if self._groups.enforces else {}
        plan = LaunchPlan(
            bubblewrap=self._bubblewrap,
            options=packed(layout.options),
            command=spec.command,
            seccomp=self._seccomp,
            join=tuple(sorted({path / "cgroup.procs" for path in group.values()})),
            rlimits=resource_limits(
                file_bytes_max=spec.limits.file_bytes_max, without=self._stand_ins(spec.limits)
            ),
            stage=layout.stage,
            sources=layout.sources,
            user=JOB_USER if self._is_root else None,
        )
        return BubblewrapProcess(plan)

    def _stand_ins(self, wanted: SandboxLimits) -> dict[str, int]:
        """Return limits of single processes for what no group bounds: better than nothing, and called soft."""
        found = {}
        if Limit.MEMORY not in self._groups.enforces:
            found["RLIMIT_AS"] = wanted.memory_bytes
        if Limit.PIDS not in self._groups.enforces:
            found["RLIMIT_NPROC"] = wanted.pids_max + _BUBBLEWRAP_PROCESSES
        return found

    def _record(self, name: str) -> Path:
        return self._home / "running" / name

    def _reap_now(self) -> int:
        self._images.remove_partial()
        count = 0
        for record in sorted((self._home / "running").glob("*")):
            if record.name in self._running:
                continue
            paths = [Path(line) for line in record.read_text(errors="replace").splitlines()]
            if remove_leftovers(path for path in paths if path.parent.name.startswith(_MARKER)):
                record.unlink()
                count += 1
        return count


_MARKER = "skyops-"


async def open_native_sandbox(data_dir: Path) -> NativeSandbox | None:
    """Find out whether this machine can run programs under bubblewrap, by running one.

    Args:
        data_dir: Below it root file systems are kept, and notes of what runs.

    Returns:
        The sandbox, which enforces what control groups we may make; None without bubblewrap 0.8 or newer, on a
        processor without a filter here, or where the kernel lets us make no namespaces.
    """
    bubblewrap, seccomp = shutil.which("bwrap"), filter_program()
    if bubblewrap is None or seccomp is None:
        logger.debug("native_absent bwrap=%s has_filter=%s", bubblewrap, seccomp is not None)
        return None
    groups = await trio.to_thread.run_sync(_open_groups, data_dir)
    sandbox = NativeSandbox(data_dir, bubblewrap, seccomp, groups)
    trial = SandboxSpec(
        name="trial",
        command=("/bin/sh", "-c", "exit 42"),
        env={},
        mounts=(),
        limits=_TRIAL,
        working_dir=PurePosixPath("/"),
        needs=frozenset(),
    )
    try:
        async with sandbox.start(trial) as running:
            end = await running.wait()
    except (ExecutionError, OSError, subprocess.SubprocessError) as error:
        logger.info("native_absent error=%s", error)
        return None
    if (end.kind, end.exit_code) != (ExitKind.EXITED, 42):
        logger.info("native_absent trial=%s", end.text)
        return None
    return sandbox


def _open_groups(data_dir: Path) -> CgroupTree:
    """Open the place of our groups; its name tells the nodes of one machine apart."""
    return open_tree(_MARKER + hashlib.sha256(os.fsencode(data_dir.absolute())).hexdigest()[:12])


def _check_image(spec: SandboxSpec) -> None:
    if spec.image:
        raise ExecutionError(
            f"the native runtime cannot fetch the image {spec.image!r}",
            code="not_supported",
            hint="Send a root file system as image archive, or use the docker runtime.",
        )
    if spec.gpus and spec.image_archive is not None:
        raise ExecutionError(
            "the native runtime gives GPUs to programs of the machine's own /usr only: the driver's library is there",
            code="not_supported",
        )


def _make_etc(place: Path) -> Path:
    """Write the few files of /etc that programs look for; nothing of it is a secret of this machine."""
    if not (place / "passwd").exists():
        place.mkdir(mode=0o755, parents=True, exist_ok=True)
        (place / "group").write_text(f"root:x:0:\njob:x:{JOB_USER}:\n")
        (place / "hosts").write_text("127.0.0.1 localhost job\n")
        (place / "nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files\n")
        _copy_links(Path("/etc/alternatives"), place / "alternatives")
        with contextlib.suppress(OSError):
            shutil.copyfile("/etc/ld.so.cache", place / "ld.so.cache")
        (place / "passwd").write_text(
            f"root:x:0:0:root:/:/bin/sh\njob:x:{JOB_USER}:{JOB_USER}:job:/work:/bin/sh\n"
        )
        for path in place.iterdir():
            path.chmod(0o755 if path.is_dir() else 0o644)
    return place


def _copy_links(source: Path, target: Path) -> None:
    """Copy Debian's table of which program stands behind a name."""
    target.mkdir(exist_ok=True)
    names: Sequence[Path] = list(source.glob("*")) if source.is_dir() else []
    for link in names[: limits.DISK_ENTRIES_MAX]:
        if link.is_symlink():
            (target / link.name).symlink_to(link.readlink())
