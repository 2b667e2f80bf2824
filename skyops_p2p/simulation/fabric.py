"""The world between the nodes: who is connected with whom, and how long a packet takes or whether it arrives.

One fabric per world. It knows nodes by number; `SimNetwork` is one node's view of it. Connections behave like TCP:
the crash of a process is noticed after one delay, the loss of a path or of a machine after `keepalive_s`.
Requests and gossip are packets (they can be lost, doubled and overtaken); frames of streams are not.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import trio

from skyops_p2p.errors import NetworkError
from skyops_p2p.simulation.connection import Connection
from skyops_p2p.simulation.dht import SimDht
from skyops_p2p.simulation.due_queue import TICK_S, DueQueue
from skyops_p2p.simulation.entropy import derived_random
from skyops_p2p.simulation.faults import CALM, FaultBoard, LinkFaults, Partition
from skyops_p2p.simulation.gossip import GossipOverlay
from skyops_p2p.simulation.latency import Latency
from skyops_p2p.simulation.trace import Trace
from skyops_p2p.simulation.transport import RETRANSMIT_FIRST_S, RETRANSMIT_MIN_S, SHORT, Transport
from skyops_p2p.types import Multiaddr, PeerId

if TYPE_CHECKING:
    from skyops_p2p.simulation.network import SimNetwork

KEEPALIVE_S = 6.0
"""After this long without a path, both ends drop the connection (the adapter's health check takes as long)."""
CONTAINED_MAX = 64
"""Contained exceptions that are kept for the report; more are counted."""


class SimFabric:
    """All links of one world.

    Args:
        seed: Decides latencies, faults, meshes and replicas.
        latency: Delays without faults; a planet's if omitted.
        links: Faults of every link.
        transport: What connections cost, and what becomes of lost packets.
        keepalive_s: Time without a path until a connection is dropped.
        tick_s: Resolution of arrivals, seconds; coarser is faster.
    """

    def __init__(
        self,
        seed: int,
        *,
        latency: Latency | None = None,
        links: LinkFaults = CALM,
        transport: Transport = SHORT,
        keepalive_s: float = KEEPALIVE_S,
        tick_s: float = TICK_S,
    ) -> None:
        self.seed = seed
        self.queue = DueQueue(tick_s=tick_s)
        self.latency = latency or Latency(seed)
        self.transport = transport
        self.faults = FaultBoard(derived_random(seed, "links"), links=links)
        self.trace = Trace()
        self.gossip = GossipOverlay(self)
        self.dht = SimDht(self)
        self.contained: list[BaseException] = []
        """Exceptions of servers and validators, at most CONTAINED_MAX: in our own worlds each is a bug."""
        self._keepalive_s = keepalive_s
        self._members: dict[int, SimNetwork] = {}
        self._number_by_peer: dict[PeerId, int] = {}
        self._number_by_addr: dict[Multiaddr, int] = {}

    async def run(self) -> None:
        """Carry everything, for ever; the world's owner cancels."""
        await self.queue.run()

    # --- members ------------------------------------------------------------------------------------------
    def attach(self, network: "SimNetwork") -> None:
        """Let a node listen on its addresses.

        Raises:
            NetworkError: Code `port_taken`: another node listens there.
        """
        for addr in network.listen_addrs():
            holder = self._number_by_addr.get(addr)
            if holder is not None and holder in self._members:
                raise NetworkError(f"{addr} is in use", code="port_taken")
        for addr in network.listen_addrs():
            self._number_by_addr[addr] = network.number
        self._number_by_peer[network.peer_id] = network.number
        self._members[network.number] = network
        self.dht.join(network)
        self.note("attach", network.number)

    def detach(self, network: "SimNetwork", *, is_silent: bool = False) -> None:
        """Take a node off; its peers notice after one delay, or if `is_silent` (power cut) after the keepalive."""
        if self._members.get(network.number) is not network:
            return
        del self._members[network.number]
        self.dht.leave(network)
        for other, connection in tuple(network.connections.items()):
            delay_s = self._keepalive_s if is_silent else self.latency.one_way_s(network.number, other)
            self.queue.after(delay_s, self._drop_end, other, connection)
            network.forget_connection(connection)
        self.gossip.leave_all(network.number)
        self.note("detach", network.number)

    def member(self, number: int) -> "SimNetwork | None":
        """Return the running node of a number."""
        return self._members.get(number)

    def members(self) -> "tuple[SimNetwork, ...]":
        """Return the running nodes, in the order in which they were attached."""
        return tuple(self._members.values())

    def number_of(self, peer: PeerId) -> int | None:
        """Return the number of a peer that was ever attached."""
        return self._number_by_peer.get(peer)

    def listener_at(self, addr: Multiaddr) -> int | None:
        """Return who is, or was last, at an address."""
        return self._number_by_addr.get(addr)

    # --- connections --------------------------------------------------------------------------------------
    def connect(self, dialer: "SimNetwork", listener: "SimNetwork") -> None:
        """Make a connection stand at both ends; a stale one between the two is dropped first."""
        for end, other in ((dialer, listener), (listener, dialer)):
            stale = end.connections.get(other.number)
            if stale is not None:
                self._drop_end(end.number, stale)
        connection = Connection(dialer.number, listener.number)
        dialer.add_connection(connection, listener)
        listener.add_connection(connection, dialer)
        self.gossip.connected(dialer.number, listener.number)
        self.note("connect", dialer.number, listener.number)

    def disconnect(self, connection: Connection, *, by: int) -> None:
        """Close a connection from one end; the other end notices after one delay."""
        other = connection.other(by)
        self._drop_end(by, connection)
        self.queue.after(self.latency.one_way_s(by, other), self._drop_end, other, connection)

    def _drop_end(self, number: int, connection: Connection) -> None:
        connection.close()
        network = self._members.get(number)
        if network is not None and network.connections.get(connection.other(number)) is connection:
            self.gossip.disconnected(number, connection.other(number))
            network.forget_connection(connection)
            self.note("disconnect", number, connection.other(number))

    # --- faults that need the connections -----------------------------------------------------------------
    def partition(
        self,
        sources: Iterable[int],
        targets: Iterable[int],
        *,
        is_symmetric: bool = True,
        minimum_s: float = 0.0,
    ) -> Partition:
        """Cut paths; connections across the cut drop after the keepalive unless it has healed by then."""
        until = trio.current_time() + minimum_s
        cut = self.faults.partition(sources, targets, is_symmetric=is_symmetric, until=until)
        self.note("partition", detail=len(cut.sources))
        self.queue.after(self._keepalive_s, self._drop_blocked)
        return cut

    def heal(self, cut: Partition) -> bool:
        """Mend a cut; False if its minimum duration has not passed."""
        self.note("heal", detail=len(cut.sources))
        return self.faults.heal(cut, now=trio.current_time())

    def freeze(self, number: int) -> None:
        """Stop a node's traffic as SIGSTOP does; its peers drop it after the keepalive."""
        self.faults.freeze(number)
        self.note("freeze", number)
        self.queue.after(self._keepalive_s, self._drop_blocked)

    def _drop_blocked(self) -> None:
        for network in self.members():
            for other, connection in tuple(network.connections.items()):
                blocked = self.faults.is_blocked(network.number, other)
                if blocked or self.faults.is_blocked(other, network.number):
                    self._drop_end(network.number, connection)
                    self._drop_end(other, connection)

    # --- packets ------------------------------------------------------------------------------------------
    def send(self, source: int, target: int, arrive: Callable[..., None], *args: Any) -> None:
        """Send one packet: `arrive(*args)` runs once for each copy that gets through."""
        delay_s = self.latency.one_way_s(source, target)
        for extra_s in self.fate(source, target):
            self.queue.after(delay_s + extra_s, arrive, *args)

    def fate(self, source: int, target: int, *, rto_s: float | None = None) -> tuple[float, ...]:
        """Judge one packet; see FaultBoard.fate. With a transport that retransmits, it arrives late instead of never.

        Args:
            source: Number of the sending node.
            target: Number of the receiving node.
            rto_s: Until a lost packet is sent again; from the round trip if omitted.
        """
        if self.faults.is_calm:
            return (0.0,)
        now, late_s = trio.current_time(), 0.0
        fate = self.faults.fate(source, target, now=now)
        if fate or not self.transport.retransmits:
            return fate
        wait_s = rto_s or self.latency.round_trip_s(source, target) + RETRANSMIT_MIN_S
        while not fate:
            if self.faults.is_blocked(source, target):
                return ()
            late_s, wait_s = late_s + wait_s, 2 * wait_s
            fate = self.faults.fate(source, target, now=now)
        return tuple(late_s + extra_s for extra_s in fate)

    def exchange_s(self, source: int, target: int, *, round_trips: int, rto_s: float | None = None) -> float:
        """Return how long so many packets take there and back, one behind the other; lost ones are sent again."""
        delay_s = round_trips * self.latency.round_trip_s(source, target)
        for _ in range(2 * round_trips):
            fate = self.fate(source, target, rto_s=rto_s)
            delay_s += fate[0] if fate else RETRANSMIT_FIRST_S
        return delay_s

    def stream_delay_s(self, source: int, target: int) -> float | None:
        """Return the delay of one frame, with retransmissions; None while there is no path."""
        if self.faults.is_calm:
            return self.latency.one_way_s(source, target)
        if self.faults.is_blocked(source, target):
            return None
        delay_s = self.latency.one_way_s(source, target)
        while not (fate := self.faults.fate(source, target, now=trio.current_time(), is_stream=True)):
            delay_s += RETRANSMIT_FIRST_S
        return delay_s + fate[0]

    # --- bookkeeping --------------------------------------------------------------------------------------
    def note(self, what: str, source: int = -1, target: int = -1, *, detail: int = 0) -> None:
        """Put one line into the trace."""
        self.trace.note(trio.current_time(), what, source, target, detail=detail)

    def contain(self, error: BaseException) -> None:
        """Keep an exception that was stopped at the port's edge, for the world to complain about."""
        self.note("contained")
        if len(self.contained) < CONTAINED_MAX:
            self.contained.append(error)
