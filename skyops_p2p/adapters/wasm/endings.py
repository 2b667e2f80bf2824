"""How a program ended, in one sentence, from what its child said, what its process did, and what we did. Pure."""

from dataclasses import dataclass
from typing import Any

from skyops_p2p.ports import ExitKind, SandboxExit, SandboxLimits

_INTERRUPTED = "interrupted"
"""What a child says of a module that it ended for us."""


@dataclass(frozen=True, slots=True)
class Facts:
    """All that is known."""

    limits: SandboxLimits
    cause: ExitKind | None
    """Why we ended it ourselves; None if we did not."""
    told: dict[str, Any] | None
    """What the child said of the module's end; None if it said nothing."""
    failure: str
    """What the child said of a failure of its own."""
    status: int | None
    """Exit status of the process, negative for a signal; None if nobody saw its end."""


def tell_end(facts: Facts) -> SandboxExit:
    """Tell how it ended; what a child says is checked, because foreign code ran in it."""
    if facts.cause is not None:
        return SandboxExit(facts.cause, None, None, _sentence(facts.cause, facts.limits, ""))
    if facts.told is None:
        return SandboxExit(ExitKind.LOST, None, None, f"the runtime failed: {_lost(facts)}")
    try:
        kind = ExitKind(facts.told.get("kind"))
    except ValueError:
        return SandboxExit(ExitKind.LOST, None, None, "the runtime failed: it said what makes no sense")
    code = facts.told.get("code")
    if kind is ExitKind.EXITED:
        code = code if isinstance(code, int) and 0 <= code <= 255 else 255
        return SandboxExit(kind, code, None, f"ended by itself with code {code}")
    return SandboxExit(kind, None, None, _sentence(kind, facts.limits, str(facts.told.get("text", ""))))


def _sentence(kind: ExitKind, limits: SandboxLimits, text: str) -> str:
    sentences = {
        ExitKind.TIMED_OUT: f"ran longer than its limit of {limits.wall_s:g} s",
        ExitKind.OUT_OF_MEMORY: f"ran out of memory (limit {_mib(limits.memory_bytes)})",
        ExitKind.OUT_OF_DISK: f"used more disk than its limit of {_mib(limits.disk_bytes)}",
        ExitKind.OUT_OF_FUEL: f"used up its {limits.fuel_max} instructions",
        ExitKind.TRAPPED: f"trapped: {text}",
        ExitKind.NOT_STARTED: f"could not be started: {text}",
        ExitKind.STOPPED: "was stopped",
    }
    return sentences.get(kind, kind.value)


def _lost(facts: Facts) -> str:
    if facts.failure:
        return facts.failure
    if facts.status is None:
        return "the process that starts wasm jobs is gone"
    if facts.status < 0:
        return f"its process was killed by signal {-facts.status} from outside"
    return f"its process ended with status {facts.status} without a word"


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / (1 << 20):g} MiB"
