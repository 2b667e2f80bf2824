"""Starts bubblewrap through the launcher, and talks to what came up: its main process, its end.

Bubblewrap dies with the thread that started it (PR_SET_PDEATHSIG is the thread's affair, not the process's), so it
is started from trio's own thread and not from a pool whose threads come and go: a few milliseconds for fork and exec.
That it dies with us is the point: a killed node leaves no program behind.
"""

import contextlib
import json
import marshal
import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import trio

from skyops_p2p import limits
from skyops_p2p.adapters.confine.hierarchies import lines_of, word_of

_LAUNCHER = Path(__file__).with_name("launch.py")
_STAGES = ("/run", "/tmp", "/mnt")  # noqa: S108 - covered by a tmpfs of the launcher's own mount namespace
_STATUS_BYTES_MAX = 4096


@dataclass(frozen=True, slots=True)
class LaunchPlan:
    """What the launcher does before bubblewrap."""

    bubblewrap: str
    options: bytes
    """For `--args`."""
    command: tuple[str, ...]
    seccomp: bytes
    join: tuple[Path, ...]
    rlimits: Mapping[str, int]
    stage: str
    """Empty: without root there is nothing to stage and no other user to become."""
    sources: Mapping[str, str]
    user: int | None


def find_stage() -> str:
    """Return a directory over which the launcher may mount."""
    return next(place for place in _STAGES if Path(place).is_dir() and not Path(place).is_symlink())


class BubblewrapProcess:
    """One bubblewrap with its program; close it exactly once, after its end."""

    def __init__(self, plan: LaunchPlan) -> None:
        with contextlib.ExitStack() as opened:

            def memory_file(content: bytes) -> int:
                descriptor = os.memfd_create("skyops")
                opened.callback(os.close, descriptor)
                os.write(descriptor, content)
                os.lseek(descriptor, 0, os.SEEK_SET)
                return descriptor

            status_read, status_write = os.pipe()
            opened.callback(os.close, status_write)
            arguments, seccomp = memory_file(plan.options), memory_file(plan.seccomp)
            words = [plan.bubblewrap, "--args", str(arguments), "--seccomp", str(seccomp)]
            words += ["--json-status-fd", str(status_write), "--", *plan.command]
            instructions = memory_file(_instructions(plan, words))
            self.status_file = status_read
            try:
                self._process = subprocess.Popen(  # noqa: S603 - our own launcher with our own interpreter
                    [sys.executable, "-I", "-S", str(_LAUNCHER), str(instructions)],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    bufsize=0,
                    env={},
                    cwd="/",
                    pass_fds=(instructions, arguments, seccomp, status_write),
                )
            except OSError:
                os.close(status_read)
                raise
        self._pidfd = os.pidfd_open(self._process.pid)
        self.child_pid: int | None = None
        """First process of its pid namespace, as this machine numbers it."""
        self.exit_code: int | None = None
        """Of the program; None if it was never started, or was ended together with bubblewrap."""

    @property
    def streams(self) -> dict[str, int]:
        """Return {"stdout": descriptor, "stderr": descriptor}, now the caller's to close."""
        out, err = self._process.stdout, self._process.stderr
        assert out is not None
        assert err is not None
        streams = {"stdout": os.dup(out.fileno()), "stderr": os.dup(err.fileno())}
        out.close()
        err.close()
        return streams

    @property
    def pid(self) -> int:
        """Of bubblewrap itself."""
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether bubblewrap is gone."""
        return bool(select.select([self._pidfd], [], [], 0)[0])

    async def wait(self) -> int:
        """Wait for bubblewrap's end and return its exit code, a signal n as -n."""
        await trio.lowlevel.wait_readable(self._pidfd)
        return self._process.wait()

    async def follow_status(self) -> None:
        """Read what bubblewrap says of its child, to the end."""
        told = b""
        async with trio.lowlevel.FdStream(self.status_file) as stream:
            async for data in stream:
                told = (told + data)[-_STATUS_BYTES_MAX:]
                self._note_status(told)

    def signal(self, number: int) -> bool:
        """Signal the program; return whether there is one already and still."""
        pid = self._main_pid()
        if pid is None:
            return False
        with contextlib.suppress(ProcessLookupError):
            descriptor = os.pidfd_open(pid)
            try:
                # Looked at again with the descriptor in hand: the number could have gone to another process.
                if self._main_pid() == pid:
                    signal.pidfd_send_signal(descriptor, number)
                    return True
            finally:
                os.close(descriptor)
        return False

    def kill(self) -> None:
        """End everything: the kernel takes a pid namespace down with its first process."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def close(self) -> None:
        """Let go of descriptors."""
        os.close(self._pidfd)

    def _main_pid(self) -> int | None:
        """Find the program among the children of the namespace's first process: there it is number 2."""
        if self.child_pid is None:
            return None
        for pid in word_of(Path(f"/proc/{self.child_pid}/task/{self.child_pid}/children")).split():
            for line in lines_of(Path(f"/proc/{pid}/status")):
                if line.startswith("NSpid:") and line.split()[-1] == "2":
                    return int(pid)
        return None

    def _note_status(self, told: bytes) -> None:
        for line in told.splitlines():
            with contextlib.suppress(ValueError):
                facts = json.loads(line)
                self.child_pid = facts.get("child-pid", self.child_pid)
                self.exit_code = facts.get("exit-code", self.exit_code)


def resource_limits(*, file_bytes_max: int, without: Mapping[str, int]) -> dict[str, int]:
    """Return the limits of each process.

    Args:
        file_bytes_max: The largest file that it may write.
        without: Those that stand in where control groups are missing.
    """
    return {
        "RLIMIT_CORE": 0,
        "RLIMIT_NOFILE": limits.SANDBOX_FILES_MAX,
        "RLIMIT_FSIZE": file_bytes_max,
        "RLIMIT_MEMLOCK": 64 * 1024,
        **without,
    }


def _instructions(plan: LaunchPlan, words: Sequence[str]) -> bytes:
    return marshal.dumps(
        {
            "join": [str(path) for path in plan.join],
            "rlimits": dict(plan.rlimits),
            "user": plan.user,
            "stage": plan.stage,
            "sources": dict(plan.sources),
            "command": list(words),
        }
    )
