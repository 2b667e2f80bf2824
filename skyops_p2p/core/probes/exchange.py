"""The exchange of statements at one node: what it tells, asks and takes.

Pure: node/probes, or the simulator, feeds it events and performs its effects, and the same code judges gossip and
answers requests. Spec: protocol/08b-probes.md, "What is held" to "Catching up".
"""

from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any

from skyops_p2p import limits
from skyops_p2p.core import pull_events as pull
from skyops_p2p.core.intake import BLAMELESS, Judgement
from skyops_p2p.core.machine import DeadlineReached, Effect, Event
from skyops_p2p.core.probes import exchange_events as ev
from skyops_p2p.core.probes.catching import Broken, CatchUp, CompareDue, NamesCame, StatementsCame
from skyops_p2p.core.probes.shelf import StatementShelf
from skyops_p2p.core.probes.statements import Statement, check_date, kept_statement, open_statement
from skyops_p2p.core.probes.times import ProbeTimes
from skyops_p2p.core.rate import PeerRates
from skyops_p2p.core.schedule import Schedule
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.errors import LocalProtocolError, RemoteProtocolError
from skyops_p2p.types import MonotonicS, PeerId, UnixMs

FOREIGN = frozenset({"wrong_network", "unsolicited"})
"""Refusals of a peer that was asked by mistake: it rests, and is not accused."""
_CHAIN_AWAY = "chain_away"
"""Refused because nobody could be asked whether its witness has a stake."""


class StatementExchange:
    """Everything that a node does with the statements of all witnesses.

    Args:
        network: Name of the network.
        times: The network's.
        salt: Secret of this node, for its own order of neighbours.
        is_staked: Tells whether an account has a stake, as far as this node has looked; None: it has not.
        shelf: Where they are held; of the usual size if omitted.
    """

    def __init__(
        self,
        network: str,
        times: ProbeTimes,
        *,
        salt: bytes,
        is_staked: Callable[[bytes], bool | None],
        shelf: StatementShelf | None = None,
    ) -> None:
        self.shelf = StatementShelf() if shelf is None else shelf
        self.catching = CatchUp()
        self.refusals: Counter[str] = Counter()
        """What peers sent and was not taken, by code."""
        self._network = network
        self._times = times
        self._salt = salt
        self._is_staked = is_staked
        self._judged: OrderedDict[bytes, tuple[bool, MonotonicS]] = OrderedDict()
        """Witness -> whether it has a stake, and until when that is believed."""
        self._waiting: dict[bytes, list[Statement]] = {}
        """Witness -> statements that wait for a look at its stake."""
        self._curious: OrderedDict[bytes, None] = OrderedDict()
        """Witnesses whose gossip was not taken as nobody has looked at their stake."""
        self._refused: OrderedDict[bytes, MonotonicS] = OrderedDict()
        """Until when a name is not asked for."""
        self._resting: OrderedDict[PeerId, MonotonicS] = OrderedDict()
        """Until when a peer is not asked."""
        peers_max = limits.ADDRESS_BOOK_PEERS_MAX
        self._rates = PeerRates(
            burst=limits.PROBE_GOSSIP_BURST, per_s=limits.PROBE_GOSSIP_PER_S, peers_max=peers_max
        )
        self._turn = 0
        self._schedule = Schedule(
            sync=min(limits.PROBE_SYNC_S, times.slot_ms / 1000), old=limits.EVIDENCE_AGED_S
        )

    # --- entries ----------------------------------------------------------------------------------------------------
    def handle(self, event: Event, now: MonotonicS) -> list[Effect]:
        """Take one event and return what is to be done, in order.

        Args:
            event: One of core/probes/exchange_events.py, or of core/pull_events.py.
            now: Monotonic seconds, never less than before.
        """
        if (method := _METHODS.get(type(event))) is None:
            raise LocalProtocolError(f"the exchange does not know {type(event).__name__}")
        return method(self, event, now)

    def judge(self, author: PeerId, payload: bytes, *, now: MonotonicS, unix_ms: UnixMs) -> Judgement:
        """Say whether gossip is delivered and forwarded; never raises.

        Args:
            author: Who signed the pubsub message.
            payload: As published.
            now: Monotonic clock.
            unix_ms: Wall clock.

        Rules: PRB-11.
        """
        if len(payload) > limits.GOSSIP_BYTES_MAX:
            return self._count("oversized", Judgement.REJECT)
        if not self._rates.take(author, now):
            return self._count("flood", Judgement.IGNORE)
        try:
            statement = open_statement(payload, network=self._network, times=self._times)
            check_date(statement, self._times, unix_ms)
        except RemoteProtocolError as error:
            is_blameless = error.code in BLAMELESS
            return self._count(error.code, Judgement.IGNORE if is_blameless else Judgement.REJECT)
        is_staked = self._stake_of(statement.witness, now)
        if is_staked is None:
            self._curious[statement.witness] = None
            while len(self._curious) > limits.PROBE_PENDING_MAX:
                self._curious.popitem(last=False)
        if not is_staked:
            return self._count("no_stake", Judgement.IGNORE)
        return Judgement.ACCEPT if self.shelf.wants(statement) else Judgement.IGNORE

    def next_deadline(self) -> MonotonicS | None:
        """Return when TimeCame is due, or None before Restored."""
        chore, page = self._schedule.next_deadline(), self.catching.next_deadline()
        return min(chore, page) if chore is not None and page is not None else chore

    def check_invariants(self) -> None:
        """Raise AssertionError if the parts contradict each other; takes time linear in what is held."""
        self.shelf.check_invariants()
        self.catching.check_invariants()
        assert sum(map(len, self._waiting.values())) <= limits.PROBE_PENDING_MAX

    # --- this node --------------------------------------------------------------------------------------------------
    def _restored(self, event: pull.Restored, now: MonotonicS) -> list[Effect]:
        """Hold what was held before; its signatures are not checked again."""
        effects: list[Effect] = []
        for data in event.items:
            statement = kept_statement(data)
            is_in = not self._times.is_old(statement.watch, event.unix_ms) and self.shelf.put(statement)[0]
            if not is_in:
                effects.append(pull.ForgetItem(statement.key))
        self._schedule.start(now)
        self._schedule.hasten("sync", MonotonicS(now + limits.PROBE_SYNC_SOON_S))
        return effects

    def _own_made(self, event: ev.OwnStatementMade, _now: MonotonicS) -> list[Effect]:
        """Keep it first, then tell it. Rules: PRB-8."""
        return [*self._hold(kept_statement(event.data)), pull.Gossip(event.data)]

    def _time_came(self, event: pull.TimeCame, now: MonotonicS) -> list[Effect]:
        due, effects = self._schedule.due(now), list[Effect]()
        if "old" in due:
            effects += self._forget_old(event.unix_ms)
        if "sync" in due:
            effects += self._judge_curious()
            effects += self._compare(event.peers, now)
        page = self.catching.next_deadline()
        if page is not None and page <= now:
            effects += self.catching.handle(DeadlineReached(), now)
        return effects

    def _compare(self, peers: tuple[PeerId, ...], now: MonotonicS) -> list[Effect]:
        """Compare with another neighbour than the last one, unless that is under way. Rules: PRB-12."""
        awake = [peer for peer in peers if self._resting.get(peer, now) <= now]
        if not awake or not self.catching.is_resting:
            return []
        self._turn += 1
        salt = self._salt + self._turn.to_bytes(8, "big")
        others = [peer for peer in awake if peer != self.catching.peer] or awake
        peer = min(others, key=lambda one: sha256(salt + one.encode()))
        return list(self.catching.handle(CompareDue(peer, self.shelf.digests()), now))

    def _forget_old(self, unix_ms: UnixMs) -> list[Effect]:
        old = [one for one in self.shelf.all() if self._times.is_old(one.watch, unix_ms)]
        for statement in old:
            self.shelf.drop(statement)
        return [pull.ForgetItem(one.key) for one in old]

    # --- others -----------------------------------------------------------------------------------------------------
    def _gossip_accepted(self, event: ev.GossipAccepted, _now: MonotonicS) -> list[Effect]:
        return self._hold(kept_statement(event.payload))

    def _names_answered(self, event: pull.NamesAnswered, now: MonotonicS) -> list[Effect]:
        if event.peer != self.catching.peer:
            return []
        missing = tuple(
            name
            for name in event.names
            if self.shelf.get(name) is None and self._refused.get(name, now) <= now
        )
        last = event.names[-1] if event.names else b""
        if missing:
            self._schedule.hasten("sync", MonotonicS(now + limits.PROBE_SYNC_SOON_S))
        return list(self.catching.handle(NamesCame(missing, last, event.is_complete), now))

    def _statements_answered(self, event: pull.ItemsAnswered, now: MonotonicS) -> list[Effect]:
        """Take what was asked for. Rules: PRB-9, PRB-12."""
        if event.peer != self.catching.peer:
            return []
        effects: list[Effect] = []
        try:
            for data in event.items:
                effects += self._take(data, event.unix_ms, now)
        except RemoteProtocolError as error:
            self._rest(event.peer, error.code, now)
            effects += self.catching.handle(Broken(), now)
            return effects if error.code in FOREIGN else [*effects, pull.BlamePeer(event.peer, error.code)]
        return [*effects, *self.catching.handle(StatementsCame(), now)]

    def _ask_failed(self, event: pull.AskFailed, now: MonotonicS) -> list[Effect]:
        if event.peer != self.catching.peer or self.catching.is_resting:
            return []
        self._schedule.hasten("sync", MonotonicS(now + limits.PROBE_SYNC_SOON_S))
        return list(self.catching.handle(Broken(), now))

    def _take(self, data: bytes, unix_ms: UnixMs, now: MonotonicS) -> list[Effect]:
        statement = open_statement(data, network=self._network, times=self._times)
        if statement.name not in self.catching.asked:
            raise RemoteProtocolError("a statement that was not asked for", code="unsolicited", rule="PRB-12")
        try:
            check_date(statement, self._times, unix_ms)
        except RemoteProtocolError as error:
            self._refuse(statement, error.code, now)
            return []
        match self._stake_of(statement.witness, now):
            case True:
                return self._hold(statement)
            case False:
                self._refuse(statement, "no_stake", now)
                return []
            case None:
                return self._put_aside(statement)

    def _put_aside(self, statement: Statement) -> list[Effect]:
        """Let a statement wait for a look at its witness's stake; what finds no room is found again later."""
        if sum(map(len, self._waiting.values())) >= limits.PROBE_PENDING_MAX:
            return []
        is_new = statement.witness not in self._waiting
        self._waiting.setdefault(statement.witness, []).append(statement)
        return [ev.JudgeStake(statement.witness)] if is_new else []

    def _judge_curious(self) -> list[Effect]:
        """Look at witnesses that were heard of by gossip alone."""
        found = [one for one in self._curious if one not in self._waiting][: limits.PROBE_LOOKS_MAX]
        for witness in found:
            del self._curious[witness]
            self._waiting[witness] = []
        return [ev.JudgeStake(witness) for witness in found]

    def _stake_judged(self, event: ev.StakeJudged, now: MonotonicS) -> list[Effect]:
        """Hold what waited for the look. Rules: PRB-10."""
        if event.is_staked is not None:
            self._judged[event.account] = (
                event.is_staked,
                MonotonicS(now + limits.PROBE_WITNESS_JUDGED_S),
            )
            self._judged.move_to_end(event.account)
            while len(self._judged) > limits.PROBE_WITNESSES_JUDGED_MAX:
                self._judged.popitem(last=False)
        effects: list[Effect] = []
        for statement in self._waiting.pop(event.account, []):
            if event.is_staked:
                effects += self._hold(statement)
            else:
                self._refuse(statement, _CHAIN_AWAY if event.is_staked is None else "no_stake", now)
        return effects

    # --- steps ------------------------------------------------------------------------------------------------------
    def _hold(self, statement: Statement) -> list[Effect]:
        """Put a checked statement on the shelf; say so the first time that its witness contradicts itself."""
        before = self.shelf.doubled()
        is_in, left = self.shelf.put(statement)
        effects: list[Effect] = [pull.ForgetItem(one.key) for one in left]
        if is_in:
            effects.append(pull.KeepItem(statement.key, statement.data))
        effects += [ev.ContradictionFound(witness) for witness in self.shelf.doubled() - before]
        return effects

    def _stake_of(self, account: bytes, now: MonotonicS) -> bool | None:
        known = self._is_staked(account)
        if known is not None:
            return known
        is_staked, until = self._judged.get(account, (False, now))
        return is_staked if now < until else None

    def _refuse(self, statement: Statement, code: str, now: MonotonicS) -> None:
        self.refusals[code] += 1
        rest_s = limits.CHAIN_SILENT_S if code == _CHAIN_AWAY else limits.PROBE_REST_S
        self._refused[statement.name] = MonotonicS(now + rest_s)
        self._refused.move_to_end(statement.name)
        while len(self._refused) > limits.PROBE_REFUSED_MAX:
            self._refused.popitem(last=False)

    def _rest(self, peer: PeerId, code: str, now: MonotonicS) -> None:
        self.refusals[code] += 1
        self._resting[peer] = MonotonicS(now + limits.PROBE_REST_S)
        self._resting.move_to_end(peer)
        while len(self._resting) > limits.ADDRESS_BOOK_PEERS_MAX:
            self._resting.popitem(last=False)

    def _count(self, code: str, judgement: Judgement) -> Judgement:
        self.refusals[code] += 1
        return judgement


_METHODS: dict[type[Event], Callable[[StatementExchange, Any, MonotonicS], list[Effect]]] = {
    pull.Restored: StatementExchange._restored,
    ev.OwnStatementMade: StatementExchange._own_made,
    ev.GossipAccepted: StatementExchange._gossip_accepted,
    pull.NamesAnswered: StatementExchange._names_answered,
    pull.ItemsAnswered: StatementExchange._statements_answered,
    pull.AskFailed: StatementExchange._ask_failed,
    ev.StakeJudged: StatementExchange._stake_judged,
    pull.TimeCame: StatementExchange._time_came,
}
