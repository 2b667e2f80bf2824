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
