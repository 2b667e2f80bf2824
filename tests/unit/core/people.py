"""The people of the core's tests, and the statements that they sign."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from skyops_p2p.core.binding import make_binding
from skyops_p2p.core.records import VerifiedRecord, check_presence, check_record
from skyops_p2p.core.rules import NetworkRules
from skyops_p2p.crypto.node_key import NodeKey, peer_id_to_bytes
from skyops_p2p.crypto.wallet import Wallet
from skyops_p2p.types import MonotonicS, NetworkName, PeerId, UnixMs
from skyops_p2p.wire.envelope import Signed, seal
from skyops_p2p.wire.messages.peering import (
    EquivocationProof,
    GpuPart,
    HardwarePart,
    NodeRecord,
    Presence,
    RuntimePart,
)

RULES = NetworkRules(network=NetworkName("testnet-4f2a"), chain_id=31_337, is_testnet=True)
MAINNET = NetworkRules(network=NetworkName("skyops"), chain_id=1)
NOW = UnixMs(1_800_000_000_000)
"""The wall clock of a test begins here."""
START = MonotonicS(1000.0)
"""The monotonic clock of a test begins here."""
DAY_MS = 86_400_000
GPU = GpuPart(model="NVIDIA A100-SXM4-80GB", vram_mib=81_920, compute_capability="8.0", uuid="GPU-1")
HARDWARE = HardwarePart(
    source="declared",
    gpus=(GPU,),
    driver="550.54",
    cuda="12.4",
    cpu_model="Test CPU",
    cpu_cores=16,
    memory_mib=65_536,
    disk_mib=500_000,
)
RUNTIMES = (RuntimePart(name="wasm", version="1.0", limits="hard"),)


@dataclass(frozen=True)
class Person:
    name: str
    node_key: NodeKey
    wallet: Wallet

    @property
    def peer(self) -> PeerId:
        return self.node_key.peer_id

    @cached_property
    def binding(self) -> bytes:
        return make_binding(self.node_key, self.wallet, RULES, issued=NOW, lifetime_ms=30 * DAY_MS)

    def binding_for(self, wallet: Wallet, *, issued: int = NOW, lifetime_ms: int = 30 * DAY_MS) -> bytes:
        return make_binding(self.node_key, wallet, RULES, issued=UnixMs(issued), lifetime_ms=lifetime_ms)

    def record(self, sequence: int = 1, *, rules: NetworkRules = RULES, **changes: Any) -> bytes:
        """Seal a node record; `changes` replace single fields, right or wrong."""
        issued = changes.pop("issued_unix_ms", NOW)
        fields = {
            "peer": peer_id_to_bytes(self.peer),
            "sequence": sequence,
            "network": rules.network,
            "issued_unix_ms": issued,
            "expires_unix_ms": issued + DAY_MS,
            "addrs": ("/ip4/127.0.0.1/tcp/4001",),
            "agent": "skyops/test",
            "binding": self.binding,
            "is_worker": True,
            "hardware": HARDWARE,
            "runtimes": RUNTIMES,
            "region": "eu",
            "labels": (),
            "slots": 1,
            "price_microcredits_per_hour": 1_000_000,
        }
        return seal(NodeRecord.model_validate({**fields, **changes}), self.node_key, rules.network)

    def verified(self, sequence: int = 1, *, now: int = NOW, **changes: Any) -> VerifiedRecord:
        return check_record(self.record(sequence, **changes), RULES, now=UnixMs(now))

    def beat(self, sequence: int = 1, *, rules: NetworkRules = RULES, **changes: Any) -> bytes:
        fields = {
            "sequence": sequence,
            "record_sequence": 1,
            "issued_unix_ms": NOW,
            "interval_ms": 30_000,
            "slots_free": 1,
            "load_permille": 0,
            "price_microcredits_per_hour": 900_000,
            "is_leaving": False,
        }
        return seal(Presence.model_validate({**fields, **changes}), self.node_key, rules.network)

    def checked_beat(self, sequence: int = 1, *, now: int = NOW, **changes: Any) -> Signed[Presence]:
        return check_presence(self.beat(sequence, **changes), RULES, now=UnixMs(now))

    def contradiction(self, sequence: int = 1) -> EquivocationProof:
        """Sign two records under one number."""
        first, second = self.record(sequence), self.record(sequence, region="us")
        return EquivocationProof(kind="node-record", first=first, second=second)


def person(name: str, number: int) -> Person:
    secret = number.to_bytes(32, "big")
    return Person(name, NodeKey.from_seed(secret), Wallet.from_secret(secret))


ALICE, BOB, CAROL, MALLORY = (
    person("alice", 0xA1),
    person("bob", 0xB0),
    person("carol", 0xCA),
    person("mallory", 0x66),
)


def crowd(count: int) -> list[Person]:
    """Return further people, always the same."""
    return [person(f"worker-{number}", 0x1000 + number) for number in range(count)]


def at(seconds: float) -> MonotonicS:
    """Return an instant so many seconds after START."""
    return MonotonicS(START + seconds)
