"""Hardware that a node of a test network pretends to have; the record says so, and other networks refuse it."""

import dataclasses
from collections.abc import Sequence

from skyops_p2p import limits
from skyops_p2p.ports import Gpu, Hardware, HardwareProbe


class DeclaredHardwareProbe:
    """Implements ports.HardwareProbe: declared GPUs and processor cores on top of the real machine.

    Args:
        gpus: "MODEL:VRAM in GiB", as `worker.declared_gpus` was checked to be; at most RECORD_GPUS_MAX.
        inner: Finds everything else.
        cpu_cores: Instead of the machine's own; 0 for those.
    """

    def __init__(self, gpus: Sequence[str], inner: HardwareProbe, *, cpu_cores: int = 0) -> None:
        self._gpus = tuple(_gpu(text) for text in gpus[: limits.RECORD_GPUS_MAX])
        self._cpu_cores = cpu_cores
        self._inner = inner

    async def probe(self) -> Hardware:
        """See ports.HardwareProbe."""
        real = await self._inner.probe()
        found = dataclasses.replace(real, source="declared", cpu_cores=self._cpu_cores or real.cpu_cores)
        return dataclasses.replace(found, gpus=self._gpus, driver="", cuda="") if self._gpus else found


def _gpu(text: str) -> Gpu:
    model, _, vram_gib = text.rpartition(":")
    return Gpu(model=model, vram_mib=int(vram_gib) * 1024, compute_capability="", uuid="")
