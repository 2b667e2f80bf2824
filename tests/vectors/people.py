"""The people of the vectors, and the networks that they meet on. All keys are worthless on purpose."""

from dataclasses import dataclass

from skyops_p2p.core.binding import make_binding
from skyops_p2p.core.rules import NetworkRules
from skyops_p2p.crypto.node_key import NodeKey
from skyops_p2p.crypto.wallet import Wallet
from skyops_p2p.types import NetworkName, UnixMs

RULES = NetworkRules(network=NetworkName("testnet-4f2a"), chain_id=31_337, is_testnet=True)
NOW = UnixMs(1_800_000_000_000)
"""2027-01-15, 08:00:00 UTC."""
DAY_MS = 24 * 3600 * 1000


@dataclass(frozen=True)
class Person:
    name: str
    node_key: NodeKey
    wallet: Wallet

    @property
    def binding(self) -> bytes:
        """A binding issued at NOW for thirty days."""
        return make_binding(self.node_key, self.wallet, RULES, issued=NOW, lifetime_ms=30 * DAY_MS)


def person(name: str, number: int) -> Person:
    secret = bytes([number] * 32)
    return Person(name, NodeKey.from_seed(secret), Wallet.from_secret(secret))


ALICE, BOB, CAROL, MALLORY = (
    person("alice", 0xA1),
    person("bob", 0xB0),
    person("carol", 0xCA),
    person("mallory", 0x66),
)
