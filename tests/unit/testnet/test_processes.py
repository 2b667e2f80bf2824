"""Nodes that could not be started in time: none is left, and it is said."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from skyops_p2p.errors import TestnetError
from skyops_p2p.testnet import processes


def test_a_start_that_takes_too_long_ends_what_it_has_started(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[tuple[int, int]] = []

    def never(*_arguments: object, **_more: object) -> None:
        raise subprocess.TimeoutExpired("start", 1.0, output=b"101\n102\n10")

    def kill(pid: int, number: int) -> None:
        ended.append((pid, number))
        if pid == 101:
            raise ProcessLookupError

    monkeypatch.setattr(subprocess, "run", never)
    monkeypatch.setattr(os, "kill", kill)
    with pytest.raises(TestnetError) as caught:
        processes.start_many([(["run"], Path("a")), (["run"], Path("b")), (["run"], Path("c"))])
    assert caught.value.code == "timed_out"
    assert ended == [(101, signal.SIGKILL), (102, signal.SIGKILL)]  # of the third only half a number was told


def test_a_module_in_the_folder_where_it_is_started_is_not_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "click.py").write_text("print('not yours')\nraise SystemExit(3)\n")
    monkeypatch.chdir(tmp_path)
    log = tmp_path / "log"
    pid, start = processes.start_detached(["--version"], log=log)
    assert processes.wait_state([(pid, start)], "dead", timeout_s=60.0)
    assert log.read_text().startswith("skyops ")
