"""Topics: GossipSub 1.1 with parameters that work, pacing, and scores.

Measured elsewhere and kept: degree 6 (4 to 8), a heartbeat of one second (libp2p's default is 120), v1.1
(v1.2 costs twice the CPU), no spam protection of libp2p's own (10 messages a second, then silence), no
adaptive or eclipse modes, no peer exchange. Sequence numbers start at the clock in nanoseconds: libp2p
starts at whole seconds, and a restarted node would be taken for an echo of itself.

libp2p subtracts P4 times its weight, so the weight of invalid messages is positive here.
"""

import logging
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import trio
from libp2p.peer.id import ID
from libp2p.pubsub.gossipsub import PROTOCOL_ID_V11
from libp2p.pubsub.score import ScoreParams, TopicScoreParams
from libp2p.tools.anyio_service import background_trio_service

from skyops_p2p import limits
from skyops_p2p.adapters.libp2p.host import Contain
from skyops_p2p.adapters.libp2p.pubsub import SkyopsPubsub, SkyopsRouter, SkyopsScorer
from skyops_p2p.errors import NetworkError
from skyops_p2p.ports import Validator
from skyops_p2p.types import PeerId

logger = logging.getLogger(__name__)

PACE_POLL_S = 0.005
"""How often a paced publisher looks at the queues."""


class Gossip:
    """The topics of one network over one host."""

    def __init__(
        self,
        host: Any,
        network: str,
        *,
        heartbeat_s: float,
        deliver: Callable[[str, PeerId, bytes], None],
        contain: Contain,
    ) -> None:
        self._scores: dict[ID, float] = {}
        self._router = _build_router(heartbeat_s, lambda peer: self._scores.get(peer, 0.0))
        self._pubsub = SkyopsPubsub(
            host, self._router, topic_prefix=f"/skyops/{network}/", deliver=deliver, contain=contain
        )
        self._pubsub.counter = time.time_ns()
        self.counters = self._pubsub.counters

    async def start(self, stack: AsyncExitStack) -> None:
        """Run until the stack is closed."""
        await stack.enter_async_context(background_trio_service(self._pubsub))
        await stack.enter_async_context(background_trio_service(self._router))
        await self._pubsub.wait_until_ready()

    async def subscribe(self, topic: str, validator: Validator) -> None:
        """Join a topic; a second call replaces the validator."""
        self._pubsub.validators[topic] = validator
        with trio.fail_after(limits.GOSSIP_PUBLISH_TIMEOUT_S):
            await self._pubsub.subscribe(topic)

    async def unsubscribe(self, topic: str) -> None:
        """Leave a topic."""
        self._pubsub.validators.pop(topic, None)
        with trio.move_on_after(limits.GOSSIP_PUBLISH_TIMEOUT_S):
            await self._pubsub.unsubscribe(topic)

    async def publish(self, topic: str, payload: bytes) -> None:
        """Publish, waiting while the queues toward the mesh are long.

        Raises:
            NetworkError: The payload is longer than GOSSIP_BYTES_MAX (`payload_too_large`), or the mesh did not
                drain in time (`publish_timeout`).
        """
        if len(payload) > limits.GOSSIP_BYTES_MAX:
            message = f"a gossip payload of {len(payload)} bytes; the limit is {limits.GOSSIP_BYTES_MAX}"
            raise NetworkError(message, code="payload_too_large", hint="Send it over a stream instead.")
        try:
            with trio.fail_after(limits.GOSSIP_PUBLISH_TIMEOUT_S):
                await self._wait_for_room(topic)
                await self._pubsub.publish(topic, payload)
        except trio.TooSlowError as error:
            raise NetworkError(
                f"publishing on {topic} did not finish in time", code="publish_timeout"
            ) from error
        self.counters.published += 1

    async def _wait_for_room(self, topic: str) -> None:
        # libp2p's queues tell nobody when they drain, so they are looked at.
        while self._longest_queue(topic) >= limits.GOSSIP_QUEUE_PACE:  # noqa: ASYNC110
            await trio.sleep(PACE_POLL_S)

    def set_score(self, peer: ID, score: float) -> None:
        """Set the application's part of a peer's score."""
        self._scores[peer] = max(-100.0, min(100.0, score))
        if len(self._scores) > limits.ADDRESS_BOOK_PEERS_MAX:
            del self._scores[next(iter(self._scores))]

    def forget_peer(self, peer: ID) -> None:
        """Drop counters of a disconnected peer; the application's score stays."""
        self._pubsub.forget_peer(peer)

    def mesh_peers(self) -> dict[str, int]:
        """Return {topic: peers in its mesh}."""
        return {topic: len(peers) for topic, peers in self._router.mesh.items()}

    def topic_peers(self, topic: str) -> frozenset[PeerId]:
        """Return the connected peers that joined a topic."""
        return frozenset(PeerId(peer.to_base58()) for peer in self._pubsub.peer_topics.get(topic, ()))

    def _longest_queue(self, topic: str) -> int:
        queues = self._pubsub.peer_queues
        return max(
            (len(queues[peer]) for peer in self._router.mesh.get(topic, ()) if peer in queues), default=0
        )


def _build_router(heartbeat_s: float, app_score: Callable[[ID], float]) -> SkyopsRouter:
    scores = ScoreParams(
        p2_first_message_deliveries=TopicScoreParams(0.5, 50.0, 0.9),
        p4_invalid_messages=TopicScoreParams(10.0, 100.0, 0.9),
        p5_behavior_penalty_weight=10.0,
        p5_behavior_penalty_decay=0.9,
        p6_appl_slack_weight=1.0,
        app_specific_score_fn=app_score,
        gossip_threshold=-20.0,
        publish_threshold=-50.0,
        graylist_threshold=-80.0,
    )
    router = SkyopsRouter(
        protocols=[PROTOCOL_ID_V11],
        degree=6,
        degree_low=4,
        degree_high=8,
        heartbeat_interval=heartbeat_s,
        heartbeat_initial_delay=min(0.1, heartbeat_s),
        gossip_window=3,
        gossip_history=5,
        time_to_live=60,
        prune_back_off=60,
        unsubscribe_back_off=10,
        do_px=False,
        score_params=scores,
        adaptive_gossip_enabled=False,
        spam_protection_enabled=False,
        eclipse_protection_enabled=False,
    )
    router.scorer = SkyopsScorer(scores)
    return router
