"""The docker runtime: programs in containers of this machine's engine, with gVisor between where it is installed."""

import hashlib
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path, PurePosixPath

import trio

from skyops_p2p import limits
from skyops_p2p.adapters.confine.background import background_tasks
from skyops_p2p.adapters.confine.mounts import JOB_USER, check_sources, check_spec, make_over
from skyops_p2p.adapters.confine.program import SandboxView, objection
from skyops_p2p.adapters.docker.checkpoints import Checkpoints
from skyops_p2p.adapters.docker.container import container_config
from skyops_p2p.adapters.docker.containers import Containers
from skyops_p2p.adapters.docker.engine import GVISOR, Engine, EngineFacts, engine_address
from skyops_p2p.adapters.docker.image_cache import RECORD, ImageCache
from skyops_p2p.adapters.docker.images import EngineImages
from skyops_p2p.adapters.docker.running import DockerRun
from skyops_p2p.errors import ExecutionError
from skyops_p2p.ports import Limit, Progress, RunningSandbox, SandboxSpec

logger = logging.getLogger(__name__)
_BY_ITSELF = frozenset({Limit.WALL, Limit.LOG, Limit.FILE_SIZE, Limit.DISK, Limit.NETWORK, Limit.GPU})


class DockerSandbox:
    """Implements ports.Sandbox; made by `open_docker_sandbox`, to be closed."""

    runtime = "docker"

    def __init__(
        self, engine: Engine, facts: EngineFacts, cache: ImageCache, *, owner: str, is_gvisor: bool
    ) -> None:
        self._engine = engine
        self._facts = facts
        self._owner = owner
        self._is_gvisor = is_gvisor
        self._cache = cache
        self._images = EngineImages(engine, facts.architecture, cache)
        self._containers = Containers(engine, owner)
        self._checkpoints = Checkpoints(self._containers, Path(facts.root_dir))
        self._running: set[str] = set()  # names of our containers that are in use

    @property
    def enforces(self) -> frozenset[Limit]:
        """See the port: CPU, memory and process count as the engine says of its kernel."""
        told = {
            Limit.MEMORY: self._facts.bounds_memory,
            Limit.PIDS: self._facts.bounds_pids,
            Limit.CPU: self._facts.bounds_cpu,
        }
        return _BY_ITSELF | {limit for limit, is_bounded in told.items() if is_bounded}

    @property
    def is_gvisor(self) -> bool:
        """Whether programs run on gVisor's kernel instead of this machine's; those with GPUs never do."""
        return self._is_gvisor

    async def prepare(self, spec: SandboxSpec, *, progress: Progress) -> None:
        """See the port."""
        self._check(spec)
        try:
            with trio.fail_after(limits.SANDBOX_PREPARE_TIMEOUT_S):
                await self._images.get(spec, progress=progress)
        except trio.TooSlowError:
            raise ExecutionError("getting the image took too long", code="prepare_timeout") from None

    @asynccontextmanager
    async def start(self, spec: SandboxSpec) -> AsyncIterator[RunningSandbox]:
        """See the port."""
        self._check(spec)
        check_sources(mount.source for mount in spec.mounts)
        image = await self._images.find(spec)
        if image is None:
            raise ExecutionError("the image was not prepared", code="image_missing")
        user = await _own_mounts(spec)
        runtime_class = GVISOR if self._is_gvisor and not spec.gpus else ""
        config = container_config(
            spec, image.id, owner=self._owner, user=user, runtime_class=runtime_class, volumes=image.volumes
        )
        can_save = runtime_class == GVISOR and self._facts.is_experimental and spec.snapshot_dir is not None
        name = f"skyops-{self._owner}-{spec.name}"
        run = DockerRun(spec, self._containers, config, self._checkpoints.saver(spec) if can_save else None)
        self._running.add(name)
        async with background_tasks() as tasks:
            try:
                reason = _objection_in_mounts(spec)
                if reason:
                    run.begin_in_vain(reason)
                else:
                    await run.begin(name, prepare=self._checkpoints.restorer(spec) if can_save else None)
                tasks.start_soon(run.accompany)
                yield run
            finally:
                with trio.CancelScope(shield=True):
                    await run.remove(name)
                    self._running.discard(name)

    async def reap(self) -> int:
        """See the port: containers with our label that we did not start."""
        left = [name for name in await self._containers.ours() if name not in self._running]
        for name in left:
            await self._containers.remove(name)
        await self._cache.trim()  # the setting may have been lowered
        return len(left)

    def close(self) -> None:
        """Close the connections to the engine."""
        self._engine.close()

    def _check(self, spec: SandboxSpec) -> None:
        check_spec(spec, self.enforces, runtime=self.runtime)
        if (spec.shares_sockets or spec.shares_pipes) and self._is_gvisor and not spec.gpus:
            raise ExecutionError(
                "a container under gVisor reaches no sockets and pipes of its machine, and gangs and pools need them",
                code="not_supported",
                hint="Workers without gVisor, or with the native runtime, run gangs and pools.",
            )
        if spec.gpus and self._facts.is_podman:
            raise ExecutionError(
                "Podman starts containers without the GPU that was asked for, and says nothing",
                code="not_supported",
                hint="Use Docker with the NVIDIA container toolkit for jobs with GPUs.",
            )


async def open_docker_sandbox(
    data_dir: Path,
    *,
    address: str | None = None,
    gvisor: bool | None = None,
    images_gib: int | None = None,
) -> DockerSandbox | None:
    """Find out whether an engine answers, and what it can bound.

    Args:
        data_dir: Names this node among those of the same engine.
        address: "unix://PATH"; by default DOCKER_HOST, or the usual socket.
        gvisor: Whether programs run under gVisor; by default where the engine has it as a runtime "runsc".
        images_gib: The most that images which this node brings into the engine may take; None: none is removed.

    Returns:
        The sandbox; None if no engine answers on a socket of this machine, or gVisor is wanted and not there.
    """
    place = address or engine_address()
    if place is None or not place.startswith("unix://") or not await trio.Path(place[7:]).exists():
        return None  # the usual case without an engine: spare the import of its library
    engine = Engine(place)
    try:
        facts = await engine.facts()
    except ExecutionError as error:
        logger.info("docker_absent error=%s", error)
        engine.close()
        return None
    if gvisor and not facts.has_gvisor:
        engine.close()
        return None
    is_gvisor = facts.has_gvisor if gvisor is None else gvisor
    cache = ImageCache(engine, data_dir / RECORD, bytes_max=None if images_gib is None else images_gib << 30)
    return DockerSandbox(engine, facts, cache, owner=_owner(data_dir), is_gvisor=is_gvisor)


def _owner(data_dir: Path) -> str:
    return hashlib.sha256(os.fsencode(data_dir.absolute())).hexdigest()[:12]


async def _own_mounts(spec: SandboxSpec) -> str:
    """Return "UID:GID" of the program: an unprivileged one, to which root makes the mounts over."""
    if os.geteuid() != 0:
        return f"{os.geteuid()}:{os.getegid()}"
    await trio.to_thread.run_sync(make_over, spec, JOB_USER)
    return f"{JOB_USER}:{JOB_USER}"


def _objection_in_mounts(spec: SandboxSpec) -> str:
    """Look at a program that comes in a mount; one of the image is the engine's to judge."""
    if not spec.command:
        return ""
    program = spec.working_dir / PurePosixPath(spec.command[0])
    if "/" not in spec.command[0] or not any(program.is_relative_to(mount.target) for mount in spec.mounts):
        return ""
    view = SandboxView(Path("/"), frozenset(), spec.mounts)
    found = objection(spec.command, view, env=spec.env, cwd=spec.working_dir)
    # Its interpreter lies in the image, which is not seen from here.
    return "" if found.startswith("the interpreter") else found
