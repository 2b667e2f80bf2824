"""What must hold at the end of a campaign with nodes that misbehave. Pure.

Each check returns what does not hold. Sources: protocol/06-verification.md (VER-12, VER-15), 08-reputation.md (REP-1,
REP-21).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from skyops_p2p.testnet.trust.plan import Plan
from skyops_p2p.testnet.trust.seen import JobSeen, NodeSeen, Observation

FLAGGED = "no_replica"
"""A result that was taken unverified, and is shown so."""
_PROVEN = frozenset({"wrong", "lied"})
"""Faults that an honest worker cannot have; `no_reveal` it has on a machine that is too busy."""


@dataclass(frozen=True, slots=True)
class Breach:
    """Something that does not hold."""

    code: str
    text: str


def breaches_of(seen: Observation, plan: Plan) -> tuple[Breach, ...]:
    """Return everything that does not hold, in the order of CHECKS."""
    return tuple(Breach(name, text) for name, check in CHECKS.items() for text in check(seen, plan))


def unsettled(seen: Observation, plan: Plan) -> list[str]:
    """Return what does not hold of scores yet: it may, once evidence and the chain's answers have reached all nodes."""
    return [text for name in _OF_SCORES for text in CHECKS[name](seen, plan)]


def scores_apart(nodes: tuple[NodeSeen, ...]) -> list[str]:
    """Return who has not counted all that it holds, and how nodes differ from the first one: epoch, evidence, scores.

    A sentence for each node.
    """
    found = [f"{node.name} has not counted all that it holds" for node in nodes if node.is_behind]
    for node in nodes[1:]:
        first = nodes[0]
        if node.epoch != first.epoch:
            found.append(f"{node.name} is in epoch {node.epoch}, {first.name} in {first.epoch}")
        elif node.evidence != first.evidence:
            found.append(
                f"{node.name} holds {node.receipts} receipts, {first.name} {first.receipts}, or other ones"
            )
        elif node.scores != first.scores:
            apart = sorted({one.name for one in set(node.scores) ^ set(first.scores)})
            found.append(f"{node.name} and {first.name} have other scores of {', '.join(apart)}")
    return found


def _troubles(seen: Observation, _plan: Plan) -> Iterator[str]:
    for code, text in seen.troubles:
        yield f"{code}: {text}"


def _not_ended(seen: Observation, _plan: Plan) -> Iterator[str]:
    for job in seen.jobs:
        if not job.code:
            yield f"{job.name} has not ended"


def _wrong_results(seen: Observation, plan: Plan) -> Iterator[str]:
    """Compare what users got with what is right."""
    for job in seen.jobs:
        if job.by not in plan.requesters or not job.digest:
            continue
        right = seen.right.get(job.answer)
        if right is None:
            yield f"{job.name}: nobody has computed training {job.answer} again"
        elif job.digest != right and job.checked != FLAGGED:
            yield f"{job.name}: its user got a wrong result, and was told {job.checked or 'nothing'}"


def _unchecked(seen: Observation, _plan: Plan) -> Iterator[str]:
    """See that every result that was compared has a verdict that holds."""
    for job in seen.jobs:
        if job.redundancy > 1 and job.checked in ("agreed", "decided", "refereed") and not job.judged:
            yield f"{job.name}: {job.checked}, and no verdict"
        for text in job.findings:
            yield f"{job.name}: {text}"


def _blamed(seen: Observation, plan: Plan) -> Iterator[str]:
    for job in seen.jobs:
        for one in job.judged:
            if one.fault in _PROVEN and not plan.conduct(one.worker):
                yield f"{job.name}: {one.worker} is honest, and its verdict says {one.fault}"


def _passed(seen: Observation, plan: Plan) -> Iterator[str]:
    """See that nobody who is always wrong was ever found right."""
    for job in seen.jobs:
        for one in job.judged:
            is_always_wrong = plan.conduct(one.worker) in ("wrong-result", "copied-commit", "hidden-result")
            if one.fault == "none" and is_always_wrong:
                yield f"{job.name}: {one.worker} does {plan.conduct(one.worker)}, and its verdict says none"


def _apart(seen: Observation, plan: Plan) -> Iterator[str]:
    missing = set(plan.honest) - {node.name for node in seen.after}
    for name in sorted(missing):
        yield f"{name} was not asked for its scores"
    yield from scores_apart(seen.after)


def _standing(seen: Observation, plan: Plan) -> Iterator[str]:
    """See that two histories end a reputation on every honest node, and that nothing else does."""
    paid = {name for name, wei in seen.earned_wei.items() if wei}
    for node in seen.after:
        for score in node.scores:
            is_doubled = plan.conduct(score.name) == "two-histories" and score.name in paid
            if score.standing == "banned" and plan.conduct(score.name) != "two-histories":
                yield f"{node.name} has banned {score.name}, which has one history"
            if (
                score.role == "worker"
                and is_doubled
                and _has_two(seen, score.name)
                and score.standing != "banned"
            ):
                yield f"{node.name} has not banned {score.name}, which has signed two histories"


def _counted(seen: Observation, plan: Plan) -> Iterator[str]:
    """See that a result which a verdict calls wrong counts against its worker, on every honest node.

    Rules: REP-14, REP-37, VER-15.
    """
    heard = [job for job in seen.jobs if job.is_heard and not _rests_on_two_histories(job, plan)]
    wrong = {one.worker for job in heard for one in job.judged if one.fault == "wrong"}
    for node in seen.after:
        for score in node.scores:
            is_free = score.standing != "banned" and not score.bad_micro
            if score.role == "worker" and score.name in wrong and is_free:
                yield f"{node.name} counts nothing against {score.name}, whose result was wrong"


def _rests_on_two_histories(job: JobSeen, plan: Plan) -> bool:
    """Tell whether somebody agreed with the winner whose word counts no more. Rules: REP-37."""
    return any(one.fault == "none" and plan.conduct(one.worker) == "two-histories" for one in job.judged)


def _has_two(seen: Observation, name: str) -> bool:
    """Tell whether a worker has signed two receipts at least: it was found right twice."""
    return sum(one.worker == name and one.fault == "none" for job in seen.jobs for one in job.judged) > 1


CHECKS: dict[str, Callable[[Observation, Plan], Iterator[str]]] = {
    "not_looked_at": _troubles,
    "job_not_ended": _not_ended,
    "wrong_result_unflagged": _wrong_results,
    "verdict_missing": _unchecked,
    "honest_blamed": _blamed,
    "fault_not_found": _passed,
    "scores_apart": _apart,
    "fault_not_counted": _counted,
    "standing_wrong": _standing,
}
"""Code of a breach -> the check that finds it."""
_OF_SCORES = ("scores_apart", "fault_not_counted", "standing_wrong")
