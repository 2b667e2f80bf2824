"""`chain orders` and `chain cancel`: transactions of the wallet that wait, and how one is called back."""

from typing import TYPE_CHECKING

import click

from skyops_p2p.cli.acting import money_config, own_wallet, running_money
from skyops_p2p.cli.invocation import Invocation, data_dir_option, json_option
from skyops_p2p.cli.output import Column, print_json, print_table
from skyops_p2p.cli.waiting import waiting

if TYPE_CHECKING:
    from skyops_p2p.node.wallet.purse_views import OrdersView, OrderView

_COLUMNS = (
    Column("NONCE", is_right=True),
    Column("KEY"),
    Column("STATE"),
    Column("FORMS", is_right=True),
    Column("GWEI A GAS", is_right=True),
    Column("TRANSACTION", is_cut=True),
)


@click.command()
@data_dir_option
@json_option
@click.pass_obj
def orders(invocation: Invocation, *, as_json: bool) -> None:
    """List the transactions of this wallet that have not ended, in the order in which the chain takes them."""
    _tell(invocation, _ask(invocation, None), as_json=as_json)


@click.command()
@click.argument("key")
@data_dir_option
@json_option
@click.pass_obj
def cancel(invocation: Invocation, key: str, *, as_json: bool) -> None:
    """Have a transaction that waits do nothing; `chain orders` has its KEY.

    It is replaced by one with the same number that pays more and moves nothing, which costs the gas of a transfer. What
    a block takes first counts: if that is the transaction itself, it ends as if nothing had been asked.
    """
    view = _ask(invocation, key)
    if not as_json:
        click.echo(
            f"The nonce of {key} is to be used up; it ends as cancelled, unless a block takes it first."
        )
    _tell(invocation, view, as_json=as_json)


def _ask(invocation: Invocation, key: str | None) -> "OrdersView":
    """Ask the node that runs, or open its store; with `key` that order is cancelled first."""
    client = running_money(invocation)
    if client is not None:
        return client.orders() if key is None else client.cancel(key)
    import trio

    from skyops_p2p.node.wallet.opening import open_purse

    config = money_config(invocation)
    wallet = own_wallet(invocation, config)

    async def ask() -> "OrdersView":
        async with open_purse(config, wallet) as purse:
            return purse.orders() if key is None else await purse.cancel(key)

    with waiting("opening the journal", is_color=invocation.is_color):
        return trio.run(ask)


def _tell(invocation: Invocation, view: "OrdersView", *, as_json: bool) -> None:
    if as_json:
        print_json(view)
        return
    if not view.orders:
        click.echo("Nothing waits.")
        return
    print_table(_COLUMNS, [_cells(order) for order in view.orders], is_color=invocation.is_color)
    if view.trouble:
        click.echo(f"The chain did not take what was offered last: {view.trouble}")


def _cells(order: "OrderView") -> tuple[str, ...]:
    state = "in a block" if order.state == "mined" else "waits"
    if order.is_cancelled:
        state += ", cancelled"
    elif order.is_at_bound:
        state += " for lower fees"
    if order.taken_back:
        state += f", taken back {order.taken_back} x"
    gwei = f"{order.fee_wei_max / 10**9:.3f}"
    return str(order.nonce), order.key, state, str(order.attempts), gwei, order.transaction
