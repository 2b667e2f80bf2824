"""Installs Dask and Ray for comparison, each into an environment of its own below build/, and runs them."""

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench.tables import say

BUILD = Path(__file__).parents[2] / "build"
PROGRAM = Path(__file__).with_name("_scheduler.py")
PACKAGES = {"dask": "distributed", "ray": "ray"}
INSTALL_TIMEOUT_S = 900.0
RUN_TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True)
class SchedulerTimes:
    """What one scheduler needed."""

    name: str
    """With its version."""
    first_s: float
    """From nothing to the first result."""
    times_ms: list[float]
    """Of single tasks, one after the other."""
    per_s: float
    """Tasks a second when many are given at once."""


def measure(kind: str, tasks: int) -> SchedulerTimes | None:
    """Time one; None, and a sentence that says why, if it cannot be had here.

    Args:
        kind: "dask" or "ray".
        tasks: How many, one after the other; four times as many at once.
    """
    try:
        python = _installed(kind)
        # -P: a benchmark beside the program has the name of a standard module.
        # Ray's sockets lie below it, and their paths may not be long.
        with tempfile.TemporaryDirectory(prefix="s-", dir="/tmp") as folder:
            done = subprocess.run(
                [python, "-P", PROGRAM, kind, str(tasks), folder],
                capture_output=True,
                text=True,
                timeout=RUN_TIMEOUT_S,
                check=True,
            )
        found = json.loads(done.stdout.splitlines()[-1])
    except (subprocess.SubprocessError, OSError, ValueError, IndexError) as error:
        told = str(getattr(error, "stderr", "") or error).strip().splitlines()
        say(f"{kind} is left out: {told[-1] if told else error!r}")
        return None
    return SchedulerTimes(_named(kind, python), found["first_s"], found["times_ms"], found["per_s"])


def _installed(kind: str) -> Path:
    """Return the Python of an environment with the package, made when it is first needed."""
    place = BUILD / f"{kind}-peer"
    python = place / "bin" / "python"
    if not (place / "installed").exists():
        say(f"installing {PACKAGES[kind]} into build/")
        subprocess.run([sys.executable, "-m", "venv", "--clear", place], check=True, capture_output=True)
        subprocess.run(
            [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", PACKAGES[kind]],
            check=True,
            capture_output=True,
            text=True,
            timeout=INSTALL_TIMEOUT_S,
        )
        (place / "installed").touch()
    return python


def _named(kind: str, python: Path) -> str:
    ask = f"import importlib.metadata as m; print(m.version({PACKAGES[kind]!r}))"
    version = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True).stdout.strip()
    return f"{'Dask' if kind == 'dask' else 'Ray'} {version}"
