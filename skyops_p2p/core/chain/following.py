"""Which events may be handed out: those of blocks so deep that no reorganisation takes them back.

A follower holds events until they are deep enough instead of giving them back later: whoever acts on an event (pays,
runs a job) cannot undo that. The price is a delay of `confirmations` blocks. Its checkpoint names the last block whose
events were handed out by number and hash. If that block is gone, a reorganisation was deeper than allowed for, and
the follower stops with `reorg_too_deep`: a person has to look.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from skyops_p2p import limits
from skyops_p2p.core.chain.facts import Block, Log, LogFilter
from skyops_p2p.errors import ChainError


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The last block whose events were handed out."""

    number: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class LogBatch:
    """The events of some blocks, in order."""

    logs: tuple[Log, ...]
    checkpoint: Checkpoint
    """Where the follower is once they are dealt with."""


def next_range(checkpoint: Checkpoint, head_number: int, *, confirmations: int) -> tuple[int, int] | None:
    """Return the first and last block whose events may be asked for now, or None.

    Args:
        checkpoint: Where the follower is.
        head_number: The chain's last block.
        confirmations: Blocks above an event's own that make it final, 0 to CHAIN_REORG_BLOCKS_MAX.
    """
    last = min(head_number - confirmations, checkpoint.number + limits.CHAIN_LOG_BLOCKS_MAX)
    return (checkpoint.number + 1, last) if last > checkpoint.number else None


def check_checkpoint(checkpoint: Checkpoint, block: Block | None) -> None:
    """Check that the chain still has the checkpoint's block.

    Raises:
        ChainError: `reorg_too_deep`.
    """
    if block is None or block.hash != checkpoint.hash:
        raise ChainError(
            f"block {checkpoint.number}, whose events were handed out, is no longer in the chain",
            code="reorg_too_deep",
            hint="The chain was reorganised deeper than chain.confirmations, or begun anew. Check the endpoint first.",
        )


def check_logs(logs: Sequence[Log], wanted: LogFilter, first: int, last: int) -> None:
    """Check that an answer has nothing that was not asked for, in order and once.

    Raises:
        ChainError: `rpc_lied`.
    """
    places = [(log.block_number, log.index) for log in logs]
    is_in_order = all(earlier < later for earlier, later in itertools.pairwise(places))
    if not is_in_order or not all(wanted.admits(log) and first <= log.block_number <= last for log in logs):
        raise ChainError("the endpoint gave events that were not asked for", code="rpc_lied")


def blocks_to_check(logs: Sequence[Log]) -> dict[int, bytes]:
    """Return {number: hash} of the blocks that events claim to be in.

    Raises:
        ChainError: `rpc_lied`: one number with two hashes.
    """
    claimed: dict[int, bytes] = {}
    for log in logs:
        if claimed.setdefault(log.block_number, log.block_hash) != log.block_hash:
            raise ChainError(f"two blocks have the number {log.block_number}", code="rpc_lied")
    return claimed
