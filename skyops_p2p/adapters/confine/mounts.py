"""Checks of a sandbox's specification that do not depend on the runtime, and the making over of its mounts."""

import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path

from skyops_p2p import limits
from skyops_p2p.errors import ExecutionError
from skyops_p2p.ports import Limit, SandboxSpec

JOB_USER = 65532
"""User and group id of programs where we may choose it: by custom nobody's (distroless images call it "nonroot")."""
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_NOT_MOUNTABLE = ("/proc", "/sys", "/dev")
_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def check_spec(spec: SandboxSpec, enforces: frozenset[Limit], *, runtime: str) -> None:
    """Refuse what no sandbox of this runtime can do.

    Raises:
        ExecutionError: `limit_not_enforced` naming the limits, `not_supported` (hosts), `sandbox_failed` (a name or
            mount that cannot be).
    """
    lacking = sorted(limit.value for limit in spec.needs - enforces)
    if lacking:
        raise ExecutionError(
            f"the {runtime} runtime of this machine cannot enforce: {', '.join(lacking)}",
            code="limit_not_enforced",
            hint="docs/runtimes.md says what each runtime needs for its limits.",
        )
    if spec.hosts:
        raise ExecutionError(
            f"the {runtime} runtime has no network, and the job asks for {', '.join(spec.hosts)}",
            code="not_supported",
            hint="Give the job its data as inputs.",
        )
    if (spec.shares_sockets or spec.shares_pipes) and runtime == "wasm":
        raise ExecutionError(
            "a WebAssembly module has no sockets and pipes, and gangs and pools need them",
            code="not_supported",
            hint="Use the docker or native runtime for gangs and pools.",
        )
    if not _NAME.fullmatch(spec.name):
        raise ExecutionError(f"{spec.name!r} is no name for a sandbox", code="sandbox_failed")
    if len(spec.mounts) > limits.SANDBOX_MOUNTS_MAX:
        raise ExecutionError(f"more than {limits.SANDBOX_MOUNTS_MAX} mounts", code="sandbox_failed")
    _check_targets([str(mount.target) for mount in spec.mounts])


def make_over(spec: SandboxSpec, user: int) -> None:
    """Give the trees below the mounts to the program's user id; blocks. Needs root, and a tree that nobody writes.

    Raises:
        ExecutionError: `sandbox_failed` if a mount is no directory.
    """
    for mount in spec.mounts:
        make_place_over(mount.source, user, shown=str(mount.target))


def make_place_over(place: Path, user: int, *, shown: str = "") -> None:
    """Give one tree to a user id; as `make_over`, and an error names it as `shown`."""
    try:
        directory = os.open(place, _OPEN_DIRECTORY)
        os.chown(directory, user, user)
        _chown_below(directory, user)
    except OSError as error:
        raise ExecutionError(
            f"{shown or place} cannot be mounted: {error.strerror}", code="sandbox_failed"
        ) from error


def check_sources(sources: Iterable[Path]) -> None:
    """Refuse mounts whose source is no directory.

    Raises:
        ExecutionError: `sandbox_failed`.
    """
    for source in sources:
        try:
            is_directory = stat.S_ISDIR(source.lstat().st_mode)
        except OSError:
            is_directory = False
        if not is_directory:
            raise ExecutionError(f"there is no directory {source} to mount", code="sandbox_failed")


def _check_targets(targets: list[str]) -> None:
    for target in targets:
        parts = target.split("/")
        is_whole = target.startswith("/") and target != "/" and ".." not in parts and "\0" not in target
        is_reserved = any(target == place or target.startswith(f"{place}/") for place in _NOT_MOUNTABLE)
        if not is_whole or is_reserved or targets.count(target) > 1:
            raise ExecutionError(f"nothing can be mounted at {target!r}", code="sandbox_failed")


def _chown_below(directory: int, user: int) -> None:
    """Go through one directory by descriptors, never through a link; closes it."""
    try:
        with os.scandir(directory) as scan:
            entries = list(scan)
        for entry in entries:
            status = entry.stat(follow_symlinks=False)
            if status.st_uid != user or status.st_gid != user:
                os.chown(entry.name, user, user, dir_fd=directory, follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                _chown_below(os.open(entry.name, _OPEN_DIRECTORY, dir_fd=directory), user)
    finally:
        os.close(directory)


def in_memory_bytes(spec: SandboxSpec) -> int:
    """Return what files may add to the memory of a group: those on a tmpfs are charged to whoever writes them."""
    writable = [mount.source for mount in spec.mounts if not mount.is_read_only]
    return spec.limits.disk_bytes if any(_is_tmpfs(place) for place in writable) else 0


def _is_tmpfs(place: Path) -> bool:
    device = place.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    rows = [line.partition(" - ") for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return any(before.split()[2] == wanted and after.split()[0] == "tmpfs" for before, _, after in rows)
