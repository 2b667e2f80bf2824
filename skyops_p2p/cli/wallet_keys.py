"""`wallet new` and `wallet import`: the wallet's file, a keystore of version 3 that only its owner reads."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from skyops_p2p.cli.identity import choose_passphrase
from skyops_p2p.cli.invocation import Invocation, data_dir_option, json_option
from skyops_p2p.cli.output import print_fields, print_json
from skyops_p2p.cli.waiting import waiting
from skyops_p2p.errors import IdentityError

if TYPE_CHECKING:
    from skyops_p2p.node.identity import Identity

_SECRET_CHARS = 64
_passphrase_option = click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File with the wallet's passphrase; otherwise it is asked for twice (or SKYOPS_WALLET_PASSPHRASE).",
)


@click.command()
@_passphrase_option
@data_dir_option
@json_option
@click.pass_obj
def new(invocation: Invocation, *, passphrase_file: Path | None, as_json: bool) -> None:
    """Make a wallet where there is none, and a node key if that is missing too. Nothing is overwritten.

    \b
    Example: skyops wallet new --data-dir ./my-node
    """
    _refuse_existing_wallet(invocation.find_data_dir())
    _tell(invocation, _add(invocation, None, passphrase_file), as_json=as_json)


@click.command("import")
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--old-passphrase-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File with the passphrase of the keystore that is imported; otherwise it is asked for.",
)
@_passphrase_option
@data_dir_option
@json_option
@click.pass_obj
def import_wallet(
    invocation: Invocation,
    file: Path | None,
    *,
    old_passphrase_file: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Take over the wallet in FILE: a keystore of version 3, or 64 hexadecimal digits; without FILE it asks for these.

    The key is sealed anew under this node's passphrase. Use a key in one place only: two programs that send with the
    same key take each other's nonces.

    \b
    Example: skyops wallet import ./UTC--2026-01-01--account.json
    """
    _refuse_existing_wallet(invocation.find_data_dir())
    secret = _ask_secret() if file is None else _read_secret(file, old_passphrase_file)
    _tell(invocation, _add(invocation, secret, passphrase_file), as_json=as_json)


def _refuse_existing_wallet(data_dir: Path) -> None:
    """Refuse before anything is asked for.

    Raises:
        IdentityError: `identity_exists`.
    """
    from skyops_p2p.node.identity import WALLET_FILE

    if (data_dir / WALLET_FILE).exists():
        raise IdentityError(
            f"{data_dir / WALLET_FILE} is there already; a key is never overwritten",
            code="identity_exists",
            hint="`skyops wallet address` prints it. For another wallet use another --data-dir.",
        )


def _add(invocation: Invocation, secret: bytes | None, passphrase_file: Path | None) -> "Identity":
    from functools import partial

    import trio

    from skyops_p2p.adapters.system import SystemEntropy
    from skyops_p2p.node.identity import PASSPHRASE_FILE_VARIABLE, PASSPHRASE_VARIABLE, add_wallet
    from skyops_p2p.node.keystore import KDF_WORK, KDF_WORK_MIN

    config = invocation.load_config()[0]
    environment = dict(invocation.environment)
    if passphrase_file is not None:
        environment.pop(PASSPHRASE_VARIABLE, None)
        environment[PASSPHRASE_FILE_VARIABLE] = str(passphrase_file)
    passphrase = choose_passphrase(environment, is_testnet=config.is_testnet)
    work = KDF_WORK if passphrase else KDF_WORK_MIN
    add = partial(add_wallet, passphrase=passphrase, entropy=SystemEntropy(), kdf_work=work)
    with waiting("sealing the key", is_color=invocation.is_color):
        return trio.run(add, config.data_dir, secret)


def _ask_secret() -> bytes:
    if not os.isatty(0):
        raise IdentityError(
            "there is no terminal to ask for the secret at",
            code="passphrase_missing",
            hint="Name a FILE that holds it; a secret is never an argument, where others could see it.",
        )
    return _parse_secret(click.prompt("Secret of the wallet, 64 hexadecimal digits", hide_input=True))


def _read_secret(file: Path, old_passphrase_file: Path | None) -> bytes:
    from skyops_p2p.node.identity import KEY_FILE_BYTES_MAX
    from skyops_p2p.node.keystore import open_secret

    try:
        with file.open("rb") as opened:
            text = opened.read(KEY_FILE_BYTES_MAX).decode()
        old = None
        if old_passphrase_file is not None:
            old = old_passphrase_file.read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
    except (OSError, UnicodeDecodeError) as error:
        raise IdentityError(
            f"cannot read {file} or the file with its passphrase",
            code="key_unreadable",
            hint="Check both paths.",
        ) from error
    if not text.lstrip().startswith("{"):
        return _parse_secret(text)
    if old is None and os.isatty(0):
        old = click.prompt("Passphrase of the keystore that is imported", hide_input=True)
    try:
        return open_secret(text, old or "")
    except IdentityError as error:
        if error.code != "wrong_passphrase":
            raise
        hint = "Give its own passphrase with --old-passphrase-file."
        raise IdentityError(error.message, code="wrong_passphrase", hint=hint) from error


def _parse_secret(text: str) -> bytes:
    digits = text.strip().removeprefix("0x")
    try:
        if len(digits) != _SECRET_CHARS:
            raise ValueError("wrong length")
        return bytes.fromhex(digits)
    except ValueError:
        # Neither the text nor the error that shows a part of it goes anywhere.
        raise IdentityError(
            "that is neither a keystore of version 3 nor 64 hexadecimal digits",
            code="key_damaged",
            hint="Export the account again from where it comes from.",
        ) from None


def _tell(invocation: Invocation, identity: "Identity", *, as_json: bool) -> None:
    data_dir = invocation.find_data_dir()
    told = {
        "wallet": identity.wallet.address,
        "peer_id": identity.node_key.peer_id,
        "data_dir": str(data_dir),
    }
    if as_json:
        print_json(told)
        return
    print_fields([("wallet", told["wallet"]), ("peer id", told["peer_id"]), ("directory", told["data_dir"])])
    click.echo("Keep a copy of wallet.json and its passphrase: nobody can restore them.")
