"""What happens when: one heap of due callbacks, delivered in batches by one task.

Time is counted in ticks. Rounding up to a tick lets one wake-up of the scheduler deliver everything that is due,
which is what makes a thousand nodes affordable; callbacks of one tick run in the order in which they were added.
"""

from collections.abc import Callable
from heapq import heappop, heappush
from math import ceil
from typing import Any

import trio

TICK_S = 0.001
"""Resolution of simulated links: a millisecond, far below any WAN latency."""


class DueQueue:
    """A heap of (tick, number, callback). Callbacks are synchronous, quick, and their exceptions end the world.

    Args:
        tick_s: Resolution in seconds.
    """

    def __init__(self, *, tick_s: float = TICK_S) -> None:
        self._tick_s = tick_s
        self._heap: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = 0
        self._wake = trio.Event()
        self.delivered = 0
        """Callbacks run since the start."""

    def __len__(self) -> int:
        return len(self._heap)

    def after(self, delay_s: float, callback: Callable[..., None], *args: Any) -> float:
        """Run a callback once, at least one tick from now.

        Returns:
            The instant at which it will run, seconds on trio's clock.
        """
        return self.at(trio.current_time() + delay_s, callback, *args)

    def at(self, instant: float, callback: Callable[..., None], *args: Any) -> float:
        """Run a callback once at an instant; one that has passed means the next tick."""
        tick = max(ceil(instant / self._tick_s - 1e-6), self._now_tick() + 1)
        if not self._heap or tick < self._heap[0][0]:
            self._wake.set()
        heappush(self._heap, (tick, self._count, callback, args))
        self._count += 1
        return tick * self._tick_s

    async def run(self) -> None:
        """Deliver for ever; the owner cancels."""
        while True:
            self._wake = trio.Event()
            deadline = self._heap[0][0] * self._tick_s if self._heap else float("inf")
            with trio.move_on_at(deadline):
                await self._wake.wait()
            self._deliver_due()

    def _deliver_due(self) -> None:
        now_tick = self._now_tick()
        while self._heap and self._heap[0][0] <= now_tick:
            _, _, callback, args = heappop(self._heap)
            callback(*args)
            self.delivered += 1

    def _now_tick(self) -> int:
        # The mock clock stops at float deadlines: a thousandth of a tick absorbs their rounding.
        return int(trio.current_time() / self._tick_s + 1e-3)
