"""`top`: live telemetry of the jobs that run."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import click

from skyops_p2p.cli.invocation import Invocation, data_dir_option, json_option
from skyops_p2p.cli.job_teller import OVER
from skyops_p2p.cli.job_text import (
    bar,
    bytes_text,
    gpu_text,
    is_leased,
    lease_text,
    metrics_text,
    phase_text,
    progress_text,
    reason_text,
    rest_text,
    short_job,
    span,
    usage_text,
)
from skyops_p2p.cli.output import is_terminal, print_json
from skyops_p2p.cli.plain_text import plain_view
from skyops_p2p.cli.waiting import taken_line
from skyops_p2p.node.control_jobs import JobsClient
from skyops_p2p.node.jobs.job_views import GpuLoadView, JobView, ShardView, UsageView

JOBS_SHOWN = 32
"""Jobs that are asked for at each look."""
LOOK_S = 1.0
"""Between two looks; workers tell their figures as often."""
_BLOCK_SHARDS_MAX = 8
"""Shards that are shown in blocks of several lines where there is no terminal; more become lines."""


@click.command()
@click.argument("job", required=False)
@click.option("--once", is_flag=True, help="Print one snapshot and end, also on a terminal.")
@data_dir_option
@json_option
@click.pass_obj
def top(invocation: Invocation, job: str | None, *, once: bool, as_json: bool) -> None:
    """Show how the program of JOB, or of every open job, is doing: progress, time left, CPU, memory, GPUs.

    On a terminal the picture is drawn anew each second, until the job has ended or Ctrl-C; elsewhere once.
    """
    jobs = invocation.client().jobs
    if as_json:
        print_json({"jobs": _look(jobs, job)})
    elif once or not is_terminal():
        for line in Picture().lines(_look(jobs, job), height=None):
            click.echo(line)
    else:
        _go_on(jobs, job, invocation)


def _look(jobs: JobsClient, job: str | None) -> list[JobView]:
    names = [job] if job else [row.job_id for row in jobs.list(is_open=True)[-JOBS_SHOWN:]]
    return [plain_view(jobs.show(name)) for name in names]


def _go_on(jobs: JobsClient, job: str | None, invocation: Invocation) -> None:
    """Draw until the job has ended."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(no_color=not invocation.is_color, highlight=False)
    picture = Picture()
    with taken_line(), Live(console=console, auto_refresh=False, transient=False) as live:
        while True:
            views = _look(jobs, job)
            lines = picture.lines(views, height=console.height - 1)
            live.update(Text("\n".join(lines), no_wrap=True, overflow="ellipsis"), refresh=True)
            if job and views[0].is_over:
                return
            time.sleep(LOOK_S)


@dataclass(slots=True)
class Picture:
    """Draws jobs; from one look to the next it knows what the CPU did between."""

    _before: dict[tuple[str, int, int], UsageView] = field(default_factory=dict)
    """(job, shard, epoch) -> usage at the last look."""

    def lines(self, views: list[JobView], *, height: int | None) -> list[str]:
        """Return the picture.

        Args:
            views: The jobs; their texts must be plain.
            height: Lines that there are; None where it does not matter.
        """
        running = [(view, shard) for view in views for shard in view.shards if shard.state not in OVER]
        blocks = [self._block(view, shard) for view, shard in running]
        blocks += [
            [_head(view), f"  {view.text or view.state}"] for view in views if not view.shards or view.is_over
        ]
        self._before = {_key(view, shard): shard.usage for view, shard in running if shard.usage is not None}
        if not blocks:
            return ["No open jobs."]
        whole = [line for block in blocks for line in [*block, ""]][:-1]
        fits = len(running) <= _BLOCK_SHARDS_MAX if height is None else len(whole) <= height
        if fits:
            return whole
        short = [self._row(view, shard) for view, shard in running]
        return (
            short
            if height is None or len(short) <= height
            else [*short[: height - 1], _more(len(short) - height + 1)]
        )

    def _block(self, view: JobView, shard: ShardView) -> list[str]:
        figures = self._figures(view, shard) if is_leased(shard) else ()
        return [_head(view, shard), *(f"  {line}" for line in figures if line)]

    def _figures(self, view: JobView, shard: ShardView) -> Iterator[str]:
        if shard.total:
            yield "  ".join(
                filter(None, (bar(shard.done, shard.total, 30), progress_text(shard), rest_text(shard)))
            )
        elif shard.phase_total:
            done, total = shard.phase_done, shard.phase_total
            yield f"{bar(done, total, 30)}  {bytes_text(done)} of {bytes_text(total)}"
        yield metrics_text(shard.metrics)
        yield usage_text(shard.usage, self._cpu_permille(view, shard))
        for gpu in shard.gpus:
            yield gpu_text(gpu)

    def _row(self, view: JobView, shard: ShardView) -> str:
        parts = (
            _name(view, shard),
            bar(shard.done, shard.total, 10),
            progress_text(shard) or phase_text(shard) or shard.state,
            f"{span(shard.remaining_s)} left" if shard.remaining_s is not None else "",
            metrics_text(dict(list(shard.metrics.items())[:1])),
            usage_text(_without_peak(shard.usage), self._cpu_permille(view, shard)),
            _gpus_text(shard.gpus),
        )
        return "  ".join(part for part in parts if part)

    def _cpu_permille(self, view: JobView, shard: ShardView) -> int | None:
        """Return what the program used since the last look; None if that cannot be said."""
        now, before = shard.usage, self._before.get(_key(view, shard))
        if now is None or before is None or now.cpu_ms is None or before.cpu_ms is None:
            return None
        passed_ms = now.wall_ms - before.wall_ms
        return (now.cpu_ms - before.cpu_ms) * 1000 // passed_ms if passed_ms > 0 else None


def _key(view: JobView, shard: ShardView) -> tuple[str, int, int]:
    return view.job_id, shard.index, shard.epoch


def _name(view: JobView, shard: ShardView | None) -> str:
    index = f" shard {shard.index}" if shard is not None and len(view.shards) > 1 else ""
    return f"{view.name} {short_job(view.job_id)}{index}"


def _head(view: JobView, shard: ShardView | None = None) -> str:
    """Return whose figures follow."""
    if shard is None:
        return f"{_name(view, None)}  {view.state}"
    lease = shard.attempts[-1] if shard.attempts and not shard.attempts[-1].code else None
    ran = f" for {span(shard.usage.wall_ms / 1000)}" if shard.usage and shard.phase == "running" else ""
    tries = f", attempt {len(shard.attempts)}" if len(shard.attempts) > 1 else ""
    on = f"  on {lease_text(lease)}{tries}" if lease else ""
    what = phase_text(shard) if is_leased(shard) else reason_text(shard.text) or shard.state
    return f"{_name(view, shard)}  {what}{ran}{on}"


def _gpus_text(gpus: tuple[GpuLoadView, ...]) -> str:
    """Return several devices in a few words: mean load, memory together, the hottest."""
    if not gpus:
        return ""
    load = sum(gpu.utilisation_permille for gpu in gpus) / len(gpus) / 10
    memory, power = sum(gpu.memory_mib for gpu in gpus), sum(gpu.power_mw for gpu in gpus)
    count = f"{len(gpus)}x " if len(gpus) > 1 else ""
    hottest = max(gpu.temperature_c for gpu in gpus)
    return f"gpu {count}{load:.0f}% {bytes_text(memory << 20)} {power / 1000:.0f} W {hottest} °C"


def _without_peak(usage: UsageView | None) -> UsageView | None:
    return (
        None if usage is None else usage.model_copy(update={"memory_peak_bytes": None, "written_bytes": None})
    )


def _more(count: int) -> str:
    return f"… and {count} more: make the terminal higher, or name a job"
