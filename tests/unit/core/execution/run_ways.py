"""Runs of bob's for alice, in every state that there is."""

from skyops_p2p.core.execution import run_events as ev
from skyops_p2p.core.execution.run import Run, RunState, RunTerms
from skyops_p2p.core.machine import DeadlineReached
from tests.unit.core.execution.tables import Step, walk

OK = ev.ProgramExit("exited", 0, None, "exit code 0")
FAILED = ev.ProgramExit("exited", 1, None, "exit code 1")
REQUEUE = ev.ProgramExit("exited", 75, None, "exit code 75")
STOPPED = ev.ProgramExit("stopped", None, None, "was stopped")
CODES = [
    ("exited", 0, "succeeded"),
    ("exited", 1, "program_failed"),
    ("exited", 255, "program_failed"),
    ("exited", 75, "requeue_asked"),
    ("signalled", None, "program_killed"),
    ("out_of_memory", None, "out_of_memory"),
    ("out_of_disk", None, "out_of_disk"),
    ("timed_out", None, "execution_timeout"),
    ("out_of_fuel", None, "out_of_fuel"),
    ("trapped", None, "program_trapped"),
    ("not_started", None, "not_started"),
    ("lost", None, "sandbox_lost"),
    ("stopped", None, "sandbox_lost"),
]
"""(exit kind, exit code, outcome) of a program that nobody had stopped."""
FETCHING: tuple[Step, ...] = ((ev.RunBegun(), 0),)
PREPARING: tuple[Step, ...] = (*FETCHING, (ev.InputsFetched(), 0))
RUNNING: tuple[Step, ...] = (*PREPARING, (ev.SandboxPrepared(), 0))
STOPPING: tuple[Step, ...] = (*RUNNING, (ev.StopRequested("cancelled", 20), 1))
COLLECTING: tuple[Step, ...] = (*RUNNING, (ev.ProgramEnded(OK), 2))
DELIVERING: tuple[Step, ...] = (*COLLECTING, (ev.ResultStored(), 3))
WAYS: dict[str, tuple[RunState, tuple[Step, ...]]] = {
    "idle": (RunState.IDLE, ()),
    "fetching": (RunState.FETCHING, FETCHING),
    "preparing": (RunState.PREPARING, PREPARING),
    "running": (RunState.RUNNING, RUNNING),
    "running with a checkpoint": (RunState.RUNNING, (*RUNNING, (ev.CheckpointSeen("a"), 1))),
    "saving": (RunState.RUNNING, (*RUNNING, (ev.CheckpointSeen("a"), 400))),
    "stopping": (RunState.STOPPING, STOPPING),
    "stopping without a lease": (RunState.STOPPING, (*RUNNING, (ev.LeaseLapsed("requester_silent"), 1))),
    "collecting": (RunState.COLLECTING, COLLECTING),
    "collecting after an abort": (
        RunState.COLLECTING,
        (*FETCHING, (ev.StopRequested("cancelled", 20), 1)),
    ),
    "delivering": (RunState.DELIVERING, DELIVERING),
    "ended": (RunState.ENDED, (*DELIVERING, (ev.ResultAcknowledged(), 4))),
}
EVENTS: tuple[Step, ...] = (
    (ev.RunBegun(), 700),
    (ev.InputsFetched(), 700),
    (ev.SandboxPrepared(), 700),
    *((ev.StepFailed("store_full", "no room", step=state), 700) for state in ("", "fetching", "collecting")),
    (ev.ProgramStarted(), 700),
    *((ev.ProgramEnded(end), 700) for end in (OK, FAILED, STOPPED)),
    (ev.CheckpointSeen("b"), 700),
    (ev.CheckpointStored("a"), 700),
    (ev.CheckpointFailed("store_full"), 700),
    *((ev.StopRequested(code, 20), 700) for code in ("cancelled", "preempted")),
    *((ev.LeaseLapsed(code), 700) for code in ("requester_silent", "superseded")),
    (ev.ResultStored(), 700),
    (ev.ResultShown(), 700),
    (ev.ResultAcknowledged(), 700),
    *((DeadlineReached(), after_s) for after_s in (5, 5000, 8 * 86_400)),
)


def bob(*, interval_s: float | None = 300.0, retry_codes: tuple[int, ...] = (75,)) -> Run:
    return Run(RunTerms(checkpoint_interval_s=interval_s, retry_codes=retry_codes))


def running(*, retry_codes: tuple[int, ...] = (75,)) -> Run:
    """A run without checkpoints whose program runs since 0 seconds."""
    run: Run = walk(bob(interval_s=None, retry_codes=retry_codes), RUNNING)
    return run


def checkpointing(*, interval_s: float) -> Run:
    """A run whose program runs since 0 seconds and checkpoints."""
    run: Run = walk(bob(interval_s=interval_s), RUNNING)
    return run
