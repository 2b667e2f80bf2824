"""kill -9 of 5 of 20 nodes: time until map, mesh and DHT are right again, and until the killed are back."""

import argparse
import os
import random
import signal
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import trio

from bench.network._py_peer import AnyValue
from bench.tables import number, print_place, print_table, say
from skyops_p2p.adapters.libp2p.network import Libp2pNetwork
from skyops_p2p.core.rules import NetworkRules
from skyops_p2p.errors import SkyopsError
from skyops_p2p.ports import PeerAddrs
from skyops_p2p.testnet.launcher import Testnet
from skyops_p2p.testnet.record import NodeEntry
from skyops_p2p.testnet.topology import default_topology
from skyops_p2p.types import Multiaddr, NetworkName, PeerId

MESH_MIN = 4
"""GossipSub's lower degree: with as many peers in the mesh a node need not mend it."""
GET_TIMEOUT_S = 1.0
"""A record has to be found within this, else the DHT is not right yet."""
CONVERGE_TIMEOUT_S = 180.0
RIGHT_TIMEOUT_S = 180.0
POLL_S = 0.2
MESH_METRIC = "skyops_mesh_peers{"


class World:
    """A test network and the split into victims and survivors."""

    def __init__(self, testnet: Testnet, kill: int) -> None:
        entries = list(testnet.record.nodes)
        self.testnet = testnet
        self.victims = random.Random(1).sample(entries, kill)
        self.survivors = [entry for entry in entries if entry not in self.victims]

    def states(self, watcher: NodeEntry, watched: Sequence[NodeEntry]) -> set[str]:
        """Return the states in which one node sees others."""
        views = {view.peer_id: view.state for view in self.testnet.client(watcher.name).map()}
        return {views.get(entry.peer_id, "unknown") for entry in watched}

    def is_any_suspected(self) -> bool:
        """Whether some survivor doubts some victim."""
        return any(self.states(entry, self.victims) - {"active"} for entry in self.survivors)

    def is_map_right(self) -> bool:
        """Whether every survivor sees the victims inactive and the others active."""
        return all(
            self.states(entry, self.victims) == {"inactive"}
            and self.states(entry, self.survivors) == {"active"}
            for entry in self.survivors
        )

    def is_mesh_right(self) -> bool:
        """Whether every survivor's mesh has peers enough, none of them dead."""
        return all(self._has_mesh(entry) for entry in self.survivors)

    def is_whole(self) -> bool:
        """Whether every node sees every other one active."""
        everybody = [*self.survivors, *self.victims]
        return all(self.states(entry, everybody) == {"active"} for entry in everybody)

    def _has_mesh(self, entry: NodeEntry) -> bool:
        client = self.testnet.client(entry.name)
        dead = {victim.peer_id for victim in self.victims}
        if any(peer.state == "connected" and peer.peer_id in dead for peer in client.peers()):
            return False
        sizes = [
            line.rpartition(" ")[2] for line in client.metrics().splitlines() if line.startswith(MESH_METRIC)
        ]
        return max((float(size) for size in sizes), default=0.0) >= MESH_MIN


async def is_dht_right(observer: Libp2pNetwork, rules: NetworkRules, entries: Sequence[NodeEntry]) -> bool:
    """Whether an outside peer finds every survivor's record quickly."""
    for entry in entries:
        if (
            await observer.get_record(rules.record_key(PeerId(entry.peer_id)), timeout_s=GET_TIMEOUT_S)
            is None
        ):
            return False
    return True


async def time_until(is_right: Callable[[], Awaitable[bool]], started: float) -> float:
    """Return the seconds since `started` at which a condition was first seen to hold."""
    with trio.fail_after(RIGHT_TIMEOUT_S):
        while True:
            try:
                if await is_right():
                    return trio.current_time() - started
            except SkyopsError as error:
                say(f"asked again: {error}")
            await trio.sleep(POLL_S)


def in_thread(is_right: Callable[[], bool]) -> Callable[[], Awaitable[bool]]:
    """Make a condition over the control API one that can be awaited."""

    async def ask() -> bool:
        return await trio.to_thread.run_sync(is_right)

    return ask


async def measure(world: World) -> list[list[object]]:
    """Kill, wait for all that has to mend, restart, wait again."""
    record = world.testnet.record
    rules = NetworkRules(NetworkName(record.network), record.chain_id, is_testnet=True)
    observer = Libp2pNetwork(
        seed=os.urandom(32), network=record.network, listen=["/ip4/127.0.0.1/tcp/0"], dht_rules=AnyValue()
    )
    found: dict[str, float] = {}
    async with observer:
        for entry in world.survivors[:4]:
            addr = Multiaddr(entry.addr.partition("/p2p/")[0])
            await observer.dial(PeerAddrs(PeerId(entry.peer_id), (addr,)), timeout_s=10.0)
        await time_until(lambda: is_dht_right(observer, rules, record.nodes), trio.current_time())
        say("killing")
        for entry in world.victims:
            world.testnet.signal(entry.name, signal.SIGKILL)
        started = trio.current_time()

        async def note(name: str, is_right: Callable[[], Awaitable[bool]]) -> None:
            found[name] = await time_until(is_right, started)
            say(f"{name}: {found[name]:.1f} s")

        maps = f"all maps right: {len(world.victims)} INACTIVE, {len(world.survivors)} ACTIVE"
        dht = f"DHT right: the survivors' records found, each within {GET_TIMEOUT_S:g} s"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(note, "first doubt on some map", in_thread(world.is_any_suspected))
            nursery.start_soon(note, maps, in_thread(world.is_map_right))
            nursery.start_soon(note, "all gossip meshes right", in_thread(world.is_mesh_right))
            nursery.start_soon(note, dht, lambda: is_dht_right(observer, rules, world.survivors))
        started = trio.current_time()
        await trio.to_thread.run_sync(world.testnet.start, [entry.name for entry in world.victims])
        await note("restarted nodes ACTIVE on all maps", in_thread(world.is_whole))
    return [[name, number(seconds)] for name, seconds in found.items()]


def main(argv: Sequence[str]) -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench network.recovery", description=__doc__)
    parser.add_argument("--nodes", type=int, default=20)
    parser.add_argument("--kill", type=int, default=5)
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as place:
        topology = default_topology(options.nodes, has_chain=False)
        testnet = Testnet.create(Path(place) / "net", name="recovery", topology=topology)
        try:
            say(f"starting {options.nodes} nodes")
            testnet.start()
            testnet.wait_ready()
            testnet.wait_converged(timeout_s=CONVERGE_TIMEOUT_S)
            rows = trio.run(measure, World(testnet, options.kill))
        finally:
            testnet.down()
    print_table(("after kill -9", "seconds"), rows)
    print(
        f"{options.kill} of {options.nodes} processes on one machine, heartbeats every {topology.network.beat_s:g} s. "
        "The conditions are asked for over the control APIs, so each figure is up to a second late; the restart "
        "counts from the start of the processes.\n"
    )
    print_place()
