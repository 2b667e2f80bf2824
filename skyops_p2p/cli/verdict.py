"""`verdict`: what came of comparing a job's results, and a check of such a file that needs no network."""

import re
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

_NAME = re.compile(r"[0-9a-f]{4,64}")
_COLUMNS = (
    Column("NAME"),
    Column("MADE"),
    Column("REQUESTER"),
    Column("OUTCOME"),
    Column("WORKERS", is_right=True),
    Column("AT FAULT", is_wrapped=True),
)
_SENTENCES = {
    "agreed": "all results are equal",
    "decided": "most results are equal; who is at fault is named below",
    "unresolved": "no result has a majority: nobody is known to be right",
}
_CHARGED = (
    "Who was wrong or has lied is paid no further, has no receipt, and loses score on every node that holds this.\n"
    "Its stake answers once a jury finds so, too: `skyops dispute open --verdict` (docs/money.md)."
)
_JUROR = (
    "Jurors: `skyops dispute status DISPUTE --verdict FILE` says whether a dispute is about this;\n"
    "whether the result is wrong, see for yourself, unless its worker has lied (VER-29)."
)
_OWN = "`skyops verdict JOB` shows that of a job of your own, also where it counts on this node alone."
_RUN_HERE = "two results differed, and the requester ran the steps where they part"
_COMPUTED_HERE = "the requester has computed it, too; whose result is another one is named below"
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
@click.option(
    "--name", metavar="DIGITS", help="Show this verdict of those that the node holds; how its name begins."
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
    name: str | None,
    as_json: bool,
) -> int:
    """Show what came of comparing the results of JOB's workers, or check the verdict in a file.

    Without JOB it lists what the node holds: verdicts of everybody, as far as they say something to others. One that
    counts on this node alone, for its own jobs, is shown by JOB.

    There is a verdict where verification.redundancy is 2 or more and the class `exact` or `numeric`, and for canaries
    (verification.canaries). It is checked from its own signatures: commitments, reveals, the draw and, but for
    `numeric`, the comparison. The exit code is 0 if it holds and an answer stands, 13 if not.
    """
    if sum(one is not None for one in (job, check, name)) > 1:
        raise ConfigError(
            "name one of a job, a --name, and a file with --check", hint="`skyops verdict JOB`."
        )
    if check is not None:
        found = _of_file(check)
    elif name is not None:
        found = invocation.client().payments.verdict(_digits(name))
    elif job is not None:
        found = invocation.client().jobs.verdict(job, shard=shard)
    else:
        return _list(invocation, as_json=as_json)
    if export is not None:
        _write(export, bytes.fromhex(found.data))
    if as_json:
        print_json(found)
    else:
        _print(found, is_color=invocation.is_color)
    return 0 if found.holds and found.winner is not None else EXIT_DIFFERENT


def _digits(name: str) -> str:
    """Return how a name begins.

    Raises:
        ConfigError: `hash_invalid`.
    """
    if _NAME.fullmatch(name) is None:
        raise ConfigError(
            f"{name[:80]!r} are not 4 to 64 hexadecimal digits",
            code="hash_invalid",
            hint="`skyops verdict` lists the names.",
        )
    return name


def _list(invocation: Invocation, *, as_json: bool) -> int:
    from skyops_p2p.cli.job_text import local_time

    view = invocation.client().payments.verdicts()
    if as_json:
        print_json(view)
        return 0
    rows = [
        (
            one.digest[:12],
            local_time(one.made_unix_ms),
            one.requester[:12],
            one.outcome,
            str(len(one.workers)),
            ", ".join(wallet[:12] for wallet in one.at_fault) or "nobody",
        )
        for one in view.verdicts
    ]
    if rows:
        print_table(_COLUMNS, rows, is_color=invocation.is_color)
        click.echo(f"{view.held} held; `skyops verdict --name NAME` shows one and checks it.")
    else:
        click.echo("No verdict is held here that says something to others.")
    click.echo(_OWN)
    return 0


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


def _outcome(found: "VerdictView") -> str:
    if not found.outcome:
        return "unreadable"
    by = _RUN_HERE if found.stretch is not None else _COMPUTED_HERE if found.known else ""
    return f"{found.outcome}: {by or _SENTENCES[found.outcome]}"


def _result(fault: str, found: "VerdictView") -> str:
    stretch = found.stretch
    if fault == "wrong" and found.known:
        return "wrong: not what the requester came to"
    if fault == "wrong" and stretch is not None:
        return f"wrong: not what steps {stretch.first_step} to {stretch.last_step} come to"
    if fault == "none" and found.winner is None:
        return "shown; nobody can say whether it is right"
    return _FAULTS[fault]


def _basis(found: "VerdictView") -> str:
    """Say whose word a verdict needs."""
    if found.stretch is not None:
        steps = f"{found.stretch.first_step} to {found.stretch.last_step}"
        return f"steps {steps}, run by the requester from the state that both had"
    if found.known:
        return "the requester's word: its own run of the whole shard"
    return "signatures alone" if found.is_reworked else "the requester's comparison of outputs"


def _print_charges(found: "VerdictView") -> None:
    """Say what a dispute about each wrong result must say: what its jurors look at."""
    from skyops_p2p.core.settlement.amounts import SKYOPS, format_amount

    charged = [(place, one) for place, one in enumerate(found.judged) if one.dispute]
    for place, one in charged:
        worth = format_amount(int(one.worth_wei), SKYOPS)
        click.echo(f"  place {place}, wallet 0x{one.wallet}: worth {worth}, dispute {one.dispute}")
    if charged:
        click.echo(_JUROR)


def _print(found: "VerdictView", *, is_color: bool) -> None:
    from skyops_p2p.cli.job_text import local_time

    style = "green" if found.holds else "red"
    print_fields(
        [
            ("verdict", found.digest),
            ("outcome", _outcome(found)),
            ("requester", found.requester or "-"),
            ("made", local_time(found.made_unix_ms) if found.made_unix_ms else "-"),
            ("workers", "drawn by lot" if found.is_drawn else "not all drawn by lot, or without bindings"),
            (
                "rests on",
                _basis(found),
            ),
            ("check", paint("HOLDS" if found.holds else "DOES NOT HOLD", style, is_color=is_color)),
        ]
    )
    for text in found.findings:
        click.echo(f"  {text}")
    if found.judged:
        columns = [Column("PLACE", is_right=True), Column("WORKER"), Column("RESULT", is_wrapped=True)]
        rows = [
            (str(place), short_peer(one.worker), _result(one.fault, found))
            for place, one in enumerate(found.judged)
        ]
        click.echo()
        print_table(columns, rows, is_color=is_color)
        if any(one.fault in ("wrong", "lied") for one in found.judged):
            click.echo(_CHARGED)
        _print_charges(found)
