"""`skyops audit JOB`: the awards of all attempts of a job of the running node."""

import json
from pathlib import Path

import pytest

from skyops_p2p.cli.main import run_main
from skyops_p2p.node.book_files import save_book
from tests.gateway import fake_jobs as fj
from tests.unit.cli.fake_client import ScriptedJobs, stand_in_front
from tests.unit.cli.test_audit import JOB, good
from tests.unit.core.people import BOB, CAROL

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> ScriptedJobs:
    return stand_in_front(monkeypatch)


def audit(data_dir: Path, *arguments: str) -> int:
    return run_main(["--data-dir", str(data_dir), "audit", *arguments])


def with_attempts(*workers: str, tender_job: bytes = JOB) -> list[object]:
    attempts = tuple(
        fj.attempt(number, worker, code="worker_lost", tender_job=tender_job.hex())
        for number, worker in enumerate(workers, start=1)
    )
    return [fj.job("running", fj.running(attempts=attempts))]


def test_every_attempt_of_a_job_is_audited(node: ScriptedJobs, tmp_path: Path, capsys: Capture) -> None:
    save_book(tmp_path, good(), job_id=JOB, round_number=0)
    node.scripts["train"] = with_attempts(BOB.peer, CAROL.peer)  # type: ignore[assignment]
    assert audit(tmp_path, "train") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[1:3]] == [["0", "1"], ["0", "2"]]
    assert lines[-1] == "OK: 2 of 2 awards follow from their bids"
    assert audit(tmp_path, fj.TRAIN_ID[:12], "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["ok"], report["job_id"]) == (True, fj.TRAIN_ID)
    assert [one["audit"]["bids"] for one in report["attempts"]] == [2, 2]


def test_a_lease_that_the_bids_do_not_explain_is_found(
    node: ScriptedJobs, tmp_path: Path, capsys: Capture
) -> None:
    save_book(tmp_path, good(), job_id=JOB, round_number=0)
    node.scripts["train"] = with_attempts(fj.BOB)  # type: ignore[assignment]
    assert audit(tmp_path, "train") == 9
    assert "which the bids do not rank" in capsys.readouterr().out


def test_a_missing_book_is_a_finding(node: ScriptedJobs, tmp_path: Path, capsys: Capture) -> None:
    node.scripts["train"] = with_attempts(BOB.peer)  # type: ignore[assignment]
    assert audit(tmp_path, "train") == 9
    assert "shard 0, attempt 1: there is no bid book" in capsys.readouterr().out


def test_a_job_without_attempts_has_nothing_to_audit(
    node: ScriptedJobs, tmp_path: Path, capsys: Capture
) -> None:
    node.scripts["train"] = [fj.job("matching", fj.shard("matching"))]
    assert audit(tmp_path, "train") == 0
    assert "no attempts yet" in capsys.readouterr().out


def test_what_is_neither_book_nor_job_is_missing(node: ScriptedJobs, tmp_path: Path, capsys: Capture) -> None:
    assert audit(tmp_path, "nobody") == 9
    assert "error[book_missing]" in capsys.readouterr().err
