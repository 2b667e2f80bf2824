"""One plain example of every message, by the people of the vectors."""

from skyops_p2p.core.binding import make_binding
from skyops_p2p.crypto.node_key import peer_id_to_bytes
from skyops_p2p.types import PeerId
from skyops_p2p.wire.envelope import open_envelope, seal
from skyops_p2p.wire.messages import handshake, identity, peering, session
from skyops_p2p.wire.model import Message
from tests.vectors.people import ALICE, BOB, DAY_MS, NOW, RULES


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
    ]
