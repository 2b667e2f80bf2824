"""The one task that owns a node's core: it feeds events in, keeps the deadlines, and hands the effects out.

The same dispatcher runs over libp2p and in the simulator; only the ports differ.
"""

import logging
from collections.abc import Callable, Mapping, Sequence

import trio

from skyops_p2p import limits
from skyops_p2p.core import node_events as ev
from skyops_p2p.core.intake import Judgement
from skyops_p2p.core.machine import Effect, Event
from skyops_p2p.core.node_core import NodeCore
from skyops_p2p.core.rules import NODE_PROTOCOL
from skyops_p2p.node.feed import Feed
from skyops_p2p.node.hardware_parts import hardware_parts
from skyops_p2p.node.performer import Performer
from skyops_p2p.node.ports_bundle import NodePorts
from skyops_p2p.node.service import NodeService
from skyops_p2p.node.views import NodeEventView
from skyops_p2p.ports import (
    GossipReceived,
    Network,
    NetworkEvent,
    PeerConnected,
    PeerDisconnected,
    PeerDiscovered,
    Store,
    Verdict,
)
from skyops_p2p.types import MonotonicS, PeerId

log = logging.getLogger(__name__)

_VERDICTS = {
    Judgement.ACCEPT: Verdict.ACCEPT,
    Judgement.IGNORE: Verdict.IGNORE,
    Judgement.REJECT: Verdict.REJECT,
}
SPOKE_INTERVAL_S = 1.0
"""A peer that asks often counts as a sign of life this often."""


class Dispatcher:
    """Runs one core over one set of ports.

    Args:
        core: Owned by this object: nobody else calls `handle`.
        network: Entered and listening.
        store: Open.
        ports: Clock, entropy, hardware and stake.
    """

    def __init__(self, core: NodeCore, network: Network, store: Store, *, ports: NodePorts) -> None:
        self.core = core
        self.feed = Feed()
        self.events_dropped = 0
        """Events that found the queue full."""
        self._network = network
        self._ports = ports
        self._sender, self._receiver = trio.open_memory_channel[Event](limits.EVENT_QUEUE_MAX)
        self.performer = Performer(core, network, store, ports=ports, post=self.post)
        self._service = NodeService(
            core, self.performer.reach, wall_clock=ports.wall_clock, entropy=ports.entropy
        )
        self._spoke_at: dict[PeerId, float] = {}
        self._changed = trio.Event()
        self._hearers: dict[str, Callable[[PeerId, bytes], None]] = {}

    def hears(self, hearers: Mapping[str, Callable[[PeerId, bytes], None]]) -> None:
        """Hand accepted gossip of other topics than the core's to whom it concerns; they must not wait."""
        self._hearers.update(hearers)

    def post(self, event: Event) -> None:
        """Queue an event for the core, without waiting; when the queue is full it is dropped and counted."""
        try:
            self._sender.send_nowait(event)
        except trio.WouldBlock:
            self.events_dropped += 1
            log.warning("event_dropped kind=%s", type(event).__name__)

    async def run(
        self, started: ev.NodeStarted, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Run until cancelled; reports started once the topic is joined and the core knows."""
        self._network.serve_requests(
            self.core.rules.protocol_id(NODE_PROTOCOL), self._answer, bytes_max=limits.MESSAGE_BYTES_MAX
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.performer.run_lane)
            self._step(started, nursery)
            await self._network.subscribe(self.core.rules.presence_topic, self._judge)
            nursery.start_soon(self._pump)
            nursery.start_soon(self._probe_hardware)
            task_status.started()
            await self._loop(nursery)

    async def connect(self, peer: PeerId, *, timeout_s: float) -> None:
        """Dial a peer unless it is connected; see Performer.connect."""
        await self.performer.connect(peer, timeout_s=timeout_s)

    async def say_goodbye(self) -> None:
        """Publish the leaving heartbeat and write what is unwritten; bounded by PUBLISH_TIMEOUT_S."""
        effects = self.core.handle(ev.NodeStopping(self._ports.wall_clock.now_ms()), _now())
        with trio.move_on_after(limits.PUBLISH_TIMEOUT_S):
            await self.performer.perform_ordered(effects)

    async def wait_changed(self) -> None:
        """Wait until the core has handled another event, or a session came or went."""
        await self._changed.wait()

    async def _loop(self, nursery: trio.Nursery) -> None:
        while True:
            deadline = self.core.next_deadline()
            event: Event | None = None
            with trio.move_on_at(deadline if deadline is not None else float("inf")):
                event = await self._receiver.receive()
            if event is not None:
                self._step(event, nursery)
            if deadline is not None and trio.current_time() >= deadline:
                self._step(ev.TimeCame(self._ports.wall_clock.now_ms()), nursery)

    def _step(self, event: Event, nursery: trio.Nursery) -> None:
        effects = self.core.handle(event, _now())
        self._notify(effects)
        self.performer.submit(effects, nursery)
        self._mark_changed()

    def _mark_changed(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    def _notify(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, ev.Notify):
                log.info("%s peer=%s %s", effect.kind, effect.peer[-8:], effect.text)
                self.tell(effect.kind, effect.peer, effect.text)

    def tell(self, kind: str, peer: PeerId, text: str) -> None:
        """Tell all watchers of the feed."""
        view = {"kind": kind, "peer_id": peer, "text": text, "unix_ms": self._ports.wall_clock.now_ms()}
        self.feed.tell(NodeEventView.model_validate(view))
        self._mark_changed()

    async def _pump(self) -> None:
        """Turn the network's events into the core's."""
        async for event in self._network.events():
            if isinstance(event, GossipReceived) and event.topic in self._hearers:
                self._hearers[event.topic](event.author, event.payload)
            else:
                self.post(self._translate(event))

    def _translate(self, event: NetworkEvent) -> Event:
        match event:
            case PeerConnected(peer, addrs, is_outbound):
                return ev.ConnectionUp(peer, addrs, is_outbound)
            case PeerDisconnected(peer):
                self._spoke_at.pop(peer, None)
                return ev.ConnectionDown(peer)
            case PeerDiscovered(peer, addrs, _):
                return ev.PeerHeardOf(peer, addrs)
            case GossipReceived(_, author, payload):
                return ev.GossipArrived(author, payload, self._ports.wall_clock.now_ms())

    def _judge(self, _topic: str, author: PeerId, payload: bytes) -> Verdict:
        """Judge gossip for the network; runs inside its validator, so it is quick and never raises."""
        judgement = self.core.judge(author, payload, now=_now(), unix=self._ports.wall_clock.now_ms())
        if (
            judgement is Judgement.IGNORE
            and self.core.intake.is_flooding(author)
            and author in self.core.book.connected()
        ):
            self.post(ev.PeerMisbehaved(author, "flood"))
        return _VERDICTS[judgement]

    async def _answer(self, peer: PeerId, request: bytes) -> bytes:
        now = trio.current_time()
        if now - self._spoke_at.get(peer, -SPOKE_INTERVAL_S) >= SPOKE_INTERVAL_S:
            self._spoke_at[peer] = now
            self.post(ev.PeerSpoke(peer))
        return await self._service.answer(peer, request, MonotonicS(now))

    async def _probe_hardware(self) -> None:
        """Look at the machine now and then: a GPU may fall off the bus, an engine may be installed."""
        while True:
            hardware, runtimes = hardware_parts(await self._ports.hardware.probe())
            self.post(ev.HardwareProbed(hardware, runtimes))
            await trio.sleep(limits.HARDWARE_PROBE_INTERVAL_S)


def _now() -> MonotonicS:
    return MonotonicS(trio.current_time())
