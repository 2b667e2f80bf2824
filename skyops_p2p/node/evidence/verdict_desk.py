"""Runs the exchange of verdicts over the node's ports, beside that of receipts: same topic, same protocol.

One task owns it. What is held is written down, and checked again after a restart before it counts. Spec:
protocol/07b-receipts.md, "Verdicts".
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import trio

from skyops_p2p import limits
from skyops_p2p.core import node_events
from skyops_p2p.core import pull_events as pull
from skyops_p2p.core.evidence import events as ev
from skyops_p2p.core.evidence.verdict_exchange import REQUESTS, VerdictExchange
from skyops_p2p.core.machine import Effect, Event
from skyops_p2p.core.verification.check import CheckedVerdict
from skyops_p2p.core.verification.policy import counts_for_others
from skyops_p2p.errors import ExecutionError, SkyopsError, StoreError
from skyops_p2p.node.host import Host
from skyops_p2p.node.reputation.book import ReputationBook
from skyops_p2p.ports import Network, Store
from skyops_p2p.types import MonotonicS, PeerId
from skyops_p2p.wire.messages.evidence import (
    ReceiptSyncReply,
    VerdictNames,
    VerdictsReply,
    VerdictsRequest,
    VerdictSyncRequest,
)
from skyops_p2p.wire.model import Message, decode_fields, decode_message, encode_message

log = logging.getLogger(__name__)

STEM = "verdicts"
"""Of the journal: one entry for each verdict, by its name in hex."""


@dataclass(frozen=True, slots=True)
class VerdictTools:
    """What the exchange of receipts lends that of verdicts."""

    network: Network
    protocol: str
    """That of receipts."""
    store: Store
    host: Host
    """Bans liars."""
    book: ReputationBook
    """Makes scores of what is held; its clock dates."""
    publish: Callable[[bytes], Awaitable[None]]
    """Gossips on the topic of receipts."""
    is_funded: Callable[[ev.Pair], Awaitable[bool | None]]
    """Looks whether a pair has money on chain; None: the chain cannot be asked."""
    neighbours: Callable[[], tuple[PeerId, ...]]
    """Who may be asked."""


class VerdictDesk:
    """The verdicts of everybody, as far as one node holds them.

    Args:
        exchange: What it runs.
        tools: Lent by the exchange of receipts.
    """

    def __init__(self, exchange: VerdictExchange, tools: VerdictTools) -> None:
        self.exchange = exchange
        self.trouble = ""
        """Why something that is held could not be written down; empty if it could."""
        self._tools = tools
        self._events_in, self._events_out = trio.open_memory_channel[Event](limits.RECEIPT_EVENTS_MAX)

    # --- what it is told --------------------------------------------------------------------------------------------
    def keep_own(self, checked: CheckedVerdict, data: bytes) -> None:
        """Count a verdict of this node, and tell others what says something to them; returns at once."""
        if counts_for_others(checked):
            self._post(ev.OwnVerdictMade(data))
        else:
            self._tools.book.hold_verdict(checked)

    def hears(self, author: PeerId, payload: bytes) -> bool:
        """Take gossip that `judge` has accepted; False: it is about receipts."""
        if decode_fields(payload)[0] != VerdictNames.number:
            return False
        self._post(ev.GossipAccepted(author, payload, self._tools.book.wall_clock.now_ms()))
        return True

    def answer(self, peer: PeerId, request: bytes) -> bytes | None:
        """Answer a request; None: it is about receipts.

        Raises:
            RemoteProtocolError: See VerdictExchange.answer.
        """
        if decode_fields(request)[0] not in REQUESTS:
            return None
        return self.exchange.answer(peer, request, _now())

    def find(self, name: str) -> bytes:
        """Return a verdict that is held.

        Args:
            name: How its name in hex begins, 4 to 64 digits.

        Raises:
            ExecutionError: Code `no_verdict`: none begins so, or several do.
        """
        found = [item.data for item in self.exchange.shelf.all() if item.name.hex().startswith(name)]
        if len(found) != 1:
            raise ExecutionError(
                f"{len(found) or 'no'} verdicts that are held here begin with {name!r}",
                code="no_verdict",
                hint="`skyops verdict` lists them; give more digits.",
            )
        return found[0]

    # --- life -------------------------------------------------------------------------------------------------------
    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Take part until cancelled; started once what was held counts again.

        Raises:
            StoreError: What was held cannot be read.
        """
        async with trio.open_nursery() as nursery:
            newest = {entry.key: entry.body for entry in await self._tools.store.entries(STEM)}
            for data in newest.values():  # each takes milliseconds to check: others go on in between
                await self._step(pull.Restored((data,), self._tools.book.wall_clock.now_ms()), nursery)
                await trio.lowlevel.checkpoint()
            if not newest:
                await self._step(pull.Restored((), self._tools.book.wall_clock.now_ms()), nursery)
            task_status.started()
            await self._loop(nursery)

    async def _loop(self, nursery: trio.Nursery) -> None:
        while True:
            deadline = self.exchange.next_deadline()
            event: Event | None = None
            with trio.move_on_at(deadline if deadline is not None else float("inf")):
                event = await self._events_out.receive()
            if event is not None:
                await self._step(event, nursery)
            if deadline is not None and trio.current_time() >= deadline:
                time = pull.TimeCame(self._tools.neighbours(), self._tools.book.wall_clock.now_ms())
                await self._step(time, nursery)

    async def _step(self, event: Event, nursery: trio.Nursery) -> None:
        for effect in self.exchange.handle(event, _now()):
            await self._perform(effect, nursery)

    def _post(self, event: Event) -> None:
        try:
            self._events_in.send_nowait(event)
        except trio.WouldBlock:  # a comparison, or a restart, finds it again
            log.info("verdict_event_dropped kind=%s", type(event).__name__)

    # --- what it does -----------------------------------------------------------------------------------------------
    async def _perform(self, effect: Effect, nursery: trio.Nursery) -> None:
        tools = self._tools
        match effect:
            case ev.VerdictHeld(checked):
                tools.book.hold_verdict(checked)
            case ev.VerdictGone(checked):
                tools.book.drop_verdict(checked)
            case pull.KeepItem(key, data):
                await self._write(key, data)
            case pull.ForgetItem(key):
                await self._write(key, None)
            case pull.Gossip(payload):
                nursery.start_soon(tools.publish, payload)
            case pull.AskItems(peer, names):
                nursery.start_soon(self._ask, peer, VerdictsRequest(names=names))
            case pull.AskNames(peer, digests, after):
                nursery.start_soon(self._ask, peer, VerdictSyncRequest(digests=digests, after=after))
            case ev.JudgePair(pair):
                nursery.start_soon(self._look, pair)
            case pull.BlamePeer(peer, code):
                log.info("verdict_refused peer=%s code=%s", peer[-8:], code)
                tools.host.post(node_events.PeerMisbehaved(peer, code))

    async def _write(self, key: str, data: bytes | None) -> None:
        try:
            if data is not None:
                await self._tools.store.append(STEM, key, data)
            await self._tools.store.compact(STEM, key, keep_last=0 if data is None else 1)
            self.trouble = ""
        except StoreError as error:
            self.trouble = f"verdicts are not written down: {error.message}"
            log.warning("verdict_not_stored key=%s code=%s", key[:16], error.code)

    async def _ask(self, peer: PeerId, request: Message) -> None:
        event: Event = pull.AskFailed(peer)
        try:
            reply = await self._tools.network.request(
                peer, self._tools.protocol, encode_message(request), timeout_s=limits.RECEIPT_ANSWER_S
            )
            if isinstance(request, VerdictSyncRequest):
                sync = decode_message(ReceiptSyncReply, reply)
                event = pull.NamesAnswered(peer, sync.names, sync.is_complete)
            else:
                items = decode_message(VerdictsReply, reply).items
                event = pull.ItemsAnswered(peer, items, self._tools.book.wall_clock.now_ms())
        except SkyopsError as error:
            log.debug("verdicts_not_answered peer=%s code=%s", peer[-8:], error.code)
        await self._events_in.send(event)

    async def _look(self, pair: ev.Pair) -> None:
        """Look whether a pair has money on chain. Rules: RCP-16."""
        is_funded = await self._tools.is_funded(pair)
        await self._events_in.send(ev.PairJudged(pair, is_funded, self._tools.book.wall_clock.now_ms()))


def _now() -> MonotonicS:
    return MonotonicS(trio.current_time())
