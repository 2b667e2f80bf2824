"""All tenders that one worker deals with: who gets an answer, which machine a message is for, and two with one id.

The worker's shell feeds what comes by gossip and by request in here and performs what comes out. At most
TENDERS_OPEN_MAX tenders without an award are open at a time, and TENDERS_SEEN_MAX are remembered, so that a repeated
tender is not bid for again and a second one with the same id is proven. A confirmed award (a lease) stays until the job
takes it over with `take_lease`, and what it holds until `end_lease`; or until `keep_lease` puts it back for the job's
next part. Spec: protocol/04-auction.md, "Worker".
"""

from collections import OrderedDict
from dataclasses import replace

from skyops_p2p import limits
from skyops_p2p.core.auction import events as ev
from skyops_p2p.core.auction import worker_events as wev
from skyops_p2p.core.auction.bidding_context import BiddingContext
from skyops_p2p.core.auction.codes import DECLINE_CODES
from skyops_p2p.core.auction.invitation import is_invited
from skyops_p2p.core.auction.leases import LeaseTerms
from skyops_p2p.core.auction.named_book import misaward
from skyops_p2p.core.auction.tenders import check_tender, is_conflict
from skyops_p2p.core.auction.worker import Bidding, BiddingState
from skyops_p2p.core.machine import DeadlineReached, Effect, Event
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.crypto.node_key import peer_id_to_bytes
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.types import MonotonicS, UnixMs
from skyops_p2p.wire.envelope import Signed, envelope_kind, peek, seal
from skyops_p2p.wire.messages.auction import (
    Award,
    CommitAck,
    CommitSet,
    Decline,
    Release,
    RevealRequest,
    Tender,
)
from skyops_p2p.wire.model import decode_message

_EXPIRED = ("expired", "not_yet_valid")
"""Codes of `check_tender` that are answered with a decline: most likely a clock is wrong."""


class BiddingDesk:
    """The open tenders of one worker.

    Args:
        context: Shared by all bids.
    """

    def __init__(self, context: BiddingContext) -> None:
        self.is_leaving = False
        """The worker is shutting down: no new bid is made."""
        self._context = context
        self._network = context.rules.network
        self._own = peer_id_to_bytes(context.node_key.peer_id)
        self._open: dict[bytes, Bidding] = {}
        """Tender -> machine that has not ended."""
        self._by_commit: dict[bytes, bytes] = {}
        """Digest of our commitment -> tender; those of `_open`."""
        self._ended: OrderedDict[bytes, str] = OrderedDict()
        """Tender -> code with which it ended, oldest first."""
        self._ids: OrderedDict[tuple[bytes, bytes, int], Signed[Tender]] = OrderedDict()
        """(requester, job id, round) -> the first tender with it, oldest first."""
        self._taken: dict[bytes, bytes] = {}
        """Tender -> digest of the award, of the leases that jobs run under; each holds a claim."""

    def __len__(self) -> int:
        return len(self._open)

    def get(self, tender: bytes) -> Bidding | None:
        """Return the machine of an open tender, or None."""
        return self._open.get(tender)

    def take_tender(
        self,
        data: bytes,
        now: MonotonicS,
        unix_ms: UnixMs,
        *,
        salt: bytes,
        request_id: int | None = None,
        cached_permille: int = 0,
    ) -> list[Effect]:
        """Take a tender that came directly, or by gossip (without `request_id`).

        Args:
            data: The envelope.
            now: Monotonic seconds.
            unix_ms: The wall clock.
            salt: 32 random bytes, in case a bid is made.
            request_id: Of the peer's request.
            cached_permille: Part of the input bytes that is here already.
        """
        try:
            tender = check_tender(data, self._context.rules, now=unix_ms)
        except RemoteProtocolError as error:
            if request_id is None:
                return []
            if error.code in _EXPIRED:
                return self._decline(sha256(data), "past_deadline", request_id)
            return [ev.RefuseRequest(request_id, error.code)]
        digest = tender.digest
        event = wev.TenderReceived(request_id, unix_ms, cached_permille)
        if digest in self._open:
            return self.handle(digest, event, now)
        if digest in self._ended:
            code = self._ended[digest]
            return self._decline(digest, code if code in DECLINE_CODES else "past_deadline", request_id)
        conflict = self._remember_id(tender)
        if conflict is not None:
            proof = ev.KeepProof("two_tenders", tender.signer, digest, (conflict.data, data))
            return [proof, *self._decline(digest, "tender_conflict", request_id)]
        if request_id is None and not is_invited(tender.message, digest, self._own):  # AUC-6
            return []
        if self.is_leaving or self._undecided() >= limits.TENDERS_OPEN_MAX:
            return self._decline(digest, "leaving" if self.is_leaving else "busy", request_id)
        self._open[digest] = Bidding(self._context, tender, salt=salt)
        return self.handle(digest, event, now)

    def take_request(self, data: bytes, now: MonotonicS, *, request_id: int) -> list[Effect]:
        """Take any other request of a requester: CommitAck, RevealRequest, Award or Release.

        What concerns no open tender is refused with `unknown_tender`. Rules: AUC-35.
        """
        try:
            tender, event = self._route(data, request_id)
        except RemoteProtocolError as error:
            return [ev.RefuseRequest(request_id, error.code)]
        if tender not in self._open:
            return [ev.RefuseRequest(request_id, "unknown_tender")]
        return self.handle(tender, event, now)

    def handle(self, tender: bytes, event: Event, now: MonotonicS) -> list[Effect]:
        """Feed one event to the machine of a tender; if it is not open, only an audit still matters."""
        bidding = self._open.get(tender)
        if bidding is None:
            return misaward(event, tender) if isinstance(event, wev.BookAudited) else []
        effects = bidding.handle(event, now)
        if bidding.commit_digest:
            self._by_commit[bidding.commit_digest] = tender
        if bidding.state is BiddingState.ENDED:
            del self._open[tender]
            self._by_commit.pop(bidding.commit_digest, None)
            self._ended[tender] = bidding.code
            _trim(self._ended)
        return list(effects)

    def waiting_lease(self, award: bytes) -> LeaseTerms | None:
        """Return the confirmed award that waits for its job, by the digest of its envelope; None if there is none."""
        leases = (bidding.lease for bidding in self._open.values())
        return next((lease for lease in leases if lease is not None and lease.award.digest == award), None)

    def is_taken(self, award: bytes) -> bool:
        """Return whether a job runs under an award, by the digest of its envelope."""
        return award in self._taken.values()

    def take_lease(self, award: bytes, now: MonotonicS) -> tuple[LeaseTerms | None, list[Effect]]:
        """Hand a confirmed award to the job that begins: its capacity is held from now on until `end_lease`.

        Args:
            award: Digest of the award's envelope.
            now: Monotonic seconds.

        Returns:
            The lease with its claim, which no longer expires; None if there is none, or if it was taken before. And
            the effects to perform.
        """
        lease = self.waiting_lease(award)
        if lease is None:
            return None, []
        tender = lease.tender.digest
        effects = self.handle(tender, wev.LeaseTaken(), now)
        claim = self._context.capacity.get(tender)
        if claim is None:
            return None, effects
        self._taken[tender] = award
        return replace(lease, claim=claim), effects

    def end_lease(self, tender: bytes, now: MonotonicS) -> list[Effect]:
        """Free what is held for a job; nothing happens if there is no lease, or it was ended before.

        Args:
            tender: Digest of the tender.
            now: Monotonic seconds.
        """
        bidding = self._open.get(tender)
        lease = bidding.lease if bidding is not None else None
        # After a restart the lease of a job that does not come back waits to be taken again: it is ended alike.
        taken = self.take_lease(lease.award.digest, now)[1] if lease is not None else []
        award = self._taken.pop(tender, None)
        if award is None:
            return taken
        is_freed = self._context.capacity.release(tender) is not None
        return [*taken, wev.ForgetLease(award), *([wev.CapacityChanged()] if is_freed else [])]

    def keep_lease(self, lease: LeaseTerms, now: MonotonicS, *, until: MonotonicS) -> list[Effect]:
        """Hold what a lease held a little longer, for the next one on the same award: as if it was just confirmed.

        Args:
            lease: As `take_lease` gave it, with its use.
            now: Monotonic seconds.
            until: When it is void, unless it is taken before.

        Rules: EXE-37.
        """
        tender, claim = lease.tender.digest, None
        if self._taken.get(tender) == lease.award.digest:
            claim = self._context.capacity.confirm(tender, now, expires_at=until)
        if claim is None:
            return self.end_lease(tender, now)
        del self._taken[tender]
        self._ended.pop(tender, None)
        self._open[tender] = Bidding.restored(self._context, replace(lease, claim=claim))
        return []

    def restore(self, lease: LeaseTerms) -> bool:
        """Put a lease back that was confirmed before a restart, as if it had just been confirmed.

        Args:
            lease: With a claim that ends at a time of the present clock.

        Returns:
            Whether it was: not if another lease holds one of its devices, or RESERVATIONS_MAX claims stand.

        Rules: AUC-31.
        """
        digest = lease.tender.digest
        if digest in self._open or not self._context.capacity.restore(lease.claim):
            return False
        self._remember_id(lease.tender)
        self._open[digest] = Bidding.restored(self._context, lease)
        return True

    def wake(self, now: MonotonicS) -> list[Effect]:
        """End what has run out."""
        due = [d for d, b in self._open.items() if (at := b.next_deadline()) is not None and at <= now]
        effects = [effect for digest in due for effect in self.handle(digest, DeadlineReached(), now)]
        is_freed = bool(self._context.capacity.wake(now))
        return [*effects, wev.CapacityChanged()] if is_freed else effects

    def next_deadline(self) -> MonotonicS | None:
        """Return when `wake` must be called, or None."""
        own = (bidding.next_deadline() for bidding in self._open.values())
        ends = [at for at in (*own, self._context.capacity.next_deadline()) if at is not None]
        return min(ends, default=None)

    def check_invariants(self) -> None:
        """Raise AssertionError if the tables contradict each other."""
        self._context.capacity.check_invariants()
        assert self._undecided() <= limits.TENDERS_OPEN_MAX, "too many open tenders"
        assert not self._open.keys() & self._taken.keys(), "open and taken by a job"
        assert not self._open.keys() & self._ended.keys(), "open and ended"
        assert set(self._by_commit.values()) <= self._open.keys(), "a commitment of no open tender"
        assert max(len(self._ended), len(self._ids)) <= limits.TENDERS_SEEN_MAX, "too much remembered"
        for digest, bidding in self._open.items():
            bidding.check_invariants()
            assert bidding.digest == digest, "a machine under another's key"
            assert bidding.state is not BiddingState.IDLE, "a tender without an answer"

    def _undecided(self) -> int:
        """Count the open tenders without an award; those with one are bounded by what the machine has."""
        return sum(1 for bidding in self._open.values() if bidding.lease is None)

    def _route(self, data: bytes, request_id: int) -> tuple[bytes, Event]:
        """Find the tender that a request says it concerns. No signature is looked at: the tender's machine does that.

        Raises:
            RemoteProtocolError: `wrong_type` (no such request), or what decoding raises.
        """
        match envelope_kind(data):
            case None:
                request = decode_message(RevealRequest, data)
                commit_set = peek(request.commit_set, CommitSet)
                return commit_set.tender, wev.RevealRequested(request_id, data)
            case CommitAck.name:
                commit = peek(data, CommitAck).commit
                return self._by_commit.get(commit, b""), wev.CommitAcknowledged(data, request_id)
            case Award.name:
                return peek(data, Award).tender, wev.AwardReceived(request_id, data)
            case Release.name:
                return peek(data, Release).tender, wev.ReleaseReceived(request_id, data)
            case _:
                raise RemoteProtocolError("no request that a worker answers", code="wrong_type")

    def _remember_id(self, tender: Signed[Tender]) -> Signed[Tender] | None:
        """Remember who signed which id; return the tender that contradicts this one, if any. Rules: AUC-5."""
        message = tender.message
        key = (message.requester, message.job_id, message.round)
        first = self._ids.setdefault(key, tender)
        _trim(self._ids)
        return first if is_conflict(first, tender) else None

    def _decline(self, tender: bytes, code: str, request_id: int | None) -> list[Effect]:
        """Say no to who asked directly; gossip is not answered with a no."""
        if request_id is None:
            return []
        decline = seal(Decline(tender=tender, code=code), self._context.node_key, self._network)
        return [ev.AnswerRequest(request_id, decline)]


def _trim(table: OrderedDict[bytes, str] | OrderedDict[tuple[bytes, bytes, int], Signed[Tender]]) -> None:
    while len(table) > limits.TENDERS_SEEN_MAX:
        table.popitem(last=False)
