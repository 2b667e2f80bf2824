"""Time in which a requester could not see its worker: it counts as far as the worker's next meter says. Pure.

Spec: protocol/07-settlement.md, "Restarts".
"""

from collections.abc import Callable, Iterable

from skyops_p2p.core.settlement.lanes import EXPOSED_MS, Lane, LaneTerms
from skyops_p2p.core.settlement.meters import Counts, later

GapBound = Callable[[LaneTerms], int | None]
"""Returns what may be believed of a lane's gap within the bound of its job, ms; None: it has no bound."""


def unbounded(_terms: LaneTerms) -> int | None:
    """Return that a job has no bound."""
    return None


class Gaps:
    """What this side has missed of its lanes.

    Args:
        restored: Lanes of before a restart: how long this side was away is not known.
        left_ms: What their jobs may still cost.
    """

    def __init__(self, restored: Iterable[bytes], left_ms: GapBound = unbounded) -> None:
        self._away = set(restored)
        self._left_ms = left_ms
        self._unseen: dict[bytes, int] = {}
        """Totals that were told, ms."""
        self._judged: dict[bytes, int] = {}
        """How much of them was believed, or will not be."""

    @property
    def lanes(self) -> set[bytes]:
        """Lanes of which something was missed, or may have been."""
        return self._away | set(self._unseen)

    def note(self, lane: bytes, unseen_ms: int) -> None:
        """Take note of how long a worker could not be seen in all, since this machine began."""
        if unseen_ms:
            self._unseen[lane] = unseen_ms

    def most_ms(self, lane: Lane) -> int:
        """Return what may be believed of a lane's gap at most. Rules: SET-20, SET-30."""
        name, most_ms = lane.terms.lane, lane.pace_ms + EXPOSED_MS
        if name not in self._away:
            most_ms = min(self._unseen.get(name, 0) - self._judged.get(name, 0), most_ms)
        left_ms = self._left_ms(lane.terms) if most_ms else None
        return most_ms if left_ms is None else min(left_ms, most_ms)

    def fill(self, lane: Lane) -> int:
        """Believe the meter of a lane about its gap, one interval at most; return by how much, ms. Rules: SET-20."""
        name = lane.terms.lane
        most_ms = self.most_ms(lane)
        if lane.meter is None or not most_ms:
            return 0
        believed_ms = min(max(lane.meter.runtime_ms - lane.own.runtime_ms, 0), most_ms)
        raised = later(lane.own, lane.meter)
        lane.own = Counts(
            lane.own.runtime_ms + believed_ms,
            raised.gpu_ms if lane.own.gpu_ms else 0,
            raised.cpu_ms if lane.own.cpu_ms else 0,
            raised.memory_mib_s if lane.own.memory_mib_s else 0,
            raised.moved_bytes if lane.own.moved_bytes else 0,
        )
        self._away.discard(name)
        self._judged[name] = self._unseen.get(name, 0)
        return believed_ms

    def forget(self, lane: bytes) -> None:
        """Forget a lane that is over."""
        self._away.discard(lane)
        self._unseen.pop(lane, None)
        self._judged.pop(lane, None)
