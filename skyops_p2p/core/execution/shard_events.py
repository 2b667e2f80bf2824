"""The vocabulary between a requester's shard machine and its shell: what happened, and what is to be done.

StoreShard comes before every effect that promises something to somebody, and must have reached the disk before it.
"""

from dataclasses import dataclass

from skyops_p2p.core.machine import Effect, Event
from skyops_p2p.types import MonotonicS, PeerId
from skyops_p2p.wire.messages.execution import HolderPart


# --- events -----------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class ShardBegun(Event):
    """The inputs are sealed, and what it depends on has ended well."""

    queue_until: MonotonicS
    """timeouts.queue from now; each later search has as long."""
    total_until: MonotonicS | None
    """The job's deadline, or timeouts.total."""


@dataclass(frozen=True, slots=True)
class ShardRestored(Event):
    """This node was restarted while the shard had not ended."""

    queue_until: MonotonicS
    total_until: MonotonicS | None


@dataclass(frozen=True, slots=True)
class MatchFound(Event):
    """A worker holds its capacity for the shard."""

    worker: PeerId
    award: bytes
    """Digest of the enveloped award, 32 bytes."""
    price: int
    """Microcredits an hour."""
    tender_job: bytes
    """Id under which the bid book is kept, 16 bytes."""
    checkpoints_back: int = 0
    """Newest checkpoints that are left out, so that a gang goes on from one cut."""
    keepers: tuple[HolderPart, ...] = ()
    """Who will keep copies of what the worker saves."""
    is_kept: bool = False
    """The award had another shard's lease, which has ended well: the worker may decline at no cost."""
    speed_milli: int = 0
    """Class index of the devices in thousandths, as they were bid."""
    suspects: tuple[PeerId, ...] = ()
    """Nodes whose wallets were wrong at a shard of the job: nothing that they have saved is gone on from.

    Rules: VER-27."""


@dataclass(frozen=True, slots=True)
class MatchFailed(Event):
    """Nobody took it this time; `code` is a failure code of the auction."""

    code: str
    text: str
    is_job_at_work: bool = False
    """Other shards of the job have workers, which this one may get after them: it has not waited in vain."""


@dataclass(frozen=True, slots=True)
class LeaseGranted(Event):
    """The worker answered LeaseOpen or LeaseAttach with LeaseReady."""

    epoch: int


@dataclass(frozen=True, slots=True)
class LeaseDenied(Event):
    """It answered LeaseRefused; or a lease could not be opened, since no session could (`session_failed`)."""

    epoch: int
    code: str
    text: str


@dataclass(frozen=True, slots=True)
class CheckpointReceived(Event):
    """A valid checkpoint receipt of the shard."""

    epoch: int
    receipt: bytes
    """Enveloped."""
    sequence: int


@dataclass(frozen=True, slots=True)
class ResultReceived(Event):
    """A valid result receipt of the shard."""

    epoch: int
    receipt: bytes
    """Enveloped."""
    code: str
    text: str
    has_outputs: bool
    reveal: bytes | None = None
    """Enveloped ResultReveal, where the result was committed to before."""


@dataclass(frozen=True, slots=True)
class ResultCommitted(Event):
    """A valid commitment to the shard's result."""

    epoch: int
    commit: bytes
    """Enveloped ResultCommit."""
    is_spared: bool = False
    """No lot fell on it: the result is taken without a comparison. Rules: VER-16."""


@dataclass(frozen=True, slots=True)
class RevealWanted(Event):
    """All that compute it have committed: the worker may show its result."""

    epoch: int
    others: tuple[bytes, ...]
    """Enveloped ResultCommits of the others."""


@dataclass(frozen=True, slots=True)
class ResultAccepted(Event):
    """The result that the worker has shown stands."""

    epoch: int
    checked: str
    """What the record keeps as `checked`."""
    keeps_outputs: bool = True
    """Its outputs are wanted here."""


@dataclass(frozen=True, slots=True)
class ResultRejected(Event):
    """It does not stand, and nothing takes its place."""

    epoch: int
    code: str
    text: str
    is_again: bool = False
    """The shard is computed anew, as after any failed attempt; else it has failed."""


@dataclass(frozen=True, slots=True)
class ResultReplaced(Event):
    """It does not stand; another worker's does."""

    epoch: int
    receipt: bytes
    """Enveloped, the other worker's."""
    checked: str
    code: str
    """What this worker's attempt ends with."""
    text: str


@dataclass(frozen=True, slots=True)
class ResultDoubted(Event):
    """Nobody has checked the result that was taken, and its worker was wrong at another shard: it is computed anew.

    Rules: VER-23.
    """

    queue_until: MonotonicS
    total_until: MonotonicS | None


@dataclass(frozen=True, slots=True)
class LeaseLost(Event):
    """The worker is given up: the lease's own machine says so, or what it sent."""

    epoch: int
    code: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class PreemptionNoticed(Event):
    """The worker says that it will stop the run."""

    epoch: int
    code: str


@dataclass(frozen=True, slots=True)
class GangBroken(Event):
    """The shard must not go on alone: another member of its gang is not there, or will never be."""

    epoch: int
    """The lease that is to end; of no matter where there is none."""
    is_final: bool
    """A member has failed for good, and so has the gang."""


@dataclass(frozen=True, slots=True)
class OutputsFetched(Event):
    """All blocks of the outputs are in our store."""

    epoch: int


@dataclass(frozen=True, slots=True)
class OutputsUnavailable(Event):
    """They could not be fetched, or do not fit the receipt (`worker_lied`)."""

    epoch: int
    code: str
    text: str


@dataclass(frozen=True, slots=True)
class CancelRequested(Event):
    """The person changed their mind."""


@dataclass(frozen=True, slots=True)
class RetryRequested(Event):
    """The person wants a failed shard tried again, from its last checkpoint."""

    queue_until: MonotonicS
    total_until: MonotonicS | None


# --- effects ----------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class StoreShard(Effect):
    """Persist the shard's record as it is now."""


@dataclass(frozen=True, slots=True)
class PassAward(Effect):
    """A worker holds its capacity for the job, and this shard has no use of it: let another one have it, or give it
    back.

    Rules: EXE-39.
    """

    worker: PeerId
    award: bytes
    price: int
    tender_job: bytes
    speed_milli: int = 0


@dataclass(frozen=True, slots=True)
class FindWorker(Effect):
    """Run a match without the excluded workers; report MatchFound or MatchFailed."""

    excluded: tuple[PeerId, ...]


@dataclass(frozen=True, slots=True)
class StopSearch(Effect):
    """End a match under way; it reports nothing more, and what it awarded meanwhile is released."""


@dataclass(frozen=True, slots=True)
class OpenLease(Effect):
    """Open a session with the worker and send LeaseOpen; report LeaseGranted or LeaseDenied."""

    epoch: int
    worker: PeerId
    award: bytes
    resume: bytes | None
    """Enveloped checkpoint receipt to go on from."""
    keepers: tuple[HolderPart, ...] = ()
    """Who keeps copies of what the worker saves."""


@dataclass(frozen=True, slots=True)
class AttachLease(Effect):
    """After a restart: open a session and send LeaseAttach; report LeaseGranted or LeaseDenied.

    Where no session can be opened the lease's own machine goes on trying, and reports LeaseLost in the end: a worker is
    not given up because this node has just started. Rules: EXE-7.
    """

    epoch: int
    worker: PeerId


@dataclass(frozen=True, slots=True)
class FetchCheckpoint(Effect):
    """Fetch a checkpoint's blocks in the background; nothing waits for it."""

    receipt: bytes


@dataclass(frozen=True, slots=True)
class FetchOutputs(Effect):
    """Fetch the outputs of a result; report OutputsFetched or OutputsUnavailable."""

    epoch: int
    receipt: bytes


@dataclass(frozen=True, slots=True)
class AskToReveal(Effect):
    """Send RevealResult, again whenever the worker tells its commitment again. Rules: VER-6."""

    epoch: int
    others: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class TakeResult(Effect):
    """Send ResultTaken, and close the lease; with no session left nothing is to be done."""

    epoch: int
    receipt: bytes


@dataclass(frozen=True, slots=True)
class StopLease(Effect):
    """Send LeaseStop if the worker can be reached, and close the lease."""

    epoch: int
    code: str
    grace_s: float


@dataclass(frozen=True, slots=True)
class AskToStop(Effect):
    """Send LeaseStop, again in each session until the result comes; the lease stands meanwhile."""

    epoch: int
    code: str
    grace_s: float


@dataclass(frozen=True, slots=True)
class TellShard(Effect):
    """Tell the person: the state has changed; the text is one sentence."""

    text: str


@dataclass(frozen=True, slots=True)
class EndShard(Effect):
    """The shard has ended; its record says how."""
