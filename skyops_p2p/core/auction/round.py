"""One round of a match: the answers to one tender, checked and counted. Spec: protocol/04-auction.md, "Commit".

Bookkeeping of the machine in `requester`, without a clock. Everything is bounded: a bidder counts
with one commitment, and with a second one as the proof against it; TENDER_BIDS_MAX commitments are taken in all.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from skyops_p2p import limits
from skyops_p2p.core.auction.book import Evidence, Sealed, close_commits, sealed
from skyops_p2p.core.auction.codes import ACCEPTED, DECLINE_CODES, UNKNOWN_CODE
from skyops_p2p.core.auction.events import Bidder, ResourceClass, SendRelease
from skyops_p2p.core.auction.screening import wanted_gpus
from skyops_p2p.core.auction.sealing import check_reveal
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.crypto.node_key import NodeKey, peer_id_from_bytes, peer_id_to_bytes
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.types import PeerId, UnixMs
from skyops_p2p.wire.envelope import Signed, envelope_kind, open_envelope, seal
from skyops_p2p.wire.messages.auction import (
    Award,
    Bid,
    BidBook,
    Commit,
    CommitAck,
    Confirm,
    Decline,
    Observation,
    Release,
    Reveal,
    RevealRequest,
    Tender,
)
from skyops_p2p.wire.model import AnyMessage, Message, decode_message, encode_message

TRANSFER_MS_MAX = 2**32
"""What an Observation can say."""


WINDOW_MS_MIN = 50
"""Shortest window that a tender can say."""
VDF_REVEAL_PART = 25
"""With `vdf` the reveal window is at most this part of the time left: the delay takes ten times as long."""


@dataclass(frozen=True, slots=True)
class Window:
    """What a round has of its own."""

    number: int
    """0 at first."""
    unix_ms: UnixMs
    """Now."""
    left_ms: int
    """Until the hard limit of the match."""
    invite_share: int


class Taken(Enum):
    """What became of a commitment."""

    NEW = "new"
    AGAIN = "again"
    """The same envelope as before."""
    SECOND = "second"
    """Another one of the same bidder, for the first time: a proof."""
    THIRD = "third"
    """The proof is there already."""
    FULL = "full"


class Round:
    """The answers to one tender.

    Args:
        tender: As it was signed and sent.
        key: The requester's; it signs what follows from the tender.
        seed: What its `seed_digest` is the SHA-256 of.
        number: 0 for the first round of a match.
    """

    def __init__(self, tender: Signed[Tender], key: NodeKey, *, seed: bytes, number: int) -> None:
        self.tender = tender
        self._key = key
        self._network = tender.message.network
        self.digest = tender.digest
        self.seed = seed
        self.number = number
        self.awaited: dict[PeerId, None] = {}
        """Whose answer to the present phase's question is outstanding."""
        self.commits: dict[PeerId, Signed[Commit]] = {}
        self.seconds: dict[PeerId, Signed[Commit]] = {}
        """Contradictions of `commits`."""
        self.declines: dict[PeerId, Signed[Decline]] = {}
        self.reveals: dict[PeerId, Reveal] = {}
        self.bound: dict[PeerId, None] = {}
        """Bidders that hold capacity for us: they committed and were not released."""
        self.commit_set = b""
        self.book: Signed[BidBook] | None = None
        self.queue: deque[PeerId] = deque()
        """Ranked bidders that were not awarded yet, the best first."""

    def open_answer(self, peer: PeerId, data: bytes) -> Signed[Commit] | str:
        """Open an invited worker's answer: a commitment, or a decline, which is kept, as its code.

        Raises:
            RemoteProtocolError: `wrong_signer`, `wrong_tender`, or what `open_envelope` raises.
        """
        if len(data) > limits.TENDER_BYTES_MAX or envelope_kind(data) != Decline.name:
            return self.open_commit(peer, data)
        decline = self._open(peer, data, Decline)
        self.declines[peer] = decline
        return decline_code(decline.message.code)

    def open_commit(self, peer: PeerId, data: bytes) -> Signed[Commit]:
        """Open a commitment.

        Raises:
            RemoteProtocolError: As `open_answer`.
        """
        return self._open(peer, data, Commit)

    def take_commit(self, commit: Signed[Commit]) -> Taken:
        """Count a commitment. Rules: AUC-9."""
        peer = commit.signer
        first, second = self.commits.get(peer), self.seconds.get(peer)
        if first is not None and commit.digest == first.digest:
            return Taken.AGAIN
        if second is not None:
            return Taken.THIRD
        is_full = len(self.commits) + len(self.seconds) >= limits.TENDER_BIDS_MAX
        if first is not None:
            # With the book full or closed the first commitment stands alone in it; the proof is kept beside it.
            if not is_full and not self.commit_set:
                self.seconds[peer] = commit
            return Taken.SECOND
        if is_full:
            return Taken.FULL
        self.commits[peer] = commit
        self.bound[peer] = None
        return Taken.NEW

    def honest(self) -> tuple[PeerId, ...]:
        """Return the bidders with one commitment, in the order in which they came."""
        return tuple(peer for peer in self.commits if peer not in self.seconds)

    def sealed(self) -> tuple[Sealed, ...]:
        """Return all commitments, ascending by digest."""
        every = (sealed(commit) for commit in (*self.commits.values(), *self.seconds.values()))
        return tuple(sorted(every, key=lambda commit: commit.digest))

    def acknowledge(self, commit: Signed[Commit]) -> bytes:
        """Return the enveloped CommitAck: from now on it cannot be left out without proof. Rules: AUC-10."""
        return self._seal(CommitAck(commit=commit.digest))

    def close(self, unix_ms: UnixMs) -> bytes:
        """Fix the commit set and return the RevealRequest with it."""
        commits = self.sealed()
        self.commit_set = self._seal(close_commits(self.digest, commits, closed_unix_ms=unix_ms))
        digests = tuple(commit.digest for commit in commits)
        return encode_message(RevealRequest(commit_set=self.commit_set, digests=digests))

    def take_reveal(self, peer: PeerId, data: bytes) -> Bid:
        """Open a bid.

        Raises:
            RemoteProtocolError: `reveal_unasked` (no commitment), `reveal_mismatch` (not what was committed to, or of
                another tender), or what `decode_message` raises.
        """
        reveal = decode_message(Reveal, data)
        commit = self.commits.get(peer)
        if commit is None:
            raise RemoteProtocolError(
                "a reveal without a commitment", code="reveal_unasked", peer=peer, rule="AUC-12"
            )
        check_reveal(reveal, commit.message, peer_id_to_bytes(peer))
        self.reveals[peer] = reveal
        return reveal.bid

    def evidence(self, bidders: Iterable[Bidder], *, closed_unix_ms: int, proof: bytes = b"") -> Evidence:
        """Return what the bid book is made of.

        Args:
            bidders: What is known of the bidders; of those that revealed at least.
            closed_unix_ms: Now.
            proof: Of the policy `vdf`.
        """
        seen = {bidder.peer: bidder for bidder in bidders if bidder.peer in self.reveals}
        raw = {peer: peer_id_to_bytes(peer) for peer in self.reveals}
        return Evidence(
            tender=self.tender,
            commits=self.sealed(),
            reveals={raw[peer]: reveal for peer, reveal in self.reveals.items()},
            observations={raw[peer]: self._observation(bidder) for peer, bidder in seen.items()},
            records={raw[p]: bidder.record.record for p, bidder in seen.items() if bidder.record is not None},
            seed=self.seed,
            closed_unix_ms=closed_unix_ms,
            proof=proof,
            declines=tuple(decline.data for decline in self.declines.values()),
        )

    def take_book(self, book: BidBook) -> Signed[BidBook]:
        """Sign the bid book and line up the ranked bidders. Rules: AUC-26."""
        self.book = Signed(book, self._key.peer_id, self._seal(book))
        self.queue = deque(peer_id_from_bytes(raw) for raw in book.ranking)
        return self.book

    def lose_book(self) -> None:
        """Go on without the book, which nobody has heard of: it could not be stored. Rules: AUC-26."""
        self.book = None
        self.queue.clear()
        self.bound = dict.fromkeys(self.commits)  # those whom it excluded were not told

    def award(self, peer: PeerId, *, expires_unix_ms: int) -> Signed[Award]:
        """Sign the award of a ranked bidder. Rules: AUC-27."""
        assert self.book is not None, "an award before the book"
        raw = peer_id_to_bytes(peer)
        award = Award(
            tender=self.digest,
            book=self.book.digest,
            winner=raw,
            rank=self.book.message.ranking.index(raw),
            price=self.reveals[peer].bid.price,
            expires_unix_ms=expires_unix_ms,
        )
        return Signed(award, self._key.peer_id, self._seal(award))

    def open_confirm(self, award: Signed[Award], peer: PeerId, data: bytes) -> Signed[Confirm]:
        """Open the answer to an award.

        Raises:
            RemoteProtocolError: `wrong_signer`, `wrong_award`, `malformed` (its code contradicts it), or what
                `open_envelope` raises.

        Rules: AUC-32.
        """
        confirm = open_envelope(data, Confirm, self._network, bytes_max=limits.TENDER_BYTES_MAX)
        said = confirm.message
        if confirm.signer != peer:  # AUC-32
            raise RemoteProtocolError(
                "another peer's confirmation", code="wrong_signer", rule="AUC-32", peer=peer
            )
        if said.award != award.digest:  # AUC-32
            raise RemoteProtocolError("of another award", code="wrong_award", rule="AUC-32", peer=peer)
        if said.is_accepted != (said.code == ACCEPTED):  # AUC-32
            raise RemoteProtocolError("confirms and refuses", code="malformed", rule="AUC-32", peer=peer)
        return confirm

    def release(self, peers: Iterable[PeerId], code: str) -> list[SendRelease]:
        """Let bidders go that hold capacity for us; once there is a book, they are told its name. Rules: AUC-29."""
        leaving = [peer for peer in peers if peer in self.bound]
        for peer in leaving:
            del self.bound[peer]
        if not leaving:
            return []
        book = self.book.digest if self.book is not None else None
        data = self._seal(Release(tender=self.digest, code=code, book=book))
        return [SendRelease(peer, self.digest, data) for peer in leaving]

    def check_invariants(self) -> None:
        """Raise AssertionError if the counts contradict each other."""
        assert len(self.commits) + len(self.seconds) <= limits.TENDER_BIDS_MAX, "too many commitments"
        assert set(self.seconds) <= set(self.commits), "a second commitment without a first"
        assert set(self.reveals) <= set(self.commits), "a reveal without a commitment"
        assert set(self.bound) <= set(self.commits), "capacity held without a commitment"
        assert set(self.queue) <= set(self.reveals), "a sealed bid was ranked"
        assert not (self.reveals and not self.commit_set), "a reveal before the commit set"
        assert self.book is not None or not self.queue, "a ranking without a book"

    def _observation(self, bidder: Bidder) -> Observation:
        """Say what was measured; the transfer follows from the inputs that the bid says are missing."""
        assert bidder.record is not None, "a bidder without a record was let in"
        cached_permille = self.reveals[bidder.peer].bid.cached_permille
        missing_bytes = self.tender.message.input_bytes * (1000 - cached_permille) // 1000
        return Observation(
            bidder=peer_id_to_bytes(bidder.peer),
            round_trip_ms=bidder.round_trip_ms,
            transfer_ms=min(missing_bytes * 1000 // max(bidder.bytes_per_s, 1), TRANSFER_MS_MAX),
            reputation=bidder.reputation,
            stake_weight=bidder.stake_weight,
            recent_awards=bidder.recent_awards,
            record=bidder.record.signed.data,
            throughput=bidder.throughput,
        )

    def _seal(self, message: Message) -> bytes:
        return seal(message, self._key, self._network)

    def _open(self, peer: PeerId, data: bytes, kind: type[AnyMessage]) -> Signed[AnyMessage]:
        signed = open_envelope(data, kind, self._network, bytes_max=limits.TENDER_BYTES_MAX)
        if signed.signer != peer:
            raise RemoteProtocolError("another peer's answer", code="wrong_signer", rule="AUC-7", peer=peer)
        if getattr(signed.message, "tender", b"") != self.digest:
            raise RemoteProtocolError("of another tender", code="wrong_tender", rule="AUC-7", peer=peer)
        return signed


def open_round(terms: Tender, window: "Window", key: NodeKey, secret: bytes) -> Round:
    """Sign the tender of a round.

    Args:
        terms: What all rounds have in common. Allow and deny lists that do not fit TENDER_BYTES_MAX are left out: the
            requester keeps to them by itself.
        window: What this round has of its own.
        key: The requester's.
        secret: What the seeds of all rounds come from.
    """
    seed = sha256(secret + bytes([window.number]))
    reveal_ms = min(terms.reveal_ms, window.left_ms * 3 // 10)
    if terms.policy == "vdf":  # the delay grows with the reveal window, and has to fit as well
        reveal_ms = min(reveal_ms, window.left_ms // VDF_REVEAL_PART)
    tender = terms.model_copy(
        update={
            "round": window.number,
            "issued_unix_ms": window.unix_ms,
            "expires_unix_ms": window.unix_ms + window.left_ms,
            "commit_ms": max(WINDOW_MS_MIN, min(terms.commit_ms, window.left_ms * 2 // 5)),
            "reveal_ms": max(WINDOW_MS_MIN, reveal_ms),
            "invite_share": window.invite_share,
            "seed_digest": sha256(seed),
        }
    )
    data = seal(tender, key, terms.network)
    for listed in ("deny", "allow"):
        if len(data) > limits.TENDER_BYTES_MAX:
            tender = tender.model_copy(update={listed: ()})
            data = seal(tender, key, terms.network)
    return Round(Signed(tender, key.peer_id, data), key, seed=seed, number=window.number)


def resource_class(tender: Tender) -> ResourceClass:
    """Return the class on whose topic a tender is announced."""
    return "gpu" if wanted_gpus(tender.needs) else "cpu"


def decline_code(code: str) -> str:
    """Return a decline code, or UNKNOWN_CODE for one that we do not know: peers choose the text."""
    return code if code in DECLINE_CODES else UNKNOWN_CODE
