"""How long a program has run, as one side of a lane measures it: by its own clock, without pauses.

A worker knows. A requester goes by the worker's beats: what passes while it cannot hear them is counted apart, since
nobody here can say whether the program ran. Spec: protocol/07-settlement.md, "Meters". Rules: SET-20, SET-28.
"""

from skyops_p2p import limits

STALE_S = 2 * limits.LEASE_BEAT_S + limits.METER_READ_MS / 1000
"""A worker that was not heard for so long cannot be seen: one beat may be lost."""


class RunClock:
    """One program.

    Args:
        now: Monotonic seconds.
        is_heard: The program is elsewhere: it counts while its worker is heard.
    """

    def __init__(self, now: float, *, is_heard: bool = False) -> None:
        self.is_running = False
        self._at = self._heard_at = now
        self._is_heard = is_heard
        self._is_linked = True
        self._seen_s = 0.0
        self._unseen_s = 0.0

    def turn(self, now: float, *, is_running: bool) -> None:
        """Note whether it runs from now on; at a requester: as a beat says that has just come."""
        self._advance(now)
        self.is_running, self._heard_at, self._is_linked = is_running, now, True

    def lose_sight(self, now: float) -> None:
        """Note that the worker cannot be heard from now on, until the next beat."""
        self._advance(now)
        self._is_linked = False

    def read(self, now: float) -> tuple[int, int]:
        """Return how long it has run, and for how long that could not be seen, in ms."""
        self._advance(now)
        return int(self._seen_s * 1000), int(self._unseen_s * 1000)

    def _advance(self, now: float) -> None:
        before, self._at = self._at, max(now, self._at)
        if not self.is_running:
            return
        seen_until = self._at
        if self._is_heard:
            seen_until = min(self._at, max(before, self._heard_at + STALE_S)) if self._is_linked else before
        self._seen_s += seen_until - before
        self._unseen_s += self._at - seen_until
