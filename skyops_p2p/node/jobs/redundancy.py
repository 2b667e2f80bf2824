"""A shard whose result counts only if others compute the same: replicas are drawn, results shown together, and judged.

The primary's machine waits with its commitment (ShardState.CHECKING) until it is told here whose answer stands. A
replica is a job of its own with the same specification, which runs one shard; its worker cannot tell. A canary this
node computes, too, before anything is shown. What is decided follows from the records alone, so a restart goes on where
it was. Spec: protocol/06-verification.md, "Reveal".
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

import trio

from skyops_p2p import limits
from skyops_p2p.core.execution import shard_events as ev
from skyops_p2p.core.execution.shard_record import ShardState
from skyops_p2p.core.verification.record import Opened, Signatures, judge_opened, open_signatures
from skyops_p2p.core.verification.verdict import Answer, Judgement, Outcome
from skyops_p2p.errors import SkyopsError
from skyops_p2p.node.jobs.canaries import Canaries
from skyops_p2p.node.jobs.crew import Crew, Replica
from skyops_p2p.node.jobs.members import Member
from skyops_p2p.node.jobs.open_job import OpenJob
from skyops_p2p.node.jobs.records import ReplicaPart
from skyops_p2p.node.jobs.refereeing import Referee
from skyops_p2p.node.jobs.replica_search import ReplicaSearch
from skyops_p2p.node.jobs.settling import NO_BUDGET, NO_REPLICA, Grounds, Settling
from skyops_p2p.node.jobs.shard_task import ShardTask
from skyops_p2p.node.match_view import MatchStepView, MatchView
from skyops_p2p.types import PeerId

log = logging.getLogger(__name__)

ENOUGH = ("no_worker", "over_budget")
"""Ends of a replica after which no other is begun in this round: there is nobody, or no money."""


class Comparison:
    """One shard's results, compared.

    Args:
        job: Whose shard it is.
        primary: The shard.
        crew: Has the replicas.
        canaries: Which shards of the job this node computes, too.
    """

    def __init__(self, job: OpenJob, primary: ShardTask, crew: Crew, canaries: Canaries) -> None:
        self._job = job
        self._primary = primary
        self._crew = crew
        self._canaries = canaries
        self._moved = trio.Event()
        self._is_following = False
        self._replicas: list[Replica] = []
        self._round = 0
        self._asked: int | None = None
        """The round whose results are asked for."""
        self._reveal_until = float("inf")
        self.search = ReplicaSearch(job, self.members)
        self._settling = Settling(job, self.search.candidates)
        self._referee = Referee(job)

    @property
    def replicas(self) -> tuple[Replica, ...]:
        """Those of the shard, in the order in which they were drawn."""
        return tuple(self._replicas)

    def members(self) -> list[Member]:
        """Return who computes it, or has: the primary first."""
        found = [Member(self._primary, 0, None)]
        for replica in self._replicas:
            assert replica.replica_of is not None, "only replicas are hired"
            found += [Member(task, replica.replica_of.round, replica) for task in replica.shards]
        return found

    async def run(self) -> None:
        """Compare until the shard has ended, then let the replicas go; those of earlier attempts count no more."""
        self._forget()
        for replica in self._crew.replicas(self._job.job_id, self._primary.index):
            if self._is_of_this_attempt(replica):
                self._replicas.append(replica)
            else:  # a restart may have come before it was let go
                await replica.cancel()
        for member in self.members():
            member.task.on_move = self.wake
        self._round = max(member.round for member in self.members())
        await self._follow()

    def _forget(self) -> None:
        """Begin without replicas, in the first round, with nobody asked."""
        self._replicas, self._round, self._asked = [], 0, None

    def _is_of_this_attempt(self, replica: Replica) -> bool:
        """Tell whether a replica was drawn to check the lease that stands, or that the shard has ended with."""
        record, part = self._primary.record, replica.replica_of
        has_lease = record.state not in (ShardState.IDLE, ShardState.WAITING, ShardState.MATCHING)
        return has_lease and part is not None and part.of_epoch == record.epoch

    async def run_again(self, ended: trio.Event) -> None:
        """Compare once more when the shard, which has ended, has begun again.

        Args:
            ended: Set when it has ended again.

        Rules: VER-23.
        """
        self._forget()
        while self._primary.is_over and not ended.is_set():
            await self._moved.wait()
        await self._follow()

    async def _follow(self) -> None:
        if self._is_following:  # both ways to here may be taken after a restart
            return
        self._is_following = True
        try:
            await self._follow_to_its_end()
        finally:
            self._is_following = False

    async def _follow_to_its_end(self) -> None:
        while not self._primary.is_over:
            if not _is_in(self._primary, ShardState.CHECKING):
                await self._moved.wait()
            elif self._is_lone:  # nobody else computes it, so it waits for no turn
                await self._compare()
            else:
                async with self._crew.turns:
                    await self._compare()
        await self._let_go()

    async def _compare(self) -> None:
        while _is_in(self._primary, ShardState.CHECKING):
            await self._step()
        await self._end_of_comparison()

    @property
    def _is_lone(self) -> bool:
        """Whether no other worker computes it: none is ever drawn, or no lot has fallen on it. Rules: VER-16."""
        attempt = Member(self._primary, 0, None).attempt
        is_spared = attempt is not None and attempt.is_spared
        return is_spared or self._job.spec.verification.redundancy == 1

    def wake(self) -> None:
        """Look again: somebody has moved."""
        self._moved.set()
        self._moved = trio.Event()

    # --- one step -------------------------------------------------------------------------------------------------
    async def _step(self) -> None:
        """Do the next thing that follows from how all stand, or wait until something has moved."""
        moved, members = self._moved, self.members()
        committed = [member for member in members if member.attempt is not None]
        waiting = [member for member in members if member.is_waiting]
        if not self._is_revealing(members):
            able = sum(not member.is_lost for member in committed) + len(waiting)
            wanted = self._job.spec.verification.redundancy + self._round
            if able < wanted and self._may_hire(len(committed) + len(waiting)):
                await self._hire()
            elif waiting:
                await moved.wait()
            elif self._canaries.is_due(self._primary.index):
                await self._compute_canary()
            else:
                await self._ask(committed)
            return
        missing = [member for member in committed if not member.is_shown and not member.is_lost]
        if missing and self._asked != self._round:  # this node was restarted: whoever was asked may not know
            await self._ask(committed)
            return
        if missing and trio.current_time() < self._reveal_until:
            with trio.move_on_at(self._reveal_until):
                await moved.wait()
            return
        if self._canaries.is_due(self._primary.index):  # this node was restarted after it was shown
            await self._compute_canary()
            return
        await self._judge(committed)

    def _is_revealing(self, members: Sequence[Member]) -> bool:
        """Tell whether somebody knows a result of this round: whoever committed later could have known it too."""
        return self._asked == self._round or any(
            member.is_shown and member.round == self._round for member in members
        )

    def _may_hire(self, computing: int) -> bool:
        if self._is_lone:
            return False
        replicas = [member for member in self.members()[1:] if member.round == self._round]
        is_short = any(member.task.record.code in ENOUGH for member in replicas)
        is_room = computing < limits.VERIFICATION_WORKERS_MAX
        return not is_short and is_room and len(self._replicas) < limits.REPLICAS_PER_SHARD_MAX

    async def _hire(self) -> None:
        part = ReplicaPart(
            job_id=self._job.job_id,
            shard=self._primary.index,
            round=self._round,
            place=len(self._replicas),
            epoch=self._primary.record.epoch,
        )
        try:
            replica = await self._crew.hire(self._job, part)
        except SkyopsError as error:
            log.warning("replica_not_begun job=%s code=%s", self._job.short, error.code)
            self._primary.note(f"waits for the disk: {error.message}")
            await trio.sleep(limits.FLUSH_INTERVAL_S)
            return
        self._replicas.append(replica)
        for task in replica.shards:
            task.on_move = self.wake
        log.info("replica_begun job=%s shard=%d place=%d", self._job.short, part.shard, part.place)

    async def _ask(self, committed: Sequence[Member]) -> None:
        """Have all show what they have: nobody is still free to choose. Rules: VER-6, VER-8."""
        self._asked = self._round
        self._reveal_until = trio.current_time() + limits.REVEAL_TIMEOUT_S
        for member in committed:
            if member.attempt is None or member.is_shown:
                continue
            others = tuple(
                other.attempt.commit
                for other in committed
                if other is not member and other.attempt is not None and other.attempt.commit is not None
            )
            await member.task.post(ev.RevealWanted(member.attempt.epoch, others))

    async def _compute_canary(self) -> None:
        """Wait for what this node comes to itself; the shard may end meanwhile. Rules: VER-22."""
        self._primary.note("this node computes it, too, before it takes a result")
        await self._canaries.compute_until(self._wait_left, self._primary.index)

    async def _wait_left(self) -> None:
        await self._until_settled(self._primary, ShardState.CHECKING)

    # --- whose answer stands ----------------------------------------------------------------------------------------
    async def _judge(self, committed: Sequence[Member]) -> None:
        index = self._primary.index
        known = self._canaries.known(index)
        if known is None and self._is_lone and self._answer(committed[0]).root is not None:
            await self._settling.leave_unchecked(committed[0], self._canaries.why_given_up(index))
            await self._wait_left()
            return
        here = await self._settling.fetch(committed)
        signatures = [
            self._signatures(member)
            if is_here
            else replace(self._signatures(member), reveal=None, receipt=None)
            for member, is_here in zip(committed, here, strict=True)
        ]
        opened = [open_signatures(one, self._job.tools.network) for one in signatures]
        comparisons = await self._settling.compare(opened)
        stretch = None
        if known is None and not judge_opened(opened, comparisons).is_decided:
            stretch = await self._referee.decide_until(self._wait_left, self._primary, committed, opened)
        if not _is_in(self._primary, ShardState.CHECKING):
            return
        grounds = Grounds(comparisons, stretch, known)
        judgement = grounds.judge(opened, self._job.tools.network)
        if judgement.outcome is Outcome.FLAGGED and self._may_hire(len(committed)):
            self._round += 1
            self._tell_flagged(opened)
            return
        if judgement.winner is None and _are_apart(opened) and self._canaries.take_up(index):
            self._primary.note("no result has a majority, and nobody else computes it: this node decides")
            return
        await self._settling.settle(
            committed, signatures, opened, judgement=judgement, grounds=grounds, alone=self._alone()
        )
        await self._wait_decided(committed, judgement)

    def _alone(self) -> str:
        """Return why nobody else has computed it, if nobody has."""
        codes = {member.task.record.code for member in self.members()[1:]}
        return NO_BUDGET if "over_budget" in codes else NO_REPLICA

    async def _wait_decided(self, committed: Sequence[Member], judgement: Judgement) -> None:
        """Wait until the primary goes on; where it was wrong, it takes the first right answer that is here."""
        if judgement.winner is not None and judgement.faults[0] != "none":
            right = [one for one, fault in zip(committed, judgement.faults, strict=True) if fault == "none"]
            await self._settling.replace(self._primary, right, judgement, settled=self._until_settled)
        await self._wait_left()

    async def _until_settled(self, task: ShardTask, *states: ShardState) -> None:
        """Wait until a shard is in none of these states."""
        while _is_in(task, *states):
            await self._moved.wait()

    def _tell_flagged(self, opened: Sequence[Opened]) -> None:
        shown = sum(one.answer.root is not None for one in opened)
        text = f"{shown} results, and no majority among them: one more worker computes it"
        log.info("results_differ job=%s shard=%d", self._job.short, self._primary.index)
        self._primary.note(text)

    def _answer(self, member: Member) -> Answer:
        return open_signatures(self._signatures(member), self._job.tools.network).answer

    def _signatures(self, member: Member) -> Signatures:
        attempt = member.attempt
        assert attempt is not None, "only who has committed is judged"
        assert attempt.commit is not None, "only who has committed is judged"
        binding = self._job.tools.draws.binding(attempt.worker)
        return Signatures(member.round, attempt.commit, attempt.reveal, attempt.receipt, binding)

    # --- afterwards -------------------------------------------------------------------------------------------------
    async def _end_of_comparison(self) -> None:
        """Wait until the primary has its outputs; if it begins anew instead, so do all."""
        await self._until_settled(self._primary, ShardState.FETCHING)
        if not self._primary.is_over:
            await self._let_go()
            self._forget()

    async def _let_go(self) -> None:
        """Take what replicas have shown, which is right, and end what is still under way."""
        checked = self._primary.record.checked
        for member in self.members()[1:]:
            attempt = member.attempt
            if member.task.is_over or member.replica is None:
                continue
            if checked and attempt is not None and member.is_shown:
                await member.task.post(ev.ResultAccepted(attempt.epoch, checked, keeps_outputs=False))
            else:
                await member.replica.cancel()


def _are_apart(opened: Sequence[Opened]) -> bool:
    return sum(one.answer.root is not None for one in opened) > 1


def _is_in(task: ShardTask, *states: ShardState) -> bool:
    return task.machine.state in states


class Comparisons:
    """All comparisons of one job.

    Args:
        job: The job.
        shards: Its shards.
        crew: Has the replicas.
    """

    def __init__(self, job: OpenJob, shards: Sequence[ShardTask], crew: Crew) -> None:
        self._shards = {task.index: task for task in shards}
        self._canaries = Canaries(job, lambda shard, text: self._shards[shard].note(text))
        self._by_shard = {task.index: Comparison(job, task, crew, self._canaries) for task in shards}

    def of(self, shard: int) -> Comparison:
        """Return a shard's comparison."""
        return self._by_shard[shard]

    async def run(self) -> None:
        """Compare until all shards have ended; meanwhile the canaries are computed."""
        async with trio.open_nursery() as ahead:
            ahead.start_soon(self._canaries.run_ahead, lambda shard: self._shards[shard].is_over)
            async with trio.open_nursery() as nursery:
                for comparison in self._by_shard.values():
                    nursery.start_soon(comparison.run)
            ahead.cancel_scope.cancel()

    async def find(
        self,
        job: OpenJob,
        shard: int,
        excluded: tuple[PeerId, ...],
        *,
        tender_job: bytes,
        progress: Callable[[MatchStepView], None],
    ) -> MatchView:
        """Run a match for a shard or a replica of it; see ReplicaSearch.find."""
        return await self._by_shard[shard].search.find(
            job, shard, excluded, tender_job=tender_job, progress=progress
        )
