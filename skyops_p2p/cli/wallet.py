"""`wallet …`: the account that pays and is paid."""

from typing import TYPE_CHECKING, Literal

import click

from skyops_p2p.cli.acting import ActOptions, act_options, look, own_account, perform
from skyops_p2p.cli.invocation import Invocation, data_dir_option, json_option
from skyops_p2p.cli.output import print_json
from skyops_p2p.cli.wallet_keys import import_wallet, new
from skyops_p2p.errors import ConfigError

if TYPE_CHECKING:
    from skyops_p2p.node.wallet.purse_views import BalanceView

_token_option = click.option(
    "--token",
    "unit",
    type=click.Choice(["SKYOPS", "ETH"]),
    help="What an amount without a unit, or in wei, is of.",
)


@click.group()
def wallet() -> None:
    """Make a wallet, and move its money: into the deposit that pays for jobs, and out.

    Where a node runs in the data directory, it sends; else the command does. Amounts are exact: "12.5 SKYOPS",
    "0.1 ETH".
    """


@wallet.command()
@data_dir_option
@json_option
@click.pass_obj
def address(invocation: Invocation, *, as_json: bool) -> None:
    """Print the wallet's address. Reads a file only; needs no passphrase.

    \b
    Example: skyops wallet address
    """
    from skyops_p2p.node.identity import read_address

    found = read_address(invocation.find_data_dir())
    if as_json:
        print_json({"wallet": found})
    else:
        click.echo(found)


@wallet.command()
@data_dir_option
@json_option
@click.pass_obj
def balance(invocation: Invocation, *, as_json: bool) -> None:
    """Show all money of the wallet: in it, in the deposit, set aside for workers, earned, and on its way out.

    \b
    Example: skyops wallet balance
    """
    from skyops_p2p.cli.wallet_text import print_balance

    view = _balance(invocation)
    if as_json:
        print_json(view)
    else:
        print_balance(view, is_color=invocation.is_color)


@wallet.command()
@click.argument("amount", nargs=-1, required=True)
@_token_option
@click.option("--for", "worker", metavar="ADDRESS", help="Set it aside for this worker's wallet alone.")
@data_dir_option
@act_options
@click.pass_obj
def deposit(
    invocation: Invocation,
    amount: tuple[str, ...],
    *,
    unit: str | None,
    worker: str | None,
    options: ActOptions,
) -> int:
    """Move AMOUNT from the wallet into the deposit, from which jobs are paid. One transaction.

    \b
    Example: skyops wallet deposit 100 SKYOPS
    """
    from skyops_p2p.node.wallet.actions import Deposit

    wei, symbol = read_amount(amount, unit)
    action = Deposit(symbol=symbol, amount=wei, worker=None if worker is None else read_account(worker))
    return perform(invocation, action, options)


@wallet.command()
@click.argument("amount", nargs=-1)
@_token_option
@click.option(
    "--for", "worker", metavar="ADDRESS", help="Bring back what is set aside for this worker's wallet."
)
@data_dir_option
@act_options
@click.pass_obj
def withdraw(
    invocation: Invocation,
    amount: tuple[str, ...],
    *,
    unit: str | None,
    worker: str | None,
    options: ActOptions,
) -> int:
    """Take money out of the deposit, in two steps: announce AMOUNT; after the delay, without AMOUNT, take it out.

    In between workers can still redeem what they were promised. "0 SKYOPS" takes an announcement back. With --for the
    allotment of a worker is asked back, and by the same command after the delay it comes back to the deposit.

    \b
    Example: skyops wallet withdraw 40 SKYOPS   # and two days later: skyops wallet withdraw
    """
    from skyops_p2p.node.wallet.actions import RequestWithdrawal, ReturnAllotment, Withdraw

    symbol: Literal["SKYOPS", "ETH"] = "ETH" if unit == "ETH" else "SKYOPS"
    if worker is not None:
        if amount:
            raise click.UsageError("An allotment comes back whole: give --for without an amount.")
        return perform(
            invocation,
            ReturnAllotment(symbol=symbol, worker=read_account(worker)),
            options,
            then="`skyops wallet balance` says when the next step works.",
        )
    if not amount:
        return perform(invocation, Withdraw(symbol=symbol), options)
    wei, symbol = read_amount(amount, unit)
    again = "skyops wallet withdraw" + (" --token ETH" if symbol == "ETH" else "")
    then = f"`skyops wallet balance` says from when `{again}` takes it out." if wei else ""
    return perform(invocation, RequestWithdrawal(symbol=symbol, amount=wei), options, then=then)


@wallet.command()
@click.option(
    "--token", "unit", type=click.Choice(["SKYOPS", "ETH"]), help="What to move; SKYOPS if it is left out."
)
@data_dir_option
@act_options
@click.pass_obj
def collect(invocation: Invocation, *, unit: str | None, options: ActOptions) -> int:
    """Move to the wallet what it has earned: credits of redeemed vouchers, and what disputes have brought.

    \b
    Example: skyops wallet collect
    """
    from skyops_p2p.node.wallet.actions import Collect

    return perform(invocation, Collect(symbol="ETH" if unit == "ETH" else "SKYOPS"), options)


@wallet.command()
@click.argument(
    "contract",
    type=click.Choice(["Settlement", "NodeRegistry", "Disputes", "Reservations"], case_sensitive=False),
)
@click.argument("amount", nargs=-1, required=True)
@data_dir_option
@act_options
@click.pass_obj
def approve(
    invocation: Invocation,
    contract: Literal["Settlement", "NodeRegistry", "Disputes", "Reservations"],
    amount: tuple[str, ...],
    *,
    options: ActOptions,
) -> int:
    """Let CONTRACT take up to AMOUNT of SKYOPS, in place of what it was allowed; 0 ends that.

    Other commands approve by themselves, and never more than they need at once.

    \b
    Example: skyops wallet approve Reservations 50 SKYOPS
    """
    from skyops_p2p.node.wallet.actions import Approve

    wei, _ = read_amount(amount, "SKYOPS")
    return perform(invocation, Approve(contract=contract, amount=wei), options)


@wallet.command()
@click.argument("operator", metavar="ADDRESS")
@click.option("--clear", is_flag=True, help="End that: it may redeem no more.")
@data_dir_option
@act_options
@click.pass_obj
def operator(invocation: Invocation, operator: str, *, clear: bool, options: ActOptions) -> int:
    """Let ADDRESS redeem this wallet's vouchers as well, such as a watch-tower that stays up when this node does not.

    It can redeem early or late, and receive nothing: what a redemption brings is this wallet's credit.

    \b
    Example: skyops wallet operator 0x70997970C51812dc3A010C7d01b50e0d17dc79C8
    """
    from skyops_p2p.node.wallet.actions import SetOperator

    return perform(invocation, SetOperator(operator=read_account(operator), is_allowed=not clear), options)


wallet.add_command(new)
wallet.add_command(import_wallet)


def read_amount(words: tuple[str, ...], unit: str | None) -> "tuple[int, Literal['SKYOPS', 'ETH']]":
    """Return wei and symbol of an amount.

    Raises:
        ConfigError: `amount_invalid`.
    """
    from skyops_p2p.core.settlement.amounts import TOKENS, parse_amount

    wei, found = parse_amount(" ".join(words), None if unit is None else TOKENS[unit])
    return wei, "ETH" if found.symbol == "ETH" else "SKYOPS"


def read_account(text: str) -> str:
    """Return an address with its capitals.

    Raises:
        ConfigError: `account_invalid`.
    """
    from skyops_p2p.crypto.wallet import checksum
    from skyops_p2p.errors import RemoteProtocolError

    try:
        return checksum(text)
    except RemoteProtocolError as error:
        raise ConfigError(
            f"{text[:80]!r} is no address: {error.message}",
            code="account_invalid",
            hint="An address is 0x and 40 hexadecimal digits; `skyops node show PEER` prints a worker's wallet.",
        ) from error


def _balance(invocation: Invocation) -> "BalanceView":
    from skyops_p2p.node.wallet.reading import read_balance

    return look(
        invocation,
        lambda client: client.balance(),
        lambda at, workers: read_balance(at, own_account(invocation), workers),
    )
