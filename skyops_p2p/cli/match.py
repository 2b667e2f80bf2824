"""`match`: look for a worker for a job, and say why each node was or was not chosen."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from skyops_p2p.cli.invocation import Invocation, data_dir_option, json_option
from skyops_p2p.cli.output import (
    Column,
    credits_text,
    paint,
    print_fields,
    print_json,
    print_table,
    short_peer,
)

if TYPE_CHECKING:
    from skyops_p2p.node.match_view import MatchStepView, MatchView

EXIT_NO_MATCH = 10
_NODES_SHOWN = 20
"""Nodes that the table for people holds; --json has all."""


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@data_dir_option
@json_option
@click.pass_obj
def match(invocation: Invocation, file: Path, *, as_json: bool) -> int:
    """Look for a worker for the job in FILE: tender, sealed bids, award. Nothing is run: that is `skyops submit`.

    Exit code 0: a worker holds its capacity for the job; 10: nobody took it, and the reasons are listed.
    """
    from skyops_p2p.node.job_files import read_job

    tree = read_job(file).model_dump(mode="json", by_alias=True, exclude_none=True)
    ended = invocation.client().match(tree, _quiet if as_json else _tell)
    if as_json:
        print_json(ended)
    else:
        _print(ended, invocation)
    return 0 if ended.is_matched else EXIT_NO_MATCH


def _quiet(step: "MatchStepView") -> None:
    """Say nothing: the whole record is printed at the end."""


def _tell(step: "MatchStepView") -> None:
    from skyops_p2p.cli.match_text import step_text

    click.echo(f"  {step_text(step)}")


def _print(ended: "MatchView", invocation: Invocation) -> None:
    from skyops_p2p.cli.match_text import reason_line

    if ended.is_matched:
        reserve = f" (reserve {ended.rank})" if ended.rank else ""
        print_fields(
            [
                ("matched", f"{ended.winner}{reserve}"),
                ("gpu", ended.gpu_model or "-"),
                ("price", f"{credits_text(ended.price_microcredits_per_hour)} credits an hour"),
                ("took", f"{ended.elapsed_ms} ms, {ended.rounds} round(s)"),
                ("job", ended.job_id),
                ("check it", f"skyops audit {ended.job_id[:12]}"),
            ]
        )
        return
    word = paint("no match", "yellow", is_color=invocation.is_color)
    click.echo(f"{word}: {ended.code} {ended.detail} after {ended.elapsed_ms} ms".replace("  ", " "))
    for reason in ended.reasons:
        click.echo(f"  {reason_line(reason)}")
    rows = [(short_peer(one.peer_id), one.code, one.detail or "-") for one in ended.outcomes[:_NODES_SHOWN]]
    if rows:
        columns = [Column("PEER"), Column("REASON"), Column("MORE", is_wrapped=True)]
        print_table(columns, rows, is_color=invocation.is_color)
