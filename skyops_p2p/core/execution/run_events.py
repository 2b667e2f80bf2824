"""The vocabulary between a worker's run machine and its shell: what happened, and what is to be done.

Effects are performed in their order. Long ones report how they ended; at most one of them is under way at a time,
but for SaveCheckpoint, which runs beside the program.
"""

from dataclasses import dataclass

from skyops_p2p.core.machine import Effect, Event


@dataclass(frozen=True, slots=True)
class ProgramExit:
    """How the program ended; the fields are those of ResultReceipt."""

    kind: str
    exit_code: int | None
    signal: int | None
    text: str


NEVER_RAN = ProgramExit("none", None, None, "")


# --- events -----------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class RunBegun(Event):
    """The lease stands and is in the journal."""


@dataclass(frozen=True, slots=True)
class InputsFetched(Event):
    """All bundles are here, opened, and lie in the workspace."""


@dataclass(frozen=True, slots=True)
class SandboxPrepared(Event):
    """Image or module are there."""


@dataclass(frozen=True, slots=True)
class StepFailed(Event):
    """A step before or after the program could not be done; `code` is an outcome."""

    code: str
    text: str
    step: str = ""
    """The RunState in which it was begun, so that a report that crosses an AbortStep is not taken for the next step's;
    empty: the step that is under way."""


@dataclass(frozen=True, slots=True)
class ProgramStarted(Event):
    """It runs."""


@dataclass(frozen=True, slots=True)
class ProgramEnded(Event):
    """It ended, or was ended."""

    exit: ProgramExit


@dataclass(frozen=True, slots=True)
class CheckpointSeen(Event):
    """The program has completed a checkpoint that is not saved yet."""

    label: str


@dataclass(frozen=True, slots=True)
class CheckpointStored(Event):
    """A checkpoint is sealed, signed and in the store."""

    label: str


@dataclass(frozen=True, slots=True)
class CheckpointFailed(Event):
    """It could not be saved; the run goes on and the next one is tried."""

    code: str


@dataclass(frozen=True, slots=True)
class StopRequested(Event):
    """The run is to end: the requester's LeaseStop, the provider, or a shutdown; `code` is an outcome."""

    code: str
    grace_s: float


@dataclass(frozen=True, slots=True)
class LeaseLapsed(Event):
    """The requester was silent for the lease's time (`requester_silent`), or a newer epoch is known."""

    code: str


@dataclass(frozen=True, slots=True)
class ResultStored(Event):
    """Outputs are sealed, the receipt is signed, and both are in the store."""


@dataclass(frozen=True, slots=True)
class ResultShown(Event):
    """The requester may know a result that was committed to: all who compute the same have committed."""


@dataclass(frozen=True, slots=True)
class ResultAcknowledged(Event):
    """The requester has it."""


# --- effects ----------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class FetchInputs(Effect):
    """Fetch and open the bundles; report InputsFetched or StepFailed."""


@dataclass(frozen=True, slots=True)
class PrepareSandbox(Effect):
    """Get image or module ready; report SandboxPrepared or StepFailed."""


@dataclass(frozen=True, slots=True)
class StartProgram(Effect):
    """Start it; report ProgramStarted, then ProgramEnded; or StepFailed."""


@dataclass(frozen=True, slots=True)
class SaveCheckpoint(Effect):
    """Seal the newest completed checkpoint; report CheckpointStored or CheckpointFailed."""


@dataclass(frozen=True, slots=True)
class StopProgram(Effect):
    """SIGTERM, `grace_s`, SIGKILL; ProgramEnded follows. Rules: EXE-25."""

    grace_s: float


@dataclass(frozen=True, slots=True)
class AbortStep(Effect):
    """Cancel the step under way (fetching, preparing, collecting); it reports nothing, or has just reported."""


@dataclass(frozen=True, slots=True)
class FinishRun(Effect):
    """Save a last checkpoint and seal the outputs as asked, sign and store the receipt; report ResultStored.

    A SaveCheckpoint under way is waited for first: two at a time would be one number for two receipts (EXE-12).
    """

    code: str
    exit: ProgramExit
    keeps_outputs: bool
    text: str


@dataclass(frozen=True, slots=True)
class FreeMachine(Effect):
    """Wipe the workspace, forget the keys, free the capacity: what is left of the run is sealed."""


@dataclass(frozen=True, slots=True)
class OfferResult(Effect):
    """Tell the requester of it, now and after each attach."""


@dataclass(frozen=True, slots=True)
class ChargeResult(Effect):
    """Have the last interval paid: the requester knows the result, or is about to."""


@dataclass(frozen=True, slots=True)
class EndRun(Effect):
    """As FreeMachine, and forget the sealed result too; whatever is still under way is cancelled."""

    code: str
