"""A node that plays scripts instead of answering, and a command's output."""

import time
from collections.abc import Callable

import pytest

from skyops_p2p.cli.main import run_main
from tests.gateway import fake_jobs as fj
from tests.unit.cli.fake_client import ScriptedJobs, stand_in_front


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> ScriptedJobs:
    monkeypatch.setattr(time, "time", lambda: fj.SUBMITTED_UNIX_MS / 1000 + 133)
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    return stand_in_front(monkeypatch)


@pytest.fixture
def out_of(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def run_it(*arguments: object) -> str:
        assert run_main([str(argument) for argument in arguments]) == 0
        return capsys.readouterr().out

    return run_it
