"""Runs a campaign: brings a network with misbehaving workers up, has all jobs done and paid, and compares all scores.

Nothing is sent to the chain while scores are compared: workers redeem only when they are asked to.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from skyops_p2p import limits
from skyops_p2p.testnet.demo_pace import measure_slowness, stretched_beat_s
from skyops_p2p.testnet.launcher import Progress, Testnet
from skyops_p2p.testnet.startup import bring_up
from skyops_p2p.testnet.topology import (
    BEAT_S_DEFAULT,
    BEATS_A_SECOND_MAX,
    NetworkPlan,
    NodePlan,
    Topology,
    expand,
)
from skyops_p2p.testnet.trust.checks import Breach, breaches_of, unsettled
from skyops_p2p.testnet.trust.plan import ACCOMPLICE, Plan
from skyops_p2p.testnet.trust.reading import Reader
from skyops_p2p.testnet.trust.running import Runner
from skyops_p2p.testnet.trust.seen import NodeSeen, Observation

UP_TIMEOUT_S = 240.0
KNOWN_TIMEOUT_S = 120.0
"""For every honest node to have looked up what all workers have at stake."""
JOB_TIMEOUT_S = 90.0
"""For each job, all of them together; OPEN_MAX run side by side."""
JOBS_TIMEOUT_S = 2 * limits.REVEAL_TIMEOUT_S
"""And for the last ones: whoever shows nothing is waited for."""
AGREE_TIMEOUT_S = limits.RECEIPT_REFUSED_S + 4 * limits.REPUTATION_LOOK_S
"""For receipts and verdicts to reach everybody, those too that came before their pair's money was seen, and for each
node's next looks at the chain."""
OPEN_PER_WORKERS = 3
"""One job is open for so many workers, as each is computed two or three times."""
OPEN_MIN = 2
SLOTS = 2
REDEEM_S_NEVER = 86_400.0
_LOOK_S = 1.0
_ASK_S = 3.0


@dataclass(frozen=True)
class Ended:
    """A campaign that has ended. Times are seconds from the first submission."""

    plan: Plan
    seen: Observation
    breaches: tuple[Breach, ...]
    slowness: float
    jobs_s: float
    """When the last job had ended, or was given up."""
    agreed_s: float
    """When all honest nodes had the same scores with all faults in them, or that was given up."""


class Campaign:
    """One campaign.

    Args:
        plan: Who misbehaves, and what is asked for.
        directory: Of its network, which is made.
        name: Of it.
        results: Where results are put; made here.
        progress: Told what goes on.
    """

    def __init__(self, plan: Plan, directory: Path, name: str, *, results: Path, progress: Progress) -> None:
        self._plan = plan
        self._directory = directory
        self._name = name
        self._results = results
        self._progress = progress
        self._slowness = 1.0
        self._began = 0.0
        self.testnet: Testnet | None = None
        """The network, once it is laid out."""

    def run(self) -> Ended:
        """Run it to its end; the network stays up.

        Raises:
            SkyopsError: The network did not come up, or a node does not answer any more.
        """
        plan, self._slowness = self._plan, measure_slowness()
        testnet = self.testnet = Testnet.create(
            self._directory, name=self._name, topology=topology(plan, self._slowness)
        )
        bring_up(testnet, timeout_s=UP_TIMEOUT_S * self._slowness, progress=self._progress)
        reader = Reader(testnet, plan, self._results)
        before = self._wait_scores(reader, KNOWN_TIMEOUT_S, lambda nodes: _unknown(nodes, plan))
        self._began = time.monotonic()
        runner = Runner(testnet, plan.jobs, open_max=max(OPEN_MIN, len(plan.workers) // OPEN_PER_WORKERS))
        self._run_jobs(runner)
        jobs_s = self._now()
        jobs = []
        for job in runner.jobs:
            self._progress(f"{self._now():.0f} s, looking at {job.plan.name}")
            jobs.append(reader.job(job))
        self._progress(f"{self._now():.0f} s, one result of each training is computed again")
        right = reader.right(runner.jobs, tuple(jobs))
        self._progress(f"{self._now():.0f} s, all workers redeem")
        earned = reader.settle()
        seen = Observation(tuple(jobs), right, before, (), earned, tuple(reader.troubles))
        after = self._wait_scores(
            reader, AGREE_TIMEOUT_S, lambda nodes: unsettled(replace(seen, after=nodes), plan)
        )
        seen = replace(seen, after=after)
        return Ended(plan, seen, breaches_of(seen, plan), self._slowness, jobs_s, self._now())

    def _run_jobs(self, runner: Runner) -> None:
        """Have all jobs done, or give the last ones up."""
        patience_s = (JOB_TIMEOUT_S * len(self._plan.jobs) + JOBS_TIMEOUT_S) * self._slowness
        while not runner.is_over and self._now() < patience_s:
            runner.step(self._now())
            self._progress(f"{self._now():.0f} s: {runner.ended} of {len(runner.jobs)} jobs have ended")
            time.sleep(_LOOK_S)

    def _wait_scores(
        self, reader: Reader, timeout_s: float, missing: Callable[[tuple[NodeSeen, ...]], list[str]]
    ) -> tuple[NodeSeen, ...]:
        """Ask all honest nodes for their scores until nothing is missing, or time is over; return the last ones.

        Raises:
            SkyopsError: A node does not answer.
        """
        deadline = time.monotonic() + timeout_s * self._slowness
        while True:
            nodes = reader.scores()
            waits_for = missing(nodes)
            if not waits_for or time.monotonic() > deadline:
                return nodes
            self._progress(f"{self._now():.0f} s, scores: {waits_for[0]}")
            time.sleep(_ASK_S)

    def _now(self) -> float:
        return time.monotonic() - self._began if self._began else 0.0


def topology(plan: Plan, slowness: float) -> Topology:
    """Return the network of a campaign: requesters, an accomplice if there is one, and workers."""
    names = [*plan.requesters, *([ACCOMPLICE] if plan.has_accomplice else [])]
    nodes = [NodePlan(name=name, worker=False) for name in names]
    nodes += [
        NodePlan(
            name=worker.name,
            slots=SLOTS,
            cpu_cores=4,
            price_microcredits_per_hour=worker.price,
            misbehaves=worker.misbehaves,
        )
        for worker in plan.workers
    ]
    beat_s = max(BEAT_S_DEFAULT, len(nodes) / BEATS_A_SECOND_MAX)
    network = NetworkPlan(beat_s=stretched_beat_s(beat_s, slowness), redeem_s=REDEEM_S_NEVER)
    return expand(Topology(network=network, nodes=tuple(nodes)))


def _unknown(nodes: tuple[NodeSeen, ...], plan: Plan) -> list[str]:
    """Return which honest nodes have not seen the stakes of all workers yet; at a first look they may not be there."""
    workers = {worker.name for worker in plan.workers}
    return [
        f"{node.name} has not looked up all stakes yet"
        for node in nodes
        if not workers <= {one.name for one in node.scores if one.standing == "good"}
    ]
