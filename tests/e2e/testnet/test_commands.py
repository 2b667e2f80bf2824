"""The `testnet` and `demo` commands, as typed."""

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import PATIENCE_S, Ran, wait_until

pytestmark = [pytest.mark.process, pytest.mark.net]
Skyops = Callable[..., Ran]


def test_a_whole_life_by_command(skyops: Skyops, tmp_path: Path) -> None:
    assert skyops("testnet", "list").out.startswith("No test networks.")
    topology = tmp_path / "t.toml"
    topology.write_text('[network]\nbeat_s = 1.0\n[[nodes]]\ncount = 3\ngpus = ["A100:80"]\nregion = "eu"\n')
    up = skyops("testnet", "up", "--topology", str(topology))
    assert (up.code, up.err.count("error")) == (0, 0)
    assert "3 nodes of testnet-" in up.out
    assert "skyops run --join local" in up.out

    def seen() -> list[tuple[str, int]]:
        nodes = json.loads(skyops("testnet", "status", "--json").out)["nodes"]
        return [(node["state"], node["map_counts"].get("active", 0)) for node in nodes]

    # A node that is late with an answer or a heartbeat on a busy machine counts as starting, or is suspected.
    wait_until(lambda: seen() == [("running", 3)] * 3, what="all run and see each other")
    wait_until(lambda: "node-2  running" in skyops("testnet", "status").out, what="people are told so")
    status = json.loads(skyops("testnet", "status", "--json").out)
    assert json.loads(skyops("testnet", "list", "--json").out)[0]["alive"] == 3

    data_dir = str(Path(status["directory"]) / "nodes" / "node-1")
    peer = status["nodes"][1]["peer_id"]
    views = json.loads(
        skyops("--data-dir", data_dir, "map", "--gpu", "a100", "--sort", "price", "--json").out
    )["nodes"]
    assert len(views) == 3
    assert json.loads(skyops("map", "--gpu", "h100", "--json", "--data-dir", data_dir).out)["nodes"] == []
    ping = ("--data-dir", data_dir, "ping", peer[-8:], "-c", "2")
    wait_until(lambda: skyops(*ping).out.count("answer from") == 2, what="node-2 answers in time, twice")
    session = json.loads(skyops("--data-dir", data_dir, "handshake", peer, "--json").out)
    assert session["peer_id"] == peer
    assert json.loads(skyops("--data-dir", data_dir, "status", "--json").out)["sessions"] == 1
    assert len(json.loads(skyops("--data-dir", data_dir, "peers", "--json").out)["peers"]) >= 2
    assert json.loads(skyops("--data-dir", data_dir, "node", "show", "self", "--json").out)["is_self"]
    assert "name=node-2" not in skyops("--data-dir", data_dir, "node", "show", peer).out.splitlines()[0]

    assert skyops("testnet", "kill", "node-3").out == "node-3: killed\n"
    assert skyops("testnet", "kill", "node-3").out == "node-3: was dead already\n"
    assert skyops("testnet", "restart").out.startswith("restarted node-3: all answer after")
    assert skyops("testnet", "stop", "node-3").out == "node-3: stopped\n"
    assert "node-3  stopped" in skyops("testnet", "status").out
    assert skyops("testnet", "cont", "node-3").code == 0
    cut = skyops("testnet", "partition", "node-1")
    assert cut.out == "partitioned: node-1 | node-2, node-3\n"
    assert "cut off from 2" in skyops("testnet", "status").out
    assert skyops("testnet", "heal").code == 0
    assert skyops("testnet", "slow", "node-2", "--delay-ms", "50").code == 0
    assert "node_ready" in skyops("testnet", "logs", "node-1").out

    again = skyops("testnet", "up")
    assert (again.code, "error[testnet_exists]" in again.err) == (8, True)
    assert skyops("testnet", "kill", "node-9").err.startswith("error[unknown_node]")
    down = skyops("testnet", "down")
    assert down.out == "Stopped 3 nodes of test network 'local' and removed its files.\n"
    gone = skyops("testnet", "down")
    assert (gone.code, "error[testnet_unknown]" in gone.err) == (8, True)


def test_demo_does_all_it_says_and_leaves_nothing(skyops: Skyops, tmp_path: Path) -> None:
    told = run_demo(skyops, "--nodes", "5", "--into", str(tmp_path / "model"))
    names = [stage["name"] for stage in told["stages"]]
    network = ["up", "join", "deposit", "map", "trust", "ping", "handshake", "match", "route"]
    training = ["submit", "train", "kill", "resume", "compare", "verdict", "result", "audit", "restart"]
    assert names == [*network, *training, "bill", "unpaid", "settle", "prove", "scores", "down"]
    assert told["figures"]["accuracy"] > 0.9
    assert int(told["figures"]["paid_wei"]) > 0
    assert "</svg>" in (tmp_path / "model" / "loss.svg").read_text(encoding="utf-8")
    assert skyops("testnet", "list").out.startswith("No test networks.")


def test_demo_lists_its_scenarios(skyops: Skyops) -> None:
    told = json.loads(skyops("demo", "--list", "--json").out)
    names = [one["name"] for one in told["scenarios"]]
    assert names == [line.split()[0] for line in skyops("demo", "--list").out.splitlines()[1:]]
    assert "worker-crash" in names


def run_demo(skyops: Skyops, *arguments: str) -> dict[str, Any]:
    ran = skyops("demo", "--json", *arguments, timeout_s=900)
    assert ran.code == 0, ran.out + ran.err
    told: dict[str, Any] = json.loads(ran.out)
    assert told["is_done"]
    assert all(stage["is_done"] and stage["took_s"] >= 0 and stage["told"] for stage in told["stages"])
    return told


def test_demo_that_is_told_to_stop_takes_its_network_down(
    skyops: Skyops, start_skyops: Callable[..., subprocess.Popen[str]]
) -> None:
    process = start_skyops("demo", "--nodes", "2", "--scenario", "happy", PYTHONUNBUFFERED="1")
    assert process.stdout is not None
    assert process.stdout.readline().lstrip().startswith("1. A network comes up")
    process.send_signal(signal.SIGTERM)  # the others may be ignored where the tests run
    assert process.wait(timeout=PATIENCE_S) == 130
    assert skyops("testnet", "list").out.startswith("No test networks.")
