"""What a node says of itself in a handshake."""

from skyops_p2p import limits
from skyops_p2p.config import WorkerSection
from skyops_p2p.node.settlement.tools import SYMBOL
from skyops_p2p.wire.messages.handshake import Manifest
from skyops_p2p.wire.messages.peering import HardwarePart, NodeRecord

NO_HARDWARE = HardwarePart(
    source="none", gpus=(), driver="", cuda="", cpu_model="", cpu_cores=1, memory_mib=0, disk_mib=0
)
"""Stands in a manifest until the machine has been probed."""


def manifest_of(
    worker: WorkerSection, record: NodeRecord | None, *, agent: str, is_paid: bool = False
) -> Manifest:
    """Return the manifest of a node.

    Args:
        worker: What it offers.
        record: Its own, once it has one.
        agent: Software and version.
        is_paid: Whether it pays and is paid. Rules: SET-27.
    """
    return Manifest(
        agent=agent,
        is_worker=worker.enabled,
        hardware=record.hardware if record else NO_HARDWARE,
        runtimes=record.runtimes if record else (),
        modes=tuple(worker.modes) if worker.enabled else (),
        tokens=(SYMBOL,) if is_paid else (),
        price_microcredits_per_hour=worker.price_microcredits_per_hour,
        lifetime_s=round(limits.SESSION_LIFETIME_S),
    )
