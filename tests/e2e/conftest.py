"""Running `skyops` as a person does: a process with arguments, an exit code and text."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 240.0
"""For one command: whole networks come up in some seconds on a quiet machine. What hangs ends with its name."""


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str


@pytest.fixture
def skyops(own_home: Path) -> Callable[..., Ran]:
    """Run one command to its end."""

    def run(*arguments: str, timeout_s: float = PATIENCE_S, **environment: str) -> Ran:
        done = subprocess.run(
            [sys.executable, "-m", "skyops_p2p", *arguments],
            cwd=ROOT,
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def start_skyops(own_home: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start commands that go on, and end those that are left."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "skyops_p2p", *arguments],
            cwd=ROOT,
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def wait_until(condition: Callable[[], bool], *, what: str, timeout_s: float = PATIENCE_S) -> None:
    """Wait for a condition; fail the test if it does not come true."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"after {timeout_s} s it is still not so that {what}"
        time.sleep(0.05)
