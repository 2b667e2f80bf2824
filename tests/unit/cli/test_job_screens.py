"""`ps`, `status JOB`, `top`, `result`, `verify`, `cancel`, `retry` and `checkpoints`, as they look."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from skyops_p2p.cli.job_top import Picture
from skyops_p2p.cli.main import run_main
from skyops_p2p.node.jobs.search_views import search_view
from skyops_p2p.node.match_view import MatchStepView, MatchView, ReasonCountView
from tests.gateway import fake_jobs as fj
from tests.unit.cli.fake_client import ScriptedJobs

Capture = pytest.CaptureFixture[str]
LOST = fj.attempt(code="worker_lost")
EVIL = "\x1b[2Jevil"


def run(*arguments: object) -> int:
    return run_main([str(argument) for argument in arguments])


# --- ps ---------------------------------------------------------------------------------------------------------
def test_no_jobs_says_what_to_do(node: ScriptedJobs, out_of: Callable[..., str]) -> None:
    assert out_of("ps") == "No open jobs; run one: skyops submit FILE\n"
    node.scripts["old"] = [fj.job("succeeded", name="old", code="succeeded")]
    assert out_of("ps") == "No open jobs; those that have ended, 1: skyops ps --all\n"


def test_jobs_are_listed(node: ScriptedJobs, out_of: Callable[..., str]) -> None:
    node.scripts = {
        "old": [fj.job("failed", name="old", code="program_failed")],
        "train": [fj.job("running", fj.running())],
        "sweep": [
            fj.job(
                "running",
                fj.running(0, worker=fj.CAROL),
                fj.running(1),
                fj.shard("succeeded", 2),
                name="sweep",
            )
        ],
        "next": [fj.job("waiting", fj.shard("waiting"), name="next", text="no worker yet: no_answers")],
    }
    open_ones = out_of("ps")
    assert "old" not in open_ones
    assert out_of("ps", "-a").splitlines() == [
        "JOB           NAME   STATE    SHARDS  PROGRESS    LEFT  WORKER    PRICE/H  AGE  LATEST",
        "6b6577c4ec70  old    failed        -         -       -  -               -   2m  program_failed",
        f"6b6577c4ec70  train  running       -       24%  1m 35s  {fj.BOB[-8:]}     1.25   2m  -",
        "6b6577c4ec70  sweep  running     1/3       24%  1m 35s  2 nodes       2.5   2m  -",
        "6b6577c4ec70  next   waiting       -         -       -  -               -   2m  "
        "no worker, no_answers: No invited worker answered in time.",
    ]
    assert [row["name"] for row in json.loads(out_of("ps", "--json"))["jobs"]] == ["train", "sweep", "next"]


# --- status -----------------------------------------------------------------------------------------------------
def test_a_running_job_in_full(node: ScriptedJobs, out_of: Callable[..., str]) -> None:
    attempts = (LOST, fj.attempt(2, fj.CAROL))
    node.scripts["train"] = [
        fj.job("running", fj.running(attempts=attempts, worker=fj.CAROL), text="running")
    ]
    assert out_of("status", "train").splitlines() == [
        "job         6b6577c4ec7011aa22bb33cc44dd55ee",
        "name        train",
        "state       running",
        "submitted   2023-11-14 22:13:20, 2m 13s ago",
        "runtime     wasm",
        f"worker      {fj.CAROL}",
        "phase       running",
        "progress    120/500 24%",
        "figures     loss 0.31, accuracy 0.914",
        "time        1m 35s left (120 of 500 steps in 30 s)",
        "usage       ran 30s, cpu 193%, memory 700 MiB (most 1.0 GiB)",
        "gpu         87%, 20.8 GiB, 287 W, 66 °C",
        "checkpoint  1 at 120/500: step-120, 2023-11-14 22:14:20",
        "log         12 records",
        "",
        "SHARD  ATTEMPT  WORKER    PRICE/H  ENDED        WHY",
        f"    -        1  {fj.BOB[-8:]}     1.25  worker_lost  Nobody reaches the worker.",
        f"    -        2  {fj.CAROL[-8:]}     1.25  stands       -",
        "",
        "follow it: skyops status 6b6577c4ec70 --watch",
        "its log: skyops logs -f 6b6577c4ec70",
        "end it: skyops cancel 6b6577c4ec70",
    ]


@pytest.mark.parametrize(
    ("is_proven", "told"),
    [
        (True, "12 records, as the worker signed for it"),
        (False, "12 records, NOT the one that the worker signed for"),
        (None, "12 records, of the worker whose result was not taken"),
    ],
)
def test_whose_log_it_is(
    node: ScriptedJobs, out_of: Callable[..., str], is_proven: bool | None, told: str
) -> None:
    shard = fj.running().model_copy(
        update={"state": "succeeded", "result_bytes": 1024, "is_log_proven": is_proven}
    )
    node.scripts["train"] = [fj.job("succeeded", shard)]
    assert f"log         {told}" in out_of("status", "train").splitlines()


def test_what_a_lost_worker_told_is_not_shown_as_of_now(
    node: ScriptedJobs, out_of: Callable[..., str]
) -> None:
    shard = fj.running(attempts=(LOST,), text="worker_lost: Nobody reaches the worker.")
    node.scripts["train"] = [fj.job("matching", shard.model_copy(update={"state": "matching"}))]
    shown = out_of("status", "train")
    assert "phase " not in shown
    assert "usage " not in shown
    assert fj.BOB not in shown


def test_a_failed_array_shows_what_needs_a_look_first(node: ScriptedJobs, out_of: Callable[..., str]) -> None:
    done = [
        fj.shard("succeeded", index, code="succeeded", exit_code=0, attempts=(fj.attempt(code="succeeded"),))
        for index in range(60)
    ]
    bad = fj.shard(
        "failed",
        60,
        code="program_failed",
        exit_code=3,
        attempts=(LOST, fj.attempt(2, code="program_failed")),
    )
    node.scripts["sweep"] = [fj.job("failed", *done, bad, name="sweep", code="program_failed")]
    lines = out_of("status", "sweep").splitlines()
    shards = lines.index(next(line for line in lines if line.startswith("SHARD")))
    assert lines[shards + 1].split()[:2] == ["60", "failed"]
    assert lines[shards + 1].endswith("program_failed: The program ended with an exit code other than 0.")
    assert "… and 21 more; --json has all." in lines
    assert [line.split()[:2] for line in lines if line.split()[:1] == ["60"]] == [
        ["60", "failed"],
        ["60", "1"],
        ["60", "2"],
    ]
    assert "What to do: Read the end of its log." in lines
    assert lines[-1] == "run it again: skyops retry 6b6577c4ec70"


def test_texts_of_a_worker_do_nothing_to_the_terminal(node: ScriptedJobs, out_of: Callable[..., str]) -> None:
    shard = fj.running(
        text=EVIL,
        metrics={EVIL: 1.0},
        attempts=(fj.attempt(code="sandbox_failed", text=EVIL),),
        checkpoints=(fj.checkpoint(label=EVIL),),
    )
    node.scripts["train"] = [fj.job("running", shard, text=EVIL)]
    for command in ("status", "top", "checkpoints"):
        shown = out_of(command, "train")
        assert "\x1b" not in shown
        assert "\\x1b[2Jevil" in shown


def test_status_as_json_and_without_a_job(
    node: ScriptedJobs, out_of: Callable[..., str], capsys: Capture
) -> None:
    node.scripts["train"] = [fj.job("running", fj.running())]
    assert json.loads(out_of("status", "train", "--json"))["shards"][0]["metrics"]["loss"] == 0.31
    assert run("status", "--watch") == 2
    assert "--watch goes with a job" in capsys.readouterr().err
    assert run("status", "nobody") == 6
    assert "error[unknown_job]" in capsys.readouterr().err


def test_status_of_a_job_that_nobody_takes_says_how_the_search_went_and_why(
    node: ScriptedJobs, capsys: Capture
) -> None:
    steps = (
        MatchStepView(step="asked", round=1, peer_id="", code="", count=2),
        MatchStepView(step="answered", round=1, peer_id=fj.BOB, code="busy", count=0),
    )
    reason = ReasonCountView(code="busy", nodes=2, meaning="It works.", change="Wait.")
    fields = {"is_matched": False, "code": "all_declined", "job_id": "aa", "rounds": 1, "elapsed_ms": 9}
    ended = MatchView.model_validate(fields | {"reasons": (reason,), "outcomes": ()})
    waiting = fj.shard("waiting", text="no worker yet: all_declined", search=search_view(3, steps, ended))
    node.scripts["train"] = [fj.job("waiting", waiting)]
    assert run("status", "train") == 0
    shown = capsys.readouterr().out.splitlines()
    assert "search     tender sent, 2 workers asked" in shown
    assert "           answers: 1 busy" in shown
    assert "because    2 x busy: It works. Wait." in shown
    assert run("status", "train", "--json") == 0
    found = json.loads(capsys.readouterr().out)["shards"][0]["search"]
    assert (found["number"], found["answers"]) == (3, {"busy": 1})


# --- top --------------------------------------------------------------------------------------------------------
def test_one_snapshot_where_there_is_no_terminal(node: ScriptedJobs, out_of: Callable[..., str]) -> None:
    search = fj.shard("matching", text="looking for a worker")
    node.scripts = {
        "train": [fj.job("running", fj.running())],
        "next": [fj.job("matching", search, name="next", job_id="02" * 16)],
        "first": [fj.job("preparing", name="first", text="encrypting the inputs", job_id="03" * 16)],
    }
    assert out_of("top").splitlines() == [
        f"train 6b6577c4ec70  running for 30s  on {fj.BOB[-8:]} at 1.25 credits an hour",
        "  ███████░░░░░░░░░░░░░░░░░░░░░░░  120/500 24%  1m 35s left (120 of 500 steps in 30 s)",
        "  loss 0.31, accuracy 0.914",
        "  cpu 193%, memory 700 MiB (most 1.0 GiB)",
        "  gpu 0: 87%, 20.8 GiB, 287 W, 66 °C",
        "",
        "next 020202020202  looking for a worker",
        "",
        "first 030303030303  preparing",
        "  encrypting the inputs",
    ]
    assert out_of("top", "train").count("\n") == 5
    assert len(json.loads(out_of("top", "--json"))["jobs"]) == 3
    node.scripts = {}
    assert out_of("top") == "No open jobs.\n"


def test_many_shards_are_a_line_each(node: ScriptedJobs, out_of: Callable[..., str]) -> None:
    node.scripts["sweep"] = [fj.job("running", *(fj.running(index) for index in range(16)), name="sweep")]
    lines = out_of("top").splitlines()
    assert len(lines) == 16
    assert lines[3] == (
        "sweep 6b6577c4ec70 shard 3  ██░░░░░░░░  120/500 24%  1m 35s left  loss 0.31"
        "  cpu 193%, memory 700 MiB  gpu 87% 20.8 GiB 287 W 66 °C"
    )


def test_the_picture_fits_the_terminal() -> None:
    view = fj.job("running", *(fj.running(index) for index in range(16)))
    assert len(Picture().lines([view], height=200)) == 16 * 6 - 1
    assert len(Picture().lines([view], height=20)) == 16
    cut = Picture().lines([view], height=10)
    assert (len(cut), cut[-1]) == (10, "… and 7 more: make the terminal higher, or name a job")


def test_the_cpu_of_late_is_shown_from_the_second_look_on() -> None:
    from skyops_p2p.node.jobs.job_views import UsageView

    picture = Picture()
    first = fj.running(usage=UsageView(wall_ms=10_000, cpu_ms=10_000))
    second = fj.running(usage=UsageView(wall_ms=11_000, cpu_ms=10_500))
    assert "  cpu 100%" in picture.lines([fj.job("running", first)], height=None)
    assert "  cpu 50%" in picture.lines([fj.job("running", second)], height=None)
    assert "  cpu 50%" not in picture.lines(
        [fj.job("running", second.model_copy(update={"epoch": 2}))], height=None
    )


# --- what a person does -----------------------------------------------------------------------------------------
def test_a_result_goes_where_it_is_wanted(
    node: ScriptedJobs, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    node.scripts["train"] = [
        fj.job("running", fj.running()),
        fj.job("succeeded", fj.shard("succeeded", code="succeeded"), code="succeeded"),
    ]
    assert run("result", "train") == 0
    assert node.calls[-1] == ("result", fj.TRAIN_ID, tmp_path / "train-6b6577c4")
    shown = capsys.readouterr()
    assert shown.out.splitlines() == [
        f"directory  {tmp_path}/train-6b6577c4",
        "files      3",
        "size       3.0 MiB",
    ]
    assert shown.err == ""  # no bar where there is no terminal
    assert run("result", "train", "-o", "out", "--json") == 0
    assert json.loads(capsys.readouterr().out)["folder"] == str(tmp_path / "out")


def test_a_job_that_is_the_same_here_says_so(node: ScriptedJobs, out_of: Callable[..., str]) -> None:
    node.scripts["train"] = [fj.job("succeeded", code="succeeded")]
    shown = out_of("verify", "train")
    assert "SAME: 1 of 1 shards of train (6b6577c4ec70) made the same bytes here" in shown
    assert out_of("verify", "train", "--shard", "2").splitlines()[1].split()[0] == "2"
    assert "SAME" in out_of("verify", "train", "--stretch")
    assert node.calls == [
        ("verify", "train", None),
        ("verify", "train", 2),
        ("verify", "train", None, "stretch"),
    ]


def test_a_job_that_differs_names_files_and_has_its_code(node: ScriptedJobs, capsys: Capture) -> None:
    node.scripts["train"] = [fj.job("succeeded", code="succeeded")]
    node.other_files = ("results/model.bin", f"results/{EVIL}", *(f"results/{n}" for n in range(30)))
    assert run("verify", "train") == 13
    shown = capsys.readouterr().out
    assert "shard 0: results/model.bin: 2 bytes came, 3 bytes here, not the same" in shown
    assert "DIFFERENT: 0 of 1 shards" in shown
    assert "… and 12 more" in shown
    assert "\x1b" not in shown
    assert run("verify", "train", "--json") == 13
    assert json.loads(capsys.readouterr().out)["shards"][0]["differences"][0]["path"] == "results/model.bin"


def test_a_published_result_says_its_cid_and_how_to_fetch_it(node: ScriptedJobs, capsys: Capture) -> None:
    node.scripts["train"] = [
        fj.job("succeeded", fj.shard("succeeded", code="succeeded"), code="succeeded"),
    ]
    assert run("result", "train", "--publish") == 0
    assert node.calls[-1] == ("publish", fj.TRAIN_ID)
    addr = fj.published().addrs[0]
    assert capsys.readouterr().out.splitlines() == [
        "cid          bafycid",
        "files        1",
        "size         4 B",
        'as an input  uri = "ipfs://bafycid"',
        f"served at    {addr}",
        f"Fetch it: ipfs swarm connect {addr} && ipfs get bafycid",
        "It is not encrypted: whoever knows the CID may read it, while this node or another serves it.",
    ]
    assert run("result", "train", "--publish", "--json") == 0
    assert json.loads(capsys.readouterr().out)["cid"] == "bafycid"
    assert run("result", "train", "--publish", "-o", "out") == 2


def test_a_failed_job_has_no_result_and_an_exit_code(node: ScriptedJobs, capsys: Capture) -> None:
    node.scripts["train"] = [
        fj.job("failed", fj.shard("failed", code="program_failed"), code="program_failed")
    ]
    assert run("result", "train") == 6
    assert "error[no_result]" in capsys.readouterr().err


def test_cancel_tells_whether_there_was_something_to_end(node: ScriptedJobs, capsys: Capture) -> None:
    node.scripts["train"] = [fj.job("running", fj.running())]
    assert run("cancel", "train") == 0
    assert capsys.readouterr().out.splitlines() == [
        "job 6b6577c4ec70 (train) is being cancelled",
        "go on with it later: skyops retry 6b6577c4ec70",
    ]
    assert node.calls == [("cancel", fj.TRAIN_ID)]
    node.scripts["train"] = [fj.job("succeeded", code="succeeded")]
    assert run("cancel", "train") == 0
    assert "has ended already: succeeded" in capsys.readouterr().out
    assert len(node.calls) == 1


def test_retry_can_be_watched(node: ScriptedJobs, capsys: Capture) -> None:
    node.scripts["train"] = [fj.job("failed", fj.shard("failed", code="no_worker"), code="no_worker")]
    assert run("retry", "train", "--watch") == 11
    assert capsys.readouterr().out.startswith("job 6b6577c4ec70 (train) runs again\n")
    assert ("retry", "train") in node.calls


def test_checkpoints_are_listed_with_their_shards(node: ScriptedJobs, out_of: Callable[..., str]) -> None:
    node.scripts["train"] = [fj.job("running", fj.running(checkpoints=()))]
    assert "No checkpoints yet" in out_of("checkpoints", "train")
    node.scripts["train"] = [
        fj.job("running", fj.running(0), fj.running(1, checkpoints=(fj.checkpoint(7, 300),)))
    ]
    assert out_of("checkpoints", "train").splitlines() == [
        "SHARD  NUMBER  LABEL        STEP     SIZE  MADE                 WORKER",
        f"    0       1  step-120  120/500  3.0 MiB  2023-11-14 22:14:20  {fj.BOB[-8:]}",
        f"    1       7  step-300  300/500  3.0 MiB  2023-11-14 22:14:20  {fj.BOB[-8:]}",
    ]
    rows = json.loads(out_of("checkpoints", "train", "--json"))["checkpoints"]
    assert [(row["shard"], row["sequence"]) for row in rows] == [(0, 1), (1, 7)]
