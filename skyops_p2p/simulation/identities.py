"""Keys, wallets and bindings of simulated nodes: all from the seed, made once a process."""

from dataclasses import dataclass
from functools import lru_cache

from skyops_p2p import limits
from skyops_p2p.core.binding import make_binding
from skyops_p2p.core.rules import NetworkRules
from skyops_p2p.crypto.node_key import NodeKey
from skyops_p2p.crypto.wallet import Wallet
from skyops_p2p.simulation.clock import EPOCH_UNIX_MS
from skyops_p2p.simulation.entropy import derived_bytes
from skyops_p2p.types import NetworkName, PeerId

SIM_RULES = NetworkRules(network=NetworkName("simulation"), chain_id=31337, is_testnet=True)
"""The one network of every simulated world."""


@dataclass(frozen=True, slots=True)
class SimIdentity:
    """One node's keys."""

    node_key: NodeKey
    wallet: Wallet
    binding: bytes
    """Enveloped; good for the length of any simulation."""

    @property
    def peer_id(self) -> PeerId:
        """The node's peer id."""
        return self.node_key.peer_id


@lru_cache(maxsize=20_000)
def sim_identity(seed: int, number: int) -> SimIdentity:
    """Return the identity of a node of a world."""
    node_key = NodeKey.from_seed(derived_bytes(seed, "node-key", number))
    wallet = Wallet.from_secret(derived_bytes(seed, "wallet", number))
    binding = make_binding(
        node_key, wallet, SIM_RULES, issued=EPOCH_UNIX_MS, lifetime_ms=limits.BINDING_LIFETIME_MS_MAX
    )
    return SimIdentity(node_key, wallet, binding)
