"""`logs`, as it looks."""

import json

import pytest

from skyops_p2p.cli.main import run_main
from tests.gateway import fake_jobs as fj
from tests.unit.cli.fake_client import ScriptedJobs

Capture = pytest.CaptureFixture[str]
EVIL = "\x1b[2Jevil"


def run(*arguments: object) -> int:
    return run_main([str(argument) for argument in arguments])


def test_logs_go_where_the_program_sent_them(node: ScriptedJobs, capsys: Capture) -> None:
    node.scripts["train"] = [fj.job("running", fj.running())]
    node.lines = [
        fj.line("step 1"),
        fj.line("oops", stream="stderr"),
        fj.line("the program ended", stream="skyops"),
        fj.line(f"{EVIL}\x07"),
    ]
    assert run("logs", "train") == 0
    shown = capsys.readouterr()
    assert shown.out == "step 1\n\\x1b[2Jevil\\x07\n"
    assert shown.err == "oops\nskyops: the program ended\n"
    assert node.calls[-1] == ("logs", "train", False, None, False)


def test_logs_with_times_and_shards(node: ScriptedJobs, capsys: Capture) -> None:
    node.scripts["sweep"] = [fj.job("running", fj.running(0), fj.running(1), name="sweep")]
    node.lines = [fj.line("step 1", shard=1)]
    assert run("logs", "-f", "-t", "sweep") == 0
    assert capsys.readouterr().out == "2023-11-14 22:13:21 1| step 1\n"
    assert run("logs", "sweep", "--shard", "1") == 0
    assert capsys.readouterr().out == "step 1\n"
    assert node.calls[-1] == ("logs", "sweep", False, 1, False)


def test_raw_logs_are_passed_through(node: ScriptedJobs, capsys: Capture) -> None:
    node.scripts["train"] = [fj.job("running", fj.running())]
    node.lines = [fj.line("a\x1b[1mb"), fj.line("c\n")]
    assert run("logs", "--raw", "train") == 0
    assert node.calls[-1] == ("logs", "train", False, None, True)
    assert capsys.readouterr().out == "abc\n"  # click takes the colours out where there is no terminal


def test_logs_as_json_are_one_object_a_line(node: ScriptedJobs, capsys: Capture) -> None:
    node.lines = [fj.line("one"), fj.line(EVIL, 1)]
    assert run("logs", "--json", "train") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["text"] for line in lines] == ["one", EVIL]
    assert "\x1b" not in "".join(lines)
