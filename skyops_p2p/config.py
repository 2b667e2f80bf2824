"""One frozen NodeConfig: every setting with its unit, default and meaning.

Settings come from, later ones winning: defaults, the config file (TOML), the environment
(SKYOPS_<SECTION>_<NAME>), flags. `load_config` remembers where each value came from; nothing here opens a
socket or a key. The docs page docs/configuration.md is generated from this file.
"""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from skyops_p2p import limits
from skyops_p2p.errors import ConfigError

CONFIG_FILE_NAME = "config.toml"
ENVIRONMENT_PREFIX = "SKYOPS_"


class Section(BaseModel):
    """A table of the config file: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class NetworkSection(Section):
    """[network]: which market, where to listen, whom to ask first."""

    name: str = Field("skyops", pattern=r"^[a-z0-9][a-z0-9-]{0,23}$")
    """Name of the market. Nodes of different networks never talk to each other."""
    chain_id: int = Field(31337, ge=1, le=2**53)
    """EVM chain that wallets and bindings of this network belong to."""
    listen: tuple[str, ...] = Field(("/ip4/0.0.0.0/tcp/4711",), min_length=1, max_length=8, strict=False)
    """Multiaddrs to listen on; tcp port 0 picks a free one."""
    announce: tuple[str, ...] = Field((), max_length=limits.RECORD_ADDRS_MAX, strict=False)
    """Multiaddrs to tell others instead of the listening ones (behind NAT or a proxy)."""
    bootstrap: tuple[str, ...] = Field((), max_length=64, strict=False)
    """Multiaddrs with /p2p/<peer id> of peers to join through."""
    mdns: bool = False
    """Find peers of the same network on the local network."""
    psk_file: Path | None = Field(None, strict=False)
    """File with 64 hex digits: a private network that others cannot even speak to."""
    peers_target: int = Field(limits.PEERS_TARGET, ge=1, le=64)
    """Connections to seek."""
    connections_max: int = Field(limits.CONNECTIONS_MAX, ge=4, le=4096)
    """Connections to hold at most."""
    relay: bool = False
    """Relay traffic for peers that cannot be dialled (circuit relay v2)."""


class PresenceSection(Section):
    """[presence]: how often this node says that it is there."""

    beat_s: float = Field(30.0, ge=0.2, le=3600.0, strict=False)
    """Seconds between heartbeats while nothing changes; grows with the number of nodes."""
    missed_beats: int = Field(3, ge=2, le=20)
    """Beats that may be missed before a node is suspected."""
    probe_timeout_s: float = Field(2.0, ge=0.1, le=60.0, strict=False)
    """Seconds to wait for a suspect's answer, and for the witnesses' answers."""
    inactive_expiry_s: float = Field(86_400.0, ge=1.0, le=31_536_000.0, strict=False)
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
    """Price hint for one GPU hour (or one hour of the whole machine without a GPU), in millionths of a credit."""
    slots: int = Field(1, ge=1, le=256)
    """Jobs to run side by side."""
    declared_gpus: tuple[str, ...] = Field((), max_length=limits.RECORD_GPUS_MAX, strict=False)
    """Test networks only: GPUs to pretend to have, "A100:80" (model:VRAM in GiB). Marked in the record."""


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


class LogSection(Section):
    """[log]: what is told while running."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe line to print."""
    format: Literal["text", "json"] = "text"
    """One line of text, or one JSON object, for each event."""


class NodeConfig(Section):
    """All settings of one node."""

    data_dir: Path = Field(Path(), strict=False)
    """Directory with the keys, the store and the run file."""
    network: NetworkSection = NetworkSection()
    presence: PresenceSection = PresenceSection()
    worker: WorkerSection = WorkerSection()
    api: ApiSection = ApiSection()
    log: LogSection = LogSection()
    is_testnet: bool = False
    """This network is a test network: declared hardware is admitted, and nothing is worth money."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One effective setting and where its value came from."""

    name: str
    """Dotted, e.g. "network.listen"."""
    value: object
    source: str
    """"default", "<file>", "environment SKYOPS_…" or "flag"."""
