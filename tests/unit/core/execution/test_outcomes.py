"""EXE-19, EXE-20: what the codes mean, whose doing each is, and what a peer may say."""

import re

import pytest

from skyops_p2p.core.execution.faults import Record, RetryPolicy, decide, pause_s
from skyops_p2p.core.execution.outcomes import (
    EXCUSED,
    OUTCOMES,
    STOP_CODES,
    SUCCEEDED,
    Cause,
    code_of_exit,
    outcome_of,
    stop_code,
    told_code,
)
from tests.repo.source_tree import text_of

CHAPTER = text_of("protocol/05-execution.md")
IN_THE_CHAPTER = {
    "nobody: it is well": Cause.NONE,
    "the job": Cause.JOB,
    "the worker": Cause.WORKER,
    "the way between": Cause.NETWORK,
    "preemption": Cause.PREEMPTION,
    "the requester": Cause.REQUESTER,
}


def test_chapter_lists_all_codes_by_their_cause() -> None:
    _, _, section = CHAPTER.partition("\n## Outcomes\n")
    rows = re.findall(r"^\| ([a-z: ]+) \| (`.+`) \|$", section.partition("\n## ")[0], re.MULTILINE)
    listed = {code: IN_THE_CHAPTER[cause] for cause, codes in rows for code in re.findall(r"`(\w+)`", codes)}
    assert listed == {code: outcome.cause for code, outcome in OUTCOMES.items()}


def test_every_code_is_one_that_may_travel_and_has_words() -> None:
    for code, outcome in OUTCOMES.items():
        assert re.fullmatch(r"[a-z_]{1,32}", code)
        assert outcome.meaning.endswith(".")
        assert outcome.change.endswith(".") or code in (SUCCEEDED, "cancelled", "superseded", "stale_epoch")


def test_code_that_is_not_known_counts_as_the_workers() -> None:
    assert outcome_of("gremlins").cause is Cause.WORKER
    assert "gremlins" in outcome_of("gremlins").meaning


@pytest.mark.parametrize("code", sorted(STOP_CODES))
def test_requester_may_stop_a_run_for_these_reasons(code: str) -> None:  # EXE-19
    assert stop_code(code) == code
    assert outcome_of(code).cause is Cause.REQUESTER


@pytest.mark.parametrize("code", ["succeeded", "preempted", "program_failed", "gremlins", "requester_silent"])
def test_requester_that_stops_a_run_for_another_reason_has_cancelled_it(code: str) -> None:  # EXE-19
    assert stop_code(code) == "cancelled"


def test_worker_cannot_speak_for_its_requester() -> None:  # EXE-20
    for code, outcome in OUTCOMES.items():
        is_wish = outcome.cause is Cause.REQUESTER and code not in EXCUSED
        assert told_code(code) == ("worker_lied" if is_wish or code == SUCCEEDED else code)
    assert told_code("gremlins") == "gremlins"


def test_stop_counts_unless_the_program_had_ended_well() -> None:
    for kind, exit_code in (("exited", 1), ("exited", 75), ("signalled", None), ("timed_out", None)):
        assert code_of_exit(kind, exit_code, stopped_for="preempted", retry_codes=(75,)) == "preempted"
    assert code_of_exit("exited", 0, stopped_for="preempted", retry_codes=(75,)) == SUCCEEDED


def test_unknown_end_of_a_program_is_the_workers_fault() -> None:
    assert code_of_exit("melted", None, stopped_for="", retry_codes=()) == "sandbox_lost"


# --- what follows -----------------------------------------------------------------------------------------------------
POLICY = RetryPolicy(attempts_max=3, is_after_loss=True, pause_s=5.0)


@pytest.mark.parametrize("code", [code for code in OUTCOMES if code != SUCCEEDED])
def test_every_failure_leads_to_a_decision_with_a_reason(code: str) -> None:
    decision = decide(code, Record(attempts=1, failures_in_row=1), POLICY)
    cause = outcome_of(code).cause
    is_final = code not in EXCUSED and (
        cause is Cause.REQUESTER or (cause is Cause.JOB and code != "requeue_asked")
    )
    assert decision.is_again != is_final
    assert decision.reason.startswith(outcome_of(code).meaning)
    if not decision.is_again:
        assert not decision.excludes_worker


@pytest.mark.parametrize("attempts", [3, 4])
def test_no_attempt_left_is_the_end_of_all_of_them(attempts: int) -> None:
    for code in ("worker_lost", "requeue_asked", "preempted", "requester_silent"):
        assert not decide(code, Record(attempts=attempts), POLICY).is_again


def test_pause_doubles_up_to_five_minutes_unless_the_job_wants_a_longer_one() -> None:
    def pauses(first_s: float) -> list[float]:
        policy = RetryPolicy(attempts_max=9, is_after_loss=True, pause_s=first_s)
        return [pause_s(Record(failures_in_row=row), policy) for row in (0, 1, 2, 3, 9, 10**6)]

    assert pauses(5) == [5, 5, 10, 20, 300, 300]
    assert pauses(400) == [400] * 6
    assert pauses(0) == [0] * 6
