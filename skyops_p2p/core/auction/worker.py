"""One tender seen by one worker: bid or decline, commit, reveal, and hold what was promised.

A bid reserves its capacity in the same step in which it is made, until award, release or expiry. The bid is opened
only under a signed commit set that our commitment is in; a requester that leaves out what it acknowledged, or signs two
sets, proves its own fault. Spec: protocol/04-auction.md. Diagram: machines/auction-worker.
"""

from enum import Enum
from typing import ClassVar

from skyops_p2p import limits
from skyops_p2p.core.auction import events as ev
from skyops_p2p.core.auction import worker_events as wev
from skyops_p2p.core.auction.bidding_context import BiddingContext, WorkerTerms
from skyops_p2p.core.auction.codes import ACCEPTED, DECLINE_CODES, known_code
from skyops_p2p.core.auction.leases import LeaseTerms
from skyops_p2p.core.auction.named_book import misaward
from skyops_p2p.core.auction.offers import ask_of, bid_of
from skyops_p2p.core.auction.prices import checked_quote
from skyops_p2p.core.auction.screening import screen
from skyops_p2p.core.auction.sealing import commit_root, seal_bid
from skyops_p2p.core.machine import DeadlineReached, Effect, Machine, Table, to
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.crypto.node_key import peer_id_to_bytes
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.types import MonotonicS, PeerId
from skyops_p2p.wire.envelope import Signed, open_envelope, seal
from skyops_p2p.wire.messages.auction import (
    Award,
    Bid,
    CommitAck,
    CommitSet,
    Confirm,
    Decline,
    Received,
    Release,
    Reveal,
    RevealRequest,
    Tender,
)
from skyops_p2p.wire.messages.peering import NodeRecord
from skyops_p2p.wire.model import AnyMessage, decode_message, encode_message

__all__ = ["RECEIVED", "Bidding", "BiddingContext", "BiddingState", "WorkerTerms"]

RECEIVED = encode_message(Received())


class BiddingState(Enum):
    """How far the worker is with a tender."""

    IDLE = "idle"
    COMMITTED = "committed"
    """A sealed bid is out; its capacity is reserved."""
    REVEALED = "revealed"
    HELD = "held"
    """The award is confirmed; the capacity waits for the job."""
    ENDED = "ended"


_I, _C, _R, _H, _E = BiddingState
_ALL = (_C, _R, _H, _E)


class Bidding(Machine[BiddingState]):
    """The worker's part in one tender.

    Args:
        context: Shared by all bids.
        tender: Checked by `tenders.check_tender`.
        salt: 32 random bytes, for this bid alone.
    """

    TRANSITIONS: ClassVar[Table] = {
        (_I, wev.TenderReceived): to(_C, _E),
        (_C, wev.RevealRequested): to(_C, _R, _E),
        (_R, wev.AwardReceived): to(_R, _H, _E),
        (_H, wev.AwardReceived): to(_H, _E),
        (_H, wev.LeaseTaken): to(_E),
        (_C, wev.CommitRefused): to(_C, _E),
        **{(state, wev.ReleaseReceived): to(state, _E) for state in _ALL},
        **{(state, DeadlineReached): to(state, _E) for state in _ALL},
        # The same again is answered as before; what comes at the wrong time is refused with a code.
        **{(state, wev.TenderReceived): to(state) for state in _ALL},
        **{(state, wev.CommitAcknowledged): to(state) for state in _ALL},
        **{(state, wev.CommitRefused): to(state) for state in (_R, _H, _E)},
        **{(state, wev.RevealRequested): to(state) for state in (_R, _H, _E)},
        **{(state, wev.AwardReceived): to(state) for state in (_C, _E)},
        **{(state, wev.BookAudited): to(state) for state in _ALL},
        (_E, wev.LeaseTaken): to(_E),
    }

    def __init__(self, context: BiddingContext, tender: Signed[Tender], *, salt: bytes) -> None:
        super().__init__(BiddingState.IDLE)
        self.tender = tender
        self.digest = tender.digest
        self.code = ""
        """Why it ended: `taken`, `expired`, a release code, a decline code, or the requester's refusal."""
        self.commit = b""
        self.commit_digest = b""
        """SHA-256 of the commit's envelope; what the requester acknowledges and puts into its set."""
        self._context = context
        self._network = context.rules.network
        self._salt = salt
        self._reveal: Reveal | None = None
        self._ack = b""
        self._commit_set = b""
        self.lease: LeaseTerms | None = None
        """What is held, while it is held."""
        self._deadline: MonotonicS | None = None
        self._expires_at = MonotonicS(0.0)

    @classmethod
    def restored(cls, context: BiddingContext, lease: LeaseTerms) -> "Bidding":
        """Return the machine of an award that was confirmed before a restart.

        Args:
            context: Its capacity holds the lease's claim again.
            lease: With a claim that ends at a time of the present clock.

        Rules: AUC-31.
        """
        bidding = cls(context, lease.tender, salt=b"")
        bidding.state, bidding.lease, bidding._deadline = _H, lease, lease.claim.expires_at
        return bidding

    @property
    def requester(self) -> PeerId:
        """Who offers the job."""
        return self.tender.signer

    def next_deadline(self) -> MonotonicS | None:
        """See Machine."""
        return self._deadline

    def check_invariants(self) -> None:
        """See Machine."""
        is_open = self.state in (_C, _R, _H)
        assert is_open == (self._deadline is not None), "a deadline without a promise, or the reverse"
        assert is_open <= (self._reveal is not None or self.state is _H), "a promise without a bid"
        assert (self.state is _H) == (self.lease is not None), "held without an award"
        assert (self.state is _R) <= bool(self._commit_set), "revealed without a commit set"
        assert (self.state is _E) == bool(self.code), "an end without a reason"
        if self.state is _E and self.code != "taken":
            assert self._context.capacity.get(self.digest) is None, "capacity is held for nothing"

    # --- one method per event -----------------------------------------------------------------------------------
    def _on_tender_received(self, event: wev.TenderReceived, now: MonotonicS) -> list[Effect]:
        if self.state is not _I:
            return self._answer_again(event.request_id)
        self._expires_at = MonotonicS(now + (self.tender.message.expires_unix_ms - event.unix_ms) / 1000)
        record = self._context.record()
        code = self._objection(record, now)
        if code or record is None:
            return self._decline(code, event.request_id)
        tender = self.tender.message
        claim = self._context.capacity.reserve(self.digest, tender.needs, expires_at=self._expires_at)
        if isinstance(claim, str):
            return self._decline(claim, event.request_id)
        price = checked_quote(self._context.pricing, ask_of(tender, claim, self._context.capacity))
        if price is None or price > tender.price_max:
            return self._decline("price_too_low", event.request_id)
        if price and not self._context.is_payable():  # SET-27
            return self._decline("unpayable", event.request_id)
        self._seal(bid_of(tender, claim, price, cached_permille=event.cached_permille), record)
        self.state, self._deadline = _C, self._expires_at
        return [*self._say_commit(event.request_id), wev.CapacityChanged()]

    def _on_commit_acknowledged(self, event: wev.CommitAcknowledged, _now: MonotonicS) -> list[Effect]:
        try:
            ack = self._open(event.data, CommitAck)
            if ack.message.commit != self.commit_digest:
                raise _refusal("of another commitment", "wrong_commit", "AUC-10")
        except RemoteProtocolError as error:
            return [] if event.request_id is None else [ev.RefuseRequest(event.request_id, error.code)]
        self._ack = ack.data
        return [] if event.request_id is None else [ev.AnswerRequest(event.request_id, RECEIVED)]

    def _on_commit_refused(self, event: wev.CommitRefused, _now: MonotonicS) -> list[Effect]:
        if self.state is not _C or self._ack:
            return []  # it was taken by another way
        return self._end(event.code or "refused")

    def _on_reveal_requested(self, event: wev.RevealRequested, _now: MonotonicS) -> list[Effect]:
        try:
            commit_set, digests = self._open_commit_set(event.data)
        except RemoteProtocolError as error:
            return [ev.RefuseRequest(event.request_id, error.code)]
        if self._commit_set and commit_set != self._commit_set:  # AUC-11
            proof = self._proof("two_commit_sets", self._commit_set, commit_set)
            return [ev.RefuseRequest(event.request_id, "commit_set_conflict"), proof]
        if self.state is _E or self._reveal is None:
            return [ev.RefuseRequest(event.request_id, "past_deadline")]
        if self.commit_digest not in digests:  # AUC-11
            return self._censored(event)
        if self.state is _C:
            self.state, self._commit_set = _R, commit_set
        return [ev.AnswerRequest(event.request_id, encode_message(self._reveal))]

    def _on_award_received(self, event: wev.AwardReceived, now: MonotonicS) -> list[Effect]:
        try:
            award = self._open(event.data, Award)
            if award.message.tender != self.digest:
                raise _refusal("of another tender", "wrong_tender", "AUC-7")
        except RemoteProtocolError as error:
            return [ev.RefuseRequest(event.request_id, error.code)]
        code = self._award_objection(award, now)
        if code:
            return [self._confirm(event.request_id, award, code)]
        if self.lease is None:
            return self._hold(event.request_id, award, now)
        if self._context.capacity.get(self.digest) is None:  # AUC-30: the hardware is gone
            refused = self._confirm(event.request_id, award, "reservation_expired")
            return [refused, *self._end("reservation_expired")]
        return [self._confirm(event.request_id, award, ACCEPTED)]

    def _on_release_received(self, event: wev.ReleaseReceived, _now: MonotonicS) -> list[Effect]:
        try:
            release = self._open(event.data, Release)
            if release.message.tender != self.digest:
                raise _refusal("of another tender", "wrong_tender", "AUC-7")
        except RemoteProtocolError as error:
            return [ev.RefuseRequest(event.request_id, error.code)]
        answer = ev.AnswerRequest(event.request_id, RECEIVED)
        if self.state is _E:
            return [answer]
        looked_into = self._look_into(release)
        return [answer, *self._end(known_code(release.message.code)), *looked_into]

    def _on_book_audited(self, event: wev.BookAudited, _now: MonotonicS) -> list[Effect]:
        return misaward(event, self.digest)

    def _on_lease_taken(self, _event: wev.LeaseTaken, now: MonotonicS) -> list[Effect]:
        if self.state is _E:
            return []
        if self._context.capacity.confirm(self.digest, now) is None:  # without an expiry: the job ends it
            return self._end("reservation_expired")
        self.state, self.code, self._deadline, self.lease = _E, "taken", None, None
        return [wev.EndBid(self.digest, self.code)]

    def _on_deadline_reached(self, _event: DeadlineReached, now: MonotonicS) -> list[Effect]:
        return self._end("expired") if self._deadline is not None and now >= self._deadline else []

    # --- bidding --------------------------------------------------------------------------------------------------
    def _objection(self, record: NodeRecord | None, now: MonotonicS) -> str:
        """Return why no bid is made, before capacity and price are looked at; nothing if there is no reason."""
        tender, terms = self.tender.message, self._context.terms
        own = peer_id_to_bytes(self._context.node_key.peer_id)
        faults = (
            ("past_deadline", now >= self._expires_at),
            ("requester_refused", self.requester in terms.refused or tender.requester == own),
            ("requester_refused", self._context.is_refused(self.requester)),  # REP-36
            ("denied", own in tender.deny),
            ("not_allowed", bool(tender.allow) and own not in tender.allow),
            ("mode_refused", tender.mode not in terms.modes),
            ("token_refused", bool(terms.tokens) and tender.token not in terms.tokens),
            ("duration_too_long", 0 < terms.duration_s_max < tender.duration_s_max),
            ("not_a_worker", record is None),
        )
        first = next((code for code, is_fault in faults if is_fault), "")
        if first or record is None:
            return first
        return next(iter(screen(tender.needs, record, round_trip_ms=None, slots_free=None)), "")

    def _seal(self, bid: Bid, record: NodeRecord) -> None:
        own = peer_id_to_bytes(self._context.node_key.peer_id)
        commit, self._reveal = seal_bid(self.digest, own, bid, self._salt, record_sequence=record.sequence)
        self.commit = seal(commit, self._context.node_key, self._network)
        self.commit_digest = sha256(self.commit)

    def _say_commit(self, request_id: int | None) -> list[Effect]:
        if request_id is None:
            return [wev.SendCommit(self.requester, self.digest, self.commit)]
        return [ev.AnswerRequest(request_id, self.commit)]

    def _decline(self, code: str, request_id: int | None) -> list[Effect]:
        """End without a bid; only who was asked directly says why. Gossip is not answered with a no."""
        return [*([] if request_id is None else [self._say_decline(request_id, code)]), *self._end(code)]

    def _say_decline(self, request_id: int, code: str) -> Effect:
        decline = Decline(tender=self.digest, code=code)
        return ev.AnswerRequest(request_id, seal(decline, self._context.node_key, self._network))

    def _answer_again(self, request_id: int | None) -> list[Effect]:
        if request_id is None:
            return []
        if self.state is not _E and self.commit:  # after a restart the commitment is no longer known
            return self._say_commit(request_id)
        return [self._say_decline(request_id, self.code if self.code in DECLINE_CODES else "past_deadline")]

    # --- revealing ------------------------------------------------------------------------------------------------
    def _open_commit_set(self, data: bytes) -> tuple[bytes, tuple[bytes, ...]]:
        """Return the enveloped commit set and the digests that it is over.

        Raises:
            RemoteProtocolError: `wrong_tender`, `commit_set_invalid` (not over these digests), or what opening raises.
        """
        request = decode_message(RevealRequest, data)
        signed = self._open(request.commit_set, CommitSet)
        if signed.message.tender != self.digest:
            raise _refusal("of another tender", "wrong_tender", "AUC-7")
        is_sorted = list(request.digests) == sorted(set(request.digests))
        is_whole = len(request.digests) == signed.message.count
        if not is_sorted or not is_whole or commit_root(request.digests) != signed.message.root:
            raise _refusal("not over these commitments", "commit_set_invalid", "AUC-11")
        return signed.data, request.digests

    def _censored(self, event: wev.RevealRequested) -> list[Effect]:
        """Keep a sealed bid sealed that is not in the set; with an acknowledgement that is a proof. Rules: AUC-10."""
        refusal = ev.RefuseRequest(event.request_id, "commit_missing")
        if self.state is not _C:
            return [refusal]
        proof = [self._proof("commit_censored", self.commit, self._ack, event.data)] if self._ack else []
        return [refusal, *proof, *self._end("commit_missing")]

    # --- holding --------------------------------------------------------------------------------------------------
    def _award_objection(self, award: Signed[Award], now: MonotonicS) -> str:
        """Return why an award is not confirmed; nothing if it is good. Rules: AUC-30."""
        if self.state is _E:
            return "reservation_expired"
        if self.lease is not None:
            return "" if award.digest == self.lease.award.digest else "award_mismatch"
        bid, message = self._reveal.bid if self._reveal else None, award.message
        is_ours = message.winner == peer_id_to_bytes(self._context.node_key.peer_id)
        if self.state is not _R or bid is None or not is_ours or message.price != bid.price:
            return "award_mismatch"
        late_ms = self.tender.message.expires_unix_ms - message.expires_unix_ms
        is_late = now >= self._expires_at - late_ms / 1000
        return "past_deadline" if is_late else ""

    def _hold(self, request_id: int, award: Signed[Award], now: MonotonicS) -> list[Effect]:
        assert self._reveal is not None, "an award without a bid"
        until = MonotonicS(now + limits.LEASE_START_TIMEOUT_S)
        claim = self._context.capacity.confirm(self.digest, now, expires_at=until)
        if claim is None:
            refused = self._confirm(request_id, award, "reservation_expired")
            return [refused, *self._end("reservation_expired")]
        self.lease = LeaseTerms(self.requester, self.tender, award, self._reveal.bid, claim)
        self.state, self._deadline = _H, until
        stored_first: list[Effect] = [wev.StoreLease(self.lease)]  # AUC-31
        confirmed = self._confirm(request_id, award, ACCEPTED)
        return [*stored_first, confirmed, *self._fetch(award.message.book, award.data, is_winner=True)]

    def _look_into(self, release: Signed[Release]) -> list[Effect]:
        """Want to see the bid book that a bidder is let go with, or keep two of one tender as a proof.

        Rules: AUC-26, AUC-34.
        """
        book = release.message.book
        if book is None:
            return []
        if self.lease is None:
            return self._fetch(book, release.data, is_winner=False)
        award = self.lease.award
        return [] if book == award.message.book else [self._proof("two_books", award.data, release.data)]

    def _fetch(self, book: bytes, statement: bytes, *, is_winner: bool) -> list[Effect]:
        if not self._context.terms.audits_awards:
            return []
        acks = (self._ack,) if self._ack else ()
        return [wev.FetchBook(self.requester, self.digest, book, statement, acks, is_winner)]

    def _confirm(self, request_id: int, award: Signed[Award], code: str) -> Effect:
        confirm = Confirm(award=award.digest, is_accepted=code == ACCEPTED, code=code)
        return ev.AnswerRequest(request_id, seal(confirm, self._context.node_key, self._network))

    # --- all ------------------------------------------------------------------------------------------------------
    def _end(self, code: str) -> list[Effect]:
        """End, and free what was reserved. Rules: AUC-33."""
        forgotten = [wev.ForgetLease(self.lease.award.digest)] if self.lease is not None else []
        self.state, self.code, self._deadline, self.lease = _E, code, None, None
        claim = self._context.capacity.release(self.digest)
        return [wev.EndBid(self.digest, code), *forgotten, *([wev.CapacityChanged()] if claim else [])]

    def _open(self, data: bytes, kind: type[AnyMessage]) -> Signed[AnyMessage]:
        """Open what only the requester may have signed.

        Raises:
            RemoteProtocolError: `wrong_signer`, or what `open_envelope` raises.
        """
        signed = open_envelope(data, kind, self._network)
        if signed.signer != self.requester:
            raise _refusal("not the requester's", "wrong_signer", "AUC-2")
        return signed

    def _proof(self, offence: ev.Offence, *evidence: bytes) -> Effect:
        return ev.KeepProof(offence, self.requester, self.digest, (self.tender.data, *evidence))


def _refusal(message: str, code: str, rule: str) -> RemoteProtocolError:
    return RemoteProtocolError(message, code=code, rule=rule)
