"""From a job specification to what a tender says of it. Pure."""

from skyops_p2p.core.jobs.sizes import MIB
from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.core.node_filter import normalise_model
from skyops_p2p.wire.messages.auction import Needs, Weights

_GIB_CLASS_MIB = 1000
"""MiB that count as one GiB of a GPU: a "24 GB" card reports 24,564 MiB, a little less than 24 GiB."""


def needs_of(spec: JobSpec) -> Needs:
    """Return what one shard of a job needs of one worker."""
    gpu, resources, placement = spec.resources.gpu, spec.resources, spec.placement
    models = dict.fromkeys(normalise_model(model) for model in gpu.models)
    return Needs(
        runtime=spec.runtime,
        gpu_models=tuple(models),
        gpu_count=gpu.count,
        vram_mib=_vram_mib(gpu.vram),
        compute_capability=gpu.compute_capability,
        cpu_cores=resources.cpu,
        memory_mib=-(-resources.memory // MIB),
        disk_mib=-(-resources.disk // MIB),
        regions=placement.regions,
        labels=placement.labels,
        latency_ms_max=placement.latency_ms_max,
        needs_hard_limits=placement.hard_limits,
    )


def weights_of(spec: JobSpec) -> Weights:
    """Return the weights of the award."""
    award = spec.award
    return Weights(price=award.price, reputation=award.reputation, fit=award.fit, latency=award.latency)


def input_bytes(spec: JobSpec) -> int:
    """Return the size of the inputs whose size is known, at most 2^53 - 1 bytes."""
    return min(sum(item.size or 0 for item in spec.inputs), 2**53 - 1)


def cost_of(spec: JobSpec, price: int, *, computing: int = 1) -> int:
    """Return what one attempt at a job costs at most, in microcredits: all shards for their whole time-out.

    Args:
        spec: The job.
        price: Microcredits an hour.
        computing: How many workers compute each shard: 1 where results are not compared, whatever `redundancy` says.
    """
    seconds = spec.timeouts.execution * spec.shards * computing
    cost = -(-price * seconds // 3600)
    return cost if spec.price.total_max is None else min(cost, spec.price.total_max)


def _vram_mib(size: int) -> int:
    gib, rest = divmod(size, 1 << 30)
    return gib * _GIB_CLASS_MIB if gib and not rest else -(-size // MIB)
