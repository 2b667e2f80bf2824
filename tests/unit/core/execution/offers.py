"""What alice offers and bob has won: a job, the terms of its award, and her LeaseOpen."""

from typing import Any

from skyops_p2p.core.auction.capacity import Claim, ClaimState
from skyops_p2p.core.auction.leases import LeaseTerms
from skyops_p2p.core.jobs.encoding import encode_spec, spec_digest
from skyops_p2p.core.jobs.needs import needs_of
from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.crypto.node_key import peer_id_to_bytes
from skyops_p2p.wire.envelope import open_envelope, seal
from skyops_p2p.wire.messages.auction import Award
from skyops_p2p.wire.messages.execution import InputPart, LeaseOpen, SecretPart
from tests.unit.core.auction.market import signed_tender
from tests.unit.core.jobs.examples import spec
from tests.unit.core.people import ALICE, BOB, NOW, RULES
from tests.vectors.examples import BID
from tests.vectors.execution_examples import bundle, lease_open

SECRET = SecretPart(name="API_KEY", value=b"hush")


def job(**changes: Any) -> JobSpec:
    fields = {
        "shards": 8,
        "inputs": [{"path": "/data", "uri": "file:data"}],
        "secrets": ["API_KEY"],
    }
    return spec(**fields | changes)


def terms_of(wanted: JobSpec, **tender: Any) -> LeaseTerms:
    """Return what bob won from alice."""
    fields = {
        "requester": peer_id_to_bytes(ALICE.peer),
        "spec_digest": spec_digest(wanted),
        "needs": needs_of(wanted),
        "mode": wanted.mode.kind,
        "duration_s_max": wanted.timeouts.execution,
    }
    signed = signed_tender(ALICE, **fields | tender)
    award = Award(
        tender=signed.digest,
        book=bytes(32),
        winner=peer_id_to_bytes(BOB.peer),
        rank=0,
        price=1,
        expires_unix_ms=NOW,
    )
    sealed = open_envelope(seal(award, ALICE.node_key, RULES.network), Award, RULES.network)
    claim = Claim(signed.digest, needs_of(wanted), (), ClaimState.LEASED, None)
    return LeaseTerms(ALICE.peer, signed, sealed, BID, claim)


def request_for(wanted: JobSpec, **changes: Any) -> LeaseOpen:
    """Return the LeaseOpen that fits a job, but for the changes."""
    fields = {
        "spec": encode_spec(wanted),
        "inputs": (InputPart(path="/data", bundle=bundle(7), is_file=False),),
        "secrets": (SECRET,),
        "holders": (),
    }
    return lease_open(**fields | changes)
