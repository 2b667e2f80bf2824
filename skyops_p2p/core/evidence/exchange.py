"""The exchange of receipts at one node: what it tells, asks, takes and proves.

Pure, like the machines inside it: node/evidence, or the simulator, feeds it events and performs its effects, and the
same code judges gossip and answers requests. Spec: protocol/07b-receipts.md.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from skyops_p2p import limits
from skyops_p2p.core import pull_events as pull
from skyops_p2p.core.evidence import events as ev
from skyops_p2p.core.evidence.asking import Asking, ForDifference, ForNames, ForRange
from skyops_p2p.core.evidence.gate import Gate
from skyops_p2p.core.evidence.items import (
    Evidence,
    Scope,
    check_date,
    check_proof,
    evidence_of,
    history_key,
    is_due,
    joined,
    open_evidence,
    proof_of,
)
from skyops_p2p.core.evidence.pulling import Pulling
from skyops_p2p.core.evidence.purses import Purses
from skyops_p2p.core.evidence.serving import ReceiptService
from skyops_p2p.core.evidence.shelf import Shelf
from skyops_p2p.core.intake import Judgement
from skyops_p2p.core.machine import Effect, Event
from skyops_p2p.core.settlement.receipts import DoubleHistory, ReceiptWatch
from skyops_p2p.errors import LocalProtocolError, RemoteProtocolError
from skyops_p2p.types import MonotonicS, PeerId, UnixMs
from skyops_p2p.wire.messages.evidence import DoubleHistoryProof, ReceiptNames
from skyops_p2p.wire.messages.settlement import Receipt, SignedReceipt
from skyops_p2p.wire.model import decode_fields, decode_message, encode_message

_Opened = tuple[Evidence, Receipt, SignedReceipt]


class Exchange:
    """Everything that a node does with the receipts of everybody.

    Args:
        scope: Whose receipts.
        salt: Secret of this node, for its own order of neighbours.
        is_member: Tells whether a wallet is that of a node on the map.
        shelf: Where they are held; of the usual size if omitted.
    """

    def __init__(
        self, scope: Scope, *, salt: bytes, is_member: Callable[[bytes], bool], shelf: Shelf | None = None
    ) -> None:
        self.scope = scope
        self.shelf = Shelf() if shelf is None else shelf
        self.histories: OrderedDict[bytes, DoubleHistoryProof] = OrderedDict()
        """Account -> the proof that it has two histories, oldest first."""
        self.gate = Gate(scope, self.shelf, self.histories, is_member)
        self.asking = Asking(salt)
        self._dropped: OrderedDict[bytes, bytes] = OrderedDict()
        """Name of a receipt that went because of a proof -> of which account."""
        self._service = ReceiptService(self.shelf, self.histories, self._dropped)
        self._watch = ReceiptWatch(scope.domain)
        self._purses: Purses[_Opened] = Purses()
        self._halves: OrderedDict[bytes, Evidence] = OrderedDict()
        """Own receipts with one half that wait for the other, by digest."""
        self._told_at: dict[bytes, MonotonicS] = {}
        """Account -> when its proof was gossiped last."""
        self._gap_at: OrderedDict[bytes, MonotonicS] = OrderedDict()
        """Account -> when the receipts before one of its were asked for last."""
        self._pulling = Pulling(self.gate, self.asking, is_known=self._is_known, untold_max=limits.WANTS_MAX)

    # --- entries ----------------------------------------------------------------------------------------------------
    def handle(self, event: Event, now: MonotonicS) -> list[Effect]:
        """Take one event and return what is to be done, in order.

        Args:
            event: One of core/evidence/events.py, or of core/pull_events.py.
            now: Monotonic seconds, never less than before.
        """
        if (method := _METHODS.get(type(event))) is None:
            raise LocalProtocolError(f"the exchange does not know {type(event).__name__}")
        return method(self, event, now)

    def judge(self, author: PeerId, payload: bytes, now: MonotonicS) -> Judgement:
        """Judge gossip before it is forwarded; see Gate.judge."""
        return self.gate.judge(author, payload, now)

    def answer(self, peer: PeerId, request: bytes, now: MonotonicS) -> bytes:
        """Answer one request; see ReceiptService.answer."""
        return self._service.answer(peer, request, now)

    def next_deadline(self) -> MonotonicS | None:
        """Return when TimeCame is due, or None before Restored."""
        return self._pulling.next_deadline()

    def check_invariants(self) -> None:
        """Raise AssertionError if the parts contradict each other; takes time linear in what is held."""
        self.shelf.check_invariants()
        self.asking.check_invariants()
        assert not any(self.shelf.knows(account) for account in self.histories), "what is worthless is held"
        assert len(self.histories) <= limits.HISTORIES_HELD_MAX

    # --- this node --------------------------------------------------------------------------------------------------
    def _restored(self, event: pull.Restored, now: MonotonicS) -> list[Effect]:
        """Hold what was held before, proofs first; signatures are not checked again."""
        effects: list[Effect] = []
        for data in event.items:
            if decode_fields(data)[0] == DoubleHistoryProof.number:
                proof = decode_message(DoubleHistoryProof, data)
                self.histories[proof.account] = proof
        for data in event.items:
            if decode_fields(data)[0] == SignedReceipt.number:
                signed = decode_message(SignedReceipt, data)
                receipt = decode_message(Receipt, signed.receipt)
                effects += self._hold((evidence_of(receipt, signed), receipt, signed), now, is_kept=True)
        self._pulling.start(now)
        return effects

    def _own_receipt_kept(self, event: ev.OwnReceiptKept, now: MonotonicS) -> list[Effect]:
        """Hold it, and tell others once it is due. Rules: RCP-5."""
        try:
            item, _, _ = open_evidence(event.data, self.scope)
        except RemoteProtocolError as error:  # of contracts that the network has left
            self.gate.refusals[error.code] += 1
            return []
        known = self._halves.pop(item.digest, None)
        if known is not None:
            item = joined(known, item)
        if not is_due(item, event.unix_ms):
            self._halves[item.digest] = item
            while len(self._halves) > limits.RECEIPTS_PENDING_MAX:
                self._halves.popitem(last=False)
            return []
        return self._publish(item, now)

    def _publish(self, item: Evidence, now: MonotonicS) -> list[Effect]:
        signed = decode_message(SignedReceipt, item.data)
        receipt = decode_message(Receipt, signed.receipt)
        effects = self._hold((item, receipt, signed), now)
        held = self.shelf.get(item.digest)
        if effects and held is not None:
            self._pulling.note_untold(held.name)
        return effects

    def _time_came(self, event: pull.TimeCame, now: MonotonicS) -> list[Effect]:
        due = self._pulling.due(event, now)
        effects: list[Effect] = []
        if "tell" in due:
            effects += self._tell()
        if "old" in due:
            effects += self._forget_old(event.unix_ms)
        if "sync" in due:
            for item in [one for one in self._halves.values() if is_due(one, event.unix_ms)]:
                del self._halves[item.digest]
                effects += self._publish(item, now)
            effects += self._pulling.compare(self.shelf.digests(), now)
        return [*effects, *self._pulling.ask(now)]

    def _tell(self) -> list[Effect]:
        """Gossip the names of own receipts, as many as fit a batch. Rules: RCP-5, RCP-7."""
        names = self._pulling.take_untold()
        return [pull.Gossip(encode_message(ReceiptNames(names=names)))] if names else []

    def _forget_old(self, unix: UnixMs) -> list[Effect]:
        old = self.shelf.older_than(UnixMs(unix - limits.RECEIPT_AGE_MS_MAX))
        for item in old:
            self.shelf.drop(item)
        return [pull.ForgetItem(item.digest.hex()) for item in old]

    # --- others -----------------------------------------------------------------------------------------------------
    def _gossip_accepted(self, event: ev.GossipAccepted, now: MonotonicS) -> list[Effect]:
        if decode_fields(event.payload)[0] == ReceiptNames.number:
            for name in decode_message(ReceiptNames, event.payload).names:
                self._pulling.want(name, event.author, now)
            return self._pulling.ask(now)
        proof = decode_message(DoubleHistoryProof, event.payload)
        return self._convict(check_proof(proof, self.scope), now, is_told=True)

    def _names_answered(self, event: pull.NamesAnswered, now: MonotonicS) -> list[Effect]:
        return self._pulling.names_answered(event, now)

    def _ask_failed(self, event: pull.AskFailed, now: MonotonicS) -> list[Effect]:
        return self._pulling.ask_failed(event, now)

    def _receipts_answered(self, event: pull.ItemsAnswered, now: MonotonicS) -> list[Effect]:
        """Take what was asked for. Rules: RCP-3, RCP-8."""
        question = self.asking.take_question(event.peer)
        if question is None or isinstance(question, ForDifference):
            return []
        effects: list[Effect] = []
        for data in event.items:
            try:
                effects += self._take(data, event, question, now)
            except RemoteProtocolError as error:
                effects += self._pulling.refused(event.peer, error.code, now)
                break
        if isinstance(question, ForNames):
            self._pulling.missed(question, event.peer, now)
        return [*effects, *self._pulling.ask(now)]

    def _take(
        self, data: bytes, event: pull.ItemsAnswered, question: ForNames | ForRange, now: MonotonicS
    ) -> list[Effect]:
        if decode_fields(data)[0] == DoubleHistoryProof.number:
            return self._take_proof(decode_message(DoubleHistoryProof, data), question, now)
        opened = open_evidence(data, self.scope)
        item = opened[0]
        if not question.covers(item):
            raise RemoteProtocolError("a receipt that was not asked for", code="unsolicited", rule="RCP-8")
        self.asking.settle(item.names, now)
        try:
            check_date(item, event.unix_ms)
        except RemoteProtocolError as error:
            self.gate.refuse(item.names, error.code, now)
            return []
        if (history := self._watch.see_checked(*opened[1:], is_noted=False)) is not None:
            return self._convict(history, now)
        match self._purses.is_funded(item.pair, now):
            case True:
                return [*self._hold(opened, now), *self._fill_gap(item, now)]
            case False:
                self._purses.refuse(self.gate, item.names, item.pair, now)
                return []
            case None:
                return self._purses.put_aside(item.pair, opened)

    def _take_proof(
        self, proof: DoubleHistoryProof, question: ForNames | ForRange, now: MonotonicS
    ) -> list[Effect]:
        """Take a proof in the place of a receipt: of a known account only, or it would only fill the memory."""
        history = check_proof(proof, self.scope)
        if self.gate.concerns(proof.account):
            return self._convict(history, now)
        if isinstance(question, ForNames):
            names = frozenset(question.names)
            self.gate.refuse(names, "double_history", now)
            self.asking.settle(names, now)
        return []

    def _pair_judged(self, event: ev.PairJudged, now: MonotonicS) -> list[Effect]:
        """Hold what waited for the look at its pair's money. Rules: RCP-6."""
        effects: list[Effect] = []
        for opened in self._purses.judge(event.pair, event.is_funded, now):
            if event.is_funded:
                effects += [*self._hold(opened, now), *self._fill_gap(opened[0], now)]
            else:
                self._purses.refuse(self.gate, opened[0].names, event.pair, now)
        return effects

    # --- steps ------------------------------------------------------------------------------------------------------
    def _hold(self, opened: _Opened, now: MonotonicS, *, is_kept: bool = False) -> list[Effect]:
        """Put a checked receipt on the shelf; or tell again why it is worth nothing. Rules: RCP-4, RCP-13."""
        item, receipt, signed = opened
        self.asking.settle(item.names, now)
        guilty = next((account for account, _ in item.places if account in self.histories), None)
        if guilty is not None:
            self._drop_name(item, guilty)
            self.gate.refuse(item.names, "double_history", now)
            gone: list[Effect] = [pull.ForgetItem(item.digest.hex())] if is_kept else []
            return [*gone, *self._tell_proof(guilty, now)]
        if (history := self._watch.see_checked(receipt, signed)) is not None:
            return self._convict(history, now)
        held, left = self.shelf.put(item)
        effects: list[Effect] = [pull.ForgetItem(one.digest.hex()) for one in left]
        if held is not None and not is_kept:
            effects.append(pull.KeepItem(held.digest.hex(), held.data))
        if held is None and self.shelf.get(item.digest) is None:
            self.gate.refuse(item.names, "too_old", now)
        return effects

    def _convict(self, history: DoubleHistory, now: MonotonicS, *, is_told: bool = False) -> list[Effect]:
        """Keep a proof, tell it, and hold nothing of that account any more. Rules: RCP-12, RCP-13."""
        account = history.account
        if account in self.histories:
            return [] if is_told else self._tell_proof(account, now)
        proof = proof_of(history, self.scope.domain)
        self.histories[account] = proof
        effects: list[Effect] = [pull.KeepItem(history_key(account), encode_message(proof))]
        while len(self.histories) > limits.HISTORIES_HELD_MAX:
            oldest, _ = self.histories.popitem(last=False)
            self._told_at.pop(oldest, None)
            effects.append(pull.ForgetItem(history_key(oldest)))
        for item in self.shelf.of(account):
            self.shelf.drop(item)
            self._drop_name(item, account)
            effects.append(pull.ForgetItem(item.digest.hex()))
        effects.append(ev.HistoryFound(history))
        if is_told:
            self._told_at[account] = now
            return effects
        return [*effects, *self._tell_proof(account, now)]

    def _tell_proof(self, account: bytes, now: MonotonicS) -> list[Effect]:
        told_at = self._told_at.get(account)
        if told_at is not None and now < told_at + limits.HISTORY_TOLD_AGAIN_S:
            return []
        self._told_at[account] = now
        return [pull.Gossip(encode_message(self.histories[account]))]

    def _drop_name(self, item: Evidence, account: bytes) -> None:
        for name in item.names:
            self._dropped[name] = account
        while len(self._dropped) > limits.RECEIPTS_REFUSED_MAX:
            self._dropped.popitem(last=False)

    def _is_known(self, name: bytes) -> bool:
        return self.shelf.named(name) is not None or name in self._dropped

    def _fill_gap(self, item: Evidence, now: MonotonicS) -> list[Effect]:
        """Ask a neighbour for what is missing before a receipt in its parties' chains. Rules: RCP-9."""
        for account, place in item.places:
            before = place.sequence - 1
            asked_at = self._gap_at.get(account)
            is_rested = asked_at is None or now >= asked_at + limits.RECEIPT_GAP_S
            if not before or not is_rested or self.shelf.at(account, before, 1):
                continue
            count = min(before, limits.RECEIPTS_ASKED_MAX)
            effects = self.asking.ask_range(
                self._pulling.awake(now), ForRange(account, place.sequence - count, count), now
            )
            if effects:
                self._gap_at[account] = now
                self._gap_at.move_to_end(account)
                while len(self._gap_at) > limits.PAIRS_JUDGED_MAX:
                    self._gap_at.popitem(last=False)
                return effects
        return []


_METHODS: dict[type[Event], Callable[[Exchange, Any, MonotonicS], list[Effect]]] = {
    pull.Restored: Exchange._restored,
    ev.OwnReceiptKept: Exchange._own_receipt_kept,
    ev.GossipAccepted: Exchange._gossip_accepted,
    pull.ItemsAnswered: Exchange._receipts_answered,
    pull.NamesAnswered: Exchange._names_answered,
    pull.AskFailed: Exchange._ask_failed,
    ev.PairJudged: Exchange._pair_judged,
    pull.TimeCame: Exchange._time_came,
}
