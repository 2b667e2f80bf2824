"""What must hold at the end of a trust campaign: each check finds what it is for, and nothing in a good campaign."""

from dataclasses import replace

import pytest

from skyops_p2p.testnet.trust.campaign import Ended
from skyops_p2p.testnet.trust.checks import CHECKS, breaches_of, unsettled
from skyops_p2p.testnet.trust.plan import Plan, WorkerPlan, make_plan
from skyops_p2p.testnet.trust.report import figures, report
from skyops_p2p.testnet.trust.seen import JobSeen, JudgedSeen, NodeSeen, Observation, ScoreSeen

PLAN = replace(
    make_plan(1, nodes=8, misbehaving=0, jobs=2),
    requesters=("alice",),
    workers=tuple(
        WorkerPlan(name, conduct, 1)
        for name, conduct in (("bob", ""), ("carol", ""), ("dave", "wrong-result"), ("erin", "two-histories"))
    ),
)
RIGHT, WRONG = "aa", "bb"


def verdict(**faults: str) -> tuple[JudgedSeen, ...]:
    return tuple(JudgedSeen(name, fault) for name, fault in faults.items())


def job(name: str = "job-001", **changes: object) -> JobSeen:
    told = JobSeen(
        name, "alice", 3, "succeeded", 1.0, "decided", 0, RIGHT, ("bob",), verdict(bob="none", dave="wrong")
    )
    return replace(told, **changes)  # type: ignore[arg-type]


def node(name: str, **changes: object) -> NodeSeen:
    scores = (
        ScoreSeen("dave", "worker", "{}", 300_000, 7, "below_gate"),
        ScoreSeen("erin", "worker", "{}", 0, 0, "banned"),
    )
    return replace(NodeSeen(name, 7, "ee", 4, scores), **changes)  # type: ignore[arg-type]


HONEST_JOBS = (
    job(),
    job("job-002", checked="agreed", judged=verdict(bob="none", erin="none")),
    job("job-003", checked="agreed", judged=verdict(carol="none", erin="none")),
)
GOOD = Observation(
    HONEST_JOBS,
    {0: RIGHT},
    (node("alice"),),
    tuple(node(name) for name in ("alice", "bob", "carol")),
    {"bob": 5, "dave": 1, "erin": 5},
)


def codes(seen: Observation, plan: Plan = PLAN) -> list[str]:
    return [breach.code for breach in breaches_of(seen, plan)]


def with_job(**changes: object) -> Observation:
    return replace(GOOD, jobs=(job(**changes), *HONEST_JOBS[1:]))


def with_node(**changes: object) -> Observation:
    return replace(GOOD, after=(node("alice"), node("bob", **changes), node("carol")))


def test_a_good_campaign_has_no_breach() -> None:
    assert codes(GOOD) == []


UNBANNED = (node("alice").scores[0], ScoreSeen("erin", "worker", "{}", 500_000, 0, "good"))
UNCOUNTED = (replace(UNBANNED[0], bad_micro=0), node("alice").scores[1])
BANNED = (ScoreSeen("dave", "worker", "{}", 0, 0, "banned"), node("alice").scores[1])


@pytest.mark.parametrize(
    ("seen", "code"),
    [
        (replace(GOOD, troubles=(("timeout", "bob"),)), "not_looked_at"),
        (with_job(code="", digest=""), "job_not_ended"),
        (with_job(digest=WRONG), "wrong_result_unflagged"),
        (with_job(digest=WRONG, checked=""), "wrong_result_unflagged"),
        (replace(GOOD, right={}), "wrong_result_unflagged"),
        (with_job(judged=()), "verdict_missing"),
        (with_job(findings=("VER-12: not so",)), "verdict_missing"),
        (with_job(judged=verdict(bob="wrong", dave="wrong")), "honest_blamed"),
        (with_job(judged=verdict(bob="none", dave="none")), "fault_not_found"),
        (replace(GOOD, after=GOOD.after[:2]), "scores_apart"),
        (with_node(epoch=8), "scores_apart"),
        (with_node(is_behind=True), "scores_apart"),
        (with_node(evidence="ff"), "scores_apart"),
        (with_node(scores=(replace(UNBANNED[0], row='{"score":1}'), GOOD.after[0].scores[1])), "scores_apart"),
        (replace(GOOD, after=tuple(node(one, scores=UNCOUNTED) for one in PLAN.honest)), "fault_not_counted"),
        (replace(GOOD, after=tuple(node(one, scores=UNBANNED) for one in PLAN.honest)), "standing_wrong"),
        (replace(GOOD, after=tuple(node(one, scores=BANNED) for one in PLAN.honest)), "standing_wrong"),
    ],
)  # fmt: skip
def test_each_check_finds_what_it_is_for(seen: Observation, code: str) -> None:
    assert set(codes(seen)) == {code}


def test_a_verdict_that_others_do_not_count_need_not_count() -> None:  # REP-37, VER-15
    nodes = tuple(node(one, scores=UNCOUNTED) for one in PLAN.honest)
    assert codes(replace(GOOD, after=nodes)) == ["fault_not_counted"] * len(nodes)
    assert codes(replace(with_job(is_heard=False), after=nodes)) == []
    doubled = with_job(judged=verdict(bob="none", erin="none", dave="wrong"))  # REP-37
    assert codes(replace(doubled, after=nodes)) == []


def test_what_may_hold_a_little_later_is_of_scores_alone() -> None:
    assert unsettled(GOOD, PLAN) == []
    assert unsettled(with_job(digest=WRONG), PLAN) == []
    assert len(unsettled(with_node(is_behind=True), PLAN)) == 1
    uncounted = replace(GOOD, after=tuple(node(one, scores=UNCOUNTED) for one in PLAN.honest))
    assert unsettled(uncounted, PLAN) == [breach.text for breach in breaches_of(uncounted, PLAN)]


def test_a_wrong_result_that_is_shown_as_unverified_is_flagged() -> None:
    assert codes(with_job(digest=WRONG, checked="no_replica", judged=())) == []


def test_who_has_signed_one_receipt_alone_need_not_be_banned() -> None:
    seen = replace(GOOD, jobs=GOOD.jobs[:2], after=tuple(node(one, scores=UNBANNED) for one in PLAN.honest))
    assert codes(seen) == []


def test_every_check_was_seen_to_fail() -> None:
    found = {mark.args[1][number][1] for mark in test_each_check_finds_what_it_is_for.pytestmark  # type: ignore[attr-defined]
             for number in range(len(mark.args[1]))}  # fmt: skip
    assert found == set(CHECKS)


def test_a_report_names_everybody_and_what_does_not_hold() -> None:
    seen = with_job(digest=WRONG)
    ended = Ended(PLAN, seen, breaches_of(seen, PLAN), 1.5, 60.0, 90.0)
    text = report(ended, command="skyops testnet trust --seed 1")
    for worker in PLAN.workers:
        assert f"| {worker.name} |" in text
    assert "1 things do not hold" in text
    assert "`wrong_result_unflagged`: job-001" in text
    assert "| 3 | `succeeded` | decided | wrong | 1 |" in text
    told = figures(ended)
    assert [one["is_right"] for one in told["jobs"]] == [False, True, True]  # type: ignore[index, attr-defined]
