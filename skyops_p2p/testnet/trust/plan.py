"""Who misbehaves how, and which jobs are asked for by whom, from one seed. Pure.

The same seed and sizes give the same plan. Which worker gets a job is not planned: the market decides it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from skyops_p2p.config.models import MisbehaviourName

NODES_MIN = 6
"""Two requesters, and three who compute the same beside one who misbehaves."""
REQUESTERS_MAX = 3
NODES_PER_REQUESTER = 6
ACCOMPLICE = "accomplice"
"""Buys from its friend alone, so that the friend has receipts."""
FRIEND: MisbehaviourName = "fake-receipts"
KINDS: tuple[MisbehaviourName, ...] = (
    "wrong-result",
    "wrong-at-times",
    "two-histories",
    FRIEND,
    "copied-commit",
    "fast-meter",
    "hidden-result",
)
"""In the order in which they come into a network; more workers begin anew. FRIEND comes with its accomplice."""
REDUNDANCIES = (2, 2, 3)
ANSWERS = 4
"""Different trainings; each has one right answer."""
FAKES = 4
"""Jobs that the accomplice has its friend do."""
PRICE, CHEAP = 600_000, 480_000
"""Microcredits an hour of who computes, and of who need not."""
PRICE_STEP = 7_000


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """One worker."""

    name: str
    misbehaves: MisbehaviourName
    price: int
    """Microcredits an hour."""


@dataclass(frozen=True, slots=True)
class JobPlan:
    """One job."""

    name: str
    """"job-017": unique."""
    by: str
    """Node that asks for it."""
    answer: int
    """Which of the trainings it is, 0 to ANSWERS - 1."""
    redundancy: int
    """1: nobody compares its result."""
    only: str = ""
    """Worker that it is kept for; empty: any."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole campaign."""

    seed: int
    requesters: tuple[str, ...]
    """Honest ones."""
    workers: tuple[WorkerPlan, ...]
    has_accomplice: bool
    jobs: tuple[JobPlan, ...]

    @property
    def honest(self) -> tuple[str, ...]:
        """Names of all nodes that do what they should."""
        return (*self.requesters, *(worker.name for worker in self.workers if not worker.misbehaves))

    @property
    def nodes(self) -> int:
        """How many there are."""
        return len(self.requesters) + len(self.workers) + self.has_accomplice

    @property
    def misbehaving(self) -> int:
        """How many of them misbehave, with the accomplice."""
        return self.nodes - len(self.honest)

    def conduct(self, name: str) -> str:
        """Return how a node misbehaves; empty: it does not."""
        if name == ACCOMPLICE:
            return ACCOMPLICE
        return next((worker.misbehaves for worker in self.workers if worker.name == name), "")


def make_plan(seed: int, *, nodes: int, misbehaving: int, jobs: int) -> Plan:
    """Return the plan of a campaign.

    Args:
        seed: Decides everything.
        nodes: All, with requesters; at least NODES_MIN.
        misbehaving: How many of them misbehave, less than half of the workers.
        jobs: Of the honest requesters, at least 1.
    """
    assert nodes >= NODES_MIN, "the command line checks it"
    assert 0 <= misbehaving <= most_misbehaving(nodes), "the command line checks it"
    assert jobs >= 1, "the command line checks it"
    random = Random(seed)  # noqa: S311 - a plan that can be made again
    requesters = tuple(f"requester-{number}" for number in range(1, _requesters(nodes) + 1))
    conducts = _conducts(misbehaving)
    has_accomplice = FRIEND in conducts
    count = nodes - len(requesters) - has_accomplice
    honest: MisbehaviourName = ""
    order = conducts + [honest] * (count - len(conducts))
    random.shuffle(order)
    workers = tuple(
        WorkerPlan(
            f"worker-{number}", conduct, (CHEAP if conduct else PRICE) + PRICE_STEP * random.randrange(10)
        )
        for number, conduct in enumerate(order, 1)
    )
    friends = [worker.name for worker in workers if worker.misbehaves == FRIEND]
    planned = _jobs(random, requesters, friends, jobs)
    return Plan(seed, requesters, workers, has_accomplice, planned)


def most_misbehaving(nodes: int) -> int:
    """Return how many nodes of a network may misbehave: less than half of the workers, so that a majority is right."""
    return (nodes - _requesters(nodes) - 1) // 2


def _requesters(nodes: int) -> int:
    return min(REQUESTERS_MAX, max(1, nodes // NODES_PER_REQUESTER))


def _conducts(misbehaving: int) -> list[MisbehaviourName]:
    """Return what the misbehaving workers do; the accomplice, who comes once, is one of the misbehaving nodes."""
    found: list[MisbehaviourName] = []
    left = misbehaving
    number = 0
    while left:
        kind = KINDS[number % len(KINDS)]
        number += 1
        cost = 2 if kind == FRIEND and FRIEND not in found else 1
        if cost <= left:
            found.append(kind)
            left -= cost
    return found


def _jobs(
    random: Random, requesters: Sequence[str], friends: Sequence[str], count: int
) -> tuple[JobPlan, ...]:
    """Return the honest jobs with the faked ones among them."""
    planned = [(random.choice(requesters), random.choice(REDUNDANCIES), "") for _ in range(count)]
    for friend in friends:
        for _ in range(FAKES):
            planned.insert(random.randrange(len(planned) + 1), (ACCOMPLICE, 1, friend))
    return tuple(
        JobPlan(f"job-{number:03}", by, random.randrange(ANSWERS), redundancy, only)
        for number, (by, redundancy, only) in enumerate(planned, 1)
    )
