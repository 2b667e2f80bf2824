"""The sandbox port over wasmtime: no root, no daemon, a child process for each job."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from skyops_p2p import limits
from skyops_p2p.adapters.confine.background import background_tasks
from skyops_p2p.adapters.confine.mounts import (
    check_sources,
    check_spec,
    make_over,
    make_place_over,
)
from skyops_p2p.adapters.wasm.frames import Preopen, RunRequest
from skyops_p2p.adapters.wasm.launcher import Launcher
from skyops_p2p.adapters.wasm.modules import CompiledModule, ModuleStore
from skyops_p2p.adapters.wasm.running import RunningWasm
from skyops_p2p.adapters.wasm.user import module_user
from skyops_p2p.errors import ExecutionError
from skyops_p2p.ports import Limit, Progress, SandboxSpec

SNAPSHOT_FILE = "state.skywasm"
_WASM_PAGE = 65536
_SEED_CONTEXT = b"skyops/wasm/seed/1"
_SEED_VARIABLES = ("SKYOPS_JOB", "SKYOPS_SHARD")


class WasmSandbox(trio.abc.AsyncResource):
    """The runtime "wasm" of this machine. Closing it ends all its jobs.

    Args:
        directory: For compiled modules; this user's alone.
    """

    def __init__(self, directory: Path) -> None:
        self._launcher = Launcher()
        self._modules = ModuleStore(directory, self._launcher)

    @property
    def runtime(self) -> str:
        """See Sandbox."""
        return "wasm"

    @property
    def enforces(self) -> frozenset[Limit]:
        """All of them: one thread, no processes, sockets or devices, and the rest as docs/wasm-jobs.md says."""
        return frozenset(Limit)

    async def prepare(self, spec: SandboxSpec, *, progress: Progress) -> None:
        """See Sandbox."""
        await self._compiled(spec, progress)

    @asynccontextmanager
    async def start(self, spec: SandboxSpec) -> AsyncIterator[RunningWasm]:
        """See Sandbox."""
        module = await self._compiled(spec, lambda done, total: None)
        await trio.to_thread.run_sync(_make_ready, spec)
        child = await self._launcher.launch()
        try:
            running = RunningWasm(spec, _request(spec, module), child)
            await running.begin()
            async with background_tasks() as nursery:
                nursery.start_soon(running.run)
                try:
                    yield running
                finally:
                    await running.close()
        finally:
            child.close()

    async def reap(self) -> int:
        """Remove half-written files of an earlier process; its children died with it."""
        return self._modules.remove_partial()

    async def aclose(self) -> None:
        """End the preloaded process, and all jobs with it."""
        await self._launcher.aclose()

    async def _compiled(self, spec: SandboxSpec, progress: Progress) -> CompiledModule:
        self._check(spec)
        assert spec.module is not None
        return await self._modules.compiled(
            spec.module, is_deterministic=spec.is_deterministic, progress=progress
        )

    def _check(self, spec: SandboxSpec) -> None:
        # One thread uses one core at most; nothing here makes it use less.
        enforced = self.enforces if spec.limits.cpu_cores >= 1 else self.enforces - {Limit.CPU}
        check_spec(spec, enforced, runtime=self.runtime)
        if spec.module is None:
            raise ExecutionError("a wasm job needs a module", code="module_invalid")
        if spec.gpus:
            raise ExecutionError(
                "the wasm runtime has no GPUs",
                code="not_supported",
                hint="Use docker or native for GPU jobs.",
            )


def _request(spec: SandboxSpec, module: CompiledModule) -> RunRequest:
    mounts = sorted(spec.mounts, key=lambda mount: str(mount.target))
    return RunRequest(
        compiled=str(module.path.absolute()),
        digest=module.digest,
        arguments=list(spec.command),
        env=dict(spec.env),
        preopens=[Preopen(str(m.source.absolute()), str(m.target), not m.is_read_only) for m in mounts],
        working_dir=str(spec.working_dir),
        entry_point=spec.entry_point,
        is_deterministic=spec.is_deterministic,
        seed=_seed(spec, module.digest),
        memory_bytes_max=spec.limits.memory_bytes // _WASM_PAGE * _WASM_PAGE,
        file_bytes_max=spec.limits.file_bytes_max,
        disk_bytes_max=spec.limits.disk_bytes,
        fuel_max=limits.WASM_FUEL_MAX if spec.limits.fuel_max is None else spec.limits.fuel_max,
        snapshot=str((spec.snapshot_dir / SNAPSHOT_FILE).absolute()) if spec.snapshot_dir else "",
        hidden_state=module.hidden_state,
        user=module_user(),
    )


def _make_ready(spec: SandboxSpec) -> None:
    """Check the job's directories, and give them to the user that runs the module; blocks.

    Raises:
        ExecutionError: `sandbox_failed`.
    """
    check_sources(mount.source for mount in spec.mounts)
    user = module_user()
    if user is not None:
        places = [mount.source for mount in spec.mounts]
        make_over(spec, user)
        if spec.snapshot_dir is not None and spec.snapshot_dir not in places:
            make_place_over(spec.snapshot_dir, user)


def _seed(spec: SandboxSpec, digest: str) -> str:
    """Return where random bytes of a deterministic run come from: equal for all who run the same shard of a job."""
    parts = [digest, *(spec.env.get(name, "") for name in _SEED_VARIABLES)]
    return hashlib.sha256(_SEED_CONTEXT + "\0".join(parts).encode()).hexdigest()
