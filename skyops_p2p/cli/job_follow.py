"""Watches jobs on the running node: their news and their logs side by side, until they have ended.

Each job has two streams of the control API, read by threads of their own; what comes is handed to the one thread that
prints.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import click

from skyops_p2p.cli.job_teller import JobTeller, ending
from skyops_p2p.cli.job_text import local_time, short_job
from skyops_p2p.cli.output import ProgressLine, paint
from skyops_p2p.cli.plain_text import plain_line, plain_view
from skyops_p2p.errors import NetworkError, SkyopsError
from skyops_p2p.node.control_jobs import JobsClient
from skyops_p2p.node.jobs.job_views import JobView, LogLineView

EXIT_JOB_FAILED = 11
EXIT_JOB_CANCELLED = 12
WATCHED_MAX = 16
"""Jobs that one command follows: each takes two streams of the node's API_JOB_STREAMS_MAX."""
_WAITING_MAX = 1000
"""News that waits to be printed; the streams wait meanwhile."""
_TICK_S = 0.5
"""The live line shows the time at least this often."""


@dataclass(frozen=True, slots=True)
class News:
    """Something that a stream brought."""

    job_id: str
    what: JobView | LogLineView | SkyopsError | None
    """None: a log has ended."""


class JobFollower:
    """The streams of some jobs.

    Args:
        jobs: The node's.
        job_ids: Which.
    """

    def __init__(self, jobs: JobsClient, job_ids: Sequence[str]) -> None:
        self._jobs = jobs
        self._news: queue.Queue[News] = queue.Queue(_WAITING_MAX)
        self._open = dict.fromkeys(job_ids, True)
        """Job -> whether its views still come."""
        self._logs: dict[str, bool] = {}
        """Job -> whether its log still comes."""
        for job_id in job_ids:
            self._start(job_id, partial(jobs.watch, job_id))

    def news(self) -> Iterator[News | None]:
        """Yield what comes, until all jobs and their logs have ended; None whenever nothing comes for a moment.

        Raises:
            SkyopsError: A stream broke.
        """
        while any(self._open.values()) or any(self._logs.values()):
            try:
                news = self._news.get(timeout=_TICK_S)
            except queue.Empty:
                yield None
                continue
            match news.what:
                case SkyopsError() as error:
                    raise error
                case None:
                    self._logs[news.job_id] = False
                case JobView() as view:
                    self._note(view)
                    yield news
                case LogLineView():
                    yield news

    def _note(self, view: JobView) -> None:
        job_id = view.job_id
        if view.shards and job_id not in self._logs:
            self._logs[job_id] = True
            self._start(job_id, partial(self._jobs.logs, job_id, follow=True), is_log=True)
        if view.is_over:
            self._open[job_id] = False

    def _start(
        self, job_id: str, stream: Callable[[], Iterator[JobView | LogLineView]], *, is_log: bool = False
    ) -> None:
        def read() -> None:
            try:
                for what in stream():
                    self._news.put(News(job_id, what))
                if is_log:
                    self._news.put(News(job_id, None))
            except SkyopsError as error:
                self._news.put(News(job_id, error))

        # A daemon: whoever presses Ctrl-C does not wait for the next sign of life of the stream.
        threading.Thread(target=read, name=f"follow {job_id[:8]}", daemon=True).start()


def watch_jobs(jobs: JobsClient, views: Sequence[JobView], *, is_color: bool, is_new: bool = False) -> int:
    """Print what happens to jobs until they have ended; return the exit code that says how.

    Args:
        jobs: The node's.
        views: The jobs; at most WATCHED_MAX.
        is_color: Whether colours are wanted.
        is_new: They were submitted just now.
    """
    names = {view.job_id: view.name if len(views) > 1 else "" for view in views}
    tellers = {job_id: JobTeller(name, is_new=is_new) for job_id, name in names.items()}
    last = {view.job_id: view for view in views}
    try:
        with ProgressLine(is_shown=_is_terminal()) as progress:
            screen = _Screen(progress, is_color=is_color)
            for news in JobFollower(jobs, list(last)).news():
                if news is not None and isinstance(news.what, JobView):
                    last[news.job_id] = view = plain_view(news.what)
                    screen.tell(tellers[news.job_id].news(view))
                elif news is not None and isinstance(news.what, LogLineView):
                    shards = len(last[news.job_id].shards)
                    screen.log(news.what, name=names[news.job_id], is_array=shards > 1)
                screen.live([tellers[job_id] for job_id, view in last.items() if not view.is_over])
    except (KeyboardInterrupt, NetworkError):
        tell_how_to_come_back(list(last.values()))
        raise
    for view in last.values():
        tell_end(view, name=names[view.job_id], is_color=is_color)
    return exit_code_of(list(last.values()))


def exit_code_of(views: Sequence[JobView]) -> int:
    """Return 0 if all succeeded, EXIT_JOB_FAILED if one failed, else EXIT_JOB_CANCELLED."""
    states = {view.state for view in views}
    return EXIT_JOB_FAILED if "failed" in states else EXIT_JOB_CANCELLED if "cancelled" in states else 0


def tell_end(view: JobView, *, name: str, is_color: bool) -> None:
    """Print how a job ended."""
    first, *rest = ending(view, time.time())
    style = {"succeeded": "green", "failed": "red"}.get(view.state, "yellow")
    word, space, more = first.partition(" ")
    prefix = f"{name}: " if name else ""
    click.echo(prefix + paint(word, style, is_color=is_color) + space + more)
    for line in rest:
        click.echo(f"  {line}")


def tell_how_to_come_back(views: Sequence[JobView]) -> None:
    """Say on standard error that the jobs are kept by the node, and how to see them again."""
    for view in views:
        if not view.is_over:
            job = short_job(view.job_id)
            click.echo(
                f"The node keeps job {job} ({view.name}). Come back: skyops status {job} --watch; "
                f"end it: skyops cancel {job}",
                err=True,
            )


class _Screen:
    """Prints news and log lines above the live line."""

    def __init__(self, progress: ProgressLine, *, is_color: bool) -> None:
        self._progress = progress
        self._is_color = is_color

    def tell(self, sentences: Sequence[str]) -> None:
        for sentence in sentences:
            at = paint(
                local_time(round(time.time() * 1000), form="%H:%M:%S"), "cyan", is_color=self._is_color
            )
            self._print(f"{at}  {sentence}")

    def log(self, line: LogLineView, *, name: str, is_array: bool) -> None:
        source = "/".join([part for part in (name, str(line.shard) if is_array else "") if part])
        mark = {"stderr": "!", "skyops": "*"}.get(line.stream, "|")
        self._print(f"          {source}{mark} {plain_line(line.text)}")

    def live(self, tellers: Sequence[JobTeller]) -> None:
        self._progress.show("   ".join(filter(None, (teller.live(time.time()) for teller in tellers))))

    def _print(self, text: str) -> None:
        self._progress.clear()
        click.echo(text)


def _is_terminal() -> bool:
    import sys

    return sys.stderr.isatty()
