"""`earnings --forecast` and `earnings --why`: what a day would bring, and why a job brought what it brought."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import click

from skyops_p2p.cli.invocation import Invocation
from skyops_p2p.cli.output import Column, print_fields, print_json, print_table

if TYPE_CHECKING:
    from skyops_p2p.core.earnings.forecast import ForecastTerms
    from skyops_p2p.node.control_client import ControlClient
    from skyops_p2p.node.settlement.settlement_views import EarnedJobView, EarnedLaneView, EarningRowView

MEASURED_DAYS = 7
"""The load is measured over so many days, today included."""
ASSUMED_LOAD_PERMILLE = 500
_UNKNOWN = frozenset({"payment_not_configured", "chain_unavailable"})
"""Codes of a node that cannot say what it has earned, or how it is thought of."""
COLUMNS = (
    Column("MODE"),
    Column("FACTOR", is_right=True),
    Column("SKYOPS/H", is_right=True),
    Column("A DAY", is_right=True),
    Column("AFTER FEE", is_right=True),
    Column("HELD BACK", is_right=True),
)


@dataclass(frozen=True, slots=True)
class _Basis:
    """What a forecast rests on, and in words where it comes from."""

    terms: "ForecastTerms"
    sources: tuple[tuple[str, str], ...]


def print_forecast(invocation: Invocation, load_percent: float | None, *, as_json: bool) -> None:
    """Print what a day of this node would bring in each mode, and what that rests on.

    Raises:
        ExecutionError: `not_a_worker`.
    """
    from dataclasses import asdict

    from skyops_p2p.core.earnings.forecast import forecast_day, modes

    basis = _basis(invocation.client(), load_percent)
    days = [forecast_day(basis.terms, mode) for mode in modes()]
    if as_json:
        rows = [{**asdict(day), "paid": day.paid} for day in days]
        print_json({"terms": asdict(basis.terms), "sources": dict(basis.sources), "days": rows})
        return
    print_fields(basis.sources)
    click.echo()
    print_table(COLUMNS, [_row(day) for day in days], is_color=invocation.is_color)
    click.echo()
    for line in _formula_lines(basis.terms):
        click.echo(line)


def print_why(invocation: Invocation, job: str, *, as_json: bool) -> None:
    """Print each factor of what one job has brought."""
    view = invocation.client().payments.earned(job)
    if as_json:
        print_json(view)
        return
    print_fields(_job_fields(view))
    for one in view.lanes:
        click.echo()
        print_fields(_lane_fields(view, one))


def measured_load(rows: "Sequence[EarningRowView]", today: date) -> tuple[int, int] | None:
    """Return which part of the time was sold lately, in thousandths, and over how many days; None if nothing was.

    Args:
        rows: What was earned, by day.
        today: By UTC; its day counts as a whole one.
    """
    ages = {row.key: (today - date.fromisoformat(row.key)).days for row in rows}
    lately = [row for row in rows if 0 <= ages[row.key] < MEASURED_DAYS]
    if not lately:
        return None
    days = min(MEASURED_DAYS, max(ages.values()) + 1)
    sold_ms = sum(row.runtime_ms for row in lately)
    return min(1000, sold_ms * 1000 // (days * 86_400_000)), days


def _basis(client: "ControlClient", load_percent: float | None) -> _Basis:
    from skyops_p2p.cli.output import credits_text
    from skyops_p2p.core.earnings.forecast import ForecastTerms
    from skyops_p2p.core.settlement.prices import holdback_bps
    from skyops_p2p.errors import ExecutionError

    node = client.node("self")
    if not node.is_worker:
        raise ExecutionError(
            "this node is no worker, so it will earn nothing", code="not_a_worker", hint="Set worker.enabled."
        )
    gpus = node.gpus
    load, load_source = _load(client, load_percent)
    credibility, availability, standing = _standing(client)
    terms = ForecastTerms(
        price=node.price_microcredits_per_hour,
        classes_milli=tuple(gpu.index_milli for gpu in gpus),
        load_permille=load,
        credibility=credibility,
        availability=availability,
        holdback_bps=holdback_bps(credibility // 1000),
    )
    names = ", ".join(f"{gpu.model} {gpu.index_milli / 1000:g}" for gpu in gpus)
    is_measured = bool(gpus) and all(gpu.is_measured for gpu in gpus)
    origin = "measured" if is_measured else "provisional table, until `skyops benchmark` has measured it"
    sources = (
        (
            "price",
            f"{credits_text(terms.price)} SKYOPS an hour for {'its best GPU' if gpus else 'the machine'}",
        ),
        ("class", f"{names or 'no GPU: 1'} ({origin})"),
        ("load", load_source),
        ("reputation", standing),
    )
    return _Basis(terms, sources)


def _load(client: "ControlClient", percent: float | None) -> tuple[int, str]:
    """Return which part of the time is sold, in thousandths, and where that comes from."""
    from skyops_p2p.errors import SkyopsError

    if percent is not None:
        return round(percent * 10), f"{percent:g} % of the time, as you say (--load)"
    try:
        found = measured_load(client.payments.earnings(by="day").rows, datetime.now(UTC).date())
    except SkyopsError as error:
        if error.code not in _UNKNOWN:
            raise
        found = None
    if found is None:
        return (
            ASSUMED_LOAD_PERMILLE,
            f"{ASSUMED_LOAD_PERMILLE / 10:g} % of the time, assumed: nothing was sold lately",
        )
    return found[0], f"{found[0] / 10:g} % of the time, as paid over the last {found[1]} days"


def _standing(client: "ControlClient") -> tuple[int, int, str]:
    """Return credibility and availability in millionths, and where they come from."""
    from skyops_p2p.core.reputation.fixed import MILLION
    from skyops_p2p.core.reputation.parameters import Parameters
    from skyops_p2p.errors import SkyopsError

    try:
        view = client.payments.reputation("self")
    except SkyopsError as error:
        if error.code not in _UNKNOWN:
            raise
        rows, reasons = [], []
    else:
        rows = [row for row in view.rows if row.role == "worker"]
        reasons = [one for one in view.explanations if one.role == "worker"]
    if not rows:
        prior = Parameters().prior
        return (
            prior,
            MILLION,
            f"{prior / MILLION:g} and full uptime, assumed: a newcomer's, nothing is known of this node",
        )
    credibility = rows[0].credibility
    availability = reasons[0].availability if reasons else MILLION
    return (
        credibility,
        availability,
        f"{credibility / MILLION:.3f}, uptime counts as {availability / MILLION:.3f}",
    )


def _row(day: object) -> tuple[str, ...]:
    from skyops_p2p.cli.output import credits_text
    from skyops_p2p.core.auction.prices import MODE_PERMILLE
    from skyops_p2p.core.earnings.forecast import Forecast

    assert isinstance(day, Forecast)
    return (
        day.mode,
        f"{MODE_PERMILLE[day.mode] / 1000:g}",
        credits_text(day.hourly),
        credits_text(day.pay.gross),
        credits_text(day.paid),
        credits_text(day.held),
    )


def _formula_lines(terms: "ForecastTerms") -> Iterator[str]:
    from skyops_p2p.core.earnings.pay import multiplier_bp

    factor = multiplier_bp(terms.credibility) / 10_000
    yield "It assumes that bids at this price win; that a machine that fills up asks for more is left out."
    yield f"Held back is {terms.holdback_bps / 100:g} %, until the challenge window closes (an hour, or a day)."
    yield f"The published formula has a multiplier, {factor:.3f} at this reputation; the contracts do not apply it yet."


def _job_fields(view: "EarnedJobView") -> Iterator[tuple[str, str]]:
    from skyops_p2p.cli.plain_text import plain
    from skyops_p2p.core.settlement.amounts import SKYOPS, format_amount

    yield "job", view.job_id
    yield "name", plain(view.name)
    yield "mode", view.mode
    yield "earned", format_amount(sum(one.lane.paid_wei for one in view.lanes), SKYOPS)


def _lane_fields(view: "EarnedJobView", one: "EarnedLaneView") -> Iterator[tuple[str, str]]:
    from skyops_p2p.core.auction.prices import MODE_PERMILLE
    from skyops_p2p.core.settlement.amounts import SKYOPS, format_about, format_amount

    lane = one.lane
    factor = {str(mode): permille / 1000 for mode, permille in MODE_PERMILLE.items()}.get(view.mode, 1.0)
    yield "lease", f"{lane.lane[:16]} (shard {lane.shard}, epoch {lane.epoch})"
    yield (
        "price",
        f"{format_amount(lane.rate_wei, SKYOPS)} an hour, as was bid; mode {view.mode} ({factor:g}) is in it",
    )
    if one.class_milli:
        yield (
            "class",
            f"{one.class_milli / 1000:g} times the reference class, as was bid; it is in the price",
        )
    yield "runtime", _runtime_text(one)
    yield (
        "comes to",
        f"{format_amount(lane.paid_wei, SKYOPS)} = price x runtime / 1 h, rounded down; an interval is 1 wei at least",
    )
    yield "fee", f"{format_about(one.fee_wei, SKYOPS)} ({view.fee_bps / 100:g} %), kept by the contract"
    yield (
        "held back",
        f"{format_about(one.held_wei, SKYOPS)} ({one.holdback_bps / 100:g} %), until the challenge window closes",
    )
    yield "at once", format_about(lane.paid_wei - one.fee_wei - one.held_wei, SKYOPS)
    yield (
        "ended",
        f"{one.outcome or lane.code or 'it runs'}{'' if lane.has_receipt else ', without a receipt'}",
    )


def _runtime_text(one: "EarnedLaneView") -> str:
    paid = f"{one.lane.runtime_ms / 1000:.3f} s"
    if not one.requester_ms:
        return f"{paid}, the smaller count of both sides"
    return f"{paid}: the requester counted {one.requester_ms / 1000:.3f} s, this node {one.worker_ms / 1000:.3f} s"
