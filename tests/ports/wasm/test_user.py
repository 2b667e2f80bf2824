"""As whom a module runs: where the node is root, its modules are nobody, without any way back."""

import os
from pathlib import Path

import trio

from skyops_p2p.adapters.wasm.running import RunningWasm
from skyops_p2p.adapters.wasm.user import MODULE_USER
from tests.ports.sandbox.box import read_until
from tests.ports.wasm.test_endings import ENDLESS
from tests.ports.wasm.workbench import Workbench, module_text


def status_of(running: RunningWasm) -> dict[str, list[str]]:
    """Return what the kernel says of the process around a module."""
    lines = Path(f"/proc/{running._child.pid}/status").read_text().splitlines()
    return {name: value.split() for name, _, value in (line.partition(":") for line in lines)}


async def test_a_module_runs_without_privileges_and_stays_so(bench: Workbench) -> None:
    user = str(MODULE_USER if os.geteuid() == 0 else os.geteuid())
    with trio.fail_after(60):
        async with bench.sandbox.start(bench.spec(module_text(ENDLESS))) as running:
            assert isinstance(running, RunningWasm)
            await read_until(running, b"begun")
            status = await trio.to_thread.run_sync(status_of, running)
    assert status["Uid"] == [user] * 4
    assert status["NoNewPrivs"] == ["1"]
    assert [status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")] == [["0" * 16]] * 4
    if os.geteuid() == 0:
        assert status["Gid"] == [user] * 4
        assert status["Groups"] == []


async def test_what_a_module_may_touch_is_its_users_and_nothing_of_the_node_is(
    bench: Workbench,
) -> None:
    (bench.folder / "in/secret.txt").write_text("for the job alone")
    (bench.folder / "in/secret.txt").chmod(0o600)
    with trio.fail_after(60):
        async with bench.sandbox.start(bench.spec(module_text(ENDLESS))) as running:
            await read_until(running, b"begun")
            owners = {(bench.folder / name).stat().st_uid for name in ("in", "in/secret.txt", "out", "work")}
    assert owners == {MODULE_USER if os.geteuid() == 0 else os.geteuid()}
    assert {path.stat().st_uid for path in bench.sandbox._modules._directory.iterdir()} == {os.geteuid()}
