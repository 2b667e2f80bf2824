"""Meters: what one side has counted since a lane began, and whether two sides agree. Pure.

Only the runtime is charged, the smaller count of the two; the others are evidence and keep both honest.
Spec: protocol/07-settlement.md, "Meters".
"""

from dataclasses import dataclass, fields

from skyops_p2p import limits
from skyops_p2p.core.settlement.prices import BP
from skyops_p2p.wire.messages.settlement import CountsPart


@dataclass(frozen=True, slots=True)
class Counts:
    """Totals since the lane began; 0 where a side does not meter that."""

    runtime_ms: int = 0
    gpu_ms: int = 0
    """Integral of the devices' utilisation."""
    cpu_ms: int = 0
    memory_mib_s: int = 0
    moved_bytes: int = 0

    @classmethod
    def of(cls, part: CountsPart) -> "Counts":
        """Read them from a message."""
        return cls(*(getattr(part, field.name) for field in fields(cls)))

    def part(self) -> CountsPart:
        """Write them into a message."""
        return CountsPart(**{field.name: getattr(self, field.name) for field in fields(self)})

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(*(mine + theirs for mine, theirs in self._beside(other)))

    def _beside(self, other: "Counts") -> list[tuple[int, int]]:
        return [(getattr(self, field.name), getattr(other, field.name)) for field in fields(self)]


NOTHING = Counts()
_SLACK = Counts(
    limits.METER_APART_MS,
    16 * limits.METER_APART_MS,
    256 * limits.METER_APART_MS,
    limits.METER_APART_MIB_S,
    limits.METER_APART_BYTES,
)
"""What a machine of 16 devices and 256 cores uses between two readings; of the runtime, that alone."""


def later(first: Counts, second: Counts) -> Counts:
    """Return the larger of each: totals never fall."""
    return Counts(*(max(pair) for pair in first._beside(second)))


def smaller(first: Counts, second: Counts) -> Counts:
    """Return the smaller of each: what counts. Rules: SET-6."""
    return Counts(*(min(pair) for pair in first._beside(second)))


def are_apart(first: Counts, second: Counts) -> bool:
    """Tell whether two sides' totals differ by more than 2 % and by more than two readings explain. Rules: SET-6.

    What one side does not meter is not compared, but for the runtime.
    """
    slacks = (getattr(_SLACK, field.name) for field in fields(Counts))
    for (mine, theirs), slack, name in zip(
        first._beside(second), slacks, (field.name for field in fields(Counts)), strict=True
    ):
        if name != "runtime_ms" and not (mine and theirs):
            continue
        gap = abs(mine - theirs)
        if gap > slack and gap * BP > max(mine, theirs) * limits.METER_APART_BPS:
            return True
    return False
