"""Cut what the probe found to the bounds of the signed record."""

from skyops_p2p import limits
from skyops_p2p.ports import Benchmark, Gpu, Hardware
from skyops_p2p.wire.messages.peering import BenchmarkPart, GpuPart, HardwarePart, RuntimePart


def hardware_parts(found: Hardware) -> tuple[HardwarePart, tuple[RuntimePart, ...]]:
    """Return the message parts for a probed machine; names are cut to the length that the wire allows."""
    hardware = HardwarePart.model_validate(
        {
            "source": found.source,
            "gpus": tuple(gpu_part(gpu) for gpu in found.gpus[: limits.RECORD_GPUS_MAX]),
            "driver": found.driver[:32],
            "cuda": found.cuda[:16],
            "cpu_model": found.cpu_model[:64],
            "cpu_cores": max(1, min(found.cpu_cores, 4096)),
            "memory_mib": max(0, found.memory_mib),
            "disk_mib": max(0, found.disk_mib),
            "benchmark": _benchmark_part(found.benchmark),
        }
    )
    runtimes = tuple(
        RuntimePart.model_validate({"name": item.name, "version": item.version[:32], "limits": item.limits})
        for item in found.runtimes[: limits.RECORD_RUNTIMES_MAX]
    )
    return hardware, runtimes


def gpu_part(gpu: Gpu) -> GpuPart:
    """Return the message part for a probed GPU."""
    return GpuPart(
        model=gpu.model[:64],
        vram_mib=max(0, gpu.vram_mib),
        compute_capability=gpu.compute_capability[:8],
        uuid=gpu.uuid[:64],
        benchmark=_benchmark_part(gpu.benchmark),
    )


def _benchmark_part(found: Benchmark | None) -> BenchmarkPart | None:
    return None if found is None else BenchmarkPart(mflops=found.mflops, mb_per_s=found.mb_per_s)
