"""Alice's side of one shard as a story, with her disk: each step checks what must always hold."""

from collections.abc import Sequence
from dataclasses import dataclass

from skyops_p2p import limits
from skyops_p2p.core.execution import shard_events as ev
from skyops_p2p.core.execution.faults import RetryPolicy
from skyops_p2p.core.execution.shard import ShardRun
from skyops_p2p.core.execution.shard_record import ShardRecord, ShardState
from skyops_p2p.core.machine import DeadlineReached, Effect, Event
from skyops_p2p.types import MonotonicS, PeerId
from skyops_p2p.wire.envelope import seal
from tests.unit.core.execution.tables import kinds
from tests.unit.core.people import BOB, START, at
from tests.vectors.execution_examples import bundle, result_receipt

RECEIPT = result_receipt(outputs=bundle(4))
"""What a worker shows of a success with outputs."""
ENDS = {
    (code, has_outputs): seal(
        RECEIPT.model_copy(
            update={
                "code": code,
                "exit_code": 0 if code == "succeeded" else 3,
                "outputs": RECEIPT.outputs if has_outputs else None,
            }
        ),
        BOB.node_key,
        RECEIPT.network,
    )
    for code in ("succeeded", "program_failed")
    for has_outputs in (True, False)
}
"""(code, whether there are outputs) -> enveloped ResultReceipt."""
PROMISES = (
    ev.OpenLease,
    ev.PassAward,
    ev.TakeResult,
    ev.FetchOutputs,
    ev.FetchCheckpoint,
    ev.StopLease,
    ev.EndShard,
)
"""Effects by which somebody learns of the record, or that end what it speaks of."""


@dataclass(frozen=True)
class Terms:
    """What the job says."""

    attempts_max: int = 3
    is_after_loss: bool = True
    pause_s: float = 5.0
    queue_s: float = 600.0
    total_s: float | None = None
    passes_awards: bool = False
    lease_s: float | None = None


def award(number: int) -> bytes:
    """Return the digest of alice's first, second, … award."""
    return number.to_bytes(32, "big")


class Story:
    """One shard: its machine, its disk, and all that it wanted.

    Args:
        terms: Of the job.
    """

    def __init__(self, terms: Terms | None = None) -> None:
        self.terms = terms or Terms()
        self.policy = RetryPolicy(self.terms.attempts_max, self.terms.is_after_loss, self.terms.pause_s)
        self.machine = self._machine()
        self.now = START
        self.stored = ShardRecord()
        self.done: list[Effect] = []
        self.opened: list[ev.OpenLease] = []
        """Leases, in order."""

    # --- what holds always --------------------------------------------------------------------------------------
    def feed(self, event: Event, after_s: float = 0.0) -> list[Effect]:
        """Let some seconds pass, then something happen."""
        self.now = MonotonicS(self.now + after_s)
        effects = list(self.machine.handle(event, self.now))
        self.machine.check_invariants()
        for effect in effects:
            if isinstance(effect, ev.StoreShard):
                self.stored = self.machine.record
            if isinstance(effect, PROMISES):
                assert self.stored == self.machine.record, f"{effect} before it was stored"
            if isinstance(effect, ev.OpenLease):
                assert all(effect.epoch > before.epoch for before in self.opened), (
                    "an epoch comes twice"
                )  # EXE-4
                self.opened.append(effect)
        self.done += effects
        return effects

    @property
    def state(self) -> ShardState:
        return self.machine.state

    @property
    def record(self) -> ShardRecord:
        return self.machine.record

    @property
    def epoch(self) -> int:
        return self.record.epoch

    @property
    def outcome(self) -> tuple[ShardState, str]:
        return self.state, self.record.code

    def told(self, kind: type[Effect]) -> list[Effect]:
        return [effect for effect in self.done if isinstance(effect, kind)]

    # --- what happens -------------------------------------------------------------------------------------------
    def begin(self) -> "Story":
        self.feed(ev.ShardBegun(*self._times()))
        return self

    def restart(self, after_s: float = 0.0) -> list[Effect]:
        """Kill alice's node, and start it again from what is on its disk."""
        self.machine = self._machine(self.stored)
        self.now = MonotonicS(self.now + after_s)
        return self.feed(ev.ShardRestored(*self._times()))

    def _machine(self, record: ShardRecord | None = None) -> ShardRun:
        return ShardRun(
            self.policy, record, lease_s=self.terms.lease_s, passes_awards=self.terms.passes_awards
        )

    def retry(self) -> list[Effect]:
        return self.feed(ev.RetryRequested(*self._times()))

    def _times(self) -> tuple[MonotonicS, MonotonicS | None]:
        total_s = self.terms.total_s
        total_until = None if total_s is None else at(total_s)
        return MonotonicS(self.now + self.terms.queue_s), total_until

    def find(self, worker: PeerId = BOB.peer) -> list[Effect]:
        number = len(self.opened) + 1
        found = ev.MatchFound(worker, award(number), price=1_000_000, tender_job=award(number)[:16])
        return self.feed(found)

    def get_kept(self, worker: PeerId = BOB.peer) -> list[Effect]:
        """Let another shard, which has ended well, pass its worker on."""
        return self.feed(ev.MatchFound(worker, award(77), price=1, tender_job=award(77)[:16], is_kept=True))

    def find_nobody(self, *, is_job_at_work: bool = False) -> list[Effect]:
        return self.feed(ev.MatchFailed("no_bids", "nobody bid", is_job_at_work))

    def grant(self) -> list[Effect]:
        return self.feed(ev.LeaseGranted(self.epoch))

    def deny(self, code: str, after_s: float = 0.0) -> list[Effect]:
        return self.feed(ev.LeaseDenied(self.epoch, code, "in words"), after_s)

    def lose(self, code: str = "worker_lost", after_s: float = 0.0) -> list[Effect]:
        return self.feed(ev.LeaseLost(self.epoch, code), after_s)

    def checkpoint(self, sequence: int) -> list[Effect]:
        return self.feed(ev.CheckpointReceived(self.epoch, b"checkpoint %d" % sequence, sequence))

    def result(self, code: str = "succeeded", *, has_outputs: bool = True) -> list[Effect]:
        return self.feed(
            ev.ResultReceived(
                self.epoch, b"result %d" % self.epoch, code, "in words", has_outputs=has_outputs
            )
        )

    def commit(self) -> list[Effect]:
        return self.feed(ev.ResultCommitted(self.epoch, b"commitment %d" % self.epoch))

    def show(self, code: str = "succeeded", *, has_outputs: bool = True) -> list[Effect]:
        """Let the worker show what it has committed to."""
        receipt = ENDS[code, has_outputs]
        return self.feed(
            ev.ResultReceived(
                self.epoch, receipt, code, "in words", has_outputs=has_outputs, reveal=b"reveal"
            )
        )

    def fetched(self) -> list[Effect]:
        return self.feed(ev.OutputsFetched(self.epoch))

    def not_fetched(self, code: str = "result_unavailable") -> list[Effect]:
        return self.feed(ev.OutputsUnavailable(self.epoch, code, "in words"))

    def cancel(self) -> list[Effect]:
        return self.feed(ev.CancelRequested())

    def wait(self) -> list[Effect]:
        """Let time pass until the machine wants to be woken."""
        deadline = self.machine.next_deadline()
        assert deadline is not None, "it waits for nothing"
        return self.feed(DeadlineReached(), max(0.0, deadline - self.now))

    # --- states -------------------------------------------------------------------------------------------------
    def opening(self, worker: PeerId = BOB.peer) -> "Story":
        if self.state is ShardState.IDLE:
            self.begin()
        while self.state is ShardState.WAITING:
            self.wait()
        self.find(worker)
        return self

    def running(self, worker: PeerId = BOB.peer) -> "Story":
        self.opening(worker).grant()
        return self

    def checking(self, worker: PeerId = BOB.peer) -> "Story":
        self.running(worker).commit()
        return self

    def fetching(self) -> "Story":
        self.running().result()
        return self


def story(state: ShardState, terms: Terms | None = None) -> Story:
    """Return a shard in a state that it came to in the usual way."""
    new = Story(terms)
    match state:
        case ShardState.MATCHING:
            new.begin()
        case ShardState.WAITING:
            new.begin().find_nobody()
        case ShardState.OPENING:
            new.opening()
        case ShardState.RUNNING:
            new.running()
        case ShardState.CHECKING:
            new.checking()
        case ShardState.FETCHING:
            new.fetching()
        case ShardState.SUCCEEDED:
            new.fetching().fetched()
        case ShardState.FAILED:
            new.running().result("program_failed")
        case ShardState.CANCELLED:
            new.running().cancel()
    assert new.state is state
    return new


def names(effects: Sequence[Effect]) -> list[str]:
    """Name effects, those for a person left out."""
    return [name for name in kinds(effects) if name != "TellShard"]


NO_MATCH_PAUSE_S = limits.JOB_NO_MATCH_PAUSE_S
