"""One node of a world: the real Node on simulated ports, with what survives its crashes."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from skyops_p2p.config import NodeConfig
from skyops_p2p.node.factory import NeutralStake
from skyops_p2p.node.identity import Identity
from skyops_p2p.node.ports_bundle import NodePorts
from skyops_p2p.node.runtime import Node
from skyops_p2p.ports import DhtRules, Network
from skyops_p2p.simulation.clock import SimClock
from skyops_p2p.simulation.entropy import SeededEntropy
from skyops_p2p.simulation.hardware import DeclaredHardware, seeded_hardware
from skyops_p2p.simulation.identities import SIM_RULES, sim_identity
from skyops_p2p.simulation.network import SimNetwork, simulated_addr
from skyops_p2p.simulation.store import SimDisk
from skyops_p2p.types import PeerId

if TYPE_CHECKING:
    from skyops_p2p.simulation.fabric import SimFabric


@dataclass(frozen=True, slots=True)
class MemberOptions:
    """What all nodes of a world have in common."""

    beat_s: float = 30.0
    """See NodeConfig.presence."""
    missed_beats: int = 3
    probe_timeout_s: float = 2.0
    inactive_expiry_s: float = 86_400.0
    peers_target: int = 8


class Member:
    """A node's place in the world: number, keys, clock and disk stay; the Node comes and goes.

    Args:
        fabric: The world's links.
        number: From 0; also its address.
        options: Settings shared by all.
        bootstrap: Numbers of the nodes that it joins through.
    """

    def __init__(
        self, fabric: "SimFabric", number: int, options: MemberOptions, *, bootstrap: tuple[int, ...]
    ) -> None:
        self.number = number
        self.clock = SimClock()
        self.disk = SimDisk()
        self.starts = 0
        """How often it has started."""
        self._fabric = fabric
        self._keys = sim_identity(fabric.seed, number)
        self._config = _config(fabric, number, options, bootstrap)
        self._node: Node | None = None
        self._network: SimNetwork | None = None
        self._scope = trio.CancelScope()
        self._stopped = trio.Event()
        self._stopped.set()

    @property
    def peer_id(self) -> PeerId:
        """Its peer id, running or not."""
        return self._keys.peer_id

    @property
    def is_up(self) -> bool:
        """Whether its Node runs."""
        return self._node is not None

    @property
    def node(self) -> Node:
        """The running Node."""
        assert self._node is not None, f"node {self.number} is down"
        return self._node

    @property
    def network(self) -> SimNetwork:
        """The running node's network."""
        assert self._network is not None, f"node {self.number} is down"
        return self._network

    async def live(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run the Node until `stop` or `crash`; reports started once it is entered."""
        self._scope, self._stopped = trio.CancelScope(), trio.Event()
        self.starts += 1
        identity = Identity(node_key=self._keys.node_key, wallet=self._keys.wallet)
        try:
            with self._scope:
                async with Node(self._config, identity, ports=self._ports()) as node:
                    self._node = node
                    task_status.started()
                    await trio.sleep_forever()
        finally:
            self._node = self._network = None
            self._stopped.set()

    async def stop(self) -> None:
        """Stop in order: the node says goodbye."""
        self._scope.cancel()
        await self._stopped.wait()

    async def crash(self, *, is_silent: bool = False) -> None:
        """Stop between two instructions: nothing more is sent or written.

        Args:
            is_silent: By a power cut: peers notice only after the keepalive.
        """
        self.disk.cut_power()
        if self._network is not None:
            self._network.kill(is_silent=is_silent)
        await self.stop()

    def _ports(self) -> NodePorts:
        def open_network(rules: DhtRules) -> AbstractAsyncContextManager[Network]:
            self._network = SimNetwork(self._fabric, self.peer_id, self.number, dht_rules=rules)
            return self._network

        open_store: Callable[[], AbstractAsyncContextManager[object]] = self.disk.open
        return NodePorts(
            open_network=open_network,
            open_store=open_store,  # type: ignore[arg-type]  # SimStore satisfies ports.Store; managers are invariant
            wall_clock=self.clock,
            entropy=SeededEntropy(self._fabric.seed, self.number, self.starts),
            hardware=DeclaredHardware(seeded_hardware(self._fabric.seed, self.number)),
            stake=NeutralStake(),
        )


def _config(
    fabric: "SimFabric", number: int, options: MemberOptions, bootstrap: tuple[int, ...]
) -> NodeConfig:
    addrs = [f"{simulated_addr(other)}/p2p/{sim_identity(fabric.seed, other).peer_id}" for other in bootstrap]
    return NodeConfig.model_validate(
        {
            "is_testnet": True,
            "network": {
                "name": SIM_RULES.network,
                "chain_id": SIM_RULES.chain_id,
                "bootstrap": tuple(addrs),
                "peers_target": options.peers_target,
            },
            "presence": {
                "beat_s": options.beat_s,
                "missed_beats": options.missed_beats,
                "probe_timeout_s": options.probe_timeout_s,
                "inactive_expiry_s": options.inactive_expiry_s,
            },
            "worker": {"enabled": True, "region": fabric.latency.region(number)},
        }
    )
