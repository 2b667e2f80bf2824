"""A gang on its requester's side: its members are looked for together, get workers all at once or none, and stop
together.

No lease is opened before all members that have not ended have an award. Where one member gets none, the awards of the
others are given back at once, so that somebody else can use what they hold. Spec: protocol/05-execution.md, "Gangs".
"""

import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import trio

from skyops_p2p import limits
from skyops_p2p.core.execution import shard_events as ev
from skyops_p2p.core.execution.gangs import common_cut
from skyops_p2p.core.execution.shard_record import ShardRecord, ShardState
from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.core.machine import Event
from skyops_p2p.errors import SkyopsError
from skyops_p2p.node.jobs.tools import JobTools
from skyops_p2p.node.match_view import MatchStepView, MatchView
from skyops_p2p.types import PeerId
from skyops_p2p.wire.envelope import peek
from skyops_p2p.wire.messages.execution import CheckpointReceipt
from skyops_p2p.wire.messages.gang import GangMemberPart, GangPart

log = logging.getLogger(__name__)

TOKEN_BYTES = 32
INCOMPLETE = "gang_incomplete"
_LOST = (ShardState.FAILED, ShardState.CANCELLED)
_DONE = (ShardState.SUCCEEDED, ShardState.FETCHING)
"""Their runs are over: the gang comes together without them."""


class GangShard(Protocol):
    """What a gang sees of a shard; see ShardTask."""

    index: int

    @property
    def record(self) -> ShardRecord:
        """How it stands."""

    @property
    def is_noticed(self) -> bool:
        """Whether its worker has said that it will stop the run."""

    async def post(self, event: Event) -> None:
        """Queue an event for its machine."""


@dataclass(slots=True)
class _Seeker:
    """A member that waits for a worker."""

    shard: int
    excluded: tuple[PeerId, ...]
    progress: Callable[[MatchStepView], None]
    view: MatchView | None = None
    """How its match ended, in the present attempt at forming the gang."""
    answer: MatchView | None = None
    """What it is told; None with an answer: its gang is incomplete, and there was no match."""
    answered: trio.Event = field(default_factory=trio.Event)

    @property
    def is_matched(self) -> bool:
        """Whether a worker holds its capacity for the member."""
        return self.view is not None and self.view.is_matched


class Gang:
    """The members of one job.

    Args:
        spec: The job.
        tools: Of the node.
        shards: All of the job's.
        begin_attempt: Counts another attempt, on disk, and returns its number.
    """

    def __init__(
        self,
        spec: JobSpec,
        tools: JobTools,
        *,
        shards: Sequence[GangShard],
        begin_attempt: Callable[[], Awaitable[int]],
    ) -> None:
        self.part: GangPart | None = None
        """What the leases of the present attempt say; None before the first."""
        self._spec = spec
        self._tools = tools
        self._shards = shards
        self._begin_attempt = begin_attempt
        self._seekers: dict[int, _Seeker] = {}
        self._cuts: dict[int, int] = {}
        self._told: set[tuple[int, int, bool]] = set()
        """(shard, epoch, is it final) of members that were told that their gang is broken."""
        self._beginning: set[int] = set()
        """Shards that were told to begin, and have not: what they were before does not count."""
        self._changed = trio.Event()
        self._forming = trio.CancelScope()
        self._failures = 0
        """Attempts at forming it that failed, in a row."""

    # --- what shards ask ------------------------------------------------------------------------------------------
    async def find(
        self, shard: int, excluded: tuple[PeerId, ...], progress: Callable[[MatchStepView], None]
    ) -> MatchView:
        """Wait until all members that have not ended look for a worker, and look for all of them.

        Returns:
            How it ended: matched for all of them, or for none.

        Raises:
            SkyopsError: Code `gang_incomplete`.
        """
        seeker = self._seekers[shard] = _Seeker(shard, excluded, progress)
        self._disturb()
        try:
            await seeker.answered.wait()
        finally:
            if self._seekers.get(shard) is seeker:
                del self._seekers[shard]
                self._disturb()
        if seeker.answer is None:
            raise SkyopsError(
                "a worker was not found for every member of the gang in time",
                code="gang_incomplete",
                hint="It is tried again by itself.",
            )
        return seeker.answer

    def checkpoints_back(self, shard: int) -> int:
        """Return how many of its newest checkpoints a member leaves out, so that the gang goes on from one cut."""
        return self._cuts.get(shard, 0)

    def notice(self) -> None:
        """Look at the shards again: something has happened to one."""
        self._changed.set()
        self._changed = trio.Event()

    # --- life -----------------------------------------------------------------------------------------------------
    async def run(self, beginning: Collection[int]) -> None:
        """Bring the members together, and apart, until cancelled.

        Args:
            beginning: The shards that are being told to begin.
        """
        self._beginning = set(beginning)
        while True:
            changed = self._changed
            self._beginning -= {one.index for one in self._shards if one.record.state not in _LOST}
            await self._break_up()
            if self._is_together():
                await self._form()
            else:
                await changed.wait()

    async def _break_up(self) -> None:
        """Stop members whose gang is not complete, or never will be; each is told once in a lease. Rules: EXE-28."""
        is_final = any(one.record.state in _LOST and one.index not in self._beginning for one in self._shards)
        is_broken = is_final or any(
            one.index in self._seekers or one.record.state is ShardState.WAITING or one.is_noticed
            for one in self._shards
        )
        if not is_broken:
            return
        for one in self._shards:
            told = (one.index, one.record.epoch, is_final)
            is_leased = one.record.state in (ShardState.OPENING, ShardState.RUNNING)
            is_sought = one.record.state in (ShardState.MATCHING, ShardState.WAITING)
            if told not in self._told and ((is_leased and not one.is_noticed) or (is_sought and is_final)):
                self._told.add(told)
                await one.post(ev.GangBroken(one.record.epoch, is_final))

    def _is_together(self) -> bool:
        """Tell whether all members that have not ended look for a worker."""
        states = {one.index: one.record.state for one in self._shards}
        if self._beginning or any(state in _LOST for state in states.values()):
            return False
        return bool(self._seekers) and all(
            state in _DONE or index in self._seekers for index, state in states.items()
        )

    def _disturb(self) -> None:
        """Begin again: a member has come or gone."""
        self._forming.cancel()
        self.notice()

    # --- forming --------------------------------------------------------------------------------------------------
    async def _form(self) -> None:
        """Look for a worker for each member, and give all of them their answer; disturbed, nobody gets one."""
        seekers = [self._seekers[shard] for shard in sorted(self._seekers)]
        is_whole = False
        self._forming = trio.CancelScope()
        with self._forming:
            try:
                await trio.sleep(self._pause_s())
                is_whole = await self._match_all(seekers) and await self._begin(seekers)
            finally:
                if not is_whole:
                    self._give_back(seekers)
        if not self._forming.cancelled_caught:
            self._failures = 0 if is_whole else self._failures + 1
            self._answer(seekers, is_whole=is_whole)

    def _pause_s(self) -> float:
        """Return a random pause: two gangs that want the same workers must not go on in step."""
        if not self._failures:
            return 0.0
        return self._tools.entropy.uniform() * min(limits.GANG_PAUSE_S_MAX, 2.0 ** min(self._failures, 16))

    async def _match_all(self, seekers: Sequence[_Seeker]) -> bool:
        """Run the members' matches; whether all have a worker within GANG_FORM_S of the first award.

        A few run side by side. They may take each other's workers away for a moment, so whoever found none then looks
        once more while nobody else does.
        """
        excluded = tuple({peer: None for seeker in seekers for peer in seeker.excluded})
        limiter = trio.CapacityLimiter(limits.GANG_MATCHES_MAX)
        with trio.CancelScope() as timer:
            async with trio.open_nursery() as nursery:
                for seeker in seekers:
                    nursery.start_soon(self._match, seeker, excluded, limiter, timer)
            for seeker in seekers:
                if not seeker.is_matched:
                    await self._match(seeker, excluded, limiter, timer)
                if not seeker.is_matched:
                    return False
        return all(seeker.is_matched for seeker in seekers)

    async def _match(
        self,
        seeker: _Seeker,
        excluded: tuple[PeerId, ...],
        limiter: trio.CapacityLimiter,
        timer: trio.CancelScope,
    ) -> None:
        async with limiter:
            tender_job = self._tools.entropy.token(16)
            try:
                seeker.view = await self._tools.find_worker(
                    self._spec, seeker.progress, excluded=excluded, job_id=tender_job
                )
            except SkyopsError as error:  # as many matches run as may
                log.info("gang_member_not_matched shard=%d code=%s", seeker.shard, error.code)
        if seeker.is_matched:
            timer.deadline = min(timer.deadline, trio.current_time() + limits.GANG_FORM_S)

    async def _begin(self, seekers: Sequence[_Seeker]) -> bool:
        """Write down that another attempt begins, and make what its leases say."""
        try:
            attempt = await self._begin_attempt()
        except SkyopsError as error:
            log.warning("gang_not_begun code=%s", error.code)
            return False
        members = tuple(self._member(seeker) for seeker in seekers)
        self.part = GangPart(
            token=self._tools.entropy.token(TOKEN_BYTES), attempt=attempt, members=members
        )  # EXE-28
        ranks = [seeker.shard for seeker in seekers]
        self._cuts = dict(zip(ranks, common_cut([self._labels(rank) for rank in ranks]), strict=True))
        return True

    def _member(self, seeker: _Seeker) -> GangMemberPart:
        assert seeker.view is not None, "a member without a match"
        holder = self._tools.holder_of(PeerId(seeker.view.winner))
        return GangMemberPart(
            rank=seeker.shard, peer=holder.peer, addrs=holder.addrs[: limits.GANG_ADDRS_MAX]
        )

    def _labels(self, rank: int) -> list[str]:
        record = next(one.record for one in self._shards if one.index == rank)
        return [peek(data, CheckpointReceipt).label for data in record.checkpoints]

    def _give_back(self, seekers: Sequence[_Seeker]) -> None:
        """Release what was awarded. Rules: EXE-28."""
        for seeker in seekers:
            if seeker.view is not None and seeker.view.is_matched:
                self._tools.release_award(bytes.fromhex(seeker.view.award_digest))

    def _answer(self, seekers: Sequence[_Seeker], *, is_whole: bool) -> None:
        lacking = [seeker for seeker in seekers if not seeker.is_matched]
        for seeker in seekers:
            view = seeker.view
            if view is not None and not is_whole:
                first = next((one.view for one in lacking if one.view is not None), None)
                detail = f"{len(lacking)} of {len(seekers)} members found no worker"
                detail += f": {first.code}" if first else ""
                view = view.model_copy(
                    update={"is_matched": False, "code": INCOMPLETE, "detail": detail, "winner": ""}
                )
            seeker.answer = view
            del self._seekers[seeker.shard]
            seeker.answered.set()
