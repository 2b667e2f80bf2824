"""The exchange of receipts among many nodes, without trio: a heap of events over real cores, with faulty links.

    world = ReceiptWorld(7, nodes=50, links=ROUGH)
    world.deal(0, 1)
    world.run_for(120.0)
    world.missing()

What a node says is judged, forwarded, answered and kept by the code that runs on the wire (core/evidence); a link loses
and delays what goes over it, and a restart keeps what was written down. Every pair has money on chain unless its
receipt is made with `is_funded=False`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any

from skyops_p2p import limits
from skyops_p2p.core import pull_events as pull
from skyops_p2p.core.evidence import events as ev
from skyops_p2p.core.evidence.exchange import Exchange
from skyops_p2p.core.evidence.items import Scope, evidence_of
from skyops_p2p.core.evidence.shelf import Shelf
from skyops_p2p.core.evidence.verdict_exchange import REQUESTS, VerdictExchange
from skyops_p2p.core.evidence.verdicts import VerdictShelf
from skyops_p2p.core.intake import Judgement
from skyops_p2p.core.machine import Effect, Event
from skyops_p2p.core.settlement.receipts import ChainPlace, DoubleHistory, sign_half, with_half
from skyops_p2p.core.verification.check import CheckedVerdict
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.crypto.wallet import address_to_bytes
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.simulation.clock import EPOCH_UNIX_MS
from skyops_p2p.simulation.entropy import derived_bytes, derived_random
from skyops_p2p.simulation.faults import CALM, FaultBoard, LinkFaults
from skyops_p2p.simulation.identities import SIM_RULES, sim_identity
from skyops_p2p.simulation.money import CONTRACTS
from skyops_p2p.simulation.receipts import sim_receipt
from skyops_p2p.simulation.verdicts import sim_verdict
from skyops_p2p.types import MonotonicS, PeerId, UnixMs
from skyops_p2p.wire.messages.evidence import (
    ReceiptRangeRequest,
    ReceiptsReply,
    ReceiptsRequest,
    ReceiptSyncReply,
    ReceiptSyncRequest,
    VerdictNames,
    VerdictsReply,
    VerdictsRequest,
    VerdictSyncRequest,
)
from skyops_p2p.wire.messages.settlement import Receipt, SignedReceipt
from skyops_p2p.wire.model import decode_fields, decode_message, encode_message

SCOPE = Scope(
    SIM_RULES.network, CONTRACTS.chain_id, CONTRACTS.settlement, CONTRACTS.disputes, CONTRACTS.token
)
HOP_S = 0.05
"""A packet's way over one link."""
LINKS_EACH = 4
"""Each node connects to so many, and as many connect to it in the mean."""
Side = Exchange | VerdictExchange
"""One of a node's two exchanges."""
STEPS_MAX = 4_000_000
"""Events in one run; more means that something goes round in circles."""


@dataclass
class ReceiptNode:
    """One node of the world."""

    number: int
    exchange: Exchange
    verdicts: VerdictExchange
    place: ChainPlace = field(default_factory=ChainPlace)
    """Where its wallet's chain of receipts ends."""
    written: dict[str, bytes] = field(default_factory=dict)
    """What it has kept on its disk."""
    found: list[DoubleHistory] = field(default_factory=list)
    blamed: list[tuple[PeerId, str]] = field(default_factory=list)
    heard: set[bytes] = field(default_factory=set)
    """Gossip that it has had: a copy is not judged again."""
    is_up: bool = True
    wakes_at: dict[int, float] = field(default_factory=dict)
    """id of an exchange -> when it wants to be woken."""
    counted: dict[bytes, CheckedVerdict] = field(default_factory=dict)
    """Verdicts that count, by name."""
    kept_verdicts: dict[str, bytes] = field(default_factory=dict)
    """Verdicts on its disk."""


class ReceiptWorld:
    """Several exchanges and their links.

    Args:
        seed: Decides everything.
        nodes: How many.
        links: What links do to packets.
        held_max: Receipts that a node holds.
    """

    def __init__(
        self,
        seed: int,
        *,
        nodes: int,
        links: LinkFaults = CALM,
        held_max: int = limits.RECEIPTS_HELD_MAX,
    ) -> None:
        self.seed = seed
        self.now = 0.0
        self.faults = FaultBoard(derived_random(seed, "links"), links=links)
        self.random = derived_random(seed, "receipts")
        self.steps = 0
        self.questions = 0
        """Requests so far."""
        self.gossip_copies = 0
        self._held_max = held_max
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = 0
        self._numbers = {sim_identity(seed, number).peer_id: number for number in range(nodes)}
        self._accounts = frozenset(self.account(number) for number in range(nodes))
        self.unfunded: set[ev.Pair] = set()
        """Pairs without money on chain."""
        self.made: dict[bytes, SignedReceipt] = {}
        """Digest -> every receipt that an honest pair has made."""
        self.judged: dict[bytes, bytes] = {}
        """Name -> every verdict that an honest requester has made."""
        self.nodes = [ReceiptNode(number, *self._exchanges(number)) for number in range(nodes)]
        self.links: dict[int, set[int]] = {number: set() for number in range(nodes)}
        for number in range(nodes):
            others = [other for other in range(nodes) if other != number]
            for other in self.random.sample(others, min(LINKS_EACH, len(others))):
                self.links[number].add(other)
                self.links[other].add(number)
        for node in self.nodes:
            self._do(node, pull.Restored((), self.unix_ms))
            self._do(node, pull.Restored((), self.unix_ms), node.verdicts)

    # --- time -------------------------------------------------------------------------------------------------------
    @property
    def unix_ms(self) -> UnixMs:
        """The wall clock of everybody."""
        return UnixMs(EPOCH_UNIX_MS + round(self.now * 1000))

    def run_for(self, seconds: float) -> None:
        """Handle everything that is due within a time."""
        until = self.now + seconds
        while self._heap and self._heap[0][0] <= until:
            self.now, _, callback, args = heappop(self._heap)
            self.steps += 1
            assert self.steps <= STEPS_MAX, "something goes round in circles"
            callback(*args)
        self.now = until

    def _later(self, delay_s: float, callback: Callable[..., None], *args: Any) -> None:
        heappush(self._heap, (self.now + delay_s, self._count, callback, args))
        self._count += 1

    # --- what people do ---------------------------------------------------------------------------------------------
    def receipt(self, requester: int, worker: int, job: int, **changes: object) -> Receipt:
        """Return the receipt of a job between two nodes that has ended now."""
        parties = (self.account(requester), self.account(worker))
        return sim_receipt(self.seed, parties, job, scope=SCOPE, unix_ms=self.unix_ms, **changes)

    def account(self, number: int) -> bytes:
        """Return a node's wallet, 20 bytes."""
        return address_to_bytes(sim_identity(self.seed, number).wallet.address)

    def deal(
        self, requester: int, worker: int, *, is_worker_silent: bool = False, **changes: object
    ) -> bytes:
        """Let two nodes end a job: both sign its receipt, and each keeps it. Returns its digest."""
        receipt = encode_message(self.receipt(requester, worker, len(self.made), **changes))
        ours = self._sign(self.nodes[requester], receipt)
        theirs = None if is_worker_silent else self._sign(self.nodes[worker], receipt)
        data = with_half(receipt, requester=ours, worker=theirs)
        self.made[sha256(receipt)] = decode_message(SignedReceipt, data)
        for number in (requester, worker) if theirs is not None else (requester,):
            self._do(self.nodes[number], ev.OwnReceiptKept(data, self.unix_ms))
        return sha256(receipt)

    def judge(self, requester: int, primary: int, *, is_wrong: bool = False, **changes: Any) -> bytes:
        """Let a requester compare what a worker and two drawn ones have computed; return the verdict's name."""
        data = sim_verdict(
            self.seed,
            requester,
            primary,
            nodes=len(self.nodes),
            job=len(self.judged),
            unix_ms=self.unix_ms,
            is_wrong=is_wrong,
            **changes,
        )
        self.judged[sha256(data)] = data
        node = self.nodes[requester]
        self._do(node, ev.OwnVerdictMade(data), node.verdicts)
        return sha256(data)

    def double(self, liar: int, first: int, second: int) -> None:
        """Let a requester sign two receipts for one place, and tell each worker of one of them only."""
        place = self.nodes[liar].place
        for worker in (first, second):
            self.nodes[liar].place = place
            receipt = encode_message(self.receipt(liar, worker, len(self.made)))
            ours = self._sign(self.nodes[liar], receipt)
            theirs = self._sign(self.nodes[worker], receipt)
            data = with_half(receipt, requester=ours, worker=theirs)
            self._do(self.nodes[worker], ev.OwnReceiptKept(data, self.unix_ms))

    def _sign(self, node: ReceiptNode, receipt: bytes) -> Any:
        wallet = sim_identity(self.seed, node.number).wallet
        half, node.place = sign_half(receipt, node.place, wallet, SCOPE.domain)
        return half

    def stop(self, number: int) -> None:
        """Let a node die."""
        self.nodes[number].is_up = False

    def restart(self, number: int) -> None:
        """Let a node come back with what it has written down."""
        node = self.nodes[number]
        node.exchange, node.verdicts = self._exchanges(number)
        node.heard, node.is_up, node.wakes_at, node.counted = set(), True, {}, {}
        self._do(node, pull.Restored(tuple(node.written.values()), self.unix_ms))
        self._do(node, pull.Restored(tuple(node.kept_verdicts.values()), self.unix_ms), node.verdicts)

    # --- what there is ----------------------------------------------------------------------------------------------
    def missing(self) -> dict[int, int]:
        """Return how many honest receipts each node lacks that others have, in whole or in part; those that lack none
        are left out.
        """
        wanted = {
            digest: evidence_of(decode_message(Receipt, one.receipt), one)
            for digest, one in self.made.items()
        }
        lacking = {}
        for node in self.nodes:
            shelf = node.exchange.shelf
            lacks = [
                digest
                for digest, item in wanted.items()
                if (held := shelf.get(digest)) is None or held.name != item.name
            ]
            if lacks:
                lacking[node.number] = len(lacks)
        return lacking

    def check(self) -> None:
        """Raise AssertionError if a node contradicts itself, or an honest node was blamed."""
        for node in self.nodes:
            node.exchange.check_invariants()
            node.verdicts.check_invariants()
            names = {one.name for one in node.verdicts.shelf.all()}
            assert names == set(node.counted) == {bytes.fromhex(key) for key in node.kept_verdicts}
            held = {one.digest.hex() for one in node.exchange.shelf.all()}
            assert held == {key for key in node.written if "/" not in key}, "what is held is written down"
            assert not node.blamed, node.blamed

    # --- within -----------------------------------------------------------------------------------------------------
    def _exchanges(self, number: int) -> tuple[Exchange, VerdictExchange]:
        salt = derived_bytes(self.seed, "salt", number, self.now)
        exchange = Exchange(
            SCOPE, salt=salt, is_member=self._accounts.__contains__, shelf=Shelf(held_max=self._held_max)
        )
        shelf = VerdictShelf(held_max=self._held_max)
        return exchange, VerdictExchange(SCOPE, exchange.gate, salt=salt, shelf=shelf)

    def _do(self, node: ReceiptNode, event: Event, side: Side | None = None) -> None:
        """Hand an event to one of a node's exchanges: that of receipts if none is named."""
        if not node.is_up:
            return
        side = node.exchange if side is None else side
        for effect in side.handle(event, MonotonicS(self.now)):
            self._perform(node, effect, side)
        deadline, wakes_at = side.next_deadline(), node.wakes_at.get(id(side))
        if deadline is not None and (wakes_at is None or deadline < wakes_at):
            node.wakes_at[id(side)] = deadline
            self._later(max(deadline - self.now, 0.0), self._wake, node, deadline, side)

    def _wake(self, node: ReceiptNode, deadline: float, side: Side) -> None:
        if node.wakes_at.get(id(side)) == deadline and side in (node.exchange, node.verdicts):
            del node.wakes_at[id(side)]
            peers = tuple(sim_identity(self.seed, other).peer_id for other in sorted(self.links[node.number]))
            self._do(node, pull.TimeCame(peers, self.unix_ms), side)

    def _perform(self, node: ReceiptNode, effect: Effect, side: Side) -> None:
        if side is node.verdicts and self._perform_verdict(node, effect):
            return
        match effect:
            case pull.Gossip(payload):
                node.heard.add(payload)
                self._forward(node, node, payload)
            case pull.AskItems(peer, names):
                self._ask(node, peer, encode_message(ReceiptsRequest(names=names)), side)
            case ev.AskRange(peer, account, first, count):
                request = ReceiptRangeRequest(account=account, first=first, count=count)
                self._ask(node, peer, encode_message(request), side)
            case pull.AskNames(peer, digests, after):
                self._ask(node, peer, encode_message(ReceiptSyncRequest(digests=digests, after=after)), side)
            case ev.JudgePair(pair):
                is_funded = pair not in self.unfunded
                self._later(HOP_S, lambda: self._do(node, ev.PairJudged(pair, is_funded, self.unix_ms), side))
            case pull.KeepItem(key, data):
                node.written[key] = data
            case pull.ForgetItem(key):
                node.written.pop(key, None)
            case ev.HistoryFound(history):
                node.found.append(history)
            case pull.BlamePeer(peer, code):
                node.blamed.append((peer, code))
            case _:
                raise AssertionError(f"nobody performs {type(effect).__name__}")

    def _perform_verdict(self, node: ReceiptNode, effect: Effect) -> bool:
        """Perform what the exchange of verdicts wants done otherwise than that of receipts; False: it is the same."""
        match effect:
            case pull.AskItems(peer, names):
                self._ask(node, peer, encode_message(VerdictsRequest(names=names)), node.verdicts)
            case pull.AskNames(peer, digests, after):
                request = VerdictSyncRequest(digests=digests, after=after)
                self._ask(node, peer, encode_message(request), node.verdicts)
            case pull.KeepItem(key, data):
                node.kept_verdicts[key] = data
            case pull.ForgetItem(key):
                node.kept_verdicts.pop(key, None)
            case ev.VerdictHeld(checked):
                node.counted[checked.digest] = checked
            case ev.VerdictGone(checked):
                del node.counted[checked.digest]
            case _:
                return False
        return True

    # --- links ------------------------------------------------------------------------------------------------------
    def _forward(self, author: ReceiptNode, node: ReceiptNode, payload: bytes) -> None:
        for other in sorted(self.links[node.number]):
            for extra_s in self.faults.fate(node.number, other, now=self.now):
                self.gossip_copies += 1
                self._later(HOP_S + extra_s, self._hear, author, self.nodes[other], payload)

    def _hear(self, author: ReceiptNode, node: ReceiptNode, payload: bytes) -> None:
        if not node.is_up or payload in node.heard:
            return
        node.heard.add(payload)
        peer = sim_identity(self.seed, author.number).peer_id
        if node.exchange.judge(peer, payload, MonotonicS(self.now)) is Judgement.ACCEPT:
            is_verdict = decode_fields(payload)[0] == VerdictNames.number
            side = node.verdicts if is_verdict else node.exchange
            self._do(node, ev.GossipAccepted(peer, payload, self.unix_ms), side)
            self._forward(author, node, payload)

    def _ask(self, node: ReceiptNode, peer: PeerId, request: bytes, side: Side) -> None:
        self.questions += side is node.exchange
        server = self.nodes[self._numbers[peer]]
        out = self.faults.fate(node.number, server.number, now=self.now)
        back = self.faults.fate(server.number, node.number, now=self.now)
        if not out or not back:
            self._later(limits.RECEIPT_ANSWER_S, self._fail, node, side, peer)
            return
        self._later(HOP_S + out[0], self._serve, node, side, server, (request, HOP_S + back[0]))

    def _serve(self, node: ReceiptNode, side: Side, server: ReceiptNode, asked: tuple[bytes, float]) -> None:
        request, back_s = asked
        asker, peer = (sim_identity(self.seed, one.number).peer_id for one in (node, server))
        if not server.is_up:
            self._later(limits.RECEIPT_ANSWER_S, self._fail, node, side, peer)
            return
        answers = server.verdicts if decode_fields(request)[0] in REQUESTS else server.exchange
        try:
            reply = answers.answer(asker, request, MonotonicS(self.now))
        except RemoteProtocolError:
            self._later(back_s, self._fail, node, side, peer)
            return
        self._later(back_s, self._take, node, side, peer, reply)

    def _take(self, node: ReceiptNode, side: Side, peer: PeerId, reply: bytes) -> None:
        if side not in (node.exchange, node.verdicts):
            return
        match decode_fields(reply)[0]:
            case ReceiptSyncReply.number:
                sync = decode_message(ReceiptSyncReply, reply)
                self._do(node, pull.NamesAnswered(peer, sync.names, sync.is_complete), side)
            case VerdictsReply.number:
                items = decode_message(VerdictsReply, reply).items
                self._do(node, pull.ItemsAnswered(peer, items, self.unix_ms), side)
            case _:
                receipts = decode_message(ReceiptsReply, reply).items
                self._do(node, pull.ItemsAnswered(peer, receipts, self.unix_ms), side)

    def _fail(self, node: ReceiptNode, side: Side, peer: PeerId) -> None:
        if side in (node.exchange, node.verdicts):
            self._do(node, pull.AskFailed(peer), side)
