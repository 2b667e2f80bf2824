"""What a run has used besides time, as bills and earnings show it: figures of its worker, which nobody is charged for.

Only a worker can see its GPUs, its processes and its disk. While the run goes on its beats say what was used; its
ResultReceipt says it under its signature. What was moved follows from the sizes of inputs, outputs and logs, which both
sides have named to each other. Spec: protocol/07-settlement.md, SET-29.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from skyops_p2p.wire.messages.execution import InputPart, ResultReceipt, UsagePart
from skyops_p2p.wire.model import Count, N, Part


class LaneUsagePart(Part):
    """The figures in the journal."""

    told: Annotated[UsagePart, N(1)]
    moved_bytes: Annotated[Count, N(2)]
    is_signed: Annotated[bool, N(3)]


@dataclass(frozen=True, slots=True)
class LaneUsage:
    """What a run has used so far, or in all."""

    told: UsagePart
    """By the worker."""
    moved_bytes: int = 0
    """Plaintext of inputs, outputs and logs."""
    is_signed: bool = False
    """It stands in the ResultReceipt; else a beat has said it."""

    @classmethod
    def of_part(cls, part: LaneUsagePart) -> "LaneUsage":
        """Read it from the journal."""
        return cls(part.told, part.moved_bytes, part.is_signed)

    def part(self) -> LaneUsagePart:
        """Return it for the journal."""
        return LaneUsagePart(told=self.told, moved_bytes=self.moved_bytes, is_signed=self.is_signed)


def signed_usage(receipt: ResultReceipt, inputs: Iterable[InputPart]) -> LaneUsage:
    """Return what a run has used in all: both sides come to the same."""
    bundles = [one.bundle for one in inputs]
    bundles += [one for one in (receipt.outputs, receipt.logs) if one is not None]
    return LaneUsage(receipt.usage, sum(one.size_bytes for one in bundles), is_signed=True)


def told_usage(told: UsagePart, inputs: Iterable[InputPart]) -> LaneUsage:
    """Return what a run has used so far, as a beat says it; its inputs are there by then."""
    return LaneUsage(told, sum(one.bundle.size_bytes for one in inputs))
