"""The fingerprint of a run: everything that was delivered or broken, in order, in one hash.

Two runs of one seed must have the same hash; where they differ, the last lines of both tell where to look.
"""

from collections import deque
from hashlib import blake2b

LINES_MAX = 256
"""Readable lines that are kept for the failure report."""


class Trace:
    """A rolling hash over (millisecond, what, from, to, detail), and the last lines in words."""

    def __init__(self) -> None:
        self._hash = blake2b(digest_size=16)
        self._lines: deque[tuple[float, str, int, int, int]] = deque(maxlen=LINES_MAX)
        self.count = 0
        """Entries since the start."""

    def note(self, at: float, what: str, source: int = -1, target: int = -1, *, detail: int = 0) -> None:
        """Add one entry.

        Args:
            at: Seconds on the world's clock.
            what: A short fixed word, e.g. "gossip".
            source: Number of the node that it came from; -1 for the world.
            target: Number of the node that it went to; -1 for none.
            detail: Anything else that must be the same, e.g. the CRC-32 of a payload.
        """
        self._hash.update(b"%d %s %d %d %d;" % (round(at * 1000), what.encode(), source, target, detail))
        self._lines.append((at, what, source, target, detail))
        self.count += 1

    def digest(self) -> str:
        """Return the fingerprint so far, 32 hex digits."""
        return self._hash.hexdigest()

    def lines(self) -> tuple[str, ...]:
        """Return the last entries as text, oldest first."""
        return tuple(
            f"{at:10.3f} {what:<12} {source:>5} -> {target:<5} {detail:08x}"
            for at, what, source, target, detail in self._lines
        )
