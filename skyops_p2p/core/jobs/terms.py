"""From a job specification to the terms of its tender. Pure."""

from collections.abc import Iterable, Sequence

from skyops_p2p import limits
from skyops_p2p.core.auction.class_index import class_index_milli
from skyops_p2p.core.auction.invitation import invite_share, tier_of
from skyops_p2p.core.auction.screening import fitting_gpus, wanted_gpus
from skyops_p2p.core.jobs.encoding import spec_digest
from skyops_p2p.core.jobs.needs import input_bytes, needs_of, weights_of
from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.core.rules import NetworkRules
from skyops_p2p.crypto.node_key import peer_id_to_bytes
from skyops_p2p.types import PeerId
from skyops_p2p.wire.messages.auction import Needs, Tender
from skyops_p2p.wire.messages.peering import GpuPart, NodeRecord

FLOOR_MICROCREDITS_PER_CLASS = 60_000
"""Price floor of one reference device, an hour: a bid below it gains nothing. It gives way to the market's median
once there are settled prices."""
BIDDERS_WANTED = 16
"""Nodes that should answer a tender that they hear by gossip."""
ZERO32 = bytes(32)


def tender_terms(
    spec: JobSpec, rules: NetworkRules, *, requester: PeerId, job_id: bytes, known: Iterable[NodeRecord]
) -> Tender:
    """Return what all rounds of a job's tender have in common; each round sets its dates, windows and seed.

    Args:
        spec: The job.
        rules: The network.
        requester: Who offers it.
        job_id: 16 random bytes.
        known: Records of the known nodes that fit: the tier and the share of the invited follow from them.
    """
    needs = needs_of(spec)
    fitting = [fitting_gpus(needs, record.hardware.gpus) for record in known]
    ceiling = spec.price.per_hour_max
    deny = tuple(peer_id_to_bytes(PeerId(peer)) for peer in spec.placement.deny)
    allow = tuple(peer_id_to_bytes(PeerId(peer)) for peer in spec.placement.allow)
    return Tender(
        requester=peer_id_to_bytes(requester),
        network=rules.network,
        job_id=job_id,
        round=0,
        issued_unix_ms=0,
        expires_unix_ms=0,
        spec_digest=spec_digest(spec),
        needs=needs,
        mode=spec.mode.kind,
        duration_s_max=spec.timeouts.execution,
        price_max=ceiling,
        price_floor=min(_price_floor(needs, fitting), max(0, ceiling - 1)),
        token=spec.price.token,
        weights=weights_of(spec),
        policy=spec.award.policy,
        commit_ms=limits.COMMIT_WINDOW_MS,
        reveal_ms=limits.REVEAL_WINDOW_MS,
        input_bytes=input_bytes(spec),
        reputation_min=spec.placement.reputation_min,
        allow=allow[: limits.TENDER_PEERS_MAX],
        deny=deny[: limits.TENDER_PEERS_MAX],
        invite_share=0 if spec.placement.allow else invite_share(len(fitting), wanted=BIDDERS_WANTED),
        seed_digest=ZERO32,
        tier_mib=tier_of(map(_vram_mib, fitting)) if wanted_gpus(needs) else 0,
        speed_milli_min=0,
        window_awards=0,
        window_stake=0,
    )


def offered_vram_mib(needs: Needs, record: NodeRecord) -> int:
    """Return the memory of the GPUs that a node would offer to a job; 0 for a job without, or if none fit."""
    return _vram_mib(fitting_gpus(needs, record.hardware.gpus))


def _vram_mib(fitting: Sequence[GpuPart]) -> int:
    return max((gpu.vram_mib for gpu in fitting), default=0)


def _price_floor(needs: Needs, fitting: Sequence[Sequence[GpuPart]]) -> int:
    """Return the floor for the smallest class that fits, for all devices of the job."""
    count = wanted_gpus(needs)
    classes = [min(map(class_index_milli, gpus), default=1000) for gpus in fitting]
    return FLOOR_MICROCREDITS_PER_CLASS * max(1, count) * min(classes, default=1000) // 1000
