"""What auctions leave in the journal: awards that were confirmed, and proofs of offences. Canonical msgpack.

An entry is {0: kind, 1: content}. One that cannot be read is told apart from one that is of no use any more.
"""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from skyops_p2p import limits
from skyops_p2p.core.auction.capacity import Claim, ClaimState, Device
from skyops_p2p.core.auction.events import KeepProof
from skyops_p2p.core.auction.leases import AwardUse, LeaseTerms
from skyops_p2p.core.auction.tenders import check_tender
from skyops_p2p.core.rules import NetworkRules
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.types import UnixMs
from skyops_p2p.wire import canonical
from skyops_p2p.wire.envelope import open_envelope
from skyops_p2p.wire.messages.auction import Award, Bid
from skyops_p2p.wire.messages.peering import EnvelopeBytes, GpuPart
from skyops_p2p.wire.model import Bytes16, Instant, N, Name, Part

LEASE, PROOF, TAKEN = 1, 2, 3
"""Kinds of entries."""


class StoredDevice(Part):
    """A device that a lease holds."""

    name: Annotated[Name, N(1)]
    gpu: Annotated[GpuPart, N(2)]


class StoredLease(Part):
    """A confirmed award as it is written down."""

    tender: Annotated[EnvelopeBytes, N(1)]
    award: Annotated[EnvelopeBytes, N(2)]
    bid: Annotated[Bid, N(3)]
    devices: Annotated[tuple[StoredDevice, ...], Field(max_length=limits.RECORD_GPUS_MAX), N(4)]
    ends_unix_ms: Annotated[Instant, N(5)]
    """When it is void unless the job began."""


class StoredUse(Part):
    """For which job an award is used."""

    job_id: Annotated[Bytes16, N(1)]
    since_unix_ms: Annotated[Instant, N(2)]


@dataclass(frozen=True, slots=True)
class KeptLease:
    """A confirmed award as it was read back; its claim has no expiry yet."""

    lease: LeaseTerms
    ends_unix_ms: UnixMs


def lease_entry(lease: LeaseTerms, *, ends_unix_ms: int) -> bytes:
    """Return the entry of an award that was confirmed."""
    stored = StoredLease(
        tender=lease.tender.data,
        award=lease.award.data,
        bid=lease.bid,
        devices=tuple(StoredDevice(name=device.name, gpu=device.gpu) for device in lease.claim.devices),
        ends_unix_ms=ends_unix_ms,
    )
    return canonical.encode({0: LEASE, 1: stored.to_wire()})


def taken_entry(use: AwardUse | None) -> bytes:
    """Return the entry that says that a job has the lease, and which."""
    if use is None:
        return canonical.encode({0: TAKEN})
    stored = StoredUse(job_id=use.job_id, since_unix_ms=use.since_unix_ms)
    return canonical.encode({0: TAKEN, 1: stored.to_wire()})


def proof_entry(effect: KeepProof) -> bytes:
    """Return the entry of a proof: {1: offence, 2: offender, 3: tender, 4: evidence}."""
    content = {1: effect.offence, 2: effect.offender, 3: effect.tender, 4: list(effect.evidence)}
    return canonical.encode({0: PROOF, 1: content})


def read_taken(body: bytes) -> AwardUse | None:
    """Read the entry that says that a job has the lease; None: it does not say which.

    Raises:
        RemoteProtocolError: It is torn, or another entry.
    """
    entry = canonical.decode(body)
    if not isinstance(entry, dict) or entry.get(0) != TAKEN:
        raise RemoteProtocolError("not the entry of a lease that was taken", code="wrong_type")
    if 1 not in entry:
        return None
    stored = StoredUse.from_wire(entry[1])
    return AwardUse(stored.job_id, UnixMs(stored.since_unix_ms))


def read_lease(body: bytes, rules: NetworkRules, *, use: AwardUse | None = None) -> KeptLease:
    """Read the entry of a confirmed award, and check it as if it had come from a peer.

    Args:
        body: The entry.
        rules: Leases of another network are refused.
        use: As read of the entry that it was taken.

    Raises:
        RemoteProtocolError: It is torn, of another version or of another network.
    """
    entry = canonical.decode(body)
    if not isinstance(entry, dict) or entry.get(0) != LEASE:
        raise RemoteProtocolError("not the entry of a lease", code="wrong_type")
    stored = StoredLease.from_wire(entry.get(1))
    tender = check_tender(stored.tender, rules, now=None)
    award = open_envelope(stored.award, Award, rules.network)
    if award.signer != tender.signer or award.message.tender != tender.digest:
        raise RemoteProtocolError("the award is of another tender", code="wrong_tender")
    devices = tuple(Device(device.name, device.gpu) for device in stored.devices)
    claim = Claim(tender.digest, tender.message.needs, devices, ClaimState.LEASED, expires_at=None)
    lease = LeaseTerms(tender.signer, tender, award, stored.bid, claim, use)
    return KeptLease(lease, UnixMs(stored.ends_unix_ms))
