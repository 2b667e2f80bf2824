"""The examples of jobs that belong together, submitted as their pages say, on a network of processes.

What comes back is looked at: tables, pictures, a film. Then their requester runs some of it again by itself.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from PIL import Image

from skyops_p2p.testnet.creation import node_dir
from tests.e2e.jobs.job_network import JobNetwork
from tests.repo.source_tree import ROOT

pytestmark = [pytest.mark.process, pytest.mark.net, pytest.mark.slow]
TIMEOUT_S = 300
FILM = {'"28"': '"6"', '"240"': '"60"', '"180"': '"45"', '"3"': '"1"', "shards = 8": "shards = 4"}
"""What makes the film of examples/render a short and small one."""


class Alice:
    """Her command line, in a folder with a copy of the examples."""

    def __init__(self, network: JobNetwork, folder: Path) -> None:
        self._data_dir = node_dir(network.testnet.directory, "alice")
        self.examples = folder / "examples"
        shutil.copytree(ROOT / "examples", self.examples)

    def skyops(self, *arguments: str, folder: str = ".") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "skyops_p2p", "--data-dir", str(self._data_dir), *arguments],
            cwd=self.examples / folder,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )

    def submit(self, folder: str, *files: str) -> str:
        """Run jobs to their end, as the page of the example says; return what was said."""
        done = self.skyops("submit", *files, "--watch", folder=folder)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def result(self, job: str) -> Path:
        done = self.skyops("result", job, "-o", job)
        assert done.returncode == 0, done.stderr
        return self.examples / job

    def verify(self, job: str, *arguments: str) -> list[str]:
        """Return how each shard came out when it was run again here."""
        done = self.skyops("verify", job, "--json", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return [check["code"] for check in json.loads(done.stdout)["shards"]]


@pytest.fixture
def alice(network: JobNetwork, tmp_path: Path) -> Alice:
    return Alice(network, tmp_path)


def test_a_sweep_of_sixteen_shards_is_reduced_to_the_best_model(alice: Alice) -> None:
    alice.submit("sweep", "reduce.toml", "sweep.toml")
    results = alice.result("sweep-best") / "results"
    shards = alice.result("sweep")
    trials = [
        json.loads((shards / f"shard-{number}" / "results" / "metrics.json").read_text())
        for number in range(16)
    ]
    settings = [(trial["hidden"], trial["rate"]) for trial in trials]
    assert settings == [(hidden, rate) for hidden in (4, 8, 16, 32) for rate in (0.003, 0.015, 0.06, 0.24)]

    best = json.loads((results / "best.json").read_text())
    assert best["accuracy"] == max(trial["accuracy"] for trial in trials) > 0.9
    assert trials[best["shard"]] | best == trials[best["shard"]] | {"shard": best["shard"]}
    model = shards / f"shard-{best['shard']}" / "results" / "model.bin"
    assert (results / "model.bin").read_bytes() == model.read_bytes()
    rows = re.findall(r"^\| (\d+) \|.*\| ([0-9.]+) % \|", (results / "table.md").read_text(), re.MULTILINE)
    assert [int(place) for place, _ in rows] == list(range(1, 17))
    assert [float(share) for _, share in rows] == sorted((float(share) for _, share in rows), reverse=True)
    texts = [element.text for element in ET.parse(results / "plot.svg").iter() if element.text]
    assert sum(text.endswith(" %") for text in texts) == 16

    assert alice.verify("sweep", "--shard", "5") == ["same"]
    assert alice.verify("sweep-best") == ["same"]


def test_three_stages_that_are_submitted_at_once_run_one_after_the_other(alice: Alice) -> None:
    alice.submit("graph", "report.toml", "prepare.toml", "train.toml")
    report = alice.result("digits-report") / "report"
    prepared = alice.result("digits-prepare") / "prepared"
    aside = (prepared / "test.bin").stat().st_size // 65
    assert aside + (prepared / "digits.bin").stat().st_size // 65 == 1797
    text = (report / "report.md").read_text()
    told = re.search(r"(\d+) of (\d+) images", text)
    assert told is not None
    right, seen = int(told[1]), int(told[2])
    assert (seen, right / seen > 0.9) == (aside, True)
    cells = re.findall(r"^\| \*\*(\d)\*\* \|((?: \d* ?\|){10})", text, re.MULTILINE)
    matrix = [[int(cell) if cell.strip() else 0 for cell in row.split("|")[:10]] for _, row in cells]
    assert sum(map(sum, matrix)) == seen
    assert sum(matrix[digit][digit] for digit in range(10)) == right
    assert ET.parse(report / "confusion.svg").getroot().tag.endswith("svg")
    assert alice.verify("digits-report") == ["same"]
    native = alice.skyops("verify", "digits-nobody")
    assert (native.returncode, "error[unknown_job]" in native.stderr) == (6, True)


def test_frames_of_many_shards_become_a_film(alice: Alice) -> None:
    file = alice.examples / "render" / "frames.toml"
    text = file.read_text()
    for long, short in FILM.items():
        assert long in text
        text = text.replace(long, short)
    file.write_text(text)
    alice.submit("render", "frames.toml", "gif.toml")
    shards, film = alice.result("render"), alice.result("render-gif") / "animation" / "animation.gif"
    with Image.open(film) as animation:
        assert (animation.n_frames, animation.size, animation.info["duration"]) == (6, (60, 45), 70)
        for number in range(6):
            animation.seek(number)
            shown = animation.convert("RGB").tobytes()
            with Image.open(shards / f"shard-{number % 4}" / "frames" / f"frame-{number:04d}.ppm") as frame:
                drawn = frame.tobytes()
            assert sum(abs(a - b) for a, b in zip(shown, drawn, strict=True)) / len(drawn) < 6
    assert alice.verify("render-gif") == ["same"]
