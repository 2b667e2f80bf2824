"""The clock and the randomness of the operating system."""

import secrets
import time

from skyops_p2p.types import UnixMs

__all__ = ["SystemClock", "SystemEntropy"]


class SystemClock:
    """Implements ports.WallClock. It may jump either way when the machine's clock is set."""

    def now_ms(self) -> UnixMs:
        """Milliseconds since 1970."""
        return UnixMs(time.time_ns() // 1_000_000)


class SystemEntropy:
    """Implements ports.Entropy with the kernel's generator."""

    def __init__(self) -> None:
        self._random = secrets.SystemRandom()

    def token(self, size_bytes: int) -> bytes:
        """Return `size_bytes` unpredictable bytes."""
        return secrets.token_bytes(size_bytes)

    def uniform(self) -> float:
        """Return a number in [0, 1)."""
        return self._random.random()
