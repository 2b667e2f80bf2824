"""ports.HardwareProbe with an answer given in advance, and a seeded mix of machines for large worlds."""

from skyops_p2p.ports import Gpu, Hardware, Runtime
from skyops_p2p.simulation.entropy import derived_random

GIB_MIB = 1024
CATALOGUE: tuple[tuple[str, int, str], ...] = (
    ("NVIDIA A100-SXM4-80GB", 80, "8.0"),
    ("NVIDIA H100 80GB HBM3", 80, "9.0"),
    ("NVIDIA GeForce RTX 4090", 24, "8.9"),
    ("NVIDIA GeForce RTX 3060", 12, "8.6"),
)
"""(model, VRAM in GiB, CUDA compute capability) of the devices that simulated workers have."""


class DeclaredHardware:
    """A probe that finds what it was told to find.

    Args:
        hardware: What to report.
    """

    def __init__(self, hardware: Hardware) -> None:
        self._hardware = hardware

    async def probe(self) -> Hardware:
        """Report the declared machine."""
        return self._hardware


def seeded_hardware(seed: int, index: int) -> Hardware:
    """Draw the machine of one node: one to four GPUs of one model, or none for every fifth node on average."""
    random = derived_random(seed, "hardware", index)
    gpus: tuple[Gpu, ...] = ()
    if random.random() >= 0.2:
        model, vram_gib, capability = random.choice(CATALOGUE)
        device = Gpu(model=model, vram_mib=vram_gib * GIB_MIB, compute_capability=capability, uuid="")
        gpus = (device,) * random.choice((1, 1, 2, 4))
    return Hardware(
        source="declared" if gpus else "none",
        gpus=gpus,
        driver="550.54" if gpus else "",
        cuda="12.4" if gpus else "",
        cpu_model="Simulated CPU",
        cpu_cores=random.choice((8, 16, 64)),
        memory_mib=random.choice((32, 64, 256)) * GIB_MIB,
        disk_mib=500 * GIB_MIB,
        runtimes=(
            Runtime(name="wasm", version="1.0", limits="hard"),
            Runtime(name="native", version="1.0", limits="hard"),
        ),
    )
