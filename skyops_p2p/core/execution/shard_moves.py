"""What every step of a shard rests on: its record, its deadlines, and the ways to end an attempt or the shard. Pure.

shard.py has the steps; see there. Spec: protocol/05-execution.md, "Shard".
"""

from dataclasses import replace

from skyops_p2p import limits
from skyops_p2p.core.execution import shard_events as ev
from skyops_p2p.core.execution.faults import RetryPolicy, decide
from skyops_p2p.core.execution.outcomes import (
    AWARD_OVER,
    GANG_BROKEN,
    SUCCEEDED,
    Cause,
    outcome_of,
    told_code,
)
from skyops_p2p.core.execution.shard_record import ShardRecord, ShardState
from skyops_p2p.core.machine import Effect, Machine
from skyops_p2p.types import MonotonicS, PeerId

_M, _O, _R = ShardState.MATCHING, ShardState.OPENING, ShardState.RUNNING
_K, _F = ShardState.CHECKING, ShardState.FETCHING
_W, _OK, _X = ShardState.WAITING, ShardState.SUCCEEDED, ShardState.FAILED
LEASED = (_O, _R, _K, _F)
"""The states in which a lease stands."""


class ShardMoves(Machine[ShardState]):
    """The ground of a shard's machine.

    Args:
        policy: The job's word on trying again.
        record: As persisted; a new one for a new shard.
        grace_s: For a cancelled program.
        lease_s: How long a worker may take over one lease, all its steps together; None for ever.
        passes_awards: What it has no more use of is passed on, since the job has other shards.
    """

    def __init__(
        self,
        policy: RetryPolicy,
        record: ShardRecord | None = None,
        *,
        grace_s: float = limits.LEASE_STOP_GRACE_S,
        lease_s: float | None = None,
        passes_awards: bool = False,
    ) -> None:
        self.record = record or ShardRecord()
        super().__init__(self.record.state)
        self._policy = policy
        self._grace_s = grace_s
        self._passes_awards = passes_awards
        self._lease_s = lease_s
        self._lease_until: MonotonicS | None = None
        """When the worker that runs must have come to an end."""
        self._queue_s = 0.0
        """How long one search may last."""
        self._queue_until = MonotonicS(0.0)
        """When the search under way, or paused, is over."""
        self._is_short = False
        """It pauses since there was no worker, and for no other reason."""
        self._is_kept = False
        """The award of the newest lease had another shard's lease before."""
        self._is_declined = False
        """The worker of such an award did not take it: the next one comes from the market."""
        self._is_unsure = False
        """Restarted before the worker's answer came: it may never have heard of the lease."""
        self._may_be_broken = False
        """Restarted under the lease: it may have been told to end for its gang."""
        self._breaking = ""
        """How the lease is to end for its gang, `gang_broken` or `gang_failed`; empty: it is not."""
        self._stop_until: MonotonicS | None = None
        """When a run that was asked to stop for its gang must have ended."""
        self.is_noticed = False
        """The worker has said that it will stop the run."""
        self.is_gone = False
        """The worker has committed to a result, and is lost."""
        self._total_until: MonotonicS | None = None
        self._pause_until: MonotonicS | None = None

    @property
    def worker(self) -> PeerId | None:
        """The worker of the newest lease while it stands."""
        return None if self.record.lease is None else self.record.lease.worker

    def _is_newest(self, epoch: int) -> bool:
        """Tell whether something comes under the newest epoch; what does not changes nothing. Rules: EXE-6."""
        return epoch == self.record.epoch and bool(self.record.attempts)

    def _told(self, code: str) -> str:
        """Return what a worker's word for an end counts as; a run that is to end for its gang has no fault of its own.

        Rules: EXE-20, EXE-28.
        """
        is_own = outcome_of(code).cause is Cause.JOB or code in (GANG_BROKEN, "cancelled")
        if self._breaking and is_own:
            return self._breaking
        if code == AWARD_OVER or (code == GANG_BROKEN and not self._may_be_broken):
            return "worker_lied"
        return told_code(code)

    def _set_times(self, queue_until: MonotonicS, total_until: MonotonicS | None, now: MonotonicS) -> None:
        self._queue_until, self._total_until = queue_until, total_until
        self._queue_s = max(0.0, queue_until - now)

    def _attempt_failed(
        self, epoch: int, code: str, text: str, now: MonotonicS, *, then: Effect | None = None
    ) -> list[Effect]:
        """Close the newest attempt and go on as the fault rules say; `then` is performed once that is stored."""
        is_fetched = self.state is _F and then is None  # the outputs may have other holders than this worker
        if self.state not in LEASED or is_fetched or not self._is_newest(epoch):
            return []
        record = self.record.tallied(code)
        if code == "checkpoint_unavailable":
            record = record.without_newest_checkpoint()
        decision = decide(code, record.tally, self._policy)
        if decision.excludes_worker and record.lease is not None:
            record = record.excluding(record.lease.worker)
        self.record = record.closed(code, text)
        self._queue_until = MonotonicS(now + decision.after_s + self._queue_s)
        follow = () if then is None else (then,)
        if not decision.is_again:
            return self._fail(code, text or decision.reason, then=follow)
        why = f"{code}: {decision.reason}"
        if decision.after_s <= 0:
            return self._search(why, then=follow)
        return self._pause(MonotonicS(now + decision.after_s), why, then=follow)

    def _stop_what_runs(self, code: str) -> tuple[Effect, ...]:
        if self.state is _M:
            return (ev.StopSearch(),)
        return (ev.StopLease(self.record.epoch, code, self._grace_s),) if self.state in LEASED else ()

    def _search(self, text: str, *, then: tuple[Effect, ...] = ()) -> list[Effect]:
        self._move(_M)
        return [ev.StoreShard(), *then, ev.FindWorker(self.record.excluded), ev.TellShard(text)]

    def _pause(self, until: MonotonicS, text: str, *, then: tuple[Effect, ...] = ()) -> list[Effect]:
        self._move(_W)
        self._pause_until = until
        return [ev.StoreShard(), *then, ev.TellShard(text)]

    def _pass_award(self) -> tuple[Effect, ...]:
        """Let the job's next shard have the worker, which is free again. Rules: EXE-39."""
        last = self.record.attempts[-1]
        if not self._passes_awards or self.is_noticed:
            return ()
        return (ev.PassAward(last.worker, last.award, last.price, last.tender_job, last.speed_milli),)

    def _won(self, epoch: int, receipt: bytes, *, has_outputs: bool) -> list[Effect]:
        """Take a success, once its outputs are here."""
        self.record = replace(self.record, result=receipt)
        passed = self._pass_award()
        if not has_outputs:
            return self._succeed(then=passed)
        self._move(_F)
        fetch = ev.FetchOutputs(epoch, receipt)
        return [ev.StoreShard(), *passed, fetch, ev.TellShard("fetching outputs")]

    def _succeed(self, *, then: tuple[Effect, ...] = ()) -> list[Effect]:
        receipt = self.record.result
        assert receipt is not None, "success without a receipt"
        is_own = self.record.lease is not None
        self.record = self.record.closed(SUCCEEDED, "")
        taken = (ev.TakeResult(self.record.epoch, receipt),) if is_own else ()
        return self._end(_OK, SUCCEEDED, "", then=(*then, *taken))

    def _fail(self, code: str, text: str, *, then: tuple[Effect, ...] = ()) -> list[Effect]:
        return self._end(_X, code, text, then=then)

    def _end(self, state: ShardState, code: str, text: str, *, then: tuple[Effect, ...]) -> list[Effect]:
        self._move(state)
        self.record = replace(self.record, code=code, text=text)
        told = f"failed: {code}" if state is _X else state.value
        return [ev.StoreShard(), *then, ev.TellShard(told), ev.EndShard()]

    def _move(self, state: ShardState) -> None:
        self.state, self._pause_until, self._stop_until, self._lease_until = state, None, None, None
        self._is_short = False
        self.is_gone = False
        if state not in (_O, _R):
            self._breaking, self.is_noticed = "", False
        self.record = self.record.moved(state)
