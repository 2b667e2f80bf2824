"""Wall clocks that go wrong: each node's Unix time over the world's one virtual monotonic clock.

Source of the fault kinds (offset, drift, step): tigerbeetle, `src/testing/time.zig`.
"""

from collections.abc import Callable

import trio

from skyops_p2p.types import UnixMs

EPOCH_UNIX_MS = UnixMs(1_767_225_600_000)
"""The instant at which every world begins: 2026-01-01T00:00:00Z."""


class SimClock:
    """ports.WallClock of one simulated node.

    Args:
        monotonic: The world's clock, seconds since its start.
        offset_ms: How far this clock is ahead (or behind, if negative) at the start.
        drift_ppm: Microseconds that it gains in each second.
    """

    def __init__(
        self,
        monotonic: Callable[[], float] = trio.current_time,
        *,
        offset_ms: int = 0,
        drift_ppm: float = 0.0,
    ) -> None:
        self._monotonic = monotonic
        self._offset_ms = offset_ms
        self._drift = drift_ppm / 1_000_000

    def now_ms(self) -> UnixMs:
        """Milliseconds since 1970, as this node believes."""
        true_ms = self._monotonic() * 1000
        return UnixMs(EPOCH_UNIX_MS + round(true_ms * (1 + self._drift)) + self._offset_ms)

    def error_ms(self) -> int:
        """Return how far this clock is ahead of the truth."""
        return self.now_ms() - EPOCH_UNIX_MS - round(self._monotonic() * 1000)

    def step(self, delta_ms: int) -> None:
        """Jump, as a clock does when its owner or NTP sets it."""
        self._offset_ms += delta_ms
