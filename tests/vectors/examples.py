"""One plain example of every message, by the people of the vectors."""

from skyops_p2p.core.auction.sealing import seal_bid
from skyops_p2p.core.binding import make_binding
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.crypto.node_key import peer_id_to_bytes
from skyops_p2p.types import PeerId
from skyops_p2p.wire.envelope import open_envelope, seal
from skyops_p2p.wire.messages import auction, handshake, identity, peering, proof, session
from skyops_p2p.wire.model import Message
from tests.vectors.content_cases import content_examples
from tests.vectors.evidence_cases import evidence_examples
from tests.vectors.execution_examples import execution_examples
from tests.vectors.people import ALICE, BOB, CAROL, DAY_MS, NOW, RULES
from tests.vectors.probe_cases import probe_examples
from tests.vectors.settlement_examples import settlement_examples
from tests.vectors.verification_examples import verification_examples


def raw(peer: PeerId) -> bytes:
    return peer_id_to_bytes(peer)


HARDWARE = peering.HardwarePart(
    source="declared",
    gpus=(peering.GpuPart(model="A100", vram_mib=81_920, compute_capability="8.0", uuid="GPU-0"),),
    driver="550.54.15",
    cuda="12.4",
    cpu_model="EPYC 7763",
    cpu_cores=64,
    memory_mib=524_288,
    disk_mib=2_000_000,
)
RUNTIMES = (peering.RuntimePart(name="wasm", version="wasmtime 27", limits="hard"),)


def node_record(sequence: int = 1, *, slots: int = 2, stake_ref: str | None = None) -> peering.NodeRecord:
    return peering.NodeRecord(
        peer=raw(BOB.node_key.peer_id),
        sequence=sequence,
        network=RULES.network,
        issued_unix_ms=NOW,
        expires_unix_ms=NOW + DAY_MS,
        addrs=("/ip4/127.0.0.1/tcp/4001", "/dns4/bob.example/tcp/4001"),
        agent="skyops/0.1.0",
        binding=BOB.binding,
        is_worker=True,
        hardware=HARDWARE,
        runtimes=RUNTIMES,
        region="eu",
        labels=("rack=7",),
        slots=slots,
        price_microcredits_per_hour=1_250_000,
        stake_ref=stake_ref,
    )


PRESENCE = peering.Presence(
    sequence=41,
    record_sequence=1,
    issued_unix_ms=NOW,
    interval_ms=30_000,
    slots_free=2,
    load_permille=125,
    price_microcredits_per_hour=1_250_000,
    is_leaving=False,
)
RECORD = seal(node_record(), BOB.node_key, RULES.network)
OTHER_RECORD = seal(node_record(slots=3), BOB.node_key, RULES.network)
BEAT = seal(PRESENCE, BOB.node_key, RULES.network)
MANIFEST = handshake.Manifest(
    agent="skyops/0.1.0",
    is_worker=True,
    hardware=HARDWARE,
    runtimes=RUNTIMES,
    modes=("priority", "flex"),
    tokens=("SKYOPS",),
    price_microcredits_per_hour=1_250_000,
    lifetime_s=3600,
)


NEEDS = auction.Needs(
    runtime="docker",
    gpu_models=("a100",),
    gpu_count=1,
    vram_mib=40_000,
    compute_capability="8.0",
    cpu_cores=4,
    memory_mib=16_384,
    disk_mib=20_000,
    regions=("eu",),
    labels=("rack=7",),
    latency_ms_max=100,
    needs_hard_limits=True,
)
BID = auction.Bid(
    price=1_200_000,
    devices=("GPU-0",),
    gpu_model="A100",
    vram_mib=81_920,
    speed_milli=6100,
    cached_permille=250,
    starts_in_ms=0,
    valid_until_unix_ms=NOW + 10_000,
)
TENDER = auction.Tender(
    requester=raw(ALICE.node_key.peer_id),
    network=RULES.network,
    job_id=bytes(range(16)),
    round=0,
    issued_unix_ms=NOW,
    expires_unix_ms=NOW + 10_000,
    spec_digest=bytes([4] * 32),
    needs=NEEDS,
    mode="priority",
    duration_s_max=3600,
    price_max=2_000_000,
    price_floor=500_000,
    token="SKYOPS",
    weights=auction.Weights(price=400_000, reputation=300_000, fit=200_000, latency=100_000),
    policy="composite",
    commit_ms=1500,
    reveal_ms=1000,
    input_bytes=10**9,
    reputation_min=400_000,
    allow=(),
    deny=(),
    invite_share=2**32,
    seed_digest=sha256(bytes([5] * 32)),
    tier_mib=0,
    speed_milli_min=500,
    window_awards=100,
    window_stake=1000,
)


def auction_examples() -> list[Message]:
    bob = raw(BOB.node_key.peer_id)
    tender = seal(TENDER, ALICE.node_key, RULES.network)
    commit, reveal = seal_bid(sha256(tender), bob, BID, bytes([6] * 32), record_sequence=1)
    decline = auction.Decline(tender=sha256(tender), code="vram")
    commit_set = auction.CommitSet(
        tender=sha256(tender), root=bytes([7] * 32), count=1, closed_unix_ms=NOW + 500
    )
    score = auction.Score(bidder=bob, price=1, reputation=2, fit=3, latency=4, hoarding=5, total=-450_000)
    seen = auction.Observation(
        bidder=bob, round_trip_ms=20, transfer_ms=0, reputation=500_000, stake_weight=10, recent_awards=1,
        record=RECORD, throughput=312_000,
    )  # fmt: skip
    return [
        TENDER,
        commit,
        decline,
        auction.CommitAck(commit=bytes([8] * 32)),
        commit_set,
        reveal,
        auction.RevealRequest(
            commit_set=seal(commit_set, ALICE.node_key, RULES.network), digests=(bytes([8] * 32),)
        ),
        auction.BidBook(
            tender=tender,
            declines=(seal(decline, CAROL.node_key, RULES.network),),
            commits=(seal(commit, BOB.node_key, RULES.network),),
            commit_set=seal(commit_set, ALICE.node_key, RULES.network),
            reveals=(reveal,),
            observations=(seen,),
            exclusions=(auction.Exclusion(bidder=bob, codes=("reputation",)),),
            scores=(score,),
            ranking=(bob,),
            proof=b"",
            closed_unix_ms=NOW + 900,
            seed=bytes([5] * 32),
        ),
        auction.Award(
            tender=sha256(tender), book=bytes([9] * 32), winner=bob, rank=0, price=1_200_000,
            expires_unix_ms=NOW + 2000,
        ),
        auction.Confirm(award=bytes([10] * 32), is_accepted=True, code="accepted"),
        auction.Release(tender=sha256(tender), code="not_chosen", book=bytes([9] * 32)),
        auction.BookRequest(book=bytes([9] * 32)),
        auction.Received(),
        *proof_examples(),
    ]  # fmt: skip


def proof_examples() -> list[Message]:
    block = proof.ProofBlockPart(index=7, block=bytes([14] * 32), path=(bytes([15] * 32),) * 5)
    row = proof.ProofRowPart(
        index=3, start=bytes(range(8)), products=bytes(range(64)),
        start_path=(bytes([12] * 32),) * 4, end_path=(bytes([13] * 32),) * 4,
    )  # fmt: skip
    return [
        proof.ProofChallenge(beacon=bytes([11] * 32), size=8, checkpoints=1, stride=2, lanes=4, rows=8),
        proof.ProofRoot(root=bytes([11] * 32), memory=bytes([12] * 32), answer=RECORD),
        proof.ProofAnswer(
            network=RULES.network, asker=raw(ALICE.node_key.peer_id), challenge=bytes([11] * 32), root=bytes([12] * 32),
            memory=bytes([13] * 32), hardware=bytes([14] * 32), devices=("GPU-0",),
        ),
        proof.ProofAttestation(
            network=RULES.network, challenge=bytes(64), sent_unix_ms=NOW, elapsed_ms=250, answer=RECORD,
            secret=bytes([13] * 32), rows=(row,),
        ),
        proof.AttestationRequest(worker=raw(BOB.node_key.peer_id)),
        proof.OpeningRequest(root=bytes([11] * 32), secret=bytes([13] * 32), rows=16, places=8, first=2),
        proof.Openings(rows=(row,), places=(proof.ProofPlacePart(block=block, before=block, pointed=block),)),
    ]  # fmt: skip


def examples() -> list[Message]:
    """Return one message of every kind; the numbers inside need not make sense together."""
    binding = make_binding(ALICE.node_key, ALICE.wallet, RULES, issued=NOW, lifetime_ms=DAY_MS)
    return [
        open_envelope(binding, identity.Binding, RULES.network).message,
        node_record(),
        PRESENCE,
        peering.EquivocationProof(kind="node-record", first=RECORD, second=OTHER_RECORD),
        peering.Ping(nonce=b"8 bytes!"),
        peering.Pong(nonce=b"8 bytes!", record_sequence=1, unix_ms=NOW),
        peering.ProbeRequest(target=raw(BOB.node_key.peer_id)),
        peering.ProbeReply(is_alive=True),
        peering.RecordRequest(peer=raw(BOB.node_key.peer_id)),
        peering.RecordReply(record=RECORD, presence=BEAT),
        peering.MapSyncRequest(digests=bytes(512), after=b""),
        peering.MapSyncReply(records=(RECORD,), is_complete=True, beats=(BEAT,)),
        peering.PeersRequest(count_max=32),
        peering.PeersReply(
            peers=(peering.PeerPart(peer=raw(BOB.node_key.peer_id), addrs=("/ip4/127.0.0.1/tcp/4001",)),)
        ),
        handshake.Hello(
            versions=(1,),
            responder=raw(BOB.node_key.peer_id),
            nonce=bytes([1] * 32),
            ephemeral=bytes([2] * 32),
            issued_unix_ms=NOW,
            binding=ALICE.binding,
        ),
        handshake.Accept(
            version=1,
            versions=(1,),
            nonce=bytes([3] * 32),
            ephemeral=bytes([4] * 32),
            binding=BOB.binding,
            node_signature=bytes(64),
            wallet_signature=bytes(65),
        ),
        handshake.Confirm(node_signature=bytes(64), wallet_signature=bytes(65), manifest=bytes(17)),
        handshake.Established(manifest=bytes(17)),
        handshake.Refusal(code="replayed"),
        MANIFEST,
        session.Data(body=b"bytes of the application"),
        session.Rekey(),
        session.Close(code="done"),
        *auction_examples(),
        *execution_examples(),
        *content_examples(),
        *settlement_examples(),
        *evidence_examples(),
        *verification_examples(),
        *probe_examples(),
    ]
