"""`verify JOB`: run a job again on this machine, and compare what it makes with what came."""

from typing import TYPE_CHECKING

import click

from skyops_p2p.cli.invocation import Invocation, data_dir_option, json_option
from skyops_p2p.cli.output import Column, ProgressLine, paint, print_json, print_table, short_peer

if TYPE_CHECKING:
    from skyops_p2p.node.jobs.verify_views import FileDifferenceView, ShardCheckView, VerifyView

EXIT_DIFFERENT = 13
DIFFERENCES_SHOWN = 20
"""Of one shard; --json has more."""


@click.command()
@click.argument("job")
@click.option("--shard", type=click.IntRange(min=0), help="Only this shard of an array.")
@click.option("--stretch", is_flag=True, help="Only the steps that have decided between two results.")
@data_dir_option
@json_option
@click.pass_obj
def verify(invocation: Invocation, job: str, *, shard: int | None, stretch: bool, as_json: bool) -> int:
    """Wait until JOB has ended, run it again in this machine's own sandbox, and compare every file of its outputs.

    Only wasm jobs of the verification class `exact` can be verified so: they make the same bytes wherever they run. The
    run is local, costs nothing and takes one core. The exit code is 0 if all is the same, 13 if something differs, 6 if
    the job cannot be verified.

    With --stretch, of native jobs too, it runs nothing but the steps where two results parted, from the state that both
    workers had, and compares what it comes to with the verdict.
    """
    import sys

    from skyops_p2p.cli.job_text import bar

    jobs = invocation.client().jobs
    with ProgressLine(is_shown=sys.stderr.isatty()) as progress:
        progress.show("waiting for its end")
        found = jobs.verify(
            job,
            shard=shard,
            is_stretch=stretch,
            told=lambda done, total: progress.show(
                f"running  {bar(done, total, 30)}  {done} of {total} shards"
            ),
        )
        progress.clear()
    if as_json:
        print_json(found)
    else:
        from skyops_p2p.cli.plain_text import plain_view

        _print(plain_view(found), is_color=invocation.is_color)
    return 0 if found.is_same else EXIT_DIFFERENT


def _print(found: "VerifyView", *, is_color: bool) -> None:
    from skyops_p2p.cli.job_text import bytes_text

    columns = [
        Column("SHARD", is_right=True),
        Column("WORKER"),
        Column("FILES", is_right=True),
        Column("SIZE", is_right=True),
        Column("TOOK", is_right=True),
        Column("HERE"),
    ]
    rows = [
        (
            str(check.shard),
            short_peer(check.worker),
            str(check.files),
            bytes_text(check.size_bytes),
            f"{check.took_s:.1f} s",
            check.text,
        )
        for check in found.shards
    ]
    print_table(columns, rows, is_color=is_color)
    for check in found.shards:
        _print_differences(check)
    word = "SAME" if found.is_same else "DIFFERENT"
    style = "green" if found.is_same else "red"
    same = sum(check.code == "same" for check in found.shards)
    click.echo()
    click.echo(
        f"{paint(word, style, is_color=is_color)}: {same} of {len(found.shards)} shards of {found.name} "
        f"({found.job_id[:12]}) made the same bytes here"
    )


def _print_differences(check: "ShardCheckView") -> None:
    for one in check.differences[:DIFFERENCES_SHOWN]:
        click.echo(f"  shard {check.shard}: {one.path}: {_difference_text(one)}")
    hidden = len(check.differences) - DIFFERENCES_SHOWN + check.differences_left_out
    if hidden > 0:
        click.echo(f"  shard {check.shard}: … and {hidden} more")


def _difference_text(one: "FileDifferenceView") -> str:
    if one.kind == "missing":
        return f"came with {one.came_bytes} bytes, was not made here"
    if one.kind == "added":
        return f"was made here with {one.here_bytes} bytes, did not come"
    return f"{one.came_bytes} bytes came, {one.here_bytes} bytes here, not the same"
