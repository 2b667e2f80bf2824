"""A few whole nodes over a simulated network, for tests of the trio shell in virtual time."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trio

from skyops_p2p.adapters.memory.blocks import MemoryBlockDisk, open_memory_blocks
from skyops_p2p.adapters.memory.store import MemoryDisk, open_memory_store
from skyops_p2p.config import NodeConfig
from skyops_p2p.crypto.node_key import NodeKey
from skyops_p2p.crypto.wallet import Wallet
from skyops_p2p.errors import ChainError
from skyops_p2p.node.book_shelf import MemoryShelf
from skyops_p2p.node.factory import NeutralStake
from skyops_p2p.node.identity import Identity
from skyops_p2p.node.job_ports import JobPorts
from skyops_p2p.node.ports_bundle import NodePorts
from skyops_p2p.node.runtime import Node
from skyops_p2p.node.views import MapQuery
from skyops_p2p.ports import DhtRules, Network, Prover, RequestServer, Sandbox, StakeCheck
from skyops_p2p.simulation.clock import SimClock
from skyops_p2p.simulation.entropy import SeededEntropy, derived_bytes
from skyops_p2p.simulation.fabric import SimFabric
from skyops_p2p.simulation.hardware import DeclaredHardware, seeded_hardware
from skyops_p2p.simulation.money import SimBank, SimMoney
from skyops_p2p.simulation.network import SimNetwork, simulated_addr
from skyops_p2p.simulation.sandbox import SimProgram, SimSandbox, SimWorkspace
from skyops_p2p.types import PeerId
from skyops_p2p.wire.envelope import envelope_kind
from skyops_p2p.wire.model import decode_fields
from skyops_p2p.wire.registry import message_of

Tap = Callable[[SimNetwork, str, str, bytes], None]
"""Called with a node's network, a moment ("asks", "answered", "takes", "answers"), and the kind and the bytes of the
request that its auction protocol sends or serves at that moment; it may kill the node."""
SEED = 7
STATES = ("pending", "active", "suspect", "inactive", "slashed")
NAMES = ("alice", "bob", "carol", "mallory", "dave", "erin", "frank")


def identity(name: str) -> Identity:
    key = NodeKey.from_seed(derived_bytes(SEED, name, "node"))
    return Identity(key, Wallet.from_secret(derived_bytes(SEED, name, "wallet")))


def account(name: str) -> bytes:
    """Return somebody's wallet, 20 bytes."""
    return bytes.fromhex(identity(name).wallet.address[2:])


def kind_of(request: bytes) -> str:
    """Return the name of the message in a request."""
    kind = envelope_kind(request)
    return kind if kind is not None else message_of(decode_fields(request)[0]).name


class TappedNetwork(SimNetwork):
    """A network whose auction requests somebody watches."""

    tap: Tap

    async def request(self, peer: PeerId, protocol: str, payload: bytes, *, timeout_s: float) -> bytes:
        if "/auction/" not in protocol:
            return await super().request(peer, protocol, payload, timeout_s=timeout_s)
        self.tap(self, "asks", kind_of(payload), payload)
        answer = await super().request(peer, protocol, payload, timeout_s=timeout_s)
        self.tap(self, "answered", kind_of(payload), payload)
        return answer

    def serve_requests(self, protocol: str, server: RequestServer, *, bytes_max: int) -> None:
        async def tapped(peer: PeerId, request: bytes) -> bytes:
            self.tap(self, "takes", kind_of(request), request)
            answer = await server(peer, request)
            self.tap(self, "answers", kind_of(request), request)
            return answer

        watched = tapped if "/auction/" in protocol else server
        super().serve_requests(protocol, watched, bytes_max=bytes_max)


@dataclass
class SmallWorld:
    """Nodes by name; each starts when asked and knows the address of the one that started first."""

    fabric: SimFabric
    shelves: dict[str, MemoryShelf] = field(default_factory=dict)
    disks: dict[str, MemoryDisk] = field(default_factory=dict)
    stake: StakeCheck = field(default_factory=NeutralStake)
    needs_stake: bool = False
    taps: dict[str, Tap] = field(default_factory=dict)
    """Who watches the auction requests of a node, by name."""
    starts: Counter[str] = field(default_factory=Counter)
    nodes: dict[str, Node] = field(default_factory=dict)
    """The newest start of each."""
    networks: dict[str, SimNetwork] = field(default_factory=dict)
    """Of the newest start of each."""
    folder: Path | None = None
    """Where jobs are; without it nodes have no place for them."""
    programs: dict[str, SimProgram] = field(default_factory=dict)
    """What workers can run, by the first word of the command."""
    blocks: dict[str, MemoryBlockDisk] = field(default_factory=dict)
    clocks: dict[str, SimClock] = field(default_factory=dict)
    """The wall clock of each; tests step them."""
    bank: SimBank | None = None
    """Where everybody's money is; None: nothing is paid."""
    finders: set[str] = field(default_factory=set)
    """Whose store knows the contracts, by name: they start without the chain."""
    moneyless: set[str] = field(default_factory=set)
    """Who neither pays nor is paid, by name."""
    payment: dict[str, object] = field(default_factory=dict)
    """The section [payment] of all."""
    provers: dict[str, Prover] = field(default_factory=dict)
    """What workers prove their compute with; others refuse every challenge."""

    def network(self, name: str, dht_rules: DhtRules) -> SimNetwork:
        peer, number = identity(name).node_key.peer_id, NAMES.index(name)
        if name not in self.taps:
            network = SimNetwork(self.fabric, peer, number, dht_rules=dht_rules)
        else:
            network = TappedNetwork(self.fabric, peer, number, dht_rules=dht_rules)
            network.tap = self.taps[name]
        self.networks[name] = network
        return network

    def node(
        self,
        name: str,
        /,
        *,
        join: str | None = None,
        beat_s: float = 1.0,
        worker: Mapping[str, object] | None = None,
        **network: object,
    ) -> Node:
        has_money = self.bank is not None and name not in self.moneyless
        number = NAMES.index(name)
        self.starts[name] += 1  # a restarted node does not throw the same dice again
        entropy = SeededEntropy(SEED, name, self.starts[name])

        def open_network(rules: DhtRules) -> AbstractAsyncContextManager[Network]:
            return self.network(name, rules)

        ports = NodePorts(
            open_network=open_network,
            open_store=lambda: open_memory_store(self.disks.setdefault(name, MemoryDisk())),
            wall_clock=self.clocks.setdefault(name, SimClock()),
            entropy=entropy,
            hardware=DeclaredHardware(seeded_hardware(SEED, number)),
            stake=self.stake,
            books=self.shelves.setdefault(name, MemoryShelf()),
            needs_stake=self.needs_stake,
            prover=self.provers.get(name),
            jobs=self.job_ports(name, self.folder) if self.folder else None,
            open_money=(lambda _store: self._open_money(name)) if has_money else None,
        )
        bootstrap = [self.addr(join)] if join else []
        config = {
            "data_dir": Path("/nowhere"),
            "network": {"name": "testnet-small", "bootstrap": bootstrap, **network},
            "presence": {"beat_s": beat_s, "probe_timeout_s": 1.0},
            "worker": {"enabled": True, "region": "eu", **(worker or {})},
            "is_testnet": True,
            "payment": self.payment,
        }
        self.nodes[name] = Node(NodeConfig.model_validate(config), identity(name), ports=ports)
        return self.nodes[name]

    @asynccontextmanager
    async def _open_money(self, name: str) -> AsyncIterator[SimMoney]:
        await trio.lowlevel.checkpoint()
        assert self.bank is not None
        if self.bank.is_away and name not in self.finders:
            raise ChainError("the simulated chain is away")
        self.finders.add(name)
        yield self.bank.open(account(name))

    def job_ports(self, name: str, folder: Path) -> JobPorts:
        @asynccontextmanager
        async def open_sandboxes() -> AsyncIterator[Mapping[str, Sandbox]]:
            await trio.lowlevel.checkpoint()
            yield {"native": SimSandbox(self.programs)}

        async def open_workspace() -> SimWorkspace:
            await trio.lowlevel.checkpoint()
            return SimWorkspace(folder / name / "work")

        return JobPorts(
            folder=folder / name / "jobs",
            open_blocks=lambda: open_memory_blocks(
                self.blocks.setdefault(name, MemoryBlockDisk()), quota_bytes=1 << 30
            ),
            open_sandboxes=open_sandboxes,
            open_workspace=open_workspace,
        )

    @staticmethod
    def addr(name: str) -> str:
        return f"{simulated_addr(NAMES.index(name))}/p2p/{identity(name).node_key.peer_id}"


@asynccontextmanager
async def small_world(folder: Path | None = None) -> AsyncIterator[SmallWorld]:
    fabric = SimFabric(SEED)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(fabric.run)
        try:
            yield SmallWorld(fabric, folder=folder)
        finally:
            nursery.cancel_scope.cancel()
    assert not fabric.contained, fabric.contained


def all_in_state(state: str, names: Sequence[str]) -> Callable[[Node], bool]:
    """A condition: the named nodes are in a state on a node's map."""
    peers = [identity(name).node_key.peer_id for name in names]

    def holds(node: Node) -> bool:
        views = node.map(MapQuery(states=STATES))
        states = {view.peer_id: view.state for view in views}
        return all(states.get(peer) == state for peer in peers)

    return holds
