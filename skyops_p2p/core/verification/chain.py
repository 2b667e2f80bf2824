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
NO_STATE = bytes(32)
"""State root before the first step: nothing is there but the specification and its inputs."""


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


@dataclass(frozen=True, slots=True)
class ResultChain:
    """What one worker's signatures say of its way to a result."""

    saved: tuple[bytes, ...]
    """State roots after each stretch that it saved, 32 bytes each."""
    answer: bytes
    """Answer root, 32 bytes."""

    def roots(self, stretches: int) -> list[bytes]:
        """Return the state root after each of so many stretches: what has ended stays at its answer. Rules: VER-24."""
        return [*self.saved, *[self.answer] * (stretches - len(self.saved))]


def chain_of(stride: int, receipts: Sequence[CheckpointReceipt], answer: bytes) -> ResultChain:
    """Return the chain of one lease; a state's root is what the checkpoint's bundle is named by.

    Under one content key bundles of equal files have equal names, so they can be compared and fetched by them.

    Args:
        stride: Of the specification.
        receipts: Of all checkpoints of the lease, in order.
        answer: Answer root of its result, 32 bytes.

    Raises:
        LocalProtocolError: `chain_shape`: they are not after each stretch, one after the other.

    Rules: VER-19, VER-24.
    """
    reached = [receipt.done for receipt in receipts]
    if reached != [number * stride for number in range(1, len(receipts) + 1)]:
        raise LocalProtocolError(
            "the checkpoints are not those of the chain", code="chain_shape",
            hint="Save one after each stretch of steps, and keep them all.",
        )  # fmt: skip
    return ResultChain(tuple(state_root(receipt) for receipt in receipts), answer)


def state_root(receipt: CheckpointReceipt) -> bytes:
    """Return what a checkpoint's state is named by, 32 bytes: the digest in the CID of its bundle. Rules: VER-19."""
    return receipt.bundle.root[-32:]


def shape_of_results(origin: bytes, stride: int, *chains: ResultChain) -> ChainShape:
    """Return the shape that chains of results have in common: the longest, and the way to its end as one step more.

    Args:
        origin: Digest of the specification, 32 bytes.
        stride: Of the specification.
        chains: Of the results.

    Raises:
        LocalProtocolError: `chain_shape`.

    Rules: VER-24.
    """
    longest = max(len(chain.saved) for chain in chains)
    return ChainShape(origin, NO_STATE, longest * stride + 1, stride)
