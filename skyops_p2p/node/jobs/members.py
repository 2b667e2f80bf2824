"""Who computes a shard whose result is compared: the primary, and the replicas that were drawn."""

from dataclasses import dataclass

from skyops_p2p.core.execution.shard_record import Attempt, ShardState
from skyops_p2p.node.jobs.crew import Replica
from skyops_p2p.node.jobs.shard_task import ShardTask

_KEPT = (ShardState.CHECKING, ShardState.FETCHING, ShardState.SUCCEEDED, ShardState.FAILED)
"""States in which the commitment of the newest lease counts."""


@dataclass(frozen=True, slots=True)
class Member:
    """One that computes the shard, or has."""

    task: ShardTask
    round: int
    replica: Replica | None
    """None: the primary."""

    @property
    def attempt(self) -> Attempt | None:
        """Its newest lease, if it has come to a commitment that counts."""
        record = self.task.record
        last = record.attempts[-1] if record.attempts else None
        is_kept = last is not None and last.commit is not None and record.state in _KEPT
        return last if is_kept else None

    @property
    def is_waiting(self) -> bool:
        """Whether it has not committed yet, and may."""
        return not self.task.is_over and self.attempt is None

    @property
    def is_shown(self) -> bool:
        """Whether its result is here."""
        return self.attempt is not None and self.attempt.receipt is not None

    @property
    def is_lost(self) -> bool:
        """Whether it has committed, and will show nothing."""
        return not self.is_shown and (self.task.machine.is_gone or self.task.is_over)
