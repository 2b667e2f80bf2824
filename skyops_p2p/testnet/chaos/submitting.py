"""Submits a campaign's jobs and follows them, whatever happens to the nodes that have them.

A submission that broke off is looked for by its name before it is made again, so no job is submitted twice.
"""

from dataclasses import dataclass, field

from skyops_p2p.errors import NetworkError, SkyopsError
from skyops_p2p.node.control_client import ControlClient
from skyops_p2p.testnet.chaos.disturber import Disturber
from skyops_p2p.testnet.chaos.jobs import job_tree
from skyops_p2p.testnet.chaos.plan import JobPlan
from skyops_p2p.testnet.demo_training import example_dir
from skyops_p2p.testnet.launcher import Testnet

CALL_TIMEOUT_S = 20.0


@dataclass
class Followed:
    """One job as it was last seen. Times are seconds from the beginning of the campaign."""

    plan: JobPlan
    job_id: str = ""
    submitted_s: float | None = None
    ended_s: float | None = None
    code: str = ""
    refused: str = ""
    """Code, if its node refused it."""
    lost_s: float | None = None
    """Since when a shard's lease has been lost, while it has no new one."""
    recoveries_s: list[float] = field(default_factory=list)
    """From a lost lease to the next one."""
    metered_ms: dict[str, int] = field(default_factory=dict)
    """Lane -> the most that was ever metered."""
    _epochs: int = 0

    @property
    def is_open(self) -> bool:
        """Whether it has not ended."""
        return self.ended_s is None and not self.refused


class Follower:
    """The jobs of a campaign.

    Args:
        testnet: Has them.
        disturber: Knows who is down.
        plans: In the order of their submission.
    """

    def __init__(self, testnet: Testnet, disturber: Disturber, plans: tuple[JobPlan, ...]) -> None:
        self.jobs = [Followed(plan) for plan in plans]
        self._testnet = testnet
        self._disturber = disturber

    @property
    def open_count(self) -> int:
        """Jobs that were submitted and have not ended."""
        return sum(job.is_open and job.submitted_s is not None for job in self.jobs)

    @property
    def is_all_submitted(self) -> bool:
        """Whether every job was submitted, or refused."""
        return all(job.submitted_s is not None or job.refused for job in self.jobs)

    @property
    def is_over(self) -> bool:
        """Whether every job was submitted and has ended."""
        return not any(job.is_open for job in self.jobs)

    def client(self, name: str) -> ControlClient:
        """Return a client of a node.

        Raises:
            NetworkError: `node_not_running`.
        """
        return self._testnet.client(name, timeout_s=CALL_TIMEOUT_S)

    def submit_due(self, now_s: float, *, open_max: int) -> None:
        """Submit what is due; no more than `open_max` are open at a time. One whose node is down waits for it."""
        for job in self.jobs:
            if job.submitted_s is not None or job.refused or job.plan.at_s > now_s:
                continue
            if self.open_count >= open_max:
                return
            if not self._disturber.is_down(job.plan.by) and self._is_there(job.plan.needs):
                self._submit(job, now_s)

    def look(self, now_s: float) -> None:
        """See how the open jobs stand."""
        for by in {job.plan.by for job in self.jobs}:
            mine = [
                job for job in self.jobs if job.plan.by == by and job.submitted_s is not None and job.is_open
            ]
            if not mine or self._disturber.is_down(by):
                continue
            try:
                self._look_at(self.client(by), mine, now_s)
            except NetworkError:  # it is seen at the next look, or it counts as lost
                continue

    def _is_there(self, name: str) -> bool:
        return not name or any(job.plan.name == name and job.submitted_s is not None for job in self.jobs)

    def _submit(self, job: Followed, now_s: float) -> None:
        try:
            client = self.client(job.plan.by)
            known = [row.job_id for row in client.jobs.list() if row.name == job.plan.name]
            tree = job_tree(job.plan)
            job.job_id = (
                known[0] if known else client.jobs.submit(tree, base_dir=example_dir(), secrets={}).job_id
            )
        except NetworkError:  # nobody knows whether it was taken: it is looked for by its name
            return
        except SkyopsError as error:
            job.refused = error.code
            return
        job.submitted_s = now_s

    def _look_at(self, client: ControlClient, jobs: list[Followed], now_s: float) -> None:
        rows = {row.job_id: row for row in client.jobs.list()}
        for job in jobs:
            row = rows.get(job.job_id)
            if row is None:
                continue
            if row.is_over:
                job.ended_s, job.code = now_s, row.code
            if row.attempts:
                self._look_closer(client, job, now_s)

    def _look_closer(self, client: ControlClient, job: Followed, now_s: float) -> None:
        """Note the meters of its lanes, and how long it is without a worker after it has lost one."""
        for lane in client.payments.billing(job.job_id).lanes:
            job.metered_ms[lane.lane] = max(job.metered_ms.get(lane.lane, 0), lane.metered_ms)
        if not job.is_open:
            return
        attempts = [attempt for shard in client.jobs.show(job.job_id).shards for attempt in shard.attempts]
        running = len(attempts)
        if job.lost_s is not None and running > job._epochs:
            job.recoveries_s.append(now_s - job.lost_s)
            job.lost_s = None
        elif job.lost_s is None and any(attempt.code not in ("", "succeeded") for attempt in attempts[-1:]):
            job.lost_s = now_s
        job._epochs = running
