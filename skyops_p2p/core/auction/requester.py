"""One job looks for its worker: tender, sealed bids, award; the requester's side. Spec: protocol/04-auction.md.

Every invited node's answer, and every silence, ends as a coded outcome. A window closes as soon as all whom it waits
for have answered. When nobody qualifies, a wider tender follows while there is time; the hard limit ends all. At most
one award is outstanding, and whoever did not confirm in time is told that the award is void before the next is asked.
Diagram: machines/auction-requester. Here are the table and the events; what is done at each is in steps.py.
"""

from typing import ClassVar

from skyops_p2p.core.auction import events as ev
from skyops_p2p.core.auction.codes import ACCEPTED
from skyops_p2p.core.auction.round import decline_code
from skyops_p2p.core.auction.steps import AuctionContext, AuctionState, AuctionSteps
from skyops_p2p.core.machine import DeadlineReached, Effect, Table, to
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.types import MonotonicS

__all__ = ["Auction", "AuctionContext", "AuctionState"]

_P, _C, _R, _V, _A, _W, _M, _F = AuctionState
_LIVE = (_C, _R, _V, _A, _W)


class Auction(AuctionSteps):
    """The match of one job.

    Args:
        context: Shared by all auctions.
    """

    TRANSITIONS: ClassVar[Table] = {
        (_P, ev.AuctionBegun): to(_C, _F),
        (_P, ev.CancelRequested): to(_F),
        (_C, ev.AnswerArrived): to(_C, _R, _W, _F),
        (_C, ev.AnswerMissing): to(_C, _R, _W, _F),
        (_C, ev.CommitArrived): to(_C, _R, _W, _F),
        (_C, DeadlineReached): to(_C, _R, _W, _F),
        (_R, ev.RevealArrived): to(_R, _V, _A, _C, _W, _F),
        (_R, ev.RevealMissing): to(_R, _V, _A, _C, _W, _F),
        (_R, DeadlineReached): to(_R, _V, _A, _C, _W, _F),
        (_V, ev.DelayProven): to(_V, _A, _C, _W, _F),
        (_V, ev.DelayFailed): to(_V, _F),
        (_V, DeadlineReached): to(_V, _F),
        (_A, ev.ConfirmArrived): to(_A, _M, _C, _W, _F),
        (_A, ev.ConfirmMissing): to(_A, _C, _W, _F),
        (_A, ev.BookLost): to(_A, _F),
        (_C, ev.BookLost): to(_C, _F),
        (_W, ev.BookLost): to(_W, _F),
        (_A, DeadlineReached): to(_A, _C, _W, _F),
        (_W, DeadlineReached): to(_W, _C, _F),
        **{(state, ev.CancelRequested): to(_F) for state in _LIVE},
        # What comes after its time is still told apart, and whoever holds capacity for it is released.
        **{
            (state, late): to(state)
            for late, timely in (
                (ev.AnswerArrived, (_C,)),
                (ev.AnswerMissing, (_C,)),
                (ev.CommitArrived, (_C,)),
                (ev.RevealArrived, (_R,)),
                (ev.RevealMissing, (_R,)),
                (ev.DelayProven, (_V,)),
                (ev.DelayFailed, (_V,)),
                (ev.ConfirmArrived, (_A,)),
                (ev.ConfirmMissing, (_A,)),
                (ev.BookLost, (_A, _C, _W)),
                (ev.BidderLookedUp, ()),
                (DeadlineReached, _LIVE),
                (ev.CancelRequested, _LIVE),
            )
            for state in (*_LIVE, _M, _F)
            if state not in timely
        },
    }

    def next_deadline(self) -> MonotonicS | None:
        """See Machine."""
        ends = [at for at in (self._phase_at, self._hard_at) if at is not None]
        return min(ends, default=None)

    def check_invariants(self) -> None:
        """See Machine."""
        is_over = self.state in (_M, _F)
        assert (self.next_deadline() is None) == (is_over or self.state is _P), "deadline and state disagree"
        assert (self._offer is not None) == (self.state in (_A, _M)), "an award without its state"
        if self.round is None:
            assert self.state in (_P, _F), "no round"
            return
        self.round.check_invariants()
        assert bool(self.round.awaited) <= (self.state in (_C, _R)), "answers awaited in no window"
        assert is_over <= (not self.round.bound), "somebody holds capacity for a match that is over"
        assert (self.state in (_C,)) <= (not self.round.commit_set), (
            "the set is closed and commitments are taken"
        )
        assert (self.state in (_A, _M)) <= (self.round.book is not None), "an award without a book"

    # --- one method per event -----------------------------------------------------------------------------------
    def _on_auction_begun(self, event: ev.AuctionBegun, now: MonotonicS) -> list[Effect]:
        return self._begin(event, now)

    def _on_answer_arrived(self, event: ev.AnswerArrived, now: MonotonicS) -> list[Effect]:
        round_ = self._current(event.tender)
        if round_ is None or self.state is not _C or event.peer not in round_.awaited:
            return self._late_answer(event)
        del round_.awaited[event.peer]
        effects: list[Effect] = []
        try:
            answer = round_.open_answer(event.peer, event.data)
        except RemoteProtocolError as error:
            code = "answer_invalid"
            self.outcomes.note(event.peer, code, error.code)
        else:
            if isinstance(answer, str):
                code = answer
                self.outcomes.note(event.peer, code)
            else:
                code, effects = self._take(round_, answer)
                if code == ACCEPTED:
                    ack = ev.AcknowledgeCommit(event.peer, round_.digest, round_.acknowledge(answer))
                    effects = [ack, *effects]
                elif code == "book_full":
                    effects = [self._void(event.peer, round_.digest, "not_chosen")]
        return [*effects, self._progress("answered", peer=event.peer, code=code), *self._close_if_all(now)]

    def _on_answer_missing(self, event: ev.AnswerMissing, now: MonotonicS) -> list[Effect]:
        round_ = self._current(event.tender)
        if round_ is None or self.state is not _C or event.peer not in round_.awaited:
            return []
        del round_.awaited[event.peer]
        code = "no_answer"
        self.outcomes.note(event.peer, code, event.code)
        return [self._progress("answered", peer=event.peer, code=code), *self._close_if_all(now)]

    def _on_commit_arrived(self, event: ev.CommitArrived, now: MonotonicS) -> list[Effect]:
        assert self.round is not None
        try:
            commit = self.round.open_commit(event.peer, event.data)
        except RemoteProtocolError as error:
            return [ev.RefuseRequest(event.request_id, error.code)]
        code = self._admit(self.round, event)
        effects: list[Effect] = []
        if code == ACCEPTED:
            code, effects = self._take(self.round, commit)
        if code != ACCEPTED:
            self.outcomes.note_unless_known(event.peer, code)
            return [*effects, ev.RefuseRequest(event.request_id, code)]
        if self.state is _C:  # later `awaited` is about reveals, and this is the same commitment again
            self.round.awaited.pop(event.peer, None)
        answer = ev.AnswerRequest(event.request_id, self.round.acknowledge(commit))
        told = self._progress("answered", peer=event.peer, code=code)
        return [answer, *effects, told, *(self._close_if_all(now) if self.state is _C else [])]

    def _on_bidder_looked_up(self, event: ev.BidderLookedUp, _now: MonotonicS) -> list[Effect]:
        if event.bidder.peer in self._bidders and event.bidder.record is not None:
            self._bidders[event.bidder.peer] = event.bidder
        return []

    def _on_reveal_arrived(self, event: ev.RevealArrived, now: MonotonicS) -> list[Effect]:
        round_ = self._current(event.tender)
        if round_ is None or self.state is not _R or event.peer not in round_.awaited:
            return self._odd_reveal(round_, event.peer)
        del round_.awaited[event.peer]
        try:
            round_.take_reveal(event.peer, event.data)
        except RemoteProtocolError as error:
            self.outcomes.note(event.peer, "reveal_mismatch", error.code)
        return self._decide_if_all(round_, now)

    def _on_reveal_missing(self, event: ev.RevealMissing, now: MonotonicS) -> list[Effect]:
        round_ = self._current(event.tender)
        if round_ is None or self.state is not _R or event.peer not in round_.awaited:
            return []
        del round_.awaited[event.peer]
        self.outcomes.note(event.peer, "reveal_missing", event.code)
        return self._decide_if_all(round_, now)

    def _on_delay_proven(self, event: ev.DelayProven, now: MonotonicS) -> list[Effect]:
        round_ = self._current(event.tender)
        return self._decide(round_, event.proof, now) if round_ and self.state is _V else []

    def _on_delay_failed(self, event: ev.DelayFailed, now: MonotonicS) -> list[Effect]:
        is_ours = self._current(event.tender) is not None and self.state is _V
        return self._fail("delay_not_proven", now, event.code) if is_ours else []

    def _on_book_lost(self, event: ev.BookLost, now: MonotonicS) -> list[Effect]:
        decided = self._decided
        if decided is None or decided.digest != event.tender or self.state not in (_A, _C, _W, _F):
            return []
        self._decided = None
        # Whatever followed from the book was not done: no award, no wider round, no end.
        decided.lose_book()
        freed = self._let_go(decided, "failed")
        return [*freed, *self._fail("book_not_stored", now, event.code)]

    def _on_confirm_arrived(self, event: ev.ConfirmArrived, now: MonotonicS) -> list[Effect]:
        round_, offer = self._current(event.tender), self._offer
        if round_ is None or offer is None or event.peer != offer.peer:
            return [self._void(event.peer, event.tender)]  # it may have confirmed an award that is void
        if self.state is not _A:
            return []
        try:
            confirm = round_.open_confirm(offer.award, offer.peer, event.data)
        except RemoteProtocolError as error:
            return self._withdraw(round_, "confirm_invalid", error.code, now)
        if confirm.message.is_accepted:
            return self._match(round_, offer, confirm.data, now)
        return self._withdraw(round_, decline_code(confirm.message.code), "award", now)

    def _on_confirm_missing(self, event: ev.ConfirmMissing, now: MonotonicS) -> list[Effect]:
        round_, offer = self._current(event.tender), self._offer
        if round_ is None or offer is None or event.peer != offer.peer or self.state is not _A:
            return []
        return self._withdraw(round_, "confirm_missing", event.code, now)

    def _on_cancel_requested(self, _event: ev.CancelRequested, now: MonotonicS) -> list[Effect]:
        return [] if self.state in (_M, _F) else self._fail("withdrawn", now)

    def _on_deadline_reached(self, _event: DeadlineReached, now: MonotonicS) -> list[Effect]:
        deadline, round_ = self.next_deadline(), self.round
        if deadline is None or now < deadline or round_ is None:
            return []
        if self._hard_at is not None and now >= self._hard_at:
            code = self._furthest if self.state is _W else "match_timeout"
            return self._fail(code, now, f"while {self.state.value}")
        match self.state:
            case AuctionState.COMMITTING:
                return self._close_commits(round_, now)
            case AuctionState.REVEALING:
                return self._close_reveals(round_, now)
            case AuctionState.WAITING:
                return self._ask_again(round_, now)
            case _:
                return self._withdraw(round_, "confirm_missing", "timeout", now)
