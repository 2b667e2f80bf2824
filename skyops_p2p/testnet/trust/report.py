"""A campaign's report as Markdown: results, faults that were found, scores, and what does not hold. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import median

from skyops_p2p.core.settlement.amounts import SKYOPS, format_amount
from skyops_p2p.testnet.trust.campaign import Ended
from skyops_p2p.testnet.trust.checks import FLAGGED, unsettled
from skyops_p2p.testnet.trust.plan import ACCOMPLICE
from skyops_p2p.testnet.trust.seen import JobSeen, NodeSeen


def report(ended: Ended, *, command: str) -> str:
    """Return the report.

    Args:
        ended: The campaign.
        command: With which it is done again.
    """
    parts = [
        "# Trust on real processes\n",
        f"`{command}`\n",
        _summary(ended),
        "## Results\n",
        _results(ended),
        "## Workers\n",
        _workers(ended),
        "## Scores\n",
        _scores(ended),
        "## What must hold\n",
        _breaches(ended),
    ]
    return "\n".join(parts)


def figures(ended: Ended) -> dict[str, object]:
    """Return the same for programs."""
    plan = ended.plan
    return {
        "seed": plan.seed,
        "nodes": plan.nodes,
        "misbehaving": {worker.name: worker.misbehaves for worker in plan.workers if worker.misbehaves}
        | ({ACCOMPLICE: ACCOMPLICE} if plan.has_accomplice else {}),
        "jobs": [
            {
                "name": job.name,
                "by": job.by,
                "redundancy": job.redundancy,
                "code": job.code,
                "checked": job.checked,
                "is_right": bool(job.digest) and job.digest == ended.seen.right.get(job.answer),
                "faults": {one.worker: one.fault for one in job.judged if one.fault != "none"},
            }
            for job in ended.seen.jobs
        ],
        "scores": {
            f"{one.role} {one.name}": one.credibility
            for one in (ended.seen.after[0].scores if ended.seen.after else ())
        },
        "took_s": round(ended.agreed_s, 1),
        "breaches": [{"code": breach.code, "text": breach.text} for breach in ended.breaches],
    }


def _summary(ended: Ended) -> str:
    plan = ended.plan
    verdict = "everything holds" if not ended.breaches else f"{len(ended.breaches)} things do not hold"
    asked = sum(job.by in plan.requesters for job in plan.jobs)
    fakes = f" and {len(plan.jobs) - asked} that fake receipts" if asked < len(plan.jobs) else ""
    return (
        f"Seed {plan.seed}, {plan.nodes} nodes of which {plan.misbehaving} misbehave, {asked} jobs of "
        f"{len(plan.requesters)} honest requesters{fakes}: **{verdict}**. A second of work took "
        f"{ended.slowness:.1f} s; the last job had ended after {ended.jobs_s:.0f} s, and "
        f"{_agreed(ended)} after {ended.agreed_s:.0f} s.\n"
    )


def _agreed(ended: Ended) -> str:
    if unsettled(ended.seen, ended.plan):
        return "equal scores with all faults in them were waited for no longer"
    return f"all {len(ended.plan.honest)} honest nodes had the same scores"


def _results(ended: Ended) -> str:
    """Tell what users got."""
    plan, seen = ended.plan, ended.seen
    rows: Counter[tuple[int, str, str, str]] = Counter()
    for job in seen.jobs:
        if job.by not in plan.requesters:
            continue
        right = seen.right.get(job.answer)
        what = "none" if not job.digest else "right" if job.digest == right else "wrong"
        rows[job.redundancy, f"`{job.code or '(not ended)'}`", job.checked or "-", what] += 1
    took = [job.took_s for job in seen.jobs if job.code == "succeeded" and job.by in plan.requesters]
    lasted = f"\nA job took {median(took):.0f} s in the middle, {max(took):.0f} s at most.\n" if took else ""
    return (
        _table(
            ("redundancy", "ended", "compared", "result", "jobs"),
            [(*key, count) for key, count in sorted(rows.items())],
        )
        + lasted
        + f"\n`{FLAGGED}` is a result that nobody else could compute, taken and shown as unverified.\n"
        + _unheard(seen.jobs)
    )


def _unheard(jobs: Sequence[JobSeen]) -> str:
    count = sum(bool(job.judged) and not job.is_heard for job in jobs)
    if not count:
        return ""
    return (
        f"\nVerdicts that count on their requester's node alone: {count}. Too many of those who were drawn had no "
        "time, so that others cannot tell a draw from a choice (VER-15).\n"
    )


def _workers(ended: Ended) -> str:
    plan, seen = ended.plan, ended.seen
    rows = []
    for worker in sorted(plan.workers, key=lambda one: (not one.misbehaves, one.misbehaves, one.name)):
        faults = Counter(one.fault for job in seen.jobs for one in job.judged if one.worker == worker.name)
        leases = sum(job.workers.count(worker.name) for job in seen.jobs)
        earned = format_amount(seen.earned_wei.get(worker.name, 0), SKYOPS)
        before, after = (_credibility(nodes, worker.name) for nodes in (seen.before, seen.after))
        counts = (faults[name] for name in ("none", "wrong", "lied", "no_reveal"))
        rows.append((worker.name, worker.misbehaves or "-", leases, *counts, earned, before, after))
    heads = (
        "worker",
        "misbehaves",
        "leases",
        "right",
        "wrong",
        "lied",
        "no reveal",
        "earned",
        "C before",
        "C after",
    )
    return _table(heads, rows)


def _scores(ended: Ended) -> str:
    seen = ended.seen
    if not seen.after:
        return "Nobody was asked.\n"
    first = seen.after[0]
    alike = sum(node.scores == first.scores and node.evidence == first.evidence for node in seen.after)
    return (
        f"{alike} of {len(seen.after)} honest nodes have the same {len(first.scores)} scores, to the last digit of "
        f"every field but their own experience, from the same verdicts and {first.receipts} receipts (digest "
        f"`{first.evidence[:16]}…`) in epoch {first.epoch}.\n"
    )


def _credibility(nodes: Sequence[NodeSeen], name: str) -> str:
    """Return a worker's C as the first node has it."""
    found = [one for node in nodes[:1] for one in node.scores if one.name == name and one.role == "worker"]
    if not found:
        return "-"
    return f"{found[0].credibility / 1_000_000:.6f}" + (" banned" if found[0].standing == "banned" else "")


def _breaches(ended: Ended) -> str:
    if not ended.breaches:
        return (
            "Every job ended; no wrong result reached a user unflagged; every comparison has a verdict that holds; "
            "whoever is always wrong was never found right, and no honest worker wrong; each wrong result "
            "whose verdict others count (VER-15, REP-37) counts against its worker; all honest nodes have the "
            "same scores.\n"
        )
    return "".join(f"- `{breach.code}`: {breach.text}\n" for breach in ended.breaches)


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(str(cell) for cell in line) + " |\n" for line in lines)
