"""What a requester knows of one shard, persisted as a whole: its attempts, its checkpoints, how it stands. Pure.

Every change is a new record. Spec: protocol/05-execution.md, "Shard".
"""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from enum import Enum

from skyops_p2p import limits
from skyops_p2p.core.execution.faults import Record, is_uncounted
from skyops_p2p.core.execution.outcomes import (
    FOUND_WRONG,
    GANG_BROKEN,
    RESULTS_DIFFER,
    SUCCEEDED,
    Cause,
    is_passing,
    outcome_of,
)
from skyops_p2p.crypto.node_key import peer_id_from_bytes
from skyops_p2p.types import PeerId
from skyops_p2p.wire.envelope import peek
from skyops_p2p.wire.messages.execution import CheckpointReceipt, HolderPart

ATTEMPTS_KEPT = 32
EXCLUDED_MAX = limits.JOB_PEERS_MAX


class ShardState(Enum):
    """Where a shard is."""

    IDLE = "idle"
    WAITING = "waiting"
    """A pause before the next attempt or search."""
    MATCHING = "matching"
    OPENING = "opening"
    """A lease is being opened, or attached to again."""
    RUNNING = "running"
    CHECKING = "checking"
    """The run is over and its result committed to; it is compared with others' before it is taken."""
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
    """Digest of the enveloped award, 32 bytes."""
    tender_job: bytes
    """Id under which the bid book is kept, 16 bytes."""
    code: str = ""
    """How it ended; empty while it stands."""
    text: str = ""
    receipt: bytes | None = None
    """Enveloped result receipt, if the worker signed one."""
    keepers: tuple[HolderPart, ...] = ()
    """Who keeps copies of its checkpoints and its log; at most HOLDERS_MAX."""
    speed_milli: int = 0
    """Class index of its devices in thousandths, as they were bid."""
    commit: bytes | None = None
    """Enveloped ResultCommit, where results are compared."""
    reveal: bytes | None = None
    """Enveloped ResultReveal, once it came with the receipt."""
    is_spared: bool = False
    """No lot fell on it when it was committed to: nobody computes it once more."""

    @property
    def is_wrong(self) -> bool:
        """Whether its worker has committed to a result that was found wrong, or has shown another."""
        return self.commit is not None and self.code in FOUND_WRONG

    @property
    def is_spoilt(self) -> bool:
        """Whether nothing that its worker has saved may be gone on from; of results that differ, nobody's may.

        Rules: VER-27.
        """
        return self.is_wrong or (self.commit is not None and self.code == RESULTS_DIFFER)


@dataclass(frozen=True, slots=True)
class ShardRecord:
    """What is known of a shard."""

    state: ShardState = ShardState.IDLE
    epoch: int = 0
    """Of the newest lease; 0 before the first."""
    attempts: tuple[Attempt, ...] = ()
    """At most ATTEMPTS_KEPT, oldest first; only the last one may stand."""
    tally: Record = field(default_factory=Record)
    excluded: tuple[PeerId, ...] = ()
    """Workers that are not asked again, or only when nobody else takes it; at most EXCLUDED_MAX, the newest."""
    checkpoints: tuple[bytes, ...] = ()
    """Enveloped receipts, oldest first; at most CHECKPOINTS_KEPT."""
    checkpoint_sequence: int = 0
    """Of the newest of them; 0 for none."""
    result: bytes | None = None
    """Enveloped receipt of the result that counts."""
    code: str = ""
    """Outcome; empty before the end."""
    text: str = ""
    checked: str = ""
    """What came of the comparison: "agreed", "decided", "refereed", "canary", "no_replica", "no_budget", "not_drawn",
    "no_canary", "canary_failed"; empty: there was none."""

    @property
    def lease(self) -> Attempt | None:
        """The attempt that stands."""
        last = self.attempts[-1] if self.attempts else None
        return last if last and not last.code else None

    def keepers_of(self, worker: PeerId) -> tuple[HolderPart, ...]:
        """Return who was asked to keep copies for a worker, those of its newest lease first."""
        attempts = [attempt for attempt in reversed(self.attempts) if attempt.worker == worker]
        return tuple(dict.fromkeys(keeper for attempt in attempts for keeper in attempt.keepers))

    def moved(self, state: ShardState) -> "ShardRecord":
        """Return the record in another state."""
        return replace(self, state=state)

    def reopened(self) -> "ShardRecord":
        """Return the record of a shard that has ended as one that begins again: what was computed stays, blame goes."""
        return ShardRecord(
            state=self.state,
            epoch=self.epoch,
            attempts=self.attempts,
            checkpoints=self.checkpoints,
            checkpoint_sequence=self.checkpoint_sequence,
        )

    def doubted(self) -> "ShardRecord":
        """Return the record of a shard whose result is believed no more, nor anything that its worker has left."""
        last = self.attempts[-1]
        wrong = replace(last, code="worker_doubted", text="it was wrong at another shard")
        return ShardRecord(
            state=self.state,
            epoch=self.epoch,
            attempts=(*self.attempts[:-1], wrong),
            tally=self.tally,
            excluded=self.excluding(last.worker).excluded,
        )

    def leased(self, attempt: Attempt) -> "ShardRecord":
        """Return the record with one more attempt, whose epoch is used up by that."""
        return replace(
            self,
            checked="",
            epoch=attempt.epoch,
            attempts=(*self.attempts, attempt)[-ATTEMPTS_KEPT:],
            tally=replace(self.tally, attempts=self.tally.attempts + 1),
        )

    def with_receipt(self, receipt: bytes, reveal: bytes | None = None) -> "ShardRecord":
        """Return the record with the newest attempt's receipt in it, and what opens its commitment."""
        last = replace(self.attempts[-1], receipt=receipt, reveal=reveal)
        return replace(self, attempts=(*self.attempts[:-1], last))

    def with_commit(self, commit: bytes, *, is_spared: bool = False) -> "ShardRecord":
        """Return the record with the newest attempt's commitment in it, and whether it is left unchecked."""
        last = replace(self.attempts[-1], commit=commit, is_spared=is_spared)
        return replace(self, attempts=(*self.attempts[:-1], last))

    def closed(self, code: str, text: str) -> "ShardRecord":
        """Return the record with the attempt that stands closed; its result counts only if it succeeded."""
        if self.lease is None:  # what was fetched, if anything, is another worker's
            return self if code == SUCCEEDED else replace(self, result=None)
        last = replace(self.lease, code=code, text=text)
        result = self.result if code == SUCCEEDED else None
        record = replace(self, attempts=(*self.attempts[:-1], last), result=result)
        return record.without_checkpoints_of((last.worker,)) if last.is_spoilt else record

    def tallied(self, code: str) -> "ShardRecord":
        """Return the record with the newest attempt's end counted."""
        tally = self.tally
        if is_uncounted(code, tally):
            preemptions = tally.preemptions + (code != GANG_BROKEN)
            tally = replace(tally, attempts=tally.attempts - 1, preemptions=preemptions)
        else:
            tally = replace(tally, failures_in_row=tally.failures_in_row + 1)
        return replace(self, tally=tally)

    def excluding(self, worker: PeerId) -> "ShardRecord":
        """Return the record with a worker excluded."""
        if worker in self.excluded:
            return self
        return replace(self, excluded=(*self.excluded, worker)[-EXCLUDED_MAX:])

    def forgiving(self) -> "ShardRecord":
        """Return the record with those workers let in again that only could not, each time."""
        tried = {attempt.worker for attempt in self.attempts}
        failed = {
            attempt.worker
            for attempt in self.attempts
            if outcome_of(attempt.code).cause is Cause.WORKER and not is_passing(attempt.code)
        }
        forgiven = tried - failed
        return replace(self, excluded=tuple(peer for peer in self.excluded if peer not in forgiven))

    def with_checkpoint(self, receipt: bytes, sequence: int) -> "ShardRecord":
        """Return the record with a newer checkpoint: what fails from now on fails for the first time."""
        return replace(
            self,
            checkpoints=(*self.checkpoints, receipt)[-limits.CHECKPOINTS_KEPT :],
            checkpoint_sequence=sequence,
            tally=replace(self.tally, failures_in_row=0),
        )

    def without_newest_checkpoint(self) -> "ShardRecord":
        """Return the record as before its newest checkpoint: the next receipt follows the older one, or none.

        Rules: EXE-12, EXE-21.
        """
        checkpoints = self.checkpoints[:-1]
        sequence = self.checkpoint_sequence - 1 if checkpoints else 0
        return replace(self, checkpoints=checkpoints, checkpoint_sequence=sequence)

    def without_checkpoints_of(self, workers: Collection[PeerId]) -> "ShardRecord":
        """Return the record without what some workers have saved, and without all that rests on it.

        Each checkpoint goes on from the one before. Where that one is forgotten, it counts as saved by one of these
        workers if it had a lease until then.

        Args:
            workers: Those whose results were wrong.

        Rules: VER-27.
        """
        receipts = [peek(data, CheckpointReceipt) for data in self.checkpoints]
        spoilt = (
            place
            for place, one in enumerate(receipts)
            if peer_id_from_bytes(one.worker) in workers
            or (place == 0 and one.sequence > 1 and self._had_lease(workers, before=one.epoch))
        )
        kept = next(spoilt, len(receipts))
        if kept == len(receipts):
            return self
        sequence = receipts[kept - 1].sequence if kept else 0
        return replace(self, checkpoints=self.checkpoints[:kept], checkpoint_sequence=sequence)

    def _had_lease(self, workers: Collection[PeerId], *, before: int) -> bool:
        return any(one.worker in workers for one in self.attempts if one.epoch < before)

    def check(self) -> None:
        """Raise AssertionError if the fields contradict each other."""
        is_over = self.state in (ShardState.SUCCEEDED, ShardState.FAILED, ShardState.CANCELLED)
        is_leased = self.state in (ShardState.OPENING, ShardState.RUNNING, ShardState.CHECKING)
        is_replaced = self.state is ShardState.FETCHING and bool(self.checked)
        is_leased |= self.state is ShardState.FETCHING and not is_replaced
        has_result = self.state in (ShardState.FETCHING, ShardState.SUCCEEDED)
        epochs = [attempt.epoch for attempt in self.attempts]
        assert is_over == bool(self.code), "over means stated why"
        assert is_replaced or is_leased == (self.lease is not None), (
            "a lease that stands in no lease's state, or none"
        )
        assert has_result == (self.result is not None), "a result that does not count, or none"
        assert all(attempt.code for attempt in self.attempts[:-1]), "two leases stand"
        assert self.state is not ShardState.CHECKING or self.attempts[-1].commit, (
            "compared without a commitment"
        )
        assert epochs == sorted(set(epochs)), "epochs do not rise"
        assert self.epoch == max(epochs, default=0), "the newest epoch has no attempt"
        assert len(self.checkpoints) <= self.checkpoint_sequence, "checkpoints that were not counted"
        assert (self.checkpoint_sequence > 0) == bool(self.checkpoints), "a sequence of no checkpoint"
        assert self.tally.attempts >= 0, "fewer than no attempts"
