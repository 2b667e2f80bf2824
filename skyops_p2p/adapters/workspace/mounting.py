"""Mounts of workspaces: a tmpfs, or a file system of fixed size in a file of ours. Root only. Blocks.

Both are mounted without devices and set-user-id bits, and bound what is written: at the limit the program sees ENOSPC.
"""

import contextlib
import ctypes
import os
import shutil
import subprocess
from pathlib import Path

from skyops_p2p import limits

_MS_NOSUID, _MS_NODEV = 2, 4
_MNT_DETACH = 2
_OVERHEAD = 1.04
"""What ext4 needs for itself, about, so that the program gets what was asked for."""
_OVERHEAD_BYTES = 2 << 20
_TOOLS = ("mkfs.ext4", "mount")
_TOOL_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


def can_mount(trial: Path) -> bool:
    """Find out whether we may mount, by mounting."""
    if os.geteuid() != 0:
        return False
    try:
        mount_tmpfs(trial, 1 << 20)
    except OSError:
        return False
    unmount(trial)
    return True


def can_make_images() -> bool:
    """Whether the tools for images are installed, and the kernel has loop devices."""
    has_tools = all(shutil.which(tool, path=_TOOL_PATH) for tool in _TOOLS)
    return has_tools and Path("/dev/loop-control").exists()


def mount_tmpfs(place: Path, bytes_max: int) -> None:
    """Mount a tmpfs that is never swapped out where the kernel can promise that (6.4).

    Raises:
        OSError: The kernel refuses.
    """
    options = f"size={bytes_max},nr_inodes={limits.DISK_ENTRIES_MAX},mode=0700"
    try:
        _mount_tmpfs(place, f"{options},noswap")
    except OSError:
        _mount_tmpfs(place, options)


def mount_image(image: Path, place: Path, bytes_max: int) -> None:
    """Make a file system in a new file whose room is taken at once, and mount it.

    Raises:
        OSError: No room (ENOSPC), or no such file can be made.
        subprocess.SubprocessError: A tool failed.
    """
    size = round(bytes_max * _OVERHEAD) + _OVERHEAD_BYTES
    descriptor = os.open(image, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, size)
    finally:
        os.close(descriptor)
    # No journal: after a crash the image is thrown away, not mended.
    _run("mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal,^resize_inode", str(image))
    _run("mount", "-t", "ext4", "-o", "loop,nosuid,nodev,noatime", str(image), str(place))
    with contextlib.suppress(FileNotFoundError):
        (place / "lost+found").rmdir()
    place.chmod(0o700)


def unmount(place: Path) -> None:
    """Unmount whatever is mounted there, out of sight at once even if a dying process still has it open."""
    libc = ctypes.CDLL(None, use_errno=True)
    while libc.umount2(os.fsencode(place), 0) == 0 or libc.umount2(os.fsencode(place), _MNT_DETACH) == 0:
        continue


def _mount_tmpfs(place: Path, options: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    flags = _MS_NOSUID | _MS_NODEV
    if libc.mount(b"skyops", os.fsencode(place), b"tmpfs", flags, options.encode()) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _run(tool: str, *arguments: str) -> None:
    program = shutil.which(tool, path=_TOOL_PATH) or tool
    subprocess.run(  # noqa: S603 - a tool of the system with words of ours
        [program, *arguments], check=True, capture_output=True, timeout=limits.WORKSPACE_TIMEOUT_S
    )
