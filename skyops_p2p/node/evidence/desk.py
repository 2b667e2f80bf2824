"""Runs the exchange of receipts over the node's ports: gossip, questions, answers, the store, and the chain.

One task owns the exchange. What is held is written down, so that a restart goes on with it; a receipt that could not be
written is held all the same, and asked for anew after a restart. Spec: protocol/07b-receipts.md.
"""

import logging
import re
from collections.abc import Iterable

import trio

from skyops_p2p import limits
from skyops_p2p.core import node_events
from skyops_p2p.core import pull_events as pull
from skyops_p2p.core.evidence import events as ev
from skyops_p2p.core.evidence.exchange import Exchange
from skyops_p2p.core.evidence.items import HISTORY_KEYS, Scope, check_proof
from skyops_p2p.core.evidence.verdict_exchange import VerdictExchange
from skyops_p2p.core.intake import Judgement
from skyops_p2p.core.machine import Effect
from skyops_p2p.core.node_core import NodeCore
from skyops_p2p.core.rules import RECEIPTS_PROTOCOL
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.crypto.wallet import address_from_bytes
from skyops_p2p.errors import ChainError
from skyops_p2p.node.evidence.accuser import Accuser
from skyops_p2p.node.evidence.verdict_desk import VerdictDesk, VerdictTools
from skyops_p2p.node.evidence.views import EvidenceView, InclusionView, evidence_view
from skyops_p2p.node.host import Host
from skyops_p2p.node.lookup import find_peer, unknown_peer
from skyops_p2p.node.pulling import PullCalls, PullJournal, PullLoop, ReplyKind
from skyops_p2p.node.reputation.book import ReputationBook
from skyops_p2p.node.reputation.reading import read_scores
from skyops_p2p.node.reputation.standing import account_in
from skyops_p2p.node.reputation.views import ReputationView
from skyops_p2p.ports import Entropy, Network, Store, Verdict
from skyops_p2p.ports.money import Money
from skyops_p2p.types import MonotonicS, PeerId, UnixMs
from skyops_p2p.wire.messages.evidence import (
    ReceiptRangeRequest,
    ReceiptsReply,
    ReceiptsRequest,
    ReceiptSyncReply,
    ReceiptSyncRequest,
)
from skyops_p2p.wire.model import Message

log = logging.getLogger(__name__)

WALLET = re.compile(r"0x[0-9a-fA-F]{40}")
JOB = re.compile(r"[0-9a-f]{4,32}")
STEM = "evidence"
"""Of the journal: one entry for each receipt and proof, by its key."""
_VERDICTS = {
    Judgement.ACCEPT: Verdict.ACCEPT,
    Judgement.IGNORE: Verdict.IGNORE,
    Judgement.REJECT: Verdict.REJECT,
}


class EvidenceDesk:
    """The receipts of everybody, as far as one node holds them.

    Args:
        core: Read for the map, and for who is connected.
        network: To gossip, ask and answer through.
        store: Where what is held is written down.
        money: The contracts: whose receipts count, and which pairs have money.
        host: Bans liars, and tells whoever watches.
        entropy: Salts the order of neighbours.
        book: Makes scores of what is held; its clock dates.
        accuser: Shows double histories to the contract; None: nobody is accused by this node.
    """

    def __init__(
        self,
        core: NodeCore,
        network: Network,
        store: Store,
        *,
        money: Money,
        host: Host,
        entropy: Entropy,
        book: ReputationBook,
        accuser: Accuser | None,
    ) -> None:
        places = money.contracts
        scope = Scope(core.rules.network, places.chain_id, places.settlement, places.disputes, places.token)
        self.exchange = Exchange(scope, salt=entropy.token(32), is_member=self._is_member)
        self._core = core
        self._network = network
        self._money = money
        self._host = host
        self._wall_clock = book.wall_clock
        self.book = book
        self._accuser = accuser
        self._calls = PullCalls(
            network,
            protocol=core.rules.protocol_id(RECEIPTS_PROTOCOL),
            topic=core.rules.receipts_topic,
            answer_s=limits.RECEIPT_ANSWER_S,
            rest_s=limits.RECEIPT_REST_S,
            now_ms=self._now_ms,
        )
        self._journal = PullJournal(store, STEM, lost="receipts of others are not written down")
        self._loop = PullLoop(
            "receipts",
            self.exchange,
            self._perform,
            neighbours=self._calls.neighbours,
            now_ms=self._now_ms,
            events_max=limits.RECEIPT_EVENTS_MAX,
        )
        self._looks = trio.CapacityLimiter(limits.PAIRS_LOOKED_UP_MAX)
        self.verdicts = VerdictDesk(
            VerdictExchange(scope, self.exchange.gate, salt=entropy.token(32)),
            VerdictTools(self._calls, store, host, book, is_funded=self._is_funded),
        )
        """Those of everybody, which go the same way."""
        host.hears({core.rules.receipts_topic: self._hear})

    @property
    def warnings(self) -> tuple[str, ...]:
        """What its owner should know."""
        own = self._money.account in self.exchange.histories
        doubled = (
            "this wallet has signed two histories of receipts: two nodes use it, or its database was put back; "
            "nothing that it did counts any more (docs/troubleshooting.md)"
        )
        return tuple(
            text for text in (doubled if own else "", self._journal.trouble, self.verdicts.trouble) if text
        )

    def view(self, who: str, inclusions: dict[bytes, InclusionView]) -> EvidenceView:
        """Return what is held of a wallet, a job or a peer; see Payments.evidence.

        Raises:
            NetworkError: `unknown_peer` or `ambiguous_peer`.
        """
        account, job = None, ""
        if JOB.fullmatch(who):
            job = who
        elif who:
            account = self._account(who)
        return evidence_view(
            self.exchange, account=account, job=job, inclusions=inclusions, check_of=self.book.check_of
        )

    async def scores(self, who: str) -> ReputationView:
        """Return what this node thinks of everybody, or of a wallet or a peer; see Payments.reputation.

        Raises:
            NetworkError: `unknown_peer` or `ambiguous_peer`.
        """
        account = self._account(who) if who else None
        names = self.exchange.shelf.digests() + self.verdicts.exchange.shelf.names.digests()
        evidence = sha256(names).hex()
        return await read_scores(self.book, self._core, account, evidence=evidence)

    def _account(self, who: str) -> bytes:
        if WALLET.fullmatch(who):
            return bytes.fromhex(who[2:])
        entry = self._core.nodes.get(find_peer(self._core, who))
        account = None if entry is None else account_in(entry)
        if account is None:
            raise unknown_peer(who)
        return account

    # --- life -------------------------------------------------------------------------------------------------------
    async def run(
        self, own: Iterable[bytes], task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Take part until cancelled.

        Args:
            own: This node's receipts, encoded SignedReceipts.
            task_status: Started once the topic is joined.

        Raises:
            StoreError: What was held cannot be read.
        """
        rules = self._core.rules
        async with trio.open_nursery() as nursery:
            await self._restore(nursery)
            for data in own:
                await self._loop.step(ev.OwnReceiptKept(data, self._now_ms()), nursery)
            protocol = rules.protocol_id(RECEIPTS_PROTOCOL)
            self._network.serve_requests(protocol, self._answer, bytes_max=limits.MESSAGE_BYTES_MAX)
            await self._network.subscribe(rules.receipts_topic, self._judge)
            task_status.started()
            if self._accuser is not None:
                nursery.start_soon(self._accuser.run)
            nursery.start_soon(self.book.run)
            nursery.start_soon(self.verdicts.run)
            await self._loop.run(nursery)

    def keep_own(self, data: bytes) -> None:
        """Take in a receipt of this node's own, or one that has more halves now; returns at once."""
        self._loop.post(ev.OwnReceiptKept(data, self._now_ms()))

    async def _restore(self, nursery: trio.Nursery) -> None:
        await self._loop.step(pull.Restored(await self._journal.kept(), self._now_ms()), nursery)
        for item in self.exchange.shelf.all():
            self.book.hold(item)
        for account in self.exchange.histories:
            self.book.ban(account)
        if self._accuser is not None:
            for account in self.exchange.histories:
                self._accuser.accuse(check_proof(self.exchange.histories[account], self.exchange.scope))

    # --- what it is asked -------------------------------------------------------------------------------------------
    def _judge(self, _topic: str, author: PeerId, payload: bytes) -> Verdict:
        return _VERDICTS[self.exchange.judge(author, payload, _now())]

    def _hear(self, author: PeerId, payload: bytes) -> None:
        if not self.verdicts.hears(author, payload):
            self._loop.post(ev.GossipAccepted(author, payload, self._now_ms()))

    async def _answer(self, peer: PeerId, request: bytes) -> bytes:
        reply = self.verdicts.answer(peer, request)
        return self.exchange.answer(peer, request, _now()) if reply is None else reply

    # --- what it does -----------------------------------------------------------------------------------------------
    async def _perform(self, effect: Effect, nursery: trio.Nursery) -> None:
        match effect:
            case pull.KeepItem(key, data):
                self._count(key)
                await self._journal.write(key, data)
            case pull.ForgetItem(key):
                self._count(key)
                await self._journal.write(key, None)
            case pull.Gossip(payload):
                nursery.start_soon(self._calls.publish, payload)
            case pull.AskItems(peer, names):
                nursery.start_soon(self._ask, peer, ReceiptsRequest(names=names), ReceiptsReply)
            case ev.AskRange(peer, account, first, count):
                nursery.start_soon(
                    self._ask,
                    peer,
                    ReceiptRangeRequest(account=account, first=first, count=count),
                    ReceiptsReply,
                )
            case pull.AskNames(peer, digests, after):
                nursery.start_soon(
                    self._ask, peer, ReceiptSyncRequest(digests=digests, after=after), ReceiptSyncReply
                )
            case ev.JudgePair(pair):
                nursery.start_soon(self._look, pair)
            case pull.BlamePeer(peer, code):
                log.info("receipts_refused peer=%s code=%s", peer[-8:], code)
                self._host.post(node_events.PeerMisbehaved(peer, code))
            case ev.HistoryFound(history):
                wallet = address_from_bytes(history.account)
                text = f"{wallet} has signed two histories: its receipts count no more"
                self.book.ban(history.account)
                log.warning("double_history wallet=%s sequence=%d", wallet, history.sequence)
                self._host.tell("payment", self._core.peer_id, text)
                if self._accuser is not None:
                    self._accuser.accuse(history)

    def _count(self, key: str) -> None:
        """Have scores follow what is held under a key now; proofs are told by themselves."""
        if key.startswith(HISTORY_KEYS):
            return
        digest = bytes.fromhex(key)
        item = self.exchange.shelf.get(digest)
        if item is None:
            self.book.drop(digest)
        else:
            self.book.hold(item)

    async def _ask(self, peer: PeerId, request: Message, kind: ReplyKind) -> None:
        await self._loop.send(await self._calls.ask(peer, request, kind))

    async def _look(self, pair: ev.Pair) -> None:
        is_funded = await self._is_funded(pair)
        await self._loop.send(ev.PairJudged(pair, is_funded, self._now_ms()))

    async def _is_funded(self, pair: ev.Pair) -> bool | None:
        """Look whether a pair has money on chain; None: the chain cannot be asked. Rules: RCP-6."""
        try:
            async with self._looks:
                with trio.fail_after(limits.FUNDS_WAIT_S):
                    funds = await self._money.pair_funds(*pair)
        except (ChainError, trio.TooSlowError) as error:
            log.info("pair_not_looked_up error=%s", getattr(error, "code", "timeout"))
            return None
        return funds.redeemed + funds.allotted > 0

    def _is_member(self, account: bytes) -> bool:
        wallet = address_from_bytes(account)
        return any(entry.verified.binding.wallet == wallet for entry in self._core.nodes if entry.verified)

    def _now_ms(self) -> UnixMs:
        return self._wall_clock.now_ms()


def _now() -> MonotonicS:
    return MonotonicS(trio.current_time())
