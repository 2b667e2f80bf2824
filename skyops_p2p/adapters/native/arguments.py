"""What bubblewrap is told: the sandbox as a list of words. Pure but for a look at the root's directories.

Everything is visible that is named here, and nothing else. Order matters to bubblewrap: /proc/sys after /proc, the
root made read-only at the end. Words travel through a descriptor, so that the environment, which may hold secrets,
is in no process list. Source: bwrap(1).
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from skyops_p2p import limits
from skyops_p2p.adapters.confine.mounts import JOB_USER
from skyops_p2p.ports import SandboxSpec

MACHINE_TOPS = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32")
"""What a program sees of this machine if it brings no root of its own."""
_MADE_BY_US = ("proc", "dev", "sys", "tmp")
_SHM, _TMP = "/dev/shm", "/tmp"  # noqa: S108 - inside the sandbox
_SHM_SHARE = 2
"""Shared memory may take half of all: so does Linux by itself."""


@dataclass(slots=True)
class Layout:
    """Options under construction, and which directories they bind."""

    stage: str
    """Directory below which the sources will lie; empty: they are bound from where they are."""
    sources: dict[str, str] = field(default_factory=dict)
    """{name below the stage: where the directory really is}."""
    options: list[str] = field(default_factory=list)

    def bind(self, source: Path, target: PurePosixPath | str, *, is_read_only: bool) -> None:
        """Show a directory or file of this machine."""
        shown = str(source)
        if self.stage:
            name = str(len(self.sources))
            self.sources[name] = shown
            shown = f"{self.stage}/{name}"
        self.options += ["--ro-bind" if is_read_only else "--bind", shown, str(target)]


def lay_out(
    layout: Layout, spec: SandboxSpec, root: Path | None, *, etc: Path, devices: Sequence[Path]
) -> None:
    """Add all options but those that name descriptors.

    Args:
        layout: Where they are added.
        spec: What shall run.
        root: An unpacked root file system; None for this machine's own programs.
        etc: The few files of /etc that programs on this machine's own root get.
        devices: Device nodes to show.
    """
    options = layout.options
    options += ["--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent", "--new-session"]
    options += ["--hostname", "job", "--uid", str(JOB_USER), "--gid", str(JOB_USER), "--cap-drop", "ALL"]
    options += ["--clearenv", *_environment(spec.env)]
    targets = [mount.target for mount in spec.mounts]
    if root is None:
        _machine_root(layout, etc)
    else:
        _image_root(layout, root, targets)
    # As user 0 of its own namespace a program could otherwise write the kernel's settings for the whole machine.
    options += ["--proc", "/proc", "--ro-bind", "/proc/sys", "/proc/sys", "--dev", "/dev"]
    for device in devices:
        options += ["--dev-bind", str(device), f"/dev/{device.name}"]
    options += [
        "--size",
        str(spec.limits.memory_bytes // _SHM_SHARE),
        "--tmpfs",
        _SHM,
        "--remount-ro",
        "/dev",
    ]
    tmp_bytes = min(limits.SANDBOX_TMP_BYTES_MAX, spec.limits.memory_bytes // _SHM_SHARE)
    options += ["--size", str(tmp_bytes), "--tmpfs", _TMP]
    for mount in spec.mounts:
        layout.bind(mount.source, mount.target, is_read_only=mount.is_read_only)
    options += ["--chdir", str(spec.working_dir), "--remount-ro", "/"]


def packed(options: Sequence[str]) -> bytes:
    """Return options as `--args` reads them."""
    return b"".join(os.fsencode(option) + b"\0" for option in options)


def _environment(env: Mapping[str, str]) -> Iterator[str]:
    for name, value in env.items():
        yield from ("--setenv", name, value)


def _machine_root(layout: Layout, etc: Path) -> None:
    for name in MACHINE_TOPS:
        place = Path("/", name)
        if place.is_symlink():
            layout.options += ["--symlink", str(place.readlink()), str(place)]
        elif place.is_dir():
            layout.options += ["--ro-bind", str(place), str(place)]
    layout.bind(etc, "/etc", is_read_only=True)


def _image_root(layout: Layout, root: Path, targets: Sequence[PurePosixPath]) -> None:
    """Bind each entry of the root by itself, so that mount points can be made beside them."""
    _bind_entries(layout, root, PurePosixPath("/"), targets)


def _bind_entries(
    layout: Layout, place: Path, shown: PurePosixPath, targets: Sequence[PurePosixPath]
) -> None:
    for entry in sorted(os.scandir(place), key=lambda entry: entry.name):
        target = shown / entry.name
        if target in targets or (shown == PurePosixPath("/") and entry.name in _MADE_BY_US):
            continue
        if entry.is_symlink():
            layout.options += ["--symlink", str(Path(entry.path).readlink()), str(target)]
        elif entry.is_dir(follow_symlinks=False) and any(t.is_relative_to(target) for t in targets):
            layout.options += ["--dir", str(target)]
            _bind_entries(layout, Path(entry.path), target, targets)
        else:
            layout.bind(Path(entry.path), target, is_read_only=True)
