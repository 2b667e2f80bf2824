"""Time and chance."""

from typing import Protocol

from skyops_p2p.types import UnixMs


class WallClock(Protocol):
    """Unix time. Monotonic time is trio's clock."""

    def now_ms(self) -> UnixMs:
        """Milliseconds since 1970."""


class Entropy(Protocol):
    """Randomness: the operating system's, or a seed's in a simulation."""

    def token(self, size_bytes: int) -> bytes:
        """Return `size_bytes` unpredictable bytes."""

    def uniform(self) -> float:
        """Return a number in [0, 1), for jitter; need not be unpredictable."""
