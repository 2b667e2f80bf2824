"""`verdict`: what came of comparing results, written to a file, and checked where no node runs."""

import json
from pathlib import Path

import pytest

from skyops_p2p.cli.main import run_main
from skyops_p2p.node.control_client import ControlClient
from skyops_p2p.node.jobs.verdict_views import VerdictsView
from tests.gateway.fake_payments import FakePayments
from tests.unit.cli.fake_client import stand_in_front
from tests.vectors import stretch_examples
from tests.vectors.people import BOB, CAROL, MALLORY
from tests.vectors.verification_examples import Part, drawn_after, sealed_verdict

BOBS = Part(BOB)


def written(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    return str(path)


def decided() -> bytes:
    first, second = drawn_after(BOBS)[:2]
    return sealed_verdict([BOBS, Part(first), Part(second, output=2)])


def test_a_verdict_that_holds_is_told_with_who_was_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path / "one.verdict", decided())
    assert run_main(["verdict", "--check", path]) == 0
    out = capsys.readouterr().out
    assert "HOLDS" in out
    assert "wrong: not the result of the majority" in out
    assert "signatures alone" in out


def test_a_verdict_that_a_stretch_has_decided_says_which_steps_were_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # VER-25
    path = written(tmp_path / "one.verdict", stretch_examples.decided(stretch_examples.stretch()))
    assert run_main(["verdict", "--check", path]) == 0
    out = capsys.readouterr().out
    assert "the requester ran the steps where they part" in out
    assert "steps 20 to 30, run by the requester" in out
    assert "wrong: not what steps 20 to 30 come to" in out
    assert run_main(["verdict", "--check", path, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["stretch"]
    assert (found["number"], found["first_step"], found["last_step"]) == (3, 20, 30)
    assert found["state"] == stretch_examples.bundle(20).root.hex()


def test_a_verdict_that_was_changed_does_not_hold(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = decided()
    path = written(tmp_path / "one.verdict", data[:-1] + bytes([data[-1] ^ 1]))
    assert run_main(["verdict", "--check", path, "--json"]) == 13
    found = json.loads(capsys.readouterr().out)
    assert not found["holds"]
    assert found["findings"]


def test_a_verdict_without_an_answer_that_stands_is_no_success(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path / "one.verdict", sealed_verdict([BOBS, Part(CAROL, output=2)]))
    assert run_main(["verdict", "--check", path, "--json"]) == 13
    found = json.loads(capsys.readouterr().out)
    assert (found["holds"], found["outcome"], found["winner"]) == (True, "unresolved", None)
    assert run_main(["verdict", "--check", path]) == 13
    assert capsys.readouterr().out.count("shown; nobody can say whether it is right") == 2


def test_a_verdict_on_a_canary_says_whose_word_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # VER-30
    path = written(tmp_path / "one.verdict", sealed_verdict([BOBS], known=bytes(32)))
    assert run_main(["verdict", "--check", path]) == 13
    out = " ".join(capsys.readouterr().out.split())
    assert "decided: the requester has computed it, too; whose result is another one is named below" in out
    assert "the requester's word: its own run of the whole shard" in out
    assert "wrong: not what the requester came to" in out
    assert run_main(["verdict", "--check", path, "--json"]) == 13
    found = json.loads(capsys.readouterr().out)
    assert (found["holds"], found["winner"], found["known"]) == (True, None, bytes(32).hex())


def test_what_the_requester_did_not_sign_does_not_hold(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path / "one.verdict", sealed_verdict([BOBS, Part(CAROL)], who=MALLORY))
    assert run_main(["verdict", "--check", path]) == 13
    assert "DOES NOT HOLD" in capsys.readouterr().out


def test_verdicts_of_everybody_are_listed_and_shown_by_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in_front(monkeypatch)
    fake = FakePayments()
    monkeypatch.setattr(ControlClient, "payments", property(lambda _client: fake))
    (row,) = fake.verdicts().verdicts
    assert run_main(["verdict"]) == 0
    out = capsys.readouterr().out
    assert [text in out for text in (row.digest[:12], "decided", row.at_fault[0][:12], "1 held")] == [
        True
    ] * 4
    assert run_main(["verdict", "--name", row.digest[:6]]) == 0
    assert "wrong: not the result of the majority" in capsys.readouterr().out
    assert run_main(["verdict", "--name", "ffff0000"]) == 6
    assert run_main(["verdict", "--name", "no digits"]) == 2


def test_where_none_is_held_it_says_what_shows_those_of_ones_own_jobs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in_front(monkeypatch)
    fake = FakePayments()
    monkeypatch.setattr(fake, "verdicts", lambda: VerdictsView(held=0, verdicts=()))
    monkeypatch.setattr(ControlClient, "payments", property(lambda _client: fake))
    assert run_main(["verdict"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == "No verdict is held here that says something to others."
    assert second.startswith("`skyops verdict JOB` shows that of a job of your own")


@pytest.mark.parametrize("arguments", [["train", "--name", "abcd"], ["train", "--check", "."]])
def test_a_job_or_a_file_is_named(arguments: list[str]) -> None:
    assert run_main(["verdict", *arguments]) == 2
