"""What a node asks of others to find peers, and what it leaves in the DHT to be found. Spec: protocol/03-peering.md."""

from skyops_p2p.core import node_events as ev
from skyops_p2p.core.address_book import AddressBook
from skyops_p2p.core.machine import Effect
from skyops_p2p.core.node_filter import capability_keys
from skyops_p2p.core.node_map import NodeEntry
from skyops_p2p.core.rules import NetworkRules

ROUNDS_APART_MAX = 32
"""While nobody new is heard of, questions become rarer up to one in so many rounds of DISCOVERY_INTERVAL_S."""


class Discovery:
    """Asks for more peers while there are fewer than we seek, ever more rarely while the answers bring nobody new.

    A small network never has as many as a node seeks: it must not be asked for them for ever.

    Args:
        book: The links; how many peers are known tells whether the last answers were news.
        peers_target: Connections to seek.
    """

    def __init__(self, book: AddressBook, *, peers_target: int) -> None:
        self._book = book
        self._target = peers_target
        self._known = 0
        self._idle_rounds = 0

    def ask(self) -> list[Effect]:
        """Return this round's questions, if any."""
        if len(self._book.connected()) >= self._target:
            return []
        if len(self._book) != self._known:
            self._known, self._idle_rounds = len(self._book), 0
        self._idle_rounds += 1
        is_power_of_two = self._idle_rounds & (self._idle_rounds - 1) == 0
        if not is_power_of_two and self._idle_rounds % ROUNDS_APART_MAX:
            return []
        neighbours = self._book.pick(1)
        questions = [ev.AskPeers(link.peer) for link in neighbours]
        return [*questions, ev.FindPeers("node")] if neighbours else []


def announce_in_dht(own: NodeEntry | None, rules: NetworkRules) -> list[Effect]:
    """Store our record, and stand under our capability keys; nothing before the first record."""
    if own is None or own.verified is None:
        return []
    put = ev.PutOwnRecord(rules.record_key(own.peer), own.verified.signed.data)
    return [put, ev.ProvideKeys(capability_keys(own.verified.record))]
