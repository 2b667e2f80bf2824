"""How commands have something done with money: by the running node, which holds the journal, or by themselves.

One process sends for a wallet. Where a node runs, its control API is asked; else the command opens the store, whose
lock keeps a node and other commands away meanwhile.
"""

import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from skyops_p2p.cli.invocation import Invocation
from skyops_p2p.cli.output import ProgressLine, print_fields, print_json
from skyops_p2p.cli.waiting import waiting
from skyops_p2p.errors import ChainError, NetworkError
from skyops_p2p.limits import WALLET_PATIENCE_S

if TYPE_CHECKING:
    from skyops_p2p.adapters.contracts.finding import Contracts
    from skyops_p2p.config import NodeConfig
    from skyops_p2p.crypto.wallet import Wallet
    from skyops_p2p.node.control_money import MoneyClient
    from skyops_p2p.node.wallet.actions import Action, ActionRequest
    from skyops_p2p.node.wallet.purse_views import ActionView, PlanView, StepView

Command = TypeVar("Command", bound=Callable[..., Any])
Seen = TypeVar("Seen")
EXIT_WAITING = 7
"""A transaction that was sent is not confirmed yet: as a chain that could not be used."""


@dataclass(frozen=True, slots=True)
class ActOptions:
    """How something is to be done."""

    key: str
    wait_s: float
    """0: not at all."""
    is_dry: bool
    as_json: bool


def act_options(command: Command) -> Command:
    """Add the options that all commands have which send transactions, passed as `options`."""

    def make(ctx: click.Context, _parameter: click.Parameter, as_json: bool) -> ActOptions:
        told = ctx.meta.setdefault("skyops.act", {})
        return ActOptions(
            key=told.get("key") or secrets.token_hex(8),
            wait_s=0.0 if told.get("no_wait") else told.get("wait") or WALLET_PATIENCE_S,
            is_dry=bool(told.get("dry_run")),
            as_json=as_json,
        )

    def keep(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
        ctx.meta.setdefault("skyops.act", {})[parameter.name] = value

    def option(*names: str, **more: Any) -> Callable[[Command], Command]:
        return click.option(*names, expose_value=False, is_eager=True, callback=keep, **more)

    marks = (
        option(
            "--dry-run",
            is_flag=True,
            help="Show the transactions, their gas and what they change; send nothing.",
        ),
        option("--no-wait", is_flag=True, help="Do not wait until it is confirmed."),
        option("--wait", type=click.FloatRange(1, 86_400), help="Seconds to wait at most (120)."),
        option("--key", help="Carry it out once under this name: the same command again only goes on."),
        click.option("--json", "options", is_flag=True, callback=make, help="Print JSON for programs."),
    )
    for mark in reversed(marks):
        command = mark(command)
    return command


def perform(invocation: Invocation, action: "Action", options: ActOptions, *, then: str = "") -> int:
    """Have something done and tell it; return the exit code.

    Args:
        invocation: Where.
        action: What.
        options: How.
        then: A line for people about what comes next, when it is done.

    Raises:
        SkyopsError: It would fail, has failed, or is not confirmed in time (`transaction_under_way`).
    """
    if options.is_dry:
        _tell_plan(_plan(invocation, action), as_json=options.as_json)
        return 0
    view = _carry_out(invocation, action, options)
    if options.as_json:
        print_json(view)
        return 0 if view.is_done or not options.wait_s else EXIT_WAITING
    for step in view.steps:
        _tell_step(step)
    if view.is_done:
        if not any(step.transaction for step in view.steps):
            click.echo("There was nothing to do.")
        elif then:
            click.echo(then)
        return 0
    if options.wait_s:
        raise _under_way(view, options)
    click.echo(
        f"Under way. The same command with --key {view.key} tells how it ends, and takes what steps are left."
    )
    return 0


def running_money(invocation: Invocation) -> "MoneyClient | None":
    """Return the money of the node that runs in the data directory, or None if none does."""
    try:
        return invocation.client().money
    except NetworkError as error:
        if error.code != "node_not_running":
            raise
        return None


def money_config(invocation: Invocation) -> "NodeConfig":
    """Return the settings, with the embedded chain where they name no endpoint."""
    from skyops_p2p.cli.chain_contracts import with_endpoints

    return with_endpoints(invocation.load_config()[0])


def look(
    invocation: Invocation,
    ask: "Callable[[MoneyClient], Seen]",
    read: "Callable[[Contracts, tuple[bytes, ...]], Awaitable[Seen]]",
) -> "Seen":
    """Look at money on chain: through the node that runs in the data directory, or without one, and without a key.

    Args:
        invocation: Says where.
        ask: Has a running node look.
        read: Looks by itself at the contracts, told the workers for whom something may be set aside.

    Raises:
        SkyopsError: What the node answered; or `payment_not_configured`, `chain_not_configured` and the chain's own.
    """
    client = running_money(invocation)
    if client is not None:
        return ask(client)
    import trio

    from skyops_p2p.node.wallet.opening import open_to_look

    config = money_config(invocation)

    async def open_and_read() -> "Seen":
        async with open_to_look(config) as (at, workers):
            return await read(at, workers)

    with waiting("asking the chain", is_color=invocation.is_color):
        return trio.run(open_and_read)


def own_account(invocation: Invocation) -> bytes:
    """Return the wallet of the data directory, 20 bytes; needs no passphrase.

    Raises:
        IdentityError: There is none.
    """
    from skyops_p2p.crypto.wallet import address_to_bytes
    from skyops_p2p.node.identity import read_address

    return address_to_bytes(read_address(money_config(invocation).data_dir))


def own_wallet(invocation: Invocation, config: "NodeConfig") -> "Wallet":
    """Return the wallet of the data directory, opened with its passphrase.

    Raises:
        IdentityError: There is none, or it does not open.
    """
    from skyops_p2p.cli.identity import open_identity

    return open_identity(config.data_dir, invocation.environment).wallet


def _carry_out(invocation: Invocation, action: "Action", options: ActOptions) -> "ActionView":
    from skyops_p2p.node.wallet.actions import ActionRequest

    request = ActionRequest(key=options.key, action=action)
    texts: dict[str, str] = {}
    with ProgressLine(is_shown=not options.as_json) as progress:

        def show(view: "ActionView") -> None:
            texts.update({step.name: step.text for step in view.steps if step.text})
            waiting = [step for step in view.steps if step.state == "waiting"]
            if waiting:
                progress.show(f"waiting for {waiting[-1].transaction} ({waiting[-1].name})")

        client = running_money(invocation)
        if client is not None:
            progress.show("asking the node")
            view = _by_node(client, request, options.wait_s, show)
        else:
            import trio

            config = money_config(invocation)
            wallet = own_wallet(invocation, config)
            progress.show("asking the chain")
            view = trio.run(_alone, config, wallet, request, (options.wait_s, show))
    # What was sent earlier has no text any more.
    steps = [step.model_copy(update={"text": step.text or texts.get(step.name, "")}) for step in view.steps]
    return view.model_copy(update={"steps": tuple(steps)})


def _by_node(
    client: "MoneyClient", request: "ActionRequest", wait_s: float, show: "Callable[[ActionView], None]"
) -> "ActionView":
    deadline = time.monotonic() + wait_s
    while True:
        view = client.act(request)
        if view.is_done or time.monotonic() >= deadline:
            return view
        show(view)


async def _alone(
    config: "NodeConfig",
    wallet: "Wallet",
    request: "ActionRequest",
    waiting: "tuple[float, Callable[[ActionView], None]]",
) -> "ActionView":
    from skyops_p2p.node.wallet.opening import open_purse

    wait_s, show = waiting
    deadline = time.monotonic() + wait_s
    async with open_purse(config, wallet) as purse:
        while True:
            view = await purse.act(request)
            if view.is_done or time.monotonic() >= deadline:
                return view
            show(view)


def _plan(invocation: Invocation, action: "Action") -> "PlanView":
    client = running_money(invocation)
    if client is not None:
        return client.plan(action)
    import trio

    from skyops_p2p.node.wallet.opening import open_purse

    config = money_config(invocation)
    wallet = own_wallet(invocation, config)

    async def look() -> "PlanView":
        async with open_purse(config, wallet) as purse:
            return await purse.plan(action)

    with waiting("asking the chain", is_color=invocation.is_color):
        return trio.run(look)


def _tell_plan(view: "PlanView", *, as_json: bool) -> None:
    from skyops_p2p.core.settlement.amounts import ETH, format_amount

    if as_json:
        print_json(view)
        return
    click.echo("Nothing was sent. It would take:")
    for step in view.steps:
        cost = "not needed"
        if step.state != "skipped":
            cost = "gas not known before the step above is done"
            if step.gas is not None:
                cost = f"about {step.gas:,} gas, {format_amount(step.fee_wei or 0, ETH)} now"
        click.echo(f"  {step.name}: {step.text} ({cost})")
    click.echo(f"The wallet has {format_amount(view.coin_wei, ETH)} for fees.")


def _tell_step(step: "StepView") -> None:
    from skyops_p2p.core.settlement.amounts import ETH, format_amount

    if step.state == "skipped":
        return
    state = {"done": "Done", "waiting": "Sent", "open": "Still to come"}[step.state]
    click.echo(f"{state}: {step.text or step.name}")
    if step.transaction:
        fields = [("  transaction", step.transaction)]
        if step.gas is not None:
            fields.append(("  gas", f"{step.gas:,}, {format_amount(step.fee_wei or 0, ETH)}"))
        print_fields(fields)


def _under_way(view: "ActionView", options: ActOptions) -> ChainError:
    waiting = next((step for step in view.steps if step.state == "waiting"), None)
    what = "the next step" if waiting is None else f"transaction {waiting.transaction}"
    return ChainError(
        f"{what} is not confirmed after {options.wait_s:g} s",
        code="transaction_under_way",
        hint=f"It is not lost: the same command with --key {view.key} goes on with it.",
    )
