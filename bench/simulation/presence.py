"""What presence costs each node per minute at 100, 1,000 and 10,000 nodes, and how fast a heartbeat travels.

Simulated: virtual time, regions all over the planet. "nodes" rows are whole Nodes after they have all found each other:
everything that they gossip and ask in the measured minutes. "links" rows are bare networks on the same gossip model:
some heartbeats of real size are followed to every node, and the copies are multiplied by the rate at which so many
nodes beat (protocol/03, PER-10).
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass

import trio

from bench.tables import number, percentile, print_place, print_table, say
from skyops_p2p import limits
from skyops_p2p.core.announcer import JITTER
from skyops_p2p.core.presence import PresenceTimes
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.ports import Verdict
from skyops_p2p.simulation.determinism import run_simulated
from skyops_p2p.simulation.entropy import derived_random
from skyops_p2p.simulation.fabric import SimFabric
from skyops_p2p.simulation.identities import SIM_RULES, sim_identity
from skyops_p2p.simulation.member import MemberOptions
from skyops_p2p.simulation.network import SimNetwork
from skyops_p2p.simulation.scenarios import joined
from skyops_p2p.simulation.world import World, WorldOptions, simulate
from skyops_p2p.types import PeerId
from skyops_p2p.wire.envelope import seal
from skyops_p2p.wire.messages.peering import Presence

SEED = 1
CONNECTIONS_EACH = limits.PEERS_TARGET // 2
"""Each node dials so many, and as many dial it: PEERS_TARGET in the mean."""
HEARTBEATS_FOLLOWED = 20
MEASURED_MIN = 5


@dataclass(frozen=True, slots=True)
class Cost:
    """One row."""

    level: str
    nodes: int
    interval_s: float
    received_per_min: float
    """Gossip copies that reach a node, duplicates included."""
    bytes_per_min: float
    requests_per_min: float
    travel_s: list[float]
    wall_s: float


class NoRules:
    """Nothing may stand in the DHT."""

    def validate(self, key: str, value: bytes) -> None:
        raise RemoteProtocolError("no records here", code="bad_record")

    def select(self, key: str, values: Sequence[bytes]) -> int:
        return 0


def interval_s(nodes: int) -> float:
    """Return the mean time between a node's heartbeats on a network of so many."""
    return max(PresenceTimes().beat_s, nodes / limits.PRESENCE_BUDGET_PER_S) * (1 - JITTER / 2)


def measure_nodes(nodes: int) -> Cost:
    """Let whole nodes find each other, then count what they say."""
    started = time.monotonic()

    async def scenario(world: World) -> tuple[int, int, int]:
        await world.start_all()
        await joined(world)
        before = _counts(world)
        await trio.sleep(60 * MEASURED_MIN)
        copies, sent_bytes, requests = (
            late - early for late, early in zip(_counts(world), before, strict=True)
        )
        return copies, sent_bytes, requests

    options = WorldOptions(members=MemberOptions(), tick_s=0.01)
    copies, sent_bytes, requests = simulate(scenario, seed=SEED, nodes=nodes, options=options).result
    share = nodes * MEASURED_MIN
    return Cost(
        "nodes",
        nodes,
        interval_s(nodes),
        copies / share,
        sent_bytes / share,
        requests / share,
        [],
        time.monotonic() - started,
    )


def _counts(world: World) -> tuple[int, int, int]:
    requests = sum(member.network.statistics().requests_sent for member in world.running())
    return world.fabric.gossip.copies, world.fabric.gossip.bytes_sent.total(), requests


def measure_links(nodes: int) -> Cost:
    """Follow single heartbeats over bare networks."""
    started = time.monotonic()

    async def run() -> tuple[int, int, list[float]]:
        fabric = SimFabric(SEED, tick_s=0.001)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fabric.run)
            follower = Follower(fabric, nodes)
            await follower.build(nursery)
            for _ in range(HEARTBEATS_FOLLOWED):
                await follower.beat()
            nursery.cancel_scope.cancel()
        return fabric.gossip.copies, fabric.gossip.bytes_sent.total(), follower.travel_s

    copies, sent_bytes, travel_s = run_simulated(run, seed=SEED)
    expected = HEARTBEATS_FOLLOWED * (nodes - 1)
    if len(travel_s) != expected:
        raise SystemExit(f"{len(travel_s)} of {expected} deliveries")
    beats_per_min = nodes * 60 / interval_s(nodes)
    scale = beats_per_min / HEARTBEATS_FOLLOWED / nodes
    return Cost(
        "links",
        nodes,
        interval_s(nodes),
        copies * scale,
        sent_bytes * scale,
        0.0,
        travel_s,
        time.monotonic() - started,
    )


class Follower:
    """Bare networks in a random graph, and the times at which a heartbeat reaches them."""

    def __init__(self, fabric: SimFabric, nodes: int) -> None:
        self.travel_s: list[float] = []
        self._fabric = fabric
        self._random = derived_random(SEED, "bench", nodes)
        self._published_at = 0.0
        self._networks = [
            SimNetwork(fabric, PeerId(f"peer-{index}"), index, dht_rules=NoRules()) for index in range(nodes)
        ]
        key = sim_identity(SEED, 0).node_key
        beat = Presence(
            sequence=1_800_000_000_000,
            record_sequence=1_800_000_000_000,
            issued_unix_ms=1_800_000_000_000,
            interval_ms=30_000,
            slots_free=1,
            load_permille=500,
            price_microcredits_per_hour=1_000_000,
            is_leaving=False,
        )
        self._payload = seal(beat, key, SIM_RULES.network)

    async def build(self, nursery: trio.Nursery) -> None:
        """Start and connect everybody."""
        for network in self._networks:
            await nursery.start(_stay, network)
            await network.subscribe(SIM_RULES.presence_topic, self._arrived)
        for network in self._networks:
            for other in self._random.sample(self._networks, CONNECTIONS_EACH):
                if other is not network and other.number not in network.connections:
                    self._fabric.connect(network, other)

    async def beat(self) -> None:
        """Publish one heartbeat and wait until it has gone round."""
        self._published_at = trio.current_time()
        author = self._random.choice(self._networks)
        await author.publish(SIM_RULES.presence_topic, self._payload)
        await trio.sleep(10)

    def _arrived(self, *_: object) -> Verdict:
        self.travel_s.append(trio.current_time() - self._published_at)
        return Verdict.ACCEPT


async def _stay(network: SimNetwork, *, task_status: trio.TaskStatus[None]) -> None:
    async with network:
        task_status.started()
        await trio.sleep_forever()


def main(argv: Sequence[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench simulation.presence", description=__doc__)
    parser.add_argument("--nodes", type=int, nargs="*", default=[100], help="worlds of whole nodes")
    parser.add_argument("--links", type=int, nargs="*", default=[100, 1000, 10_000], help="bare networks")
    options = parser.parse_args(argv)
    costs = []
    for measure, sizes in ((measure_nodes, options.nodes), (measure_links, options.links)):
        for size in sizes:
            say(f"{size} {measure.__name__.removeprefix('measure_')}")
            costs.append(measure(size))
    print_table(
        [
            "level",
            "nodes",
            "mean interval s",
            "gossip copies / node / min",
            "KiB sent / node / min",
            "requests / node / min",
            "travel p50 / p99 ms",
            "took s",
        ],
        [_row(cost) for cost in costs],
    )
    print_place()


def _row(cost: Cost) -> list[object]:
    travel = "-"
    if cost.travel_s:
        travel = " / ".join(number(1000 * percentile(cost.travel_s, part)) for part in (0.5, 0.99))
    return [
        cost.level,
        cost.nodes,
        number(cost.interval_s),
        number(cost.received_per_min),
        number(cost.bytes_per_min / 1024),
        number(cost.requests_per_min),
        travel,
        number(cost.wall_s),
    ]
