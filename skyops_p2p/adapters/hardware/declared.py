"""Hardware that a node of a test network pretends to have; the record says so, and other networks refuse it."""

import dataclasses
from collections.abc import Sequence

from skyops_p2p import limits
from skyops_p2p.ports import Gpu, Hardware, HardwareProbe


class DeclaredHardwareProbe:
    """Implements ports.HardwareProbe: declared GPUs on top of the machine's real processor and memory.

    Args:
        gpus: "MODEL:VRAM in GiB", as `worker.declared_gpus` was checked to be; at most RECORD_GPUS_MAX.
        inner: Finds everything else.
    """

    def __init__(self, gpus: Sequence[str], inner: HardwareProbe) -> None:
        self._gpus = tuple(_gpu(text) for text in gpus[: limits.RECORD_GPUS_MAX])
        self._inner = inner

    async def probe(self) -> Hardware:
        """See ports.HardwareProbe."""
        real = await self._inner.probe()
        return dataclasses.replace(real, source="declared", gpus=self._gpus, driver="", cuda="")


def _gpu(text: str) -> Gpu:
    model, _, vram_gib = text.rpartition(":")
    return Gpu(model=model, vram_mib=int(vram_gib) * 1024, compute_capability="", uuid="")
