"""The vocabulary between the auction machines and their shell: what happened, and what is to be done.

Everything names its tender by `tender`, the SHA-256 of the tender's envelope (32 bytes), so that an answer that comes
after its round is told apart. A request that a peer makes of us carries a `request_id` of the shell, which the effect
that answers it repeats; `data` is what travels: an envelope, or a message where the message says so. Effects are
performed in their order; StoreBook and StoreLease must have reached the disk before what follows is sent.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from skyops_p2p.core.auction.capacity import Claim
from skyops_p2p.core.machine import Effect, Event
from skyops_p2p.core.records import VerifiedRecord
from skyops_p2p.types import PeerId, UnixMs
from skyops_p2p.wire.envelope import Signed
from skyops_p2p.wire.messages.auction import Bid, BidBook, Tender

ResourceClass = Literal["gpu", "cpu"]
Offence = Literal["two_tenders", "two_commits", "two_commit_sets", "commit_censored", "misaward"]
Step = Literal["asked", "answered", "closed", "revealed", "decided", "awarding", "widened"]


# --- what the requester knows and decides -------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Bidder:
    """A node that may bid, as the requester sees it: nothing here is the node's own word but its record."""

    peer: PeerId
    record: VerifiedRecord | None
    """None: the node map has no valid record of it, so it is bound to no wallet."""
    round_trip_ms: int
    """Measured, 0 to 60,000; 60,000 where it could not be measured."""
    bytes_per_s: int
    """Measured bandwidth from where the inputs are; at least 1."""
    reputation: int
    """Millionths."""
    stake_weight: int = 1
    recent_awards: int = 0
    throughput: int = 0
    """Proven, 10^9 operations a second; 0: nothing proven."""
    is_trusted: bool = True
    """False for a node that is SLASHED or INACTIVE."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one node in a match."""

    peer: PeerId
    code: str
    """A code of `codes`, or `accepted` for the winner."""
    detail: str = ""
    """More than the code says: a wire or network error's code."""


@dataclass(frozen=True, slots=True)
class Match:
    """A job has found its worker."""

    tender: Signed[Tender]
    winner: PeerId
    bid: Bid
    rank: int
    """0 for the first choice; a reserve's place otherwise."""
    award: bytes
    """The enveloped Award; its SHA-256 names the lease."""
    confirm: bytes
    """The worker's enveloped Confirm."""
    book: Signed[BidBook]
    rounds: int
    elapsed_ms: int
    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True, slots=True)
class MatchFailure:
    """Nobody took the job, and why."""

    code: str
    """A code of FAILURE_CODES."""
    detail: str
    rounds: int
    elapsed_ms: int
    counts: Mapping[str, int]
    """Nodes by the code of their outcome, the commonest first."""
    outcomes: tuple[Outcome, ...]
    """By node, in the order in which they were heard of."""


# --- events of the requester --------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class AuctionBegun(Event):
    """A job is to be matched."""

    terms: Tender
    """The tender but for what each round sets: round, dates, windows, share and seed digest."""
    bidders: tuple[Bidder, ...]
    """Nodes that passed the screening, best first."""
    secret: bytes
    """32 random bytes that the lots' seeds come from; told to nobody."""
    unix_ms: UnixMs
    timeout_s: float
    """Hard limit of the whole match; at most TENDER_LIFETIME_MS_MAX."""
    expects_gossip: bool = False
    """There are eligible nodes besides `bidders`: the commit window stays open for them until enough have bid."""
    screened: tuple[Outcome, ...] = ()
    """Nodes that did not pass the screening, for the report."""


@dataclass(frozen=True, slots=True)
class AnswerArrived(Event):
    """An invited worker answered with an envelope: a Commit or a Decline, if it is honest."""

    peer: PeerId
    tender: bytes
    data: bytes


@dataclass(frozen=True, slots=True)
class AnswerMissing(Event):
    """An invited worker did not answer, could not be reached, or refused the request."""

    peer: PeerId
    tender: bytes
    code: str
    """The refusal's or the network error's."""


@dataclass(frozen=True, slots=True)
class CommitArrived(Event):
    """A worker that heard the tender by gossip sent its Commit as a request."""

    request_id: int
    peer: PeerId
    data: bytes
    bidder: Bidder | None
    """None: the node map does not know the peer."""


@dataclass(frozen=True, slots=True)
class BidderLookedUp(Event):
    """LookUpBidder has found a newer record."""

    bidder: Bidder


@dataclass(frozen=True, slots=True)
class RevealArrived(Event):
    """A bidder answered the RevealRequest; `data` is a message: a Reveal, if it is honest."""

    peer: PeerId
    tender: bytes
    data: bytes


@dataclass(frozen=True, slots=True)
class RevealMissing(Event):
    """A bidder did not answer the RevealRequest, or refused it."""

    peer: PeerId
    tender: bytes
    code: str


@dataclass(frozen=True, slots=True)
class DelayProven(Event):
    """The delay function was evaluated."""

    tender: bytes
    proof: bytes


@dataclass(frozen=True, slots=True)
class DelayFailed(Event):
    """The delay function could not be evaluated."""

    tender: bytes
    code: str


@dataclass(frozen=True, slots=True)
class BookLost(Event):
    """The bid book could not be stored; the effects behind StoreBook were not performed."""

    tender: bytes
    code: str


@dataclass(frozen=True, slots=True)
class ConfirmArrived(Event):
    """A worker answered its Award with an envelope: a Confirm, if it is honest."""

    peer: PeerId
    tender: bytes
    data: bytes


@dataclass(frozen=True, slots=True)
class ConfirmMissing(Event):
    """A worker did not answer its Award, could not be reached, or refused the request."""

    peer: PeerId
    tender: bytes
    code: str


@dataclass(frozen=True, slots=True)
class CancelRequested(Event):
    """The user takes the job back."""


# --- effects of the requester -------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class PublishTender(Effect):
    """Gossip a tender on the topic of its resource class."""

    tender: bytes
    resource: ResourceClass
    data: bytes


@dataclass(frozen=True, slots=True)
class AskBid(Effect):
    """Send a tender to a worker; report AnswerArrived or AnswerMissing."""

    peer: PeerId
    tender: bytes
    data: bytes
    timeout_s: float


@dataclass(frozen=True, slots=True)
class AcknowledgeCommit(Effect):
    """Send an enveloped CommitAck to an invited bidder, beside everything else; nothing is reported."""

    peer: PeerId
    tender: bytes
    data: bytes


@dataclass(frozen=True, slots=True)
class LookUpBidder(Effect):
    """Ask a bidder for its newer record; report BidderLookedUp if there is one."""

    peer: PeerId
    record_sequence: int


@dataclass(frozen=True, slots=True)
class AskReveal(Effect):
    """Send a RevealRequest to a bidder; report RevealArrived or RevealMissing."""

    peer: PeerId
    tender: bytes
    data: bytes
    timeout_s: float


@dataclass(frozen=True, slots=True)
class ProveDelay(Effect):
    """Run `vdf.evaluate` in a worker thread; report DelayProven or DelayFailed."""

    tender: bytes
    challenge: bytes
    iterations: int


@dataclass(frozen=True, slots=True)
class StoreBook(Effect):
    """Persist the bid book before anything that follows; on failure drop what follows and report BookLost."""

    tender: bytes
    book: bytes
    """Its digest."""
    data: bytes


@dataclass(frozen=True, slots=True)
class SendAward(Effect):
    """Send an Award; report ConfirmArrived or ConfirmMissing."""

    peer: PeerId
    tender: bytes
    data: bytes
    timeout_s: float


@dataclass(frozen=True, slots=True)
class SendRelease(Effect):
    """Send a Release, beside everything else; nothing is reported: what it frees expires by itself."""

    peer: PeerId
    tender: bytes
    data: bytes


@dataclass(frozen=True, slots=True)
class ReportProgress(Effect):
    """Tell whoever watches the match."""

    step: Step
    round: int
    peer: PeerId | None = None
    code: str = ""
    count: int = 0
    """Nodes that the step concerns."""


@dataclass(frozen=True, slots=True)
class FinishMatch(Effect):
    """The match is made."""

    match: Match


@dataclass(frozen=True, slots=True)
class FailMatch(Effect):
    """The match has failed."""

    failure: MatchFailure


# --- effects of both ----------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class AnswerRequest(Effect):
    """Answer a peer's request with `data`."""

    request_id: int
    data: bytes


@dataclass(frozen=True, slots=True)
class RefuseRequest(Effect):
    """Refuse a peer's request with a code."""

    request_id: int
    code: str


@dataclass(frozen=True, slots=True)
class KeepProof(Effect):
    """Store what proves a peer's offence to anybody, and tell whoever watches."""

    offence: Offence
    offender: PeerId
    tender: bytes
    evidence: tuple[bytes, ...]
    """Envelopes (and, for `commit_censored`, the RevealRequest that leaves the commitment out)."""


# --- events of the worker -----------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class TenderReceived(Event):
    """The tender has come, directly or by gossip."""

    request_id: int | None
    """None: by gossip."""
    unix_ms: UnixMs
    cached_permille: int = 0
    """Part of the input bytes that is here already."""


@dataclass(frozen=True, slots=True)
class CommitAcknowledged(Event):
    """The requester's enveloped CommitAck has come."""

    data: bytes
    request_id: int | None = None
    """None: as the answer to SendCommit."""


@dataclass(frozen=True, slots=True)
class CommitRefused(Event):
    """The requester refused the Commit of SendCommit, or could not be reached."""

    code: str


@dataclass(frozen=True, slots=True)
class RevealRequested(Event):
    """The requester asks to open the bid; `data` is a RevealRequest."""

    request_id: int
    data: bytes


@dataclass(frozen=True, slots=True)
class AwardReceived(Event):
    """The requester awards the job; `data` is an enveloped Award."""

    request_id: int
    data: bytes


@dataclass(frozen=True, slots=True)
class ReleaseReceived(Event):
    """The requester lets the bidder go; `data` is an enveloped Release."""

    request_id: int
    data: bytes


@dataclass(frozen=True, slots=True)
class BookAudited(Event):
    """The bid book that an award names was fetched and audited."""

    data: bytes
    findings: tuple[str, ...]
    """Rules that it breaks; empty: it is in order."""


@dataclass(frozen=True, slots=True)
class LeaseTaken(Event):
    """The job itself began: from now on its own machine ends the lease."""


# --- effects of the worker ----------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class SendCommit(Effect):
    """Send the Commit to the requester as a request; report CommitAcknowledged or CommitRefused."""

    peer: PeerId
    tender: bytes
    data: bytes


@dataclass(frozen=True, slots=True)
class StoreLease(Effect):
    """Persist that the award was taken, before the confirmation is sent."""

    requester: PeerId
    tender: Signed[Tender]
    award: bytes
    """The enveloped Award."""
    bid: Bid
    claim: Claim


@dataclass(frozen=True, slots=True)
class FetchBook(Effect):
    """Ask the requester for the bid book, audit it, and report BookAudited; beside everything else."""

    peer: PeerId
    tender: bytes
    book: bytes
    """Digest of the book."""


@dataclass(frozen=True, slots=True)
class EndBid(Effect):
    """The worker's part in a tender is over, and its claim is free unless the job has it."""

    tender: bytes
    code: str
    """`taken`, `expired`, a release code, a decline code, or what the requester refused with."""


@dataclass(frozen=True, slots=True)
class CapacityChanged(Effect):
    """What is free has changed: tell the node's heartbeat."""
