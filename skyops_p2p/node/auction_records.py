"""What auctions leave in the journal: leases that were taken, and proofs of offences. Canonical msgpack."""

from skyops_p2p.core.auction.events import KeepProof
from skyops_p2p.core.auction.worker_events import StoreLease
from skyops_p2p.wire import canonical

LEASE, PROOF = 1, 2
"""Kinds of entries."""


def lease_entry(effect: StoreLease) -> bytes:
    """Return the journal entry of an award that was taken: {0: kind, 1: requester, 2: tender, 3: award}."""
    return canonical.encode({0: LEASE, 1: effect.requester, 2: effect.tender.data, 3: effect.award.data})


def proof_entry(effect: KeepProof) -> bytes:
    """Return the journal entry of a proof: {0: kind, 1: offence, 2: offender, 3: evidence}."""
    return canonical.encode({0: PROOF, 1: effect.offence, 2: effect.offender, 3: list(effect.evidence)})
