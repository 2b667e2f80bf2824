"""Control groups of our own, one for each sandbox, in version 1, version 2 or both. All calls block, and are quick.

A node may make groups below its own where it is root or the service manager delegated the subtree to it (systemd:
`Delegate=yes`). Version 2 gives controllers only to groups without processes of their own, so the node then moves
itself into a group beside the sandboxes. Source: kernel docs admin-guide/cgroup-v2, "No Internal Process Constraint".
"""

import contextlib
import errno
import logging
import os
import signal
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from skyops_p2p.adapters.confine.hierarchies import Hierarchy, find_hierarchies, lines_of, word_of
from skyops_p2p.ports import Limit

logger = logging.getLogger(__name__)
_CONTROLLERS = ("memory", "pids", "cpu", "cpuacct", "freezer", "blkio", "io")
_LIMITS = {Limit.MEMORY: "memory", Limit.PIDS: "pids", Limit.CPU: "cpu"}
_PERIOD_US = 100_000
_NO_LIMIT = 1 << 62
"""Version 1 says "no limit" as a number near 2^63."""


@dataclass(frozen=True, slots=True)
class GroupLimits:
    """What one group may use."""

    memory_bytes: int
    cpu_cores: float
    pids_max: int


@dataclass(frozen=True, slots=True)
class GroupUsage:
    """What one group has used; None where its controller is missing."""

    cpu_s: float | None = None
    memory_bytes: int | None = None
    memory_peak_bytes: int | None = None
    pids: int | None = None
    read_bytes: int | None = None
    written_bytes: int | None = None


class CgroupTree:
    """The place below our own group where sandboxes get theirs.

    Args:
        places: {controller: the hierarchy that has it}, of those in which we may make groups.
        marker: Names our place, so that what another node made is never touched.
    """

    def __init__(self, places: Mapping[str, Hierarchy], marker: str) -> None:
        self._places = places
        self._marker = marker

    @property
    def enforces(self) -> frozenset[Limit]:
        """Which limits the controllers that we may use can bound."""
        return frozenset(limit for limit, controller in _LIMITS.items() if controller in self._places)

    @property
    def can_freeze(self) -> bool:
        """Whether groups can be paused."""
        return "freezer" in self._places or any(place.is_v2 for place in self._places.values())

    def paths(self, name: str) -> dict[str, Path]:
        """Return {controller: directory} of a group, whether it exists or not."""
        return {key: place.own / self._marker / name for key, place in self._places.items()}

    def create(self, name: str, limits: GroupLimits) -> "Cgroup":
        """Make a group with its limits set, without processes.

        Raises:
            OSError: The kernel refuses; what was made is removed again.
        """
        group = Cgroup(self.paths(name), is_v2=any(place.is_v2 for place in self._places.values()))
        try:
            for hierarchy in dict.fromkeys(self._places.values()):
                controllers = frozenset(key for key, place in self._places.items() if place is hierarchy)
                _make_place(hierarchy, self._marker, controllers)
                (hierarchy.own / self._marker / name).mkdir(exist_ok=True)
            for controller, place in group.paths.items():
                _set_limits(controller, place, limits, is_v2=self._places[controller].is_v2)
        except OSError:
            group.remove_nowait()
            raise
        return group


class Cgroup:
    """One group: {controller: directory}, in version 2 the same directory for all."""

    def __init__(self, paths: Mapping[str, Path], *, is_v2: bool) -> None:
        self.paths = dict(paths)
        self._is_v2 = is_v2

    @property
    def join_files(self) -> tuple[Path, ...]:
        """Files to which a process writes "0" to become a member."""
        return tuple(sorted(place / "cgroup.procs" for place in set(self.paths.values())))

    def usage(self) -> GroupUsage:
        """Read the counters."""
        memory, pids = self.paths.get("memory"), self.paths.get("pids")
        read, written = self._transferred()
        if self._is_v2:
            current, peak = "memory.current", "memory.peak"
        else:
            current, peak = "memory.usage_in_bytes", "memory.max_usage_in_bytes"
        return GroupUsage(
            cpu_s=self._cpu_s(),
            memory_bytes=_number(memory and memory / current),
            memory_peak_bytes=_number(memory and memory / peak),
            pids=_number(pids and pids / "pids.current"),
            read_bytes=read,
            written_bytes=written,
        )

    def was_killed_for_memory(self) -> bool:
        """Return whether the kernel killed a process of it at the memory limit."""
        if "memory" not in self.paths:
            return False
        name = "memory.events" if self._is_v2 else "memory.oom_control"
        return _table(self.paths["memory"] / name).get("oom_kill", 0) > 0

    def freeze(self, *, is_frozen: bool) -> None:
        """Ask for a freeze or a thaw; `is_frozen` says when it is done.

        Raises:
            OSError: There is no such control.
        """
        if self._is_v2:
            self._any_place().joinpath("cgroup.freeze").write_text("1" if is_frozen else "0")
        else:
            self.paths["freezer"].joinpath("freezer.state").write_text("FROZEN" if is_frozen else "THAWED")

    @property
    def is_frozen(self) -> bool:
        """Whether all its processes stand still."""
        if self._is_v2:
            return _table(self._any_place() / "cgroup.events").get("frozen", 0) == 1
        return "freezer" in self.paths and word_of(self.paths["freezer"] / "freezer.state") == "FROZEN"

    def kill(self) -> bool:
        """Send SIGKILL to every member; return whether there was one. Thaw first: the frozen do not die."""
        pids = {int(line) for place in set(self.paths.values()) for line in lines_of(place / "cgroup.procs")}
        for pid in pids - {os.getpid()}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return bool(pids)

    def remove_nowait(self) -> bool:
        """Remove it; return whether it is gone. A member that is still dying keeps it."""
        is_gone = True
        for place in set(self.paths.values()):
            try:
                place.rmdir()
            except FileNotFoundError:
                continue
            except OSError as error:
                logger.debug("cgroup_stays path=%s error=%s", place, error.strerror)
                is_gone = False
                continue
            with contextlib.suppress(OSError):  # it stays as long as others have groups in it
                place.parent.rmdir()
        return is_gone

    def _any_place(self) -> Path:
        return next(iter(self.paths.values()))

    def _cpu_s(self) -> float | None:
        if self._is_v2:
            usage_us = _table(self._any_place() / "cpu.stat").get("usage_usec")
            return None if usage_us is None else usage_us / 1e6
        place = self.paths.get("cpuacct")
        usage_ns = _number(place and place / "cpuacct.usage")
        return None if usage_ns is None else usage_ns / 1e9

    def _transferred(self) -> tuple[int | None, int | None]:
        if "io" in self.paths:
            words = [
                word
                for line in lines_of(self.paths["io"] / "io.stat")
                for word in line.split()
                if "=" in word
            ]
            pairs = [word.split("=", 1) for word in words]
            return tuple(
                sum(int(value) for key, value in pairs if key == name) for name in ("rbytes", "wbytes")
            )  # type: ignore[return-value]
        if "blkio" in self.paths:
            rows = [
                line.split() for line in lines_of(self.paths["blkio"] / "blkio.throttle.io_service_bytes")
            ]
            return tuple(  # type: ignore[return-value]
                sum(int(row[2]) for row in rows if len(row) == 3 and row[1] == name)
                for name in ("Read", "Write")
            )
        return None, None


def open_tree(marker: str, *, root: Path = Path("/")) -> CgroupTree:
    """Find out in which hierarchies we may make groups, by making one.

    Args:
        marker: See CgroupTree.
        root: Where proc and sys are looked for; another directory in tests.
    """
    places: dict[str, Hierarchy] = {}
    for hierarchy in find_hierarchies(root):
        wanted = hierarchy.controllers & set(_CONTROLLERS)
        if wanted and _can_make_groups(hierarchy, marker, wanted):
            places.update(dict.fromkeys(wanted, hierarchy))
    if any(place.is_v2 for place in places.values()) and not all(place.is_v2 for place in places.values()):
        # A mixed machine: one version must carry all that is bounded, else a group would be half of each.
        places = {key: place for key, place in places.items() if not place.is_v2}
    return CgroupTree(places, marker)


def group_of(pid: int) -> Cgroup:
    """Return the groups of another process, to read their counters."""
    paths: dict[str, Path] = {}
    is_v2 = False
    for hierarchy in find_hierarchies(process=str(pid)):
        for controller in hierarchy.controllers & set(_CONTROLLERS):
            paths[controller] = hierarchy.own
            is_v2 = hierarchy.is_v2
    return Cgroup(paths, is_v2=is_v2)


def remove_leftovers(directories: Iterable[Path]) -> bool:
    """Kill what lives in groups of an earlier process, and remove them; return whether all are gone."""
    places = [place for place in directories if place.is_dir()]
    group = Cgroup({str(number): place for number, place in enumerate(places)}, is_v2=False)
    for place in places:
        for control, thawed in (("freezer.state", "THAWED"), ("cgroup.freeze", "0")):
            if (place / control).exists():
                with contextlib.suppress(OSError):
                    (place / control).write_text(thawed)
    group.kill()
    return group.remove_nowait()


def _can_make_groups(hierarchy: Hierarchy, marker: str, wanted: frozenset[str]) -> bool:
    try:
        if hierarchy.is_v2:
            _delegate(hierarchy.own, wanted)
        place = _make_place(hierarchy, marker, wanted)
        trial = place / "trial"
        trial.mkdir(exist_ok=True)
        trial.rmdir()
    except OSError as error:
        logger.debug("no_groups path=%s error=%s", hierarchy.own, error.strerror)
        return False
    with contextlib.suppress(OSError):  # there are groups in it already
        place.rmdir()
    return True


def _make_place(hierarchy: Hierarchy, marker: str, controllers: frozenset[str]) -> Path:
    """Make the group in which the sandboxes of one node have theirs."""
    place = hierarchy.own / marker
    place.mkdir(exist_ok=True)
    if hierarchy.is_v2:
        _enable(place, controllers)
    return place


def _delegate(own: Path, wanted: frozenset[str]) -> None:
    """Let the groups below our own have the controllers; move ourselves out of the way if that is what it takes."""
    try:
        _enable(own, wanted)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        aside = own / "skyops-node"
        aside.mkdir(exist_ok=True)
        (aside / "cgroup.procs").write_text(str(os.getpid()))
        _enable(own, wanted)


def _enable(place: Path, controllers: frozenset[str]) -> None:
    lacking = controllers - set(word_of(place / "cgroup.subtree_control").split())
    if lacking:
        (place / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in sorted(lacking)))


def _set_limits(controller: str, place: Path, limits: GroupLimits, *, is_v2: bool) -> None:
    quota = max(1000, round(limits.cpu_cores * _PERIOD_US))  # the kernel takes no quota below 1 ms
    if controller == "pids":
        (place / "pids.max").write_text(str(limits.pids_max))
    elif controller == "cpu" and is_v2:
        (place / "cpu.max").write_text(f"{quota} {_PERIOD_US}")
    elif controller == "cpu":
        (place / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
        (place / "cpu.cfs_quota_us").write_text(str(quota))
    elif controller == "memory" and is_v2:
        (place / "memory.max").write_text(str(limits.memory_bytes))
        _write_if_there(place / "memory.swap.max", "0")
        _write_if_there(place / "memory.oom.group", "1")
    elif controller == "memory":
        (place / "memory.limit_in_bytes").write_text(str(limits.memory_bytes))
        _write_if_there(place / "memory.memsw.limit_in_bytes", str(limits.memory_bytes))


def _write_if_there(path: Path, text: str) -> None:
    """Set what kernels without swap accounting, or older ones, do not have."""
    if path.exists():
        path.write_text(text)


def _number(path: Path | None) -> int | None:
    text = word_of(path) if path is not None else ""
    return int(text) if text.isdigit() and int(text) < _NO_LIMIT else None


def _table(path: Path) -> dict[str, int]:
    rows = [line.split() for line in lines_of(path)]
    return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit()}
