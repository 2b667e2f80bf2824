"""From an exit code and what else is known to how a program ended, in one sentence."""

import signal
from dataclasses import dataclass

from skyops_p2p.ports import ExitKind, SandboxExit, SandboxLimits

_SIGNAL_BASE = 128
"""Shells, bubblewrap and container engines all report the signal n as exit code 128 + n."""
_SIGNALS_MAX = 64


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What is known of an end beside the exit code."""

    limits: SandboxLimits
    cause: ExitKind | None
    """Why we ended it ourselves; None if we did not."""
    killed_for_memory: bool
    """The kernel killed one of its processes because of the memory limit."""
    is_disk_full: bool
    dropped_bytes: int


def tell_end(code: int, known: Circumstances) -> SandboxExit:
    """Tell how it ended.

    Args:
        code: 0 to 255, with signals as 128 + n.
        known: Everything else.
    """
    if known.cause is not None:
        return _told(known.cause, _sentence(known.cause, known.limits), known)
    number = code - _SIGNAL_BASE if _SIGNAL_BASE < code <= _SIGNAL_BASE + _SIGNALS_MAX else None
    if known.killed_for_memory and code != 0:
        return _told(ExitKind.OUT_OF_MEMORY, _sentence(ExitKind.OUT_OF_MEMORY, known.limits), known)
    if number == signal.SIGXFSZ:
        text = f"wrote a file past its limit of {_mib(known.limits.file_bytes_max)}"
        return _told(ExitKind.OUT_OF_DISK, text, known)
    if number is not None:
        return SandboxExit(ExitKind.SIGNALLED, None, number, _signal_sentence(number), known.dropped_bytes)
    if code != 0 and known.is_disk_full:
        text = f"ended with code {code} when its disk was full (limit {_mib(known.limits.disk_bytes)})"
        return _told(ExitKind.OUT_OF_DISK, text, known)
    text = f"ended by itself with code {code}"
    if known.killed_for_memory:
        text += f", though a process of it ran out of memory (limit {_mib(known.limits.memory_bytes)})"
    return SandboxExit(ExitKind.EXITED, code, None, text, known.dropped_bytes)


def not_started(reason: str, *, dropped_bytes: int = 0) -> SandboxExit:
    """Tell that the program could not be executed."""
    return SandboxExit(ExitKind.NOT_STARTED, None, None, f"could not be started: {reason}", dropped_bytes)


def lost(reason: str, *, dropped_bytes: int = 0) -> SandboxExit:
    """Tell that the runtime failed."""
    return SandboxExit(ExitKind.LOST, None, None, f"the runtime failed: {reason}", dropped_bytes)


def _told(kind: ExitKind, text: str, known: Circumstances) -> SandboxExit:
    return SandboxExit(kind, None, None, text, known.dropped_bytes)


def _sentence(kind: ExitKind, limits: SandboxLimits) -> str:
    if kind is ExitKind.TIMED_OUT:
        return f"ran longer than its limit of {limits.wall_s:g} s"
    if kind is ExitKind.OUT_OF_DISK:
        return f"used more disk than its limit of {_mib(limits.disk_bytes)}"
    if kind is ExitKind.OUT_OF_MEMORY:
        return f"ran out of memory (limit {_mib(limits.memory_bytes)})"
    return "was stopped"


def _signal_sentence(number: int) -> str:
    if number == signal.SIGSYS:
        return "was killed for a system call that is not allowed (SIGSYS)"
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    return f"was killed by {name} ({signal.strsignal(number) or 'unknown'})"


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / (1 << 20):g} MiB"
