"""`submit`: what reaches the node, what is shown while it is watched, and how it ends."""

import json
import re
from pathlib import Path

import pytest

from skyops_p2p.cli import job_follow
from skyops_p2p.cli.main import run_main
from skyops_p2p.errors import ExecutionError, NetworkError
from tests.gateway import fake_jobs as fj
from tests.unit.cli.fake_client import ScriptedJobs, stand_in_front

Capture = pytest.CaptureFixture[str]
TIME = re.compile(r"^\d\d:\d\d:\d\d", re.MULTILINE)


def run(*arguments: object) -> int:
    return run_main([str(argument) for argument in arguments])


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> ScriptedJobs:
    return stand_in_front(monkeypatch)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TOKEN", "hunter2")
    path = tmp_path / "train.toml"
    path.write_text('name = "train"\nimage = "python:3.12"\nsecrets = ["TOKEN"]\n')
    return path


def succeeded() -> list[object]:
    shard = fj.shard(
        "succeeded", code="succeeded", result_bytes=3 << 20, attempts=(fj.attempt(code="succeeded"),)
    )
    return [
        fj.job("preparing", text="encrypting the inputs"),
        fj.job("running", fj.running()),
        fj.job("succeeded", shard, code="succeeded"),
    ]


# --- submit -----------------------------------------------------------------------------------------------------
def test_a_job_is_sent_with_its_secrets_and_named(node: ScriptedJobs, file: Path, capsys: Capture) -> None:
    assert run("submit", file, "--set", "shards=3") == 0
    assert capsys.readouterr().out == "submitted 016577c4ec70 (train)\n"
    ((tree, base_dir, secrets),) = node.calls  # type: ignore[misc]
    assert (tree["shards"], base_dir, secrets) == (3, file.parent, {"TOKEN": b"hunter2"})
    assert "hunter2" not in json.dumps(tree)


def test_submitted_jobs_as_json(node: ScriptedJobs, file: Path, capsys: Capture) -> None:
    assert run("submit", file, "--json") == 0
    (view,) = json.loads(capsys.readouterr().out)["jobs"]
    assert view["name"] == "train"


def test_a_batch_is_sent_in_the_order_of_its_dependencies(
    node: ScriptedJobs, tmp_path: Path, capsys: Capture
) -> None:
    for name, more in (
        ("last", 'depends_on = ["mid"]'),
        ("mid", 'inputs = [{path = "/in", uri = "job:first/x"}]'),
        ("first", ""),
    ):
        (tmp_path / f"{name}.toml").write_text(f'name = "{name}"\nimage = "x"\n{more}\n')
    assert run("submit", *(tmp_path / f"{name}.toml" for name in ("last", "mid", "first"))) == 0
    assert capsys.readouterr().out.splitlines() == [
        "submitted 016577c4ec70 (first)",
        "submitted 026577c4ec70 (mid)",
        "submitted 036577c4ec70 (last)",
    ]
    trees = [call[0] for call in node.calls]  # type: ignore[index]
    assert trees[1]["inputs"][0]["uri"] == f"job:01{fj.TRAIN_ID[2:]}/x"
    assert trees[2]["depends_on"] == [f"02{fj.TRAIN_ID[2:]}"]


def test_nothing_is_sent_if_one_file_is_wrong(
    node: ScriptedJobs, file: Path, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "bad.toml").write_text('image = "x"\nshards = 0\n')
    assert run("submit", file, tmp_path / "bad.toml") == 2
    assert "error[job_invalid]" in capsys.readouterr().err
    assert node.calls == []


def test_a_missing_secret_is_named_before_anything_is_sent(
    node: ScriptedJobs, file: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.delenv("TOKEN")
    assert run("submit", file) == 2
    assert "error[secret_missing]: the secret TOKEN" in capsys.readouterr().err
    assert node.calls == []


def test_a_refusal_in_a_batch_says_what_was_sent(node: ScriptedJobs, file: Path, capsys: Capture) -> None:
    node.refusal = ExecutionError("1024 jobs are open", code="too_many_jobs", hint="Wait.")
    assert run("submit", file, file) == 6
    err = capsys.readouterr().err
    assert "Submitted before that: 016577c4ec70." in err
    assert "error[too_many_jobs]" in err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["submit"], 2, "error[argument_missing]: FILES is missing"),
        (["submit", "x.toml", "--set", "shards"], 2, "error[set_invalid]"),
        (["submit", "x.toml"], 2, "error[job_unreadable]"),
        (["submit", "--watch", *["x.toml"] * 17], 2, "at most 16 jobs"),
    ],
)
def test_wrong_use_is_told(
    node: ScriptedJobs, arguments: list[str], code: int, said: str, capsys: Capture
) -> None:
    assert run(*arguments) == code
    assert said in capsys.readouterr().err
    assert node.calls == []


# --- watch ------------------------------------------------------------------------------------------------------
def test_a_watched_job_is_shown_to_its_end(node: ScriptedJobs, file: Path, capsys: Capture) -> None:
    node.scripts["train"] = succeeded()  # type: ignore[assignment]
    node.lines = [
        fj.line("step 1"),
        fj.line("oops\x07", stream="stderr"),
        fj.line("it ended", stream="skyops"),
    ]
    assert run("submit", file, "--watch") == 0
    shown = capsys.readouterr()
    lines = TIME.sub("HH:MM:SS", shown.out).splitlines()
    assert lines[0] == "submitted 6b6577c4ec70 (train)"
    assert [line for line in lines if line.startswith("HH")] == [
        "HH:MM:SS  encrypting the inputs",
        "HH:MM:SS  the inputs are encrypted",
        f"HH:MM:SS  attempt 1: leased to {fj.BOB[-8:]} at 1.25 credits an hour",
        "HH:MM:SS  running",
        "HH:MM:SS  checkpoint 1 saved at 120/500: step-120, 3.0 MiB",
    ]
    logs = ["          | step 1", "          ! oops\\x07", "          * it ended"]
    assert [line for line in lines if line.startswith("  ") and line[2] == " "] == logs
    assert lines[-3].startswith("succeeded after ")
    assert lines[-2] == "  its outputs (3.0 MiB): skyops result 6b6577c4ec70"
    assert shown.err == ""  # nothing moves where there is no terminal


@pytest.mark.parametrize(
    ("state", "code", "exit_code"), [("failed", "program_failed", 11), ("cancelled", "cancelled", 12)]
)
def test_the_exit_code_says_how_it_ended(
    node: ScriptedJobs, file: Path, state: str, code: str, exit_code: int, capsys: Capture
) -> None:
    node.scripts["train"] = [fj.job(state, fj.shard(state, code=code), code=code)]
    assert run("submit", file, "--watch") == exit_code
    assert run("status", "train", "--watch") == exit_code
    assert run("status", "train", "--watch", "--json") == exit_code
    assert f"{state} after" in capsys.readouterr().out


def test_one_failure_among_several_counts(node: ScriptedJobs, tmp_path: Path, capsys: Capture) -> None:
    states = {"a": "cancelled", "b": "failed", "c": "succeeded"}
    for number, (name, state) in enumerate(states.items()):
        (tmp_path / f"{name}.toml").write_text(f'name = "{name}"\nimage = "x"\n')
        job_id = f"{number:02x}{fj.TRAIN_ID[2:]}"
        node.scripts[name] = [fj.job(state, fj.shard(state), name=name, job_id=job_id)]
    assert run("submit", "--watch", *(tmp_path / f"{name}.toml" for name in states)) == 11
    out = capsys.readouterr().out
    assert [line.split()[0:2] for line in out.splitlines() if " after " in line] == [
        ["a:", "cancelled"],
        ["b:", "failed"],
        ["c:", "succeeded"],
    ]


def test_a_watched_job_as_json_is_one_object_a_line(node: ScriptedJobs, file: Path, capsys: Capture) -> None:
    node.scripts["train"] = succeeded()  # type: ignore[assignment]
    node.lines = [fj.line("step 1")]
    assert run("submit", file, "--watch", "--json") == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["job"]["state"] for one in told if "job" in one] == ["preparing", "running", "succeeded"]
    assert [one["line"]["text"] for one in told if "line" in one] == ["step 1"]


def test_ctrl_c_leaves_the_job_running_and_says_how_to_come_back(
    node: ScriptedJobs, file: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def interrupted(_self: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(job_follow.JobFollower, "news", interrupted)
    node.scripts["train"] = [fj.job("running", fj.running())]
    assert run("submit", file, "--watch") == 130
    assert capsys.readouterr().err.strip() == (
        "The node keeps job 6b6577c4ec70 (train). Come back: skyops status 6b6577c4ec70 --watch; "
        "end it: skyops cancel 6b6577c4ec70"
    )
    assert ("cancel", "train") not in node.calls


def test_a_node_that_stops_under_a_watched_job_is_an_error(
    node: ScriptedJobs, file: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def broken(_self: object, _job: str) -> object:
        yield fj.job("running", fj.running())
        raise NetworkError("the node stopped", code="node_not_running", hint="Start it.")

    monkeypatch.setattr(ScriptedJobs, "watch", broken)
    assert run("submit", file, "--watch") == 4
    err = capsys.readouterr().err
    assert "The node keeps job 6b6577c4ec70" in err
    assert "error[node_not_running]" in err
