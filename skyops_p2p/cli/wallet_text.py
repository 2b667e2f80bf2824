"""What `wallet balance`, `stake status` and `dispute status` print for people."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from skyops_p2p.cli.output import Column, print_fields, print_table
from skyops_p2p.core.settlement.amounts import SKYOPS, TOKENS, format_amount

if TYPE_CHECKING:
    from skyops_p2p.node.wallet.purse_views import BalanceView, DisputeView, StakeView, TokenView

_BALANCE_COLUMNS = (
    Column("TOKEN"),
    Column("WALLET", is_right=True),
    Column("DEPOSIT", is_right=True),
    Column("SET ASIDE", is_right=True),
    Column("CREDIT", is_right=True),
    Column("FROM DISPUTES", is_right=True),
)
_ALLOTMENT_COLUMNS = (
    Column("WORKER"),
    Column("SET ASIDE", is_right=True),
    Column("HELD BACK", is_right=True),
    Column("COMES BACK"),
)
_VERDICTS = {"none": "none yet", "worker_right": "the worker is right", "worker_wrong": "the worker is wrong"}
_BORNE_OUT = (
    "The dispute says what this verdict says. Whether the result is wrong, see for yourself, unless its worker\n"
    "has lied (VER-29)."
)
_NEXT_STEPS = {
    "seed": "`skyops dispute advance` takes the seed of the draw",
    "draw": "nodes with a stake draw for a seat: `skyops dispute enrol`",
    "drawn": "`skyops dispute advance` closes the draw",
    "commit": "jurors commit to a vote: `skyops dispute vote`",
    "reveal": "jurors reveal it: `skyops dispute vote`, the same again",
    "count": "`skyops dispute advance` counts the votes",
    "appeal": "who lost may appeal: `skyops dispute appeal`",
    "close": "`skyops dispute advance` carries the verdict out",
    "closed": "it is over; `skyops wallet collect` takes what it has brought",
}


def print_balance(view: "BalanceView", *, is_color: bool) -> None:
    """Print all money of a wallet."""
    click.echo(f"{view.wallet} on chain {view.chain_id}")
    print_table(_BALANCE_COLUMNS, [_balance_cells(token) for token in view.tokens], is_color=is_color)
    rows = [
        (
            allotment.worker,
            _said(allotment.amount_wei, token.symbol),
            _said(allotment.held_wei, token.symbol),
            "not asked for"
            if allotment.returns_at_unix_s is None
            else f"from {when(allotment.returns_at_unix_s)}",
        )
        for token in view.tokens
        for allotment in token.allotments
    ]
    if rows:
        click.echo()
        print_table(_ALLOTMENT_COLUMNS, rows, is_color=is_color)
    for line in _balance_lines(view):
        click.echo(line)


def _balance_cells(token: "TokenView") -> tuple[str, ...]:
    aside = sum(allotment.amount_wei for allotment in token.allotments)
    amounts = (token.wallet_wei, token.deposit_wei, aside, token.credit_wei, token.owed_wei)
    return (token.symbol, *(format_amount(wei, TOKENS[token.symbol]).split()[0] for wei in amounts))


def _balance_lines(view: "BalanceView") -> Iterator[str]:
    for token in view.tokens:
        if token.withdrawal_at_unix_s:
            again = "skyops wallet withdraw" + (" --token ETH" if token.symbol == "ETH" else "")
            amount = _said(token.withdrawal_wei, token.symbol)
            yield f"{amount} can leave the deposit from {when(token.withdrawal_at_unix_s)}: `{again}`."
        if token.credit_wei or token.owed_wei:
            again = "skyops wallet collect" + (" --token ETH" if token.symbol == "ETH" else "")
            yield f"{_said(token.credit_wei + token.owed_wei, token.symbol)} can be collected: `{again}`."
        if token.symbol == "ETH" and not token.wallet_wei:
            yield "The wallet has no ETH: nothing can be sent without some for gas."
    if view.is_paused:
        yield "The guardian has paused new deposits and stakes; withdrawals and redemptions go on."


def print_stake(view: "StakeView") -> None:
    """Print a wallet's stake."""
    print_fields(
        [
            ("wallet", view.wallet),
            ("state", view.state),
            ("stake", _said(view.stake_wei)),
            ("locked", _said(view.locked_wei)),
            ("unbonding", _said(view.unbonding_wei)),
            ("open disputes", str(view.holds)),
            ("least stake", _said(view.least_wei)),
            ("in the wallet", _said(view.wallet_wei)),
        ]
    )
    if view.state == "unknown":
        click.echo(f"Not registered. A registration burns {_said(view.burn_wei)}: `skyops stake add AMOUNT`.")
    elif view.state == "slashed":
        click.echo("Slashed for good: this wallet never works again.")
    elif view.state != "active":
        click.echo(f"Not ACTIVE: `skyops stake add` up to {_said(view.least_wei)} makes it so.")
    if view.unbonded_at_unix_s:
        click.echo(
            f"What is unbonding can leave from {when(view.unbonded_at_unix_s)}: `skyops stake unstake`."
        )


def print_dispute(view: "DisputeView") -> None:
    """Print how a dispute stands."""
    until = f", until {when(view.until_unix_s)}" if view.until_unix_s else ""
    print_fields(
        [
            ("dispute", view.dispute),
            ("phase", f"{view.phase}{until}"),
            ("next", _NEXT_STEPS[view.phase]),
            ("challenger", view.challenger),
            ("requester", view.requester),
            ("worker", view.worker),
            ("job", f"{_said(view.amount_wei, view.symbol)}, worth {_said(view.worth_wei)}"),
            ("bond", _said(view.bond_wei)),
            ("opened", when(view.opened_at_unix_s)),
            *_result_rows(view),
            ("round", str(view.round + 1)),
            ("verdict", _VERDICTS[view.verdict]),
            (
                "jury",
                f"{len(view.seats)} of {view.seats_wanted} seats, {_said(view.seat_stake_wei)} locked each",
            ),
            ("votes", f"{view.rights} for the worker, {view.wrongs} against it"),
        ]
    )
    for seat in view.seats:
        click.echo(f"  juror {seat}")
    if view.doubts is not None:
        click.echo(
            "\n".join(("This verdict does not bear it out:", *view.doubts)) if view.doubts else _BORNE_OUT
        )


def _result_rows(view: "DisputeView") -> list[tuple[str, str]]:
    """Say by which verdict a result is disputed."""
    if not view.proof:
        return []
    return [
        ("by verdict", f"{view.proof}, made {when(view.made_unix_s)}"),
        ("commitment", view.commitment),
    ]


def when(unix_s: int) -> str:
    """Write an instant: "2026-03-01 12:00:00 UTC"."""
    return f"{datetime.fromtimestamp(unix_s, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _said(wei: int, symbol: str = SKYOPS.symbol) -> str:
    return format_amount(wei, TOKENS[symbol])
