"""The vocabulary between the auction machines and their shell: the requester's, and what both sides share.

Everything names its tender by `tender`, the SHA-256 of the tender's envelope (32 bytes), so that an answer that comes
after its round is told apart. A request that a peer makes of us carries a `request_id` of the shell, which the effect
that answers it repeats; `data` is what travels: an envelope, or a message where the message says so. Effects are
performed in their order; StoreBook must have reached the disk before what follows is sent. See worker_events.py too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from skyops_p2p.core.machine import Effect, Event
from skyops_p2p.core.records import VerifiedRecord
from skyops_p2p.types import PeerId, UnixMs
from skyops_p2p.wire.envelope import Signed
from skyops_p2p.wire.messages.auction import Award, Bid, BidBook, Tender

ResourceClass = Literal["gpu", "cpu"]
Offence = Literal["two_tenders", "two_commits", "two_commit_sets", "two_books", "commit_censored", "misaward"]
Step = Literal[
    "proving", "asked", "answered", "closed", "revealed", "decided", "awarding", "widened", "waiting"
]


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
    """Proven, 10^6 operations a second; 0: nothing proven."""
    is_trusted: bool = True
    """False for a node that is SLASHED or INACTIVE."""
    stake_code: str = ""
    """What the requester holds against its stake: `stake`, `stake_unknown`, or nothing. Rules: AUC-40."""


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
    award: Signed[Award]
    """Its rank is 0 for the first choice, a reserve's place otherwise; its digest names the lease."""
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
    allow: frozenset[PeerId] = frozenset()
    """If not empty, nobody else is taken; the tender repeats the list where it is short."""
    deny: frozenset[PeerId] = frozenset()
    """Likewise."""


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
