"""One run of a job on a worker: fetch, prepare, run, collect, deliver, and every way to end before.

The program's limits are the sandbox's business; this machine keeps the deadlines around it, decides when checkpoints
are saved, and names the outcome. Spec: protocol/05-execution.md, "Run". Diagram: machines/execution-run.
"""

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from skyops_p2p import limits
from skyops_p2p.core.execution import run_events as ev
from skyops_p2p.core.execution.outcomes import GANG_BROKEN, STOP_CODES, SUCCEEDED, code_of_exit
from skyops_p2p.core.machine import DeadlineReached, Effect, Machine, Table, to
from skyops_p2p.types import MonotonicS

STOP_MARGIN_S = 30.0
"""Past the grace, a program that is still there means that the runtime itself hangs."""


class RunState(Enum):
    """Where a run is; the names are those of WorkerBeat's phases but for the first and the last."""

    IDLE = "idle"
    FETCHING = "fetching"
    PREPARING = "preparing"
    RUNNING = "running"
    STOPPING = "stopping"
    COLLECTING = "collecting"
    DELIVERING = "delivering"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class RunTerms:
    """What the job says of its run; seconds."""

    checkpoint_interval_s: float | None
    """None: the job has no checkpoints."""
    grace_s: float = limits.CHECKPOINT_GRACE_S
    retry_codes: tuple[int, ...] = (75,)
    fetch_timeout_s: float = limits.RUN_FETCH_TIMEOUT_S
    collect_timeout_s: float = limits.RUN_COLLECT_TIMEOUT_S
    result_keep_s: float = limits.RUN_RESULT_KEEP_S


_I, _F, _P, _R = RunState.IDLE, RunState.FETCHING, RunState.PREPARING, RunState.RUNNING
_S, _C, _D, _E = RunState.STOPPING, RunState.COLLECTING, RunState.DELIVERING, RunState.ENDED
_ALL = tuple(RunState)


class Run(Machine[RunState]):
    """One run.

    Args:
        terms: What the job says.
    """

    TRANSITIONS: ClassVar[Table] = {
        (_I, ev.RunBegun): to(_F),
        (_F, ev.InputsFetched): to(_P),
        (_P, ev.SandboxPrepared): to(_R),
        (_R, ev.ProgramStarted): to(_R),
        (_S, ev.ProgramStarted): to(_S),
        (_R, ev.ProgramEnded): to(_C),
        (_S, ev.ProgramEnded): to(_C, _E),
        (_C, ev.ResultStored): to(_D),
        (_D, ev.ResultAcknowledged): to(_E),
        **{(state, ev.StepFailed): to(state, _C) for state in (_F, _P, _R)},
        (_S, ev.StepFailed): to(_S, _C, _E),
        (_C, ev.StepFailed): to(_C, _E),
        (_I, ev.StopRequested): to(_E),
        **{(state, ev.StopRequested): to(_C) for state in (_F, _P)},
        (_R, ev.StopRequested): to(_S),
        (_D, ev.StopRequested): to(_D, _E),
        **{(state, ev.StopRequested): to(state) for state in (_S, _C, _E)},
        **{(state, ev.LeaseLapsed): to(_E) for state in (_I, _F, _P, _C)},
        (_R, ev.LeaseLapsed): to(_S),
        (_D, ev.LeaseLapsed): to(_D, _E),
        **{(state, ev.LeaseLapsed): to(state) for state in (_S, _E)},
        **{(state, DeadlineReached): to(state) for state in (_I, _P, _R, _E)},
        (_F, DeadlineReached): to(_F, _C),
        (_S, DeadlineReached): to(_S, _C, _E),
        **{(state, DeadlineReached): to(state, _E) for state in (_C, _D)},
        # What runs beside the program may report when the run has gone on.
        **{(state, ev.CheckpointSeen): to(state) for state in (_R, _S, _C, _D, _E)},
        **{(state, ev.CheckpointStored): to(state) for state in (_R, _S, _C, _D, _E)},
        **{(state, ev.CheckpointFailed): to(state) for state in (_R, _S, _C, _D, _E)},
        # What was aborted or given up may have ended in the same instant, or may end at last.
        **{
            (state, event): to(state)
            for state in (_C, _D, _E)
            for event in (ev.InputsFetched, ev.SandboxPrepared, ev.ProgramStarted, ev.ProgramEnded)
        },
        **{(state, ev.StepFailed): to(state) for state in (_D, _E)},
        (_E, ev.ResultStored): to(_E),
        **{(state, ev.ResultShown): to(state) for state in (_C, _D, _E)},
        (_E, ev.ResultAcknowledged): to(_E),
    }

    def __init__(self, terms: RunTerms) -> None:
        super().__init__(RunState.IDLE)
        self.code = ""
        """The outcome, once it is known; at the end, how the lease ended."""
        self.exit = ev.NEVER_RAN
        self._terms = terms
        self._stopped_for = ""
        """Why this node stops the program; empty if it does not."""
        self._is_lapsed = False
        self._is_saving = False
        self._seen = ""
        """Label of a completed checkpoint that is not saved yet."""
        self._saved_at: MonotonicS | None = None
        self._deadline: MonotonicS | None = None

    def next_deadline(self) -> MonotonicS | None:
        """See Machine."""
        if self.state is _R and self._seen and not self._is_saving:
            return self._save_at()
        return self._deadline

    def check_invariants(self) -> None:
        """See Machine."""
        assert (self.state in (_C, _D, _E)) <= bool(self.code), "an end without an outcome"
        assert (self.state is _S) <= bool(self._stopped_for), "stopped for nothing"
        assert (self._deadline is not None) == (self.state in (_F, _S, _C, _D)), "an end that nothing brings"
        assert self._is_lapsed <= (self.state in (_S, _E)), "at work without a lease"
        assert not (self._is_saving and self.state in (_I, _F, _P)), "saved before it ran"

    # --- before the program ---------------------------------------------------------------------------------------
    def _on_run_begun(self, _event: ev.RunBegun, now: MonotonicS) -> list[Effect]:
        self.state, self._deadline = _F, MonotonicS(now + self._terms.fetch_timeout_s)
        return [ev.FetchInputs()]

    def _on_inputs_fetched(self, _event: ev.InputsFetched, _now: MonotonicS) -> list[Effect]:
        if self.state is not _F:
            return []
        self.state, self._deadline = _P, None  # preparing has its own time-out, SANDBOX_PREPARE_TIMEOUT_S
        return [ev.PrepareSandbox()]

    def _on_sandbox_prepared(self, _event: ev.SandboxPrepared, now: MonotonicS) -> list[Effect]:
        if self.state is not _P:
            return []
        self.state, self._saved_at = _R, now
        return [ev.StartProgram()]

    def _on_step_failed(self, event: ev.StepFailed, now: MonotonicS) -> list[Effect]:
        if self.state in (_D, _E) or not self._is_now(event.step):
            return []
        if self._is_lapsed:  # EXE-8
            return self._end(self._stopped_for)
        if self.state is _C:  # not even the receipt could be stored
            return self._end(event.code)
        return self._finish(self._stopped_for or event.code, now, text=event.text)

    def _is_now(self, step: str) -> bool:
        """Tell whether a report is of the step under way: the program is one from its start to its end."""
        begun_in = _R if self.state is _S else self.state
        return step in ("", begun_in.value, self.state.value)

    # --- the program ------------------------------------------------------------------------------------------------
    def _on_program_started(self, _event: ev.ProgramStarted, _now: MonotonicS) -> list[Effect]:
        return []

    def _on_program_ended(self, event: ev.ProgramEnded, now: MonotonicS) -> list[Effect]:
        if self.state not in (_R, _S):
            return []
        self.exit = event.exit
        if self._is_lapsed:  # EXE-8: a worker without a lease keeps nothing
            return self._end(self._stopped_for)
        code = code_of_exit(
            event.exit.kind,
            event.exit.exit_code,
            stopped_for=self._stopped_for,
            retry_codes=self._terms.retry_codes,
        )
        return self._finish(code, now, text=event.exit.text)

    def _on_checkpoint_seen(self, event: ev.CheckpointSeen, now: MonotonicS) -> list[Effect]:
        if self.state is not _R or self._terms.checkpoint_interval_s is None:
            return []  # while stopping, the last one is saved with the result
        self._seen = event.label
        return self._save_if_due(now)

    def _on_checkpoint_stored(self, event: ev.CheckpointStored, now: MonotonicS) -> list[Effect]:
        self._is_saving, self._saved_at = False, now
        if self._seen == event.label:  # seen again while it was being saved
            self._seen = ""
        return []

    def _on_checkpoint_failed(self, _event: ev.CheckpointFailed, now: MonotonicS) -> list[Effect]:
        self._is_saving, self._saved_at = False, now  # tried again, or the next one, after the interval
        return []

    # --- stopping -----------------------------------------------------------------------------------------------------
    def _on_stop_requested(self, event: ev.StopRequested, now: MonotonicS) -> list[Effect]:
        if self.state is _R:
            return self._stop(event.code, event.grace_s, now)
        if self.state in (_F, _P):
            return [ev.AbortStep(), *self._finish(event.code, now, text="")]
        # The result is waiting for nobody; but of a gang that broke it may be the one that counts.  # EXE-19
        is_unwanted = self.state is _D and event.code in STOP_CODES and event.code != GANG_BROKEN
        return self._end(event.code) if self.state is _I or is_unwanted else []

    def _on_lease_lapsed(self, event: ev.LeaseLapsed, now: MonotonicS) -> list[Effect]:
        if self.state is _E or (self.state is _D and event.code == "requester_silent"):
            return []  # a stored result waits for its owner (EXE-15)
        self._is_lapsed = True
        if self.state is _R:
            return self._stop(event.code, self._terms.grace_s, now)
        if self.state is _S:
            return []
        abort: list[Effect] = [ev.AbortStep()] if self.state in (_F, _P, _C) else []
        return [*abort, *self._end(event.code)]

    # --- after the program ----------------------------------------------------------------------------------------
    def _on_result_stored(self, _event: ev.ResultStored, now: MonotonicS) -> list[Effect]:
        if self.state is _E:
            return []
        self.state, self._deadline = _D, MonotonicS(now + self._terms.result_keep_s)
        return [ev.FreeMachine(), ev.OfferResult()]

    def _on_result_shown(self, _event: ev.ResultShown, _now: MonotonicS) -> list[Effect]:
        return [] if self.state is _E else [ev.ChargeResult()]

    def _on_result_acknowledged(self, _event: ev.ResultAcknowledged, _now: MonotonicS) -> list[Effect]:
        return self._end(self.code) if self.state is _D else []

    def _on_deadline_reached(self, _event: DeadlineReached, now: MonotonicS) -> list[Effect]:
        if self.state is _R:
            return self._save_if_due(now)
        if self._deadline is None or now < self._deadline:
            return []
        if self.state is _F:
            return [ev.AbortStep(), *self._finish("input_unavailable", now, text="fetching took too long")]
        if self.state is _S:  # the sandbox was asked to kill it long ago
            self.exit = ev.ProgramExit("lost", None, None, "the runtime did not stop the program")
            if self._is_lapsed:
                return self._end(self._stopped_for)
            return self._finish("sandbox_lost", now, text=self.exit.text)
        if self.state is _C:
            return [ev.AbortStep(), *self._end("collect_timeout")]
        return self._end("not_taken")

    # --- all ----------------------------------------------------------------------------------------------------------
    def _save_at(self) -> MonotonicS:
        interval_s = self._terms.checkpoint_interval_s
        assert interval_s is not None, "the job has no checkpoints"
        assert self._saved_at is not None, "not running"
        return MonotonicS(self._saved_at + interval_s)

    def _save_if_due(self, now: MonotonicS) -> list[Effect]:
        if not self._seen or self._is_saving or now < self._save_at():
            return []
        self._is_saving, self._seen = True, ""
        return [ev.SaveCheckpoint()]

    def _stop(self, code: str, grace_s: float, now: MonotonicS) -> list[Effect]:
        self.state, self._stopped_for = _S, code
        self._deadline = MonotonicS(now + grace_s + STOP_MARGIN_S)
        return [ev.StopProgram(grace_s)]

    def _finish(self, code: str, now: MonotonicS, *, text: str) -> list[Effect]:
        self.state, self.code = _C, code
        self._deadline = MonotonicS(now + self._terms.collect_timeout_s)
        return [ev.FinishRun(code, self.exit, keeps_outputs=code == SUCCEEDED, text=text)]

    def _end(self, code: str) -> list[Effect]:
        self.state, self.code, self._deadline = _E, code, None
        return [ev.EndRun(code)]
