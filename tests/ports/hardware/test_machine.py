"""Processor, memory and disk, as /proc and the control groups of both versions tell them."""

import os

import pytest

from skyops_p2p.adapters.hardware.machine import look_at_machine

V1_MOUNTS = (
    "30 24 0:26 {root} /sys/fs/cgroup/cpu rw,nosuid - cgroup cgroup rw,cpu,cpuacct\n"
    "31 24 0:27 {root} /sys/fs/cgroup/memory rw,nosuid - cgroup cgroup rw,memory\n"
    "32 24 0:28 {root} /sys/fs/cgroup/pids rw,nosuid - cgroup cgroup rw,pids\n"
    "22 20 0:20 / / rw - ext4 /dev/vda rw\n"
)
V2_MOUNT = "30 24 0:26 {root} /sys/fs/cgroup rw,nosuid - cgroup2 cgroup rw\n"


def write(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def look(root):
    return look_at_machine(root / "data" / "not" / "yet", root=root)


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)))
    write(
        tmp_path,
        {
            "proc/cpuinfo": "processor\t: 0\nmodel name\t: AMD  EPYC 7763\n\nprocessor\t: 1\nmodel name\t: other\n",
            "proc/meminfo": "MemTotal:       16777216 kB\nMemFree: 1 kB\n",
        },
    )
    return tmp_path


def v1(root, *, group="/", mounted="/"):
    write(
        root,
        {
            "proc/self/cgroup": f"3:memory:{group}\n2:pids:{group}\n1:cpu,cpuacct:{group}\n0::/\n",
            "proc/self/mountinfo": V1_MOUNTS.format(root=mounted),
            "sys/fs/cgroup/pids/pids.max": "max\n",
        },
    )


def v2(root, *, group="/", mounted="/"):
    write(root, {"proc/self/cgroup": f"0::{group}\n", "proc/self/mountinfo": V2_MOUNT.format(root=mounted)})


def test_without_control_groups_the_whole_machine_counts(root):
    machine = look(root)
    assert (machine.cpu_model, machine.cpu_cores, machine.memory_mib) == ("AMD EPYC 7763", 8, 16 * 1024)
    assert machine.disk_mib > 0
    assert not machine.has_hard_limits


def test_limits_of_version_1_count(root):
    v1(root)
    write(
        root,
        {
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "250000\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": str(2**30),
        },
    )
    machine = look(root)
    assert (machine.cpu_cores, machine.memory_mib) == (2, 1024)
    assert machine.has_hard_limits


def test_no_limit_of_version_1_is_no_limit(root):
    v1(root)
    write(
        root,
        {
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
        },
    )
    machine = look(root)
    assert (machine.cpu_cores, machine.memory_mib) == (8, 16 * 1024)


def test_the_tightest_limit_above_us_counts_in_version_2(root):
    v2(root, group="/user/job")
    write(
        root,
        {
            "sys/fs/cgroup/user/cpu.max": "300000 100000\n",
            "sys/fs/cgroup/user/memory.max": "max\n",
            "sys/fs/cgroup/user/job/cpu.max": "max 100000\n",
            "sys/fs/cgroup/user/job/memory.max": str(512 * 2**20),
            "sys/fs/cgroup/user/job/cgroup.controllers": "cpu memory pids io\n",
        },
    )
    machine = look(root)
    assert (machine.cpu_cores, machine.memory_mib) == (3, 512)
    assert machine.has_hard_limits


def test_a_container_that_sees_its_own_group_as_the_top_finds_its_limits(root):
    v1(root, group="/docker/abc", mounted="/docker/abc")
    write(root, {"sys/fs/cgroup/memory/memory.limit_in_bytes": str(2**28)})
    assert look(root).memory_mib == 256


def test_a_group_outside_what_is_mounted_counts_as_the_visible_top(root):
    v2(root, group="/../elsewhere", mounted="/")
    write(root, {"sys/fs/cgroup/memory.max": str(2**28), "sys/fs/cgroup/cgroup.controllers": "memory\n"})
    machine = look(root)
    assert machine.memory_mib == 256
    assert not machine.has_hard_limits, "cpu and pids are missing"


def test_less_than_one_core_is_still_one(root):
    v2(root)
    write(root, {"sys/fs/cgroup/cgroup.controllers": "cpu", "sys/fs/cgroup/cpu.max": "50000 100000"})
    assert look(root).cpu_cores == 1


@pytest.mark.parametrize(
    "files",
    [
        {"proc/meminfo": "", "proc/cpuinfo": ""},
        {"proc/meminfo": "MemTotal:\n", "proc/cpuinfo": "model name\n", "proc/self/cgroup": ":::\nx\n"},
        {"proc/self/mountinfo": "x - cgroup\n - cgroup2 a b\n", "proc/self/cgroup": "0::/\n"},
        {
            "proc/self/cgroup": "0::/\n",
            "proc/self/mountinfo": V2_MOUNT.format(root="/"),
            "sys/fs/cgroup/cpu.max": "max",
        },
    ],
    ids=range(4),
)  # fmt: skip
def test_files_of_an_unexpected_shape_are_survived(root, files):
    write(root, files)
    machine = look(root)
    assert machine.cpu_cores == 8
    assert machine.cpu_model


def test_this_very_machine_is_understood(tmp_path):
    machine = look_at_machine(tmp_path)
    assert machine.cpu_model
    assert 1 <= machine.cpu_cores <= os.cpu_count()
    assert machine.memory_mib > 0
    assert machine.disk_mib > 0
