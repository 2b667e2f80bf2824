"""What every node of one network agrees on, and the names that follow from it. Spec: protocol/00-conventions.md."""

from dataclasses import dataclass, field

from skyops_p2p.core.probes.times import ProbeTimes
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.crypto.node_key import peer_id_to_bytes
from skyops_p2p.types import NetworkName, PeerId

NODE_PROTOCOL = "node"
HANDSHAKE_PROTOCOL = "handshake"
AUCTION_PROTOCOL = "auction"
CONTENT_PROTOCOL = "content"
BLOCKS_PROTOCOL = "blocks"
LEASE_PROTOCOL = "lease"
"""The handshake of chapter 01, and then what chapter 05 says. Rules: EXE-18."""
GANG_PROTOCOL = "gang"
"""The handshake of chapter 01, and then one line between two members of a gang. Rules: EXE-29."""
SETTLE_PROTOCOL = "settle"
"""The handshake of chapter 01, and then what chapter 07 says; opened by the requester."""

RECEIPTS_PROTOCOL = "receipts"
PROBES_PROTOCOL = "probes"


@dataclass(frozen=True, slots=True)
class NetworkRules:
    """The constants of one network."""

    network: NetworkName
    chain_id: int
    """EIP-155 chain of its money."""
    is_testnet: bool = False
    """Declared hardware is admitted."""
    probe_times: ProbeTimes = field(default_factory=ProbeTimes)
    """Lengths of slots and watches; the protocol's but on test networks. Rules: PRB-1."""

    def protocol_id(self, name: str) -> str:
        """Return the libp2p protocol id of one of our protocols. Rules: CNV-7."""
        return f"/skyops/{self.network}/{name}/1.0.0"

    @property
    def presence_topic(self) -> str:
        """The gossip topic of node records, heartbeats and equivocation proofs. Rules: CNV-7."""
        return f"/skyops/{self.network}/presence/1"

    @property
    def receipts_topic(self) -> str:
        """The gossip topic of names of receipts, and of double histories. Rules: RCP-1."""
        return f"/skyops/{self.network}/receipts/1"

    @property
    def probes_topic(self) -> str:
        """The gossip topic of what witnesses say of others' availability. Rules: PRB-15."""
        return f"/skyops/{self.network}/probes/1"

    def tender_topic(self, kind: str) -> str:
        """Return the gossip topic of tenders of a resource class, "gpu" or "cpu". Rules: CNV-7."""
        return f"/skyops/{self.network}/tender-{kind}/1"

    def record_key(self, peer: PeerId) -> str:
        """Return the DHT key of a peer's node record: 42 characters, whatever the peer id. Rules: PER-4."""
        digest = sha256(f"skyops/{self.network}/node/".encode() + peer_id_to_bytes(peer))
        return "/skyops/n/" + digest.hex()[:32]
