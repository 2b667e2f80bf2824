"""Find the last block at or before an instant, with few questions. Pure.

Blocks come about evenly, so the place is guessed from two known ones; every third guess halves the rest instead, so
that no chain takes more than BEACON_STEPS_MAX. Source: interpolation search, Peterson (1957).
"""

from skyops_p2p import limits
from skyops_p2p.core.chain.facts import Block
from skyops_p2p.errors import ChainError


class BlockSearch:
    """One search.

    Args:
        unix_s: The instant.
        first: Block 0.
        head: The last block.
    """

    def __init__(self, unix_s: int, *, first: Block, head: Block) -> None:
        self._unix_s = unix_s
        self._low, self._high = first, head
        self._steps = 0
        if head.timestamp_unix_s <= unix_s:
            self._low = head
        elif first.timestamp_unix_s > unix_s:
            self._high = first

    @property
    def wanted(self) -> int | None:
        """Number of the block to look at next; None: `found` is it."""
        low, high = self._low, self._high
        if high.number - low.number <= 1:
            return None
        if self._steps % 3 == 2:
            return (low.number + high.number) // 2
        span_s = high.timestamp_unix_s - low.timestamp_unix_s
        part = (self._unix_s - low.timestamp_unix_s) * (high.number - low.number) // max(span_s, 1)
        return min(max(low.number + part, low.number + 1), high.number - 1)

    @property
    def found(self) -> Block:
        """The last block at or before the instant; block 0 if there is none."""
        return self._low

    def take(self, block: Block) -> None:
        """Take the block that was wanted.

        Raises:
            ChainError: `chain_moved`: its time or its number does not fit the others; ask again later.
        """
        self._steps += 1
        low, high = self._low, self._high
        is_between = low.number < block.number < high.number
        is_in_order = low.timestamp_unix_s <= block.timestamp_unix_s <= high.timestamp_unix_s
        if not (is_between and is_in_order) or self._steps > limits.BEACON_STEPS_MAX:
            raise ChainError("blocks out of order", code="chain_moved")
        if block.timestamp_unix_s <= self._unix_s:
            self._low = block
        else:
            self._high = block
