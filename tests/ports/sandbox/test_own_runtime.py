"""The runtimes that a node opens for runs of its own: one by name, beside those of a worker."""

import shutil
from pathlib import Path, PurePosixPath

import pytest

from skyops_p2p.node.sandboxes import open_own_runtime
from skyops_p2p.ports import ExitKind, SandboxLimits, SandboxSpec
from tests.ports.sandbox import native_box

LIMITS = SandboxLimits(
    cpu_cores=1.0,
    memory_bytes=64 << 20,
    pids_max=8,
    disk_bytes=1 << 20,
    file_bytes_max=1 << 20,
    wall_s=20.0,
    log_bytes_max=4096,
)


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def test_wasm_is_everywhere_and_what_is_shared_or_unknown_is_not_opened(tmp_path: Path) -> None:
    async with open_own_runtime(tmp_path, "wasm") as found:
        assert list(found) == ["wasm"]
    for name in ("docker", "flux"):
        async with open_own_runtime(tmp_path, name) as found:
            assert not found


@pytest.mark.skipif(bool(native_box.missing()), reason=native_box.missing())
async def test_a_native_program_runs_and_what_it_leaves_is_in_a_folder_of_its_own(tmp_path: Path) -> None:
    async with open_own_runtime(tmp_path, "native") as found:
        spec = SandboxSpec(
            name="own",
            command=("/bin/sh", "-c", "exit 42"),
            env={},
            mounts=(),
            limits=LIMITS,
            working_dir=PurePosixPath("/"),
        )
        await found["native"].prepare(spec, progress=lambda _done, _total: None)
        async with found["native"].start(spec) as running:
            ended = await running.wait()
        assert (ended.kind, ended.exit_code) == (ExitKind.EXITED, 42)
    assert names(tmp_path) == ["own"]


async def test_without_bubblewrap_there_is_no_native(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name, **_more: None)
    async with open_own_runtime(tmp_path, "native") as found:
        assert not found
