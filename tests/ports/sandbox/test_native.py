"""What only the native runtime does: root file systems from tars, machines without control groups, GPUs' nodes."""

import io
import os
import tarfile
import threading
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest
import trio

from skyops_p2p import limits
from skyops_p2p.adapters.confine.cgroups import CgroupTree
from skyops_p2p.adapters.native import open_native_sandbox
from skyops_p2p.adapters.native.gpus import device_nodes
from skyops_p2p.adapters.native.images import RootImages
from skyops_p2p.adapters.native.unpack import unpack
from skyops_p2p.errors import ExecutionError
from skyops_p2p.ports import ExitKind, Limit, Mount
from tests.ports.sandbox import native_box
from tests.ports.sandbox.box import DEADLINE_S, MIB, limits_with
from tests.ports.sandbox.conftest import skip_unless_there
from tests.ports.sandbox.rootfs import ENV, PYTHON, python_tree


@pytest.fixture
async def box(tmp_path):
    skip_unless_there("native", native_box.missing())
    async with native_box.open_box(tmp_path) as opened:
        yield opened


def entry(name: str, kind: bytes = tarfile.REGTYPE, *, link: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.mode = kind, link, mode
    return made


def tar_of(path: Path, *entries: tarfile.TarInfo, content: bytes = b"text") -> Path:
    with tarfile.open(path, "w") as tar:
        for made in entries:
            made.size = len(content) if made.isreg() else 0
            tar.addfile(made, io.BytesIO(content) if made.isreg() else None)
    return path


async def test_a_program_runs_in_the_root_that_came_with_it(box):
    (box.folder / "in" / "data").write_text("from alice")
    spec = box.spec(
        "", image_archive=python_tree(), env=ENV,
        command=(PYTHON, "-c", "import os\nprint(sorted(os.listdir('/')), open('/in/data').read())"),
    )  # fmt: skip
    done = await box.run_spec(spec)
    assert done.end.exit_code == 0, done.err
    assert "'usr'" in done.text
    assert "from alice" in done.text
    assert "home" not in done.text, "a directory of the host"
    again = await box.run_spec(replace(spec, name="again"))
    assert again.end.exit_code == 0


async def test_a_root_cannot_be_changed_by_its_program(box):
    program = "try: open('/usr/local/lib/x', 'w')\nexcept OSError as e: print('refused')"
    spec = box.spec("", image_archive=python_tree(), env=ENV, command=(PYTHON, "-c", program))
    assert (await box.run_spec(spec)).text == "refused\n"


async def test_a_mount_may_lie_inside_a_directory_of_the_root(box):
    secret = box.folder / "secret"
    secret.mkdir()
    (secret / "token").write_text("s3cret")
    spec = box.spec(
        "", image_archive=python_tree(), env=ENV, command=(PYTHON, "-c", "print(open('/etc/job/token').read())"),
        mounts=(Mount(secret, PurePosixPath("/etc/job"), is_read_only=True),), working_dir=PurePosixPath("/"),
    )  # fmt: skip
    assert (await box.run_spec(spec)).text == "s3cret\n"


async def test_an_image_by_name_is_not_supported(box):
    with pytest.raises(ExecutionError) as caught:
        await box.sandbox.prepare(box.spec("", image="python:3"), progress=lambda done, total: None)
    assert caught.value.code == "not_supported"


async def test_a_missing_root_is_told(box):
    with pytest.raises(ExecutionError) as caught:
        await box.sandbox.prepare(
            box.spec("", image_archive=box.folder / "no.tar"), progress=lambda done, total: None
        )
    assert caught.value.code == "image_missing"


BAD = {
    "climbs": [entry("../outside")],
    "absolute": [entry("/etc/outside")],
    "climbs inside": [entry("a/../../outside")],
    "link climbs": [entry("a/link", tarfile.SYMTYPE, link="../../outside")],
    "through a link": [entry("link", tarfile.SYMTYPE, link="/tmp"), entry("link/outside")],
    "through a link up": [entry("d", tarfile.SYMTYPE, link="."), entry("d/x")],
    "hard link out": [entry("x", tarfile.LNKTYPE, link="../outside")],
    "hard link absolute": [entry("x", tarfile.LNKTYPE, link="/etc/passwd")],
    "hard link to a link": [
        entry("l", tarfile.SYMTYPE, link="/etc/passwd"),
        entry("x", tarfile.LNKTYPE, link="l"),
    ],
    "hard link to nothing": [entry("x", tarfile.LNKTYPE, link="y")],
    "device": [entry("sda", tarfile.BLKTYPE)],
    "character device": [entry("mem", tarfile.CHRTYPE)],
    "pipe": [entry("pipe", tarfile.FIFOTYPE)],
    "file over directory": [entry("d", tarfile.DIRTYPE), entry("d")],
}


@pytest.mark.parametrize("case", BAD)
def test_a_tar_that_leads_outside_is_refused(tmp_path, case):
    target = tmp_path / "root"
    target.mkdir()
    with pytest.raises(ExecutionError) as caught:
        unpack(tar_of(tmp_path / "x.tar", *BAD[case]), target, given_up=threading.Event())
    assert caught.value.code == "image_invalid"
    assert not (tmp_path / "outside").exists()


def test_set_user_id_bits_are_dropped_and_all_is_readable(tmp_path):
    target = tmp_path / "root"
    target.mkdir()
    archive = tar_of(
        tmp_path / "x.tar",
        entry("bin/su", mode=0o4711),
        entry("closed", mode=0),
        entry("d", tarfile.DIRTYPE, mode=0),
    )
    unpack(archive, target, given_up=threading.Event())
    assert (target / "bin" / "su").stat().st_mode & 0o7777 == 0o755
    assert (target / "closed").stat().st_mode & 0o7777 == 0o644
    assert (target / "d").stat().st_mode & 0o7777 == 0o755


@pytest.mark.parametrize(("size", "is_taken"), [(9, True), (10, True), (11, False)])
def test_the_size_of_a_root_is_bounded(tmp_path, monkeypatch, size, is_taken):
    monkeypatch.setattr(limits, "IMAGE_BYTES_MAX", 10)
    target = tmp_path / "root"
    target.mkdir()
    archive = tar_of(tmp_path / "x.tar", entry("x"), content=bytes(size))
    if is_taken:
        assert unpack(archive, target, given_up=threading.Event()) == size
    else:
        with pytest.raises(ExecutionError):
            unpack(archive, target, given_up=threading.Event())


async def test_roots_are_kept_within_their_room_and_those_in_use_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "IMAGES_BYTES_MAX", 250)
    images = RootImages(tmp_path / "images")
    roots = []
    for number in range(3):
        archive = tar_of(tmp_path / f"{number}.tar", entry("x"), content=bytes([number]) * 100)
        roots.append(await images.get(archive))
        os.utime(roots[-1].parent, (number, number))
        if number == 0:
            used = images.in_use(roots[0])
            used.__enter__()
    assert [root.exists() for root in roots] == [True, False, True]
    used.__exit__(None, None, None)


async def test_a_root_that_was_given_up_leaves_nothing(tmp_path):
    images = RootImages(tmp_path / "images")
    with pytest.raises(ExecutionError):
        await images.get(tar_of(tmp_path / "x.tar", entry("good"), entry("../bad")))
    assert list((tmp_path / "images").iterdir()) == []


async def test_without_control_groups_limits_are_soft_and_jobs_that_need_them_refused(box, monkeypatch):
    monkeypatch.setattr(box.sandbox, "_groups", CgroupTree({}, "skyops-none"))
    soft = {Limit.CPU, Limit.MEMORY, Limit.PIDS}
    assert not soft & box.sandbox.enforces
    with pytest.raises(ExecutionError, match="cpu, memory, pids") as caught:
        await box.sandbox.prepare(box.spec(""), progress=lambda done, total: None)
    assert caught.value.code == "limit_not_enforced"
    done = await box.run(
        "b = bytearray(512 << 20)",
        limits=limits_with(memory_bytes=256 * MIB),
        needs=frozenset(Limit) - soft,
    )
    assert done.end.kind is ExitKind.EXITED
    assert b"MemoryError" in done.err


async def test_without_bubblewrap_there_is_none(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert await open_native_sandbox(tmp_path) is None


async def test_a_bubblewrap_that_fails_is_none(tmp_path, monkeypatch):
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with trio.fail_after(DEADLINE_S):
        assert await open_native_sandbox(tmp_path) is None


def scripted_gpu(root: Path, *, uuid: str, minor: int) -> None:
    facts = root / "proc/driver/nvidia/gpus" / f"0000:0{minor}:00.0"
    facts.mkdir(parents=True)
    (facts / "information").write_text(f"Model: X\nGPU UUID: \t {uuid}\nDevice Minor: \t {minor}\n")
    (root / "dev").mkdir(exist_ok=True)
    for name in (f"nvidia{minor}", "nvidiactl", "nvidia-uvm"):
        (root / "dev" / name).touch()


def test_only_the_nodes_of_granted_gpus_are_shown(tmp_path):
    for minor in (0, 1):
        scripted_gpu(tmp_path, uuid=f"GPU-{minor}", minor=minor)
    names = [path.name for path in device_nodes(("GPU-1",), root=tmp_path)]
    assert names == ["nvidia1", "nvidiactl", "nvidia-uvm"]
    assert device_nodes((), root=tmp_path) == []


async def test_a_gpu_that_is_not_there_refuses_the_job(box, tmp_path):
    with pytest.raises(ExecutionError) as caught:
        await box.sandbox.prepare(box.spec("", gpus=("GPU-x",)), progress=lambda done, total: None)
    assert caught.value.code == "gpu_unavailable"
