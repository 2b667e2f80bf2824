"""What a campaign does and when, from one seed: jobs of every kind, and faults of nodes, network and chain. Pure.

The same seed and sizes give the same plan. What the machine makes of it (who wins a job, where it is when its worker
dies) is not planned.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from skyops_p2p.core.execution.outcomes import SUCCEEDED
from skyops_p2p.testnet.topology import CHAIN_NAME

REQUESTER, BROKER = "requester", "broker"
"""The two nodes that submit jobs, each with a wallet of its own; the others are workers."""
NODES_MIN = 4
GAP_S = 2.5
"""Between two submissions, on average."""
FAULT_GAP_S = (2.0, 7.0)
"""Between the beginnings of two faults."""
REST_S = 6.0
"""A node is left alone for so long after a fault of its own."""
CONFIRMATIONS = 3
"""Blocks that nodes want above a transaction's own; a reorganisation takes back as many at most."""
_TRIES = 4
"""Faults that are tried at an instant, once each has had its turn; the first that hits somebody well is taken."""
_DROPPED = 0.5
"""Share of the reorganisations after which the chain does not know the transactions any more."""
FAILURES = ("program_failed", "execution_timeout", "output_missing", "module_invalid")
"""How jobs fail that are meant to."""
_KINDS = ("train", "quick", "array", "graph", "tight", "failing", "orphan")
_WEIGHTS = (8, 4, 3, 3, 2, 3, 1)
_TOGETHER = {"array": 2, "graph": 2, "orphan": 2}
"""Kinds that are a job and one that depends on it."""


@dataclass(frozen=True, slots=True)
class JobPlan:
    """One job."""

    name: str
    """"job-017-train": unique in the campaign."""
    kind: str
    """"train", "quick", "array", "after" (needs what another job made), "tight", "orphan", or one of FAILURES."""
    seed: int
    """Of its training, so that no two are alike."""
    at_s: float
    """From the beginning of the campaign."""
    by: str
    """REQUESTER or BROKER."""
    allowed: frozenset[str]
    """Codes with which it may end."""
    needs: str = ""
    """Name of the job that it depends on."""


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """One fault."""

    kind: str
    """"kill" (SIGKILL), "stop" (SIGSTOP), "restart" (SIGTERM), "partition", "slow", "loss" or "reorg"."""
    role: str
    """"worker", REQUESTER, BROKER, CHAIN_NAME, or "network" for a partition."""
    targets: tuple[str, ...]
    """Names; of a partition one side."""
    at_s: float
    lasts_s: float
    delay_ms: int = 0
    loss_permille: int = 0
    blocks: int = 0
    """That a reorganisation takes back."""
    is_dropped: bool = False
    """Whether their transactions are forgotten by the chain."""

    @property
    def ends_s(self) -> float:
        """When it is undone."""
        return self.at_s + self.lasts_s

    @property
    def label(self) -> str:
        """What reports call it."""
        return self.kind if self.role == "network" else f"{self.kind} {self.role}"


@dataclass(frozen=True, slots=True)
class Plan:
    """A campaign."""

    seed: int
    workers: tuple[str, ...]
    jobs: tuple[JobPlan, ...]
    faults: tuple[FaultPlan, ...]
    slowness: float = 1.0
    """By which its times are stretched."""

    @property
    def lasts_s(self) -> float:
        """Until the last submission and the last fault's end."""
        return max([job.at_s for job in self.jobs] + [fault.ends_s for fault in self.faults], default=0.0)


_MENU: tuple[tuple[str, str, float, float, int], ...] = (
    ("kill", "worker", 3.0, 10.0, 5),
    ("stop", "worker", 3.0, 12.0, 4),
    ("restart", "worker", 2.0, 6.0, 2),
    ("slow", "worker", 5.0, 15.0, 2),
    ("loss", "worker", 5.0, 15.0, 2),
    ("partition", "network", 4.0, 12.0, 3),
    ("kill", REQUESTER, 2.0, 8.0, 2),
    ("restart", REQUESTER, 2.0, 6.0, 1),
    ("kill", BROKER, 2.0, 8.0, 2),
    ("stop", BROKER, 3.0, 8.0, 1),
    ("kill", CHAIN_NAME, 3.0, 12.0, 2),
    ("stop", CHAIN_NAME, 3.0, 8.0, 1),
    ("restart", CHAIN_NAME, 1.0, 4.0, 1),
    ("reorg", CHAIN_NAME, 1.0, 1.0, 3),
)
"""(kind, role, least and most seconds, weight)."""


def make_plan(seed: int, *, jobs: int, nodes: int) -> Plan:
    """Return the plan of a campaign.

    Args:
        seed: Decides everything.
        jobs: How many, at least 1.
        nodes: With the requester and the broker; at least NODES_MIN.
    """
    assert jobs >= 1, "the command line checks it"
    assert nodes >= NODES_MIN, "the command line checks it"
    random = Random(seed)  # noqa: S311 - a plan that can be made again
    workers = tuple(f"worker-{number}" for number in range(1, nodes - 1))
    planned = _plan_jobs(random, jobs)
    faults = _plan_faults(random, workers, until_s=planned[-1].at_s + GAP_S * 4)
    return Plan(seed, workers, planned, faults)


def stretched(plan: Plan, slowness: float) -> Plan:
    """Return the same plan for a machine that is busy with other things: everything comes later and lasts longer.

    Args:
        plan: Not stretched yet.
        slowness: Seconds that go by for one second of work, at least 1.
    """
    jobs = tuple(replace(job, at_s=job.at_s * slowness) for job in plan.jobs)
    faults = tuple(
        replace(fault, at_s=fault.at_s * slowness, lasts_s=fault.lasts_s * slowness) for fault in plan.faults
    )
    return replace(plan, jobs=jobs, faults=faults, slowness=slowness)


# --- jobs -----------------------------------------------------------------------------------------------------------
def _plan_jobs(random: Random, count: int) -> tuple[JobPlan, ...]:
    jobs: list[JobPlan] = []
    at_s = 0.0
    deck = list(_KINDS)  # each kind once, then by weight
    random.shuffle(deck)
    while len(jobs) < count:
        kind = deck.pop() if deck else random.choices(_KINDS, _WEIGHTS)[0]
        if _TOGETHER.get(kind, 1) > count - len(jobs):
            kind = "train"
        by = random.choice((REQUESTER, REQUESTER, BROKER))
        for part, allowed, needs in _parts(random, kind):
            before = jobs[-1].name if needs else ""
            name = f"job-{len(jobs) + 1:03}-{part.replace('_', '-')}"
            jobs.append(JobPlan(name, part, random.randrange(1, 1000), round(at_s, 3), by, allowed, before))
        at_s += random.uniform(0.2, 2 * GAP_S - 0.2)
    return tuple(jobs)


def _parts(random: Random, kind: str) -> Sequence[tuple[str, frozenset[str], bool]]:
    """Return the jobs of one kind: (kind, how it may end, whether it needs the one before)."""
    well = frozenset({SUCCEEDED})
    if kind in ("array", "graph"):
        first = "array" if kind == "array" else "quick"
        return ((first, well, False), ("after", well, True))
    if kind == "tight":
        return ((kind, frozenset({SUCCEEDED, "over_budget"}), False),)
    if kind in ("failing", "orphan"):
        code = random.choice(FAILURES)
        fails = (code, frozenset({code}), False)
        return (fails, ("orphan", frozenset({"dependency_failed"}), True)) if kind == "orphan" else (fails,)
    return ((kind, well, False),)


# --- faults ---------------------------------------------------------------------------------------------------------
def _plan_faults(random: Random, workers: tuple[str, ...], *, until_s: float) -> tuple[FaultPlan, ...]:
    faults: list[FaultPlan] = []
    deck = list(_MENU)
    random.shuffle(deck)
    at_s = random.uniform(*FAULT_GAP_S)
    while at_s < until_s:
        for entry in [*deck, *random.choices(_MENU, [row[4] for row in _MENU], k=_TRIES)]:
            fault = _fault(random, entry, workers, at_s=at_s, before=faults)
            if fault is not None:
                faults.append(fault)
                deck = [row for row in deck if row is not entry]
                break
        at_s += random.uniform(*FAULT_GAP_S)
    return tuple(faults)


def _fault(
    random: Random,
    entry: tuple[str, str, float, float, int],
    workers: tuple[str, ...],
    *,
    at_s: float,
    before: Sequence[FaultPlan],
) -> FaultPlan | None:
    """Return a fault, or None if whoever it may hit is being hurt already."""
    kind, role, least_s, most_s, _ = entry
    lasts_s = round(random.uniform(least_s, most_s), 3)
    near = [fault for fault in before if fault.ends_s + REST_S > at_s]
    taken = {name for fault in near if fault.kind != "partition" for name in fault.targets}
    if kind == "partition":
        if any(fault.kind == kind for fault in near):
            return None
        everybody = [*workers, REQUESTER, BROKER]
        targets = tuple(sorted(random.sample(everybody, random.randint(1, len(everybody) // 2))))
        return FaultPlan(kind, role, targets, round(at_s, 3), lasts_s)
    if role == "worker":
        down = sum(fault.role == "worker" and fault.kind in ("kill", "stop", "restart") for fault in near)
        free = [name for name in workers if name not in taken]
        if not free or (kind in ("kill", "stop", "restart") and down >= max(1, len(workers) // 3)):
            return None
        target = random.choice(free)
    elif role in taken:
        return None
    else:
        target = role
    delay_ms = random.randrange(100, 800, 50) if kind == "slow" else 0
    loss_permille = random.randrange(20, 200, 10) if kind == "loss" else 0
    blocks = random.randint(1, CONFIRMATIONS) if kind == "reorg" else 0
    is_dropped = bool(blocks) and random.random() < _DROPPED
    return FaultPlan(
        kind, role, (target,), round(at_s, 3), lasts_s, delay_ms, loss_permille, blocks, is_dropped
    )
