"""What `status`, `result` and `logs` say of results that were compared."""

from pathlib import Path

import pytest

from skyops_p2p.cli.main import run_main
from tests.gateway import fake_jobs as fj
from tests.unit.cli.fake_client import ScriptedJobs, stand_in_front

Capture = pytest.CaptureFixture[str]


def run(*arguments: object) -> int:
    return run_main([str(argument) for argument in arguments])


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> ScriptedJobs:
    return stand_in_front(monkeypatch)


def test_results_that_differ_are_told_of_in_plain_words(
    node: ScriptedJobs, capsys: Capture, tmp_path: Path
) -> None:
    text = "worker carol came to another result than the majority (result_wrong); its result is not taken"
    told = {"code": "succeeded", "checked": "decided", "discrepancy": text, "attempts": (fj.attempt(),)}
    shards = [fj.shard("succeeded", place, result_bytes=3, **told) for place in range(12)]
    node.scripts["train"] = [
        fj.job("succeeded", shards[0], code="succeeded", verified="verified by 2 workers")
    ]
    node.scripts["sweep"] = [fj.job("succeeded", *shards, name="sweep", verified="verified by 2 workers")]
    assert run("logs", "train") == 0
    assert capsys.readouterr().err == f"skyops: discrepancy {text}\n"
    assert run("status", "train") == 0
    assert f"discrepancy  {text}" in " ".join(capsys.readouterr().out.split("\n"))
    assert run("status", "sweep") == 0
    shown = capsys.readouterr().out
    assert "verified by 2 workers" in shown
    assert (shown.count("came to another result"), "and 2 more shards" in shown) == (10, True)
    assert run("result", "train", "-o", tmp_path / "out") == 0
    shown = capsys.readouterr().out
    assert "verified by 2 workers" in shown
    assert text in shown
