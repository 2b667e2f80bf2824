"""The control group hierarchies that this process sees, and its own place in each.

Version 1 has a hierarchy for each controller, version 2 has one for all; machines mix them. Sources: kernel docs
admin-guide/cgroup-v1 and cgroup-v2, proc(5).
"""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """One mounted hierarchy and the place in it of the process that was asked about."""

    controllers: frozenset[str]
    is_v2: bool
    mount: Path
    """Where the hierarchy's visible top is mounted."""
    own: Path
    """The directory of that process's group, below `mount`."""


def find_hierarchies(root: Path = Path("/"), *, process: str = "self") -> list[Hierarchy]:
    """Match the groups of a process with the mounts of /proc/self/mountinfo.

    Args:
        root: Where proc and sys are looked for; another directory in tests.
        process: Whose groups; its number, or "self".
    """
    own_paths: dict[str, str] = {}  # {controller, or "" for v2: path of our group}
    for line in lines_of(root / "proc" / process / "cgroup"):
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        own_paths.update(dict.fromkeys(controllers.split(","), path))
    found = []
    for line in lines_of(root / "proc/self/mountinfo"):
        before, separator, after = line.partition(" - ")
        fields, types = before.split(), after.split()
        if not separator or len(fields) < 5 or len(types) < 3 or types[0] not in ("cgroup", "cgroup2"):
            continue
        mount = root / fields[4].lstrip("/")
        is_v2 = types[0] == "cgroup2"
        options = types[2].split(",")
        own_path = (
            own_paths.get("") if is_v2 else next((own_paths[o] for o in options if o in own_paths), None)
        )
        if own_path is None:
            continue
        own = mount / os.path.relpath(own_path or "/", fields[3])
        # A group outside what is mounted here (a container's view): its visible top is the nearest we see.
        own = own if own.is_dir() and ".." not in own.parts else mount
        names = word_of(own / "cgroup.controllers").split() if is_v2 else options
        found.append(Hierarchy(frozenset(names), is_v2, mount, own))
    return found


def lines_of(path: Path) -> list[str]:
    """Return the lines of a small file of the kernel; none if it cannot be read."""
    try:
        return path.read_text(errors="replace").splitlines()
    except OSError:
        return []


def word_of(path: Path) -> str:
    """Return the text of a one-line file, or nothing."""
    return " ".join(lines_of(path)).strip()
