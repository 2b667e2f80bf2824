"""Jobs on a real network of processes: from the command line, from a script, and from a notebook's client."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import PATIENCE_S, ROOT, Ran, wait_until
from tests.repo.source_tree import text_of

pytestmark = [pytest.mark.process, pytest.mark.net]
Skyops = Callable[..., Ran]
EPOCHS = "10"


@pytest.fixture
def data_dir(skyops: Skyops) -> Iterator[str]:
    """A network of three nodes; the data directory of one of them."""
    up = skyops("testnet", "up", "--nodes", "3")
    assert up.code == 0, up.err
    try:
        status = json.loads(skyops("testnet", "status", "--json").out)
        yield str(Path(status["directory"]) / "nodes" / "node-1")
    finally:
        skyops("testnet", "down")


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    """A short training run, and the file of its job."""
    shutil.copytree(ROOT / "examples" / "digits", tmp_path / "examples" / "digits")
    file = tmp_path / "examples" / "digits" / "job-wasm.toml"
    text = file.read_text()
    assert '"--epochs", "300"' in text
    file.write_text(text.replace('"--epochs", "300"', f'"--epochs", "{EPOCHS}"'))
    return file


def python(data_dir: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "SKYOPS_DATA_DIR": data_dir},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def test_a_job_is_submitted_watched_read_audited_and_fetched(
    skyops: Skyops, data_dir: str, digits: Path, tmp_path: Path
) -> None:
    def on_node(*arguments: str) -> Ran:
        return skyops("--data-dir", data_dir, *arguments)

    watched = on_node("submit", str(digits), "--watch")
    assert watched.code == 0, watched.out + watched.err
    for said in (
        "the inputs are encrypted",
        "leased to",
        f"| epoch {EPOCHS}/{EPOCHS} loss",
        "succeeded after",
    ):
        assert said in watched.out
    assert watched.err == ""

    assert on_node("ps").out.startswith("No open jobs; those that have ended, 1")
    view = json.loads(on_node("status", "digits-wasm", "--json").out)
    (shard,) = view["shards"]
    assert (view["state"], shard["exit_code"], shard["is_log_proven"]) == ("succeeded", 0, True)
    assert f"epoch {EPOCHS}/{EPOCHS} loss" in on_node("logs", "digits-wasm").out
    assert on_node("audit", "digits-wasm").code == 0

    fetched = on_node("result", "digits-wasm", "-o", str(tmp_path / "out"))
    assert fetched.code == 0, fetched.err
    metrics = json.loads((tmp_path / "out" / "results" / "metrics.json").read_text())
    assert metrics["epochs"] == int(EPOCHS)
    again = on_node("result", "digits-wasm", "-o", str(tmp_path / "out"))
    assert (again.code, "error[result_in_the_way]" in again.err) == (6, True)

    # The program of the documentation, and the example for scripts.
    program = re.findall(r"^```python\n(.*?)^```", text_of("docs/library.md"), re.MULTILINE | re.DOTALL)[1]
    (tmp_path / "notebook.py").write_text(program)
    notebook = python(data_dir, tmp_path, "-W", "error", "notebook.py")
    assert (notebook.returncode, notebook.stderr) == (0, "")
    assert "succeeded The program ended well" in notebook.stdout
    assert (tmp_path / "results" / "results" / "model.bin").exists()
    script = python(data_dir, tmp_path, str(ROOT / "examples" / "submit_task.py"), str(digits), "again")
    assert (script.returncode, script.stderr) == (0, "")
    assert script.stdout.endswith(f"2 files in {tmp_path / 'again'}\n")


def test_a_job_that_fails_is_cancelled_or_follows_another_says_so(
    skyops: Skyops, data_dir: str, digits: Path, tmp_path: Path
) -> None:
    def on_node(*arguments: str) -> Ran:
        return skyops("--data-dir", data_dir, *arguments)

    follower = tmp_path / "follower.toml"
    follower.write_text('name = "follower"\nmodule = "file:none.wasm"\ndepends_on = ["digits-wasm"]\n')
    failed = on_node("submit", str(follower), str(digits), "--set", 'args=["--epochs", "x"]', "--watch")
    assert failed.code == 11, failed.out + failed.err
    assert "program_failed" in failed.out
    assert "dependency_failed" in failed.out
    assert on_node("result", "digits-wasm").code == 6

    slow = 'args=["--epochs", "300", "--sleep-ms", "500"]'
    submitted = json.loads(on_node("submit", str(digits), "--set", slow, "--json").out)
    job = submitted["jobs"][0]["job_id"]

    def is_running() -> bool:
        shards = json.loads(on_node("status", job, "--json").out)["shards"]
        return bool(shards) and shards[0]["phase"] == "running"

    wait_until(is_running, what="the job runs")
    assert "running" in on_node("top", job[:12]).out
    assert on_node("cancel", job[:12]).code == 0
    ended = on_node("status", job, "--watch")
    assert (ended.code, "cancelled after" in ended.out) == (12, True)
