"""Who the nodes of a simulated market are: machine, price, signed record and heartbeat, all from the seed."""

from dataclasses import dataclass

from skyops_p2p import limits
from skyops_p2p.core.auction.class_index import class_index_milli
from skyops_p2p.core.node_map import NodeMap
from skyops_p2p.core.presence import BeatReceived, PresenceTimes, RecordAccepted
from skyops_p2p.core.records import check_presence, check_record
from skyops_p2p.crypto.node_key import peer_id_to_bytes
from skyops_p2p.node.hardware_parts import hardware_parts
from skyops_p2p.simulation.clock import EPOCH_UNIX_MS
from skyops_p2p.simulation.entropy import derived_random
from skyops_p2p.simulation.hardware import seeded_hardware
from skyops_p2p.simulation.identities import SIM_RULES, sim_identity
from skyops_p2p.simulation.network import simulated_addr
from skyops_p2p.types import MonotonicS
from skyops_p2p.wire.envelope import seal
from skyops_p2p.wire.messages.peering import HardwarePart, NodeRecord, Presence, RuntimePart

CLASS_PRICE = 100_000
"""Microcredits for an hour of the reference class, in the middle: the class index of docs and of price floors."""
PRICE_SPREAD = (0.8, 1.25)
"""A worker asks for so much of the middle, drawn evenly."""


@dataclass(frozen=True, slots=True)
class Dealer:
    """What one node sells."""

    hardware: HardwarePart
    runtimes: tuple[RuntimePart, ...]
    price: int
    """Microcredits for an hour of its best GPU, of the whole machine if it has none."""


def dealer(seed: int, number: int) -> Dealer:
    """Return what a node sells."""
    hardware, runtimes = hardware_parts(seeded_hardware(seed, number))
    best_milli = max((class_index_milli(gpu) for gpu in hardware.gpus), default=1000)
    factor = derived_random(seed, "price", number).uniform(*PRICE_SPREAD)
    return Dealer(hardware, runtimes, round(CLASS_PRICE * best_milli * factor / 1000))


def full_map(seed: int, nodes: int, *, region: tuple[str, ...]) -> NodeMap:
    """Return the map that everybody has of a market in which all nodes are known and idle.

    Args:
        seed: The world's seed.
        nodes: How many there are.
        region: Of each node.
    """
    found = NodeMap(PresenceTimes())
    now = MonotonicS(0.0)
    interval_s = min(
        max(PresenceTimes().beat_s, nodes / limits.PRESENCE_BUDGET_PER_S), limits.PRESENCE_INTERVAL_S_MAX
    )
    for number in range(nodes):
        who = dealer(seed, number)
        record = check_record(_record(seed, number, who, region[number]), SIM_RULES, now=EPOCH_UNIX_MS)
        beat = check_presence(_beat(seed, number, who, interval_s), SIM_RULES, now=EPOCH_UNIX_MS)
        found.admit_record(record, now, EPOCH_UNIX_MS)
        found.handle(record.peer, RecordAccepted(), now)
        found.admit_beat(beat, now)
        found.handle(record.peer, BeatReceived(interval_s, is_leaving=False), now)
    return found


def _record(seed: int, number: int, who: Dealer, region: str) -> bytes:
    identity = sim_identity(seed, number)
    record = NodeRecord(
        peer=peer_id_to_bytes(identity.peer_id),
        sequence=EPOCH_UNIX_MS,
        network=SIM_RULES.network,
        issued_unix_ms=EPOCH_UNIX_MS,
        expires_unix_ms=EPOCH_UNIX_MS + limits.RECORD_LIFETIME_MS_MAX,
        addrs=(simulated_addr(number),),
        agent="skyops/sim",
        binding=identity.binding,
        is_worker=True,
        hardware=who.hardware,
        runtimes=who.runtimes,
        region=region,
        labels=(),
        slots=1,
        price_microcredits_per_hour=who.price,
    )
    return seal(record, identity.node_key, SIM_RULES.network)


def _beat(seed: int, number: int, who: Dealer, interval_s: float) -> bytes:
    beat = Presence(
        sequence=EPOCH_UNIX_MS + 1,
        record_sequence=EPOCH_UNIX_MS,
        issued_unix_ms=EPOCH_UNIX_MS,
        interval_ms=round(interval_s * 1000),
        slots_free=1,
        load_permille=0,
        price_microcredits_per_hour=who.price,
        is_leaving=False,
    )
    return seal(beat, sim_identity(seed, number).node_key, SIM_RULES.network)
