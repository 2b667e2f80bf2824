"""`result`, `cancel`, `checkpoints` and `retry`: what a person does with a job."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from skyops_p2p.cli.invocation import Invocation, data_dir_option, json_option
from skyops_p2p.cli.output import Column, ProgressLine, print_fields, print_json, print_table, short_peer

if TYPE_CHECKING:
    from skyops_p2p.node.control_jobs import JobsClient
    from skyops_p2p.node.jobs.job_views import JobView, PublishedView


@click.command()
@click.argument("job")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Directory for the outputs; NAME-ID in the working directory if it is left out.",
)
@click.option(
    "--publish",
    "is_published",
    is_flag=True,
    help="Put the outputs out in plain for IPFS nodes instead: whoever knows their CID may read them.",
)
@data_dir_option
@json_option
@click.pass_obj
def result(
    invocation: Invocation, job: str, *, output: Path | None, is_published: bool, as_json: bool
) -> None:
    """Wait until JOB has ended and decrypt its outputs into a directory; nothing in it is replaced.

    Outputs lie under their paths, those of an array in shard-0, shard-1 and so on. With --publish they are put out
    under a CID that any IPFS node can fetch from this one as long as it runs; that cannot be taken back.
    """
    import sys

    if is_published and output is not None:
        raise click.UsageError(
            "--publish writes no directory: leave -o out, or run both one after the other."
        )
    jobs = invocation.client().jobs
    with ProgressLine(is_shown=sys.stderr.isatty()) as progress:
        view = _wait_over(jobs, job, progress)
        if is_published:
            put_out = jobs.publish(view.job_id, told=lambda done, total: _show(progress, done, total))
            progress.clear()
            _tell_published(put_out, as_json=as_json)
            return
        into = output or Path(f"{view.name}-{view.job_id[:8]}")
        found = jobs.result(
            view.job_id, into.absolute(), told=lambda done, total: _show(progress, done, total)
        )
    if as_json:
        print_json(found)
        return
    from skyops_p2p.cli.job_text import bytes_text, discrepancy_fields

    print_fields(
        [
            ("directory", found.folder),
            ("files", str(found.files)),
            ("size", bytes_text(found.size_bytes)),
            *([("checked", view.verified)] if view.verified else []),
            *discrepancy_fields(view),
        ]
    )


def _tell_published(found: "PublishedView", *, as_json: bool) -> None:
    """Print a CID and how others come by what it names."""
    if as_json:
        print_json(found)
        return
    from skyops_p2p.cli.job_text import bytes_text

    fields = [
        ("cid", found.cid),
        ("files", str(found.files)),
        ("size", bytes_text(found.size_bytes)),
        ("as an input", f'uri = "ipfs://{found.cid}"'),
        *(("served at", addr) for addr in found.addrs),
    ]
    print_fields(fields)
    first = found.addrs[0] if found.addrs else "ADDRESS"
    click.echo(f"Fetch it: ipfs swarm connect {first} && ipfs get {found.cid}")
    click.echo(
        "It is not encrypted: whoever knows the CID may read it, while this node or another serves it."
    )


def _wait_over(jobs: "JobsClient", job: str, progress: ProgressLine) -> "JobView":
    """Show how a job stands until it has ended."""
    from skyops_p2p.cli.job_teller import JobTeller
    from skyops_p2p.cli.plain_text import plain_view

    view, teller = jobs.show(job), JobTeller()
    for newer in jobs.watch(view.job_id):
        view = newer
        teller.news(plain_view(view))
        progress.show(f"waiting for its end: {teller.live(time.time())}")
    progress.clear()
    return view


def _show(progress: ProgressLine, done: int, total: int) -> None:
    from skyops_p2p.cli.job_text import bar, bytes_text

    progress.show(f"decrypting  {bar(done, total, 30)}  {bytes_text(done)} of {bytes_text(total)}")


@click.command()
@click.argument("job")
@data_dir_option
@json_option
@click.pass_obj
def cancel(invocation: Invocation, job: str, *, as_json: bool) -> None:
    """End JOB; programs that run get time for a last checkpoint. One that has ended stays as it is."""
    jobs = invocation.client().jobs
    before = jobs.show(job)
    view = before if before.is_over else jobs.cancel(before.job_id)
    if as_json:
        print_json(view)
    elif before.is_over:
        click.echo(f"job {view.job_id[:12]} ({view.name}) has ended already: {view.state}")
    else:
        click.echo(f"job {view.job_id[:12]} ({view.name}) is being cancelled")
        click.echo(f"go on with it later: skyops retry {view.job_id[:12]}")


@click.command()
@click.argument("job")
@click.option("-w", "--watch", is_flag=True, help="Stay and show what happens, until the job has ended.")
@data_dir_option
@json_option
@click.pass_obj
def retry(invocation: Invocation, job: str, *, watch: bool, as_json: bool) -> int:
    """Run again what has not succeeded of JOB, from its last checkpoints. With --watch exit codes are as of submit."""
    jobs = invocation.client().jobs
    view = jobs.retry(job)
    if as_json:
        print_json(view)
    else:
        click.echo(f"job {view.job_id[:12]} ({view.name}) runs again")
    if watch and not as_json:
        from skyops_p2p.cli.job_follow import watch_jobs

        return watch_jobs(jobs, [view], is_color=invocation.is_color)
    return 0


@click.command()
@click.argument("job")
@data_dir_option
@json_option
@click.pass_obj
def checkpoints(invocation: Invocation, job: str, *, as_json: bool) -> None:
    """List the saved checkpoints of JOB: from where each shard would go on."""
    from skyops_p2p.cli.job_text import bytes_text, local_time
    from skyops_p2p.cli.plain_text import plain_view

    view = invocation.client().jobs.show(job)
    if as_json:
        rows = [
            {"shard": shard.index} | one.model_dump() for shard in view.shards for one in shard.checkpoints
        ]
        print_json({"job_id": view.job_id, "checkpoints": rows})
        return
    cells = [
        (
            str(shard.index) if len(view.shards) > 1 else "-",
            str(one.sequence),
            one.label,
            f"{one.done}/{one.total}" if one.total else "-",
            bytes_text(one.size_bytes),
            local_time(one.made_unix_ms),
            short_peer(one.worker),
        )
        for shard in plain_view(view).shards
        for one in shard.checkpoints
    ]
    if not cells:
        click.echo(
            "No checkpoints yet: a job saves them if its file has a [checkpoint] table and its program writes them."
        )
        return
    columns = [
        Column("SHARD", is_right=True),
        Column("NUMBER", is_right=True),
        Column("LABEL", is_cut=True),
        Column("STEP", is_right=True),
        Column("SIZE", is_right=True),
        Column("MADE"),
        Column("WORKER"),
    ]
    print_table(columns, cells, is_color=invocation.is_color)
