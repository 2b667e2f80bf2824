"""What the requester's machine does at each turn of a match: tender, close, decide, award, widen, fail.

The table and the events are in requester.py; the bookkeeping of one round is in round.py. Each step sets the state and
returns effects. Spec: protocol/04-auction.md.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from skyops_p2p import limits
from skyops_p2p.core.auction import events as ev
from skyops_p2p.core.auction import vdf
from skyops_p2p.core.auction.admission import admission_code
from skyops_p2p.core.auction.book import Evidence, vdf_challenge
from skyops_p2p.core.auction.codes import ACCEPTED
from skyops_p2p.core.auction.invitation import EVERYBODY, best_candidates
from skyops_p2p.core.auction.outcomes import Outcomes
from skyops_p2p.core.auction.patience import BIDS_ENOUGH, Patience
from skyops_p2p.core.auction.round import Round, Taken, Window, open_round, resource_class
from skyops_p2p.core.machine import Effect, Machine
from skyops_p2p.core.rules import NetworkRules
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.crypto.node_key import NodeKey, peer_id_from_bytes, peer_id_to_bytes
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.types import MonotonicS, PeerId, UnixMs
from skyops_p2p.wire.envelope import Signed, envelope_kind, seal
from skyops_p2p.wire.messages.auction import Award, BidBook, Commit, Release

PAUSE_MS = 100
"""Least pause before those are asked again whose capacity was reserved; up to four times as much, by lot, so that
requesters in each other's way part."""
_TRANSIENT = frozenset({"busy", "flood", "capacity_reserved"})
"""Declines, and refusals instead of an answer, that are gone in a moment."""
_FAILURES = ("no_candidates", "no_answers", "all_declined", "no_reveals", "all_excluded", "no_confirm")
"""From the earliest step of a round to the latest: a match is said to fail at the latest that it reached."""

Decide = Callable[[Evidence, bytes], BidBook]
"""Builds the bid book from the evidence and the enveloped commit set: `book.build_book`."""


class AuctionState(Enum):
    """How far the match is."""

    PREPARING = "preparing"
    COMMITTING = "committing"
    REVEALING = "revealing"
    PROVING = "proving"
    """Only under the policy `vdf`: the delay function is evaluated."""
    AWARDING = "awarding"
    WAITING = "waiting"
    """Those who fit bid elsewhere at this moment; they are asked again shortly."""
    MATCHED = "matched"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class AuctionContext:
    """What all auctions of one node share."""

    rules: NetworkRules
    node_key: NodeKey
    """The requester's; it signs tenders, sets, books, awards and releases."""
    decide: Decide


@dataclass(frozen=True, slots=True)
class Offer:
    """The award that is outstanding."""

    peer: PeerId
    award: Signed[Award]


class AuctionSteps(Machine[AuctionState]):
    """The steps of a match, without the table that says when each may come.

    Args:
        context: Shared by all auctions.
    """

    def __init__(self, context: AuctionContext) -> None:
        super().__init__(AuctionState.PREPARING)
        self.outcomes = Outcomes()
        self.round: Round | None = None
        """The present round, or the last one."""
        self._context = context
        self._network = context.rules.network
        self._asked: set[PeerId] = set()
        self._bidders: dict[PeerId, ev.Bidder] = {}
        self._offer: Offer | None = None
        self._decided: Round | None = None
        """The round whose book was handed out last to be stored."""
        self._enough = 0
        """Bids for which the commit window closes once all invited have answered: with gossip BIDS_ENOUGH in the first
        round, and one in a wider one."""
        self._furthest = "no_candidates"
        """The latest step at which a round failed."""
        self._patience = Patience(0, MonotonicS(0.0))
        self._begun_at: MonotonicS | None = None
        self._phase_at: MonotonicS | None = None
        self._hard_at: MonotonicS | None = None

    def _begin(self, event: ev.AuctionBegun, now: MonotonicS) -> list[Effect]:
        """Note what the match begins with, and send the first tender."""
        self._begun, self._begun_at = event, now
        self._hard_at = MonotonicS(now + event.timeout_s)
        self.outcomes = Outcomes(event.screened)
        self._bidders = {bidder.peer: bidder for bidder in event.bidders if bidder.record is not None}
        self._ranked = tuple(peer_id_to_bytes(peer) for peer in self._bidders)
        if not self._ranked and not event.terms.invite_share:
            return self._fail("no_candidates", now)
        return self._tender(0, event.terms.invite_share, now)

    # --- committing -----------------------------------------------------------------------------------------------
    def _tender(self, number: int, share: int, now: MonotonicS) -> list[Effect]:
        """Send the tender of a round, to the best candidates at once and to all by gossip."""
        invited = self._candidates(number)
        window = Window(number, self._unix(now), self._left_ms(now), share)
        round_ = open_round(self._begun.terms, window, self._context.node_key, self._begun.secret)
        self.round, self.state = round_, AuctionState.COMMITTING
        round_.awaited = dict.fromkeys(invited)
        self._asked.update(invited)
        hears_gossip = share > 0 and (self._begun.expects_gossip or not invited or number > 0)
        self._enough = (BIDS_ENOUGH if number == 0 and invited else 1) if hears_gossip else 0
        commit_s = round_.tender.message.commit_ms / 1000
        self._phase_at = MonotonicS(now + commit_s)
        self._patience = Patience(len(invited), now)
        data = round_.tender.data
        asks = [ev.AskBid(peer, round_.digest, data, commit_s) for peer in invited]
        gossip = (
            [ev.PublishTender(round_.digest, resource_class(round_.tender.message), data)] if share else []
        )
        return [self._progress("asked", count=len(invited)), *asks, *gossip]

    def _candidates(self, number: int) -> tuple[PeerId, ...]:
        asked = frozenset(peer_id_to_bytes(peer) for peer in self._asked)
        return tuple(
            peer_id_from_bytes(raw) for raw in best_candidates(self._ranked, asked=asked, round_number=number)
        )

    def _admit(self, round_: Round, event: ev.CommitArrived) -> str:
        """Say whether a peer may bid by itself: `accepted`, or why not."""
        known = round_.commits.get(event.peer)
        if known is not None and known.data == event.data:
            return ACCEPTED  # the acknowledgement was lost
        if self.state is not AuctionState.COMMITTING and known is None:
            return "commit_late"
        if event.peer in self._asked or known is not None:
            return ACCEPTED
        code = admission_code(self._begun, round_, event.peer, event.bidder)
        if code == ACCEPTED and event.bidder is not None:
            self._bidders[event.peer] = event.bidder
        return code

    def _take(self, round_: Round, commit: Signed[Commit]) -> tuple[str, list[Effect]]:
        """Count a commitment and say what became of it: `accepted` or a code."""
        peer = commit.signer
        match round_.take_commit(commit):
            case Taken.NEW:
                self.outcomes.forget(peer)
                return ACCEPTED, self._look_up(commit)
            case Taken.AGAIN:
                return ACCEPTED, []
            case Taken.FULL:
                self.outcomes.note(peer, "book_full")
                return "book_full", []
            case Taken.SECOND:
                self.outcomes.note(peer, "equivocation")
                evidence = (round_.commits[peer].data, commit.data)
                return "equivocation", [ev.KeepProof("two_commits", peer, round_.digest, evidence)]
            case Taken.THIRD:
                return "equivocation", []

    def _look_up(self, commit: Signed[Commit]) -> list[Effect]:
        """Ask for the record that the commitment names, if we hold an older one."""
        bidder = self._bidders.get(commit.signer)
        wanted = commit.message.record_sequence
        is_old = bidder is not None and bidder.record is not None and bidder.record.record.sequence < wanted
        return [ev.LookUpBidder(commit.signer, wanted)] if is_old else []

    def _late_answer(self, event: ev.AnswerArrived) -> list[Effect]:
        """Release a worker whose commitment came after its window: it holds capacity for nothing."""
        round_ = self._current(event.tender)
        if not _is_commit(event.data) or (round_ is not None and event.peer in round_.commits):
            return []
        self.outcomes.note_unless_known(event.peer, "commit_late")
        return [self._void(event.peer, event.tender)]

    def _close_if_all(self, now: MonotonicS) -> list[Effect]:
        round_ = self.round
        if round_ is None:
            return []
        if not round_.awaited and len(round_.commits) >= self._enough:
            return self._close_commits(round_, now)
        ends_at = self._patience.ends_at(now, awaited=len(round_.awaited), bids=len(round_.commits))
        if ends_at is not None and self._phase_at is not None:
            self._phase_at = min(self._phase_at, ends_at)
        return []

    def _close_commits(self, round_: Round, now: MonotonicS) -> list[Effect]:
        self._give_up_waiting(round_, "no_answer")
        if not round_.commits:
            return self._widen("all_declined" if round_.declines else "no_answers", now)
        request = round_.close(self._unix(now))
        honest = round_.honest()
        told = self._progress("closed", count=len(round_.commits))
        if not honest:
            return [told, *self._decide(round_, b"", now)]
        reveal_s = round_.tender.message.reveal_ms / 1000
        self.state, self._phase_at = AuctionState.REVEALING, MonotonicS(now + reveal_s)
        round_.awaited = dict.fromkeys(honest)
        return [told, *(ev.AskReveal(peer, round_.digest, request, reveal_s) for peer in honest)]

    # --- revealing ------------------------------------------------------------------------------------------------
    def _odd_reveal(self, round_: Round | None, peer: PeerId) -> list[Effect]:
        """Name a reveal that nobody waits for."""
        if round_ is None or peer in round_.reveals:
            return []
        if peer in round_.commits:
            self.outcomes.note(peer, "reveal_late")
        else:
            self.outcomes.note_unless_known(peer, "reveal_unasked")
        return []

    def _decide_if_all(self, round_: Round, now: MonotonicS) -> list[Effect]:
        return [] if round_.awaited else self._close_reveals(round_, now)

    def _close_reveals(self, round_: Round, now: MonotonicS) -> list[Effect]:
        self._give_up_waiting(round_, "reveal_missing")
        tender = round_.tender.message
        told = self._progress("revealed", count=len(round_.reveals))
        if tender.policy != "vdf" or not round_.reveals:
            return [told, *self._decide(round_, b"", now)]
        self.state, self._phase_at = AuctionState.PROVING, None
        challenge = vdf_challenge(round_.evidence(self._bidders.values(), closed_unix_ms=self._unix(now)))
        return [told, ev.ProveDelay(round_.digest, challenge, vdf.iterations_of(tender.reveal_ms))]

    # --- awarding -------------------------------------------------------------------------------------------------
    def _decide(self, round_: Round, proof: bytes, now: MonotonicS) -> list[Effect]:
        """Build, sign and store the bid book, release who is out, and award. Rules: AUC-26."""
        if (
            round_.tender.message.policy == "vdf" and not proof
        ):  # nothing was revealed: there is nothing to draw
            return self._widen("no_reveals", now)
        evidence = round_.evidence(self._bidders.values(), closed_unix_ms=self._unix(now), proof=proof)
        book = round_.take_book(self._context.decide(evidence, round_.commit_set))
        self._decided = round_
        for exclusion in book.message.exclusions:
            peer = peer_id_from_bytes(exclusion.bidder)
            self.outcomes.note_unless_known(peer, exclusion.codes[0], " ".join(exclusion.codes[1:]))
        out = [peer for peer in round_.bound if peer not in round_.queue]
        return [
            self._progress("decided", count=len(round_.queue)),
            ev.StoreBook(round_.digest, book.digest, book.data),
            *round_.release(out, "not_chosen" if round_.queue else "no_match"),
            *self._award(round_, now),
        ]

    def _award(self, round_: Round, now: MonotonicS) -> list[Effect]:
        """Ask the next ranked bidder to take the job. Rules: AUC-27."""
        self._offer = None
        unix, gone = self._unix(now), list[Effect]()
        while round_.queue:
            peer = round_.queue.popleft()
            expires = min(unix + limits.AWARD_TIMEOUT_MS, round_.reveals[peer].bid.valid_until_unix_ms)
            if expires <= unix:
                self.outcomes.note(peer, "bid_expired")
                gone += round_.release((peer,), "withdrawn")
                continue
            award = round_.award(peer, expires_unix_ms=expires)
            self._offer, self.state = Offer(peer, award), AuctionState.AWARDING
            timeout_s = (expires - unix) / 1000
            self._phase_at = MonotonicS(now + timeout_s)
            told = self._progress("awarding", peer=peer, count=award.message.rank)
            return [*gone, told, ev.SendAward(peer, round_.digest, award.data, timeout_s)]
        ranked = round_.book is not None and round_.book.message.ranking
        failure = "no_confirm" if ranked else "all_excluded" if round_.reveals else "no_reveals"
        return [*gone, *self._widen(failure, now)]

    def _withdraw(self, round_: Round, code: str, detail: str, now: MonotonicS) -> list[Effect]:
        """Tell the chosen worker that its award is void, then ask the next: never two at a time. Rules: AUC-28."""
        assert self._offer is not None, "nobody was awarded"
        peer = self._offer.peer
        self.outcomes.note(peer, code, detail)
        return [*round_.release((peer,), "withdrawn"), *self._award(round_, now)]

    def _match(self, round_: Round, offer: Offer, confirm: bytes, now: MonotonicS) -> list[Effect]:
        assert round_.book is not None, "an award without a book"
        self.state, self._phase_at, self._hard_at = AuctionState.MATCHED, None, None
        del round_.bound[offer.peer]
        for peer in round_.bound:
            self.outcomes.note_unless_known(peer, "not_chosen")
        self.outcomes.note(offer.peer, ACCEPTED)
        match_ = ev.Match(
            tender=round_.tender,
            winner=offer.peer,
            bid=round_.reveals[offer.peer].bid,
            award=offer.award,
            confirm=confirm,
            book=round_.book,
            rounds=round_.number + 1,
            elapsed_ms=self._elapsed_ms(now),
            outcomes=self.outcomes.all(),
        )
        return [ev.FinishMatch(match_), *round_.release(tuple(round_.bound), "not_chosen")]

    # --- ends -----------------------------------------------------------------------------------------------------
    def _widen(self, failure: str, now: MonotonicS) -> list[Effect]:
        """Begin a wider round if there is time and anybody new to reach; else fail."""
        round_ = self.round
        assert round_ is not None, "no round to widen"
        self._offer = None
        self._furthest = max(self._furthest, failure, key=_FAILURES.index)
        freed = self._let_go(round_, "no_match")
        number, share = round_.number + 1, round_.tender.message.invite_share
        left_ms, wider = self._left_ms(now), min(EVERYBODY, share * 4)
        if number > limits.TENDER_ROUNDS_MAX or left_ms < limits.MATCH_WIDEN_MS_MIN:
            return [*freed, *self._fail(self._furthest, now)]
        if wider > share or self._candidates(number):
            return [*freed, self._progress("widened", code=failure), *self._tender(number, wider, now)]
        pause_ms = PAUSE_MS + 3 * PAUSE_MS * sha256(round_.seed)[0] // 255
        if not self._reserved_elsewhere() or left_ms - pause_ms < limits.MATCH_WIDEN_MS_MIN:
            return [*freed, *self._fail(self._furthest, now)]
        self.state, self._phase_at = AuctionState.WAITING, MonotonicS(now + pause_ms / 1000)
        return [*freed, self._progress("waiting", code=failure, count=len(self._reserved_elsewhere()))]

    def _ask_again(self, round_: Round, now: MonotonicS) -> list[Effect]:
        """Tender once more to those whose capacity was reserved for others."""
        self._asked -= self._reserved_elsewhere()
        return self._tender(round_.number + 1, round_.tender.message.invite_share, now)

    def _reserved_elsewhere(self) -> set[PeerId]:
        return {
            outcome.peer
            for outcome in self.outcomes.all()
            if outcome.peer in self._asked and _TRANSIENT & {outcome.code, outcome.detail}
        }

    def _fail(self, code: str, now: MonotonicS, detail: str = "") -> list[Effect]:
        round_, self._offer, self.state = self.round, None, AuctionState.FAILED
        self._phase_at = self._hard_at = None
        freed: list[Effect] = []
        if round_ is not None:
            self._give_up_waiting(round_, "no_answer" if not round_.commit_set else "reveal_missing")
            freed = self._let_go(round_, "withdrawn" if code == "withdrawn" else "failed")
        failure = ev.MatchFailure(
            code=code,
            detail=detail,
            rounds=round_.number + 1 if round_ else 0,
            elapsed_ms=self._elapsed_ms(now),
            counts=self.outcomes.counts(),
            outcomes=self.outcomes.all(),
        )
        return [*freed, ev.FailMatch(failure)]

    def _let_go(self, round_: Round, code: str) -> list[Effect]:
        for peer in round_.bound:
            self.outcomes.note_unless_known(peer, code)
        return [*round_.release(tuple(round_.bound), code)]

    def _void(self, peer: PeerId, tender: bytes, code: str = "withdrawn") -> Effect:
        """Tell a worker that nothing of a tender concerns it any longer. Rules: AUC-28."""
        release = Release(tender=tender, code=code)
        return ev.SendRelease(peer, tender, seal(release, self._context.node_key, self._network))

    def _give_up_waiting(self, round_: Round, code: str) -> None:
        for peer in round_.awaited:
            self.outcomes.note_unless_known(peer, code, "timeout")
        round_.awaited.clear()

    def _current(self, tender: bytes) -> Round | None:
        return self.round if self.round is not None and self.round.digest == tender else None

    def _progress(
        self, step: ev.Step, *, peer: PeerId | None = None, code: str = "", count: int = 0
    ) -> Effect:
        return ev.ReportProgress(step, self.round.number if self.round else 0, peer, code, count)

    def _elapsed_ms(self, now: MonotonicS) -> int:
        return round((now - self._begun_at) * 1000) if self._begun_at is not None else 0

    def _unix(self, now: MonotonicS) -> UnixMs:
        """The wall clock of the beginning plus what has passed: a jump of the clock moves no window."""
        return UnixMs(self._begun.unix_ms + self._elapsed_ms(now))

    def _left_ms(self, now: MonotonicS) -> int:
        return max(0, round(((self._hard_at or now) - now) * 1000))


def _is_commit(data: bytes) -> bool:
    try:
        return envelope_kind(data) == Commit.name
    except RemoteProtocolError:
        return False
