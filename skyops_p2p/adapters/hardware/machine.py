"""Processor, memory and disk of this machine, as far as this process may use them. Blocking but quick.

A container sees all of its host in /proc: the limits of its control groups count too, in both versions (v1 with
a hierarchy per controller, v2 with one). Sources: kernel docs admin-guide/cgroup-v1 and cgroup-v2, proc(5).
"""

import os
import platform
from dataclasses import dataclass
from pathlib import Path

from skyops_p2p.adapters.confine.cgroups import open_tree
from skyops_p2p.adapters.confine.hierarchies import Hierarchy, find_hierarchies, lines_of, word_of
from skyops_p2p.ports import Limit

_HARD_LIMITS = frozenset({Limit.CPU, Limit.MEMORY, Limit.PIDS})
_TRIAL = "skyops-probe"
"""The group that is made to see whether we may make groups."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What a job could use."""

    cpu_model: str
    cpu_cores: int
    memory_mib: int
    disk_mib: int
    has_hard_limits: bool
    """Whether we may make control groups that bound CPU, memory and process count."""


def look_at_machine(data_dir: Path, *, root: Path = Path("/")) -> Machine:
    """Return what is there; what cannot be found out is empty, one core, or zero.

    Args:
        data_dir: The disk below it is measured; it need not exist yet.
        root: Where proc and sys are looked for; another directory in tests.
    """
    hierarchies = find_hierarchies(root)
    return Machine(
        cpu_model=_cpu_model(root),
        cpu_cores=_cpu_cores(hierarchies),
        memory_mib=_memory_bytes(root, hierarchies) // 2**20,
        disk_mib=_disk_free_bytes(data_dir) // 2**20,
        has_hard_limits=open_tree(_TRIAL, root=root).enforces >= _HARD_LIMITS,
    )


def _cpu_model(root: Path) -> str:
    for line in lines_of(root / "proc/cpuinfo"):
        name, _, value = line.partition(":")
        if name.strip() == "model name" and value.strip():
            return " ".join(value.split())
    return platform.processor() or platform.machine()


def _cpu_cores(hierarchies: list[Hierarchy]) -> int:
    """Count the cores that the affinity mask and the quota leave us, at least 1."""
    cores = len(os.sched_getaffinity(0))
    for hierarchy in hierarchies:
        if "cpu" not in hierarchy.controllers:
            continue
        for group in _groups(hierarchy):
            if hierarchy.is_v2:
                quota, _, period = word_of(group / "cpu.max").partition(" ")
            else:
                quota, period = word_of(group / "cpu.cfs_quota_us"), word_of(group / "cpu.cfs_period_us")
            if quota.isdigit() and period.isdigit() and int(period):
                cores = min(cores, int(quota) // int(period))
    return max(cores, 1)


def _memory_bytes(root: Path, hierarchies: list[Hierarchy]) -> int:
    total = 0
    for line in lines_of(root / "proc/meminfo"):
        words = line.split()
        if words[:1] == ["MemTotal:"] and len(words) > 1 and words[1].isdigit():
            total = int(words[1]) * 1024
    for hierarchy in hierarchies:
        if "memory" not in hierarchy.controllers:
            continue
        for group in _groups(hierarchy):
            limit = word_of(group / ("memory.max" if hierarchy.is_v2 else "memory.limit_in_bytes"))
            if limit.isdigit():
                total = min(total, int(limit))
    return total


def _disk_free_bytes(data_dir: Path) -> int:
    for place in (data_dir, *data_dir.absolute().parents):
        try:
            found = os.statvfs(place)
        except OSError:
            continue
        return found.f_bavail * found.f_frsize
    return 0


def _groups(hierarchy: Hierarchy) -> list[Path]:
    """Return our group and all above it that we see: the tightest limit counts."""
    return [
        place for place in (hierarchy.own, *hierarchy.own.parents) if place.is_relative_to(hierarchy.mount)
    ]
