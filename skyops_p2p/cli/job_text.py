"""How parts of a job look to people: sizes, spans of time, bars, and why an attempt ended."""

import re
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from skyops_p2p.cli.output import age, credits_text, short_peer
from skyops_p2p.node.jobs.job_views import AttemptView, GpuLoadView, JobView, ShardView, UsageView

ID_CHARS = 12
"""Of a job's id, for people; enough to be unique on one node."""
_MARKET_CODE = re.compile(r"no worker yet: (?P<code>\w+)|(?P<more>.*?) ?\((?P<end>[a-z_]+)\)")
"""How the machines tell that nobody took a shard: while they go on looking, and at the end."""
_PHASES = {
    "fetching": "fetching the inputs",
    "preparing": "preparing the runtime",
    "running": "running",
    "stopping": "stopping the program",
    "collecting": "collecting the outputs",
    "delivering": "delivering the outputs",
}
"""What the worker is at, in words."""


def short_job(job_id: str) -> str:
    """Return the beginning of a job's id."""
    return job_id[:ID_CHARS]


def bytes_text(size: int) -> str:
    """Return a size: "512 B", "3.0 MiB"."""
    if size < 1024:
        return f"{size} B"
    number, units = float(size), iter(("KiB", "MiB", "GiB", "TiB"))
    unit = ""
    while number >= 1024 and unit != "TiB":
        number, unit = number / 1024, next(units)
    return f"{number:.1f} {unit}" if number < 100 else f"{number:.0f} {unit}"


def span(seconds: float) -> str:
    """Return a length of time in two units: "12s", "2m 13s", "1h 05m", "3d 4h"."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02}s"
    if whole < 86_400:
        return f"{whole // 3600}h {whole % 3600 // 60:02}m"
    return f"{whole // 86_400}d {whole % 86_400 // 3600}h"


def local_time(unix_ms: int, *, form: str = "%Y-%m-%d %H:%M:%S") -> str:
    """Return an instant on this machine's clock."""
    return datetime.fromtimestamp(unix_ms / 1000, UTC).astimezone().strftime(form)


def ago(unix_ms: int, now_s: float) -> str:
    """Return how long ago an instant was, for a table."""
    return age(max(0.0, now_s - unix_ms / 1000))


def bar(done: int, total: int, width: int = 20) -> str:
    """Return a bar of `width` characters; empty if the total is not known."""
    if total <= 0:
        return ""
    full, empty = ("█", "░") if _has_blocks() else ("#", ".")
    filled = min(width, width * done // total)
    return full * filled + empty * (width - filled)


def _has_blocks() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"


def percent(done: int, total: int) -> str:
    """Return "24%"; empty if the total is not known."""
    return f"{min(100, 100 * done // total)}%" if total > 0 else ""


def progress_text(shard: ShardView) -> str:
    """Return how far a shard's program is: "120/500 24%"; empty if it does not tell."""
    return f"{shard.done}/{shard.total} {percent(shard.done, shard.total)}" if shard.total else ""


def metrics_text(metrics: Mapping[str, float]) -> str:
    """Return the program's figures: "loss 0.31, accuracy 0.914"."""
    return ", ".join(f"{name} {value:.6g}" for name, value in metrics.items())


def rest_text(shard: ShardView) -> str:
    """Return the time remaining and what says so: "1m 35s left (120 of 500 steps in 30 s)"; empty if unknown."""
    if shard.remaining_s is None:
        return ""
    basis = f" ({shard.estimate_basis})" if shard.estimate_basis else ""
    return f"{span(shard.remaining_s)} left{basis}"


DISCREPANCIES_SHOWN = 10
"""Shards with different results that are told of one by one."""
CHECKED_TEXTS = {
    "agreed": "all who computed it came to the same result",
    "decided": "the result of the majority; somebody was wrong: `skyops verdict`",
    "refereed": "two results differed; this node ran the steps where they part: `skyops verdict`",
    "no_replica": "NO: unverified, nobody else could compute it (no_replica)",
    "no_budget": "NO: unverified, price.total_max left nothing to have it checked (no_budget)",
    "not_drawn": "NO: unverified, the lot of the spot checks did not fall on it (not_drawn)",
    "canary": "this node has computed it, too, and came to the same result",
    "no_canary": "NO: unverified, nobody else computes it, and it is no canary (no_canary)",
    "canary_failed": "NO: unverified, it is a canary, and this node could not compute it (canary_failed)",
}
"""What came of comparing results -> a sentence."""


def discrepancy_fields(view: JobView) -> Iterator[tuple[str, str]]:
    """Yield a field for each shard in which somebody came to another result, at most DISCREPANCIES_SHOWN."""
    found = [shard for shard in view.shards if shard.discrepancy]
    for shard in found[:DISCREPANCIES_SHOWN]:
        where = f"shard {shard.index}: " if len(view.shards) > 1 else ""
        yield "discrepancy", where + shard.discrepancy
    if len(found) > DISCREPANCIES_SHOWN:
        yield "", f"… and {len(found) - DISCREPANCIES_SHOWN} more shards; `skyops status --json` has all"


def is_leased(shard: ShardView) -> bool:
    """Tell whether a worker has a shard now, and what it tells is of this moment."""
    return shard.state in ("opening", "running") and bool(shard.phase)


def reason_text(text: str) -> str:
    """Return what was told of a shard; a code of the auction in it comes with its meaning."""
    from skyops_p2p.core.auction.codes import explain

    found = _MARKET_CODE.fullmatch(text.strip())
    if found is None:
        return text.strip()
    code = found["code"] or found["end"]
    if explain(code) == explain(""):  # no code of the auction: brackets like any others
        return text.strip()
    said = f"{found['more']}; " if found["more"] else ""
    return f"{said}no worker, {code}: {explain(code).meaning}"


def phase_text(shard: ShardView) -> str:
    """Return what a shard's worker is at, in words."""
    return _PHASES.get(shard.phase, shard.phase)


def usage_text(usage: UsageView | None, cpu_permille: int | None = None) -> str:
    """Return CPU and memory: "cpu 193%, memory 700 MiB (most 1.0 GiB)"; empty if unknown.

    Args:
        usage: As measured.
        cpu_permille: Of late; the mean over the whole run if it is not given.
    """
    if usage is None:
        return ""
    parts = []
    share = cpu_permille if cpu_permille is not None else mean_cpu_permille(usage)
    if share is not None:
        parts.append(f"cpu {share / 10:.0f}%")
    if usage.memory_bytes is not None:
        most = f" (most {bytes_text(usage.memory_peak_bytes)})" if usage.memory_peak_bytes else ""
        parts.append(f"memory {bytes_text(usage.memory_bytes)}{most}")
    elif usage.memory_peak_bytes is not None:
        parts.append(f"memory at most {bytes_text(usage.memory_peak_bytes)}")
    if usage.written_bytes:
        parts.append(f"written {bytes_text(usage.written_bytes)}")
    return ", ".join(parts)


def mean_cpu_permille(usage: UsageView) -> int | None:
    """Return the CPU that was used over the whole run; 1000 is one core."""
    return usage.cpu_ms * 1000 // usage.wall_ms if usage.cpu_ms is not None and usage.wall_ms else None


def gpu_text(gpu: GpuLoadView) -> str:
    """Return one device's load: "gpu 0: 87%, 20.8 GiB, 287 W, 66 °C"."""
    return (
        f"gpu {gpu.index}: {gpu.utilisation_permille / 10:.0f}%, {bytes_text(gpu.memory_mib << 20)}, "
        f"{gpu.power_mw / 1000:.0f} W, {gpu.temperature_c} °C"
    )


def attempt_end(attempt: AttemptView) -> str:
    """Return why an attempt ended: "worker_lost: Nobody reaches the worker. (…)"; empty while it stands."""
    from skyops_p2p.core.execution.outcomes import outcome_of

    if not attempt.code:
        return ""
    more = f" ({attempt.text.strip()})" if attempt.text.strip() else ""
    return f"{attempt.code}: {outcome_of(attempt.code).meaning}{more}"


def lease_text(attempt: AttemptView) -> str:
    """Return who holds a lease, at what price."""
    return (
        f"{short_peer(attempt.worker)} at {credits_text(attempt.price_microcredits_per_hour)} credits an hour"
    )
