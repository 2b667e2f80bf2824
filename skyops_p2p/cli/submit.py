"""`submit`: have jobs run, one or a batch, and watch them if wanted."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from skyops_p2p.cli.invocation import Invocation, data_dir_option, json_option
from skyops_p2p.cli.output import print_json

if TYPE_CHECKING:
    from skyops_p2p.node.control_jobs import JobsClient
    from skyops_p2p.node.jobs.job_views import JobView
    from skyops_p2p.node.submission import Submission


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False))
@click.option("-w", "--watch", is_flag=True, help="Stay and show what happens, until the jobs have ended.")
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Replace a field of the job file, e.g. --set shards=4; may be repeated.",
)
@data_dir_option
@json_option
@click.pass_obj
def submit(
    invocation: Invocation, files: tuple[Path, ...], changes: tuple[str, ...], *, watch: bool, as_json: bool
) -> int:
    """Have the job in each FILE run: found a worker, leased, fed, watched, resumed where it breaks.

    Several files are a batch: all are checked before the first is submitted, and each job comes after those that it
    names in depends_on. The jobs run on in the node when this command has ended. With --watch the exit code is 0 if
    all succeeded, 11 if one failed, 12 if one was cancelled; Ctrl-C leaves them running.
    """
    from skyops_p2p.cli.job_follow import WATCHED_MAX
    from skyops_p2p.node.job_changes import parse_change
    from skyops_p2p.node.submission import prepare_file

    if watch and len(files) > WATCHED_MAX:
        raise click.UsageError(
            f"--watch follows at most {WATCHED_MAX} jobs; leave it out and use `skyops top`."
        )
    parsed = [parse_change(text) for text in changes]
    ready = [prepare_file(file, parsed) for file in files]
    jobs = invocation.client().jobs
    views = submit_all(jobs, ready)
    if watch:
        return _watch(jobs, views, invocation, as_json=as_json)
    if as_json:
        print_json({"jobs": views})
    else:
        _tell(views)
    return 0


def submit_all(jobs: "JobsClient", ready: "Sequence[Submission]") -> "list[JobView]":
    """Submit jobs, each after those that it depends on; those of the batch are named by id from then on.

    Raises:
        SkyopsError: One was refused; a line on standard error says which were submitted before it.
    """
    from skyops_p2p.errors import SkyopsError
    from skyops_p2p.node.batches import in_order, naming_ids

    ids: dict[str, str] = {}
    views: list[JobView] = []
    for place in in_order([one.spec for one in ready]):
        one = ready[place]
        named = naming_ids(one.spec, ids)
        tree = named.model_dump(mode="json", by_alias=True, exclude_none=True)
        try:
            view = jobs.submit(tree, base_dir=one.base_dir, secrets=one.secrets)
        except SkyopsError:
            if views:
                click.echo(
                    f"Submitted before that: {', '.join(view.job_id[:12] for view in views)}.", err=True
                )
            raise
        views.append(view)
        ids[named.name] = view.job_id
    return views


def _watch(jobs: "JobsClient", views: "list[JobView]", invocation: Invocation, *, as_json: bool) -> int:
    from skyops_p2p.cli.job_follow import JobFollower, exit_code_of, tell_how_to_come_back, watch_jobs
    from skyops_p2p.errors import NetworkError
    from skyops_p2p.node.jobs.job_views import JobView, LogLineView

    if not as_json:
        _tell_ids(views)
        return watch_jobs(jobs, views, is_color=invocation.is_color, is_new=True)
    last = {view.job_id: view for view in views}
    try:
        for news in JobFollower(jobs, list(last)).news():
            if news is not None and isinstance(news.what, JobView):
                last[news.job_id] = news.what
                click.echo(f'{{"job":{news.what.model_dump_json()}}}')
            elif news is not None and isinstance(news.what, LogLineView):
                click.echo(f'{{"job_id":"{news.job_id}","line":{news.what.model_dump_json()}}}')
    except (KeyboardInterrupt, NetworkError):
        tell_how_to_come_back(list(last.values()))
        raise
    return exit_code_of(list(last.values()))


def _tell_ids(views: "Sequence[JobView]") -> None:
    for view in views:
        click.echo(f"submitted {view.job_id[:12]} ({view.name})")


def _tell(views: "Sequence[JobView]") -> None:
    from skyops_p2p.cli.job_teller import next_steps

    _tell_ids(views)
    if len(views) == 1 and sys.stdout.isatty():
        for step in next_steps(views[0]):
            click.echo(f"  {step}")
