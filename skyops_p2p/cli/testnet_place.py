"""Which test network of this machine a command means."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from skyops_p2p.testnet.launcher import Testnet

Command = TypeVar("Command", bound=Callable[..., Any])


def place_options(command: Command) -> Command:
    """Let a command say which test network is meant."""
    by_dir = click.option(
        "--dir",
        "directory",
        type=click.Path(path_type=Path, file_okay=False),
        help="Its directory, wherever it is.",
    )
    by_name = click.option("--name", help='Its name; by default the only one there is, or "local".')
    return by_name(by_dir(command))


def open_testnet(name: str | None, directory: Path | None) -> "Testnet":
    """Return the test network that is meant.

    Raises:
        TestnetError: There is none, or several.
    """
    from skyops_p2p.testnet.launcher import Testnet
    from skyops_p2p.testnet.places import find_existing

    return Testnet(find_existing(name, directory))


def place_text(name: str | None, directory: Path | None) -> str:
    """Return the options that name this test network again."""
    if directory is not None:
        return f" --dir {directory}"
    return f" --name {name}" if name else ""
