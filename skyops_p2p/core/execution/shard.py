"""One shard of a job on the requester's side: find a worker, lease it, watch it, and begin again where it broke.

Each lease has the next epoch; what comes under an older one is refused and changes nothing. The record is persisted
before anything is promised, so that a restarted node goes on with the lease that it had. Spec:
protocol/05-execution.md, "Shard". Diagram: machines/execution-shard.
"""

from typing import ClassVar

from skyops_p2p import limits
from skyops_p2p.core.execution import shard_events as ev
from skyops_p2p.core.execution.outcomes import (
    AWARD_OVER,
    GANG_BROKEN,
    GANG_FAILED,
    SUCCEEDED,
    Cause,
    outcome_of,
)
from skyops_p2p.core.execution.shard_checking import CheckedResults
from skyops_p2p.core.execution.shard_moves import LEASED
from skyops_p2p.core.execution.shard_record import Attempt, ShardState
from skyops_p2p.core.execution.shard_table import TRANSITIONS
from skyops_p2p.core.machine import DeadlineReached, Effect, Table
from skyops_p2p.types import MonotonicS

_W, _M, _O, _R = ShardState.WAITING, ShardState.MATCHING, ShardState.OPENING, ShardState.RUNNING
_F, _OK, _X, _C = ShardState.FETCHING, ShardState.SUCCEEDED, ShardState.FAILED, ShardState.CANCELLED
_K = ShardState.CHECKING
_OPEN = (_W, _M, _O, _R, _K, _F)
_OVER = (_OK, _X, _C)


class ShardRun(CheckedResults):
    """One shard.

    Args:
        policy: The job's word on trying again.
        record: As persisted; a new one for a new shard.
        grace_s: For a cancelled program.
        lease_s: How long a worker may take over one lease, all its steps together; None for ever.
        passes_awards: What it has no more use of is passed on, since the job has other shards.
    """

    TRANSITIONS: ClassVar[Table] = TRANSITIONS

    @property
    def takes_kept_award(self) -> bool:
        """Whether it can go on at once with a worker that has ended another shard. Rules: EXE-39."""
        return (self.state is _M or self._is_short) and not self._is_declined

    def next_deadline(self) -> MonotonicS | None:
        """See Machine."""
        if self.state not in _OPEN:
            return None
        instants = (self._total_until, self._pause_until, self._stop_until, self._lease_until)
        return min((at for at in instants if at is not None), default=None)

    def check_invariants(self) -> None:
        """See Machine."""
        self.record.check()
        assert self.record.state is self.state, "the record says another state"
        assert (self.state is _W) == (self._pause_until is not None), "a pause outside of waiting"
        assert (self._stop_until is not None) <= (self.state is _R and bool(self._breaking)), (
            "stopped for nothing"
        )
        assert self._is_short <= (self.state is _W), "short of a worker that it has"
        assert bool(self._breaking) <= (self.state in (_O, _R)), "no lease to end for a gang"

    # --- beginning --------------------------------------------------------------------------------------------------
    def _on_shard_begun(self, event: ev.ShardBegun, now: MonotonicS) -> list[Effect]:
        self._set_times(event.queue_until, event.total_until, now)
        return self._search("looking for a worker")

    def _on_shard_restored(self, event: ev.ShardRestored, now: MonotonicS) -> list[Effect]:
        self._set_times(event.queue_until, event.total_until, now)
        match self.state:
            case ShardState.OPENING | ShardState.RUNNING:
                assert self.worker is not None, "leased without a worker"
                self._is_unsure, self._may_be_broken = self.state is _O, True
                self._move(_O)
                return [ev.AttachLease(self.record.epoch, self.worker), ev.TellShard("attaching again")]
            case ShardState.CHECKING:
                assert self.worker is not None, "leased without a worker"
                return [ev.AttachLease(self.record.epoch, self.worker)]
            case ShardState.FETCHING:
                assert self.record.result is not None, "fetching without a result"
                return [ev.FetchOutputs(self.record.epoch, self.record.result)]
            case ShardState.WAITING:
                self._pause_until = now
                return []
            case _:
                return self._search("looking for a worker")

    def _on_match_found(self, event: ev.MatchFound, _now: MonotonicS) -> list[Effect]:
        is_wanted = self.takes_kept_award if event.is_kept else self.state is _M
        if not is_wanted:
            return [ev.PassAward(event.worker, event.award, event.price, event.tender_job, event.speed_milli)]
        search = [ev.StopSearch()] if event.is_kept and self.state is _M else []
        for _ in range(event.checkpoints_back):
            self.record = self.record.without_newest_checkpoint()
        if event.suspects:
            self.record = self.record.without_checkpoints_of(event.suspects)
        epoch = self.record.epoch + 1  # EXE-4
        attempt = Attempt(
            epoch,
            event.worker,
            event.price,
            event.award,
            event.tender_job,
            keepers=event.keepers,
            speed_milli=event.speed_milli,
        )
        self.record = self.record.leased(attempt)
        self._is_unsure = self._may_be_broken = self._is_declined = False
        self._is_kept = event.is_kept
        self._move(_O)
        resume = self.record.checkpoints[-1] if self.record.checkpoints else None
        return [
            *search,
            ev.StoreShard(),  # the epoch is used up before anybody hears of it
            ev.OpenLease(epoch, event.worker, event.award, resume, event.keepers),
            ev.TellShard(f"leased to {event.worker[-8:]} as epoch {epoch}"),
        ]

    def _on_match_failed(self, event: ev.MatchFailed, now: MonotonicS) -> list[Effect]:
        if self.state is not _M:
            return []
        if event.is_job_at_work:
            self._queue_until = MonotonicS(now + self._queue_s)
        if now >= self._queue_until:
            return self._fail("no_worker", f"{event.text} ({event.code})")
        self.record = self.record.forgiving()  # nobody else took it
        wait_until = MonotonicS(min(now + limits.JOB_NO_MATCH_PAUSE_S, self._queue_until))
        effects = self._pause(wait_until, f"no worker yet: {event.code}")
        self._is_short = True
        return effects

    # --- leased -----------------------------------------------------------------------------------------------------
    def _on_lease_granted(self, event: ev.LeaseGranted, now: MonotonicS) -> list[Effect]:
        self.is_gone = self.is_gone and not self._is_newest(event.epoch)
        if self.state is not _O or not self._is_newest(event.epoch):
            return []
        self._is_unsure = False
        self._move(_R)
        self._lease_until = None if self._lease_s is None else MonotonicS(now + self._lease_s)
        stop = self._ask_to_stop(now) if self._breaking else []
        return [ev.StoreShard(), ev.TellShard("running"), *stop]

    def _on_lease_denied(self, event: ev.LeaseDenied, now: MonotonicS) -> list[Effect]:
        if self.state is _K:
            return self._committed_lost(event.epoch, event.code)
        if self._is_kept and self.state is _O:  # EXE-39: whatever it says, it had promised nothing
            self._is_declined = self._is_newest(event.epoch)
            return self._attempt_failed(event.epoch, AWARD_OVER, event.text, now)
        code = self._told(event.code)
        if self._is_unsure and code == "unknown_lease":
            code = "restarted"
        if outcome_of(code).cause is Cause.JOB:  # only a receipt may say that  # EXE-20
            code = "worker_lied"
        return self._attempt_failed(event.epoch, code, event.text, now)

    def _on_lease_lost(self, event: ev.LeaseLost, now: MonotonicS) -> list[Effect]:
        if self.state is _K:
            return self._committed_lost(event.epoch, event.code)
        return self._attempt_failed(event.epoch, event.code, event.text, now)

    def _on_preemption_noticed(self, event: ev.PreemptionNoticed, _now: MonotonicS) -> list[Effect]:
        if self.state not in LEASED or not self._is_newest(event.epoch):
            return []
        self.is_noticed = self.state is not _F
        return [ev.TellShard(f"the worker will stop: {event.code}")]

    def _on_gang_broken(self, event: ev.GangBroken, now: MonotonicS) -> list[Effect]:
        if self.state in (_W, _M) and event.is_final:
            return self._fail(GANG_FAILED, "", then=self._stop_what_runs(GANG_FAILED))
        if self.state not in (_O, _R) or not self._is_newest(event.epoch):
            return []
        is_asked = self._stop_until is not None
        self._breaking = GANG_FAILED if event.is_final else self._breaking or GANG_BROKEN
        return [] if self.state is _O or is_asked else self._ask_to_stop(now)

    def _ask_to_stop(self, now: MonotonicS) -> list[Effect]:
        """Have the run saved and ended; its result, or the time for it, brings the shard on. Rules: EXE-28."""
        self._stop_until = MonotonicS(now + limits.CHECKPOINT_GRACE_S + limits.GANG_SAVE_S)
        stop = ev.AskToStop(self.record.epoch, GANG_BROKEN, limits.CHECKPOINT_GRACE_S)
        return [stop, ev.TellShard("stopped, for its gang is not complete")]

    def _on_checkpoint_received(self, event: ev.CheckpointReceived, _now: MonotonicS) -> list[Effect]:
        is_newer = event.sequence > self.record.checkpoint_sequence
        if self.state in _OVER or not self._is_newest(event.epoch) or not is_newer:
            return []
        if self.record.attempts[-1].is_spoilt:  # VER-27
            return []
        self.record = self.record.with_checkpoint(event.receipt, event.sequence)
        return [ev.StoreShard(), ev.FetchCheckpoint(event.receipt)]

    def _on_result_received(self, event: ev.ResultReceived, now: MonotonicS) -> list[Effect]:
        if self.state in (_W, _M, _F) or not self._is_newest(event.epoch):
            return []
        if self.state is _K:
            return self._result_shown(event)
        self.record = self.record.with_receipt(event.receipt)
        taken = ev.TakeResult(event.epoch, event.receipt)
        if self.state in _OVER:  # nobody wants it, or the ResultTaken was lost: the worker need not keep it
            return [ev.StoreShard(), taken]
        if event.code != SUCCEEDED:
            return self._attempt_failed(event.epoch, self._told(event.code), event.text, now, then=taken)
        return self._won(event.epoch, event.receipt, has_outputs=event.has_outputs)

    def _on_outputs_fetched(self, event: ev.OutputsFetched, _now: MonotonicS) -> list[Effect]:
        is_ours = self.state is _F and self._is_newest(event.epoch)
        return self._succeed() if is_ours else []

    def _on_outputs_unavailable(self, event: ev.OutputsUnavailable, now: MonotonicS) -> list[Effect]:
        if self.state is not _F:
            return []
        close = ev.StopLease(event.epoch, "superseded", 0.0)
        return self._attempt_failed(event.epoch, event.code, event.text, now, then=close)

    # --- ending -----------------------------------------------------------------------------------------------------
    def _on_cancel_requested(self, _event: ev.CancelRequested, _now: MonotonicS) -> list[Effect]:
        if self.state in _OVER:
            return []
        stop = self._stop_what_runs("cancelled")
        self.record = self.record.closed("cancelled", "")
        return self._end(_C, "cancelled", "", then=stop)

    def _on_retry_requested(self, event: ev.RetryRequested, now: MonotonicS) -> list[Effect]:
        self._set_times(event.queue_until, event.total_until, now)
        self.record = self.record.reopened()
        return self._search("trying again")

    def _on_deadline_reached(self, _event: DeadlineReached, now: MonotonicS) -> list[Effect]:
        if self.state not in _OPEN:
            return []
        if self._total_until is not None and now >= self._total_until:
            stop = self._stop_what_runs("cancelled")
            self.record = self.record.closed("cancelled", "the job's time was over")
            return self._fail("deadline_passed", "the job's time was over", then=stop)
        if self._stop_until is not None and now >= self._stop_until:
            close = ev.StopLease(self.record.epoch, GANG_BROKEN, 0.0)
            return self._attempt_failed(
                self.record.epoch, self._breaking, "it did not end in time", now, then=close
            )
        if self._lease_until is not None and now >= self._lease_until:
            return self._overdue(now)
        if self._pause_until is not None and now >= self._pause_until:
            return self._search("looking for a worker")
        return []

    def _overdue(self, now: MonotonicS) -> list[Effect]:
        """Give up a worker that says that it is there, and comes to no end. Rules: EXE-36."""
        close = ev.StopLease(self.record.epoch, "superseded", 0.0)
        return self._attempt_failed(self.record.epoch, "worker_overdue", "", now, then=close)
