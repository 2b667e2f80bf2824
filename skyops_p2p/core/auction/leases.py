"""A confirmed award: what a worker has promised, and to whom. Spec: protocol/04-auction.md, "Confirmation"."""

from dataclasses import dataclass

from skyops_p2p.core.auction.capacity import Claim
from skyops_p2p.types import PeerId, UnixMs
from skyops_p2p.wire.envelope import Signed
from skyops_p2p.wire.messages.auction import Award, Bid, Tender


@dataclass(frozen=True, slots=True)
class AwardUse:
    """For what an award serves, from the first lease on it: the shards of one job, one after the other."""

    job_id: bytes
    """16 bytes."""
    since_unix_ms: UnixMs
    """When the first lease began."""


@dataclass(frozen=True, slots=True)
class LeaseTerms:
    """Everything that a job needs to know of the award that it runs under."""

    requester: PeerId
    tender: Signed[Tender]
    award: Signed[Award]
    """Its digest names the lease."""
    bid: Bid
    claim: Claim
    """The capacity that is held for the job: devices, cores, memory, disk and a slot."""
    use: AwardUse | None = None
    """None: no lease has begun on it yet."""
