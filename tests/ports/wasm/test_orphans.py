"""A node that is killed takes its jobs with it, at once, also those that are paused."""

import os
import select
import signal
import subprocess
import sys

import pytest

from tests.repo.source_tree import ROOT

pytestmark = pytest.mark.process
TIMEOUT_S = 60
NODE = """
import sys, trio
from pathlib import Path
from skyops_p2p.adapters.wasm import open_wasm_sandbox
from tests.ports.sandbox.box import read_until
from tests.ports.wasm.test_endings import ENDLESS
from tests.ports.wasm.workbench import Workbench, module_text

async def main():
    async with open_wasm_sandbox(Path(sys.argv[1]) / "data") as sandbox:
        bench = Workbench(sandbox, Path(sys.argv[1]) / "mounts")
        async with sandbox.start(bench.spec(module_text(ENDLESS))) as running:
            await read_until(running, b"begun")
            if sys.argv[2] == "paused":
                await running.pause()
            print(running._child.pid, sandbox._launcher._process.pid, flush=True)
            await trio.sleep_forever()

trio.run(main)
"""


@pytest.mark.parametrize("state", ["running", "paused"])
def test_a_killed_node_leaves_no_process(tmp_path, state):
    command = [sys.executable, "-c", NODE, str(tmp_path), state]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as node:
        assert node.stdout is not None
        pids = [int(word) for word in node.stdout.readline().split()]
        processes = [os.pidfd_open(pid) for pid in pids]
        node.send_signal(signal.SIGKILL)
    assert len(processes) == 2
    for process in processes:
        ended, _, _ = select.select([process], [], [], TIMEOUT_S)
        os.close(process)
        assert ended
