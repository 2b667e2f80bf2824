"""What a node asks of others to find peers, and what it leaves in the DHT to be found. Spec: protocol/03-peering.md."""

from skyops_p2p.core import node_events as ev
from skyops_p2p.core.address_book import AddressBook
from skyops_p2p.core.machine import Effect
from skyops_p2p.core.node_filter import capability_keys
from skyops_p2p.core.node_map import NodeEntry
from skyops_p2p.core.rules import NetworkRules


def ask_for_peers(book: AddressBook, peers_target: int) -> list[Effect]:
    """Ask a neighbour and the DHT for more peers while there are fewer than we seek."""
    if len(book.connected()) >= peers_target:
        return []
    neighbours = book.pick(1)
    return [*(ev.AskPeers(link.peer) for link in neighbours), ev.FindPeers("node")] if neighbours else []


def announce_in_dht(own: NodeEntry | None, rules: NetworkRules) -> list[Effect]:
    """Store our record, and stand under our capability keys; nothing before the first record."""
    if own is None or own.verified is None:
        return []
    put = ev.PutOwnRecord(rules.record_key(own.peer), own.verified.signed.data)
    return [put, ev.ProvideKeys(capability_keys(own.verified.record))]
