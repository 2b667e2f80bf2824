"""`stake …`: what a worker puts up, so that it can be trusted and can sit in juries."""

import time
from typing import TYPE_CHECKING

import click

from skyops_p2p.cli.acting import ActOptions, act_options, look, own_account, perform
from skyops_p2p.cli.invocation import Invocation, data_dir_option, json_option
from skyops_p2p.cli.output import print_json
from skyops_p2p.cli.wallet import read_amount

if TYPE_CHECKING:
    from skyops_p2p.node.wallet.purse_views import StakeView


@click.group()
def stake() -> None:
    """Put SKYOPS up for this node's word, and take them back.

    A wrong result costs ten times the job's value; what is unbonding can still be slashed.
    """


@stake.command()
@click.argument("amount", nargs=-1, required=True)
@click.option("--uri", default="", help="Where more about this node is written, up to 256 characters.")
@data_dir_option
@act_options
@click.pass_obj
def add(invocation: Invocation, amount: tuple[str, ...], *, uri: str, options: ActOptions) -> int:
    """Add AMOUNT to the stake; the first time this registers the node. It is ACTIVE afterwards.

    Up to three transactions: the approval, the stake, the mark. A registration burns a few SKYOPS besides.

    \b
    Example: skyops stake add 100 SKYOPS
    """
    from skyops_p2p.node.wallet.actions import AddStake

    wei, _ = read_amount(amount, "SKYOPS")
    if len(uri.encode()) > 256:
        raise click.UsageError("--uri takes 256 bytes at most.")
    action = AddStake(amount=wei, binding=_binding(invocation).hex(), metadata_uri=uri)
    return perform(invocation, action, options, then="`skyops stake status` shows all of it.")


@stake.command()
@click.argument("amount", nargs=-1)
@data_dir_option
@act_options
@click.pass_obj
def unstake(invocation: Invocation, amount: tuple[str, ...], *, options: ActOptions) -> int:
    """Take stake out, in two steps: AMOUNT begins to unbond; after 14 days, without AMOUNT, it is paid out.

    \b
    Example: skyops stake unstake 50 SKYOPS   # and two weeks later: skyops stake unstake
    """
    from skyops_p2p.node.wallet.actions import Unstake, WithdrawStake

    if not amount:
        return perform(invocation, WithdrawStake(), options)
    wei, _ = read_amount(amount, "SKYOPS")
    then = "`skyops stake status` says from when `skyops stake unstake` pays it out."
    return perform(invocation, Unstake(amount=wei), options, then=then)


@stake.command()
@data_dir_option
@json_option
@click.pass_obj
def status(invocation: Invocation, *, as_json: bool) -> None:
    """Show the stake of this node's wallet: state, locked, unbonding and until when.

    \b
    Example: skyops stake status
    """
    from skyops_p2p.cli.wallet_text import print_stake

    view = _stake(invocation)
    if as_json:
        print_json(view)
    else:
        print_stake(view)


def _binding(invocation: Invocation) -> bytes:
    """Return the digest of this node's binding, good for the longest time that is allowed."""
    from skyops_p2p import limits
    from skyops_p2p.crypto.node_key import peer_id_to_bytes
    from skyops_p2p.crypto.typed_data import binding_digest
    from skyops_p2p.node.identity import NODE_KEY_FILE, load_node_key, read_address

    config = invocation.load_config()[0]
    node_key = load_node_key(config.data_dir / NODE_KEY_FILE)
    now_ms = time.time_ns() // 1_000_000
    return binding_digest(
        wallet=read_address(config.data_dir),
        peer_id=peer_id_to_bytes(node_key.peer_id),
        x25519=node_key.x25519_public,
        network=config.network.name,
        chain_id=config.network.chain_id,
        issued_unix_ms=now_ms,
        expires_unix_ms=now_ms + limits.BINDING_LIFETIME_MS_MAX,
    )


def _stake(invocation: Invocation) -> "StakeView":
    from skyops_p2p.node.wallet.reading import read_stake

    return look(
        invocation,
        lambda client: client.stake(),
        lambda at, _workers: read_stake(at, own_account(invocation)),
    )
