"""A chain of states: what a deterministic program had reached after each stretch of its steps, under one hash. Pure.

Two chains that differ somewhere differ ever after, so the first difference can be searched for. Source of the idea:
Verde and Truebit (refereed delegation). Spec: protocol/06-verification.md, "Chain".
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from skyops_p2p import limits
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.errors import LocalProtocolError
from skyops_p2p.wire.messages.execution import CheckpointReceipt

_DOMAIN = b"skyops/chain/1"


@dataclass(frozen=True, slots=True)
class ChainShape:
    """What both sides know of a chain before anybody computes."""

    origin: bytes
    """What the work is, 32 bytes: the digest of the specification. It stands for the head before the first stretch."""
    start: bytes
    """State root before the first step, 32 bytes."""
    total: int
    """Steps in all, at least 1."""
    stride: int
    """Steps of a stretch, at least 1; the last one may be shorter."""

    def __post_init__(self) -> None:
        if self.total < 1 or self.stride < 1 or self.stretches > limits.CHAIN_STRETCHES_MAX:
            raise LocalProtocolError(
                f"{self.total} steps by {self.stride} are no chain", code="chain_shape",
                hint="Save checkpoints less often.",
            )  # fmt: skip

    @property
    def stretches(self) -> int:
        """How many links the chain has."""
        return -(-self.total // self.stride)

    def steps(self, number: int) -> tuple[int, int]:
        """Return the first step of a stretch, and the one behind its last. Rules: VER-19.

        Args:
            number: From 1.
        """
        return (number - 1) * self.stride, min(number * self.stride, self.total)

    def head(self, number: int, previous: bytes, root: bytes) -> bytes:
        """Return the head after a stretch. Rules: VER-19.

        Args:
            number: Of the stretch, from 1.
            previous: Head before it; `origin` for the first.
            root: State root after it.
        """
        first, last = self.steps(number)
        return sha256(b"".join((_DOMAIN, previous, root, first.to_bytes(8, "big"), last.to_bytes(8, "big"))))

    def heads(self, roots: Iterable[bytes]) -> list[bytes]:
        """Return the head before the first stretch and after each. Rules: VER-19.

        Args:
            roots: State root after each stretch.
        """
        found = [self.origin]
        for number, root in enumerate(roots, 1):
            found.append(self.head(number, found[-1], root))
        return found


def roots_of_checkpoints(shape: ChainShape, receipts: Sequence[CheckpointReceipt]) -> list[bytes]:
    """Return the state roots that a worker's checkpoints claim: what their bundles are named by.

    Under one content key bundles of equal files have equal names, so they can be compared and fetched by them.

    Args:
        shape: Of the chain.
        receipts: Of all checkpoints, in order.

    Raises:
        LocalProtocolError: `chain_shape`: they are not after each stretch, one after the other.

    Rules: VER-19.
    """
    reached = [receipt.done for receipt in receipts]
    if reached != [shape.steps(number)[1] for number in range(1, shape.stretches + 1)]:
        raise LocalProtocolError(
            "the checkpoints are not those of the chain", code="chain_shape",
            hint="Save one after each stretch of steps, and count them as progress.",
        )  # fmt: skip
    return [receipt.bundle.root[-32:] for receipt in receipts]
