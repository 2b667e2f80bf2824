"""What follows from a comparison: the verdict is written down, the right answer is taken, the losers are let go unpaid.

Spec: protocol/06-verification.md, "Verdict".
"""

import itertools
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from skyops_p2p.core.execution import shard_events as ev
from skyops_p2p.core.execution.outcomes import RESULTS_DIFFER, SUCCEEDED
from skyops_p2p.core.execution.shard_record import Attempt, ShardState
from skyops_p2p.core.verification.record import (
    Opened,
    Signatures,
    decided_by,
    judge_opened,
    make_verdict,
)
from skyops_p2p.core.verification.stretch import open_stretch
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
NO_CANARY, CANARY_FAILED = "no_canary", "canary_failed"
UNCHECKED = (NO_REPLICA, NO_BUDGET, NOT_DRAWN, NO_CANARY, CANARY_FAILED)
"""Why a result was taken that nobody has checked."""
_ALONE_TEXTS = {
    NO_REPLICA: "nobody else could compute it",
    NO_BUDGET: "price.total_max left nothing to have it computed by others",
}
_UNCHECKED_TEXTS = {
    NOT_DRAWN: "the spot checks leave this result out",
    NO_CANARY: "no other worker computes it, and it is no canary",
    CANARY_FAILED: "this node could not compute it, too: ",
}
REFEREED, CANARY = "refereed", "canary"
"""What came of a comparison that one stretch has decided; or this node, which computed the shard, too."""
_UNDER_WAY = (ShardState.CHECKING, ShardState.FETCHING)


class Committed(Protocol):
    """One that has committed; see members.Member."""

    @property
    def task(self) -> ShardTask:
        """Its shard."""

    @property
    def attempt(self) -> Attempt | None:
        """Its lease."""


@dataclass(frozen=True, slots=True)
class Grounds:
    """What a judgement rests on, besides what the workers have signed."""

    comparisons: tuple[ComparisonPart, ...] = ()
    """Of the class `numeric`."""
    stretch: StretchPart | None = None
    """What was run here to decide between two answers."""
    known: bytes | None = None
    """Answer root of the whole shard, 32 bytes, where it is a canary and was computed here."""

    def judge(self, opened: Sequence[Opened], network: str) -> Judgement:
        """Say whose answer stands. Rules: VER-13, VER-25, VER-30."""
        stretch = None if self.stretch is None else open_stretch(self.stretch, network)
        return judge_opened(opened, self.comparisons, stretch, self.known)

    def needed_known(self, opened: Sequence[Opened]) -> bytes | None:
        """Return what is known, if the majority does not say the same already. Rules: VER-30."""
        majority = judge_opened(opened, self.comparisons)
        is_same = majority.winner is not None and opened[majority.winner].answer.root == self.known
        is_shown = any(one.answer.root is not None for one in opened)
        return self.known if is_shown and not is_same else None


class Settling:
    """The end of one shard's comparison.

    Args:
        job: Whose shard it is.
        candidates: Returns from whom replicas were drawn.
    """

    def __init__(self, job: OpenJob, candidates: Callable[[], tuple[CandidatePart, ...]]) -> None:
        self._job = job
        self._candidates = candidates
        self._grounds = Grounds()
        """Of the newest comparison."""

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

    async def leave_unchecked(self, member: Committed, failed: str) -> None:
        """Take a result that nobody checks, and say so: no lot has fallen on it, or it is no canary.

        Args:
            member: Who has shown it.
            failed: Why this node could not compute it, though it is a canary; empty: it is none.

        Rules: VER-16, VER-22.
        """
        is_spared = self._job.spec.verification.redundancy > 1
        code = CANARY_FAILED if failed else NOT_DRAWN if is_spared else NO_CANARY
        member.task.note(f"{_UNCHECKED_TEXTS[code]}{failed}: it is taken unverified")
        await member.task.post(ev.ResultAccepted(_epoch(member), code))

    async def settle(
        self,
        committed: Sequence[Committed],
        signatures: Sequence[Signatures],
        opened: Sequence[Opened],
        *,
        judgement: Judgement,
        grounds: Grounds,
        alone: str,
    ) -> None:
        """Write the verdict down, tell the losers' machines, and the primary's if its answer stands.

        Args:
            committed: All that committed, the primary first.
            signatures: Theirs.
            opened: The same, opened.
            judgement: What they come to.
            grounds: What that rests on.
            alone: Why the primary's result is the only one, if it is: NO_REPLICA or NO_BUDGET.
        """
        self._grounds = grounds
        primary, epoch = committed[0].task, _epoch(committed[0])
        await self._write(primary, signatures, opened)
        if judgement.winner is None and "wrong" in judgement.faults:
            await self._all_wrong(committed, judgement)
            return
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
        if self._grounds.known is not None:
            return CANARY
        return REFEREED if self._grounds.stretch is not None else judgement.outcome.value

    def _whose(self) -> str:
        """Say of the result that stands why it does."""
        stretch = self._grounds.stretch
        if self._grounds.known is not None:
            return "what this node came to itself"
        if stretch is None:
            return "that of the majority"
        last = stretch.number * stretch.stride
        return f"what steps {last - stretch.stride} to {last} come to, run on this node"

    async def _all_wrong(self, committed: Sequence[Committed], judgement: Judgement) -> None:
        """Take no result, and have the shard computed anew: this node came to another one than all. Rules: VER-30."""
        (first, *others), (fault, *faults) = committed, judgement.faults
        for member, theirs in zip(others, faults, strict=True):
            await self._reject(member, theirs)
        code = FAULT_CODES[fault]
        self._blame(first.task, first.task.machine.worker, code)
        text = f"it is not {self._whose()}" if fault == "wrong" else ""
        await first.task.post(ev.ResultRejected(_epoch(first), code, text, is_again=True))

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
        self, primary: ShardTask, signatures: Sequence[Signatures], opened: Sequence[Opened]
    ) -> None:
        tools, shard, grounds = self._job.tools, primary.index, self._grounds
        known = grounds.needed_known(opened)
        verdict = make_verdict(
            signatures,
            network=tools.network,
            requester=peer_id_to_bytes(tools.own),
            made_unix_ms=tools.wall_clock.now_ms(),
            secret=self._job.draw_secret(shard),
            candidates=self._candidates(),
            comparisons=grounds.comparisons,
            binding=tools.own_binding(),
        )
        if grounds.stretch is not None or known is not None:
            verdict = decided_by(verdict, stretch=grounds.stretch, known=known)
        try:
            await tools.verdicts.keep(tools.sign(verdict), self._job.job_id, shard)
        except SkyopsError as error:
            log.warning("verdict_not_kept job=%s code=%s", self._job.short, error.code)
            primary.note(f"the verdict could not be written down: {error.message}")


def _epoch(member: Committed) -> int:
    assert member.attempt is not None, "only who has committed is judged"
    return member.attempt.epoch
