"""What the exchanges of receipts and of verdicts do alike: what they tell and ask, and what answers bring. Pure.

Spec: protocol/07b-receipts.md, "Gossip" and "Asking".
"""

from collections import OrderedDict
from collections.abc import Callable

from skyops_p2p import limits
from skyops_p2p.core import pull_events as pull
from skyops_p2p.core.evidence.asking import Asking, ForDifference, ForNames
from skyops_p2p.core.evidence.gate import FOREIGN, Gate
from skyops_p2p.core.machine import Effect
from skyops_p2p.core.schedule import Schedule
from skyops_p2p.types import MonotonicS, PeerId


class Pulling:
    """The chores and questions of one exchange.

    Args:
        gate: Says who rests, and what is refused.
        asking: Its wants and questions.
        is_known: Tells whether a name is known, so that nobody is asked for it.
        untold_max: Own names that may wait to be gossiped; past it the oldest go, and a comparison finds them.
    """

    def __init__(
        self, gate: Gate, asking: Asking, *, is_known: Callable[[bytes], bool], untold_max: int
    ) -> None:
        self._gate = gate
        self._asking = asking
        self._is_known = is_known
        self._untold: OrderedDict[bytes, None] = OrderedDict()
        """Names of this node's own that were not gossiped yet."""
        self._untold_max = untold_max
        self._peers: tuple[PeerId, ...] = ()
        self._schedule = Schedule(
            sync=limits.RECEIPT_SYNC_S, tell=limits.RECEIPT_TELL_S, old=limits.EVIDENCE_AGED_S
        )

    # --- chores -----------------------------------------------------------------------------------------------------
    def start(self, now: MonotonicS) -> None:
        """Begin with the chores, a comparison soon."""
        self._schedule.start(now)
        self.hasten(now)

    def hasten(self, now: MonotonicS) -> None:
        """Compare soon, not only when its turn comes."""
        self._schedule.hasten("sync", MonotonicS(now + limits.RECEIPT_SYNC_SOON_S))

    def due(self, event: pull.TimeCame, now: MonotonicS) -> frozenset[str]:
        """Take note of the neighbours; return which chores are due: `tell`, `old`, `sync`."""
        self._peers = event.peers
        return self._schedule.due(now)

    def next_deadline(self) -> MonotonicS | None:
        """Return when TimeCame is due, or None before `start`."""
        chore, want = self._schedule.next_deadline(), self._asking.next_deadline()
        return min(chore, want) if chore is not None and want is not None else chore

    def note_untold(self, name: bytes) -> None:
        """Have one of this node's own gossiped."""
        self._untold[name] = None
        while len(self._untold) > self._untold_max:
            self._untold.popitem(last=False)

    def take_untold(self) -> tuple[bytes, ...]:
        """Return what is to be gossiped now, as many as fit a batch. Rules: RCP-5, RCP-7."""
        names = tuple(self._untold)[: limits.RECEIPT_NAMES_TOLD_MAX]
        for name in names:
            del self._untold[name]
        return names

    # --- questions --------------------------------------------------------------------------------------------------
    def want(self, name: bytes, peer: PeerId, now: MonotonicS) -> None:
        """Ask for what a peer has named, unless it is known or refused."""
        if not self._is_known(name) and not self._gate.is_refused(name, now):
            self._asking.want(name, peer, now)

    def ask(self, now: MonotonicS) -> list[Effect]:
        """Ask for what is due."""
        return self._asking.ask_due(self.awake(now), now) if len(self._asking) else []

    def awake(self, now: MonotonicS) -> list[PeerId]:
        """Return the neighbours that do not rest."""
        return [peer for peer in self._peers if not self._gate.is_resting(peer, now)]

    def compare(self, digests: bytes, now: MonotonicS) -> list[Effect]:
        """Compare with a neighbour; soon again if too much is under way. Rules: RCP-10."""
        asked = self._asking.compare(self.awake(now), digests, now)
        if not asked:
            self.hasten(now)
        return asked

    # --- answers ----------------------------------------------------------------------------------------------------
    def names_answered(self, event: pull.NamesAnswered, now: MonotonicS) -> list[Effect]:
        """Want what is new, and go on where the answer ended. Rules: RCP-10, RCP-17."""
        question = self._asking.take_question(event.peer)
        if not isinstance(question, ForDifference):
            return []
        before = len(self._asking)
        for name in event.names:
            self.want(name, event.peer, now)
        if len(self._asking) > before:
            self.hasten(now)
        effects: list[Effect] = []
        last = event.names[-1] if event.names else b""
        is_on = not event.is_complete and last > question.after
        if is_on and question.rounds < limits.RECEIPT_SYNC_ROUNDS_MAX:
            more = ForDifference(question.digests, last, question.rounds + 1)
            effects += self._asking.compare_on(event.peer, more, now)
        return [*effects, *self.ask(now)]

    def ask_failed(self, event: pull.AskFailed, now: MonotonicS) -> list[Effect]:
        """Ask others for what it was asked for. Rules: RCP-8."""
        question = self._asking.take_question(event.peer)
        if isinstance(question, ForNames):
            self._asking.missed(question, now)
        elif isinstance(question, ForDifference):
            self.hasten(now)
        return self.ask(now)

    def missed(self, question: ForNames, peer: PeerId, now: MonotonicS) -> None:
        """Ask others for what an answer did not bring, and count what its peer named in vain. Rules: RCP-8."""
        for name in question.names:
            if self._asking.namer(name) == peer:  # it is wanted still, and who named it first has it not
                self._gate.named_in_vain(peer, now)
        self._asking.missed(question, now)

    def refused(self, peer: PeerId, code: str, now: MonotonicS) -> list[Effect]:
        """Say what becomes of a peer that has sent something wrong. Rules: RCP-8."""
        self._gate.rest(peer, code, now)
        return [] if code in FOREIGN else [pull.BlamePeer(peer, code)]
