"""Queries over the node map by capability. Pure; speed is measured in bench/network."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from skyops_p2p.core.node_map import NodeEntry
from skyops_p2p.core.presence import NodeState
from skyops_p2p.wire.messages.peering import NodeRecord

SortKey = Literal["price", "vram", "seen", "rtt", "peer", "state"]

VRAM_KEYS_GB = (8, 12, 16, 24, 40, 80)
"""Sizes of one GPU's memory that have a key of their own; a node stands under each that it reaches."""

_STATE_ORDER = {
    state: order for order, state in enumerate(("active", "suspect", "pending", "inactive", "slashed"))
}


@dataclass(frozen=True, slots=True)
class NodeFilter:
    """Which nodes, in which order. Every condition that is set must hold."""

    gpu: str = ""
    """Part of a GPU model's name; case, spaces and dashes are ignored."""
    vram_mib: int = 0
    """At least this much on one GPU (the one that `gpu` matches)."""
    region: str = ""
    runtime: str = ""
    label: str = ""
    price_max: int | None = None
    """Microcredits an hour."""
    states: frozenset[NodeState] = frozenset()
    """Empty: all but SLASHED."""
    workers_only: bool = False
    sort: SortKey = "peer"
    limit: int = 200


def normalise_model(model: str) -> str:
    """Return a GPU model's name for comparison: "NVIDIA RTX 4090" and "rtx-4090" both contain "rtx4090"."""
    return "".join(character for character in model.lower() if character.isascii() and character.isalnum())


def select_nodes(entries: Iterable[NodeEntry], wanted: NodeFilter) -> list[NodeEntry]:
    """Return the entries that match, sorted, at most `limit`."""
    model = normalise_model(wanted.gpu)
    chosen = [entry for entry in entries if _matches(entry, wanted, model)]
    chosen.sort(key=lambda entry: _order(entry, wanted.sort))
    return chosen[: wanted.limit]


def model_names(model: str) -> tuple[str, ...]:
    """Return the short names under which a GPU model is looked for, each at most 24 characters.

    "NVIDIA GeForce RTX 4090" gives "4090" and "rtx4090"; "NVIDIA A100-SXM4-80GB" gives "a100" among others.
    """
    lowered = model.lower()
    words = "".join(c if c.isascii() and c.isalnum() else " " for c in lowered).split()
    names: list[str] = []
    for before, word in zip(["", *words], words, strict=False):
        if any(character.isdigit() for character in word):
            names.append(word[:24])
            if before.isalpha():
                names.append((before + word)[:24])
    return tuple(dict.fromkeys(names)) or (normalise_model(model)[:24],)


def wanted_keys(wanted: "NodeFilter") -> tuple[str, ...]:
    """Return the DHT keys under which nodes for a query may be found, the most telling first. Rules: PER-14."""
    keys = [f"gpu:{normalise_model(wanted.gpu)[:24]}"] if wanted.gpu else []
    fitting = [size for size in VRAM_KEYS_GB if size * 1000 <= wanted.vram_mib]
    keys += [f"vram:{fitting[-1]}"] if fitting else []
    keys += [f"runtime:{wanted.runtime}"] if wanted.runtime else []
    keys += [f"region:{wanted.region}"] if wanted.region else []
    return tuple(keys) or ("worker" if wanted.workers_only else "node",)


def vram_mib_max(record: NodeRecord | None) -> int:
    """Return the largest GPU's memory, 0 without one."""
    return max((gpu.vram_mib for gpu in record.hardware.gpus), default=0) if record else 0


def capability_keys(record: NodeRecord) -> tuple[str, ...]:
    """Return the short DHT provider keys that lead to a node, at most 50 bytes each. Rules: PER-14."""
    keys = ["node"]
    if record.is_worker:
        keys.append("worker")
        keys += [f"gpu:{name}" for gpu in record.hardware.gpus for name in model_names(gpu.model) if name]
        keys += [f"vram:{size}" for size in VRAM_KEYS_GB if vram_mib_max(record) >= size * 1000]
        keys += [f"runtime:{runtime.name}" for runtime in record.runtimes]
        keys += [f"region:{record.region}"] if record.region else []
    return tuple(dict.fromkeys(keys))


def _matches(entry: NodeEntry, wanted: NodeFilter, model: str) -> bool:
    state = entry.presence.state
    if state not in wanted.states if wanted.states else state is NodeState.SLASHED:
        return False
    record = entry.record
    if record is None:
        is_asked = model or wanted.vram_mib or wanted.region or wanted.runtime or wanted.label
        return not is_asked and wanted.price_max is None and not wanted.workers_only
    if wanted.workers_only and not record.is_worker:
        return False
    if wanted.region and record.region != wanted.region:
        return False
    if wanted.price_max is not None and entry.price > wanted.price_max:
        return False
    if wanted.runtime and all(runtime.name != wanted.runtime for runtime in record.runtimes):
        return False
    if wanted.label and wanted.label not in record.labels:
        return False
    return not (model or wanted.vram_mib) or any(
        model in normalise_model(gpu.model) and gpu.vram_mib >= wanted.vram_mib
        for gpu in record.hardware.gpus
    )


def _order(entry: NodeEntry, sort: SortKey) -> tuple[float, str]:
    match sort:
        case "price":
            value: float = entry.price
        case "vram":
            value = -vram_mib_max(entry.record)
        case "seen":
            value = -(entry.presence.seen_at or 0.0)
        case "rtt":
            value = entry.round_trip_s if entry.round_trip_s is not None else float("inf")
        case "state":
            value = _STATE_ORDER[entry.presence.state.value]
        case "peer":
            value = 0.0
    return (value, entry.peer)
