"""What the contracts say of stake, reservations, disputes and withdrawals, as values. Pure.

Amounts are wei, instants Unix seconds of the chain's clock, accounts 20 bytes. Source: contracts/README.md.
"""

from dataclasses import dataclass
from enum import IntEnum

from skyops_p2p.types import Wei


class StakeState(IntEnum):
    """A node in NodeRegistry."""

    UNKNOWN = 0
    PENDING = 1
    """Registered, and never marked."""
    ACTIVE = 2
    INACTIVE = 3
    SLASHED = 4


@dataclass(frozen=True, slots=True)
class NodeStake:
    """What NodeRegistry has of one wallet."""

    state: StakeState
    stake: Wei
    """What counts."""
    locked: Wei
    """Of it: seats of jurors and reservations."""
    unbonding: Wei
    """No longer counts; it can still be slashed."""
    unbonded_at_unix_s: int
    holds: int
    """Open disputes: while there are any, nothing leaves."""
    marked_at_unix_s: int
    registered_at_unix_s: int
    binding: bytes
    """Digest of the node's Binding, 32 bytes."""


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """A withdrawal that was asked for."""

    amount: Wei
    ready_at_unix_s: int
    """0: none."""


@dataclass(frozen=True, slots=True)
class ReceiptLeaf:
    """A receipt as the contracts take it: a leaf of the tree of a pair's receipts."""

    job_id: bytes
    """32 bytes, as those below."""
    execution_hash: bytes
    log_hash: bytes
    metering_hash: bytes
    amount: Wei
    ended_unix_s: int


@dataclass(frozen=True, slots=True)
class ReceiptPlace:
    """Where a leaf is in its tree."""

    index: int
    count: int
    """Leaves of the tree."""
    path: tuple[bytes, ...]
    """Hashes beside the way up, 32 bytes each."""


@dataclass(frozen=True, slots=True)
class ReservationOffer:
    """What a worker signs."""

    worker: bytes
    token: bytes
    rate: Wei
    """For an hour, before the discount."""
    hours_least: int
    hours_most: int
    expires_at_unix_s: int
    salt: bytes
    """32 bytes; an offer is taken once."""


@dataclass(frozen=True, slots=True)
class ReservationState:
    """A reservation as it stands."""

    requester: bytes
    worker: bytes
    token: bytes
    rate: Wei
    prepaid: Wei
    drawn: Wei
    """By the worker, with the fee."""
    starts_at_unix_s: int
    ends_at_unix_s: int
    checked_in_at_unix_s: int
    """0: never."""
    answer_by_unix_s: int
    """0: not asked."""
    asked_at_unix_s: int
    used_s: int
    """As the requester has signed."""
    locked: Wei
    """Of the worker's stake."""
    is_ended: bool


@dataclass(frozen=True, slots=True)
class ReservationRefund:
    """What leaving a reservation would come to."""

    refund: Wei
    exit_fee: Wei
    used: Wei


@dataclass(frozen=True, slots=True)
class DisputeCase:
    """A dispute as it stands."""

    challenger: bytes
    requester: bytes
    worker: bytes
    token: bytes
    job: bytes
    """In escrow; zero: a receipt of the pair, or a result that was not paid."""
    amount: Wei
    """Of the job, in its token."""
    worth: Wei
    """The same in SKYOPS; of a result at most what its worker had at stake."""
    bond: Wei
    opened_at_unix_s: int
    """0: there is no such dispute."""
    round: int
    verdict: int
    """Of the last round: 0 none yet, 1 the worker is right, 2 it is wrong."""
    appeal_ends_unix_s: int
    """0 while a jury is at work."""
    is_closed: bool
    juror_pay: Wei


@dataclass(frozen=True, slots=True)
class DisputedResult:
    """A result that a verdict calls wrong, as its dispute names it."""

    commitment: bytes
    """Digest of the worker's enveloped ResultCommit, 32 bytes; zero: the dispute is about something else."""
    proof: bytes
    """Digest of the enveloped verdict, 32 bytes."""
    made_unix_s: int
    """When that was made."""


@dataclass(frozen=True, slots=True)
class JuryState:
    """The jury of one round of a dispute."""

    size: int
    """Seats that are to be filled."""
    opened_at_unix_s: int
    seed_block: int
    seed: bytes
    draw_ends_unix_s: int
    commit_ends_unix_s: int
    """0 until the draw is closed."""
    reveal_ends_unix_s: int
    seat_stake: Wei
    rights: int
    """Votes that the worker is right."""
    wrongs: int


@dataclass(frozen=True, slots=True)
class EscrowJob:
    """A job in escrow."""

    requester: bytes
    worker: bytes
    token: bytes
    payment: Wei
    deadline_unix_s: int
    release_at_unix_s: int
    state: int
    """1 Posted, 2 Claimed, 3 Completed, 4 Failed, 5 Cancelled; 0: there is no such job."""
    is_frozen: bool
    spec_hash: bytes
    execution_hash: bytes
    log_hash: bytes
    metering_hash: bytes
