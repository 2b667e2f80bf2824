"""What follows from a comparison: the verdict is written down, the right answer is taken, the losers are let go unpaid.

Spec: protocol/06-verification.md, "Verdict".
"""

import itertools
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from skyops_p2p.core.execution import shard_events as ev
from skyops_p2p.core.execution.outcomes import RESULTS_DIFFER, SUCCEEDED
from skyops_p2p.core.execution.shard_record import Attempt, ShardState
from skyops_p2p.core.verification.record import Opened, Signatures, decided_by, make_verdict
from skyops_p2p.core.verification.verdict import Judgement
from skyops_p2p.crypto.node_key import peer_id_to_bytes
from skyops_p2p.errors import SkyopsError
from skyops_p2p.node.jobs.open_job import OpenJob
from skyops_p2p.node.jobs.outputs_apart import outputs_apart
from skyops_p2p.node.jobs.shard_task import ShardTask
from skyops_p2p.types import PeerId
from skyops_p2p.wire.envelope import peek
from skyops_p2p.wire.messages.execution import ResultReceipt
from skyops_p2p.wire.messages.verification import CandidatePart, ComparisonPart, FaultName, StretchPart

log = logging.getLogger(__name__)

FAULT_CODES: dict[FaultName, str] = {"wrong": "result_wrong", "lied": "worker_lied", "no_reveal": "no_reveal"}
"""Fault -> outcome of the lease."""
NO_REPLICA, NO_BUDGET, NOT_DRAWN = "no_replica", "no_budget", "not_drawn"
UNCHECKED = (NO_REPLICA, NO_BUDGET, NOT_DRAWN)
"""Why a result was taken that nobody has checked."""
_ALONE_TEXTS = {
    NO_REPLICA: "nobody else could compute it",
    NO_BUDGET: "price.total_max left nothing to have it computed by others",
}
REFEREED = "refereed"
"""What came of a comparison that one stretch has decided."""
_UNDER_WAY = (ShardState.CHECKING, ShardState.FETCHING)


class Committed(Protocol):
    """One that has committed; see redundancy.Member."""

    @property
    def task(self) -> ShardTask:
        """Its shard."""

    @property
    def attempt(self) -> Attempt | None:
        """Its lease."""


class Settling:
    """The end of one shard's comparison.

    Args:
        job: Whose shard it is.
        candidates: Returns from whom replicas were drawn.
    """

    def __init__(self, job: OpenJob, candidates: Callable[[], tuple[CandidatePart, ...]]) -> None:
        self._job = job
        self._candidates = candidates
        self._stretch: StretchPart | None = None
        """What was run here to decide the newest comparison."""

    async def compare(self, opened: Sequence[Opened]) -> tuple[ComparisonPart, ...]:
        """Compare the opened answers of the class `numeric` with each other; of `exact` the roots say all.

        Rules: VER-12.
        """
        if self._job.compared != "numeric":
            return ()
        places = [place for place, one in enumerate(opened) if one.answer.root is not None]
        return tuple(
            [
                await outputs_apart(self._job, opened, first, second)
                for first, second in itertools.combinations(places, 2)
            ]
        )

    async def fetch(self, committed: Sequence[Committed]) -> list[bool]:
        """Fetch what of the class `numeric` is to be compared; of each, whether it is here or need not be.

        Whoever's outputs cannot be had has shown nothing.
        """
        return [await self._is_here(member) for member in committed]

    async def _is_here(self, member: Committed) -> bool:
        receipt = member.attempt.receipt if member.attempt is not None else None
        if self._job.compared != "numeric" or receipt is None:
            return True
        try:
            await member.task.content.fetch_outputs(receipt, member.task.note)
        except SkyopsError as error:
            log.info("outputs_not_compared job=%s code=%s", self._job.short, error.code)
            return False
        return True

    async def leave_unchecked(self, member: Committed) -> None:
        """Take a result on which no lot has fallen, and say that nobody has checked it. Rules: VER-16."""
        member.task.note("the spot checks leave this result out: it is taken unverified")
        await member.task.post(ev.ResultAccepted(_epoch(member), NOT_DRAWN))

    async def settle(
        self,
        committed: Sequence[Committed],
        signatures: Sequence[Signatures],
        opened: Sequence[Opened],
        *,
        judgement: Judgement,
        comparisons: Sequence[ComparisonPart],
        alone: str,
        stretch: StretchPart | None = None,
    ) -> None:
        """Write the verdict down, tell the losers' machines, and the primary's if its answer stands.

        Args:
            committed: All that committed, the primary first.
            signatures: Theirs.
            opened: The same, opened.
            judgement: What they come to.
            comparisons: Of the class `numeric`.
            alone: Why the primary's result is the only one, if it is: NO_REPLICA or NO_BUDGET.
            stretch: What was run here to decide between two of them.
        """
        self._stretch = stretch
        primary, epoch = committed[0].task, _epoch(committed[0])
        await self._write(primary, signatures, comparisons, stretch)
        if judgement.winner is None:
            await self._undecided(primary, epoch, opened, alone)
            return
        checked = self._checked(judgement)
        for member, fault in list(zip(committed, judgement.faults, strict=True))[1:]:
            if fault != "none":
                await self._reject(member, fault)
        if judgement.faults[0] == "none":
            if "wrong" in judgement.faults:
                primary.note(f"another worker's result was wrong; this one is {self._whose()}")
            await primary.post(ev.ResultAccepted(epoch, checked))

    async def replace(
        self,
        primary: ShardTask,
        right: Sequence[Committed],
        judgement: Judgement,
        *,
        settled: Callable[..., Awaitable[None]],
    ) -> None:
        """Have the primary's shard take a right answer, once its outputs are here.

        Args:
            primary: Of the shard; its own answer does not stand.
            right: Those whose answers stand.
            judgement: What was decided.
            settled: Waits until a shard is in none of some states.
        """
        code, epoch = FAULT_CODES[judgement.faults[0]], primary.record.epoch
        text = f"it is not {self._whose()}" if code == "result_wrong" else ""
        self._blame(primary, primary.machine.worker, code)
        for member in right:
            assert member.attempt is not None, "only who has committed is right"
            assert member.attempt.receipt is not None, "only who has shown is right"
            receipt, checked = member.attempt.receipt, self._checked(judgement)
            result = peek(receipt, ResultReceipt)
            if result.code == SUCCEEDED and result.outputs is not None:
                await member.task.post(ev.ResultAccepted(member.attempt.epoch, checked))
                await settled(member.task, *_UNDER_WAY)
                if member.task.machine.state is not ShardState.SUCCEEDED:
                    continue
            await primary.post(ev.ResultReplaced(epoch, receipt, checked, code, text))
            return
        lost = f"{text}, and the right results could not be fetched".removeprefix(", and ")
        await primary.post(ev.ResultRejected(epoch, code, lost, is_again=True))

    def _checked(self, judgement: Judgement) -> str:
        return REFEREED if self._stretch is not None else judgement.outcome.value

    def _whose(self) -> str:
        """Say of the result that stands why it does."""
        if self._stretch is None:
            return "that of the majority"
        last = self._stretch.number * self._stretch.stride
        return f"what steps {last - self._stretch.stride} to {last} come to, run on this node"

    async def _undecided(self, primary: ShardTask, epoch: int, opened: Sequence[Opened], alone: str) -> None:
        """Take the only result there is, and say so; or none, where they differ."""
        shown = [place for place, one in enumerate(opened) if one.answer.root is not None]
        if shown == [0]:
            primary.note(f"{_ALONE_TEXTS[alone]}: its result is taken unverified")
            await primary.post(ev.ResultAccepted(epoch, alone))
        elif len(shown) > 1:
            text = f"{len(shown)} workers came to different results, and no majority to one"
            await primary.post(ev.ResultRejected(epoch, RESULTS_DIFFER, text))
        else:
            code = "worker_lied" if opened[0].answer.has_lied else "no_reveal"
            await primary.post(ev.ResultRejected(epoch, code, "", is_again=True))

    async def _reject(self, member: Committed, fault: FaultName) -> None:
        code = FAULT_CODES[fault]
        self._blame(member.task, member.task.machine.worker, code)
        await member.task.post(ev.ResultRejected(_epoch(member), code, ""))

    def _blame(self, task: ShardTask, worker: PeerId | None, code: str) -> None:
        """Tell whoever watches that a worker's result is not taken, and why."""
        if worker is not None and code != FAULT_CODES["no_reveal"]:
            self._job.suspected(worker)
        if worker is not None:
            tools, shard = self._job.tools, task.index
            log.info("result_refused job=%s shard=%d code=%s", self._job.short, shard, code)
            tools.tell(
                "job", worker, f"{self._job.short}: its result is not taken: {code}; it is paid no further"
            )

    async def _write(
        self,
        primary: ShardTask,
        signatures: Sequence[Signatures],
        comparisons: Sequence[ComparisonPart],
        stretch: StretchPart | None,
    ) -> None:
        tools, shard = self._job.tools, primary.index
        verdict = make_verdict(
            signatures,
            network=tools.network,
            requester=peer_id_to_bytes(tools.own),
            made_unix_ms=tools.wall_clock.now_ms(),
            secret=self._job.draw_secret(shard),
            candidates=self._candidates(),
            comparisons=comparisons,
            binding=tools.own_binding(),
        )
        if stretch is not None:
            verdict = decided_by(verdict, stretch)
        try:
            await tools.verdicts.keep(tools.sign(verdict), self._job.job_id, shard)
        except SkyopsError as error:
            log.warning("verdict_not_kept job=%s code=%s", self._job.short, error.code)
            primary.note(f"the verdict could not be written down: {error.message}")


def _epoch(member: Committed) -> int:
    assert member.attempt is not None, "only who has committed is judged"
    return member.attempt.epoch
