"""`verdict`: what came of comparing a job's results, and a check of such a file that needs no network."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from skyops_p2p.cli.invocation import Invocation, data_dir_option, json_option
from skyops_p2p.cli.job_verify import EXIT_DIFFERENT
from skyops_p2p.cli.output import Column, paint, print_fields, print_json, print_table, short_peer
from skyops_p2p.cli.waiting import waiting
from skyops_p2p.errors import ConfigError

if TYPE_CHECKING:
    from skyops_p2p.node.jobs.verdict_views import VerdictView

_SENTENCES = {
    "agreed": "all results are equal",
    "decided": "most results are equal; who is at fault is named below",
    "unresolved": "no result has a majority: nobody is known to be right",
}
_FAULTS = {
    "none": "right",
    "wrong": "wrong: not the result of the majority",
    "lied": "lied: showed something else than it had committed to",
    "no_reveal": "committed to a result, and did not show it",
}


@click.command()
@click.argument("job", required=False)
@click.option("--shard", type=click.IntRange(min=0), default=0, help="Of an array.")
@click.option(
    "--export", type=click.Path(path_type=Path), help="Write the verdict to this file, for others to check."
)
@click.option(
    "--check",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Check the verdict in this file; no node has to run.",
)
@data_dir_option
@json_option
@click.pass_obj
def verdict(
    invocation: Invocation,
    job: str | None,
    *,
    shard: int,
    export: Path | None,
    check: Path | None,
    as_json: bool,
) -> int:
    """Show what came of comparing the results of JOB's workers, or check the verdict in a file.

    There is a verdict where verification.redundancy is 2 or more and the class `exact` or `numeric`. It is checked from
    its own signatures: commitments, reveals, the draw and, but for `numeric`, the comparison. The exit code is 0 if it
    holds and an answer stands, 13 if not.
    """
    if (job is None) == (check is None):
        raise ConfigError("name a job, or a file with --check", hint="`skyops verdict JOB`.")
    found = _of_file(check) if check is not None else invocation.client().jobs.verdict(job or "", shard=shard)
    if export is not None:
        _write(export, bytes.fromhex(found.data))
    if as_json:
        print_json(found)
    else:
        _print(found, is_color=invocation.is_color)
    return 0 if found.holds and found.winner is not None else EXIT_DIFFERENT


def _of_file(path: Path) -> "VerdictView":
    with waiting("checking"):
        from skyops_p2p.core.verification.check import check_verdict
        from skyops_p2p.node.jobs.verdict_views import verdict_view
        from skyops_p2p.node.jobs.verdicts import read_verdict

        try:
            data = read_verdict(path)
        except OSError as error:
            raise ConfigError(
                f"{path} cannot be read: {error.strerror}", hint="Name another file."
            ) from error
        return verdict_view(check_verdict(data), data)


def _write(path: Path, data: bytes) -> None:
    try:
        with path.open("xb") as file:
            file.write(data)
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written: {error.strerror}", hint="Name another file; none is replaced."
        ) from error
    click.echo(f"written to {path}; `skyops verdict --check {path}` checks it anywhere", err=True)


def _print(found: "VerdictView", *, is_color: bool) -> None:
    from skyops_p2p.cli.job_text import local_time

    style = "green" if found.holds else "red"
    print_fields(
        [
            ("verdict", found.digest),
            ("outcome", f"{found.outcome}: {_SENTENCES[found.outcome]}" if found.outcome else "unreadable"),
            ("requester", found.requester or "-"),
            ("made", local_time(found.made_unix_ms) if found.made_unix_ms else "-"),
            ("workers", "drawn by lot" if found.is_drawn else "not all drawn by lot, or without bindings"),
            (
                "rests on",
                "signatures alone" if found.is_reworked else "the requester's comparison of outputs",
            ),
            ("check", paint("HOLDS" if found.holds else "DOES NOT HOLD", style, is_color=is_color)),
        ]
    )
    for text in found.findings:
        click.echo(f"  {text}")
    if found.judged:
        columns = [Column("PLACE", is_right=True), Column("WORKER"), Column("RESULT", is_wrapped=True)]
        rows = [
            (str(place), short_peer(one.worker), _FAULTS[one.fault]) for place, one in enumerate(found.judged)
        ]
        click.echo()
        print_table(columns, rows, is_color=is_color)
