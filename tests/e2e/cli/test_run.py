"""`skyops run` on its own: fresh directories, logs, signals."""

import json
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from skyops_p2p.errors import NetworkError
from skyops_p2p.node.control_client import ControlClient
from tests.e2e.conftest import PATIENCE_S, Ran, wait_until

pytestmark = [pytest.mark.process, pytest.mark.net]
Start = Callable[..., subprocess.Popen[str]]

LISTEN = ("--listen", "/ip4/127.0.0.1/tcp/0")


def is_ready(data_dir: Path) -> bool:
    try:
        return ControlClient.of(data_dir).is_ready()
    except NetworkError:
        return False


def stopped(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, text = process.communicate(timeout=PATIENCE_S)
    return process.returncode, text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_stops_cleanly(start_skyops: Start, tmp_path: Path, number: signal.Signals) -> None:
    process = start_skyops("--data-dir", str(tmp_path), "run", "--network", "testnet-e2e", *LISTEN)
    wait_until(lambda: is_ready(tmp_path), what="the node answers")
    process.send_signal(number)
    code, log = stopped(process)
    assert code == 0
    assert f"stopping signal={number.name}" in log
    assert "node_stopped" in log.splitlines()[-1]
    assert "Traceback" not in log
    assert list((tmp_path / "run").iterdir()) == []


def test_control_api_stops_it_and_json_logs_parse(start_skyops: Start, tmp_path: Path) -> None:
    process = start_skyops(
        "--data-dir", str(tmp_path), "run", "--network", "testnet-e2e", "--log-format", "json", *LISTEN
    )
    wait_until(lambda: is_ready(tmp_path), what="the node answers")
    client = ControlClient.of(tmp_path)
    assert client.status().is_testnet
    client.stop()
    code, log = stopped(process)
    assert code == 0
    entries = [json.loads(line) for line in log.splitlines()]
    (ready,) = [entry for entry in entries if entry["event"] == "node_ready"]
    assert ready["network"] == "testnet-e2e"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", ready["time"])


def test_two_nodes_meet_by_address_alone(start_skyops: Start, tmp_path: Path) -> None:
    first, second = tmp_path / "alice", tmp_path / "bob"
    start_skyops("--data-dir", str(first), "run", "--network", "testnet-e2e", *LISTEN)
    wait_until(lambda: is_ready(first), what="alice answers")
    addr = ControlClient.of(first).status().listen[0]
    start_skyops(
        "--data-dir",
        str(second),
        "run",
        "--network",
        "testnet-e2e",
        "--join",
        addr,
        "--declare-gpu",
        "A100:80",
        *LISTEN,
    )
    wait_until(lambda: is_ready(second), what="bob answers")
    bob = ControlClient.of(second).status().peer_id

    def alice_sees_the_gpu() -> bool:
        views = ControlClient.of(first).map()
        return any(view.peer_id == bob and view.state == "active" and view.gpus for view in views)

    wait_until(alice_sees_the_gpu, what="alice sees bob's GPU")
    (view,) = [view for view in ControlClient.of(first).map() if view.peer_id == bob]
    assert (view.is_worker, view.hardware_source, view.gpus[0].model) == (True, "declared", "A100")


def test_killed_node_leaves_a_stale_run_file_that_is_understood(
    start_skyops: Start, skyops: Callable[..., Ran], tmp_path: Path
) -> None:
    process = start_skyops("--data-dir", str(tmp_path), "run", "--network", "testnet-e2e", *LISTEN)
    wait_until(lambda: is_ready(tmp_path), what="the node answers")
    process.kill()
    process.communicate()
    ran = skyops("--data-dir", str(tmp_path), "status")
    assert (ran.code, "error[node_not_running]" in ran.err) == (4, True)
    start_skyops("--data-dir", str(tmp_path), "run", "--network", "testnet-e2e", *LISTEN)
    wait_until(lambda: is_ready(tmp_path), what="it starts again in the same directory")


def test_reader_that_leaves_early_is_no_error(skyops: Callable[..., Ran], own_home: Path) -> None:
    import os
    import sys

    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "skyops_p2p", "config", "check"],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    os.close(write)
    assert done.stderr == ""
    assert done.returncode == 1
