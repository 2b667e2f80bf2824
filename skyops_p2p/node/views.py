"""What a node shows of itself: frozen models shared by the library, the control API and the command line."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

NodeStateName = Literal["pending", "active", "suspect", "inactive", "slashed"]
LinkStateName = Literal["known", "dialing", "connected", "backoff", "banned"]


class View(BaseModel):
    """A snapshot: frozen, serialisable, documented field by field."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class GpuView(View):
    """One GPU of a node."""

    model: str
    vram_mib: int
    compute_capability: str
    index_milli: int = 0
    """Class index, thousandths of the reference class."""
    is_measured: bool = False
    """Whether the index comes from the node's own benchmark; else it is a table's, and provisional."""


class StatusView(View):
    """This node in one screen."""

    peer_id: str
    wallet: str
    """EIP-55."""
    network: str
    agent: str
    is_worker: bool
    is_testnet: bool
    listen: tuple[str, ...]
    """Multiaddrs with /p2p, ready to be given to others."""
    connections: int
    map_counts: dict[str, int]
    """Nodes on the map by state, ourselves included."""
    sessions: int
    uptime_s: float
    gpus: tuple[GpuView, ...]
    hardware_source: str
    started_unix_ms: int
    warnings: tuple[str, ...]
    """Sentences for the operator, e.g. about a failed clock check."""


class PeerView(View):
    """One link to a peer."""

    peer_id: str
    state: LinkStateName
    is_outbound: bool
    addrs: tuple[str, ...]
    failures: int
    """Dials that failed in a row."""
    reason: str
    """Why the link is in this state, in words."""


class NodeView(View):
    """One node of the map."""

    peer_id: str
    wallet: str
    state: NodeStateName
    reason: str
    """Why it is in this state, in words."""
    is_self: bool
    is_worker: bool
    agent: str
    region: str
    labels: tuple[str, ...]
    addrs: tuple[str, ...]
    gpus: tuple[GpuView, ...]
    hardware_source: str
    """"nvml", "declared" or "none"."""
    cpu_model: str
    cpu_cores: int
    memory_mib: int
    disk_mib: int
    runtimes: tuple[str, ...]
    slots: int
    slots_free: int
    load_permille: int
    price_microcredits_per_hour: int
    sequence: int
    seen_s_ago: float | None
    """Seconds since the last sign of life; None if never in this run."""
    round_trip_ms: float | None
    """Measured by ourselves; None if never."""
    history: tuple[str, ...]
    """Recent state changes."""


class SessionView(View):
    """An authenticated, encrypted session with a peer."""

    session_id: str
    """Hex."""
    peer_id: str
    wallet: str
    is_initiator: bool
    version: int
    expires_in_s: float
    agent: str
    is_worker: bool
    gpus: tuple[GpuView, ...]
    runtimes: tuple[str, ...]
    modes: tuple[str, ...]
    """Job modes that it bids for; empty for none."""
    tokens: tuple[str, ...]
    """Tokens that it is paid in; empty for any."""
    took_ms: float
    """How long the handshake took."""


class ProofView(View):
    """What a worker has proven to compute."""

    peer_id: str
    throughput: int
    """10^6 operations a second."""
    is_new: bool
    """Proven just now; otherwise in the last day."""
    proven_unix_ms: int
    took_ms: int
    """From the challenge to its answer; 0 if it is not new."""
    size: int
    """Rows of its matrices; 0 if it is not new."""
    operations: int
    """Of the whole challenge; 0 if it is not new."""
    memory_bytes: int
    """Filled besides, and checked. Such a proof is not kept: the filling is in its time."""


class NodeEventView(View):
    """Something that happened, for live screens and `GET /events`."""

    kind: Literal["peer", "node", "session", "job", "payment", "note"]
    peer_id: str
    text: str
    """One readable sentence."""
    unix_ms: int


class MapQuery(View):
    """Which nodes of the map, in which order."""

    gpu: str = Field("", max_length=64)
    """Part of a GPU model's name, case ignored, spaces and dashes alike: "a100", "rtx 4090"."""
    vram_gib: float = Field(0.0, ge=0.0, le=65536.0)
    """At least this much on one GPU."""
    region: str = Field("", max_length=16)
    runtime: str = Field("", max_length=16)
    label: str = Field("", max_length=64)
    price_max: int | None = Field(None, ge=0)
    """Microcredits an hour."""
    states: tuple[NodeStateName, ...] = ()
    """Empty: all but slashed."""
    workers_only: bool = False
    sort: Literal["price", "vram", "seen", "rtt", "peer", "state"] = "peer"
    limit: int = Field(200, ge=1, le=20_000)
