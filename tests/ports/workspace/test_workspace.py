"""Workspaces of all kinds that this user may have: private, bounded where they say so, and gone afterwards."""

import os
import stat
import sys
from pathlib import Path

import pytest
import trio

from skyops_p2p.adapters.workspace import LocalWorkspace, open_workspace
from skyops_p2p.adapters.workspace import workspace as module
from skyops_p2p.adapters.workspace.wipe import wipe
from skyops_p2p.errors import ExecutionError

MIB = 1 << 20
KINDS = ("memory", "image", "directory")


@pytest.fixture(params=KINDS)
async def workspace(request, tmp_path, monkeypatch) -> LocalWorkspace:
    """Open each kind; those that need root are skipped without it, which CI has."""
    found = await open_workspace(tmp_path)
    if request.param == "directory":
        return LocalWorkspace(tmp_path / "workspace", is_mounted=False, has_images=False)
    if not found.is_capped:
        assert os.environ.get("CI") != "true", "CI runs as root and must be able to mount"
        pytest.skip("mounting needs root")
    if request.param == "image":
        monkeypatch.setattr(module, "_free_memory_bytes", lambda: 0)
    return found


def mounts_below(folder: Path) -> list[str]:
    return [line for line in Path("/proc/self/mounts").read_text().splitlines() if str(folder) in line]


async def test_it_is_private_empty_and_gone_afterwards(workspace, tmp_path):
    async with workspace.open("job-1", bytes_max=4 * MIB) as place:
        assert list(place.iterdir()) == []
        assert stat.S_IMODE(place.stat().st_mode) == 0o700
        (place / "secret").write_text("plain")
    assert list((tmp_path / "workspace").iterdir()) == []
    assert mounts_below(tmp_path) == []


async def test_it_is_gone_after_a_failure_and_the_failure_comes_out(workspace, tmp_path):
    with pytest.raises(ZeroDivisionError):  # noqa: PT012
        async with workspace.open("job-1", bytes_max=4 * MIB) as place:
            (place / "secret").write_text("plain")
            raise ZeroDivisionError
    assert list((tmp_path / "workspace").iterdir()) == []


async def test_it_is_gone_after_cancellation(workspace, tmp_path):
    with trio.CancelScope() as scope:
        async with workspace.open("job-1", bytes_max=4 * MIB):
            scope.cancel()
            await trio.sleep_forever()
    assert list((tmp_path / "workspace").iterdir()) == []


async def test_a_cap_is_a_cap(workspace):
    async with workspace.open("job-1", bytes_max=4 * MIB) as place:
        if not workspace.is_capped:
            return
        with pytest.raises(OSError, match="No space"):
            (place / "big").write_bytes(bytes(12 * MIB))
        assert (place / "big").stat().st_size >= 3 * MIB


async def test_mounted_ones_have_no_devices_and_no_set_user_id(workspace, tmp_path):
    async with workspace.open("job-1", bytes_max=4 * MIB):
        for line in mounts_below(tmp_path):
            assert {"nosuid", "nodev"} <= set(line.split()[3].split(","))
        assert bool(mounts_below(tmp_path)) is workspace.is_capped


async def test_two_do_not_see_each_other_and_a_name_is_taken_once(workspace):
    async with (
        workspace.open("job-1", bytes_max=MIB) as one,
        workspace.open("job-2", bytes_max=MIB) as other,
    ):
        (one / "x").write_text("1")
        assert list(other.iterdir()) == []
        with pytest.raises(ExecutionError) as caught:
            async with workspace.open("job-1", bytes_max=MIB):
                pytest.fail("it was opened twice")
        assert caught.value.code == "workspace_failed"
        assert await workspace.reap() == 0
        assert (one / "x").exists()


@pytest.mark.parametrize("name", ["", "..", "a/b", "A", "-x", "x" * 64])
async def test_names_that_could_be_paths_are_refused(workspace, name):
    with pytest.raises(ExecutionError) as caught:
        async with workspace.open(name, bytes_max=MIB):
            pytest.fail("it was opened")
    assert caught.value.code == "workspace_failed"


async def test_more_than_there_is_is_refused_and_leaves_nothing(workspace, tmp_path):
    with pytest.raises(ExecutionError) as caught:
        async with workspace.open("job-1", bytes_max=1 << 60):
            pytest.fail("it was opened")
    assert caught.value.code in ("workspace_full", "workspace_failed")
    assert list((tmp_path / "workspace").iterdir()) == []


async def test_what_a_killed_node_left_is_reaped(workspace, tmp_path):
    if workspace.is_capped:
        program = (
            "import sys, trio\nfrom pathlib import Path\n"
            "from skyops_p2p.adapters.workspace import open_workspace, workspace\n"
            "if sys.argv[2] == 'image': workspace._free_memory_bytes = lambda: 0\n"
            "async def main():\n"
            "    space = await open_workspace(Path(sys.argv[1]))\n"
            "    async with space.open('old', bytes_max=2 << 20) as place:\n"
            "        (place / 'secret').write_text('plain'); __import__('os').kill(__import__('os').getpid(), 9)\n"
            "trio.run(main)\n"
        )
        kind = "image" if module._free_memory_bytes() == 0 else "memory"
        await trio.run_process([sys.executable, "-c", program, str(tmp_path), kind], check=False)
        assert mounts_below(tmp_path)
    else:
        (tmp_path / "workspace" / "old").mkdir()
        (tmp_path / "workspace" / "old" / "secret").write_text("plain")
    assert await workspace.reap() == 1
    assert await workspace.reap() == 0
    assert list((tmp_path / "workspace").iterdir()) == []
    assert mounts_below(tmp_path) == []


async def test_what_it_says_of_itself_is_true(tmp_path):
    plain = LocalWorkspace(tmp_path, is_mounted=False, has_images=False)
    assert (plain.is_capped, plain.is_volatile) == (False, False)
    on_disk = LocalWorkspace(tmp_path, is_mounted=True, has_images=True)
    assert (on_disk.is_capped, on_disk.is_volatile) == (True, False)


async def test_in_memory_only_refuses_what_does_not_fit(tmp_path, monkeypatch):
    space = await open_workspace(tmp_path, in_memory_only=True)
    if not space.is_capped:
        pytest.skip("mounting needs root")
    monkeypatch.setattr(module, "_free_memory_bytes", lambda: 2 * MIB)
    with pytest.raises(ExecutionError) as caught:
        async with space.open("job-1", bytes_max=2 * MIB):
            pytest.fail("it was opened")
    assert caught.value.code == "workspace_full"


def test_a_million_levels_would_be_wiped_like_these_thousands(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    level = os.open(root, os.O_RDONLY)
    for _ in range(5_000):  # Python recurses 1,000 deep, more if a package asks for it
        os.mkdir("d", dir_fd=level)
        below = os.open("d", os.O_RDONLY, dir_fd=level)
        os.close(level)
        level = below
    os.close(level)
    wipe(root)
    assert not root.exists()


def test_links_are_removed_and_not_followed(tmp_path):
    root, kept = tmp_path / "root", tmp_path / "kept"
    root.mkdir()
    kept.mkdir()
    (kept / "file").write_text("x")
    (root / "link").symlink_to(kept)
    (root / "deep").mkdir()
    (root / "deep" / "link").symlink_to(kept)
    (root / ".wipe-0").mkdir()
    wipe(root)
    assert (kept / "file").read_text() == "x"
    assert not root.exists()


def test_closed_directories_of_an_ordinary_user_are_wiped(tmp_path):
    tmp_path.chmod(0o755)
    root = tmp_path / "root"
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "b" / "file").write_text("x")
    for place in (root / "a" / "b", root / "a", root):
        place.chmod(0)
    child = os.fork()
    if child == 0:  # as root nothing is closed: the child becomes the ordinary user
        try:
            os.chdir(tmp_path)
            if os.geteuid() == 0:
                tmp_path.chmod(0o777)
                for place in (root, root / "a", root / "a" / "b"):
                    os.chown(place, 65534, 65534)
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            wipe(Path("root"))
        except OSError as error:
            print(error, file=sys.stderr)
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert not root.exists()


def test_wiping_what_is_not_there_is_nothing(tmp_path):
    wipe(tmp_path / "nothing")
    assert list(tmp_path.iterdir()) == []
