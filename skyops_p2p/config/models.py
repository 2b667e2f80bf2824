"""One frozen NodeConfig: every setting with its unit, default, bounds and meaning.

The docstring below each field is what people read: in the config file that `skyops init` writes, in
`skyops config check`, and in docs/configuration.md. Nothing here opens a file, a socket or a key.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from skyops_p2p import limits
from skyops_p2p.config.addresses import (
    check_account,
    check_amount,
    check_announce,
    check_bootstrap,
    check_chain_url,
    check_declared_gpu,
    check_listen,
    check_peer,
    check_signer_url,
    check_token,
    is_loopback,
)


def _each(check: Callable[[str], str]) -> AfterValidator:
    """Apply a check to every entry of a list of texts; all wrong entries are named at once."""

    def check_all(texts: tuple[str, ...]) -> tuple[str, ...]:
        wrong = []
        for text in texts:
            try:
                check(text)
            except ValueError as error:
                wrong.append(str(error))
        if wrong:
            raise ValueError("; ".join(wrong))
        return texts

    return AfterValidator(check_all)


def _refuse(setting: str, reason: str) -> PydanticCustomError:
    """Return the error of a rule that spans several settings; `setting` is the one to blame, dotted."""
    return PydanticCustomError("setting_refused", "{reason}", {"setting": setting, "reason": reason})


ListenAddrs = Annotated[tuple[str, ...], _each(check_listen)]
AnnounceAddrs = Annotated[tuple[str, ...], _each(check_announce)]
BootstrapAddrs = Annotated[tuple[str, ...], _each(check_bootstrap)]
DeclaredGpus = Annotated[tuple[str, ...], _each(check_declared_gpu)]
PeerIds = Annotated[tuple[str, ...], _each(check_peer)]
ChainUrls = Annotated[tuple[str, ...], _each(check_chain_url)]
SignerUrl = Annotated[str, AfterValidator(check_signer_url)]
Tokens = Annotated[tuple[str, ...], _each(check_token)]
Account = Annotated[str, AfterValidator(check_account)]
Amount = Annotated[str, AfterValidator(check_amount)]
JobMode = Literal["priority", "commit", "flex"]
"""The modes of tenders; written again here, for the wire's models take long to import. A test compares."""
MisbehaviourName = Literal[
    "",
    "wrong-result",
    "wrong-alike",
    "wrong-training",
    "wrong-at-times",
    "copied-commit",
    "hidden-result",
    "fast-meter",
    "two-histories",
    "fake-receipts",
]
"""Ways to do wrong on purpose, on test networks."""


class Section(BaseModel):
    """A table of the config file: frozen, unknown keys refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class NetworkSection(Section):
    """[network]: which market, where to listen, whom to ask first."""

    name: str = Field("skyops", pattern=r"^[a-z0-9][a-z0-9-]{0,23}$")
    """Name of the market. Nodes of different networks never talk to each other."""
    chain_id: int = Field(31337, ge=1, le=2**53)
    """EVM chain that wallets and bindings of this network belong to."""
    listen: ListenAddrs = Field(("/ip4/0.0.0.0/tcp/4711",), min_length=1, max_length=8, strict=False)
    """Multiaddrs to listen on; tcp port 0 picks a free one."""
    announce: AnnounceAddrs = Field((), max_length=limits.RECORD_ADDRS_MAX, strict=False)
    """Multiaddrs to tell others instead of the listening ones (behind NAT or a proxy)."""
    bootstrap: BootstrapAddrs = Field((), max_length=64, strict=False)
    """Multiaddrs with /p2p/<peer id> of peers to join through."""
    reach_through: BootstrapAddrs = Field((), max_length=4, strict=False)
    """Relays, as multiaddrs with /p2p/<peer id>, that keep this node reachable behind NAT; needs `relay`."""
    mdns: bool = False
    """Find peers of the same network on the local network."""
    psk_file: Path | None = Field(None, strict=False)
    """File with 64 hex digits: a private network that others cannot even speak to."""
    peers_target: int = Field(limits.PEERS_TARGET, ge=1, le=64)
    """Connections to seek."""
    connections_max: int = Field(limits.CONNECTIONS_MAX, ge=4, le=4096)
    """Connections to hold at most."""
    probe_slot_s: int = Field(limits.PROBE_SLOT_MS // 1000, ge=2, le=limits.PROBE_SLOT_MS // 1000)
    """Seconds in which witnesses ask each worker once; all nodes of a network must agree, and only test networks may
    have less."""
    probe_watch_slots: int = Field(limits.PROBE_WATCH_SLOTS, ge=1, le=limits.PROBE_WATCH_SLOTS)
    """Such slots for which the same witnesses are drawn, and after which they say what they saw; as `probe_slot_s`."""
    relay: bool = False
    """Relay traffic for peers that cannot be dialled (circuit relay v2)."""


class PresenceSection(Section):
    """[presence]: how often this node says that it is there."""

    beat_s: float = Field(30.0, ge=0.2, le=3600.0)
    """Seconds between heartbeats while nothing changes; grows with the number of nodes."""
    missed_beats: int = Field(3, ge=2, le=20)
    """Beats that may be missed before a node is suspected."""
    probe_timeout_s: float = Field(2.0, ge=0.1, le=60.0)
    """Seconds to wait for a suspect's answer, and for the witnesses' answers."""
    inactive_expiry_s: float = Field(86_400.0, ge=1.0, le=31_536_000.0)
    """Seconds after which an INACTIVE node leaves the map."""


class WorkerSection(Section):
    """[worker]: what is sold, and where."""

    enabled: bool = False
    """Offer this machine's compute."""
    region: str = Field("", pattern=r"^[a-z0-9-]{0,16}$")
    """Region code that jobs can ask for, e.g. "eu"."""
    labels: tuple[str, ...] = Field((), max_length=limits.RECORD_LABELS_MAX, strict=False)
    """Free labels, "key=value"."""
    price_microcredits_per_hour: int = Field(1_000_000, ge=0, le=10**15)
    """Price of an hour of the best GPU (without a GPU: of the machine) while it is idle, in millionths of a credit:
    what the map shows, and bids are made from."""
    leave_grace_s: float = Field(20.0, ge=0.0, le=3600.0)
    """Seconds that running jobs get to save a checkpoint when this node is shut down; they go on elsewhere."""
    pricing: str = Field("default", pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    """Price strategy of bids: "default", or the name of a plug-in (entry point group `skyops.pricing`)."""
    modes: tuple[JobMode, ...] = Field(
        get_args(JobMode), min_length=1, max_length=limits.MANIFEST_WORDS_MAX, strict=False
    )
    """Modes of jobs to bid for; tenders of other modes are declined."""
    tokens: Tokens = Field((), max_length=limits.MANIFEST_WORDS_MAX, strict=False)
    """Symbols of the tokens to be paid in, e.g. "SKYOPS"; empty: any."""
    duration_s_max: int = Field(0, ge=0, le=31_536_000)
    """Longest execution time-out of a job, in seconds, to bid for; shards of one job that follow each other without an
    auction count together. 0: any."""
    requester_reputation_min: int = Field(0, ge=0, le=1000)
    """Bid only for requesters with at least this score, 0 to 1000, as this node sees it; never if banned."""
    refused_requesters: PeerIds = Field((), max_length=limits.WORKER_REFUSED_MAX, strict=False)
    """Peer ids of requesters not to work for."""
    audit_awards: bool = True
    """Fetch the bid book of each award that this worker won or lost, and audit it; a cheat is kept as a proof."""
    slots: int = Field(1, ge=1, le=256)
    """Jobs to run side by side."""
    docker_images_gib: int = Field(limits.DOCKER_IMAGES_GIB, ge=1, le=2**16)
    """GiB of images that this node may bring into the container engine; the least recently used goes first. Images that
    were there before are never removed."""
    declared_gpus: DeclaredGpus = Field((), max_length=limits.RECORD_GPUS_MAX, strict=False)
    """Test networks only: GPUs to pretend to have, "A100:80" (model:VRAM in GiB). Marked in the record."""
    declared_cpu_cores: int = Field(0, ge=0, le=4096)
    """Test networks only: processor cores to pretend to have; 0: those of this machine. Marked in the record."""
    misbehaves: MisbehaviourName = ""
    """Test networks only: do wrong on purpose, to see it caught. "wrong-result": change what programs leave behind;
    "wrong-alike": and all who do so alike; "wrong-training": and checkpoints of a chain, from the third on;
    "wrong-at-times": in one job of three; "copied-commit": do not compute, and commit to what another has committed to;
    "hidden-result": commit to a result and never show it; "fast-meter": meter half as much again; "two-histories": sign
    two receipts for one place of its chain; "fake-receipts": compute well for who asks for nobody else, and not for
    others."""


class ContentSection(Section):
    """[content]: inputs, outputs and checkpoints, encrypted, on this machine."""

    quota_mib: int = Field(limits.CONTENT_QUOTA_MIB, ge=64, le=2**30)
    """MiB of encrypted blocks that are kept; what nobody needs goes first."""
    replica_mib: int = Field(limits.CONTENT_REPLICA_MIB, ge=0, le=2**30)
    """MiB of other nodes' checkpoints that are kept for each of them; 0 keeps none."""
    serve_rate_mib: int = Field(limits.CONTENT_SERVE_BYTES_PER_S >> 20, ge=1, le=2**20)
    """MiB a second that are sent to one peer."""
    channel_port: int = Field(0, ge=0, le=65_535)
    """TCP port of direct data channels; 0 picks a free one. Behind NAT a forwarded port makes transfers faster."""
    ipfs_peers: BootstrapAddrs = Field((), max_length=16, strict=False)
    """Multiaddrs with /p2p/<peer id> of IPFS nodes that are asked for `ipfs://` inputs, such as a local Kubo."""
    has_channels: bool = True
    """Offer direct data channels; without them blocks travel over libp2p, which is slower."""


class ChainSection(Section):
    """[chain]: where deposits, vouchers and stake are; network.chain_id says which."""

    endpoints: ChainUrls = Field((), max_length=limits.CHAIN_ENDPOINTS_MAX, strict=False)
    """JSON-RPC URLs in the order of preference; empty: the embedded chain of this user, if it runs."""
    confirmations: int = Field(5, ge=0, le=limits.CHAIN_REORG_BLOCKS_MAX)
    """Blocks above its own that make a transaction or event final; 0 for the embedded chain, which makes a block only
    when there is a transaction."""
    poll_s: float = Field(2.0, ge=0.02, le=600.0)
    """Seconds between looks at the chain while something is waited for."""
    timeout_s: float = Field(limits.CHAIN_REQUEST_TIMEOUT_S, ge=0.1, le=120.0)
    """Seconds for one answer of one endpoint; then the next is asked."""
    fee_gwei_max: float = Field(200.0, gt=0.0, le=1_000_000.0)
    """Most that one gas may cost, in 1e-9 of the chain's coin; transactions wait rather than pay more."""
    signer: SignerUrl = ""
    """JSON-RPC URL of a program that signs the transactions and permits of this wallet, such as web3signer or clef;
    https, or http on this machine. Empty: the key of the data directory signs, as it does all else."""


class PaymentSection(Section):
    """[payment]: how jobs are paid; needs a chain. Without `directory` jobs cost nothing, and the node says so."""

    directory: Account = ""
    """Address of the network's Directory contract, "0x…", which leads to all others; empty: nothing is paid here."""
    allotment_h: float = Field(1.0, ge=0.0, le=720.0)
    """Requester: hours of a job's price that are set aside on chain for its worker alone, and topped up; 0 sets nothing
    aside, and workers count on what is shared only as far as they like."""
    unsecured_max: Amount = "1 SKYOPS"
    """Worker: what it computes for a requester at most on money that is not set aside for it."""
    worker_stake_min: Amount = "0 SKYOPS"
    """Requester: what a worker's wallet must have at stake to get a job of this node; 0 asks for none."""
    redeem_interval_s: float = Field(86_400.0, ge=1.0, le=604_800.0)
    """Worker: seconds after which vouchers are redeemed at the latest, if that brings more than it costs."""
    redeem_cost_bps_max: int = Field(1000, ge=1, le=10_000)
    """Worker: most that a redemption may cost of what it brings, in hundredths of a percent; not asked when money
    would leave."""
    witness: bool = True
    """Ask workers whether they are there when this wallet is drawn for it, and sign what came of it; needs a stake, and
    costs some hundred small messages an hour. Without, this node is asked and counted all the same."""
    show_double_histories: bool = True
    """Show a wallet that has signed two histories of receipts to the contract, which slashes its stake; costs gas."""


class ApiSection(Section):
    """[api]: the local control API that the command line talks to."""

    enabled: bool = True
    """Serve the control API."""
    host: str = "127.0.0.1"
    """Address to bind; anything but loopback needs `allow_remote`."""
    port: int = Field(0, ge=0, le=65_535)
    """Port; 0 picks a free one, written to the run file in the data directory."""
    allow_remote: bool = False
    """Permit a non-loopback address."""

    @model_validator(mode="after")
    def _check_host(self) -> Self:
        if not self.allow_remote and not is_loopback(self.host):
            raise _refuse(
                "api.host",
                f"{self.host!r} is open to other machines; set api.allow_remote = true if that is meant",
            )
        return self


class LogSection(Section):
    """[log]: what is told while running."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe line to print."""
    format: Literal["text", "json"] = "text"
    """One line of text, or one JSON object, for each event."""


class NodeConfig(Section):
    """All settings of one node."""

    data_dir: Path = Field(Path(), strict=False)
    """Directory with the keys, the store and the run file. Set by --data-dir or SKYOPS_DATA_DIR only."""
    network: NetworkSection = NetworkSection()
    presence: PresenceSection = PresenceSection()
    worker: WorkerSection = WorkerSection()
    content: ContentSection = ContentSection()
    chain: ChainSection = ChainSection()
    payment: PaymentSection = PaymentSection()
    api: ApiSection = ApiSection()
    log: LogSection = LogSection()
    is_testnet: bool = False
    """This network is a test network: declared hardware is admitted, and nothing is worth money."""

    @model_validator(mode="after")
    def _check_declared_hardware(self) -> Self:
        for name in ("declared_gpus", "declared_cpu_cores"):
            if getattr(self.worker, name) and not self.is_testnet:
                raise _refuse(
                    f"worker.{name}",
                    "declared hardware is admitted on test networks only (is_testnet = true)",
                )
        for name in ("probe_slot_s", "probe_watch_slots"):
            is_usual = getattr(self.network, name) == NetworkSection.model_fields[name].default
            if not is_usual and not self.is_testnet:
                raise _refuse(
                    f"network.{name}", "only test networks may shorten slots and watches (is_testnet = true)"
                )
        if self.worker.misbehaves and not self.is_testnet:
            raise _refuse(
                "worker.misbehaves", "a worker may do wrong on test networks only (is_testnet = true)"
            )
        return self
