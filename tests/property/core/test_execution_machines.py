"""Leases, runs and shards under any sequence of events: promises kept, epochs fenced, and an end once faults stop."""

import itertools
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from skyops_p2p.core.execution import lease as ls
from skyops_p2p.core.execution import run_events as rv
from skyops_p2p.core.execution import shard_events as ev
from skyops_p2p.core.execution.lease import Lease, LeaseState, LeaseTimes
from skyops_p2p.core.execution.outcomes import OUTCOMES
from skyops_p2p.core.execution.run import Run, RunState, RunTerms
from skyops_p2p.core.execution.shard_record import ShardState
from skyops_p2p.core.machine import DeadlineReached, Effect, Event, Machine
from skyops_p2p.types import MonotonicS
from tests.unit.core.execution.run_ways import EVENTS as RUN_EVENTS
from tests.unit.core.execution.shard_story import Story, Terms
from tests.unit.core.execution.tables import Step, expect_refused, fields
from tests.unit.core.people import START, crowd

SECONDS = st.one_of(st.floats(0, 3), st.floats(0, 400))
PEOPLE = crowd(4)
CODES = [code for code in OUTCOMES if code != "succeeded"]
OVER = (ShardState.SUCCEEDED, ShardState.FAILED, ShardState.CANCELLED)
WAKES_MAX = 2000
"""Deadlines in a row, with nothing else happening, before a machine is said to run in a circle."""


class Walk:
    """A machine among events, its clock, and what it wanted."""

    def __init__(self, machine: Machine[Any]) -> None:
        self.machine = machine
        self.now = START
        self.effects: list[Effect] = []

    def feed(self, event: Event, after_s: float = 0.0) -> list[Effect]:
        """Feed an event that the table lists; any other is refused and changes nothing."""
        self.now = MonotonicS(self.now + after_s)
        if (self.machine.state, type(event)) not in self.machine.TRANSITIONS:
            expect_refused(self.machine, event)
            return []
        effects = list(self.machine.handle(event, self.now))
        self.machine.check_invariants()
        if isinstance(event, DeadlineReached):
            deadline = self.machine.next_deadline()
            assert deadline is None or deadline > self.now, "a deadline that has passed would come for ever"
        self.effects += effects
        return effects

    def wait(self) -> list[Effect]:
        """Wake the machine when it wants to be."""
        deadline = self.machine.next_deadline()
        assert deadline is not None
        return self.feed(DeadlineReached(), max(0.0, deadline - self.now))


# --- leases -----------------------------------------------------------------------------------------------------------
LEASE_EVENTS = st.one_of(
    st.sampled_from(
        (ls.PeerHeard(), ls.LinkLost(), ls.LinkRestored(), ls.LeaseCloseRequested("done"), DeadlineReached())
    ),
    st.builds(ls.WitnessesAnswered, is_alive=st.booleans(), asked=st.one_of(st.none(), st.integers(0, 9))),
)


@given(
    st.booleans(), st.sampled_from((1.5, 6.0, 120.0)), st.lists(st.tuples(LEASE_EVENTS, SECONDS), max_size=40)
)
def test_lease_keeps_its_invariants_and_ends_by_its_ttl(
    is_requester: bool, ttl_s: float, steps: list[Step]
) -> None:
    lease = Lease(1, START, is_requester=is_requester, times=LeaseTimes(ttl_s=ttl_s))
    walk = Walk(lease)
    for event, seconds in steps:
        before = lease.state
        effects = walk.feed(event, seconds)
        if before in (LeaseState.LAPSED, LeaseState.CLOSED):
            assert (effects, lease.state) == ([], before)
        if not is_requester:
            assert not any(isinstance(effect, (ls.RestoreLink, ls.AskWitnesses)) for effect in effects)
    heard_at, wakes = lease.heard_at, 0
    while lease.next_deadline() is not None:
        walk.wait()
        wakes += 1
        assert wakes < WAKES_MAX
    lapses = [effect for effect in walk.effects if isinstance(effect, ls.LapseLease)]
    assert len(lapses) == (lease.state is LeaseState.LAPSED)
    if wakes:
        assert walk.now >= heard_at + ttl_s, "given up early without a witness"


@given(st.lists(st.tuples(LEASE_EVENTS, SECONDS), max_size=60))
def test_restore_attempts_never_come_faster_than_beats(steps: list[Step]) -> None:
    walk, attempts = Walk(Lease(1, START, is_requester=True)), []
    for event, seconds in steps:
        if any(isinstance(effect, ls.RestoreLink) for effect in walk.feed(event, seconds)):
            attempts.append(walk.now)
    assert all(second - first >= 1.0 for first, second in itertools.pairwise(attempts))


# --- runs -------------------------------------------------------------------------------------------------------------
STEPS_OF_A_RUN = st.lists(
    st.tuples(st.sampled_from([event for event, _ in RUN_EVENTS]), SECONDS), max_size=40
)


@given(st.sampled_from((None, 5.0, 300.0)), STEPS_OF_A_RUN)
def test_run_keeps_its_invariants_and_its_shell_is_never_asked_twice(
    interval_s: float | None, steps: list[Step]
) -> None:
    run = Run(RunTerms(checkpoint_interval_s=interval_s))
    walk = Walk(run)
    is_saving = is_lapsed = False
    for event, seconds in ((rv.RunBegun(), 0.0), *steps):
        before, was_legal = run.state, (run.state, type(event)) in Run.TRANSITIONS
        effects = walk.feed(event, seconds)
        is_lapsed |= isinstance(event, rv.LeaseLapsed) and before not in (RunState.DELIVERING, RunState.ENDED)
        if was_legal and isinstance(event, (rv.CheckpointStored, rv.CheckpointFailed)):
            is_saving = False
        for effect in effects:
            if isinstance(effect, rv.SaveCheckpoint):
                assert not is_saving, "two saves at a time"
                is_saving = True
        if is_lapsed:  # EXE-8
            assert not any(isinstance(effect, (rv.FinishRun, rv.OfferResult)) for effect in effects)
            assert run.state in (RunState.STOPPING, RunState.ENDED)
    _check_effects_of_a_run(walk.effects, run)


def _check_effects_of_a_run(effects: list[Effect], run: Run) -> None:
    for once in (rv.FetchInputs, rv.PrepareSandbox, rv.StartProgram, rv.StopProgram, rv.FinishRun, rv.EndRun):
        assert sum(isinstance(effect, once) for effect in effects) <= 1, once
    assert (run.state is RunState.ENDED) == any(isinstance(effect, rv.EndRun) for effect in effects)
    kinds = [type(effect) for effect in effects]
    if rv.OfferResult in kinds:
        assert kinds.index(rv.FreeMachine) < kinds.index(rv.OfferResult), "the machine is free first"


@given(st.sampled_from((None, 5.0, 300.0)), STEPS_OF_A_RUN)
def test_run_always_ends_once_its_steps_end(interval_s: float | None, steps: list[Step]) -> None:
    """The shell answers, or the deadlines pass: no run lasts for ever."""
    run = Run(RunTerms(checkpoint_interval_s=interval_s))
    walk = Walk(run)
    walk.feed(rv.RunBegun())
    for event, seconds in steps:
        walk.feed(event, seconds)
    answers: dict[RunState, Event] = {
        RunState.PREPARING: rv.StepFailed("prepare_timeout", ""),
        RunState.RUNNING: rv.ProgramEnded(rv.ProgramExit("timed_out", None, None, "")),
    }
    for _ in range(10):
        if run.state is RunState.ENDED:
            break
        if run.state in answers:
            walk.feed(answers[run.state])
        else:
            walk.wait()
    assert run.state is RunState.ENDED
    assert run.next_deadline() is None


# --- shards -----------------------------------------------------------------------------------------------------------
Word = tuple[str, Any]
EPOCHS = st.sampled_from((0, 0, 0, -1, 1, 5))
"""Beside the newest: most words come under it."""
WORDS: st.SearchStrategy[Word] = st.one_of(
    st.tuples(st.just("found"), st.integers(0, 3)),
    st.tuples(st.just("passed"), st.integers(0, 3)),
    st.tuples(st.just("nobody"), st.just(0)),
    st.tuples(st.just("granted"), EPOCHS),
    st.tuples(st.just("denied"), st.tuples(EPOCHS, st.sampled_from([*CODES, "succeeded", "gremlins"]))),
    st.tuples(st.just("lost"), st.tuples(EPOCHS, st.sampled_from(("worker_lost", "worker_silent")))),
    st.tuples(st.just("checkpoint"), st.tuples(EPOCHS, st.integers(1, 9))),
    st.tuples(st.just("result"), st.tuples(EPOCHS, st.sampled_from([*CODES, "succeeded"]), st.booleans())),
    st.tuples(st.just("fetched"), EPOCHS),
    st.tuples(st.just("not fetched"), EPOCHS),
    st.tuples(st.just("notice"), EPOCHS),
    st.tuples(st.just("cancel"), st.just(0)),
    st.tuples(st.just("retry"), st.just(0)),
    st.tuples(st.just("restart"), st.just(0)),
    st.tuples(st.just("wait"), SECONDS),
)


def event_of(alice: Story, word: str, value: Any) -> Event:
    """Turn a word into an event under the epoch that it means."""
    offset, *rest = value if isinstance(value, tuple) else (value,)
    epoch = max(0, alice.epoch + offset)
    match word, rest:
        case "found", []:
            return ev.MatchFound(PEOPLE[value].peer, bytes(32), 1, bytes(16))
        case "passed", []:
            return ev.MatchFound(PEOPLE[value].peer, bytes([value] * 32), 1, bytes(16), is_kept=True)
        case "nobody", []:
            return ev.MatchFailed("no_bids", "")
        case "granted", []:
            return ev.LeaseGranted(epoch)
        case "denied", [code]:
            return ev.LeaseDenied(epoch, code, "")
        case "lost", [code]:
            return ev.LeaseLost(epoch, code)
        case "checkpoint", [sequence]:
            return ev.CheckpointReceived(epoch, b"checkpoint %d" % sequence, sequence)
        case "result", [code, has_outputs]:
            return ev.ResultReceived(epoch, b"result %d" % epoch, code, "", has_outputs=has_outputs)
        case "fetched", []:
            return ev.OutputsFetched(epoch)
        case "not fetched", []:
            return ev.OutputsUnavailable(epoch, "result_unavailable", "")
        case "notice", []:
            return ev.PreemptionNoticed(epoch, "preempted")
    return ev.CancelRequested()


def live(alice: Story, word: str, value: Any) -> None:
    """Let one thing happen to a shard; Story checks what must hold after it."""
    before, state = fields(alice.machine), alice.state
    if word == "wait":
        alice.feed(DeadlineReached(), value)
        deadline = alice.machine.next_deadline()
        assert deadline is None or deadline > alice.now
    elif word == "restart":
        if state not in OVER:
            alice.restart()
    elif word == "retry":
        if state in (ShardState.FAILED, ShardState.CANCELLED):
            alice.retry()
    else:
        event = event_of(alice, word, value)
        epoch = getattr(event, "epoch", alice.epoch)
        effects = alice.feed(event)
        if isinstance(event, ev.MatchFound):  # EXE-39: it is leased, or somebody else gets it
            assert sum(isinstance(effect, (ev.OpenLease, ev.PassAward)) for effect in effects) == 1
        if epoch != before["record"].epoch:  # EXE-6
            assert effects == []
            assert fields(alice.machine) == before


@settings(max_examples=200, deadline=None)
@given(
    st.builds(Terms, attempts_max=st.integers(1, 4), is_after_loss=st.booleans(), pause_s=st.floats(0, 60),
              total_s=st.sampled_from((None, 900.0)), passes_awards=st.booleans()),
    st.lists(st.tuples(WORDS, SECONDS), max_size=60),
)  # fmt: skip
def test_shard_keeps_its_promises_whatever_is_said(terms: Terms, steps: list[tuple[Word, float]]) -> None:
    """EXE-4, EXE-6: epochs rise, at most one lease stands, and nothing is promised before it is on the disk."""
    alice = Story(terms).begin()
    for (word, value), _ in steps:
        live(alice, word, value)
        standing = [attempt for attempt in alice.record.attempts if not attempt.code]
        assert len(standing) <= 1
    ends = alice.told(ev.EndShard)
    assert bool(ends) >= (alice.state in OVER)


@settings(max_examples=200, deadline=None)
@given(
    st.builds(Terms, attempts_max=st.integers(1, 4), pause_s=st.floats(0, 60), queue_s=st.floats(1, 900)),
    st.lists(st.tuples(WORDS, SECONDS), max_size=30),
    st.sampled_from(
        ("nobody", "succeeds", "declines", "requeue_asked", "worker_lost", "preempted", "requester_silent")
    ),
)
def test_shard_always_ends_once_faults_stop(
    terms: Terms, steps: list[tuple[Word, float]], world: str
) -> None:
    """From any state, in a world that answers, if only ever the same, every shard comes to an end."""
    alice = Story(terms).begin()
    for (word, value), _ in steps:
        live(alice, word, value)
    if alice.state not in OVER:
        alice.restart()
    for _ in range(600):
        if alice.state in OVER:
            break
        answer(alice, world)
    assert alice.state in OVER
    assert alice.machine.next_deadline() is None
    last = (ev.EndShard, ev.TakeResult, ev.PassAward)
    assert isinstance(alice.done[-1], last), "nothing follows the end"


def answer(alice: Story, world: str) -> None:
    """Let the world do what the shard waits for."""
    match alice.state:
        case ShardState.WAITING:
            alice.wait()
        case ShardState.MATCHING:
            if world == "nobody":
                alice.find_nobody()
            elif world == "declines" and alice.machine.takes_kept_award:
                alice.get_kept(PEOPLE[alice.epoch % 4].peer)
            else:
                alice.find(PEOPLE[alice.epoch % 4].peer)
        case ShardState.OPENING:
            if world == "declines" and alice.epoch % 2:
                alice.deny("award_over")
            else:
                alice.grant()
        case ShardState.RUNNING:
            if world in ("nobody", "succeeds", "declines"):
                alice.result(has_outputs=bool(alice.epoch % 2))
            elif world in ("worker_lost", "requester_silent"):
                alice.lose(world)
            else:
                alice.result(world)
        case ShardState.FETCHING:
            alice.fetched()
