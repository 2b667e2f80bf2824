"""What is asked of whom: receipts or verdicts by name, stretches of chains, and what differs. Pure.

At most RECEIPT_QUESTIONS_MAX questions are under way, one to a peer. Spec: protocol/07b-receipts.md, "Asking".
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from skyops_p2p import limits
from skyops_p2p.core import pull_events as pull
from skyops_p2p.core.evidence import events as ev
from skyops_p2p.core.evidence.items import Evidence
from skyops_p2p.core.evidence.want import Asked, Missed, Named, Settled, Want, WantState
from skyops_p2p.core.machine import Effect
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.types import MonotonicS, PeerId


@dataclass(frozen=True, slots=True)
class ForNames:
    """A question for receipts."""

    names: tuple[bytes, ...]

    def covers(self, item: Evidence) -> bool:
        """Tell whether a receipt was asked for."""
        return not item.names.isdisjoint(self.names)


@dataclass(frozen=True, slots=True)
class ForRange:
    """A question for a stretch of a chain."""

    account: bytes
    first: int
    count: int

    def covers(self, item: Evidence) -> bool:
        """Tell whether a receipt was asked for."""
        stretch = range(self.first, self.first + self.count)
        return any(account == self.account and place.sequence in stretch for account, place in item.places)


@dataclass(frozen=True, slots=True)
class ForDifference:
    """A question for what differs, and how many of its synchronisation came before."""

    digests: bytes
    after: bytes
    rounds: int


Question = ForNames | ForRange | ForDifference


class Asking:
    """The wants and questions of one node.

    Args:
        salt: This node's own order of its neighbours: nobody can foresee whom it asks.
        asked_max: Names in one question.
    """

    def __init__(self, salt: bytes, *, asked_max: int = limits.RECEIPTS_ASKED_MAX) -> None:
        self._salt = salt
        self._asked_max = asked_max
        self._wants: dict[bytes, Want] = {}
        """By name, in the order in which they were heard of."""
        self._first_named: Counter[PeerId] = Counter()
        """Peer -> wants that it was the first to name."""
        self._namers: dict[bytes, PeerId] = {}
        self._questions: dict[PeerId, Question] = {}
        self._ready_at: dict[PeerId, MonotonicS] = {}
        """When a peer may be asked again: asking more often would be a flood."""
        self._turn = 0
        self._crowded_until = MonotonicS(float("-inf"))
        """While all who could be asked are busy, nobody looks again before this or an answer."""

    def __len__(self) -> int:
        return len(self._wants)

    @property
    def is_comparing(self) -> bool:
        """Whether a synchronisation is under way."""
        return any(isinstance(question, ForDifference) for question in self._questions.values())

    def next_deadline(self) -> MonotonicS | None:
        """Return when somebody is to be asked next."""
        if len(self._questions) >= limits.RECEIPT_QUESTIONS_MAX:
            return None
        due = [at for want in self._wants.values() if (at := want.next_deadline()) is not None]
        return max(min(due), self._crowded_until) if due else None

    def check_invariants(self) -> None:
        """Raise AssertionError if the indices contradict each other."""
        asked = {name for one in self._questions.values() if isinstance(one, ForNames) for name in one.names}
        for name, want in self._wants.items():
            want.check_invariants()
            assert want.state in (WantState.RESTING, WantState.ASKED), "what has ended is forgotten"
            assert want.state is WantState.RESTING or name in asked, "asked for by a question"
        assert set(self._namers) == set(self._wants)
        assert self._first_named == Counter(self._namers.values())
        assert len(self._wants) <= limits.WANTS_MAX
        assert len(self._questions) <= limits.RECEIPT_QUESTIONS_MAX

    # --- wants ------------------------------------------------------------------------------------------------------
    def want(self, name: bytes, peer: PeerId, now: MonotonicS) -> None:
        """Ask for a receipt that a peer has named; past the bounds it is left out. Rules: RCP-8."""
        known = self._wants.get(name)
        if known is not None:
            known.handle(Named(peer), now)
        elif len(self._wants) < limits.WANTS_MAX and self._first_named[peer] < limits.WANTS_PER_PEER_MAX:
            self._wants[name] = Want(name, peer, now)
            self._namers[name] = peer
            self._first_named[peer] += 1

    def settle(self, names: Iterable[bytes], now: MonotonicS) -> None:
        """Ask no more for these: they came, or were refused."""
        for name in names:
            want = self._wants.get(name)
            if want is not None:
                want.handle(Settled(), now)
                self._forget(name)

    def _miss(self, name: bytes, now: MonotonicS) -> None:
        want = self._wants.get(name)
        if want is not None:
            want.handle(Missed(), now)
            if want.state is WantState.GIVEN_UP:
                self._forget(name)

    def _forget(self, name: bytes) -> None:
        del self._wants[name]
        peer = self._namers.pop(name)
        self._first_named[peer] -= 1
        if not self._first_named[peer]:
            del self._first_named[peer]

    # --- questions --------------------------------------------------------------------------------------------------
    def ask_due(self, peers: Sequence[PeerId], now: MonotonicS) -> list[Effect]:
        """Ask for what is due: first those who named it, then neighbours. Rules: RCP-8.

        Args:
            peers: Who may be asked.
            now: Monotonic clock.
        """
        batches: dict[PeerId, list[bytes]] = {peer: [] for peer in self._free(peers, now)}
        room = self._asked_max * len(batches)
        for name, want in list(self._wants.items()):
            at = want.next_deadline()
            if at is None or at > now:
                continue
            if not room:
                self._crowded_until = MonotonicS(now + limits.RECEIPT_ASK_PAUSE_S)
                break
            candidates = self._candidates(want, peers)
            peer = next((one for one in candidates if self._has_room(batches, one)), None)
            if peer is not None:
                batches[peer].append(name)
                room -= 1
                want.handle(Asked(peer), now)
            elif not candidates:
                self._miss(name, now)
            else:
                self._crowded_until = MonotonicS(now + limits.RECEIPT_ASK_PAUSE_S)
        asked = {peer: tuple(names) for peer, names in batches.items() if names}
        for peer, names in asked.items():
            self._note(peer, ForNames(names), now)
        return [pull.AskItems(peer, names) for peer, names in asked.items()]

    def compare(self, peers: Sequence[PeerId], digests: bytes, now: MonotonicS) -> list[Effect]:
        """Ask another neighbour than the last one what differs, unless too much is under way. Rules: RCP-10."""
        free = self._free(peers, now)
        if not free or self.is_comparing:
            return []
        self._turn += 1
        peer = min(free, key=lambda one: self._lot(one.encode()))
        return self.compare_on(peer, ForDifference(digests, b"", 0), now)

    def compare_on(self, peer: PeerId, question: ForDifference, now: MonotonicS) -> list[Effect]:
        """Ask a peer what differs, or what more does. Rules: RCP-10."""
        if peer in self._questions or len(self._questions) >= limits.RECEIPT_QUESTIONS_MAX:
            return []
        self._note(peer, question, now)
        return [pull.AskNames(peer, question.digests, question.after)]

    def ask_range(self, peers: Sequence[PeerId], question: ForRange, now: MonotonicS) -> list[Effect]:
        """Ask a neighbour for a stretch of a chain, unless too much is under way. Rules: RCP-9."""
        peer = next(iter(self._free(peers, now)), None)
        if peer is None:
            return []
        self._note(peer, question, now)
        return [ev.AskRange(peer, question.account, question.first, question.count)]

    def take_question(self, peer: PeerId) -> Question | None:
        """Return what a peer was asked, and note that it is over."""
        self._crowded_until = MonotonicS(float("-inf"))
        return self._questions.pop(peer, None)

    def missed(self, question: ForNames, now: MonotonicS) -> list[bytes]:
        """Ask others for what a question did not bring; return those names."""
        left = [
            name
            for name in question.names
            if (want := self._wants.get(name)) is not None and want.state is WantState.ASKED
        ]
        for name in left:
            self._miss(name, now)
        return left

    def namer(self, name: bytes) -> PeerId | None:
        """Return who was the first to name a receipt that is wanted."""
        return self._namers.get(name)

    def _candidates(self, want: Want, peers: Sequence[PeerId]) -> list[PeerId]:
        """Return whom to ask: those who have named it, then neighbours from a place in their row that is its own."""
        allowed = [peer for peer in peers if peer not in want.asked]
        first = [peer for peer in want.sources if peer in allowed]
        start = self._lot(want.name) % len(allowed) if allowed else 0
        return [*first, *(peer for peer in (*allowed[start:], *allowed[:start]) if peer not in first)]

    def _free(self, peers: Sequence[PeerId], now: MonotonicS) -> list[PeerId]:
        """Return those who may be asked now, as many as there is room for."""
        room = limits.RECEIPT_QUESTIONS_MAX - len(self._questions)
        ready = [one for one in peers if one not in self._questions and self._ready_at.get(one, now) <= now]
        start = self._turn % len(ready) if ready else 0
        return [*ready[start:], *ready[:start]][:room]

    def _has_room(self, batches: dict[PeerId, list[bytes]], peer: PeerId) -> bool:
        return peer in batches and len(batches[peer]) < self._asked_max

    def _note(self, peer: PeerId, question: Question, now: MonotonicS) -> None:
        self._turn += 1
        self._questions[peer] = question
        self._ready_at = {one: at for one, at in self._ready_at.items() if at > now}
        self._ready_at[peer] = MonotonicS(now + limits.RECEIPT_ASK_PAUSE_S)

    def _lot(self, about: bytes) -> int:
        return int.from_bytes(sha256(self._salt + self._turn.to_bytes(8, "big") + about)[:4], "big")
