"""Looks at all that a campaign is judged by: results, verdicts, and the scores of every honest node."""

from pathlib import Path

from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.errors import SkyopsError
from skyops_p2p.node.control_client import ControlClient
from skyops_p2p.node.jobs.job_views import JobView
from skyops_p2p.node.reputation.views import ReputationRowView
from skyops_p2p.testnet.launcher import Testnet
from skyops_p2p.testnet.trust.plan import Plan
from skyops_p2p.testnet.trust.running import Followed
from skyops_p2p.testnet.trust.seen import JobSeen, JudgedSeen, NodeSeen, ScoreSeen

ANSWER_TIMEOUT_S = 120.0
"""For one answer of a node: it runs a job again, or waits for a block."""
OWN = {"own_credibility": 0}
"""What of a row is a node's own."""


class Reader:
    """Reads a network's nodes.

    Args:
        testnet: All of it alive.
        plan: Who is who.
        folder: Empty; results are put there.
    """

    def __init__(self, testnet: Testnet, plan: Plan, folder: Path) -> None:
        self._testnet = testnet
        self._plan = plan
        self._folder = folder
        self._names = {entry.peer_id: entry.name for entry in testnet.record.nodes}
        self.troubles: list[tuple[str, str]] = []
        """(code, a sentence): what could not be looked at."""

    def client(self, name: str) -> ControlClient:
        """Return a client of a node that may take its time."""
        return self._testnet.client(name, timeout_s=ANSWER_TIMEOUT_S)

    # --- scores ---------------------------------------------------------------------------------------------------
    def scores(self) -> tuple[NodeSeen, ...]:
        """Return what every honest node thinks of everybody.

        Raises:
            SkyopsError: One does not answer.
        """
        return tuple(self._node(name) for name in self._plan.honest)

    def _node(self, name: str) -> NodeSeen:
        view = self.client(name).payments.reputation()
        scores = tuple(self._score(row) for row in view.rows)
        return NodeSeen(name, view.epoch, view.evidence, view.receipts, scores, view.is_behind)

    def _score(self, row: ReputationRowView) -> ScoreSeen:
        shared = row.model_copy(update=OWN)
        who = self._names.get(row.peer_id, row.wallet)
        return ScoreSeen(
            who, row.role, shared.model_dump_json(), row.credibility, row.bad_micro, row.standing
        )

    # --- results --------------------------------------------------------------------------------------------------
    def job(self, job: Followed) -> JobSeen:
        """Return how a job ended, with what its user got of it."""
        plan = job.plan
        took_s = (job.ended_s or 0.0) - (job.submitted_s or 0.0)
        none = JobSeen(plan.name, plan.by, plan.redundancy, job.code, took_s, "", plan.answer, "", (), ())
        if not job.job_id:
            return none
        try:
            return self._looked_at(job, took_s)
        except SkyopsError as error:
            self.troubles.append((error.code, f"{plan.name}: {error.message}"))
            return none

    def right(self, jobs: list[Followed], seen: tuple[JobSeen, ...]) -> dict[int, str]:
        """Have one result of each training computed again on its requester's own node; return their digests.

        Args:
            jobs: All.
            seen: The same, looked at.
        """
        found: dict[int, str] = {}
        for job, its in zip(jobs, seen, strict=True):
            if job.plan.answer in found or not its.digest or job.plan.by not in self._plan.requesters:
                continue
            try:
                if self.client(job.plan.by).jobs.verify(job.job_id, shard=0).is_same:
                    found[job.plan.answer] = its.digest
            except SkyopsError as error:
                self.troubles.append((error.code, f"{job.plan.name} computed again: {error.message}"))
        return found

    def _looked_at(self, job: Followed, took_s: float) -> JobSeen:
        client, plan = self.client(job.plan.by), job.plan
        view: JobView = client.jobs.show(job.job_id)
        (shard,) = view.shards
        judged: tuple[JudgedSeen, ...] = ()
        findings: tuple[str, ...] = ()
        is_heard = False
        if shard.checked in ("agreed", "decided", "refereed"):
            verdict = client.jobs.verdict(job.job_id)
            judged = tuple(JudgedSeen(self._name(one.worker), one.fault) for one in verdict.judged)
            findings = verdict.findings
            is_heard = verdict.is_drawn and verdict.is_reworked
        workers = [*(one.worker for one in shard.attempts), *(one.worker for one in shard.replicas)]
        return JobSeen(
            name=plan.name,
            by=plan.by,
            redundancy=plan.redundancy,
            code=view.code,
            took_s=took_s,
            checked=shard.checked,
            answer=plan.answer,
            digest=self._digest(client, job) if view.state == "succeeded" else "",
            workers=tuple(self._name(peer) for peer in workers if peer),
            judged=judged,
            findings=findings,
            is_heard=is_heard,
        )

    def _digest(self, client: ControlClient, job: Followed) -> str:
        """Return the digest of the files that a user gets."""
        folder = self._folder / job.plan.name
        client.jobs.result(job.job_id, folder)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        parts = [str(path.relative_to(folder)).encode() + b"\0" + sha256(path.read_bytes()) for path in files]
        return sha256(b"".join(parts)).hex()

    def _name(self, peer: str) -> str:
        return self._names.get(peer, peer[-8:])

    # --- money ----------------------------------------------------------------------------------------------------
    def settle(self) -> dict[str, int]:
        """Have every worker redeem what it has; return what each says that it has earned."""
        earned: dict[str, int] = {}
        for worker in self._plan.workers:
            try:
                payments = self.client(worker.name).payments
                payments.settle()
                earned[worker.name] = payments.earnings().paid_wei
            except SkyopsError as error:
                self.troubles.append((error.code, f"{worker.name} did not redeem: {error.message}"))
        return earned
