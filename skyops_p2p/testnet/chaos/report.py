"""A campaign's report as Markdown: jobs, faults, recovery times, money, and what does not hold. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import median

from skyops_p2p.core.settlement.amounts import SKYOPS, format_amount
from skyops_p2p.testnet.chaos.campaign import Ended

PICTURE_NAME = "timeline.png"


def report(ended: Ended, *, command: str, has_picture: bool) -> str:
    """Return the report.

    Args:
        ended: The campaign.
        command: With which it is done again.
        has_picture: Whether PICTURE_NAME lies beside it.
    """
    parts = [
        "# A chaos campaign\n",
        f"`{command}`\n",
        _summary(ended),
        *([f"![Jobs as bars, faults as marks]({PICTURE_NAME})\n"] if has_picture else []),
        "## Jobs\n",
        _jobs(ended),
        "## Faults\n",
        _faults(ended),
        "## Recovery\n",
        _recovery(ended),
        "## Money\n",
        _money(ended),
        "## What must hold\n",
        _breaches(ended),
    ]
    return "\n".join(parts)


def _summary(ended: Ended) -> str:
    verdict = "everything holds" if not ended.breaches else f"{len(ended.breaches)} things do not hold"
    leases = sum(len(job.attempts) for job in ended.seen.jobs)
    return (
        f"Seed {ended.plan.seed}, {len(ended.plan.jobs)} jobs, {len(ended.plan.workers) + 2} nodes and the embedded "
        f"chain, {len(ended.faults)} faults, {leases} leases; {ended.ended_s:.0f} s: **{verdict}**. "
        f"The plan was stretched by {ended.plan.slowness:.1f}, as the machine was so busy.\n\n"
        f"The last fault was undone after {ended.healed_s:.0f} s, the last job had ended after {ended.over_s:.0f} s, "
        f"both sides of every lease agreed after {ended.agreed_s:.0f} s.\n"
    )


def _jobs(ended: Ended) -> str:
    kinds = {job.plan.name: job.plan.kind for job in ended.jobs}
    rows = Counter((kinds[job.name], job.code or "(not ended)") for job in ended.seen.jobs)
    leases: Counter[tuple[str, str]] = Counter()
    for job in ended.seen.jobs:
        leases[kinds[job.name], job.code or "(not ended)"] += len(job.attempts)
    lost = Counter(code for job in ended.seen.jobs for _, _, code in job.attempts)
    return (
        _table(
            ("kind", "ended", "jobs", "leases"),
            [(kind, f"`{code}`", count, leases[kind, code]) for (kind, code), count in sorted(rows.items())],
        )
        + "\nHow the leases ended: "
        + ", ".join(f"`{code or 'open'}` {count}" for code, count in sorted(lost.items()))
        + ".\n"
    )


def _faults(ended: Ended) -> str:
    labels = sorted({fault.plan.label for fault in ended.faults})
    rows = []
    for label in labels:
        these = [fault for fault in ended.faults if fault.plan.label == label]
        lasted = [(fault.ended_s or ended.ended_s) - fault.began_s for fault in these]
        back = [fault.back_s - fault.ended_s for fault in these if fault.back_s and fault.ended_s]
        rows.append((label, len(these), _spread(lasted), _spread(back)))
    table = _table(("fault", "times", "lasted, s (median, most)", "answered again after, s"), rows)
    return table + _reorganisations(ended)


def _reorganisations(ended: Ended) -> str:
    tried = [fault for fault in ended.faults if fault.plan.kind == "reorg"]
    done = [fault.plan for fault in tried if not fault.trouble]
    dropped = sum(plan.is_dropped for plan in done)
    missed = ", ".join(sorted({fault.trouble for fault in tried if fault.trouble}))
    return (
        f"\nReorganisations took back {sum(plan.blocks for plan in done)} blocks; after {dropped} of {len(done)} the "
        "chain had forgotten their transactions."
        + (f" {len(tried) - len(done)} could not be done ({missed})." if missed else "")
        + "\n"
    )


def _recovery(ended: Ended) -> str:
    spans = [span for job in ended.jobs for span in job.recoveries_s]
    took = [
        job.ended_s - job.submitted_s for job in ended.jobs if job.ended_s and job.submitted_s is not None
    ]
    return _table(
        ("what", "times", "seconds (median, most)"),
        [
            ("a lease was lost, until the next one", len(spans), _spread(spans)),
            ("a job was submitted, until it ended", len(took), _spread(took)),
        ],
    )


def _money(ended: Ended) -> str:
    before, after = ended.seen.before, ended.seen.after
    names = ("wallets", "deposits", "allotments", "held", "credits", "fees", "supply")
    rows: list[tuple[object, ...]] = [
        (name, _text(getattr(before, name)), _text(getattr(after, name))) for name in names
    ]
    paid = sum(lane.paid_wei for job in ended.seen.jobs for lane in job.lanes)
    receipts = sum(lane.has_receipt for job in ended.seen.jobs for lane in job.lanes)
    redeemed = sum(pair.redeemed_wei for pair in ended.seen.pairs if not pair.is_payer)
    return (
        _table(("SKYOPS", "before", "after"), rows)
        + f"\nPaid by vouchers: {_text(paid)} with {receipts} receipts; redeemed: {_text(redeemed)}.\n"
    )


def _breaches(ended: Ended) -> str:
    if not ended.breaches:
        return (
            "Nothing is lost: every job ended, coded, as it may; no shard was run to its receipt twice; no lane is "
            "paid above its meters or unpaid above its exposure; no job cost more than its bound; both sides of every "
            "lease, pair and receipt agree to the wei; the chain's money is conserved.\n"
        )
    return "".join(f"- `{breach.code}`: {breach.text}\n" for breach in ended.breaches)


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(str(cell) for cell in line) + " |\n" for line in lines)


def _spread(values: Sequence[float]) -> str:
    return f"{median(values):.1f}, {max(values):.1f}" if values else "-"


def _text(wei: int) -> str:
    return format_amount(wei, SKYOPS)
