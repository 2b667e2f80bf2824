"""The handwritten-digits example at home: killed at any point and resumed, the Python trainers make the same model."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from skyops_p2p.node.job_files import read_job
from tests.repo.source_tree import ROOT

pytestmark = pytest.mark.process
EXAMPLE = ROOT / "examples" / "digits"
TIMEOUT_S = 120
EPOCHS = 6
SIGNALLED = """
import builtins, os, runpy, sys
told, number, sys.argv = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
say = builtins.print
def say_and_signal(*words, **options):
    say(*words, **options)
    if str(words[0]).startswith(told):
        os.kill(os.getpid(), number)
builtins.print = say_and_signal
sys.path.insert(0, os.path.dirname(sys.argv[0]))
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Runs a trainer, and sends it a signal when it has told an epoch: a signal from outside may come when all is done."""


class Training:
    """One trainer with its folders."""

    def __init__(self, script: str, folder: Path) -> None:
        self._script = EXAMPLE / "train_python" / script
        self._folder = folder
        for name in ("results", "checkpoint"):
            (folder / name).mkdir(parents=True)

    def start(self, *before: str, is_resumed: bool) -> subprocess.Popen[str]:
        environment = {
            "SKYOPS_CHECKPOINT_DIR": str(self._folder / "checkpoint"),
            "SKYOPS_PROGRESS": str(self._folder / "progress"),
            "SKYOPS_RESUME": "1" if is_resumed else "0",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PATH": os.environ["PATH"],
        }
        places = ["--data", str(EXAMPLE / "data" / "digits.bin"), "--results", str(self._folder / "results")]
        fast = ["--epochs", str(EPOCHS), "--hidden", "8", "--sleep-ms", "0", "--save-every", "2"]
        command = [sys.executable, *before, str(self._script), *places, *fast]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)

    def end_after_epoch(self, epoch: int, number: int, *, is_resumed: bool) -> int:
        """Have a signal sent when an epoch was told; return the exit status."""
        signalled = ("-c", SIGNALLED, f"epoch {epoch}/", str(int(number)))
        with self.start(*signalled, is_resumed=is_resumed) as process:
            assert process.stdout is not None
            process.stdout.read()
            return process.wait(TIMEOUT_S)

    def finish(self, *, is_resumed: bool) -> dict[str, bytes]:
        with self.start(is_resumed=is_resumed) as process:
            assert process.wait(TIMEOUT_S) == 0
        return {path.name: path.read_bytes() for path in (self._folder / "results").iterdir()}

    def checkpoints(self) -> list[str]:
        return sorted(path.name for path in (self._folder / "checkpoint").iterdir())


@pytest.fixture(params=["train_pure.py", "train_numpy.py"])
def training(request, tmp_path):
    return lambda name: Training(request.param, tmp_path / name)


def test_it_learns_and_keeps_two_checkpoints(training, tmp_path):
    alice = training("alice")
    results = alice.finish(is_resumed=False)
    metrics = json.loads(results["metrics.json"])
    assert metrics["accuracy"] > 0.6
    assert metrics["epochs"] == EPOCHS
    assert alice.checkpoints() == ["epoch-000004", "epoch-000006"]
    done, *figures = (tmp_path / "alice" / "progress").read_text().split()
    assert done == f"{EPOCHS}/{EPOCHS}"
    assert [figure.partition("=")[0] for figure in figures] == ["loss"]


def test_killed_at_several_points_it_makes_the_same_model(training):
    undisturbed = training("alice").finish(is_resumed=False)
    bob = training("bob")
    for number, epoch in enumerate([1, 3, 4, 5]):
        status = bob.end_after_epoch(epoch, signal.SIGKILL, is_resumed=number > 0)
        assert status == -signal.SIGKILL
    assert bob.finish(is_resumed=True) == undisturbed


def test_told_to_end_it_saves_and_asks_for_another_attempt(training):
    undisturbed = training("alice").finish(is_resumed=False)
    bob = training("bob")
    assert bob.end_after_epoch(1, signal.SIGTERM, is_resumed=False) == 75
    assert len(bob.checkpoints()) >= 1
    assert bob.finish(is_resumed=True) == undisturbed


def test_a_half_written_checkpoint_is_not_taken(training, tmp_path):
    undisturbed = training("alice").finish(is_resumed=False)
    bob = training("bob")
    bob.end_after_epoch(3, signal.SIGKILL, is_resumed=False)
    (tmp_path / "bob" / "checkpoint" / "epoch-000099.tmp").write_bytes(b"half")
    assert bob.finish(is_resumed=True) == undisturbed


@pytest.mark.parametrize("file", sorted(path.name for path in EXAMPLE.glob("job-*.toml")))
def test_its_jobs_are_valid(file):
    spec = read_job(EXAMPLE / file)
    assert spec.checkpoint is not None
    assert [output.path for output in spec.outputs] == ["/results"]
    assert "/data" in [item.path for item in spec.inputs]


def test_the_data_are_whole():
    data = (EXAMPLE / "data" / "digits.bin").read_bytes()
    records = [data[start : start + 65] for start in range(0, len(data), 65)]
    assert len(records) == 1797
    assert {record[64] for record in records} == set(range(10))
    assert max(max(record[:64]) for record in records) == 16
