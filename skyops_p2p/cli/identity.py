"""`init` and `id`: the node's keys."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from skyops_p2p.cli.invocation import Invocation, data_dir_option, json_option
from skyops_p2p.cli.output import print_fields, print_json
from skyops_p2p.cli.settings import write_config
from skyops_p2p.cli.waiting import waiting
from skyops_p2p.errors import IdentityError

if TYPE_CHECKING:
    from skyops_p2p.node.identity import Identity


@click.command()
@click.option(
    "--testnet", "network", metavar="NAME", help='For a test network of this name, e.g. "testnet-4f2a".'
)
@click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File with the wallet's passphrase; otherwise it is asked for (or SKYOPS_WALLET_PASSPHRASE).",
)
@data_dir_option
@json_option
@click.pass_obj
def init(invocation: Invocation, *, network: str | None, passphrase_file: Path | None, as_json: bool) -> None:
    """Make a new node: a node key, a wallet and a config file that explains itself.

    Existing keys and settings are never overwritten. Keep the passphrase and a copy of both key files: nobody
    can restore them.
    """
    from skyops_p2p.config import CONFIG_FILE_NAME, render_config

    environment = dict(invocation.environment)
    if passphrase_file is not None:
        environment.pop("SKYOPS_WALLET_PASSPHRASE", None)
        environment["SKYOPS_WALLET_PASSPHRASE_FILE"] = str(passphrase_file)
    data_dir = invocation.find_data_dir()
    refuse_existing(data_dir)
    passphrase = choose_passphrase(environment, is_testnet=network is not None)
    settings = {"network.name": network, "is_testnet": True} if network else {}
    path = data_dir / CONFIG_FILE_NAME
    has_config = path.exists()
    if not has_config:
        write_config(path, render_config(settings))
    invocation.load_config()
    with waiting("making the keys", is_color=invocation.is_color):
        identity = make_identity(data_dir, passphrase)
    if as_json:
        print_json(_summary(identity, data_dir))
        return
    click.echo("Made a new node.")
    print_fields(
        [
            ("peer id", identity.node_key.peer_id),
            (
                "wallet",
                identity.wallet.address + ("" if passphrase else "   (no passphrase: never put money on it)"),
            ),
            ("directory", str(data_dir)),
            ("settings", f"{path}{'   (was there already, left alone)' if has_config else ''}"),
        ]
    )
    click.echo()
    where = "" if invocation.data_dir is None else f" --data-dir {data_dir}"
    click.echo(f"Next: skyops doctor{where}   then: skyops run{where}")


@click.command("id")
@data_dir_option
@json_option
@click.pass_obj
def show_id(invocation: Invocation, *, as_json: bool) -> None:
    """Print the peer id and the wallet. Reads files only; needs no passphrase and no running node."""
    from skyops_p2p.node.identity import NODE_KEY_FILE, load_node_key

    data_dir = invocation.find_data_dir()
    peer_id = load_node_key(data_dir / NODE_KEY_FILE).peer_id
    from skyops_p2p.node.identity import read_address

    wallet = read_address(data_dir)
    if as_json:
        print_json({"peer_id": peer_id, "wallet": wallet, "data_dir": str(data_dir)})
        return
    print_fields([("peer id", peer_id), ("wallet", wallet), ("directory", str(data_dir))])


def refuse_existing(data_dir: Path) -> None:
    """Refuse before asking for a passphrase if there are keys already.

    Raises:
        IdentityError: `identity_exists`.
    """
    from skyops_p2p.node.identity import NODE_KEY_FILE, WALLET_FILE

    for name in (NODE_KEY_FILE, WALLET_FILE):
        if (data_dir / name).exists():
            raise IdentityError(
                f"{data_dir / name} is there already; a key is never overwritten",
                code="identity_exists",
                hint="`skyops id` prints it. For another node use another --data-dir.",
            )


def choose_passphrase(environment: Mapping[str, str], *, is_testnet: bool) -> str:
    """Return the passphrase for a new wallet: given, asked for, or none on a test network.

    Raises:
        IdentityError: `passphrase_missing`: nobody to ask, and the wallet may hold money.
    """
    from skyops_p2p.node.identity import read_passphrase

    given = read_passphrase(environment)
    if given is not None:
        return given
    if is_testnet:
        return ""
    if os.isatty(0):
        answer: str = click.prompt("Passphrase for the new wallet", hide_input=True, confirmation_prompt=True)
        return answer
    raise IdentityError(
        "the new wallet needs a passphrase and there is no terminal to ask at",
        code="passphrase_missing",
        hint="Give --passphrase-file FILE or SKYOPS_WALLET_PASSPHRASE, or --testnet NAME for play money.",
    )


def make_identity(data_dir: Path, passphrase: str) -> "Identity":
    """Make both keys; an unprotected wallet gets little key-stretching, since that would protect nothing."""
    from functools import partial

    import trio

    from skyops_p2p.adapters.system import SystemEntropy
    from skyops_p2p.node.identity import create_identity
    from skyops_p2p.node.keystore import KDF_WORK, KDF_WORK_MIN

    work = KDF_WORK if passphrase else KDF_WORK_MIN
    make = partial(create_identity, passphrase=passphrase, entropy=SystemEntropy(), kdf_work=work)
    return trio.run(make, data_dir)


def open_identity(data_dir: Path, environment: Mapping[str, str]) -> "Identity":
    """Read both keys with the given passphrase; else ask for it, unless the wallet looks unprotected.

    Raises:
        IdentityError: What is wrong with the files, or `wrong_passphrase`.
    """
    import trio

    from skyops_p2p.node.identity import load_identity, read_passphrase

    passphrase = read_passphrase(environment)
    if passphrase is None and os.isatty(0) and _is_protected(data_dir):
        passphrase = click.prompt("Passphrase of the wallet", hide_input=True)
    with waiting("opening the wallet"):
        return trio.run(load_identity, data_dir, passphrase or "")


def _is_protected(data_dir: Path) -> bool:
    """Tell whether a wallet is stretched more than `make_identity` does without a passphrase."""
    import json

    from skyops_p2p.node.identity import WALLET_FILE
    from skyops_p2p.node.keystore import KDF_WORK_MIN

    try:
        stored = json.loads((data_dir / WALLET_FILE).read_text(encoding="utf-8"))
        return bool(stored["crypto"]["kdfparams"].get("n") != KDF_WORK_MIN)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False  # opening it will say what is wrong, without asking first


def _summary(identity: "Identity", data_dir: Path) -> dict[str, str]:
    return {
        "peer_id": identity.node_key.peer_id,
        "wallet": identity.wallet.address,
        "data_dir": str(data_dir),
    }
