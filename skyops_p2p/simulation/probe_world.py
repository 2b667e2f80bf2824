"""Witnesses among many nodes, without trio: a heap of events over real cores, with faulty links, churn and liars.

    world = ProbeWorld(7, nodes=12)
    world.run_watches(4)
    world.days()

What witnesses decide, sign, judge, forward, answer and count is the code that runs on the wire (core/probes). All have
the same stake unless it is changed; blocks come each second.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any

from skyops_p2p import limits
from skyops_p2p.core import pull_events as pull
from skyops_p2p.core.intake import Judgement
from skyops_p2p.core.machine import Effect, Event
from skyops_p2p.core.probes import exchange_events as ev
from skyops_p2p.core.probes.answering import Answerer, challenge_of, check_answer
from skyops_p2p.core.probes.draw import StakeFacts
from skyops_p2p.core.probes.exchange import StatementExchange
from skyops_p2p.core.probes.probe import AskProbe
from skyops_p2p.core.probes.serving import StatementService
from skyops_p2p.core.probes.statements import make_statement
from skyops_p2p.core.probes.tally import Days, Evidence, Tally
from skyops_p2p.core.probes.times import ProbeTimes
from skyops_p2p.core.probes.watcher import (
    ProbeAnswered,
    ProbeFailed,
    SlotBegan,
    StatementMade,
    Target,
    TimeCame,
    Watcher,
)
from skyops_p2p.core.reputation.conduct import Outcome
from skyops_p2p.core.reputation.voices import Stake
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.crypto.wallet import address_to_bytes
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.simulation.clock import EPOCH_UNIX_MS
from skyops_p2p.simulation.entropy import derived_bytes, derived_random
from skyops_p2p.simulation.faults import CALM, FaultBoard, LinkFaults
from skyops_p2p.simulation.identities import SIM_RULES, sim_identity
from skyops_p2p.types import MonotonicS, PeerId, UnixMs
from skyops_p2p.wire.messages.probes import (
    StatementsReply,
    StatementsRequest,
    StatementSyncReply,
    StatementSyncRequest,
)
from skyops_p2p.wire.model import decode_fields, decode_message, encode_message

TIMES = ProbeTimes(60_000, 6)
"""A slot is a minute, a watch six."""
UNIT = 1_000_000
HOP_S = 0.05
"""A packet's way over one link."""
STEPS_MAX = 4_000_000
"""Events in one run; more means that something goes round in circles."""


@dataclass
class ProbeNode:
    """One node of the world."""

    number: int
    account: bytes
    watcher: Watcher
    exchange: StatementExchange
    service: StatementService
    answerer: Answerer
    written: dict[str, bytes] = field(default_factory=dict)
    """What it has kept on its disk."""
    blamed: list[tuple[PeerId, str]] = field(default_factory=list)
    heard: set[bytes] = field(default_factory=set)
    """Gossip that it has had: a copy is not judged again."""
    is_up: bool = True
    has_left: bool = False
    """It has said goodbye."""
    slanders: frozenset[bytes] = frozenset()
    """Accounts of which it says that they were silent, whatever it saw."""
    answers: Callable[[int], bool] = lambda _witness: True
    """Whom it answers, by number."""
    runs: int = 0
    """Its restarts: what was due before one is over."""


class ProbeWorld:
    """Several witnesses and their links; everybody is connected to everybody.

    Args:
        seed: Decides everything.
        nodes: How many; all are workers.
        links: What links do to packets.
        times: Lengths of slots and watches.
    """

    def __init__(self, seed: int, *, nodes: int, links: LinkFaults = CALM, times: ProbeTimes = TIMES) -> None:
        self.seed = seed
        self.times = times
        self.now = 0.0
        self.faults = FaultBoard(derived_random(seed, "links"), links=links)
        self.steps = 0
        self.messages = 0
        """Questions, answers and copies of gossip so far."""
        self.is_chain_away = False
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = 0
        self._numbers = {sim_identity(seed, number).peer_id: number for number in range(nodes)}
        self.accounts = [
            address_to_bytes(sim_identity(seed, number).wallet.address) for number in range(nodes)
        ]
        self.stakes = {account: Stake(100 * UNIT, 0) for account in self.accounts}
        self.nodes = [self._node(number) for number in range(nodes)]
        for node in self.nodes:
            self._start(node)

    # --- time -------------------------------------------------------------------------------------------------------
    @property
    def unix_ms(self) -> UnixMs:
        """The wall clock of everybody."""
        return UnixMs(EPOCH_UNIX_MS + round(self.now * 1000))

    def run_watches(self, count: float) -> None:
        """Handle everything that is due within so many watches."""
        until = self.now + count * self.times.watch_ms / 1000
        while self._heap and self._heap[0][0] <= until:
            self.now, _, callback, args = heappop(self._heap)
            self.steps += 1
            assert self.steps <= STEPS_MAX, "something goes round in circles"
            callback(*args)
        self.now = until

    def _later(self, delay_s: float, callback: Callable[..., None], *args: Any) -> None:
        heappush(self._heap, (self.now + max(delay_s, 0.0), self._count, callback, args))
        self._count += 1

    # --- what people do ---------------------------------------------------------------------------------------------
    def stop(self, number: int, *, says_goodbye: bool = False) -> None:
        """Let a node die, or leave."""
        node = self.nodes[number]
        node.is_up, node.has_left = False, says_goodbye
        node.runs += 1

    def restart(self, number: int) -> None:
        """Let a node come back with what it has written down."""
        old = self.nodes[number]
        node = self.nodes[number] = self._node(number)
        node.written, node.slanders, node.answers, node.runs = (
            old.written,
            old.slanders,
            old.answers,
            old.runs,
        )
        self._start(node)

    def contradict(self, number: int) -> None:
        """Let a node sign another statement of the last watch that is over, and tell it."""
        node, wallet = self.nodes[number], sim_identity(self.seed, number).wallet
        watch = self.times.watch_of(self.times.slot_at(self.unix_ms)) - 1
        seen = {self.accounts[number - 1]: [Outcome.SILENT] * self.times.watch_slots}
        statement = make_statement(seen, watch, wallet, SIM_RULES.network)
        assert statement is not None, "it says something"
        self._speak(node, statement.data)

    # --- what there is ----------------------------------------------------------------------------------------------
    def days(self, number: int = 0) -> Days:
        """Return what everything comes to that a node holds."""
        shelf = self.nodes[number].exchange.shelf
        beacons = {watch: self._beacon(watch) for watch in shelf.watches()}
        return Tally(self.times).days(Evidence(shelf.watches(), beacons, self._facts(shelf.doubled())))

    def answered_part(self, number: int, *, seen_by: int = 0) -> float | None:
        """Return the answered part of a node's probed slots; None: nobody has probed it."""
        days = self.days(seen_by).get(self.accounts[number], {}).values()
        probed = sum(day.probed for day in days)
        return sum(day.answered for day in days) / probed if probed else None

    def digests(self) -> set[bytes]:
        """Return the different sets of statements that running nodes hold."""
        return {node.exchange.shelf.digests() for node in self.nodes if node.is_up}

    def check(self) -> None:
        """Raise AssertionError if a node contradicts itself, or an honest node was blamed."""
        for node in self.nodes:
            node.watcher.check_invariants()
            node.exchange.check_invariants()
            assert {one.key for one in node.exchange.shelf.all()} == set(node.written)
            assert not node.blamed, node.blamed

    # --- within -----------------------------------------------------------------------------------------------------
    def _node(self, number: int) -> ProbeNode:
        identity = sim_identity(self.seed, number)
        salt = derived_bytes(self.seed, "salt", number, self.now)
        exchange = StatementExchange(
            SIM_RULES.network, self.times, salt=salt, is_staked=lambda who: who in self.stakes
        )
        account, network = self.accounts[number], SIM_RULES.network
        watcher = Watcher(
            identity.wallet,
            network,
            self.times,
            salt=salt,
            has_spoken=lambda watch: exchange.shelf.has_of(account, watch),
        )
        answerer = Answerer(identity.node_key, network, self.times)
        return ProbeNode(number, account, watcher, exchange, StatementService(exchange.shelf), answerer)

    def _start(self, node: ProbeNode) -> None:
        restored = pull.Restored(tuple(node.written.values()), self.unix_ms)
        self._tell_exchange(node, restored)
        self._begin_slot(node, node.runs)
        self._tick(node, node.runs)

    def _facts(self, out: frozenset[bytes] = frozenset()) -> StakeFacts:
        return StakeFacts(self.stakes, sum(stake.amount for stake in self.stakes.values()), out)

    def _beacon(self, watch: int) -> bytes:
        return sha256(derived_bytes(self.seed, "block", self.times.beacon_unix_s(watch)))

    def _begin_slot(self, node: ProbeNode, run: int) -> None:
        if node.runs != run:
            return
        slot = self.times.slot_at(self.unix_ms)
        targets = [Target(self.accounts[n], peer) for peer, n in self._numbers.items() if n != node.number]
        beacon = None if self.is_chain_away else self._beacon(self.times.watch_of(slot))
        reached = any(
            self.faults.fate(node.number, n, now=self.now) for n in self._numbers.values() if n != node.number
        )
        began = SlotBegan(self.unix_ms, targets, beacon, self._facts(), has_neighbours=reached)
        self._tell_watcher(node, began)
        self._later((self.times.slot_start(slot + 1) - self.unix_ms) / 1000, self._begin_slot, node, run)

    def _tick(self, node: ProbeNode, run: int) -> None:
        """Wake a node each second: coarse, and the same for all."""
        if node.runs != run:
            return
        now = MonotonicS(self.now)
        due = node.watcher.next_deadline()
        if due is not None and due <= now:
            self._tell_watcher(node, TimeCame())
        due = node.exchange.next_deadline()
        if due is not None and due <= now:
            others = (peer for peer, number in self._numbers.items() if number != node.number)
            self._tell_exchange(node, pull.TimeCame(tuple(others), self.unix_ms))
        self._later(1.0, self._tick, node, run)

    def _tell_watcher(self, node: ProbeNode, event: Event) -> None:
        for effect in node.watcher.handle(event, MonotonicS(self.now)):
            match effect:
                case AskProbe():
                    self._probe(node, effect)
                case StatementMade(data):
                    self._speak(node, self._slandered(node, data))

    def _slandered(self, node: ProbeNode, data: bytes) -> bytes:
        """Return what a liar says in the place of what it saw."""
        if not node.slanders:
            return data
        watch = self.times.watch_of(self.times.slot_at(self.unix_ms)) - 1
        wallet = sim_identity(self.seed, node.number).wallet
        lies = {account: [Outcome.SILENT] * self.times.watch_slots for account in node.slanders}
        statement = make_statement(lies, watch, wallet, SIM_RULES.network)
        assert statement is not None, "it says something"
        return statement.data

    def _speak(self, node: ProbeNode, data: bytes) -> None:
        self._tell_exchange(node, ev.OwnStatementMade(data))

    def _probe(self, node: ProbeNode, probe: AskProbe) -> None:
        target = self.nodes[self._numbers[probe.peer]]
        ways = [
            self.faults.fate(one, other, now=self.now)
            for one, other in ((node.number, target.number), (target.number, node.number))
        ]
        self.messages += 2
        event: Event = ProbeFailed(probe.account, probe.slot, target.has_left)
        if all(ways) and target.is_up and target.answers(node.number):
            asker = sim_identity(self.seed, node.number).peer_id
            challenge = challenge_of(probe.slot, probe.nonce)
            reply = target.answerer.answer(asker, challenge, now=MonotonicS(self.now), unix_ms=self.unix_ms)
            check_answer(
                reply, slot=probe.slot, nonce=probe.nonce, witness=asker, probed=probe.peer,
                network=SIM_RULES.network,
            )  # fmt: skip
            event = ProbeAnswered(probe.account, probe.slot)
        self._later(2 * HOP_S, self._probed, node, node.runs, event)

    def _probed(self, node: ProbeNode, run: int, event: Event) -> None:
        if node.runs == run:
            self._tell_watcher(node, event)

    # --- statements -------------------------------------------------------------------------------------------------
    def _tell_exchange(self, node: ProbeNode, event: Event) -> None:
        if not node.is_up:
            return
        for effect in node.exchange.handle(event, MonotonicS(self.now)):
            self._perform(node, effect)

    def _perform(self, node: ProbeNode, effect: Effect) -> None:
        match effect:
            case pull.Gossip(payload):
                self._forward(node, node, payload)
            case pull.AskNames(peer, digests, after):
                self._ask(node, peer, encode_message(StatementSyncRequest(digests=digests, after=after)))
            case pull.AskItems(peer, names):
                self._ask(node, peer, encode_message(StatementsRequest(names=names)))
            case pull.KeepItem(key, data):
                node.written[key] = data
            case pull.ForgetItem(key):
                node.written.pop(key, None)
            case pull.BlamePeer(peer, code):
                node.blamed.append((peer, code))
            case ev.ContradictionFound():
                return
            case _:
                raise AssertionError(f"nobody performs {type(effect).__name__}")

    def _forward(self, author: ProbeNode, node: ProbeNode, payload: bytes) -> None:
        node.heard.add(payload)
        for other in range(node.number + 1, node.number + 5):
            to = self.nodes[other % len(self.nodes)]
            for extra_s in self.faults.fate(node.number, to.number, now=self.now):
                self.messages += 1
                self._later(HOP_S + extra_s, self._hear, author, to.number, payload)

    def _hear(self, author: ProbeNode, number: int, payload: bytes) -> None:
        node = self.nodes[number]
        if not node.is_up or payload in node.heard:
            return
        peer = sim_identity(self.seed, author.number).peer_id
        judged = node.exchange.judge(peer, payload, now=MonotonicS(self.now), unix_ms=self.unix_ms)
        if judged is Judgement.ACCEPT:
            self._tell_exchange(node, ev.GossipAccepted(payload))
            self._forward(author, node, payload)

    def _ask(self, node: ProbeNode, peer: PeerId, request: bytes) -> None:
        server = self.nodes[self._numbers[peer]]
        ways = (
            self.faults.fate(node.number, server.number, now=self.now)
            and self.faults.fate(server.number, node.number, now=self.now)
        )  # fmt: skip
        self.messages += 2
        asker = sim_identity(self.seed, node.number).peer_id
        event: Event = pull.AskFailed(peer)
        if ways and server.is_up:
            with suppress(RemoteProtocolError):  # a flood: it asks again later
                reply = server.service.answer(asker, request, MonotonicS(self.now))
                event = self._answered(peer, reply)
        delay_s = 2 * HOP_S if not isinstance(event, pull.AskFailed) else limits.PROBE_TIMEOUT_S
        self._later(delay_s, self._asked, node, node.runs, event)

    def _asked(self, node: ProbeNode, run: int, event: Event) -> None:
        if node.runs == run:
            self._tell_exchange(node, event)

    def _answered(self, peer: PeerId, reply: bytes) -> Event:
        if decode_fields(reply)[0] == StatementSyncReply.number:
            sync = decode_message(StatementSyncReply, reply)
            return pull.NamesAnswered(peer, sync.names, sync.is_complete)
        return pull.ItemsAnswered(peer, decode_message(StatementsReply, reply).items, self.unix_ms)
