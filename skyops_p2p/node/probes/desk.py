"""What witnesses say, as far as one node holds it: exchanged, written down, and counted for the scores.

One task owns the exchange. A statement that could not be written down is held all the same, and asked for anew after a
restart; one of this node's own is not told before it is. Spec: protocol/08b-probes.md.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import trio

from skyops_p2p import limits
from skyops_p2p.core import node_events
from skyops_p2p.core import pull_events as pull
from skyops_p2p.core.intake import Judgement
from skyops_p2p.core.machine import Effect
from skyops_p2p.core.node_core import NodeCore
from skyops_p2p.core.probes import exchange_events as ev
from skyops_p2p.core.probes.answering import Answerer
from skyops_p2p.core.probes.draw import StakeFacts
from skyops_p2p.core.probes.exchange import StatementExchange
from skyops_p2p.core.probes.serving import STATEMENT_REQUESTS, StatementService
from skyops_p2p.core.probes.statements import kept_statement
from skyops_p2p.core.probes.tally import Days, Evidence, Tally
from skyops_p2p.core.probes.watcher import Watcher
from skyops_p2p.core.reputation.voices import Stake
from skyops_p2p.core.rules import PROBES_PROTOCOL
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.crypto.wallet import address_from_bytes, address_to_bytes
from skyops_p2p.errors import ChainError
from skyops_p2p.node.host import Host
from skyops_p2p.node.identity import Identity
from skyops_p2p.node.probes.beacons import Beacons
from skyops_p2p.node.probes.witness import Witness
from skyops_p2p.node.pulling import PullCalls, PullJournal, PullLoop, ReplyKind
from skyops_p2p.node.reputation.book import ReputationBook
from skyops_p2p.ports import Entropy, Money, Network, Store, Verdict
from skyops_p2p.types import MonotonicS, PeerId, UnixMs
from skyops_p2p.wire.messages.probes import (
    StatementsReply,
    StatementsRequest,
    StatementSyncReply,
    StatementSyncRequest,
)
from skyops_p2p.wire.model import Message, decode_fields

log = logging.getLogger(__name__)

STEM = "probes"
"""Of the journal: one entry for each statement, by its name."""
CountDays = Callable[[Tally, Evidence], Awaitable[Days]]
"""As `count_days`, but beside the loop."""
_VERDICTS = {
    Judgement.ACCEPT: Verdict.ACCEPT,
    Judgement.IGNORE: Verdict.IGNORE,
    Judgement.REJECT: Verdict.REJECT,
}


@dataclass(frozen=True, slots=True)
class ProbeTools:
    """Parts of the node that it works with."""

    core: NodeCore
    """Its map."""
    network: Network
    """To gossip, ask and answer through."""
    store: Store
    """Where what is held is written down."""
    identity: Identity
    """Signs answers and statements."""
    host: Host
    """Dials, bans liars, and tells whoever watches."""
    entropy: Entropy
    """Salts what nobody may foresee."""
    count: CountDays
    """Has `count_days` done beside the loop."""


class ProbeDesk:
    """The statements of all witnesses at one node, and its own witness.

    Args:
        tools: What it is made with.
        money: The contracts.
        book: Knows stakes, and counts.
        is_witness: Whether this node witnesses others.
    """

    def __init__(self, tools: ProbeTools, *, money: Money, book: ReputationBook, is_witness: bool) -> None:
        core, identity, entropy = tools.core, tools.identity, tools.entropy
        rules, self._times = core.rules, core.rules.probe_times
        self.exchange = StatementExchange(
            rules.network, self._times, salt=entropy.token(32), is_staked=self._is_staked
        )
        self._core, self._network = core, tools.network
        self._money, self._host, self._book = money, tools.host, book
        self._account = address_to_bytes(identity.wallet.address)
        self._wall_clock = book.wall_clock
        self._beacons = Beacons(money, self._times, book.wall_clock)
        self._service = StatementService(self.exchange.shelf)
        self._answerer = Answerer(identity.node_key, rules.network, self._times)
        self._tally, self._count_days = Tally(self._times), tools.count
        self._looks = trio.CapacityLimiter(limits.PROBE_LOOKS_MAX)
        self._calls = PullCalls(
            tools.network,
            protocol=rules.protocol_id(PROBES_PROTOCOL),
            topic=rules.probes_topic,
            answer_s=limits.PROBE_TIMEOUT_S,
            rest_s=limits.PROBE_REST_S,
            now_ms=self._now_ms,
        )
        self._journal = PullJournal(tools.store, STEM, lost="what witnesses say is not written down")
        self._loop = PullLoop(
            "statements",
            self.exchange,
            self._perform,
            neighbours=self._calls.neighbours,
            now_ms=self._now_ms,
            events_max=limits.PROBE_EVENTS_MAX,
        )
        watcher = Watcher(
            identity.wallet, rules.network, self._times, salt=entropy.token(32), has_spoken=self._has_spoken
        )
        self.witness = Witness(
            watcher,
            core,
            tools.network,
            host=tools.host,
            beacons=self._beacons,
            facts=lambda: StakeFacts(dict(book.stakes), self._beacons.total or 0, book.banned),
            wall_clock=book.wall_clock,
            spoke=self._speak,
        )
        self._is_witness = is_witness
        tools.host.hears({rules.probes_topic: self._hear})

    @property
    def warnings(self) -> tuple[str, ...]:
        """What its owner should know."""
        doubled = (
            "this wallet has signed two statements of one watch: two nodes use it, or its database was put back; its "
            "availability is 0 for 28 days (docs/troubleshooting.md)"
        )
        is_doubled = self._account in self.exchange.shelf.doubled()
        return tuple(text for text in (doubled if is_doubled else "", self._journal.trouble) if text)

    # --- what scores ask of it --------------------------------------------------------------------------------------
    def witnesses(self) -> frozenset[bytes]:
        """Return whose stakes are needed to count what is held."""
        return self.exchange.shelf.witnesses()

    def digest(self) -> bytes:
        """Return a digest of all statements that are held, 32 bytes."""
        return sha256(self.exchange.shelf.digests())

    async def count(
        self, stakes: Mapping[bytes, Stake], banned: frozenset[bytes]
    ) -> tuple[Days, frozenset[bytes]]:
        """Return what all statements come to; nothing while the chain has never said what is at stake.

        Rules: PRB-13, PRB-14.
        """
        shelf, total = self.exchange.shelf, self._beacons.total
        doubled = shelf.doubled()
        if total is None:
            return {}, doubled
        facts = StakeFacts(stakes, total, banned | doubled)
        found = await self._count_days(
            self._tally, Evidence(shelf.watches(), dict(self._beacons.final), facts)
        )
        return found, doubled

    # --- life -------------------------------------------------------------------------------------------------------
    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Take part until cancelled; started once the topic is joined.

        Raises:
            StoreError: What was held cannot be read.
        """
        rules = self._core.rules
        async with trio.open_nursery() as nursery:
            await self._loop.step(pull.Restored(await self._journal.kept(), self._now_ms()), nursery)
            protocol = rules.protocol_id(PROBES_PROTOCOL)
            self._network.serve_requests(protocol, self._answer, bytes_max=limits.MESSAGE_BYTES_MAX)
            await self._network.subscribe(rules.probes_topic, self._judge)
            task_status.started()
            if self._is_witness:
                nursery.start_soon(self.witness.run)
            nursery.start_soon(self._keep_beacons)
            await self._loop.run(nursery)

    async def _keep_beacons(self) -> None:
        """Look up the blocks of all watches of which something is held, until cancelled."""
        while True:
            current = self._times.watch_of(self._times.slot_at(self._now_ms()))
            await self._beacons.current(current)
            while await self._beacons.renew(set(self.exchange.shelf.watches())):
                self._book.note_news()
            await trio.sleep(min(limits.PROBE_SYNC_S, self._times.slot_ms / 1000))

    async def _speak(self, data: bytes) -> None:
        """Keep a statement of this node's own, and only then tell it. Rules: PRB-8."""
        if await self._journal.write(kept_statement(data).key, data):
            await self._loop.send(ev.OwnStatementMade(data))

    # --- what it is asked -------------------------------------------------------------------------------------------
    def _judge(self, _topic: str, author: PeerId, payload: bytes) -> Verdict:
        return _VERDICTS[self.exchange.judge(author, payload, now=_now(), unix_ms=self._now_ms())]

    def _hear(self, _author: PeerId, payload: bytes) -> None:
        self._loop.post(ev.GossipAccepted(payload))

    async def _answer(self, peer: PeerId, request: bytes) -> bytes:
        if decode_fields(request)[0] in STATEMENT_REQUESTS:
            return self._service.answer(peer, request, _now())
        return self._answerer.answer(peer, request, now=_now(), unix_ms=self._now_ms())

    # --- what it does -----------------------------------------------------------------------------------------------
    async def _perform(self, effect: Effect, nursery: trio.Nursery) -> None:
        match effect:
            case pull.KeepItem(key, data):
                self._book.note_news()
                await self._journal.write(key, data)
            case pull.ForgetItem(key):
                self._book.note_news()
                await self._journal.write(key, None)
            case pull.Gossip(payload):
                nursery.start_soon(self._calls.publish, payload)
            case ev.JudgeStake(account):
                nursery.start_soon(self._look, account)
            case pull.AskNames(peer, digests, after):
                nursery.start_soon(
                    self._ask, peer, StatementSyncRequest(digests=digests, after=after), StatementSyncReply
                )
            case pull.AskItems(peer, names):
                nursery.start_soon(self._ask, peer, StatementsRequest(names=names), StatementsReply)
            case pull.BlamePeer(peer, code):
                log.info("statements_refused peer=%s code=%s", peer[-8:], code)
                self._host.post(node_events.PeerMisbehaved(peer, code))
            case ev.ContradictionFound(account):
                wallet = address_from_bytes(account)
                log.info("witness_contradicts_itself wallet=%s", wallet)
                text = f"{wallet} has signed two statements of one watch: its availability is 0"
                self._host.tell("payment", self._core.peer_id, text)

    async def _ask(self, peer: PeerId, request: Message, kind: ReplyKind) -> None:
        await self._loop.send(await self._calls.ask(peer, request, kind))

    async def _look(self, account: bytes) -> None:
        """Look whether a witness has a stake. Rules: PRB-10."""
        is_staked: bool | None = None
        try:
            async with self._looks:
                with trio.fail_after(limits.REPUTATION_LOOK_WAIT_S):
                    found = await self._money.stake_of(account)
            is_staked = found.amount > 0 and not found.is_slashed
        except (ChainError, trio.TooSlowError) as error:
            log.info("witness_not_looked_up error=%s", getattr(error, "code", "timeout"))
        await self._loop.send(ev.StakeJudged(account, is_staked))

    def _is_staked(self, account: bytes) -> bool | None:
        stake = self._book.stakes.get(account)
        return None if stake is None else stake.amount > 0 and not stake.is_slashed

    def _has_spoken(self, watch: int) -> bool:
        return self.exchange.shelf.has_of(self._account, watch)

    def _now_ms(self) -> UnixMs:
        return self._wall_clock.now_ms()


def count_days(tally: Tally, evidence: Evidence) -> Days:
    """Return what statements come to; takes seconds for a network of a thousand nodes.

    Args:
        tally: Nobody else uses it meanwhile.
        evidence: What is held.
    """
    return tally.days(evidence)


def _now() -> MonotonicS:
    return MonotonicS(trio.current_time())
