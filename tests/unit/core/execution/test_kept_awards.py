"""EXE-37, EXE-38, EXE-39: an award serves one shard of a job after the other, without an auction between."""

from dataclasses import replace
from typing import Any

import pytest

from skyops_p2p import limits
from skyops_p2p.core.auction.leases import AwardUse, LeaseTerms
from skyops_p2p.core.execution import shard_events as ev
from skyops_p2p.core.execution.opening import OpenedLease, check_opening, is_award_kept
from skyops_p2p.core.execution.shard_record import ShardState
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.types import UnixMs
from tests.unit.core.execution.offers import job, request_for, terms_of
from tests.unit.core.execution.shard_story import Story, Terms, award, names, story
from tests.unit.core.people import BOB, CAROL, NOW, RULES
from tests.vectors.execution_examples import JOB

ARRAY = Terms(passes_awards=True)
LONGEST_MS = job().timeouts.execution * 1000
OVER = (ShardState.SUCCEEDED, ShardState.FAILED, ShardState.CANCELLED)
OTHERS = (ShardState.OPENING, ShardState.RUNNING, ShardState.FETCHING, *OVER)
PASSED = ev.PassAward(BOB.peer, award(77), 1, award(77)[:16])


def used(job_id: bytes = JOB, *, ago_ms: int = 0) -> LeaseTerms:
    """Return what bob won from alice, and has used for a job of hers since a while."""
    return replace(terms_of(job()), use=AwardUse(job_id, UnixMs(NOW - ago_ms)))


def open_on(terms: LeaseTerms, **changes: Any) -> OpenedLease:
    request = request_for(job(), **changes)
    return check_opening(request, terms, network=RULES.network, own=BOB.peer, now=NOW)


# --- what a worker takes --------------------------------------------------------------------------------------------
def test_first_lease_on_an_award_says_for_what_it_is_used() -> None:  # EXE-38
    assert open_on(terms_of(job())).terms.use == AwardUse(JOB, NOW)


@pytest.mark.parametrize("ago_ms", [0, 1, LONGEST_MS - 1])
def test_next_shard_of_the_same_job_begins_on_the_same_award(ago_ms: int) -> None:  # EXE-38
    opened = open_on(used(ago_ms=ago_ms), shard=5)
    assert opened.facts.shard == 5
    assert opened.terms.use == AwardUse(JOB, UnixMs(NOW - ago_ms)), "its time counts from the first lease on"


@pytest.mark.parametrize(
    ("terms", "changes"),
    [
        (used(bytes([9] * 16)), {}),
        (used(ago_ms=LONGEST_MS), {}),
        (used(ago_ms=-1), {}),
        (used(), {"is_warm": True}),
    ],
    ids=["another job", "its time is used up", "a clock that was set back", "a warm lease"],
)
def test_award_that_was_used_begins_nothing_else(terms: LeaseTerms, changes: dict[str, Any]) -> None:
    """EXE-38."""
    with pytest.raises(RemoteProtocolError) as refused:
        open_on(terms, **changes)
    assert (refused.value.code, refused.value.rule) == ("award_over", "EXE-38")


def test_another_job_may_not_begin_even_where_its_specification_is_the_same() -> None:  # EXE-38
    with pytest.raises(RemoteProtocolError) as refused:
        open_on(used(), job_id=bytes([7] * 16))
    assert refused.value.code == "award_over"


# --- what a worker holds --------------------------------------------------------------------------------------------
def test_award_of_an_array_is_held_as_long_as_its_time_lasts() -> None:  # EXE-37
    opened = open_on(terms_of(job()))
    assert is_award_kept(opened, NOW)
    assert is_award_kept(opened, UnixMs(NOW + LONGEST_MS - 1))
    assert not is_award_kept(opened, UnixMs(NOW + LONGEST_MS))


def test_award_of_a_single_shard_or_a_warm_lease_is_not_held() -> None:  # EXE-37
    single = job(shards=1)
    request = request_for(single, shard=0, shards=1)
    opened = check_opening(request, terms_of(single), network=RULES.network, own=BOB.peer, now=NOW)
    assert not is_award_kept(opened, NOW)
    assert not is_award_kept(open_on(terms_of(job()), is_warm=True), NOW)


# --- the shard that has ended -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("has_outputs", [True, False])
def test_shard_that_has_ended_well_passes_its_worker_on_before_its_outputs_are_here(
    has_outputs: bool,
) -> None:
    """EXE-39."""
    alice = story(ShardState.RUNNING, ARRAY)
    effects = alice.result(has_outputs=has_outputs)
    assert effects[1] == ev.PassAward(BOB.peer, award(1), 1_000_000, award(1)[:16])
    assert names(effects)[:2] == ["StoreShard", "PassAward"]


@pytest.mark.parametrize("code", ["program_failed", "preempted", "requeue_asked", "worker_lied"])
def test_shard_that_has_not_ended_well_passes_nothing_on(code: str) -> None:  # EXE-39
    alice = story(ShardState.RUNNING, ARRAY)
    alice.result(code)
    assert alice.told(ev.PassAward) == []


def test_worker_that_leaves_is_not_passed_on() -> None:  # EXE-39
    alice = story(ShardState.RUNNING, ARRAY)
    alice.feed(ev.PreemptionNoticed(1, "worker_leaving"))
    alice.result()
    assert alice.told(ev.PassAward) == []


# --- the shard that takes it ----------------------------------------------------------------------------------------
def test_shard_that_looks_for_a_worker_takes_the_passed_one_and_stops_its_search() -> None:  # EXE-39
    alice = story(ShardState.MATCHING, ARRAY)
    assert names(alice.get_kept()) == ["StopSearch", "StoreShard", "OpenLease"]
    assert alice.opened == [ev.OpenLease(1, BOB.peer, award(77), None)]


def test_shard_that_has_found_nobody_takes_the_passed_worker_at_once() -> None:  # EXE-39
    alice = story(ShardState.WAITING, ARRAY)
    assert names(alice.get_kept()) == ["StoreShard", "OpenLease"]
    assert alice.machine.next_deadline() is None, "nothing is left of its pause"


def test_shard_that_pauses_after_a_failure_takes_nobody() -> None:  # EXE-39
    alice = Story(ARRAY).running()
    alice.result("requeue_asked")
    assert alice.state is ShardState.WAITING
    assert alice.get_kept() == [PASSED]
    assert alice.state is ShardState.WAITING


@pytest.mark.parametrize("state", OTHERS)
def test_award_that_is_not_needed_is_passed_on_and_changes_nothing(state: ShardState) -> None:  # EXE-39
    alice = story(state, ARRAY)
    record = alice.record
    assert alice.get_kept() == [PASSED]
    assert (alice.state, alice.record) == (state, record)


@pytest.mark.parametrize("state", [ShardState.WAITING, *OTHERS])
def test_award_from_the_market_that_comes_too_late_is_passed_on(state: ShardState) -> None:  # EXE-39
    alice = story(state, ARRAY)
    (passed,) = alice.find(CAROL.peer)
    assert isinstance(passed, ev.PassAward)
    assert passed.worker == CAROL.peer


# --- a worker that declines -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("code", ["award_over", "unknown_lease", "busy", "session_failed", "program_failed"])
def test_worker_that_declines_costs_no_attempt_and_the_market_is_asked_at_once(code: str) -> None:
    """EXE-39: it is neither blamed nor excluded, whatever it says."""
    alice = story(ShardState.MATCHING, ARRAY)
    alice.get_kept()
    assert names(alice.deny(code)) == ["StoreShard", "FindWorker"]
    assert (alice.record.attempts[-1].code, alice.record.excluded) == ("award_over", ())
    assert (alice.record.tally.attempts, alice.record.tally.failures_in_row) == (0, 0)


def test_shard_that_was_declined_takes_its_next_worker_from_the_market() -> None:  # EXE-39
    alice = story(ShardState.MATCHING, ARRAY)
    alice.get_kept()
    alice.deny("award_over")
    assert alice.get_kept(CAROL.peer) == [replace(PASSED, worker=CAROL.peer)]
    assert alice.state is ShardState.MATCHING
    alice.find(CAROL.peer)
    assert alice.epoch == 2
    assert alice.state is ShardState.OPENING


def test_worker_from_the_market_that_speaks_of_a_used_award_lies() -> None:  # EXE-20
    alice = story(ShardState.OPENING, ARRAY)
    alice.deny("award_over")
    assert alice.record.attempts[-1].code == "worker_lied"
    assert alice.record.excluded == (BOB.peer,)


def test_lease_on_a_passed_award_that_is_lost_later_counts_as_any_other() -> None:  # EXE-39
    alice = story(ShardState.MATCHING, ARRAY)
    alice.get_kept()
    alice.grant()
    alice.lose()
    assert (alice.record.attempts[-1].code, alice.record.excluded) == ("worker_lost", (BOB.peer,))


def test_restarted_requester_attaches_to_the_lease_on_a_passed_award() -> None:  # EXE-4
    alice = story(ShardState.MATCHING, ARRAY)
    alice.get_kept()
    assert names(alice.restart()) == ["AttachLease"]
    alice.deny("unknown_lease")
    assert alice.record.attempts[-1].code == "restarted"
    assert alice.record.tally.attempts == 0


# --- the queue --------------------------------------------------------------------------------------------------------
def test_search_does_not_run_out_while_other_shards_have_workers() -> None:
    alice = Story(replace(ARRAY, queue_s=20.0)).begin()
    for _ in range(20):
        alice.find_nobody(is_job_at_work=True)
        alice.wait()
    assert alice.now - 20.0 > limits.JOB_NO_MATCH_PAUSE_S
    while alice.state not in OVER:
        alice.find_nobody()
        if alice.state is ShardState.WAITING:
            alice.wait()
    assert alice.outcome == (ShardState.FAILED, "no_worker")
