"""Unequal workers and an endless stream of jobs, from a seed: what match quality is measured on.

Workers have one to four GPUs of one class (the classes of `core.auction.prices`), a stake, a reputation and a price
level of their own. Jobs come at random (Poisson), want a GPU of some memory, and hold it for a time of their own
(log-normal) whichever they get.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import exp

from skyops_p2p.core.auction.capacity import Capacity, supply_of
from skyops_p2p.core.auction.class_index import class_index_milli
from skyops_p2p.core.auction.prices import CostFloorPricing, FixedPriceList, PriceStrategy
from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.crypto.node_key import peer_id_to_bytes
from skyops_p2p.simulation.clock import EPOCH_UNIX_MS
from skyops_p2p.simulation.entropy import derived_bytes, derived_random
from skyops_p2p.simulation.identities import SIM_RULES, sim_identity
from skyops_p2p.types import MicroCredits
from skyops_p2p.wire.messages.peering import GpuPart, HardwarePart, NodeRecord, RuntimePart

GIB_MIB = 1024
CLASS_PRICE = 100_000
"""Microcredits for an hour of the reference class: the class index of the awards' price floor."""
CLASSES: tuple[tuple[str, int, str, int], ...] = (
    ("NVIDIA GeForce RTX 3060", 12, "8.6", 30),
    ("NVIDIA GeForce RTX 3090", 24, "8.6", 20),
    ("NVIDIA GeForce RTX 4090", 24, "8.9", 25),
    ("NVIDIA A100-SXM4-80GB", 80, "8.0", 15),
    ("NVIDIA H100 80GB HBM3", 80, "9.0", 10),
)
"""(model, GPU memory in GiB, CUDA compute capability, percent of the workers)."""
GPU_COUNTS = (1, 1, 2, 4)
NEEDS_GIB: tuple[tuple[int, int], ...] = ((8, 40), (16, 25), (22, 20), (60, 15))
"""(wanted GPU memory in GiB, percent of the jobs)."""
LARGE_GIB = 48
"""A job that wants more is a large one: only the two largest classes can do it."""
CEILING_CREDITS = 2.0
"""What each job pays an hour at most: every class is below it, so that price alone keeps nobody out."""
DURATION_MEAN_S, DURATION_SIGMA = 3600.0, 1.0
FLAT_PRICE = 400_000
"""Microcredits for an hour of any GPU, where prices do not follow the class."""
PRICE_SIGMA = 0.2
"""Spread of the workers' price levels, of the logarithm."""


@dataclass(frozen=True, slots=True)
class FleetWorker:
    """One worker."""

    number: int
    """Also its place, for delays."""
    bidder: bytes
    """Binary peer id."""
    record: NodeRecord
    capacity: Capacity
    pricing: PriceStrategy
    stake: int
    reputation: int
    """Millionths."""

    @property
    def gpu(self) -> GpuPart:
        """The class of its GPUs, which are all equal."""
        return self.record.hardware.gpus[0]

    @property
    def strength_milli(self) -> int:
        """What all its GPUs can do together, thousandths of the reference class."""
        return sum(map(class_index_milli, self.record.hardware.gpus))


@dataclass(frozen=True, slots=True)
class FleetJob:
    """One job."""

    number: int
    arrives_s: float
    duration_s: float
    vram_gib: int

    @property
    def is_large(self) -> bool:
        """Whether only the largest classes can do it."""
        return self.vram_gib > LARGE_GIB

    @property
    def spec(self) -> JobSpec:
        """The job's specification."""
        return _spec(self.vram_gib)


def fleet(seed: int, count: int, *, is_flat: bool = False) -> tuple[FleetWorker, ...]:
    """Return workers, all idle.

    Args:
        seed: Decides everything.
        count: How many; their classes come in the percentages of CLASSES as nearly as it can be.
        is_flat: An hour of any GPU costs about the same, FLAT_PRICE; otherwise prices follow the class and the load,
            as those of nodes do by themselves.
    """
    random = derived_random(seed, "fleet")
    classes = [kind for kind in CLASSES for _ in range(round(kind[3] * count / 100))][:count]
    classes += [CLASSES[0]] * (count - len(classes))
    random.shuffle(classes)
    workers = []
    for number, (model, vram_gib, capability, _) in enumerate(classes):
        peer = sim_identity(seed, number).peer_id
        gpus = tuple(
            GpuPart(
                model=model,
                vram_mib=vram_gib * GIB_MIB,
                compute_capability=capability,
                uuid=f"GPU-{number}-{index}",
            )
            for index in range(random.choice(GPU_COUNTS))
        )
        level = random.lognormvariate(0.0, PRICE_SIGMA)
        rate, flat = MicroCredits(round(CLASS_PRICE * level)), MicroCredits(round(FLAT_PRICE * level))
        price = flat if is_flat else rate * class_index_milli(gpus[0]) // 1000
        record = _record(peer_id_to_bytes(peer), gpus, price=price)
        workers.append(
            FleetWorker(
                number=number,
                bidder=record.peer,
                record=record,
                capacity=Capacity(supply_of(record)),
                pricing=FixedPriceList({}, other_gpu=flat) if is_flat else CostFloorPricing(rate=rate),
                stake=1 + round(100 * random.lognormvariate(0.0, 1.0)),
                reputation=random.randrange(450_000, 950_000),
            )
        )
    return tuple(workers)


def jobs(seed: int, *, load: float, gpus: int) -> Iterator[FleetJob]:
    """Yield jobs without end.

    Args:
        seed: Decides everything.
        load: Of the GPUs that the jobs would keep busy if none were turned away, 0 to 1.
        gpus: How many there are.
    """
    random = derived_random(seed, "jobs")
    gap_s = DURATION_MEAN_S / (load * gpus)
    median_s = DURATION_MEAN_S / exp(DURATION_SIGMA**2 / 2)
    sizes, weights = zip(*NEEDS_GIB, strict=True)
    now_s, number = 0.0, 0
    while True:
        now_s += random.expovariate(1 / gap_s)
        duration_s = median_s * random.lognormvariate(0.0, DURATION_SIGMA)
        yield FleetJob(number, now_s, duration_s, random.choices(sizes, weights)[0])
        number += 1


def job_id(seed: int, job: FleetJob) -> bytes:
    """Return the 16 bytes that name a job."""
    return derived_bytes(seed, "job", job.number, size=16)


@lru_cache(maxsize=len(NEEDS_GIB))
def _spec(vram_gib: int) -> JobSpec:
    return JobSpec.model_validate(
        {
            "name": "stream",
            "runtime": "wasm",
            "module": "file:stream.wasm",
            "resources": {"gpu": {"vram": f"{vram_gib}Gi"}, "cpu": 1},
            "mode": "commit",
            "price": CEILING_CREDITS,
        }
    )


def _record(peer: bytes, gpus: tuple[GpuPart, ...], *, price: int) -> NodeRecord:
    """Return a record that the award rule can read; nobody checks signatures here."""
    return NodeRecord(
        peer=peer,
        sequence=1,
        network=SIM_RULES.network,
        issued_unix_ms=EPOCH_UNIX_MS,
        expires_unix_ms=EPOCH_UNIX_MS + 1,
        addrs=(),
        agent="skyops/sim",
        binding=b"-",
        is_worker=True,
        hardware=HardwarePart(
            source="nvml",
            gpus=gpus,
            driver="550.54",
            cuda="12.4",
            cpu_model="Simulated CPU",
            cpu_cores=64,
            memory_mib=512 * GIB_MIB,
            disk_mib=4096 * GIB_MIB,
        ),
        runtimes=(RuntimePart(name="wasm", version="1.0", limits="hard"),),
        region="",
        labels=(),
        slots=len(gpus),
        price_microcredits_per_hour=price,
    )
