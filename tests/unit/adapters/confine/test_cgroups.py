"""Control groups in both versions: what is written where, and what is read back. Files stand in for the kernel's."""

from pathlib import Path

import pytest

from skyops_p2p.adapters.confine.cgroups import GroupLimits, open_tree
from skyops_p2p.ports import Limit

LIMITS = GroupLimits(memory_bytes=64 << 20, cpu_cores=0.5, pids_max=10)
ALL = {Limit.CPU, Limit.MEMORY, Limit.PIDS}


def version_1(root: Path) -> Path:
    top = root / "sys/fs/cgroup"
    rows, groups = [], []
    for number, name in enumerate(("memory", "pids", "cpu", "cpuacct", "freezer", "blkio"), start=1):
        (top / name / "me").mkdir(parents=True)
        rows.append(f"3{number} 20 0:{number} / /sys/fs/cgroup/{name} rw - cgroup cgroup rw,{name}")
        groups.append(f"{number}:{name}:/me")
    write_proc(root, rows, groups)
    return top


def version_2(root: Path, controllers: str = "cpu io memory pids") -> Path:
    own = root / "sys/fs/cgroup/me"
    own.mkdir(parents=True)
    (own / "cgroup.controllers").write_text(controllers)
    write_proc(root, ["30 20 0:9 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw"], ["0::/me"])
    return own


def write_proc(root: Path, mounts: list[str], groups: list[str]) -> None:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/mountinfo").write_text("\n".join(mounts))
    (root / "proc/self/cgroup").write_text("\n".join(groups))


def test_version_1_gets_a_group_in_each_hierarchy(tmp_path):
    top = version_1(tmp_path)
    tree = open_tree("skyops-x", root=tmp_path)
    assert tree.enforces == ALL
    assert tree.can_freeze
    group = tree.create("job", LIMITS)
    assert (top / "memory/me/skyops-x/job/memory.limit_in_bytes").read_text() == str(64 << 20)
    assert (top / "pids/me/skyops-x/job/pids.max").read_text() == "10"
    assert (top / "cpu/me/skyops-x/job/cpu.cfs_quota_us").read_text() == "50000"
    assert len(group.join_files) == 6


def test_version_1_figures_are_read(tmp_path):
    top = version_1(tmp_path)
    group = open_tree("skyops-x", root=tmp_path).create("job", LIMITS)
    (top / "memory/me/skyops-x/job/memory.usage_in_bytes").write_text("5\n")
    (top / "memory/me/skyops-x/job/memory.max_usage_in_bytes").write_text("7\n")
    (top / "cpuacct/me/skyops-x/job/cpuacct.usage").write_text("2500000000\n")
    (top / "blkio/me/skyops-x/job/blkio.throttle.io_service_bytes").write_text(
        "8:0 Read 3\n8:0 Write 4\n8:16 Read 1\nTotal 8\n"
    )
    used = group.usage()
    assert (used.cpu_s, used.memory_bytes, used.memory_peak_bytes) == (2.5, 5, 7)
    assert (used.read_bytes, used.written_bytes) == (4, 4)
    assert not group.was_killed_for_memory()
    (top / "memory/me/skyops-x/job/memory.oom_control").write_text("under_oom 0\noom_kill 1\n")
    assert group.was_killed_for_memory()


def test_version_1_freezes(tmp_path):
    top = version_1(tmp_path)
    group = open_tree("skyops-x", root=tmp_path).create("job", LIMITS)
    group.freeze(is_frozen=True)
    assert (top / "freezer/me/skyops-x/job/freezer.state").read_text() == "FROZEN"
    assert group.is_frozen
    group.freeze(is_frozen=False)
    assert not group.is_frozen


def test_version_2_gets_one_group_with_its_controllers_enabled_above(tmp_path):
    own = version_2(tmp_path)
    tree = open_tree("skyops-x", root=tmp_path)
    assert tree.enforces == ALL
    assert (own / "cgroup.subtree_control").read_text() == "+cpu +io +memory +pids"
    assert (own / "skyops-x/cgroup.subtree_control").read_text() == "+cpu +io +memory +pids"
    group = tree.create("job", LIMITS)
    place = own / "skyops-x/job"
    assert (place / "memory.max").read_text() == str(64 << 20)
    assert (place / "cpu.max").read_text() == "50000 100000"
    assert (place / "pids.max").read_text() == "10"
    assert group.join_files == (place / "cgroup.procs",)


def test_version_2_figures_are_read_and_it_freezes(tmp_path):
    own = version_2(tmp_path)
    group = open_tree("skyops-x", root=tmp_path).create("job", LIMITS)
    place = own / "skyops-x/job"
    (place / "cpu.stat").write_text("usage_usec 1500000\nuser_usec 1\n")
    (place / "memory.current").write_text("5")
    (place / "memory.peak").write_text("7")
    (place / "memory.events").write_text("low 0\noom 1\noom_kill 1\n")
    (place / "io.stat").write_text("8:0 rbytes=3 wbytes=4 rios=1\n8:16 rbytes=1 wbytes=0\n")
    used = group.usage()
    assert (used.cpu_s, used.memory_bytes, used.memory_peak_bytes) == (1.5, 5, 7)
    assert (used.read_bytes, used.written_bytes) == (4, 4)
    assert group.was_killed_for_memory()
    group.freeze(is_frozen=True)
    assert (place / "cgroup.freeze").read_text() == "1"
    (place / "cgroup.events").write_text("populated 1\nfrozen 1\n")
    assert group.is_frozen


@pytest.mark.parametrize(
    ("controllers", "enforced"), [("cpu memory", {Limit.CPU, Limit.MEMORY}), ("hugetlb", set()), ("", set())]
)
def test_what_is_not_delegated_is_not_enforced(tmp_path, controllers, enforced):
    version_2(tmp_path, controllers)
    assert open_tree("skyops-x", root=tmp_path).enforces == enforced


def test_a_place_where_nothing_can_be_made_enforces_nothing(tmp_path):
    own = version_2(tmp_path)
    (own / "skyops-x").write_text("in the way")
    assert open_tree("skyops-x", root=tmp_path).enforces == set()


def test_a_machine_without_control_groups_enforces_nothing(tmp_path):
    assert open_tree("skyops-x", root=tmp_path).enforces == set()
