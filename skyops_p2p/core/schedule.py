"""Named chores that come round at fixed intervals. Pure."""

from skyops_p2p.types import MonotonicS


class Schedule:
    """When each chore is due next; nothing is due before `start`.

    Args:
        intervals_s: Chore -> seconds between two turns.
    """

    def __init__(self, **intervals_s: float) -> None:
        self._intervals = intervals_s
        self._due: dict[str, MonotonicS] = {}

    def start(self, now: MonotonicS) -> None:
        """Make every chore due one interval from now."""
        self._due = {name: MonotonicS(now + interval) for name, interval in self._intervals.items()}

    def hasten(self, name: str, at: MonotonicS) -> None:
        """Make a chore due at `at` if it was due later."""
        if name in self._due:
            self._due[name] = min(self._due[name], at)

    def due(self, now: MonotonicS) -> frozenset[str]:
        """Return the chores whose time has come, and put each off by its interval."""
        names = frozenset(name for name, at in self._due.items() if at <= now)
        for name in names:
            self._due[name] = MonotonicS(now + self._intervals[name])
        return names

    def next_deadline(self) -> MonotonicS | None:
        """Return when the next chore is due, or None before the start."""
        return min(self._due.values(), default=None)
