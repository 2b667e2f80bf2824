"""The examples run as they stand."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from skyops_p2p.errors import NetworkError
from skyops_p2p.node.control_client import ControlClient
from tests.e2e.conftest import ROOT, wait_until

pytestmark = [pytest.mark.process, pytest.mark.net]


def run_example(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "examples" / name), *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_embed_opens_a_session() -> None:
    done = run_example("embed_in_app.py")
    assert (done.returncode, done.stderr) == (0, "")
    assert "alice found A100 in eu" in done.stdout
    assert "proven" in done.stdout


def test_secure_upload_leaves_nothing_in_the_clear() -> None:
    done = run_example("secure_upload.py")
    assert (done.returncode, done.stderr) == (0, "")
    assert "the data lies in the clear in ['digits.bin']" in done.stdout
    assert "job succeeded" in done.stdout
    held = re.findall(r"(\w+) keeps (\d+) files of content, (\d+) files", done.stdout)
    assert [(name, int(count) > 0, clear) for name, count, clear in held] == [
        ("alice", True, "0"),
        ("bob", True, "0"),
    ]


def test_full_workflow_survives_a_dead_worker_and_has_a_bill(own_home: Path, tmp_path: Path) -> None:
    done = run_example("full_workflow.py", str(tmp_path / "out"))
    assert (done.returncode, done.stderr) == (0, "")
    victim = re.search(r"killed (\w+), who was half-way", done.stdout)
    heir = re.search(r"attempt 2 on (\w+): succeeded", done.stdout)
    assert victim is not None
    assert heir is not None
    assert victim[1] != heir[1]
    assert f"attempt 1 on {victim[1]}: worker_lost" in done.stdout
    assert (tmp_path / "out" / "results" / "model.bin").exists()
    cost = re.search(r"it cost ([0-9.]+) SKYOPS for ([0-9.]+) s of 2 workers", done.stdout)
    assert cost is not None
    assert float(cost[1]) > 0


def test_register_node_shows_up_on_the_network(
    start_skyops: Callable[..., object], own_home: Path, tmp_path: Path
) -> None:
    seed_dir = tmp_path / "seed"
    start_skyops(
        "--data-dir", str(seed_dir), "run", "--network", "testnet-reg", "--listen", "/ip4/127.0.0.1/tcp/0"
    )

    def is_ready() -> bool:
        try:
            return ControlClient.of(seed_dir).is_ready()
        except NetworkError:
            return False

    wait_until(is_ready, what="the first node answers")
    client = ControlClient.of(seed_dir)
    addr = client.status().listen[0]
    done = run_example("register_node.py", str(tmp_path / "worker"), "testnet-reg", addr, "A100:80")
    assert (done.returncode, done.stderr) == (0, "")
    assert "['A100'] (declared)" in done.stdout
    assert "the map has 2 nodes" in done.stdout

    def gpus() -> list[str]:
        return [gpu.model for view in client.map() if not view.is_self for gpu in view.gpus]

    wait_until(lambda: gpus() == ["A100"], what="its neighbour knows its GPU")


def test_register_node_says_how_it_is_called() -> None:
    done = run_example("register_node.py")
    assert done.returncode == 1
    assert "BOOTSTRAP_ADDRESS" in done.stderr
