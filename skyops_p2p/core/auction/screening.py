"""Does a node fit a job? The one comparison of needs with a node record. Spec: protocol/04-auction.md, "Screening".

The requester screens candidates before it asks them, the worker screens itself before it bids, and an audit screens
each bidder of a book against the record in it; all three get the same codes.
"""

import functools
import math
from collections.abc import Collection

from skyops_p2p.core.node_filter import normalise_model
from skyops_p2p.core.node_map import NodeEntry
from skyops_p2p.core.presence import NodeState
from skyops_p2p.types import PeerId
from skyops_p2p.wire.messages.auction import Needs
from skyops_p2p.wire.messages.peering import GpuPart, NodeRecord

_ASKED = frozenset({NodeState.ACTIVE, NodeState.SUSPECT})
"""A suspect may have lost one heartbeat; it is asked, and its silence costs only its own answer."""
_NORMALISED_MAX = 4096
"""Model names whose normal form is remembered."""


def screen(
    needs: Needs, record: NodeRecord, *, round_trip_ms: int | None, slots_free: int | None
) -> tuple[str, ...]:
    """Return why a node does not fit: codes of SCREENING_CODES in their order; empty if it fits.

    Args:
        needs: What the job asks for.
        record: The node's verified record.
        round_trip_ms: As measured by the requester; None if unknown, which is not held against the node.
        slots_free: From the newest heartbeat; None if unknown, which is not held against the node.
    """
    if not record.is_worker:
        return ("not_a_worker",)
    hardware = record.hardware
    faults = {
        "cpu": hardware.cpu_cores < needs.cpu_cores,
        "memory": hardware.memory_mib < needs.memory_mib,
        "disk": hardware.disk_mib < needs.disk_mib,
        "region": bool(needs.regions) and record.region not in needs.regions,
        "label": not set(needs.labels).issubset(record.labels),
        "latency": bool(needs.latency_ms_max) and (round_trip_ms or 0) > needs.latency_ms_max,
        "slots_busy": slots_free is not None and slots_free <= 0,
    }
    runtime, gpu = _runtime_codes(needs, record), gpu_codes(needs, hardware.gpus)
    return (*runtime, *gpu, *[code for code, is_fault in faults.items() if is_fault])


def screen_candidate(
    needs: Needs, entry: NodeEntry, *, allow: Collection[PeerId], deny: Collection[PeerId], price_max: int
) -> tuple[str, ...]:
    """Return why a requester does not ask a node of its map: POLICY_CODES, then SCREENING_CODES; empty: it does.

    Args:
        needs: What the job asks for.
        entry: The node as the map has it.
        allow: If not empty, nobody else is asked.
        deny: Never asked.
        price_max: Ceiling in microcredits an hour; a node that announces more is not asked. What it announces is for
            its best GPU, so it says nothing of a job without GPU that needs a part of the machine.
    """
    if entry.presence.state not in _ASKED:
        return ("node_inactive",)
    if entry.record is None:
        return ("record_missing",)
    slots_free = entry.slots_free if entry.beat is not None else None
    fit = screen(needs, entry.record, round_trip_ms=round_trip_ms(entry), slots_free=slots_free)
    faults = {
        "denied": entry.peer in deny,
        "not_allowed": bool(allow) and entry.peer not in allow,
        "price_hint": _is_what_it_would_ask(needs, entry.record) and entry.price > price_max,
    }
    return (*(code for code, is_fault in faults.items() if is_fault), *fit)


def _is_what_it_would_ask(needs: Needs, record: NodeRecord) -> bool:
    return record.is_worker and (wanted_gpus(needs) > 0 or not record.hardware.gpus)


def round_trip_ms(entry: NodeEntry) -> int | None:
    """Return the measured round trip to a node in milliseconds, rounded up; None if it was never measured."""
    return None if entry.round_trip_s is None else math.ceil(entry.round_trip_s * 1000)


def gpu_codes(needs: Needs, gpus: tuple[GpuPart, ...]) -> tuple[str, ...]:
    """Return why a set of GPUs does not fit; empty if as many equal ones as needed do."""
    count = wanted_gpus(needs)
    if count == 0 or fitting_gpus(needs, gpus):
        return ()
    if len(gpus) < count:
        return ("gpu_count",)
    tests = (("gpu_model", is_model), ("vram", has_memory), ("compute_capability", is_capable))
    codes = tuple(code for code, test in tests if sum(test(needs, gpu) for gpu in gpus) < count)
    return codes or ("gpu_mix",)


def fitting_gpus(needs: Needs, gpus: tuple[GpuPart, ...]) -> tuple[GpuPart, ...]:
    """Return the GPUs of the smallest fitting kind (equal model and memory) that is there often enough.

    The whole kind comes back, in the order of the record, so that the caller can choose free ones; empty if no kind
    fits. Without a need of GPUs: empty.
    """
    count = wanted_gpus(needs)
    kinds: dict[tuple[int, str], list[GpuPart]] = {}
    for gpu in gpus:
        if has_memory(needs, gpu) and is_model(needs, gpu) and is_capable(needs, gpu):
            kinds.setdefault((gpu.vram_mib, gpu.model), []).append(gpu)
    enough = [kind for kind, there in kinds.items() if len(there) >= count > 0]
    return tuple(kinds[min(enough)]) if enough else ()


def wanted_gpus(needs: Needs) -> int:
    """Return how many GPUs are asked for; a condition on GPUs without a count asks for one."""
    return needs.gpu_count or int(bool(needs.gpu_models or needs.vram_mib or needs.compute_capability))


def is_model(needs: Needs, gpu: GpuPart) -> bool:
    """Tell whether a GPU's model is one of the wanted ones, or any is good."""
    if not needs.gpu_models:
        return True
    name = _normalised(gpu.model)
    return any(_normalised(model) in name for model in needs.gpu_models)


def has_memory(needs: Needs, gpu: GpuPart) -> bool:
    """Tell whether a GPU has the wanted memory."""
    return gpu.vram_mib >= needs.vram_mib


def is_capable(needs: Needs, gpu: GpuPart) -> bool:
    """Tell whether a GPU's CUDA compute capability reaches the wanted one; an unreadable one reaches none."""
    if not needs.compute_capability:
        return True
    return _version(gpu.compute_capability) >= _version(needs.compute_capability)


def mismatch_text(
    code: str, needs: Needs, record: NodeRecord, *, round_trip_ms: int | None, slots_free: int | None
) -> str:
    """Return what was needed and what the node has, for one code of `screen`; empty where there are no figures."""
    hardware = record.hardware
    gpus = ", ".join(f"{gpu.model} {gpu.vram_mib} MiB" for gpu in hardware.gpus) or "no GPU"
    models = " or ".join(needs.gpu_models)
    runtimes = ", ".join(f"{runtime.name} ({runtime.limits})" for runtime in record.runtimes) or "none"
    missing = ", ".join(label for label in needs.labels if label not in record.labels)
    capabilities = ", ".join(gpu.compute_capability or "unknown" for gpu in hardware.gpus)
    texts = {
        "runtime_missing": f"needs {needs.runtime}, has {runtimes}",
        "limits_soft": f"needs hard limits, has {runtimes}",
        "gpu_count": f"needs {wanted_gpus(needs)}, has {len(hardware.gpus)}",
        "gpu_model": f"needs {wanted_gpus(needs)} of {models}, has {gpus}",
        "vram": f"needs {needs.vram_mib} MiB, has {gpus}",
        "compute_capability": f"needs {needs.compute_capability}, has {capabilities}",
        "gpu_mix": f"has {gpus}",
        "cpu": f"needs {needs.cpu_cores} cores, has {hardware.cpu_cores}",
        "memory": f"needs {needs.memory_mib} MiB, has {hardware.memory_mib}",
        "disk": f"needs {needs.disk_mib} MiB, has {hardware.disk_mib}",
        "region": f"needs {' or '.join(needs.regions)}, is in {record.region or 'no region'}",
        "label": f"lacks {missing}",
        "latency": f"needs {needs.latency_ms_max} ms, measured {round_trip_ms} ms",
        "slots_busy": f"has {slots_free} of {record.slots} free",
    }
    return texts.get(code, "")


def _runtime_codes(needs: Needs, record: NodeRecord) -> tuple[str, ...]:
    offered = [runtime.limits for runtime in record.runtimes if runtime.name == needs.runtime]
    if not offered:
        return ("runtime_missing",)
    return ("limits_soft",) if needs.needs_hard_limits and "hard" not in offered else ()


@functools.lru_cache(maxsize=_NORMALISED_MAX)
def _normalised(model: str) -> str:
    return normalise_model(model)


@functools.lru_cache(maxsize=_NORMALISED_MAX)
def _version(text: str) -> tuple[int, int]:
    """Return "8.0" as (8, 0) and "8" too; what is no version is (-1, 0)."""
    major, _, minor = text.partition(".")
    parts = (major, minor or "0")
    if not all(part.isascii() and part.isdigit() for part in parts):
        return (-1, 0)
    return (int(major), int(parts[1]))
