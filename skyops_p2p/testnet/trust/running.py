"""Submits a campaign's jobs, a few at a time, and follows them to their ends."""

from dataclasses import dataclass

from skyops_p2p.errors import NetworkError, SkyopsError
from skyops_p2p.testnet.demo_training import example_dir
from skyops_p2p.testnet.launcher import Testnet
from skyops_p2p.testnet.trust.jobs import job_tree
from skyops_p2p.testnet.trust.plan import JobPlan

CALL_TIMEOUT_S = 60.0


@dataclass
class Followed:
    """One job as it was last seen. Times are seconds from the beginning of the campaign."""

    plan: JobPlan
    job_id: str = ""
    submitted_s: float | None = None
    ended_s: float | None = None
    code: str = ""
    """How it ended, or with which code its node refused it."""

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.ended_s is not None

    @property
    def is_open(self) -> bool:
        """Whether it was submitted and has not ended."""
        return self.submitted_s is not None and not self.is_over


class Runner:
    """The jobs of a campaign.

    Args:
        testnet: Has them.
        plans: In the order of their submission.
        open_max: Jobs that are open at a time.
    """

    def __init__(self, testnet: Testnet, plans: tuple[JobPlan, ...], *, open_max: int) -> None:
        self.jobs = [Followed(plan) for plan in plans]
        self._testnet = testnet
        self._open_max = open_max
        self._peers = {entry.name: entry.peer_id for entry in testnet.record.nodes}

    @property
    def is_over(self) -> bool:
        """Whether every job has ended."""
        return all(job.is_over for job in self.jobs)

    @property
    def ended(self) -> int:
        """How many have."""
        return sum(job.is_over for job in self.jobs)

    def step(self, now_s: float) -> None:
        """See how the open jobs stand, and submit further ones where there is room."""
        for by in sorted({job.plan.by for job in self.jobs if job.is_open}):
            self._look(by, now_s)
        room = self._open_max - sum(job.is_open for job in self.jobs)
        waiting = [job for job in self.jobs if job.submitted_s is None and not job.is_over]
        for job in waiting[: max(room, 0)]:
            self._submit(job, now_s)

    def _look(self, by: str, now_s: float) -> None:
        try:
            rows = {row.job_id: row for row in self._testnet.client(by, timeout_s=CALL_TIMEOUT_S).jobs.list()}
        except NetworkError:  # it is busy: at the next look
            return
        for job in self.jobs:
            row = rows.get(job.job_id)
            if job.is_open and row is not None and row.is_over:
                job.ended_s, job.code = now_s, row.code

    def _submit(self, job: Followed, now_s: float) -> None:
        """Submit a job; one whose submission broke off is looked for by its name first."""
        try:
            client = self._testnet.client(job.plan.by, timeout_s=CALL_TIMEOUT_S)
            known = [row.job_id for row in client.jobs.list() if row.name == job.plan.name]
            tree = job_tree(job.plan, self._peers)
            job.job_id = (
                known[0] if known else client.jobs.submit(tree, base_dir=example_dir(), secrets={}).job_id
            )
        except NetworkError:  # nobody knows whether it was taken: at the next look
            return
        except SkyopsError as error:
            job.ended_s, job.code = now_s, error.code
            return
        job.submitted_s = now_s
