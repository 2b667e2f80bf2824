"""Vectors of the class index: of measured devices, and of those that the provisional table knows or does not."""

from typing import Any

from skyops_p2p.core.auction.class_index import class_index_milli
from skyops_p2p.wire.messages.peering import BenchmarkPart, GpuPart

Case = dict[str, Any]
RTX_3060 = (51_000_000, 360_000)


def class_cases() -> list[Case]:
    tables = [
        ("NVIDIA GeForce RTX 3060", 12_288),
        ("NVIDIA GeForce RTX 3090", 24_576),
        ("rtx-4090", 24_576),
        ("NVIDIA A100-SXM4-80GB", 81_920),
        ("NVIDIA A100-PCIE-40GB", 40_960),
        ("NVIDIA H100 80GB HBM3", 81_559),
        ("unknown, by its memory", 16_384),
        ("unknown and small", 512),
        ("unknown and large", 2**24),
        ("", 0),
    ]
    measured = [
        ("the reference class", 12_288, RTX_3060),
        ("a little less than it", 12_288, (50_999_999, 360_000)),
        ("a little more", 12_288, (51_000_001, 360_000)),
        ("twice the throughput", 12_288, (102_000_000, 360_000)),
        ("twice the bandwidth", 12_288, (51_000_000, 720_000)),
        ("twice the memory", 24_576, RTX_3060),
        ("of a model that the table knows: A100", 81_920, (250_000_000, 1_500_000)),
        ("the least", 0, (1, 1)),
        ("the most", 2**24, (10**12, 10**9)),
        ("memory of nothing", 0, RTX_3060),
    ]
    return [
        *(_case(name or "no name", GpuPart(model=name, vram_mib=mib, compute_capability="", uuid=""))
          for name, mib in tables),
        *(_case(name, GpuPart(model="A100", vram_mib=mib, compute_capability="", uuid="",
                              benchmark=BenchmarkPart(mflops=mflops, mb_per_s=mb_per_s)))
          for name, mib, (mflops, mb_per_s) in measured),
    ]  # fmt: skip


def _case(name: str, gpu: GpuPart) -> Case:
    case: Case = {"name": name, "model": gpu.model, "vram_mib": gpu.vram_mib, "index": class_index_milli(gpu)}
    if gpu.benchmark is not None:
        case["benchmark"] = {"mflops": gpu.benchmark.mflops, "mb_per_s": gpu.benchmark.mb_per_s}
    return case


FAMILIES = {"class-indices": ("04-auction.md, Class index", class_cases)}
