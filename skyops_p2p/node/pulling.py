"""What the exchanges by digest and pull share at a node: the task that owns one, its journal, and its calls.

Receipts and verdicts (node/evidence) and statements of witnesses (node/probes) go this way. What can be held, and what
is done with it, is up to each. Spec: protocol/07b-receipts.md, protocol/08b-probes.md.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

import trio

from skyops_p2p.core import pull_events as pull
from skyops_p2p.core.machine import Effect, Event
from skyops_p2p.errors import SkyopsError, StoreError
from skyops_p2p.ports import Network, Store
from skyops_p2p.types import MonotonicS, PeerId, UnixMs
from skyops_p2p.wire.messages.evidence import ReceiptsReply, ReceiptSyncReply, VerdictsReply
from skyops_p2p.wire.messages.probes import StatementsReply, StatementSyncReply
from skyops_p2p.wire.model import Message, decode_message, encode_message

log = logging.getLogger(__name__)

NamesReply = ReceiptSyncReply | StatementSyncReply
ItemsReply = ReceiptsReply | VerdictsReply | StatementsReply
ReplyKind = type[NamesReply] | type[ItemsReply]
"""What a question is answered with."""


class PullMachine(Protocol):
    """An exchange, pure: Exchange, VerdictExchange, StatementExchange."""

    def handle(self, event: Event, now: MonotonicS) -> list[Effect]:
        """Take one event and return what is to be done, in order."""

    def next_deadline(self) -> MonotonicS | None:
        """Return when TimeCame is due, or None before Restored."""


class PullLoop:
    """The one task that owns an exchange, and the events that wait for it.

    Args:
        things: What is exchanged, as the log names it.
        exchange: Nobody else feeds it events.
        perform: Does one effect; what waits for others it starts in the nursery.
        neighbours: Tells who may be asked.
        now_ms: Wall clock.
        events_max: How many events may wait.
    """

    def __init__(
        self,
        things: str,
        exchange: PullMachine,
        perform: Callable[[Effect, trio.Nursery], Awaitable[None]],
        *,
        neighbours: Callable[[], tuple[PeerId, ...]],
        now_ms: Callable[[], UnixMs],
        events_max: int,
    ) -> None:
        self._things = things
        self._exchange = exchange
        self._perform = perform
        self._neighbours = neighbours
        self._now_ms = now_ms
        self._events_in, self._events_out = trio.open_memory_channel[Event](events_max)

    def post(self, event: Event) -> None:
        """Queue an event that a comparison, or a restart, brings again; without room it is dropped, and logged."""
        try:
            self._events_in.send_nowait(event)
        except trio.WouldBlock:
            log.info("pull_event_dropped of=%s kind=%s", self._things, type(event).__name__)

    async def send(self, event: Event) -> None:
        """Queue an event that nothing brings again, and wait for room; never called by `perform` itself."""
        await self._events_in.send(event)

    async def step(self, event: Event, nursery: trio.Nursery) -> None:
        """Have one event handled now; before `run`, or by it."""
        for effect in self._exchange.handle(event, _now()):
            await self._perform(effect, nursery)

    async def run(self, nursery: trio.Nursery) -> None:
        """Handle what comes, and TimeCame when it is due, until cancelled."""
        while True:
            deadline = self._exchange.next_deadline()
            event: Event | None = None
            with trio.move_on_at(deadline if deadline is not None else float("inf")):
                event = await self._events_out.receive()
            if event is not None:
                await self.step(event, nursery)
            if deadline is not None and trio.current_time() >= deadline:
                await self.step(pull.TimeCame(self._neighbours(), self._now_ms()), nursery)


class PullJournal:
    """What an exchange holds, written down: one entry of the journal for each key.

    Args:
        store: Where it is written.
        stem: Of the journal.
        lost: What is to be said if that fails, e.g. "verdicts are not written down".
    """

    def __init__(self, store: Store, stem: str, *, lost: str) -> None:
        self.trouble = ""
        """Why something could not be written down; empty once something else could."""
        self._store = store
        self._stem = stem
        self._lost = lost

    async def kept(self) -> tuple[bytes, ...]:
        """Return what is written down, the newest of each key.

        Raises:
            StoreError: It cannot be read.
        """
        newest = {entry.key: entry.body for entry in await self._store.entries(self._stem)}
        return tuple(newest.values())

    async def write(self, key: str, data: bytes | None) -> bool:
        """Write it in the place of what has the same key, or delete that; tell whether it was done.

        Args:
            key: Names it.
            data: None: delete it.
        """
        try:
            if data is not None:
                await self._store.append(self._stem, key, data)
            await self._store.compact(self._stem, key, keep_last=0 if data is None else 1)
        except StoreError as error:
            self.trouble = f"{self._lost}: {error.message}"
            log.warning("item_not_stored of=%s key=%s code=%s", self._stem, key[:24], error.code)
            return False
        if data is not None:  # a deletion says nothing of the room that there is
            self.trouble = ""
        return True


class PullCalls:
    """What the exchanges of one protocol and topic ask and tell over the network.

    Args:
        network: To ask and gossip through.
        protocol: Its id.
        topic: Joined by whoever runs the exchange.
        answer_s: How long an answer may take, seconds.
        rest_s: How long a peer that does not speak the protocol is left out, seconds.
        now_ms: Wall clock.
    """

    def __init__(
        self,
        network: Network,
        *,
        protocol: str,
        topic: str,
        answer_s: float,
        rest_s: float,
        now_ms: Callable[[], UnixMs],
    ) -> None:
        self._network = network
        self._protocol = protocol
        self._topic = topic
        self._answer_s = answer_s
        self._rest_s = rest_s
        self._now_ms = now_ms
        self._silent: dict[PeerId, float] = {}
        """Neighbours that do not speak the protocol, until when they are left out."""

    def neighbours(self) -> tuple[PeerId, ...]:
        """Return who is connected and may be asked, in the order of their ids."""
        now = trio.current_time()
        self._silent = {peer: until for peer, until in self._silent.items() if until > now}
        return tuple(sorted(self._network.connected_peers() - self._silent.keys()))

    async def ask(self, peer: PeerId, request: Message, kind: ReplyKind) -> Event:
        """Ask a peer, and return what came of it: NamesAnswered, ItemsAnswered or AskFailed."""
        try:
            data = await self._network.request(
                peer, self._protocol, encode_message(request), timeout_s=self._answer_s
            )
            reply: NamesReply | ItemsReply = decode_message(kind, data)
        except SkyopsError as error:
            log.debug(
                "pull_not_answered kind=%s peer=%s code=%s", type(request).__name__, peer[-8:], error.code
            )
            if error.code == "protocol_unsupported":  # it is not paid, and pays nobody
                self._silent[peer] = trio.current_time() + self._rest_s
            return pull.AskFailed(peer)
        if isinstance(reply, NamesReply):
            return pull.NamesAnswered(peer, reply.names, reply.is_complete)
        return pull.ItemsAnswered(peer, reply.items, self._now_ms())

    async def publish(self, payload: bytes) -> None:
        """Gossip it; what fails is found by whoever compares."""
        try:
            await self._network.publish(self._topic, payload)
        except SkyopsError as error:
            log.info("gossip_not_told topic=%s code=%s", self._topic, error.code)


def _now() -> MonotonicS:
    return MonotonicS(trio.current_time())
