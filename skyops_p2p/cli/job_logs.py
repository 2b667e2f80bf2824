"""`logs`: what a job's program wrote."""

from typing import TYPE_CHECKING

import click

from skyops_p2p.cli.invocation import Invocation, data_dir_option
from skyops_p2p.cli.output import paint

if TYPE_CHECKING:
    from skyops_p2p.node.jobs.job_views import JobView, LogLineView


@click.command()
@click.argument("job")
@click.option("-f", "--follow", is_flag=True, help="Go on until the job ends, or Ctrl-C.")
@click.option("--shard", type=click.IntRange(0), help="Only of this shard.")
@click.option("-t", "--timestamps", is_flag=True, help="Put the worker's time before each line.")
@click.option(
    "--raw", is_flag=True, help="Print control characters as they are: only for programs you trust."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@data_dir_option
@click.pass_obj
def logs(
    invocation: Invocation,
    job: str,
    *,
    follow: bool,
    shard: int | None,
    timestamps: bool,
    raw: bool,
    as_json: bool,
) -> None:
    """Print what the program of JOB wrote: its output to standard output, its errors to standard error.

    What the worker's node says stands there too, marked "skyops". Control characters are shown as escapes and colours
    are dropped; of a line that the program drew over itself the last state is shown.
    """
    jobs = invocation.client().jobs
    is_array = shard is None and not as_json and len(jobs.show(job).shards) > 1
    for line in jobs.logs(job, follow=follow, shard=shard, is_raw=raw and not as_json):
        if as_json:
            click.echo(line.model_dump_json())
        elif raw:
            click.echo(line.text, nl=False, err=line.stream != "stdout")
        else:
            _print(line, is_array=is_array, has_time=timestamps, is_color=invocation.is_color)
    if not (as_json or raw):
        _tell_discrepancies(jobs.show(job), is_color=invocation.is_color)


def _tell_discrepancies(view: "JobView", *, is_color: bool) -> None:
    """Say below the log if somebody came to another result: whose log it is says nothing of that."""
    from skyops_p2p.cli.job_text import discrepancy_fields

    for name, text in discrepancy_fields(view):
        click.echo(paint("skyops: ", "cyan", is_color=is_color) + f"{name} {text}".strip(), err=True)


def _print(line: "LogLineView", *, is_array: bool, has_time: bool, is_color: bool) -> None:
    from skyops_p2p.cli.job_text import local_time
    from skyops_p2p.cli.plain_text import plain_line

    shard = f"{line.shard}| " if is_array else ""
    at = f"{local_time(line.unix_ms)} " if has_time else ""
    source = paint("skyops: ", "cyan", is_color=is_color) if line.stream == "skyops" else ""
    click.echo(f"{at}{shard}{source}{plain_line(line.text)}", err=line.stream != "stdout")
