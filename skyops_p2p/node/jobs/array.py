"""An array on its requester's side: its shards look for workers a few at a time, and pass workers on to each other.

When a shard has ended well, its worker holds the award for a moment: another shard that still looks for a worker begins
there, without an auction. What nobody wants is given back at once. Spec: protocol/05-execution.md, "Kept awards".
"""

import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Protocol

import trio

from skyops_p2p import limits
from skyops_p2p.core.execution import shard_events as ev
from skyops_p2p.core.execution.shard_record import ShardRecord, ShardState
from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.node.jobs.tools import JobTools
from skyops_p2p.node.match_view import MatchStepView, MatchView
from skyops_p2p.types import PeerId

log = logging.getLogger(__name__)

_AT_WORK = (ShardState.OPENING, ShardState.RUNNING, ShardState.CHECKING, ShardState.FETCHING)


class ArrayShard(Protocol):
    """What an array sees of a shard; see ShardTask."""

    index: int

    @property
    def record(self) -> ShardRecord:
        """How it stands."""

    @property
    def takes_kept_award(self) -> bool:
        """Whether it can go on at once with a worker that has ended another shard."""

    def offer_award(self, found: ev.MatchFound) -> bool:
        """Queue a kept award for its machine, one at a time; False: it has no room."""


class Array:
    """The shards of one job that is no gang.

    Args:
        spec: The job.
        tools: Of the node.
        shards: All of the job's.
    """

    def __init__(self, spec: JobSpec, tools: JobTools, shards: Sequence[ArrayShard]) -> None:
        self._spec = spec
        self._tools = tools
        self._shards = shards
        self._turns = trio.CapacityLimiter(limits.ARRAY_MATCHES_MAX)
        self._matching: set[int] = set()
        """Shards whose turn it is."""
        self._rest_until = 0.0
        """Monotonic; no match before: one of them has found nobody just now, and the job is at work."""
        self._since: OrderedDict[bytes, float] = OrderedDict()
        """Award -> monotonic, when this node first had it; the newest AWARDS_REMEMBERED_MAX."""

    async def find(
        self,
        shard: int,
        excluded: tuple[PeerId, ...],
        tender_job: bytes,
        progress: Callable[[MatchStepView], None],
        *,
        computing: tuple[PeerId, ...] = (),
    ) -> MatchView:
        """Run a match for one shard when it is its turn; see Market.match.

        Raises:
            SkyopsError: As many matches run in this node as may.
        """
        async with self._turns:
            self._matching.add(shard)
            try:
                await trio.sleep_until(self._rest_until)
                ended = await self._tools.find_worker(
                    self._spec, progress, excluded=excluded, job_id=tender_job, computing=computing
                )
            finally:
                self._matching.discard(shard)
        if ended.is_matched:
            self._first_had(bytes.fromhex(ended.award_digest))
        elif self.is_at_work(shard):
            self._rest_until = trio.current_time() + limits.JOB_NO_MATCH_PAUSE_S
        return ended

    def is_at_work(self, besides: int) -> bool:
        """Tell whether another shard has a worker."""
        return any(one.index != besides and one.record.state in _AT_WORK for one in self._shards)

    def pass_on(self, award: ev.PassAward) -> None:
        """Have the next shard take a worker that is free again, or give it back. Rules: EXE-39."""
        is_of_use = self._is_trusted(award.worker) and not self._is_used_up(award.award)
        taker = self._taker(award) if is_of_use else None
        if taker is None:
            self._since.pop(award.award, None)
            self._tools.release_award(award.award)
            return
        log.info("award_passed_on worker=%s shard=%d", award.worker[-8:], taker)

    def _taker(self, award: ev.PassAward) -> int | None:
        """Offer an award to one shard after the other: those first whose match would not be for nothing."""
        found = ev.MatchFound(
            award.worker,
            award.award,
            award.price,
            award.tender_job,
            keepers=self._tools.choose_keepers(award.worker),
            is_kept=True,
            speed_milli=award.speed_milli,
        )
        takers = [one for one in self._shards if one.takes_kept_award]
        for one in sorted(takers, key=lambda one: one.index in self._matching):
            if one.offer_award(found):
                return one.index
        return None

    def _is_trusted(self, worker: PeerId) -> bool:
        """Tell whether no shard has been failed by a worker: who lied about one is given no second one like this."""
        return not any(worker in one.record.excluded for one in self._shards)

    def _is_used_up(self, award: bytes) -> bool:
        """Tell whether a worker would refuse, so that it need not be asked; a restart forgets it. Rules: EXE-38."""
        return trio.current_time() - self._first_had(award) >= self._spec.timeouts.execution

    def _first_had(self, award: bytes) -> float:
        """Return when this node first had an award; one that is not known it has since now."""
        since = self._since.setdefault(award, trio.current_time())
        while len(self._since) > limits.AWARDS_REMEMBERED_MAX:
            self._since.popitem(last=False)
        return since
