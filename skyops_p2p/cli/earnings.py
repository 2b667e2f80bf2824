"""`billing JOB`, `earnings` and `settle`: what jobs cost, and what running them brings."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

import click

from skyops_p2p.cli.invocation import Invocation, data_dir_option, json_option
from skyops_p2p.cli.output import Column, print_fields, print_json, print_table, short_peer
from skyops_p2p.cli.waiting import waiting

if TYPE_CHECKING:
    from skyops_p2p.node.settlement.settlement_views import (
        BillingView,
        EarningsView,
        LaneView,
        QuoteView,
    )

LANE_COLUMNS = (
    Column("SHARD", is_right=True),
    Column("EPOCH", is_right=True),
    Column("WORKER"),
    Column("SKYOPS/H", is_right=True),
    Column("RUNTIME", is_right=True),
    Column("GPU", is_right=True),
    Column("MOVED", is_right=True),
    Column("SKYOPS PAID", is_right=True),
    Column("STATE"),
    Column("RECEIPT"),
)
EARNING_COLUMNS = (
    Column("KEY"),
    Column("LEASES", is_right=True),
    Column("RUNTIME", is_right=True),
    Column("GPU", is_right=True),
    Column("SKYOPS EARNED", is_right=True),
    Column("RECEIPTS", is_right=True),
)


@click.command()
@click.argument("job")
@data_dir_option
@json_option
@click.pass_obj
def billing(invocation: Invocation, job: str, *, as_json: bool) -> None:
    """Show what JOB has cost: metered runtime, price and payment of each lease, and what it has used besides.

    Runtime is what both sides have metered while the program ran, without pauses; the smaller count is paid. What only
    a worker sees (GPU, CPU, memory, disk) is its own word, signed with the result, and nothing is charged for it.
    """
    view = invocation.client().payments.billing(job)
    if as_json:
        print_json(view)
        return
    print_fields(_bill_fields(view))
    if view.lanes:
        click.echo()
        print_table(LANE_COLUMNS, _lane_rows(view.lanes), is_color=invocation.is_color)


@click.command()
@click.option(
    "--by", type=click.Choice(["job", "day", "mode"]), default="job", help="What makes a row of the table."
)
@click.option(
    "--forecast", is_flag=True, help="Instead: what a day would bring in each mode, and on what that rests."
)
@click.option(
    "--load",
    "load_percent",
    type=click.FloatRange(0, 100),
    help="With --forecast: per cent of the time that is sold, instead of what was sold lately.",
)
@click.option(
    "--why", "job", metavar="JOB", help="Instead: each factor of what one job has brought, by its id."
)
@data_dir_option
@json_option
@click.pass_obj
def earnings(
    invocation: Invocation,
    *,
    by: Literal["job", "day", "mode"],
    forecast: bool,
    load_percent: float | None,
    job: str | None,
    as_json: bool,
) -> None:
    """Show what this node has earned as a worker, and what of it is redeemed.

    \b
    Example: skyops earnings --forecast --load 40
    """
    from skyops_p2p.cli.earnings_forecast import print_forecast, print_why

    if (load_percent is not None and not forecast) or (forecast and job is not None):
        raise click.UsageError("--load belongs to --forecast, and --why stands alone.")
    if forecast:
        print_forecast(invocation, load_percent, as_json=as_json)
        return
    if job is not None:
        print_why(invocation, job, as_json=as_json)
        return
    view = invocation.client().payments.earnings(by=by)
    if as_json:
        print_json(view)
        return
    if not view.rows:
        click.echo("Nothing was earned here yet.")
        return
    print_table(EARNING_COLUMNS, _earning_rows(view), is_color=invocation.is_color)
    click.echo()
    print_fields(_earning_fields(view))


@click.command()
@click.option("--dry-run", is_flag=True, help="Say what it would bring and cost, and redeem nothing.")
@data_dir_option
@json_option
@click.pass_obj
def settle(invocation: Invocation, *, dry_run: bool, as_json: bool) -> None:
    """Redeem all vouchers now, in one transaction, and free holdbacks, whatever it costs.

    The node does so by itself when they are due or the money behind them would leave.
    """
    payments = invocation.client().payments
    quote = payments.quote()
    if not as_json:
        for line in _quote_lines(quote):
            click.echo(line)
    settled = None
    if (quote.vouchers or quote.releases) and not dry_run:
        with waiting("redeeming", is_color=invocation.is_color):
            settled = payments.settle()
    if as_json:
        print_json({"quote": quote, "settled": settled.model_dump(mode="json") if settled else None})
    elif settled is not None:
        if settled.transaction_hash:
            click.echo(f"Redeemed {_counted(settled.vouchers)} in {settled.transaction_hash}.")
        if settled.releases:
            click.echo(f"Had {_counted(settled.releases, 'holdback')} released.")


def _bill_fields(view: "BillingView") -> Iterator[tuple[str, str]]:
    from skyops_p2p.cli.job_text import bytes_text, span
    from skyops_p2p.cli.plain_text import plain

    yield "job", view.job_id
    yield "name", plain(view.name)
    if not view.is_paid:
        yield "paid", "nothing: it runs free"
        return
    yield "paid", f"{_amount(view.paid_wei)}, of which the contract keeps {_amount(view.fee_wei)}"
    if view.replicas_wei:
        yield (
            "for checks",
            f"{_amount(view.replicas_wei)} of it, to those that computed the same to compare results",
        )
    yield "runtime", span(view.runtime_ms / 1000)
    if view.moved_bytes:
        yield "moved", f"{bytes_text(view.moved_bytes)} of inputs, outputs and logs"
    whose = (
        "signed by its worker" if all(lane.is_usage_signed for lane in view.lanes) else "as its worker says"
    )
    if view.gpu_ms:
        share = 100 * view.gpu_ms // max(view.runtime_ms, 1)
        yield (
            "GPU time",
            f"{span(view.gpu_ms / 1000)} of one GPU at full load, {share} % of the runtime ({whose})",
        )
    if view.cpu_ms:
        share = 100 * view.cpu_ms // max(view.runtime_ms, 1)
        yield "CPU time", f"{span(view.cpu_ms / 1000)} of one core, {share} % of the runtime ({whose})"
    if view.memory_peak_bytes:
        yield "peak memory", f"{bytes_text(view.memory_peak_bytes)} ({whose})"
    if view.disk_bytes:
        yield "written", f"{bytes_text(view.disk_bytes)} to its disk ({whose})"
    if view.budget_wei is not None:
        yield "bound", f"{_amount(view.budget_wei)} for the whole job"
    redeemed = f"of which {_amount(view.redeemed_wei)} are redeemed"
    yield "vouchers", f"{_amount(view.promised_wei)} for its workers and all jobs there, {redeemed}"
    yield "refund", f"{_amount(view.refund_wei)} of the deposit, if everything stopped now"


def _lane_rows(lanes: "Sequence[LaneView]") -> list[tuple[str, ...]]:
    from skyops_p2p.cli.job_text import bytes_text, span
    from skyops_p2p.core.settlement.amounts import SKYOPS, format_column

    rates = format_column([lane.rate_wei for lane in lanes], SKYOPS)
    paid = format_column([lane.paid_wei for lane in lanes], SKYOPS)
    return [
        (
            f"{lane.shard} check" if lane.is_replica else str(lane.shard),
            str(lane.epoch),
            short_peer(lane.peer_id),
            rates[place],
            span(lane.runtime_ms / 1000),
            span(lane.gpu_ms / 1000) if lane.gpu_ms else "-",
            bytes_text(lane.moved_bytes) if lane.moved_bytes else "-",
            paid[place],
            "open" if lane.is_open else lane.code,
            "yes" if lane.has_receipt else "-",
        )
        for place, lane in enumerate(lanes)
    ]


def _earning_rows(view: "EarningsView") -> list[tuple[str, ...]]:
    from skyops_p2p.cli.job_text import short_job, span
    from skyops_p2p.core.settlement.amounts import SKYOPS, format_column

    earned = format_column([row.paid_wei for row in view.rows], SKYOPS)
    return [
        (
            short_job(row.key) if view.by == "job" else row.key,
            str(row.leases),
            span(row.runtime_ms / 1000),
            span(row.gpu_ms / 1000) if row.gpu_ms else "-",
            earned[place],
            str(row.receipts),
        )
        for place, row in enumerate(view.rows)
    ]


def _earning_fields(view: "EarningsView") -> Iterator[tuple[str, str]]:
    yield "earned", _amount(view.paid_wei)
    yield "not redeemed", _amount(view.unredeemed_wei)
    if view.unsecured_wei:
        yield "of that unsecured", f"{_amount(view.unsecured_wei)}: nobody has set it aside for this node"
    if view.held_wei:
        yield "held back", f"{_amount(view.held_wei)}, until its challenge window closes"


def _quote_lines(quote: "QuoteView") -> Iterator[str]:
    from skyops_p2p.core.settlement.amounts import ETH, format_amount

    if quote.releases:
        yield f"{_counted(quote.releases, 'holdback')} can be released, by a transaction each."
    if not quote.vouchers:
        yield "There is no voucher to redeem."
        return
    fee = format_amount(quote.fee_wei, ETH)
    verbs = ("brings", "costs") if quote.vouchers == 1 else ("bring", "cost")
    credited, bring, cost = _amount(quote.credited_wei), *verbs
    yield f"{_counted(quote.vouchers)} {bring} {credited} now and {cost} {fee} of gas ({quote.gas})."
    if not quote.is_worth:
        yield "That is more than the node would pay for it by itself (payment.redeem_cost_bps_max)."


def _counted(number: int, noun: str = "voucher") -> str:
    return f"1 {noun}" if number == 1 else f"{number} {noun}s"


def _amount(wei: int) -> str:
    from skyops_p2p.core.settlement.amounts import SKYOPS, format_amount

    return format_amount(wei, SKYOPS)
