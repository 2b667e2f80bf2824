"""A bounded set of dated things: the newest stay, whatever the order in which they came. Pure."""

import heapq
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")
_STALE_MAX = 64
"""Dates of what is gone that are kept beside as many as there are things."""


class Newest(Generic[T]):
    """At most `size_max` things by name; at the limit the oldest goes, or what is older than all is not taken.

    Args:
        size_max: At least 1.
    """

    def __init__(self, size_max: int) -> None:
        self._size_max = size_max
        self._items: dict[bytes, T] = {}
        self._dates: list[tuple[int, bytes]] = []
        """A heap of (Unix milliseconds, name): all that is there, and some that was taken out."""

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[T]:
        return iter(self._items.values())

    def get(self, name: bytes) -> T | None:
        """Return the thing of a name."""
        return self._items.get(name)

    def put(self, name: bytes, unix_ms: int, item: T) -> tuple[bool, T | None]:
        """Put a thing in, or another in its place if its name is there; its date must be the same then.

        Returns:
            Whether it is in, and what had to leave for it.
        """
        if name in self._items:
            self._items[name] = item
            return True, None
        date = (unix_ms, name)
        self._drop_stale()
        if len(self._items) < self._size_max:
            heapq.heappush(self._dates, date)
            self._items[name] = item
            return True, None
        if date < self._dates[0]:
            return False, None
        _, oldest = heapq.heapreplace(self._dates, date)
        gone = self._items.pop(oldest)
        self._items[name] = item
        return True, gone

    def discard(self, name: bytes) -> None:
        """Take a thing out."""
        self._items.pop(name, None)

    def _drop_stale(self) -> None:
        """Forget dates of what was taken out, as far as they would be in the way."""
        if len(self._dates) > 2 * len(self._items) + _STALE_MAX:
            self._dates = [date for date in self._dates if date[1] in self._items]
            heapq.heapify(self._dates)
        while self._dates and self._dates[0][1] not in self._items:
            heapq.heappop(self._dates)
