"""One shard of a job on the requester's side: find a worker, lease it, watch it, and begin again where it broke.

Each lease has the next epoch; what comes under an older one is refused and changes nothing. The record is persisted
before anything is promised, so that a restarted node goes on with the lease that it had. Spec:
protocol/05-execution.md, "Shard". Diagram: machines/execution-shard.
"""

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import ClassVar

from skyops_p2p import limits
from skyops_p2p.core.execution import shard_events as ev
from skyops_p2p.core.execution.faults import Record, RetryPolicy, decide
from skyops_p2p.core.execution.outcomes import SUCCEEDED, Cause, outcome_of
from skyops_p2p.core.machine import DeadlineReached, Effect, Machine, Table, to
from skyops_p2p.types import MonotonicS, PeerId


class ShardState(Enum):
    """Where a shard is."""

    IDLE = "idle"
    WAITING = "waiting"
    """A pause before the next attempt or search."""
    MATCHING = "matching"
    OPENING = "opening"
    """A lease is being opened, or attached to again."""
    RUNNING = "running"
    FETCHING = "fetching"
    """The run is over and its outputs are on their way."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """Kept with everything needed to go on by hand: `skyops retry`."""
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One lease, as the record keeps it."""

    epoch: int
    worker: PeerId
    price: int
    """Microcredits an hour."""
    award: bytes
    tender_job: bytes
    code: str = ""
    """How it ended; empty while it stands."""
    text: str = ""


@dataclass(frozen=True, slots=True)
class ShardRecord:
    """What is known of a shard; persisted as a whole."""

    state: ShardState = ShardState.IDLE
    epoch: int = 0
    """Of the newest lease; 0 before the first."""
    attempts: tuple[Attempt, ...] = ()
    """At most ATTEMPTS_KEPT, oldest first."""
    tally: Record = field(default_factory=Record)
    excluded: tuple[PeerId, ...] = ()
    checkpoints: tuple[bytes, ...] = ()
    """Enveloped receipts, oldest first; at most CHECKPOINTS_KEPT."""
    checkpoint_sequence: int = 0
    result: bytes | None = None
    """Enveloped receipt of the result that counts."""
    code: str = ""
    """Outcome; empty before the end."""
    text: str = ""


ATTEMPTS_KEPT = 32
EXCLUDED_MAX = limits.JOB_PEERS_MAX
_I, _W, _M, _O = ShardState.IDLE, ShardState.WAITING, ShardState.MATCHING, ShardState.OPENING
_R, _F, _OK = ShardState.RUNNING, ShardState.FETCHING, ShardState.SUCCEEDED
_X, _C = ShardState.FAILED, ShardState.CANCELLED
_OPEN = (_W, _M, _O, _R, _F)
_OVER = (_OK, _X, _C)
_LEASED = (_O, _R, _F)
_NEXT = (_W, _M, _X)
"""Where a failed attempt may lead."""


class ShardRun(Machine[ShardState]):
    """One shard.

    Args:
        policy: The job's word on trying again.
        record: As persisted; a new one for a new shard.
        grace_s: For a cancelled program.
        checks_deadline: Whether an overdue shard fails; see ShardBegun.
    """

    TRANSITIONS: ClassVar[Table] = {
        (_I, ev.ShardBegun): to(_M),
        (_I, ev.CancelRequested): to(_C),
        **{(state, ev.ShardRestored): to(*_OPEN, _X) for state in (_I, *_OPEN)},
        (_M, ev.MatchFound): to(_O),
        (_M, ev.MatchFailed): to(_W, _X),
        (_O, ev.LeaseGranted): to(_O, _R),
        **{(state, ev.LeaseGranted): to(state) for state in (_R, _F, *_OVER, _W, _M)},
        **{(state, ev.LeaseDenied): to(state, *_NEXT) for state in (_O, _R, _F)},
        **{(state, ev.CheckpointReceived): to(state) for state in (*_OPEN, *_OVER)},
        **{(state, ev.ResultReceived): to(state, _F, _OK, *_NEXT) for state in (_O, _R)},
        (_F, ev.ResultReceived): to(_F),
        **{(state, ev.LeaseLost): to(state, *_NEXT) for state in (_O, _R)},
        (_F, ev.LeaseLost): to(_F),
        **{(state, ev.PreemptionNoticed): to(state) for state in (*_OPEN, *_OVER)},
        (_F, ev.OutputsFetched): to(_F, _OK),
        (_F, ev.OutputsUnavailable): to(_F, *_NEXT),
        **{(state, ev.CancelRequested): to(_C) for state in _OPEN},
        **{(state, ev.CancelRequested): to(state) for state in _OVER},
        (_X, ev.RetryRequested): to(_M),
        (_C, ev.RetryRequested): to(_M),
        **{(state, DeadlineReached): to(state, _M, _X) for state in ShardState},
        # What was under way when the shard went on may still report.
        **{
            (state, event): to(state)
            for state in (_W, _M, *_OVER)
            for event in (ev.ResultReceived, ev.LeaseLost, ev.LeaseDenied)
        },
        **{
            (state, event): to(state)
            for state in (_W, _M, _O, _R, *_OVER)
            for event in (ev.OutputsFetched, ev.OutputsUnavailable)
        },
        **{(state, ev.MatchFailed): to(state) for state in (_W, *_LEASED, *_OVER)},
        **{(state, ev.MatchFound): to(state) for state in (_W, *_LEASED, *_OVER)},
    }

    def __init__(
        self,
        policy: RetryPolicy,
        record: ShardRecord | None = None,
        *,
        grace_s: float = limits.LEASE_STOP_GRACE_S,
    ) -> None:
        self.record = record or ShardRecord()
        super().__init__(self.record.state)
        self._policy = policy
        self._grace_s = grace_s
        self._queue_until: MonotonicS | None = None
        self._total_until: MonotonicS | None = None
        self._pause_until: MonotonicS | None = None

    @property
    def worker(self) -> PeerId | None:
        """The worker of the newest lease while it stands."""
        last = self.record.attempts[-1] if self.record.attempts else None
        return last.worker if last and not last.code else None

    def next_deadline(self) -> MonotonicS | None:
        """See Machine."""
        if self.state not in _OPEN:
            return None
        instants = [at for at in (self._total_until, self._pause_until) if at is not None]
        return min(instants, default=None)

    def check_invariants(self) -> None:
        """See Machine."""
        record = self.record
        assert record.state is self.state, "the record says another state"
        assert (self.state in _OVER) == bool(record.code), "over means stated why"
        assert (self.state is _W) == (self._pause_until is not None), "a pause outside of waiting"
        assert (self.state in _LEASED) <= (self.worker is not None), "leased without a worker"
        assert (self.state is _OK) <= (record.result is not None), "success without a receipt"
        assert record.epoch >= len(record.attempts) or len(record.attempts) == ATTEMPTS_KEPT, "epochs repeat"
        epochs = [attempt.epoch for attempt in record.attempts]
        assert epochs == sorted(set(epochs)), "epochs do not rise"

    # --- beginning --------------------------------------------------------------------------------------------------
    def _on_shard_begun(self, event: ev.ShardBegun, _now: MonotonicS) -> list[Effect]:
        self._queue_until, self._total_until = event.queue_until, event.total_until
        return self._search("looking for a worker")

    def _on_shard_restored(self, event: ev.ShardRestored, now: MonotonicS) -> list[Effect]:
        self._queue_until, self._total_until = event.queue_until, event.total_until
        match self.state:
            case ShardState.OPENING | ShardState.RUNNING if self.worker is not None:
                self._move(_O)
                return [ev.AttachLease(self.record.epoch, self.worker), ev.TellShard("attaching again")]
            case ShardState.FETCHING if self.record.result is not None:
                return [ev.FetchOutputs(self.record.epoch, self.record.result)]
            case ShardState.WAITING:
                self._pause_until = now
                return []
            case _:
                return self._search("looking for a worker")

    def _on_match_found(self, event: ev.MatchFound, _now: MonotonicS) -> list[Effect]:
        if self.state is not _M:
            return []
        epoch = self.record.epoch + 1  # EXE-4
        attempt = Attempt(epoch, event.worker, event.price, event.award, event.tender_job)
        self.record = replace(
            self.record,
            epoch=epoch,
            attempts=(*self.record.attempts, attempt)[-ATTEMPTS_KEPT:],
            tally=replace(self.record.tally, attempts=self.record.tally.attempts + 1),
        )
        self._move(_O)
        resume = self.record.checkpoints[-1] if self.record.checkpoints else None
        return [
            ev.StoreShard(),  # the epoch is used up before anybody hears of it
            ev.OpenLease(epoch, event.worker, event.award, resume),
            ev.TellShard(f"leased to {event.worker[-8:]} as epoch {epoch}"),
        ]

    def _on_match_failed(self, event: ev.MatchFailed, now: MonotonicS) -> list[Effect]:
        if self.state is not _M:
            return []
        if self._queue_until is None or now >= self._queue_until:
            return self._fail("no_worker", f"{event.text} ({event.code})")
        wait_until = MonotonicS(min(now + limits.JOB_NO_MATCH_PAUSE_S, self._queue_until))
        return self._pause(wait_until, f"no worker yet: {event.code}")

    # --- leased -----------------------------------------------------------------------------------------------------
    def _on_lease_granted(self, event: ev.LeaseGranted, _now: MonotonicS) -> list[Effect]:
        if self.state is not _O or event.epoch != self.record.epoch:
            return []
        self._move(_R)
        return [ev.StoreShard(), ev.TellShard("running")]

    def _on_lease_denied(self, event: ev.LeaseDenied, now: MonotonicS) -> list[Effect]:
        return self._attempt_failed(event.epoch, event.code, event.text, now)

    def _on_lease_lost(self, event: ev.LeaseLost, now: MonotonicS) -> list[Effect]:
        if self.state is _F:
            return []  # the outputs may have other holders
        return self._attempt_failed(event.epoch, event.code, "", now)

    def _on_preemption_noticed(self, event: ev.PreemptionNoticed, _now: MonotonicS) -> list[Effect]:
        is_ours = self.state in _LEASED and event.epoch == self.record.epoch
        return [ev.TellShard(f"the worker will stop: {event.code}")] if is_ours else []

    def _on_checkpoint_received(self, event: ev.CheckpointReceived, _now: MonotonicS) -> list[Effect]:
        is_newer = event.sequence > self.record.checkpoint_sequence
        if self.state in _OVER or event.epoch != self.record.epoch or not is_newer:  # EXE-6
            return []
        self.record = replace(
            self.record,
            checkpoints=(*self.record.checkpoints, event.receipt)[-limits.CHECKPOINTS_KEPT :],
            checkpoint_sequence=event.sequence,
            tally=replace(self.record.tally, failures_in_row=0),
        )
        return [ev.StoreShard(), ev.FetchCheckpoint(event.receipt)]

    def _on_result_received(self, event: ev.ResultReceived, now: MonotonicS) -> list[Effect]:
        if self.state not in (_O, _R) or event.epoch != self.record.epoch:  # EXE-6
            return []
        if event.code != SUCCEEDED:
            taken = ev.TakeResult(event.epoch, event.receipt)
            return [*self._attempt_failed(event.epoch, event.code, event.text, now), taken]
        self.record = replace(self.record, result=event.receipt)
        if not event.has_outputs:
            return self._succeed()
        self._move(_F)
        return [
            ev.StoreShard(),
            ev.FetchOutputs(event.epoch, event.receipt),
            ev.TellShard("fetching outputs"),
        ]

    def _on_outputs_fetched(self, event: ev.OutputsFetched, _now: MonotonicS) -> list[Effect]:
        is_ours = self.state is _F and event.epoch == self.record.epoch
        return self._succeed() if is_ours else []

    def _on_outputs_unavailable(self, event: ev.OutputsUnavailable, now: MonotonicS) -> list[Effect]:
        if self.state is not _F or event.epoch != self.record.epoch:
            return []
        self.record = replace(self.record, result=None)
        return self._attempt_failed(event.epoch, event.code, event.text, now)

    # --- ending -----------------------------------------------------------------------------------------------------
    def _on_cancel_requested(self, _event: ev.CancelRequested, _now: MonotonicS) -> list[Effect]:
        if self.state in _OVER:
            return []
        stop = self._stop_what_runs("cancelled")
        self._close_attempt("cancelled", "")
        self._end(_C, "cancelled", "")
        return [ev.StoreShard(), *stop, ev.TellShard("cancelled"), ev.EndShard()]

    def _on_retry_requested(self, event: ev.RetryRequested, _now: MonotonicS) -> list[Effect]:
        self._queue_until, self._total_until = event.queue_until, event.total_until
        self.record = replace(self.record, code="", text="", result=None, tally=Record(), excluded=())
        return self._search("trying again")

    def _on_deadline_reached(self, _event: DeadlineReached, now: MonotonicS) -> list[Effect]:
        if self.state not in _OPEN:
            return []
        if self._total_until is not None and now >= self._total_until:
            stop = self._stop_what_runs("cancelled")
            self._close_attempt("cancelled", "the job's time was over")
            return [*self._fail("deadline_passed", "the job's time was over"), *stop]
        if self._pause_until is not None and now >= self._pause_until:
            return self._search("looking for a worker")
        return []

    # --- all --------------------------------------------------------------------------------------------------------
    def _attempt_failed(self, epoch: int, code: str, text: str, now: MonotonicS) -> list[Effect]:
        """Close the newest attempt and go on as the fault rules say. Rules: EXE-6."""
        if self.state not in _LEASED or epoch != self.record.epoch:
            return []
        worker, tally = self.worker, self.record.tally
        is_preemption = outcome_of(code).cause is Cause.PREEMPTION
        tally = replace(
            tally,
            attempts=tally.attempts - is_preemption,
            preemptions=tally.preemptions + is_preemption,
            failures_in_row=tally.failures_in_row + (not is_preemption),
        )
        decision = decide(code, tally, self._policy)
        self.record = replace(self.record, tally=tally)
        if decision.excludes_worker and worker is not None and worker not in self.record.excluded:
            self.record = replace(self.record, excluded=(*self.record.excluded, worker)[-EXCLUDED_MAX:])
        self._close_attempt(code, text)
        if not decision.is_again:
            return self._fail(code, text or decision.reason)
        if decision.after_s <= 0:
            return self._search(f"{code}: {decision.reason}")
        return self._pause(MonotonicS(now + decision.after_s), f"{code}: {decision.reason}")

    def _close_attempt(self, code: str, text: str) -> None:
        """Note how the newest attempt ended, unless that is known."""
        if self.worker is not None:
            last = replace(self.record.attempts[-1], code=code, text=text)
            self.record = replace(self.record, attempts=(*self.record.attempts[:-1], last))

    def _stop_what_runs(self, code: str) -> list[Effect]:
        if self.state is _M:
            return [ev.StopSearch()]
        return [ev.StopLease(self.record.epoch, code, self._grace_s)] if self.state in _LEASED else []

    def _search(self, text: str) -> list[Effect]:
        self._move(_M)
        return [ev.StoreShard(), ev.FindWorker(self.record.excluded), ev.TellShard(text)]

    def _pause(self, until: MonotonicS, text: str) -> list[Effect]:
        self._move(_W)
        self._pause_until = until
        return [ev.StoreShard(), ev.TellShard(text)]

    def _succeed(self) -> list[Effect]:
        receipt, epoch = self.record.result, self.record.epoch
        assert receipt is not None, "success without a receipt"
        self._close_attempt(SUCCEEDED, "")
        self._end(_OK, SUCCEEDED, "")
        return [ev.StoreShard(), ev.TakeResult(epoch, receipt), ev.TellShard("succeeded"), ev.EndShard()]

    def _fail(self, code: str, text: str) -> list[Effect]:
        self._end(_X, code, text)
        return [ev.StoreShard(), ev.TellShard(f"failed: {code}"), ev.EndShard()]

    def _end(self, state: ShardState, code: str, text: str) -> None:
        self._move(state)
        self.record = replace(self.record, code=code, text=text)

    def _move(self, state: ShardState) -> None:
        self.state, self._pause_until = state, None
        self.record = replace(self.record, state=state)
