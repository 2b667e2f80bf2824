"""The class index of a GPU: how much of the reference class it is, from what was measured or from a table. Pure.

NGU = (dense 16-bit float TFLOPS / 51)^0.5 (GB/s / 360)^0.3 (GB / 12)^0.2: one for an RTX 3060 with 12 GiB. Where a node
has measured its devices the formula is used, in integers; else the table, whose figures are vendors' and provisional.
Either is the node's own word: who proves it is another matter (`poc`). Spec: protocol/04-auction.md, "Class index".
"""

import functools
from collections.abc import Mapping
from types import MappingProxyType

from skyops_p2p.core.node_filter import normalise_model
from skyops_p2p.core.reputation.fixed import root
from skyops_p2p.wire.messages.peering import BenchmarkPart, GpuPart

REFERENCE_MILLI = 1000
"""Class index of the reference class; a whole machine without its GPUs counts as one too."""
REFERENCE_MFLOPS = 51_000_000
REFERENCE_MB_PER_S = 360_000
REFERENCE_VRAM_MIB = 12_288
CLASS_INDEX_MILLI: Mapping[str, int] = MappingProxyType(
    {"rtx3060": 1000, "rtx3090": 2600, "rtx4090": 4000, "a100": 6100, "h100": 12_600}
)
"""Part of a normalised model name -> class index in thousandths: the provisional table."""
UNKNOWN_LEAST_MILLI = 100
"""Of a model that no table knows and nobody measured, at least."""
_MODELS_REMEMBERED_MAX = 4096
"""Model names whose class index is remembered, and measurements likewise."""


def class_index_milli(gpu: GpuPart) -> int:
    """Return a GPU's class index in thousandths, as its record gives it. Rules: AUC-41."""
    if gpu.benchmark is not None:
        return measured_index_milli(gpu.benchmark, gpu.vram_mib)
    index = _listed_index(gpu.model)
    if index is not None:
        return index
    by_memory = gpu.vram_mib * REFERENCE_MILLI // REFERENCE_VRAM_MIB
    return min(max(by_memory, UNKNOWN_LEAST_MILLI), max(CLASS_INDEX_MILLI.values()))


@functools.lru_cache(maxsize=_MODELS_REMEMBERED_MAX)
def measured_index_milli(measured: BenchmarkPart, memory_mib: int) -> int:
    """Return the index that measurements come to, in thousandths, rounded down, at least 1. Rules: AUC-41.

    The tenth root is exact, so that everybody who reads a record has the same integer.

    Args:
        measured: Throughput and bandwidth.
        memory_mib: Of the device, MiB.
    """
    above = measured.mflops**5 * measured.mb_per_s**3 * max(1, memory_mib) ** 2
    below = REFERENCE_MFLOPS**5 * REFERENCE_MB_PER_S**3 * REFERENCE_VRAM_MIB**2
    return max(1, root(REFERENCE_MILLI**10 * above // below, 10))


@functools.lru_cache(maxsize=_MODELS_REMEMBERED_MAX)
def _listed_index(model: str) -> int | None:
    name = normalise_model(model)
    return next((index for part, index in CLASS_INDEX_MILLI.items() if part in name), None)
