"""Device nodes of GPUs that were granted. Blocks, briefly.

The driver lists its devices below /proc/driver/nvidia; a node is bound into the sandbox, and no other is there.
"""

from collections.abc import Sequence
from pathlib import Path

from skyops_p2p.errors import ExecutionError

_SHARED = ("nvidiactl", "nvidia-uvm", "nvidia-uvm-tools")


def device_nodes(uuids: Sequence[str], *, root: Path = Path("/")) -> list[Path]:
    """Return the nodes that a program needs to use these devices and no others.

    Args:
        uuids: As NVML has them.
        root: Where proc and dev are looked for; another directory in tests.

    Raises:
        ExecutionError: `gpu_unavailable` if one of them is not on this machine.
    """
    if not uuids:
        return []
    minors = _minors(root)
    missing = [uuid for uuid in uuids if uuid not in minors]
    nodes = [root / "dev" / f"nvidia{minors[uuid]}" for uuid in uuids if uuid in minors]
    shared = [root / "dev" / name for name in _SHARED if (root / "dev" / name).exists()]
    if missing or not shared or not all(node.exists() for node in nodes):
        raise ExecutionError(
            f"this machine cannot give the job its GPU {', '.join(missing or uuids)}",
            code="gpu_unavailable",
            hint="`skyops doctor` shows the GPUs that the driver reports.",
        )
    return nodes + shared


def _minors(root: Path) -> dict[str, str]:
    """Return {UUID: number of its node}."""
    found = {}
    for facts in sorted(root.glob("proc/driver/nvidia/gpus/*/information")):
        rows = [line.partition(":") for line in facts.read_text(errors="replace").splitlines()]
        told = {name.strip(): value.strip() for name, _, value in rows}
        if told.get("Device Minor", "").isdigit():
            found[told.get("GPU UUID", "")] = told["Device Minor"]
    return found
