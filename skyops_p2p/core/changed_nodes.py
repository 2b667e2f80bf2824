"""Which nodes of the map the store does not know as they are. Pure; bounded by the map."""

from collections.abc import Iterable

from skyops_p2p.core.machine import Effect
from skyops_p2p.core.node_events import ForgetNodes, RememberNodes
from skyops_p2p.types import PeerId


class ChangedNodes:
    """Collects changes until the next write; a node is either to be written or to be deleted, never both."""

    def __init__(self) -> None:
        self._changed: set[PeerId] = set()
        self._gone: set[PeerId] = set()

    @property
    def is_waiting(self) -> bool:
        """Whether there is anything to write."""
        return bool(self._changed or self._gone)

    def change(self, peer: PeerId) -> None:
        """Note that a node has to be written."""
        self._changed.add(peer)
        self._gone.discard(peer)

    def remove(self, peers: Iterable[PeerId]) -> None:
        """Note that nodes left the map."""
        for peer in peers:
            self._changed.discard(peer)
            self._gone.add(peer)

    def flush(self) -> list[Effect]:
        """Return the writes, and start anew."""
        effects: list[Effect] = []
        if self._gone:
            effects.append(ForgetNodes(tuple(sorted(self._gone))))
        if self._changed:
            effects.append(RememberNodes(tuple(sorted(self._changed))))
        self._changed, self._gone = set(), set()
        return effects
