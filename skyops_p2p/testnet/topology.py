"""Which nodes a test network has: the default mixture, or a topology file (TOML).

[network]
beat_s = 1.0                 # seconds between heartbeats

[[nodes]]
name = "gpu-eu"              # with count = 3: gpu-eu-1 … gpu-eu-3
gpus = ["A100:80"]
region = "eu"
"""

import tomllib
from itertools import islice
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from skyops_p2p.config.models import MisbehaviourName
from skyops_p2p.errors import TestnetError
from skyops_p2p.limits import (
    CHAIN_REORG_BLOCKS_MAX,
    PROBE_SLOT_MS,
    PROBE_WATCH_SLOTS,
    RECORD_GPUS_MAX,
    RECORD_LABELS_MAX,
    TESTNET_NODES_MAX,
)

BEAT_S_DEFAULT = 2.0
"""Much faster than in a real network, so that a death shows within seconds."""
BEATS_A_SECOND_MAX = 5
"""All nodes of a network together, unless its topology says how often one beats: each beat is handled by every node,
and one machine carries them all."""
CHAIN_NAME = "chain"
"""What the embedded chain of a network is called where nodes are named."""
REDEEM_S_DEFAULT = 60.0
"""So that a worker's balance follows its work while somebody watches."""
_MIXTURE: tuple[tuple[tuple[str, ...], str, int], ...] = (
    (("A100:80",), "eu", 1_900_000),
    (("H100:80",), "us", 3_200_000),
    (("RTX4090:24",), "eu", 450_000),
    (("RTX3060:12",), "ap", 150_000),
    ((), "us", 40_000),
    (("RTX4090:24", "RTX4090:24"), "us", 880_000),
    (("A100:40",), "ap", 1_200_000),
    ((), "eu", 30_000),
)
"""(GPUs, region, microcredits an hour): repeated for larger networks."""


class NodePlan(BaseModel):
    """One node, or `count` nodes alike, of a topology file."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str = Field("", pattern=r"^([a-z0-9][a-z0-9-]{0,23})?$")
    """Name on the command line; "node-1", "node-2"… by default."""
    count: int = Field(1, ge=1, le=TESTNET_NODES_MAX)
    """So many nodes alike; their names get a number."""
    gpus: tuple[str, ...] = Field((), max_length=RECORD_GPUS_MAX)
    """Declared GPUs, "MODEL:VRAM in GiB"."""
    cpu_cores: int = Field(0, ge=0, le=4096)
    """Declared processor cores; 0: those of this machine."""
    region: str = Field("", pattern=r"^[a-z0-9-]{0,16}$")
    """Region code."""
    labels: tuple[str, ...] = Field((), max_length=RECORD_LABELS_MAX - 1)
    """Labels besides the node's name."""
    worker: bool = True
    """Whether it offers compute."""
    slots: int = Field(1, ge=1, le=256)
    """Jobs side by side."""
    misbehaves: MisbehaviourName = ""
    """Do wrong on purpose, to see it caught; the setting worker.misbehaves says how."""
    price_microcredits_per_hour: int = Field(1_000_000, ge=0, le=10**15)
    """Price hint."""
    delay_ms: int = Field(0, ge=0, le=60_000)
    """Slow from the start: see `skyops testnet slow`."""
    loss_permille: int = Field(0, ge=0, le=1000)
    """Lossy from the start."""


class NetworkPlan(BaseModel):
    """[network] of a topology file."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    beat_s: float = Field(BEAT_S_DEFAULT, ge=0.2, le=3600.0)
    """Seconds between heartbeats; where a file says nothing, more in a network of more than 10 nodes."""
    probe_slot_s: int = Field(PROBE_SLOT_MS // 1000, ge=2, le=PROBE_SLOT_MS // 1000)
    """Seconds in which witnesses ask each worker once; with less, availability shows within minutes."""
    probe_watch_slots: int = Field(PROBE_WATCH_SLOTS, ge=1, le=PROBE_WATCH_SLOTS)
    """Such slots for which the same witnesses are drawn, and after which they say what they saw."""
    private: bool = False
    """Give the network a pre-shared key."""
    chain: bool = True
    """Give the network an embedded chain with contracts, so that jobs are paid."""
    block_s: float = Field(0.0, ge=0.0, le=3600.0)
    """Seconds after which the chain makes a block though nobody sends anything; 0: never."""
    confirmations: int = Field(0, ge=0, le=CHAIN_REORG_BLOCKS_MAX)
    """Blocks that nodes want above a transaction's own: as deep as the chain may be reorganised."""

    redeem_s: float = Field(REDEEM_S_DEFAULT, ge=1.0, le=86_400.0)
    """Seconds between a worker's redemptions, unless it is asked."""

    @model_validator(mode="after")
    def _check_blocks_come(self) -> "NetworkPlan":
        if self.confirmations and not self.block_s:
            raise ValueError("confirmations need block_s: else no block comes that confirms")
        return self


class Topology(BaseModel):
    """What to start."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    network: NetworkPlan = NetworkPlan()
    nodes: tuple[NodePlan, ...] = Field(min_length=1, max_length=TESTNET_NODES_MAX)


def default_topology(count: int, *, has_chain: bool = True) -> Topology:
    """Return `count` workers of mixed GPU classes and regions, with or without a chain that jobs are paid on.

    Raises:
        TestnetError: `too_many_nodes`.
    """
    _check_count(count)
    plans = []
    for number in range(count):
        gpus, region, price = _MIXTURE[number % len(_MIXTURE)]
        plans.append(NodePlan(gpus=gpus, region=region, price_microcredits_per_hour=price))
    return expand(Topology(network=NetworkPlan(chain=has_chain), nodes=tuple(plans)))


def load_topology(path: Path, *, count: int | None = None) -> Topology:
    """Read a topology file; with `count`, repeat its nodes or take the first ones.

    Raises:
        TestnetError: `topology_unreadable`, `topology_invalid` or `too_many_nodes`.
    """
    try:
        fields = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TestnetError(f"cannot read {path}: {error.strerror}", code="topology_unreadable") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TestnetError(f"{path} is no TOML file: {error}", code="topology_unreadable") from error
    try:
        topology = expand(Topology.model_validate(fields))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise TestnetError(
            f"{path}: {place}: {first['msg']}",
            code="topology_invalid",
            hint="testnet/README.md describes topology files; testnet/topologies has examples.",
        ) from error
    if count is not None and count != len(topology.nodes):
        raise TestnetError(
            f"{path} describes {len(topology.nodes)} nodes, --nodes asks for {count}",
            code="topology_invalid",
            hint="Leave --nodes out, or change `count` in the file.",
        )
    return topology


def expand(topology: Topology) -> Topology:
    """Return the topology with every node by itself, under a name of its own.

    Raises:
        TestnetError: `too_many_nodes` or `topology_invalid` (two nodes of one name).
    """
    _check_count(sum(plan.count for plan in topology.nodes))
    plans: list[NodePlan] = []
    for plan in topology.nodes:
        for number in range(1, plan.count + 1):
            own = f"{plan.name}-{number}" if plan.name and plan.count > 1 else plan.name
            name = own or f"node-{len(plans) + 1}"
            plans.append(plan.model_copy(update={"name": name, "count": 1}))
    names = [plan.name for plan in plans]
    if CHAIN_NAME in names:
        raise TestnetError(f"no node can have the name {CHAIN_NAME!r}", code="topology_invalid")
    doubles = list(islice((name for name in names if names.count(name) > 1), 1))
    if doubles:
        raise TestnetError(f"two nodes have the name {doubles[0]!r}", code="topology_invalid")
    changes: dict[str, object] = {"nodes": tuple(plans)}
    if "beat_s" not in topology.network.model_fields_set:
        beat_s = max(BEAT_S_DEFAULT, len(plans) / BEATS_A_SECOND_MAX)
        changes["network"] = topology.network.model_copy(update={"beat_s": beat_s})
    return topology.model_copy(update=changes)


def _check_count(count: int) -> None:
    if not 1 <= count <= TESTNET_NODES_MAX:
        raise TestnetError(
            f"a local test network has 1 to {TESTNET_NODES_MAX} nodes, not {count}",
            code="too_many_nodes",
            hint="`skyops sim world --nodes 1000` simulates larger ones in one process.",
        )
