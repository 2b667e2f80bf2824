"""Read and judge pubsub messages: libp2p's Pubsub and GossipSub with the parts that face strangers replaced.

Replaced are the read loop (libp2p ends the node on a bad message, reads byte by byte and starts a task for
each message), the judgement of a message (its validators know no IGNORE), the duplicate cache (a leaked
thread, no bound), and the control lists (unbounded, under topics of the peer's choice).

Sources: libp2p pubsub specification, gossipsub v1.1 (Spam Protection Measures, Peer Scoring).
"""

import logging
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import trio
from google.protobuf.message import DecodeError
from libp2p.peer.id import ID
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.pubsub import Pubsub
from libp2p.pubsub.score import PeerScorer
from libp2p.pubsub.validators import signature_validator

from skyops_p2p import limits
from skyops_p2p.adapters.libp2p.frames import Libp2pFrameStream
from skyops_p2p.adapters.libp2p.host import Contain, reset_stream
from skyops_p2p.errors import NetworkError, RemoteProtocolError
from skyops_p2p.ports import Validator, Verdict
from skyops_p2p.types import PeerId

logger = logging.getLogger(__name__)

SEQNO_BYTES_MAX = 32
PEER_ID_BYTES_MAX = 64


@dataclass(slots=True)
class GossipCounters:
    """What happened to messages since the start."""

    published: int = 0
    delivered: int = 0
    rejected: int = 0
    ignored: int = 0
    dropped_rate: int = 0
    """Messages of a forwarder above GOSSIP_PER_PEER_RATE."""


class SeenCache:
    """Message ids seen in the last GOSSIP_SEEN_S seconds, at most GOSSIP_SEEN_MAX of them."""

    def __init__(self) -> None:
        self._seen: OrderedDict[bytes, float] = OrderedDict()

    def has(self, key: bytes) -> bool:
        """Tell whether an id was seen and not forgotten."""
        return key in self._seen

    def add(self, key: bytes) -> bool:
        """Remember an id; True if it is new."""
        now = trio.current_time()
        while self._seen and (
            len(self._seen) >= limits.GOSSIP_SEEN_MAX or now > next(iter(self._seen.values()))
        ):
            self._seen.popitem(last=False)
        is_new = key not in self._seen
        self._seen.setdefault(key, now + limits.GOSSIP_SEEN_S)
        return is_new

    def stop(self) -> None:
        """Nothing runs in the background."""


class TokenBucket:
    """Allows GOSSIP_PER_PEER_RATE messages per second, and GOSSIP_PER_PEER_BURST at once."""

    def __init__(self, now: float) -> None:
        self._tokens = float(limits.GOSSIP_PER_PEER_BURST)
        self._at = now

    def take(self, now: float) -> bool:
        """Take one token; False if there is none."""
        grown = self._tokens + (now - self._at) * limits.GOSSIP_PER_PEER_RATE
        self._tokens = min(grown, float(limits.GOSSIP_PER_PEER_BURST))
        self._at = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


class SkyopsScorer(PeerScorer):
    """Peer scores whose gates also look at the application's part; libp2p's look at one topic's part only."""

    def allow_publish(self, peer: ID, topics: list[str]) -> bool:
        """Tell whether messages from and to the peer pass."""
        return bool(self.score(peer, topics) >= self.params.publish_threshold)

    def allow_gossip(self, peer: ID, topics: list[str]) -> bool:
        """Tell whether the peer gets messages and gossip."""
        return bool(self.score(peer, topics) >= self.params.gossip_threshold)


class SkyopsRouter(GossipSub):
    """GossipSub that keeps no books about messages that nobody reads."""

    def _check_equivocation(self, msg: Any) -> bool:
        # The duplicate cache holds one message per (author, number) already.
        return True

    async def publish(self, msg_forwarder: ID, pubsub_msg: Any) -> None:
        """Forward an accepted message."""
        await super().publish(msg_forwarder, pubsub_msg)
        # Statistics for the adaptive mode, which is off; libp2p only ever appends to them.
        self.recent_message_deliveries.clear()


class SkyopsPubsub(Pubsub):
    """Pubsub whose strangers can neither end it nor fill its memory.

    Args:
        host: The host.
        router: The GossipSub router.
        topic_prefix: Only topics that begin so are known to exist.
        deliver: Called with (topic, author, payload) for each accepted message of others.
        contain: Called for each stopped error of foreign code.
    """

    def __init__(
        self,
        host: Any,
        router: SkyopsRouter,
        *,
        topic_prefix: str,
        deliver: Callable[[str, PeerId, bytes], None],
        contain: Contain,
    ) -> None:
        super().__init__(host, router, strict_signing=True, max_inbound_rpc_size=limits.GOSSIP_RPC_BYTES_MAX)
        self._stop_foreign_cache()
        self.seen_messages: Any = SeenCache()
        self.counters = GossipCounters()
        self.validators: dict[str, Validator] = {}
        self._topic_prefix = topic_prefix
        self._deliver = deliver
        self._contain = contain
        self._malformed: Counter[ID] = Counter()
        self._buckets: dict[ID, TokenBucket] = {}
        self._write_locks: dict[int, trio.Lock] = {}

    def _stop_foreign_cache(self) -> None:
        cache: Any = self.__dict__["seen_messages"]
        cache.stop()

    # --- reading --------------------------------------------------------------------------------------------
    async def continuously_read_stream(self, stream: Any) -> None:
        """Take frames from one inbound stream until it ends or misbehaves."""
        peer = stream.muxed_conn.peer_id
        frames = Libp2pFrameStream(stream)
        try:
            while self.manager.is_running:
                frame = await frames.receive_frame(bytes_max=limits.GOSSIP_RPC_BYTES_MAX)
                await self._take_frame(peer, frame)
        except NetworkError as error:
            logger.debug("gossip_stream_ended peer=%s reason=%s", str(peer)[-8:], error.code)
            await frames.aclose()
        except RemoteProtocolError as error:
            self._contain("gossip frame", peer, error)
            await self._blame(peer, stream)

    async def _blame(self, peer: ID, stream: Any) -> None:
        self._malformed[peer] += 1
        self.router.scorer.penalize_behavior(peer, 1.0)
        await reset_stream(stream)
        if self._malformed[peer] >= limits.GOSSIP_MALFORMED_MAX:
            del self._malformed[peer]
            for connection in self.host.get_network().get_connections(peer):
                await self.host.get_network().drop(connection)

    async def _take_frame(self, peer: ID, frame: bytes) -> None:
        rpc = rpc_pb2.RPC()
        try:
            rpc.ParseFromString(frame)
        except DecodeError as error:
            raise RemoteProtocolError("not a pubsub frame", code="malformed", peer=str(peer)) from error
        try:
            for subscription in rpc.subscriptions[: limits.GOSSIP_TOPICS_PER_PEER_MAX]:
                self.handle_subscription(peer, subscription)
            for message in rpc.publish[: limits.GOSSIP_RPC_MESSAGES_MAX]:
                await self.push_msg(peer, message)
            if rpc.HasField("control"):
                await self.router.handle_rpc(rpc_pb2.RPC(control=self._bounded_control(rpc.control)), peer)
        except Exception as error:  # noqa: BLE001 - the router is foreign code that works on a peer's bytes
            self._contain("gossip", peer, error)

    def handle_subscription(self, origin_id: ID, sub_message: Any) -> None:
        """Note that a peer joins or leaves one of our network's topics."""
        if not sub_message.topicid.startswith(self._topic_prefix):
            return
        if self._peer_subscription_count.get(origin_id, 0) >= limits.GOSSIP_TOPICS_PER_PEER_MAX:
            return
        super().handle_subscription(origin_id, sub_message)

    def _bounded_control(self, control: Any) -> Any:
        """Copy what concerns our topics, at most so many of each; peer exchange and v1.2 are left out."""
        most = limits.GOSSIP_CONTROL_ITEMS_MAX
        kept = rpc_pb2.ControlMessage()
        for ihave in control.ihave[:most]:
            if ihave.topicID in self.topic_ids:
                kept.ihave.add(topicID=ihave.topicID, messageIDs=ihave.messageIDs[:most])
        for iwant in control.iwant[:most]:
            kept.iwant.add(messageIDs=iwant.messageIDs[:most])
        for graft in control.graft[:most]:
            if graft.topicID.startswith(self._topic_prefix):
                kept.graft.add(topicID=graft.topicID)
        for prune in control.prune[:most]:
            if prune.topicID in self.topic_ids:
                kept.prune.add(topicID=prune.topicID, backoff=min(prune.backoff, 3600))
        return kept

    # --- judging --------------------------------------------------------------------------------------------
    async def push_msg(self, msg_forwarder: ID, msg: Any) -> None:
        """Judge a message, and if it is accepted deliver and forward it; our own are only forwarded."""
        if msg_forwarder == self.my_id:
            self._mark_msg_seen(msg)
            await self.router.publish(msg_forwarder, msg)
            return
        if self._is_msg_seen(msg) or not self._is_welcome(msg_forwarder, msg):
            return
        verdict = self._judge(msg_forwarder, msg)
        # Also of refused messages: judging a signature twice is what a flood would want.
        self._mark_msg_seen(msg)
        if verdict is Verdict.REJECT:
            self.counters.rejected += 1
            self.router.scorer.on_invalid_message(msg_forwarder, self._own_topic(msg))
        elif verdict is Verdict.IGNORE:
            self.counters.ignored += 1
        else:
            topic = msg.topicIDs[0]
            self.counters.delivered += 1
            self.router.scorer.on_first_delivery(msg_forwarder, topic)
            self._deliver(topic, PeerId(ID(msg.from_id).to_base58()), msg.data)
            await self.router.publish(msg_forwarder, msg)

    def _is_welcome(self, forwarder: ID, msg: Any) -> bool:
        bucket = self._buckets.get(forwarder)
        if bucket is None:
            bucket = self._buckets[forwarder] = TokenBucket(trio.current_time())
        if not bucket.take(trio.current_time()):
            self.counters.dropped_rate += 1
            return False
        return self.router.scorer.allow_publish(forwarder, [self._own_topic(msg)])

    def _own_topic(self, msg: Any) -> str:
        # Scores are kept under topics of ours only, or a peer could grow them without bound.
        return next((topic for topic in msg.topicIDs[:1] if topic in self.validators), "")

    def _judge(self, forwarder: ID, msg: Any) -> Verdict:
        if len(msg.topicIDs) != 1:
            return Verdict.REJECT
        validator = self.validators.get(msg.topicIDs[0])
        if validator is None:
            return Verdict.IGNORE
        if len(msg.data) > limits.GOSSIP_BYTES_MAX or len(msg.seqno) > SEQNO_BYTES_MAX or not msg.seqno:
            return Verdict.REJECT
        if not 0 < len(msg.from_id) <= PEER_ID_BYTES_MAX:
            return Verdict.REJECT
        author = ID(msg.from_id)
        if author == self.my_id:
            return Verdict.IGNORE
        try:
            if not signature_validator(msg):
                return Verdict.REJECT
        except Exception as error:  # noqa: BLE001 - keys of any kind, parsed by several libraries
            self._contain("gossip signature", forwarder, error)
            return Verdict.REJECT
        return self._ask(validator, msg.topicIDs[0], author, msg.data)

    def _ask(self, validator: Validator, topic: str, author: ID, payload: bytes) -> Verdict:
        try:
            return validator(topic, PeerId(author.to_base58()), payload)
        except Exception as error:  # noqa: BLE001 - a validator of ours that raises must not end the node
            self._contain("gossip validator", author, error)
            return Verdict.IGNORE

    # --- writing --------------------------------------------------------------------------------------------
    def get_hello_packet(self) -> Any:
        """Return our subscriptions, without the signed record that identify carries."""
        packet = rpc_pb2.RPC()
        packet.subscriptions.extend(
            rpc_pb2.RPC.SubOpts(subscribe=True, topicid=topic) for topic in self.topic_ids
        )
        return packet

    async def write_msg(self, stream: Any, rpc_msg: Any) -> bool:
        """Write one frame; frames of several tasks never mix."""
        rpc_msg.ClearField("senderRecord")
        lock = self._write_locks.setdefault(id(stream), trio.Lock())
        async with lock:
            return bool(await super().write_msg(stream, rpc_msg))

    def _handle_dead_peer(self, peer_id: ID) -> None:
        stream = self.peers.get(peer_id)
        self._write_locks.pop(id(stream), None)
        super()._handle_dead_peer(peer_id)

    def forget_peer(self, peer_id: ID) -> None:
        """Drop what is kept about a disconnected peer."""
        self._malformed.pop(peer_id, None)
        self._buckets.pop(peer_id, None)
