"""The names of a node's GPUs in bids and books. Spec: protocol/04-auction.md, "Bid"."""

from skyops_p2p.crypto.node_key import peer_id_from_bytes
from skyops_p2p.wire.messages.peering import GpuPart, NodeRecord


def device_names(record: NodeRecord) -> dict[str, GpuPart]:
    """Return the GPUs of a node record by the names that its bids must use, in the record's order.

    A probed GPU is named by its UUID, so that it is the same device whoever claims it. A declared one, and one without
    a UUID, is named "PEER/INDEX": nobody can name another node's.

    Rules: AUC-16.
    """
    names: dict[str, GpuPart] = {}
    for index, gpu in enumerate(record.hardware.gpus):
        is_named = record.hardware.source == "nvml" and gpu.uuid
        names[gpu.uuid if is_named else f"{peer_id_from_bytes(record.peer)}/{index}"] = gpu
    return names
