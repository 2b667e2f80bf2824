"""Whether two nodes proved themselves at once and said that they did it on one device. Pure.

Both windows are by one clock, the asker's: two askers' clocks may be minutes apart, an answer takes a second. A UUID is
a number that anybody can write into its record, so this says that one of the two lies, and not which: it is told, and
neither is attested; no stake is lost by it alone. Spec: protocol/04-auction.md, AUC-45.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from skyops_p2p import limits
from skyops_p2p.types import MonotonicS, PeerId


@dataclass(frozen=True, slots=True)
class _Window:
    worker: PeerId
    devices: frozenset[str]
    began: MonotonicS
    ended: MonotonicS


class DeviceWatch:
    """The last answers that one node timed: PROOFS_ASKED_MAX and those of the same time."""

    def __init__(self) -> None:
        self._windows: deque[_Window] = deque(maxlen=2 * limits.PROOFS_ASKED_MAX)

    def note(
        self, worker: PeerId, devices: Iterable[str], *, began: MonotonicS, ended: MonotonicS
    ) -> PeerId | None:
        """Take in an answer; return another worker that computed on one of its devices meanwhile, if there is one.

        Args:
            worker: Who answered.
            devices: On which it says that it did.
            began: When the challenge was sent.
            ended: When the root was there.

        Rules: AUC-45.
        """
        window = _Window(worker, frozenset(devices), began, ended)
        other = next((its.worker for its in self._windows if _is_shared(its, window)), None)
        self._windows.append(window)
        return other


def _is_shared(one: _Window, other: _Window) -> bool:
    is_at_once = one.began < other.ended and other.began < one.ended
    return is_at_once and one.worker != other.worker and not one.devices.isdisjoint(other.devices)
