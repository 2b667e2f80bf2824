"""Whether the kernel will be able to execute a program, found out before it is tried. Blocks, briefly.

Bubblewrap tells a program that cannot be executed with exit code 1, like many a program its own failure, and its libc
hands a binary of another processor to the shell. So the file is looked at first: as the sandbox will see it, links
resolved inside the sandbox, opened through none. Source: elf(5).
"""

import os
import platform
import stat
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from skyops_p2p.ports import Mount

_LINKS_MAX = 40
"""As the kernel has it."""
_HEAD_BYTES = 256
_ELF_MACHINES = {"x86_64": 62, "aarch64": 183}
_ELF_NAMES = {
    3: "32-bit x86",
    40: "32-bit ARM",
    62: "x86_64",
    183: "aarch64",
    243: "RISC-V",
    21: "PowerPC",
    22: "s390",
}
_DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class SandboxView:
    """File names as a program in the sandbox sees them.

    Args:
        root: Directory that becomes its root.
        tops: Names in the root that it sees; None for all.
        mounts: Further directories.
    """

    def __init__(self, root: Path, tops: frozenset[str] | None, mounts: Sequence[Mount]) -> None:
        self._root = root
        self._tops = tops
        self._mounts = sorted(mounts, key=lambda mount: len(mount.target.parts), reverse=True)

    def real_path(self, path: PurePosixPath) -> Path | None:
        """Resolve every link and return where on this machine the file is; None if there is none."""
        waiting, done, links = list(path.parts[1:]), PurePosixPath("/"), 0
        while waiting:
            part = waiting.pop(0)
            if part == "..":
                done = done.parent
                continue
            place = self._place(done / part)
            try:
                target = str(place.readlink()) if place is not None and place.is_symlink() else ""
            except OSError:
                return None
            if not target:
                done /= part
                continue
            links += 1
            if links > _LINKS_MAX:
                return None
            waiting = [step for step in target.split("/") if step not in ("", ".")] + waiting
            done = PurePosixPath("/") if target.startswith("/") else done
        return self._place(done)

    def _place(self, path: PurePosixPath) -> Path | None:
        for mount in self._mounts:
            if path.is_relative_to(mount.target):
                return mount.source / path.relative_to(mount.target)
        if self._tops is not None and len(path.parts) > 1 and path.parts[1] not in self._tops:
            return None
        return self._root / path.relative_to("/")


def objection(
    command: Sequence[str], view: SandboxView, *, env: Mapping[str, str], cwd: PurePosixPath
) -> str:
    """Return why a command cannot be executed, "" if nothing speaks against it."""
    if not command or not command[0]:
        return "there is no command"
    name = command[0]
    if "/" in name:
        return _objection_to_file(cwd / name, view)
    for folder in env.get("PATH", _DEFAULT_PATH).split(":"):
        place = cwd / (folder or ".") / name
        found = _objection_to_file(place, view)
        if not found.startswith(_ABSENT):
            return found
    return f"{_ABSENT} {name} on its PATH"


_ABSENT = "there is no"


def _objection_to_file(path: PurePosixPath, view: SandboxView, *, is_interpreter: bool = False) -> str:
    place = view.real_path(path)
    if place is None:
        return f"{_ABSENT} {path}"
    try:
        file = os.open(place, _OPEN)
    except FileNotFoundError:
        return f"{_ABSENT} {path}"
    except NotADirectoryError:
        return f"{_ABSENT} {path}"
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}"
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            return f"{path} is no file"
        if not status.st_mode & 0o111:
            return f"{path} is not executable"
        head = os.read(file, _HEAD_BYTES)
    finally:
        os.close(file)
    if head.startswith(b"#!") and not is_interpreter:
        interpreter = head[2:].split(b"\n")[0].split()[:1]
        if not interpreter:
            return f"{path} names no interpreter"
        found = _objection_to_file(PurePosixPath(os.fsdecode(interpreter[0])), view, is_interpreter=True)
        return f"the interpreter of {path}: {found}" if found else ""
    return _objection_to_binary(path, head)


def _objection_to_binary(path: PurePosixPath, head: bytes) -> str:
    if not head.startswith(b"\x7fELF") or len(head) < 20:
        return f"{path} is no program of this kind of machine"
    order = "<" if head[5] == 1 else ">"
    [machine] = struct.unpack(f"{order}H", head[18:20])
    own = platform.machine()
    if machine != _ELF_MACHINES.get(own):
        return f"{path} is for {_ELF_NAMES.get(machine, 'another processor')}, and this machine is {own}"
    return ""
