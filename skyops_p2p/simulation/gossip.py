"""Gossip in memory: a mesh of connected subscribers, a validator at every hop, repair at the heartbeat.

The model of GossipSub 1.1 (libp2p specs, gossipsub-v1.1.md): eager push over a mesh of degree 6 (at most 8), lazy
repair (IHAVE and IWANT at three heartbeats) for whoever missed the push, a seen-cache, and a greylist of forwarders
whose messages were rejected. A message costs one heap entry for each node, not one for each hop: a copy that would
arrive later than one already on its way is counted, not carried.
"""

import zlib
from collections import Counter
from typing import TYPE_CHECKING

import trio

from skyops_p2p.ports import GossipReceived, Verdict
from skyops_p2p.simulation.entropy import derived_random
from skyops_p2p.types import PeerId

if TYPE_CHECKING:
    from skyops_p2p.simulation.fabric import SimFabric

DEGREE, DEGREE_MAX = 6, 8
"""Mesh peers that a node seeks, and that it accepts."""
HEARTBEAT_S = 1.0
LAZY_PEERS, LAZY_PART = 6, 0.25
"""Peers outside the mesh that hear of a message at a heartbeat: so many, or that part of them."""
REPAIR_ROUNDS = 3
"""Heartbeats for which a message is offered to those who miss it."""
OVERHEAD_BYTES = 150
"""Author, sequence number, signature, topic and framing around each payload."""
REJECTIONS_MAX = 8
"""Rejected messages after which a forwarder is greylisted, unless its application score is high."""
GREYLIST_SCORE = -50.0
"""Application score below which nothing of a peer is read."""


class _Message:
    """One message on its way."""

    __slots__ = ("accepted", "author", "crc", "due", "event", "payload", "seen", "topic")

    def __init__(self, topic: str, author: PeerId, payload: bytes) -> None:
        self.topic, self.author, self.payload = topic, author, payload
        self.event = GossipReceived(topic=topic, author=author, payload=payload)
        self.crc = zlib.crc32(payload)
        self.seen: set[int] = set()
        self.accepted: set[int] = set()
        self.due: dict[int, float] = {}


class GossipOverlay:
    """The meshes of all topics of a world.

    Args:
        fabric: Carries the copies.
    """

    def __init__(self, fabric: "SimFabric") -> None:
        self._fabric = fabric
        self._random = derived_random(fabric.seed, "gossip")
        self._meshes: dict[str, dict[int, dict[int, None]]] = {}
        """Topic -> subscriber -> its mesh peers; a dict without values is an ordered set."""
        self._rejections: dict[tuple[int, int], float] = {}
        """(node, forwarder) -> rejected messages so far."""
        self._greylist: set[tuple[int, int]] = set()
        self.copies = 0
        """Copies sent over links, duplicates and repairs included."""
        self.bytes_sent: Counter[int] = Counter()
        """Gossip bytes by sending node."""
        self.bytes_received: Counter[int] = Counter()
        self.duplicates = 0
        """Copies that the seen-cache absorbed."""
        self.repairs = 0
        """Copies fetched at a heartbeat because the push had missed a node."""

    # --- meshes -------------------------------------------------------------------------------------------
    def join(self, number: int, topic: str) -> None:
        """Add a subscriber and graft it onto its connected peers."""
        mesh = self._meshes.setdefault(topic, {})
        mesh.setdefault(number, {})
        self._refill(mesh, number)
        for other in self._connected(number):
            if other in mesh:
                self._graft(mesh, other, number)

    def leave(self, number: int, topic: str) -> None:
        """Remove a subscriber; its mesh peers look for another."""
        mesh = self._meshes.get(topic, {})
        for other in mesh.pop(number, {}):
            mesh[other].pop(number, None)
            self._refill(mesh, other)

    def leave_all(self, number: int) -> None:
        """Remove a node from every topic."""
        for topic in self._meshes:
            self.leave(number, topic)

    def connected(self, one: int, other: int) -> None:
        """Graft along a new connection where either side wants more peers."""
        for mesh in self._meshes.values():
            if one in mesh and other in mesh:
                self._graft(mesh, one, other)

    def disconnected(self, one: int, other: int) -> None:
        """Prune along a connection that is gone."""
        for mesh in self._meshes.values():
            if other in mesh.get(one, {}):
                del mesh[one][other]
                mesh[other].pop(one, None)
                self._refill(mesh, one)
                self._refill(mesh, other)

    def mesh_peers(self, number: int) -> dict[str, int]:
        """Return topic -> number of mesh peers of one node."""
        return {topic: len(mesh[number]) for topic, mesh in self._meshes.items() if number in mesh}

    def _connected(self, number: int) -> tuple[int, ...]:
        network = self._fabric.member(number)
        return tuple(network.connections) if network else ()

    def _refill(self, mesh: dict[int, dict[int, None]], number: int) -> None:
        for other in self._connected(number):
            if len(mesh[number]) >= DEGREE:
                return
            if other in mesh:
                self._graft(mesh, number, other)

    def _graft(self, mesh: dict[int, dict[int, None]], one: int, other: int) -> None:
        wanted = len(mesh[one]) < DEGREE or len(mesh[other]) < DEGREE
        has_room = len(mesh[one]) < DEGREE_MAX and len(mesh[other]) < DEGREE_MAX
        if wanted and has_room and not {(one, other), (other, one)} & self._greylist:
            mesh[one][other] = None
            mesh[other][one] = None

    # --- messages -----------------------------------------------------------------------------------------
    def publish(self, number: int, author: PeerId, topic: str, payload: bytes) -> None:
        """Send a message into the mesh, and offer it at the next heartbeats to whoever missed it."""
        message = _Message(topic, author, payload)
        message.seen.add(number)
        message.accepted.add(number)
        self._fabric.note("publish", number, detail=message.crc)
        self._forward(message, number, came_from=-1)
        self._fabric.queue.after(HEARTBEAT_S * (1 - 0.5 * self._random.random()), self._repair, message, 1)

    def _forward(self, message: _Message, number: int, *, came_from: int) -> None:
        mesh = self._meshes.get(message.topic, {})
        peers = mesh.get(number) or self._fanout(message.topic, number)
        size = len(message.payload) + OVERHEAD_BYTES
        for other in peers:
            if other != came_from:
                self._count_copy(number, other, size)
                if other in message.seen:
                    self.duplicates += 1
                else:
                    self._send(message, number, other, hops=1)

    def _fanout(self, topic: str, number: int) -> tuple[int, ...]:
        """Return where a publisher without a mesh sends: to some connected subscribers."""
        mesh = self._meshes.get(topic, {})
        return tuple(other for other in self._connected(number) if other in mesh)[:DEGREE]

    def _send(self, message: _Message, source: int, target: int, *, hops: int) -> None:
        base = trio.current_time() + hops * self._fabric.latency.one_way_s(source, target)
        fate = self._fabric.fate(source, target)
        for extra_s in fate:
            at = base + extra_s
            if len(fate) > 1 or at < message.due.get(target, float("inf")):
                message.due[target] = at
                self._fabric.queue.at(at, self._arrive, message, source, target)

    def _arrive(self, message: _Message, source: int, target: int) -> None:
        if target in message.seen:
            self.duplicates += 1
            return
        network = self._fabric.member(target)
        is_subscribed = target in self._meshes.get(message.topic, {})
        if network is None or not is_subscribed or source not in network.connections:
            return
        if self._greylist and (target, source) in self._greylist:
            return
        message.seen.add(target)
        verdict = network.judge(message.topic, message.author, message.payload)
        self._fabric.note(verdict.value, source, target, detail=message.crc)
        if verdict is Verdict.ACCEPT:
            message.accepted.add(target)
            network.deliver_gossip(message.event)
            self._forward(message, target, came_from=source)
        elif verdict is Verdict.REJECT:
            self._blame(target, source)

    def _repair(self, message: _Message, heartbeat: int) -> None:
        """Offer the message to whoever missed the push: from the side, holders or missing ones, that is smaller."""
        mesh = self._meshes.get(message.topic, {})
        missing = len(mesh) - len(message.seen)
        if 0 < missing < len(message.accepted):
            for number in tuple(mesh):
                if number not in message.seen:
                    self._fetch_from_any(message, number)
        elif missing > 0:
            for holder in sorted(message.accepted):
                self._offer(message, mesh, holder)
        if heartbeat < REPAIR_ROUNDS:
            self._fabric.queue.after(HEARTBEAT_S, self._repair, message, heartbeat + 1)

    def _offer(self, message: _Message, mesh: dict[int, dict[int, None]], holder: int) -> None:
        """Tell some connected peers outside the mesh that there is a message (IHAVE); those without it fetch it."""
        own_mesh = mesh.get(holder, {})
        lazy = [other for other in self._connected(holder) if other in mesh and other not in own_mesh]
        count = max(LAZY_PEERS, round(LAZY_PART * len(lazy)))
        told = self._random.sample(lazy, count) if count < len(lazy) else lazy
        for other in (*own_mesh, *told):
            if other not in message.seen:
                self._fetch(message, holder, other)

    def _fetch_from_any(self, message: _Message, number: int) -> None:
        holders = [other for other in self._connected(number) if other in message.accepted]
        if holders:
            self._fetch(message, self._random.choice(holders), number)

    def _fetch(self, message: _Message, holder: int, number: int) -> None:
        message.due.pop(number, None)
        self.repairs += 1
        self._count_copy(holder, number, len(message.payload) + OVERHEAD_BYTES)
        self._send(message, holder, number, hops=3)  # IHAVE, IWANT, message

    def _count_copy(self, source: int, target: int, size: int) -> None:
        self.copies += 1
        self.bytes_sent[source] += size
        self.bytes_received[target] += size

    # --- scores -------------------------------------------------------------------------------------------
    def set_score(self, number: int, peer: int, score: float) -> None:
        """Set the application part of a forwarder's score at one node."""
        if score <= GREYLIST_SCORE:
            self._shut_out(number, peer)
        else:
            self._greylist.discard((number, peer))

    def _blame(self, number: int, forwarder: int) -> None:
        key = (number, forwarder)
        self._rejections[key] = self._rejections.get(key, 0) + 1
        if self._rejections[key] >= REJECTIONS_MAX:
            self._shut_out(number, forwarder)

    def _shut_out(self, number: int, peer: int) -> None:
        self._greylist.add((number, peer))
        for mesh in self._meshes.values():
            if peer in mesh.get(number, {}):
                del mesh[number][peer]
                mesh.get(peer, {}).pop(number, None)
                self._refill(mesh, number)
