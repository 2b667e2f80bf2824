"""What is measured of a world, each per cent or a part, from one seed's report; and the mean over all seeds."""

import statistics
from collections.abc import Callable, Sequence

from bench.trust._world import Report

Measure = Callable[[Report], float]


def mean(reports: Sequence[Report], part: Measure) -> float:
    """Return the mean over all seeds."""
    return statistics.fmean(part(report) for report in reports)


def loss(report: Report) -> float:
    """Per cent of all value that was paid for wrong results that nobody noticed."""
    return 100 * report.lost / report.value if report.value else 0.0


def share(report: Report) -> float:
    """Per cent of all value that went to attackers."""
    return 100 * report.to_attackers / report.value if report.value else 0.0


def net(report: Report) -> float:
    """Attackers' income from wrong results, less fees and slashes, per cent of all value."""
    gained = report.income - report.fees - report.slashed
    return 100 * gained / report.value if report.value else 0.0


def late_loss(report: Report) -> float:
    """Loss in the last quarter."""
    return 100 * report.lost_late / report.value_late if report.value_late else 0.0


def honest_slashed(report: Report) -> float:
    """Per cent of all value that honest workers' stakes lost."""
    return 100 * report.honest_slashed / report.value if report.value else 0.0


def checked(report: Report) -> float:
    """Per cent of jobs whose result was checked."""
    return 100 * report.checked / report.jobs if report.jobs else 0.0


def late_checked(report: Report) -> float:
    """Per cent of the last quarter's jobs whose result was checked: the steady state, as far as it is reached."""
    return 100 * report.checked_late / report.jobs_late if report.jobs_late else 0.0


def unserved(report: Report) -> float:
    """Per cent of jobs that found no worker."""
    return 100 * report.unserved / max(1, report.unserved + report.jobs)


def newcomers(report: Report) -> float:
    """Per cent of the value since they came that went to honest newcomers."""
    whole = report.value_since_newcomers
    return 100 * report.newcomers / whole if whole else 0.0


def gini(report: Report) -> float:
    """Gini of what honest workers earned, 0 to 1."""
    values = sorted(report.earnings)
    whole = sum(values)
    if not whole:
        return 0.0
    ranked = sum((2 * rank - len(values) - 1) * value for rank, value in enumerate(values, 1))
    return ranked / (len(values) * whole)


ALL: dict[str, Measure] = {
    "loss_percent": loss,
    "loss_last_quarter_percent": late_loss,
    "attackers_share_percent": share,
    "attackers_net_percent": net,
    "newcomers_share_percent": newcomers,
    "honest_gini": gini,
    "checked_percent": checked,
    "checked_last_quarter_percent": late_checked,
    "honest_slashed_percent": honest_slashed,
    "unserved_percent": unserved,
}
"""Columns of the CSV."""
