"""What `reputation` prints for people."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from skyops_p2p.cli.output import Column, print_table

if TYPE_CHECKING:
    from skyops_p2p.node.reputation.views import (
        ExplanationView,
        ReputationRowView,
        ReputationView,
        StandingName,
    )

COLUMNS = (
    Column("WALLET"),
    Column("NODE"),
    Column("AS"),
    Column("SCORE", is_right=True),
    Column("STANDING"),
    Column("STAKE", is_right=True),
    Column("FOR", is_right=True),
    Column("AGAINST", is_right=True),
    Column("RATERS", is_right=True),
)
VOICES = (
    Column("RATER"),
    Column("HEARD", is_right=True),
    Column("FOR", is_right=True),
    Column("AGAINST", is_right=True),
)
SOURCES = (
    Column("DAY"),
    Column("RECEIPT"),
    Column("FROM"),
    Column("SAYS"),
    Column("VALUE", is_right=True),
    Column("OUTCOME"),
    Column("VERDICT"),
)
STANDINGS: "dict[StandingName, str]" = {
    "good": "above the gate",
    "below_gate": "below the gate",
    "banned": "banned",
    "not_looked_up": "not looked up yet",
}
CHANGES = {
    "verified_job": "one more job of 1 credit that others have checked",
    "unverified_job": "one more job of 1 credit that nobody has checked",
    "soft_fail": "one job of 1 credit that it breaks off",
    "wrong_result": "one wrong result of 1 credit",
    "full_stake": "a stake of 100 credits or more",
    "full_uptime": "answering all probes",
    "full_speed": "being as fast as its class of device",
}
"""In words; each from a rater who is heard in full."""
DAY_S = 86_400


def print_table_of(view: "ReputationView", *, is_color: bool) -> None:
    """Print all scores."""
    if view.rows:
        print_table(COLUMNS, [_cells(row) for row in view.rows], is_color=is_color)
        click.echo()
    else:
        click.echo("No scores yet: the node has looked at no receipt and no stake since it started.")
    for line in _footer(view):
        click.echo(line)


def print_account(view: "ReputationView", *, is_full: bool, is_color: bool) -> None:
    """Print one account's scores, with their reasons."""
    print_table(COLUMNS, [_cells(row) for row in view.rows], is_color=is_color)
    rows = {row.role: row for row in view.rows}
    for why in view.explanations:
        row = rows[why.role]
        if not is_full and not (
            why.voices or why.own_good_micro or why.own_bad_micro or why.role == "worker"
        ):
            continue
        click.echo()
        for line in _parts(row, why):
            click.echo(line)
        if is_full:
            _print_sources(why, is_color=is_color)
            for line in _changes(row, why):
                click.echo(line)
    click.echo()
    for line in _footer(view):
        click.echo(line)


def credits_text(micro: int) -> str:
    """Return microcredits as credits, with as many digits as there are."""
    whole, rest = divmod(micro, 10**6)
    return f"{whole:,}" if not rest else f"{whole:,}.{rest:06d}".rstrip("0")


def _cells(row: "ReputationRowView") -> tuple[str, ...]:
    return (
        row.wallet[:12],
        row.peer_id[-8:] or "-",
        row.role,
        str(row.score),
        STANDINGS[row.standing] if row.role == "worker" or row.standing == "banned" else "-",
        credits_text(row.stake_micro),
        credits_text(row.good_micro),
        credits_text(row.bad_micro),
        str(row.raters),
    )


def _parts(row: "ReputationRowView", why: "ExplanationView") -> Iterator[str]:
    yield f"As a {why.role}: {row.score} of 1000 ({row.credibility / 1e6:.6f})"
    yield f"  accuracy      {why.accuracy / 1e6:.6f}   (without evidence {why.prior / 1e6:.6f})"
    if why.role == "worker":
        yield f"  availability  {why.availability / 1e6:.6f}   ({_slots(why)})"
        yield f"  efficiency    {why.efficiency / 1e6:.6f}"
    if why.fraud_micro:
        yield f"  wrong results of {credits_text(why.fraud_micro)} credits leave {why.memory / 1e6:.6f} of the accuracy"
    if why.own_good_micro or why.own_bad_micro:
        seen = f"{credits_text(why.own_good_micro)} credits for it, {credits_text(why.own_bad_micro)} against"
        yield f"  this node's own experience: {seen}; for its own jobs it goes by {row.own_credibility // 1000}"


def _slots(why: "ExplanationView") -> str:
    """Return what availability is made of, in words."""
    if why.has_contradicted:
        return "as a witness it has signed two statements of one watch"
    count = why.slots_probed + why.slots_announced
    if not count:
        return "nobody has been drawn to look yet"
    voices = f"{why.slots_voices / count:.1f}".removesuffix(".0")
    announced = f", {why.slots_announced} as announced" if why.slots_announced else ""
    return f"answered {why.slots_answered} of {why.slots_probed} slots{announced}, by {voices} witnesses each"


def _print_sources(why: "ExplanationView", *, is_color: bool) -> None:
    from datetime import UTC, datetime

    if why.voices:
        click.echo("  Who is heard about it:")
        cells = [
            (
                one.wallet[:12],
                f"{one.heard / 1e4:.1f} %",
                credits_text(one.good_micro),
                credits_text(one.bad_micro),
            )
            for one in why.voices
        ]
        print_table(VOICES, cells, is_color=is_color)
    if why.sources:
        click.echo("  The receipts and verdicts behind it, the newest first:")
        rows = [
            (
                f"{datetime.fromtimestamp(one.epoch * DAY_S, UTC):%Y-%m-%d}",
                one.receipt[:12] or "none",
                one.rater[:12],
                one.kind,
                credits_text(one.value_micro),
                one.outcome,
                one.verdict[:12] or "-",
            )
            for one in why.sources
        ]
        print_table(SOURCES, rows, is_color=is_color)
    if not why.voices and not why.sources:
        click.echo("  Nobody has rated it yet.")


def _changes(row: "ReputationRowView", why: "ExplanationView") -> Iterator[str]:
    if why.changes:
        yield "  What would change it:"
    for change in why.changes:
        step = change.score - row.score
        yield f"    {change.score:>4} ({step:+d})  {CHANGES.get(change.code, change.code)}"


def _footer(view: "ReputationView") -> Iterator[str]:
    count = "1 receipt" if view.receipts == 1 else f"{view.receipts} receipts"
    probes = f", probes {view.probes[:16]}" if view.probes else ""
    yield (
        f"From {count} (evidence {view.evidence[:16]}{probes}, parameters {view.parameters[:16]}); "
        f"a job asks for {view.gate} by default. Sums are in credits."
    )
    if view.waiting:
        yield f"Not counted yet are {view.waiting} of them: no money of their pairs was seen on chain."
    if view.is_behind:
        yield "Something new is not in these scores yet: ask again in a few seconds."
    if view.is_chain_away:
        yield "The chain does not answer: stakes and money are as they were seen last."
