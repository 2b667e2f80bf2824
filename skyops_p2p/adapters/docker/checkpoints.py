"""Whole states of gVisor containers: saved without the program's help, and put into a new container.

The engine keeps a checkpoint in a directory of its container and starts from nowhere else, so the files are copied
out of it, and into that of the next container. Only root can; the engine must be experimental. A saved container has
ended: it is started again at once from what was saved, and goes on from the same instruction.
"""

import logging
import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import trio

from skyops_p2p.adapters.docker.containers import Containers
from skyops_p2p.adapters.docker.running import DockerRun
from skyops_p2p.errors import ExecutionError
from skyops_p2p.ports import SandboxSpec

logger = logging.getLogger(__name__)
_NAME = "skyops"
_STATE = "state"
_PARTIAL = "state.partial"


class Checkpoints:
    """Checkpoints of one engine's containers.

    Args:
        containers: Of the engine.
        root_dir: Where the engine keeps its data.
    """

    def __init__(self, containers: Containers, root_dir: Path) -> None:
        self._containers = containers
        self._root_dir = root_dir

    def saver(self, spec: SandboxSpec) -> Callable[[DockerRun], Awaitable[bool]]:
        """Return what saves a running container into the job's snapshot directory."""

        async def save(run: DockerRun) -> bool:
            assert spec.snapshot_dir is not None
            source = self._place(run.container_id)
            try:
                with trio.CancelScope(shield=True):  # between end and new start there is no way out
                    await run.save_and_go_on(_NAME, lambda: _make_distinct(source))
                await trio.to_thread.run_sync(_copy, source, spec.snapshot_dir)
            except (ExecutionError, OSError) as error:
                logger.warning("snapshot_failed name=%s error=%s", spec.name, error)
                return False
            return True

        return save

    def restorer(self, spec: SandboxSpec) -> Callable[[str], Awaitable[str]]:
        """Return what puts a saved state into a container that was made and not started."""

        async def restore(container_id: str) -> str:
            assert spec.snapshot_dir is not None
            state = spec.snapshot_dir / _STATE
            if not await trio.Path(state).is_dir():
                return ""
            try:
                await trio.to_thread.run_sync(_put, state, self._place(container_id))
            except OSError as error:
                raise ExecutionError(
                    f"the snapshot cannot be used: {error.strerror}", code="sandbox_failed"
                ) from error
            return _NAME

        return restore

    def _place(self, container_id: str) -> Path:
        return self._root_dir / "containers" / container_id / "checkpoints" / _NAME


def _make_distinct(place: Path) -> None:
    """Change the time of a saved state: the engine hands its files on by digest, and still has the ones it just made.

    It would refuse the same content a second time ("already exists") until it has swept, a second or so later.
    """
    for path in place.iterdir():
        os.utime(path, (0, 0))


def _copy(source: Path, target: Path) -> None:
    """Copy to another name first: a state counts once it is complete."""
    shutil.rmtree(target / _PARTIAL, ignore_errors=True)
    shutil.copytree(source, target / _PARTIAL)
    shutil.rmtree(target / _STATE, ignore_errors=True)
    (target / _PARTIAL).rename(target / _STATE)


def _put(source: Path, target: Path) -> None:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    shutil.copytree(source, target)
