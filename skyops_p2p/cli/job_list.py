"""`ps`: the jobs of the running node."""

import time
from typing import TYPE_CHECKING

import click

from skyops_p2p.cli.invocation import Invocation, data_dir_option, json_option
from skyops_p2p.cli.output import Column, credits_text, print_json, print_table, short_peer

if TYPE_CHECKING:
    from skyops_p2p.node.job_rows import JobRowView

COLUMNS = (
    Column("JOB"),
    Column("NAME", is_cut=True),
    Column("STATE"),
    Column("SHARDS", is_right=True),
    Column("PROGRESS", is_right=True),
    Column("LEFT", is_right=True),
    Column("WORKER"),
    Column("PRICE/H", is_right=True),
    Column("AGE", is_right=True),
    Column("LATEST", is_wrapped=True),
)


@click.command()
@click.option("-a", "--all", "is_all", is_flag=True, help="Also jobs that have ended.")
@data_dir_option
@json_option
@click.pass_obj
def ps(invocation: Invocation, *, is_all: bool, as_json: bool) -> None:
    """List the jobs of the running node, oldest first: those that have not ended, or all."""
    rows = invocation.client().jobs.list()
    shown = [row for row in rows if is_all or not row.is_over]
    if as_json:
        print_json({"jobs": shown})
        return
    if not shown:
        ended = (
            f"those that have ended, {len(rows)}: skyops ps --all" if rows else "run one: skyops submit FILE"
        )
        click.echo(f"No open jobs; {ended}")
        return
    print_table(COLUMNS, [_cells(row) for row in shown], is_color=invocation.is_color)


def _cells(row: "JobRowView") -> tuple[str, ...]:
    from skyops_p2p.cli.job_text import ago, percent, reason_text, short_job, span
    from skyops_p2p.cli.plain_text import plain_view

    row = plain_view(row)
    over = row.states.get("succeeded", 0)
    return (
        short_job(row.job_id),
        row.name,
        row.state,
        f"{over}/{row.shards}" if row.shards > 1 else "-",
        "100%" if row.state == "succeeded" else percent(row.done, row.total) or "-",
        span(row.remaining_s) if row.remaining_s is not None else "-",
        _workers(row.workers),
        credits_text(row.price_microcredits_per_hour) if row.price_microcredits_per_hour else "-",
        ago(row.submitted_unix_ms, time.time()),
        (row.code if row.is_over else reason_text(row.text)) or "-",
    )


def _workers(workers: tuple[str, ...]) -> str:
    if len(workers) > 1:
        return f"{len(workers)} nodes"
    return short_peer(workers[0]) if workers else "-"
