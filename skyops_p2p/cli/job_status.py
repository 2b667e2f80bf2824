"""`status JOB`: one job in full: how it stands, its shards, its attempts with their reasons, and what to do."""

import time
from collections.abc import Iterator

import click

from skyops_p2p.cli.invocation import Invocation
from skyops_p2p.cli.job_teller import OVER, next_steps
from skyops_p2p.cli.job_text import (
    CHECKED_TEXTS,
    attempt_end,
    bytes_text,
    discrepancy_fields,
    gpu_text,
    is_leased,
    local_time,
    metrics_text,
    phase_text,
    progress_text,
    reason_text,
    rest_text,
    span,
    usage_text,
)
from skyops_p2p.cli.match_text import reason_line, search_sentences
from skyops_p2p.cli.output import (
    Column,
    credits_text,
    paint,
    print_fields,
    print_json,
    print_table,
    short_peer,
)
from skyops_p2p.cli.plain_text import plain_view
from skyops_p2p.node.jobs.job_views import JobView, ShardView
from skyops_p2p.node.jobs.search_views import SearchView

SHARDS_SHOWN = 40
"""Shards that the table for people holds, those that need a look first; --json has all."""
ATTEMPTS_SHOWN = 20
"""Attempts that the table for people holds, the newest last."""
_ORDER = (
    "failed",
    "waiting",
    "matching",
    "opening",
    "running",
    "checking",
    "fetching",
    "idle",
    "cancelled",
    "succeeded",
)


def show_job(invocation: Invocation, job: str, *, watch: bool, as_json: bool) -> int:
    """Print how a job stands; with `watch` what happens to it until it ends. Return the exit code."""
    jobs = invocation.client().jobs
    view = jobs.show(job)
    if watch and not as_json:
        from skyops_p2p.cli.job_follow import watch_jobs

        return watch_jobs(jobs, [view], is_color=invocation.is_color)
    if watch:
        from skyops_p2p.cli.job_follow import exit_code_of

        for view in jobs.watch(job):
            click.echo(view.model_dump_json())
        return exit_code_of([view])
    if as_json:
        print_json(view)
    else:
        print_job(plain_view(view), is_color=invocation.is_color)
    return 0


def print_job(view: JobView, *, is_color: bool) -> None:
    """Print one job; its texts must be plain."""
    print_fields(_fields(view, is_color=is_color))
    if len(view.shards) > 1:
        click.echo()
        _print_shards(view, is_color=is_color)
    _print_attempts(view, is_color=is_color)
    click.echo()
    for step in ([f"What to do: {view.change}"] if view.change else []) + next_steps(view):
        click.echo(step)


def _fields(view: JobView, *, is_color: bool) -> Iterator[tuple[str, str]]:
    style = {"succeeded": "green", "failed": "red", "cancelled": "yellow"}.get(view.state, "cyan")
    code = f" ({view.code})" if view.code not in ("", view.state) else ""
    yield "job", view.job_id
    yield "name", view.name
    yield "state", paint(view.state, style, is_color=is_color) + code
    if view.meaning:
        yield "meaning", view.meaning
    if view.text.strip() not in ("", view.meaning, view.state):
        yield "latest", reason_text(view.text)
    at = local_time(view.submitted_unix_ms)
    yield "submitted", f"{at}, {span(time.time() - view.submitted_unix_ms / 1000)} ago"
    yield "runtime", view.runtime
    if view.verified and len(view.shards) > 1:
        yield "checked", view.verified
    yield from discrepancy_fields(view)
    if len(view.shards) == 1:
        yield from _of_shard(view.shards[0])


def _of_shard(shard: ShardView) -> Iterator[tuple[str, str]]:
    """Yield the fields of a job's only shard."""
    if shard.search is not None and not is_leased(shard) and shard.state not in OVER:
        yield from _of_search(shard.search)
    if shard.worker and (is_leased(shard) or shard.state in OVER):
        yield "worker", shard.worker
    if is_leased(shard):
        moved = (
            f", {bytes_text(shard.phase_done)} of {bytes_text(shard.phase_total)}"
            if shard.phase_total
            else ""
        )
        yield "phase", phase_text(shard) + moved
    if shard.total:
        yield "progress", progress_text(shard)
    if shard.metrics:
        yield "figures", metrics_text(shard.metrics)
    if shard.remaining_s is not None and is_leased(shard):
        yield "time", rest_text(shard)
    if shard.usage is not None and (is_leased(shard) or shard.state in OVER):
        ran = f"ran {span(shard.usage.wall_ms / 1000)}"
        yield "usage", ", ".join(filter(None, (ran, usage_text(shard.usage))))
    for gpu in shard.gpus if is_leased(shard) else ():
        yield "gpu", gpu_text(gpu).partition(": ")[2]
    if shard.checkpoints:
        last = shard.checkpoints[-1]
        at = f" at {last.done}/{last.total}" if last.total else ""
        yield "checkpoint", f"{last.sequence}{at}: {last.label}, {local_time(last.made_unix_ms)}"
    if shard.exit_code is not None:
        yield "exit code", str(shard.exit_code)
    yield from _of_check(shard)
    yield "log", _log_text(shard)
    if shard.result_bytes is not None:
        yield "outputs", bytes_text(shard.result_bytes)


def _of_check(shard: ShardView) -> Iterator[tuple[str, str]]:
    """Yield what came of comparing results, and who else computes it."""
    if shard.checked:
        yield "verified", CHECKED_TEXTS[shard.checked]
    for number, one in enumerate(shard.replicas):
        whom = f" by {short_peer(one.worker)}" if one.worker else ""
        yield "" if number else "replicas", f"{one.state}{whom}" + (f": {one.code}" if one.code else "")


def _of_search(search: SearchView) -> Iterator[tuple[str, str]]:
    """Yield how far the search for a worker is, and why nobody took the last one."""
    for number, sentence in enumerate(search_sentences(search, None)):
        yield "" if number else "search", sentence
    for reason in search.reasons:
        yield "because", reason_line(reason)


def _log_text(shard: ShardView) -> str:
    count = f"{shard.log_records} records"
    if shard.is_log_proven is None:
        return (
            f"{count}, of the worker whose result was not taken" if shard.result_bytes is not None else count
        )
    return count + (
        ", as the worker signed for it" if shard.is_log_proven else ", NOT the one that the worker signed for"
    )


def _print_shards(view: JobView, *, is_color: bool) -> None:
    columns = [
        Column("SHARD", is_right=True),
        Column("STATE"),
        Column("PROGRESS", is_right=True),
        Column("LEFT", is_right=True),
        Column("WORKER"),
        Column("TRIES", is_right=True),
        Column("EXIT", is_right=True),
        Column("LATEST", is_wrapped=True),
    ]
    ranked = sorted(view.shards, key=lambda shard: (_ORDER.index(shard.state), shard.index))
    rows = [
        (
            str(shard.index),
            shard.state,
            progress_text(shard) or "-",
            _left(shard),
            short_peer(shard.worker) if is_leased(shard) or shard.state in OVER else "-",
            str(len(shard.attempts)),
            "-" if shard.exit_code is None else str(shard.exit_code),
            _latest(shard),
        )
        for shard in ranked[:SHARDS_SHOWN]
    ]
    print_table(columns, rows, is_color=is_color)
    if len(ranked) > SHARDS_SHOWN:
        click.echo(f"… and {len(ranked) - SHARDS_SHOWN} more; --json has all.")


def _left(shard: ShardView) -> str:
    return span(shard.remaining_s) if shard.remaining_s is not None and is_leased(shard) else "-"


def _latest(shard: ShardView) -> str:
    if shard.state in OVER:
        return "-" if shard.code == "succeeded" else f"{shard.code}: {shard.meaning}"
    return (phase_text(shard) if is_leased(shard) else "") or reason_text(shard.text) or "-"


def _print_attempts(view: JobView, *, is_color: bool) -> None:
    columns = [
        Column("SHARD", is_right=True),
        Column("ATTEMPT", is_right=True),
        Column("WORKER"),
        Column("PRICE/H", is_right=True),
        Column("ENDED"),
        Column("WHY", is_wrapped=True),
    ]
    rows = [
        (
            str(shard.index) if len(view.shards) > 1 else "-",
            str(number),
            short_peer(attempt.worker),
            credits_text(attempt.price_microcredits_per_hour),
            attempt.code or "stands",
            attempt_end(attempt).partition(": ")[2] or "-",
        )
        for shard in view.shards
        for number, attempt in enumerate(shard.attempts, start=1)
        if len(view.shards) == 1 or len(shard.attempts) > 1 or attempt.code not in ("", "succeeded")
    ]
    if rows:
        click.echo()
        print_table(columns, rows[-ATTEMPTS_SHOWN:], is_color=is_color)
    if len(rows) > ATTEMPTS_SHOWN:
        click.echo(f"… and {len(rows) - ATTEMPTS_SHOWN} before; --json has all.")
