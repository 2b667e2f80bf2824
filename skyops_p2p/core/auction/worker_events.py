"""The vocabulary between the worker's machine and its shell: what happened, and what is to be done.

A request that a peer makes of us carries a `request_id` of the shell, which the AnswerRequest or RefuseRequest that
answers it repeats; `data` is what travels. Effects are performed in their order; StoreLease must have reached the disk
before what follows is sent.
"""

from dataclasses import dataclass

from skyops_p2p.core.auction.leases import LeaseTerms
from skyops_p2p.core.machine import Effect, Event
from skyops_p2p.types import PeerId, UnixMs


# --- events -----------------------------------------------------------------------------------------
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
    """The bid book of FetchBook has come and was audited; good also for a tender that is no longer open."""

    requester: PeerId
    """Who said that this is its book."""
    findings: tuple[str, ...]
    """Rules that it breaks; empty: it is in order."""
    evidence: tuple[bytes, ...]
    """What convinces anybody of the findings: the statement that names the book, the book, and acknowledgements."""


@dataclass(frozen=True, slots=True)
class LeaseTaken(Event):
    """The job itself began: from now on its own machine ends the lease; see `BiddingDesk.take_lease`."""


# --- effects ----------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class SendCommit(Effect):
    """Send the Commit to the requester as a request; report CommitAcknowledged or CommitRefused."""

    peer: PeerId
    tender: bytes
    data: bytes


@dataclass(frozen=True, slots=True)
class StoreLease(Effect):
    """Persist that the award was taken, before the confirmation is sent."""

    lease: LeaseTerms


@dataclass(frozen=True, slots=True)
class ForgetLease(Effect):
    """The lease is over: what StoreLease persisted is not needed any longer."""

    award: bytes
    """Digest of the award."""


@dataclass(frozen=True, slots=True)
class FetchBook(Effect):
    """Ask the requester for the bid book, audit it, and report BookAudited; beside everything else."""

    peer: PeerId
    tender: bytes
    book: bytes
    """Digest of the book."""
    statement: bytes
    """The requester's enveloped Award or Release that names the book."""
    acks: tuple[bytes, ...]
    """The requester's enveloped CommitAck, if it has come: the commitment must be in the book."""
    is_winner: bool
    """False: many others were let go at this moment, so wait a random time first."""


@dataclass(frozen=True, slots=True)
class EndBid(Effect):
    """The worker's part in a tender is over, and its claim is free unless the job has it."""

    tender: bytes
    code: str
    """`taken`, `expired`, a release code, a decline code, or what the requester refused with."""


@dataclass(frozen=True, slots=True)
class CapacityChanged(Effect):
    """What is free has changed: tell the node's heartbeat."""
