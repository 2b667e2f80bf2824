"""The hardware port: what this machine has."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Benchmark:
    """What was measured of a GPU, or of the processor with all its cores."""

    mflops: int
    """10^6 operations a second of dense products: 16-bit floats on a GPU, 32-bit ones on a processor; at least 1."""
    mb_per_s: int
    """10^6 bytes of memory that are read and written in a second, at least 1."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """One device."""

    model: str
    """Vendor's name, e.g. "NVIDIA A100-SXM4-80GB"."""
    vram_mib: int
    compute_capability: str
    """CUDA compute capability, "8.0"; empty if unknown."""
    uuid: str
    """NVML's UUID; empty for a declared device."""
    benchmark: Benchmark | None = None
    """None: not measured."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """A runtime that this node can start, and what it enforces."""

    name: str
    """"wasm", "docker" or "native"."""
    version: str
    limits: str
    """"hard", or "soft" where the kernel offers no cgroups."""


@dataclass(frozen=True, slots=True)
class Hardware:
    """What this machine has."""

    source: str
    """"nvml" (probed through the driver), "declared" (testnets only) or "none" (no GPU)."""
    gpus: tuple[Gpu, ...]
    driver: str
    cuda: str
    cpu_model: str
    cpu_cores: int
    memory_mib: int
    disk_mib: int
    """Free space under the data directory."""
    runtimes: tuple[Runtime, ...]
    benchmark: Benchmark | None = None
    """Of the processor; None: not measured."""


class HardwareProbe(Protocol):
    """Finds out what this machine has; never raises: what cannot be probed is reported as absent."""

    async def probe(self) -> Hardware:
        """Look at the machine."""
