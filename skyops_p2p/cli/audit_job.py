"""`audit JOB`: the awards of all attempts of a job of the running node."""

from dataclasses import dataclass

import click

from skyops_p2p.cli.audit import Audited, Wanted, as_tree, audit_file
from skyops_p2p.cli.invocation import Invocation
from skyops_p2p.cli.output import Column, print_json, print_table, short_peer
from skyops_p2p.cli.waiting import waiting
from skyops_p2p.errors import AuditError, ExecutionError, NetworkError
from skyops_p2p.node.book_files import find_book
from skyops_p2p.node.jobs.job_views import AttemptView, JobView


@dataclass(frozen=True, slots=True)
class Checked:
    """One attempt of a job."""

    shard: int
    number: int
    """From 1."""
    attempt: AttemptView
    audited: Audited | None
    """None: its book cannot be had."""
    findings: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether the lease follows from the bids."""
        return not self.findings


def find_attempts(invocation: Invocation, job: str, missing: AuditError) -> JobView:
    """Return the job that is meant.

    Args:
        invocation: Finds the running node.
        job: Its id or name.
        missing: Raised again if there is no such job either.

    Raises:
        AuditError: Code `book_missing`.
        ExecutionError: Code `ambiguous_job`.
    """
    try:
        return invocation.client().jobs.show(job)
    except NetworkError:
        raise missing from None  # no node runs here: then only books can be audited
    except ExecutionError as error:
        if error.code != "unknown_job":
            raise
        raise missing from None


def audit_job(view: JobView, wanted: Wanted, invocation: Invocation, *, as_json: bool) -> int:
    """Audit every attempt of a job, print what was found and return the exit code."""
    with waiting("checking the bid books", is_color=invocation.is_color):
        checked = [
            _check(attempt, wanted, invocation, shard=shard.index, number=number)
            for shard in view.shards
            for number, attempt in enumerate(shard.attempts, start=1)
        ]
    is_ok = all(one.ok for one in checked)
    if as_json:
        print_json({"ok": is_ok, "job_id": view.job_id, "attempts": [_tree(one) for one in checked]})
    elif not checked:
        click.echo(f"job {view.job_id[:12]} ({view.name}) has no attempts yet, so there is nothing to audit")
    else:
        _print(checked, invocation)
    return 0 if is_ok else AuditError.exit_code


def _check(
    attempt: AttemptView, wanted: Wanted, invocation: Invocation, *, shard: int, number: int
) -> Checked:
    try:
        audited = audit_file(find_book(attempt.tender_job, invocation.find_data_dir()), wanted)
    except AuditError as error:
        return Checked(shard, number, attempt, None, (error.message,))
    findings = tuple(f"{finding.rule}: {finding.text}" for finding in audited.report.findings)
    if attempt.worker not in audited.report.ranking:
        findings += (f"the lease went to {short_peer(attempt.worker)}, which the bids do not rank",)
    return Checked(shard, number, attempt, audited, findings)


def _tree(one: Checked) -> dict[str, object]:
    return {
        "shard": one.shard,
        "attempt": one.number,
        "worker": one.attempt.worker,
        "tender_job": one.attempt.tender_job,
        "ok": one.ok,
        "findings": list(one.findings),
        "audit": as_tree(one.audited) if one.audited else None,
    }


def _print(checked: list[Checked], invocation: Invocation) -> None:
    columns = [
        Column("SHARD", is_right=True),
        Column("ATTEMPT", is_right=True),
        Column("TENDER"),
        Column("BIDS", is_right=True),
        Column("WINNER BY RULE"),
        Column("LEASED TO"),
        Column("AWARD"),
    ]
    rows = []
    for one in checked:
        report = one.audited.report if one.audited else None
        rows.append(
            (
                str(one.shard),
                str(one.number),
                one.attempt.tender_job[:12],
                str(report.bids) if report else "-",
                short_peer(report.ranking[0]) if report and report.ranking else "-",
                short_peer(one.attempt.worker),
                "ok" if one.ok else "fail",
            )
        )
    print_table(columns, rows, is_color=invocation.is_color)
    found = [(one, text) for one in checked for text in one.findings]
    if not found:
        click.echo(f"OK: {len(checked)} of {len(checked)} awards follow from their bids")
        return
    click.echo(f"FAILED: {len(found)} findings")
    for one, text in found:
        click.echo(f"  shard {one.shard}, attempt {one.number}: {text}")
