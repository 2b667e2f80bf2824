"""Peering messages: records, presence, requests of the `node` protocol. Spec: protocol/03-peering.md."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from skyops_p2p import limits
from skyops_p2p.wire.messages.identity import NetworkText
from skyops_p2p.wire.model import Count, Instant, Message, N, Name, Part, PeerBytes

AddrText = Annotated[str, Field(min_length=1, max_length=128)]
EnvelopeBytes = Annotated[bytes, Field(min_length=1, max_length=limits.NODE_RECORD_BYTES_MAX)]
Label = Annotated[str, Field(min_length=1, max_length=64)]


class BenchmarkPart(Part):
    """What a node has measured of one of its processors, or of a GPU."""

    mflops: Annotated[int, Field(ge=1, le=10**12), N(1)]
    """10^6 operations a second of dense products: in 16-bit floats on a GPU, in 32-bit ones on a processor."""
    mb_per_s: Annotated[int, Field(ge=1, le=10**9), N(2)]
    """10^6 bytes that its memory reads and writes in a second, both counted."""


class GpuPart(Part):
    """One GPU of a node."""

    model: Annotated[Name, N(1)]
    vram_mib: Annotated[int, Field(ge=0, le=2**24), N(2)]
    compute_capability: Annotated[str, Field(max_length=8), N(3)]
    uuid: Annotated[Name, N(4)]
    benchmark: Annotated[BenchmarkPart | None, N(5)] = None
    """Absent: nothing was measured, and its class index is the table's."""


class RuntimePart(Part):
    """One runtime that a node can start."""

    name: Annotated[Literal["wasm", "docker", "native"], N(1)]
    version: Annotated[str, Field(max_length=32), N(2)]
    limits: Annotated[Literal["hard", "soft"], N(3)]


class HardwarePart(Part):
    """A machine, as probed or (on test networks) as declared."""

    source: Annotated[Literal["nvml", "declared", "none"], N(1)]
    gpus: Annotated[tuple[GpuPart, ...], Field(max_length=limits.RECORD_GPUS_MAX), N(2)]
    driver: Annotated[str, Field(max_length=32), N(3)]
    cuda: Annotated[str, Field(max_length=16), N(4)]
    cpu_model: Annotated[Name, N(5)]
    cpu_cores: Annotated[int, Field(ge=1, le=4096), N(6)]
    memory_mib: Annotated[int, Field(ge=0, le=2**30), N(7)]
    disk_mib: Annotated[int, Field(ge=0, le=2**40), N(8)]
    benchmark: Annotated[BenchmarkPart | None, N(9)] = None
    """Of the processor, all cores together."""


class NodeRecord(Message):
    """Who a node is, where it can be reached and what it has; enveloped by its node key."""

    number: ClassVar[int] = 2
    name: ClassVar[str] = "node-record"

    peer: Annotated[PeerBytes, N(1)]
    """Must be the envelope's signer."""
    sequence: Annotated[Count, N(2)]
    """Rises with every change; the issue instant in Unix ms unless the clock went back."""
    network: Annotated[NetworkText, N(3)]
    issued_unix_ms: Annotated[Instant, N(4)]
    expires_unix_ms: Annotated[Instant, N(5)]
    addrs: Annotated[tuple[AddrText, ...], Field(max_length=limits.RECORD_ADDRS_MAX), N(6)]
    """Multiaddrs without /p2p."""
    agent: Annotated[Name, N(7)]
    """Software and version, "skyops/0.1.0"."""
    binding: Annotated[bytes, Field(min_length=1, max_length=1024), N(8)]
    """The enveloped Binding."""
    is_worker: Annotated[bool, N(9)]
    hardware: Annotated[HardwarePart, N(10)]
    runtimes: Annotated[tuple[RuntimePart, ...], Field(max_length=limits.RECORD_RUNTIMES_MAX), N(11)]
    region: Annotated[str, Field(pattern=r"^[a-z0-9-]{0,16}$"), N(12)]
    labels: Annotated[tuple[Label, ...], Field(max_length=limits.RECORD_LABELS_MAX), N(13)]
    slots: Annotated[int, Field(ge=0, le=256), N(14)]
    """Jobs that run side by side when all is idle."""
    price_microcredits_per_hour: Annotated[Count, N(15)]
    """Price hint; bids say the price."""
    stake_ref: Annotated[Name | None, N(16)] = None
    """Where the stake stands on chain; absent where the network asks for none."""


class Presence(Message):
    """A heartbeat: gossiped when a value changed, else slowly; enveloped by the node key."""

    number: ClassVar[int] = 3
    name: ClassVar[str] = "presence"

    sequence: Annotated[Count, N(1)]
    """Rises with every beat."""
    record_sequence: Annotated[Count, N(2)]
    """The newest node record; a receiver with an older one asks for it."""
    issued_unix_ms: Annotated[Instant, N(3)]
    interval_ms: Annotated[int, Field(ge=100, le=86_400_000), N(4)]
    """The next beat comes no later than this."""
    slots_free: Annotated[int, Field(ge=0, le=256), N(5)]
    load_permille: Annotated[int, Field(ge=0, le=1000), N(6)]
    price_microcredits_per_hour: Annotated[Count, N(7)]
    is_leaving: Annotated[bool, N(8)]
    """The node is shutting down on purpose."""


class EquivocationProof(Message):
    """Two envelopes of one signer and kind, one sequence number, different content; anyone may relay it."""

    number: ClassVar[int] = 4
    name: ClassVar[str] = "equivocation-proof"

    kind: Annotated[Literal["node-record"], N(1)]
    first: Annotated[EnvelopeBytes, N(2)]
    second: Annotated[EnvelopeBytes, N(3)]


# --- requests of the `node` protocol: the stream is authenticated, so they carry no signature ---------------
class Ping(Message):
    """Are you there?"""

    number: ClassVar[int] = 10
    name: ClassVar[str] = "ping"

    nonce: Annotated[bytes, Field(min_length=8, max_length=32), N(1)]


class Pong(Message):
    """Yes; the nonce comes back."""

    number: ClassVar[int] = 11
    name: ClassVar[str] = "pong"

    nonce: Annotated[bytes, Field(min_length=8, max_length=32), N(1)]
    record_sequence: Annotated[Count, N(2)]
    unix_ms: Annotated[Instant, N(3)]


class ProbeRequest(Message):
    """Please ping this peer for me (SWIM's ping-req)."""

    number: ClassVar[int] = 12
    name: ClassVar[str] = "probe-request"

    target: Annotated[PeerBytes, N(1)]


class ProbeReply(Message):
    """What the witness found."""

    number: ClassVar[int] = 13
    name: ClassVar[str] = "probe-reply"

    is_alive: Annotated[bool, N(1)]


class RecordRequest(Message):
    """Give me the newest record that you hold of this peer (yourself included)."""

    number: ClassVar[int] = 14
    name: ClassVar[str] = "record-request"

    peer: Annotated[PeerBytes, N(1)]


class RecordReply(Message):
    """The record and the last heartbeat, where held."""

    number: ClassVar[int] = 15
    name: ClassVar[str] = "record-reply"

    record: Annotated[EnvelopeBytes | None, N(1)] = None
    presence: Annotated[EnvelopeBytes | None, N(2)] = None


class MapSyncRequest(Message):
    """Send me what differs from these digests, from `after` on."""

    number: ClassVar[int] = 16
    name: ClassVar[str] = "map-sync-request"

    digests: Annotated[bytes, Field(min_length=512, max_length=512), N(1)]
    """64 buckets of 8 bytes: the XOR over the bucket of the first 8 bytes of SHA-256(peer id || sequence)."""
    after: Annotated[bytes, Field(max_length=42), N(2)]
    """Continue behind this peer id; empty at first."""


class MapSyncReply(Message):
    """Up to MAP_SYNC_ENTRIES_MAX records of the buckets that differ, in the order of peer ids."""

    number: ClassVar[int] = 17
    name: ClassVar[str] = "map-sync-reply"

    records: Annotated[tuple[EnvelopeBytes, ...], Field(max_length=limits.MAP_SYNC_ENTRIES_MAX), N(1)]
    is_complete: Annotated[bool, N(2)]
    beats: Annotated[tuple[EnvelopeBytes, ...], Field(max_length=limits.MAP_SYNC_ENTRIES_MAX), N(3)]
    """The newest heartbeats of those nodes, where held: a newcomer need not wait for the next ones."""


class PeersRequest(Message):
    """Which peers do you know that can be dialled?"""

    number: ClassVar[int] = 18
    name: ClassVar[str] = "peers-request"

    count_max: Annotated[int, Field(ge=1, le=limits.PEER_EXCHANGE_ADDRS_MAX), N(1)]


class PeerPart(Part):
    """A peer and its addresses."""

    peer: Annotated[PeerBytes, N(1)]
    addrs: Annotated[tuple[AddrText, ...], Field(max_length=limits.ADDRS_PER_PEER_MAX), N(2)]


class PeersReply(Message):
    """Some of them, drawn at random."""

    number: ClassVar[int] = 19
    name: ClassVar[str] = "peers-reply"

    peers: Annotated[tuple[PeerPart, ...], Field(max_length=limits.PEER_EXCHANGE_ADDRS_MAX), N(1)]
