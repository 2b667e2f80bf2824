"""The exchange of verdicts at one node: what it tells, asks, takes and lets go.

It goes beside the exchange of receipts, on the same topic and protocol, with the same gate: who sends bad verdicts is
not asked for receipts either. Spec: protocol/07b-receipts.md, "Verdicts".
"""

from collections.abc import Callable
from typing import Any

from skyops_p2p import limits
from skyops_p2p.core import pull_events as pull
from skyops_p2p.core.evidence import events as ev
from skyops_p2p.core.evidence.asking import Asking, ForNames
from skyops_p2p.core.evidence.gate import Gate
from skyops_p2p.core.evidence.items import Scope
from skyops_p2p.core.evidence.pulling import Pulling
from skyops_p2p.core.evidence.purses import Purses
from skyops_p2p.core.evidence.verdicts import VerdictItem, VerdictShelf, check_verdict_date, open_verdict
from skyops_p2p.core.machine import Effect, Event
from skyops_p2p.core.rate import PeerRates
from skyops_p2p.errors import LocalProtocolError, RemoteProtocolError
from skyops_p2p.types import MonotonicS, PeerId, UnixMs
from skyops_p2p.wire.messages.evidence import (
    ReceiptSyncReply,
    VerdictNames,
    VerdictsReply,
    VerdictsRequest,
    VerdictSyncRequest,
)
from skyops_p2p.wire.model import Message, decode_fields, decode_message, encode_message

REQUESTS = frozenset({VerdictsRequest.number, VerdictSyncRequest.number})
"""Numbers of the requests that are answered here."""
_REPLY_BYTES = limits.MESSAGE_BYTES_MAX - 1024
"""Of verdicts in one reply."""


class VerdictExchange:
    """Everything that a node does with verdicts.

    Args:
        scope: Whose verdicts.
        gate: Of this node's exchange of receipts.
        salt: Secret of this node, for its own order of neighbours.
        shelf: Where they are held; of the usual size if omitted.
    """

    def __init__(self, scope: Scope, gate: Gate, *, salt: bytes, shelf: VerdictShelf | None = None) -> None:
        self.scope = scope
        self.shelf = VerdictShelf() if shelf is None else shelf
        self.gate = gate
        gate.has_verdict = self._is_known
        self.asking = Asking(salt, asked_max=limits.VERDICTS_ASKED_MAX)
        self._purses: Purses[VerdictItem] = Purses()
        self._rates = PeerRates(
            burst=limits.RECEIPT_REQUEST_BURST,
            per_s=limits.RECEIPT_REQUESTS_PER_S,
            peers_max=limits.ADDRESS_BOOK_PEERS_MAX,
        )
        self._pulling = Pulling(
            gate, self.asking, is_known=self._is_known, untold_max=limits.VERDICTS_HELD_PER_REQUESTER_MAX
        )

    # --- entries ----------------------------------------------------------------------------------------------------
    def handle(self, event: Event, now: MonotonicS) -> list[Effect]:
        """Take one event and return what is to be done, in order.

        Args:
            event: One of core/evidence/events.py but for OwnReceiptKept, or of core/pull_events.py.
            now: Monotonic seconds, never less than before.
        """
        if (method := _METHODS.get(type(event))) is None:
            raise LocalProtocolError(f"the exchange of verdicts does not know {type(event).__name__}")
        return method(self, event, now)

    def answer(self, peer: PeerId, request: bytes, now: MonotonicS) -> bytes:
        """Answer one request.

        Raises:
            RemoteProtocolError: `flood`, `wrong_type`, or what decoding raises; sent as a refusal.

        Rules: RCP-11, RCP-17.
        """
        if not self._rates.take(peer, now):  # RCP-11
            raise RemoteProtocolError("too many questions", code="flood", rule="RCP-11", peer=peer)
        match decode_fields(request)[0]:
            case VerdictsRequest.number:
                reply: Message = self._named(decode_message(VerdictsRequest, request))
            case VerdictSyncRequest.number:
                sync = decode_message(VerdictSyncRequest, request)
                names, is_complete = self.shelf.names.differing(
                    sync.digests, after=sync.after, count_max=limits.RECEIPT_SYNC_NAMES_MAX
                )
                reply = ReceiptSyncReply(names=tuple(names), is_complete=is_complete)
            case _:
                raise RemoteProtocolError("no such request", code="wrong_type", rule="RCP-17", peer=peer)
        return encode_message(reply)

    def next_deadline(self) -> MonotonicS | None:
        """Return when TimeCame is due, or None before Restored."""
        return self._pulling.next_deadline()

    def check_invariants(self) -> None:
        """Raise AssertionError if the parts contradict each other; takes time linear in what is held."""
        self.shelf.check_invariants()
        self.asking.check_invariants()

    # --- this node --------------------------------------------------------------------------------------------------
    def _restored(self, event: pull.Restored, now: MonotonicS) -> list[Effect]:
        """Hold what was held before, checked again: what it says is worked out from it."""
        effects: list[Effect] = []
        for data in event.items:
            try:
                item = open_verdict(data, self.scope)
            except (
                RemoteProtocolError
            ) as error:  # of contracts that the network has left, or of an older program
                self.gate.refusals[error.code] += 1
                continue
            if self.shelf.get(item.name) is None:  # this node's own may have come meanwhile
                effects += self._hold(item, now, is_kept=True)
        self._pulling.start(now)
        return effects

    def _own_verdict_made(self, event: ev.OwnVerdictMade, now: MonotonicS) -> list[Effect]:
        """Hold it and tell others, if it says something to them. Rules: RCP-16."""
        try:
            item = open_verdict(event.data, self.scope)
        except RemoteProtocolError as error:
            self.gate.refusals[error.code] += 1
            return []
        if self.shelf.get(item.name) is not None:
            return []
        effects = self._hold(item, now)
        if self.shelf.get(item.name) is not None:
            self._pulling.note_untold(item.name)
        return effects

    def _time_came(self, event: pull.TimeCame, now: MonotonicS) -> list[Effect]:
        due = self._pulling.due(event, now)
        effects: list[Effect] = []
        if "tell" in due and (names := self._pulling.take_untold()):
            effects.append(pull.Gossip(encode_message(VerdictNames(names=names))))
        if "old" in due:
            for item in self.shelf.older_than(UnixMs(event.unix_ms - limits.RECEIPT_AGE_MS_MAX)):
                self.shelf.drop(item)
                effects += _gone(item)
        if "sync" in due:
            effects += self._pulling.compare(self.shelf.names.digests(), now)
        return [*effects, *self._pulling.ask(now)]

    # --- others -----------------------------------------------------------------------------------------------------
    def _gossip_accepted(self, event: ev.GossipAccepted, now: MonotonicS) -> list[Effect]:
        for name in decode_message(VerdictNames, event.payload).names:
            self._pulling.want(name, event.author, now)
        return self._pulling.ask(now)

    def _names_answered(self, event: pull.NamesAnswered, now: MonotonicS) -> list[Effect]:
        return self._pulling.names_answered(event, now)

    def _ask_failed(self, event: pull.AskFailed, now: MonotonicS) -> list[Effect]:
        return self._pulling.ask_failed(event, now)

    def _verdicts_answered(self, event: pull.ItemsAnswered, now: MonotonicS) -> list[Effect]:
        """Take what was asked for. Rules: RCP-8, RCP-15."""
        question = self.asking.take_question(event.peer)
        if not isinstance(question, ForNames):
            return []
        effects: list[Effect] = []
        for data in event.items:
            try:
                effects += self._take(data, event, question, now)
            except RemoteProtocolError as error:
                effects += self._pulling.refused(event.peer, error.code, now)
                break
        self._pulling.missed(question, event.peer, now)
        return [*effects, *self._pulling.ask(now)]

    def _take(
        self, data: bytes, event: pull.ItemsAnswered, question: ForNames, now: MonotonicS
    ) -> list[Effect]:
        item = open_verdict(data, self.scope)
        if item.name not in question.names:
            raise RemoteProtocolError("a verdict that was not asked for", code="unsolicited", rule="RCP-8")
        self.asking.settle((item.name,), now)
        if self.shelf.get(item.name) is not None:
            return []
        try:
            check_verdict_date(item, event.unix_ms)
        except RemoteProtocolError as error:
            self.gate.refuse(frozenset({item.name}), error.code, now)
            return []
        match self._purses.is_funded(item.pair, now):
            case True:
                return self._hold(item, now)
            case False:
                self._purses.refuse(self.gate, frozenset({item.name}), item.pair, now)
                return []
            case None:
                return self._purses.put_aside(item.pair, item)

    def _pair_judged(self, event: ev.PairJudged, now: MonotonicS) -> list[Effect]:
        """Hold what waited for the look at its pair's money. Rules: RCP-16."""
        effects: list[Effect] = []
        for item in self._purses.judge(event.pair, event.is_funded, now):
            if event.is_funded and self.shelf.get(item.name) is None:
                effects += self._hold(item, now)
            elif not event.is_funded:
                self._purses.refuse(self.gate, frozenset({item.name}), item.pair, now)
        return effects

    # --- steps ------------------------------------------------------------------------------------------------------
    def _hold(self, item: VerdictItem, now: MonotonicS, *, is_kept: bool = False) -> list[Effect]:
        self.asking.settle((item.name,), now)
        is_in, left = self.shelf.put(item)
        effects = [effect for one in left for effect in _gone(one)]
        if not is_in:
            self.gate.refuse(frozenset({item.name}), "too_old", now)
            return [*effects, *([pull.ForgetItem(item.name.hex())] if is_kept else [])]
        if not is_kept:
            effects.append(pull.KeepItem(item.name.hex(), item.data))
        return [*effects, ev.VerdictHeld(item.checked)]

    def _named(self, request: VerdictsRequest) -> VerdictsReply:
        """Give what is held of it, as many as fit a message. Rules: RCP-17."""
        found, room = list[bytes](), _REPLY_BYTES
        for name in dict.fromkeys(request.names):
            item = self.shelf.get(name)
            if item is not None and len(item.data) <= room:
                found.append(item.data)
                room -= len(item.data) + 4
        return VerdictsReply(items=tuple(found))

    def _is_known(self, name: bytes) -> bool:
        return self.shelf.get(name) is not None


def _gone(item: VerdictItem) -> list[Effect]:
    return [pull.ForgetItem(item.name.hex()), ev.VerdictGone(item.checked)]


_METHODS: dict[type[Event], Callable[[VerdictExchange, Any, MonotonicS], list[Effect]]] = {
    pull.Restored: VerdictExchange._restored,
    ev.OwnVerdictMade: VerdictExchange._own_verdict_made,
    ev.GossipAccepted: VerdictExchange._gossip_accepted,
    pull.ItemsAnswered: VerdictExchange._verdicts_answered,
    pull.NamesAnswered: VerdictExchange._names_answered,
    pull.AskFailed: VerdictExchange._ask_failed,
    ev.PairJudged: VerdictExchange._pair_judged,
    pull.TimeCame: VerdictExchange._time_came,
}
