"""What became of each node in a match: the answer to "no bids, no explanation". Bounded by MATCH_OUTCOMES_MAX."""

from collections import Counter
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from skyops_p2p import limits
from skyops_p2p.core.auction.events import Outcome
from skyops_p2p.types import PeerId


class Outcomes:
    """One outcome for each node, in the order in which they were heard of.

    Args:
        screened: What is known before anybody is asked.
    """

    def __init__(self, screened: Iterable[Outcome] = ()) -> None:
        self._by_peer: dict[PeerId, Outcome] = {}
        for outcome in screened:
            self.note(outcome.peer, outcome.code, outcome.detail)

    def note(self, peer: PeerId, code: str, detail: str = "") -> None:
        """Remember the newest outcome of a node."""
        if peer in self._by_peer or len(self._by_peer) < limits.MATCH_OUTCOMES_MAX:
            self._by_peer[peer] = Outcome(peer, code, detail)

    def note_unless_known(self, peer: PeerId, code: str, detail: str = "") -> None:
        """Remember an outcome of a node that has none, so that a general one does not hide a particular one."""
        if peer not in self._by_peer:
            self.note(peer, code, detail)

    def forget(self, peer: PeerId) -> None:
        """Begin anew with a node, which is asked again."""
        self._by_peer.pop(peer, None)

    def all(self) -> tuple[Outcome, ...]:
        """Return every outcome."""
        return tuple(self._by_peer.values())

    def counts(self) -> Mapping[str, int]:
        """Return how many nodes have each code, the commonest first."""
        counter = Counter(outcome.code for outcome in self._by_peer.values())
        return MappingProxyType(dict(sorted(counter.items(), key=lambda item: (-item[1], item[0]))))
