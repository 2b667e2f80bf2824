"""Limits of a child process that hold even if the module should break out of its memory.

The first line is the engine: memory, stack and system interface of a module are its own. This is the second.
"""

import ctypes
import os
import resource
import signal
import sys
from pathlib import Path

from skyops_p2p import limits

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38


def die_with(parent_pid: int) -> None:
    """Have the kernel kill this process when the thread that forked it ends; also if it has ended already.

    Source: prctl(2). It works on stopped processes too.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        os._exit(1)


def confine(*, data_bytes_max: int, file_bytes_max: int, file_bytes_hard_max: int) -> None:
    """Set the limits of this process. Address space is left wide: memories reserve it without using it.

    Args:
        data_bytes_max: Private writable memory.
        file_bytes_max: One file; writes beyond fail with EFBIG.
        file_bytes_hard_max: What `file_bytes_max` may be raised to again, for a snapshot.
    """
    # The order matters to the kernel's killer: a job goes before the node that runs it.
    Path("/proc/self/oom_score_adj").write_text(str(limits.WASM_OOM_SCORE), encoding="ascii")
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (limits.WASM_FILES_MAX, limits.WASM_FILES_MAX))
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes_max, max(file_bytes_max, file_bytes_hard_max)))
    data = data_bytes_max + limits.WASM_CHILD_BYTES
    resource.setrlimit(resource.RLIMIT_DATA, (data, data))
    space = limits.WASM_ADDRESS_BYTES_MAX + data
    resource.setrlimit(resource.RLIMIT_AS, (space, space))
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _prctl(_PR_SET_DUMPABLE, 0)


def become(user: int | None) -> None:
    """Give up this process's user, and with it all privileges of root, for good; all threads of it.

    What is open stays open, and nothing below directories of the node can be opened any more.

    Args:
        user: User and group id; None: stay who we are.
    """
    if user is None:
        return
    parent = os.getppid()
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    # Both were reset by that: commit_creds() in the kernel's cred.c.
    die_with(parent)
    _prctl(_PR_SET_DUMPABLE, 0)


def set_file_limit(bytes_max: int) -> None:
    """Change the bound of one file, up to the hard one."""
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (min(bytes_max, hard), hard))


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        sys.stderr.write(f"prctl {option} failed: {os.strerror(ctypes.get_errno())}\n")
        os._exit(1)
