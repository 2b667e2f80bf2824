"""Starts node processes that outlive us, and tells later what became of them."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from skyops_p2p.errors import TestnetError
from skyops_p2p.node.run_file import process_start

ProcessState = Literal["running", "stopped", "dead"]

FORKING_MODULE = "skyops_p2p.cli.forking"
"""Imports the program once and forks the nodes; a name, not an import, since it belongs to a layer above."""
FORKING_TIMEOUT_S = 300.0
"""It takes a second of CPU; more than a minute was seen on two cores with twenty programs at work."""
_POLL_S = 0.02


def start_detached(arguments: Sequence[str], *, log: Path) -> tuple[int, str]:
    """Start `skyops` in a session of its own, its output appended to a file.

    The caller's SKYOPS_* variables are not handed down: they are meant for the caller's own node.

    Returns:
        The process id and the kernel's start time of that process.
    """
    command = [sys.executable, "-P", "-m", "skyops_p2p", *arguments]
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    pid = os.posix_spawn(sys.executable, command, _environment(os.environ), file_actions=actions, setsid=True)
    return pid, process_start(pid) or "gone"


def start_many(orders: Sequence[tuple[Sequence[str], Path]]) -> list[tuple[int, str]]:
    """Start several `skyops` processes as `start_detached` does, importing the program only once.

    Args:
        orders: For each its arguments and its log.

    Raises:
        TestnetError: `node_died`, or `timed_out` after FORKING_TIMEOUT_S; then none of them is left.
    """
    if len(orders) == 1:
        return [start_detached(orders[0][0], log=orders[0][1])]
    lines = [json.dumps({"arguments": list(arguments), "log": str(log)}) for arguments, log in orders]
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-P", "-m", FORKING_MODULE],
            input="\n".join(lines),
            env=_environment(os.environ),
            capture_output=True,
            text=True,
            timeout=FORKING_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        _end_half_started(late.stdout or b"")
        raise TestnetError(
            f"{len(orders)} nodes could not be started within {FORKING_TIMEOUT_S:g} s",
            code="timed_out",
            hint="The machine has too much other work; try again when it has less, or with fewer nodes.",
        ) from late
    pids = [int(line) for line in done.stdout.split()]
    if done.returncode or len(pids) != len(orders):
        raise TestnetError(f"the nodes could not be started: {done.stderr.strip()[-500:]}", code="node_died")
    return [(pid, process_start(pid) or "gone") for pid in pids]


def _end_half_started(told: bytes) -> None:
    """Kill the nodes that were started before their starter was given up."""
    for pid in (int(line) for line in told.splitlines(keepends=True) if line.endswith(b"\n")):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def state_of(pid: int, start: str) -> ProcessState:
    """Return whether a process that we started runs, is stopped by a signal, or is gone."""
    if pid <= 0:
        return "dead"
    _reap(pid)
    if process_start(pid) != start:
        return "dead"
    return "stopped" if _letter(pid) in "Tt" else "running"


def send_signal(pid: int, start: str, number: signal.Signals) -> bool:
    """Send a signal unless the process is gone; tell whether it was there."""
    if state_of(pid, start) == "dead":
        return False
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def wait_state(processes: Sequence[tuple[int, str]], state: ProcessState, *, timeout_s: float) -> bool:
    """Wait until all are in a state (signals act a little later); False if some are not after `timeout_s` seconds."""
    deadline = time.monotonic() + timeout_s
    while any(state_of(pid, start) != state for pid, start in processes):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def _environment(current: Mapping[str, str]) -> dict[str, str]:
    environment = {name: value for name, value in current.items() if not name.startswith("SKYOPS_")}
    # The child must find this very package, also when it is not installed.
    package_root = str(Path(__file__).resolve().parents[2])
    paths = [package_root, *filter(None, [environment.get("PYTHONPATH")])]
    environment["PYTHONPATH"] = os.pathsep.join(paths)
    environment["PYTHONUNBUFFERED"] = "1"
    return environment


def _reap(pid: int) -> None:
    """Collect the exit status if the process is our own child, so that no zombie stays."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _letter(pid: int) -> str:
    """Return the kernel's letter for the state of a process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return "X"
    return text.rpartition(")")[2].split()[0]
