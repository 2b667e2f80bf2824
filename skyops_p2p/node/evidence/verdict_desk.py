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
from skyops_p2p.core.machine import Effect
from skyops_p2p.core.verification.check import CheckedVerdict
from skyops_p2p.core.verification.policy import counts_for_others
from skyops_p2p.errors import ExecutionError
from skyops_p2p.node.host import Host
from skyops_p2p.node.pulling import PullCalls, PullJournal, PullLoop, ReplyKind
from skyops_p2p.node.reputation.book import ReputationBook
from skyops_p2p.ports import Store
from skyops_p2p.types import MonotonicS, PeerId, UnixMs
from skyops_p2p.wire.messages.evidence import (
    ReceiptSyncReply,
    VerdictNames,
    VerdictsReply,
    VerdictsRequest,
    VerdictSyncRequest,
)
from skyops_p2p.wire.model import Message, decode_fields

log = logging.getLogger(__name__)

STEM = "verdicts"
"""Of the journal: one entry for each verdict, by its name in hex."""


@dataclass(frozen=True, slots=True)
class VerdictTools:
    """What the exchange of receipts lends that of verdicts."""

    calls: PullCalls
    """Asks and gossips on the topic of receipts."""
    store: Store
    host: Host
    """Bans liars."""
    book: ReputationBook
    """Makes scores of what is held; its clock dates."""
    is_funded: Callable[[ev.Pair], Awaitable[bool | None]]
    """Looks whether a pair has money on chain; None: the chain cannot be asked."""


class VerdictDesk:
    """The verdicts of everybody, as far as one node holds them.

    Args:
        exchange: What it runs.
        tools: Lent by the exchange of receipts.
    """

    def __init__(self, exchange: VerdictExchange, tools: VerdictTools) -> None:
        self.exchange = exchange
        self._tools = tools
        self._journal = PullJournal(tools.store, STEM, lost="verdicts are not written down")
        self._loop = PullLoop(
            "verdicts",
            exchange,
            self._perform,
            neighbours=tools.calls.neighbours,
            now_ms=tools.book.wall_clock.now_ms,
            events_max=limits.RECEIPT_EVENTS_MAX,
        )

    @property
    def trouble(self) -> str:
        """Why something that is held could not be written down; see PullJournal."""
        return self._journal.trouble

    # --- what it is told --------------------------------------------------------------------------------------------
    def keep_own(self, checked: CheckedVerdict, data: bytes) -> None:
        """Count a verdict of this node, and tell others what says something to them; returns at once."""
        if counts_for_others(checked):
            self._loop.post(ev.OwnVerdictMade(data))
        else:
            self._tools.book.hold_verdict(checked)

    def hears(self, author: PeerId, payload: bytes) -> bool:
        """Take gossip that `judge` has accepted; False: it is about receipts."""
        if decode_fields(payload)[0] != VerdictNames.number:
            return False
        self._loop.post(ev.GossipAccepted(author, payload, self._now_ms()))
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
            kept = await self._journal.kept()
            for data in kept:  # each takes milliseconds to check: others go on in between
                await self._loop.step(pull.Restored((data,), self._now_ms()), nursery)
                await trio.lowlevel.checkpoint()
            if not kept:
                await self._loop.step(pull.Restored((), self._now_ms()), nursery)
            task_status.started()
            await self._loop.run(nursery)

    # --- what it does -----------------------------------------------------------------------------------------------
    async def _perform(self, effect: Effect, nursery: trio.Nursery) -> None:
        tools = self._tools
        match effect:
            case ev.VerdictHeld(checked):
                tools.book.hold_verdict(checked)
            case ev.VerdictGone(checked):
                tools.book.drop_verdict(checked)
            case pull.KeepItem(key, data):
                await self._journal.write(key, data)
            case pull.ForgetItem(key):
                await self._journal.write(key, None)
            case pull.Gossip(payload):
                nursery.start_soon(tools.calls.publish, payload)
            case pull.AskItems(peer, names):
                nursery.start_soon(self._ask, peer, VerdictsRequest(names=names), VerdictsReply)
            case pull.AskNames(peer, digests, after):
                nursery.start_soon(
                    self._ask, peer, VerdictSyncRequest(digests=digests, after=after), ReceiptSyncReply
                )
            case ev.JudgePair(pair):
                nursery.start_soon(self._look, pair)
            case pull.BlamePeer(peer, code):
                log.info("verdict_refused peer=%s code=%s", peer[-8:], code)
                tools.host.post(node_events.PeerMisbehaved(peer, code))

    async def _ask(self, peer: PeerId, request: Message, kind: ReplyKind) -> None:
        await self._loop.send(await self._tools.calls.ask(peer, request, kind))

    async def _look(self, pair: ev.Pair) -> None:
        """Look whether a pair has money on chain. Rules: RCP-16."""
        is_funded = await self._tools.is_funded(pair)
        await self._loop.send(ev.PairJudged(pair, is_funded, self._now_ms()))

    def _now_ms(self) -> UnixMs:
        return self._tools.book.wall_clock.now_ms()


def _now() -> MonotonicS:
    return MonotonicS(trio.current_time())
