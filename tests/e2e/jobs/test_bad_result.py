"""Real processes compute the same: one of them returns a wrong result, and is caught without anybody doing anything."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.core.verification.check import check_verdict
from skyops_p2p.node.job_files import read_job
from skyops_p2p.node.jobs.job_views import JobView
from skyops_p2p.testnet.creation import node_dir
from skyops_p2p.testnet.launcher import Testnet
from skyops_p2p.testnet.startup import bring_up
from skyops_p2p.testnet.topology import NetworkPlan, NodePlan, Topology, expand
from tests.conftest import HOME_VARIABLES
from tests.e2e.jobs.job_network import EXAMPLE
from tests.ports.sandbox import native_box

pytestmark = [pytest.mark.process, pytest.mark.net, pytest.mark.slow]
WRONG = "bob"
RIGHT = ("carol", "dave")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testnet]:
    folder = tmp_path_factory.mktemp("bad")
    with pytest.MonkeyPatch.context() as patch:
        for name, place in HOME_VARIABLES.items():
            patch.setenv(name, str(folder / "home" / place))
        yield from started(folder)


def started(folder: Path) -> Iterator[Testnet]:
    plans = (
        NodePlan(name="alice", worker=False),
        NodePlan(name=WRONG, misbehaves="wrong-training"),
        *(NodePlan(name=name) for name in RIGHT),
    )
    topology = expand(Topology(network=NetworkPlan(beat_s=1.0, chain=False), nodes=plans))
    testnet = Testnet.create(folder / "net", name="bad", topology=topology)
    try:
        bring_up(testnet, timeout_s=120, progress=lambda _line: None)
        yield testnet
    finally:
        testnet.down()


def exact_training(runtime: str = "wasm") -> JobSpec:
    spec = read_job(EXAMPLE / f"job-{runtime}.toml")
    tree = spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    tree |= {"args": ["--epochs", "2", "--hidden", "16"], "verification": {"class": "exact", "redundancy": 3}}
    tree.pop("checkpoint", None)
    return JobSpec.model_validate(tree)


def ended(network: Testnet, spec: JobSpec) -> JobView:
    """Submit a job of alice's, and wait for its end."""
    alice = network.client("alice", timeout_s=60.0)
    tree = spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    job = alice.jobs.submit(tree, base_dir=EXAMPLE, secrets={}).job_id
    *_, last = alice.jobs.watch(job)
    assert (last.state, last.code) == ("succeeded", "succeeded"), last
    return last


@pytest.mark.parametrize(
    ("runtime", "program"),
    [
        ("wasm", {"args": ["--epochs", "22", "--hidden", "16"]}),
        pytest.param(
            "native",
            {"command": ["python3", "/code/train_pure.py"], "args": ["--epochs", "22", "--hidden", "4"]},
            marks=pytest.mark.skipif(bool(native_box.missing()), reason=native_box.missing()),
        ),
    ],
)
def test_training_that_goes_wrong_half_way_is_convicted_by_the_steps_that_are_run_again(
    network: Testnet, runtime: str, program: dict[str, list[str]]
) -> None:  # VER-21, VER-25, VER-26
    peers = {entry.name: entry.peer_id for entry in network.record.nodes}
    changes = {
        **program,
        "checkpoint": {"stride": 5},
        "verification": {"class": "exact", "redundancy": 2},
        "placement": {"deny": [peers["dave"]]},
    }
    tree = exact_training(runtime).model_dump(mode="json", by_alias=True, exclude_none=True)
    view = ended(network, JobSpec.model_validate(tree | changes))
    (shard,) = view.shards
    assert shard.checked == "refereed"
    assert len(shard.replicas) == 1
    alice = network.client("alice", timeout_s=60.0)
    verdict = alice.jobs.verdict(view.job_id)
    assert verdict.holds
    assert verdict.stretch is not None
    assert (verdict.stretch.first_step, verdict.stretch.last_step) == (10, 15)
    names = {peer: name for name, peer in peers.items()}
    assert {names[one.worker]: one.fault for one in verdict.judged} == {WRONG: "wrong", "carol": "none"}
    again = alice.jobs.verify(view.job_id, is_stretch=True)
    assert [(one.code, one.text) for one in again.shards] == [
        ("same", "steps 10 to 15 come to what the verdict says")
    ]


def test_wrong_result_is_found_out_and_the_verdict_can_be_checked_without_a_node(
    network: Testnet, tmp_path: Path
) -> None:
    alice = network.client("alice", timeout_s=60.0)
    last = ended(network, exact_training())
    job, (shard,) = last.job_id, last.shards
    assert shard.checked == "decided"
    assert len(shard.replicas) == 2
    alice.jobs.result(job, tmp_path / "out")
    assert any(path.is_file() for path in (tmp_path / "out").rglob("*"))

    data = bytes.fromhex(alice.jobs.verdict(job).data)
    checked = check_verdict(data)
    assert checked.findings == ()
    names = {entry.peer_id: entry.name for entry in network.record.nodes}
    faults = {names[one.worker]: one.fault for one in checked.judged}
    assert faults == {WRONG: "wrong", **dict.fromkeys(RIGHT, "none")}

    file = tmp_path / "job.verdict"
    for arguments in (
        ["--data-dir", str(node_dir(network.directory, "alice")), "verdict", job, "--export", str(file)],
        ["verdict", "--check", str(file)],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "skyops_p2p", *arguments],
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "wrong: not the result of the majority" in done.stdout
