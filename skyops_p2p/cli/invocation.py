"""What the global options said, and what commands make of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from skyops_p2p.config import NodeConfig, Setting
    from skyops_p2p.node.control_client import ControlClient

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(slots=True)
class Invocation:
    """One call of `skyops`."""

    data_dir: Path | None
    config_file: Path | None
    environment: Mapping[str, str]
    is_color: bool
    is_debug: bool

    def find_data_dir(self) -> Path:
        """Return the data directory: the flag, else the environment, else the user's default."""
        from skyops_p2p.config import find_data_dir

        return find_data_dir(self.data_dir, self.environment)

    def find_config_file(self) -> Path | None:
        """Return the config file that was named, or None for the one in the data directory."""
        if self.config_file is not None:
            return self.config_file
        named = self.environment.get("SKYOPS_CONFIG", "")
        return Path(named).expanduser() if named else None

    def load_config(
        self, flags: Mapping[str, object] | None = None
    ) -> "tuple[NodeConfig, tuple[Setting, ...]]":
        """Return the effective settings and where each came from.

        Raises:
            ConfigError: A setting is wrong.
        """
        from skyops_p2p.config import load_config

        return load_config(
            self.find_data_dir(),
            file=self.find_config_file(),
            environment=self.environment,
            flags=flags or {},
        )

    def client(self) -> "ControlClient":
        """Return a client for the running node of the data directory; where it lets wait, a spinner turns.

        Raises:
            NetworkError: `node_not_running`.
        """
        from skyops_p2p.cli.waiting import waiting
        from skyops_p2p.node.control_client import ControlClient

        client = ControlClient.of(self.find_data_dir())
        client.around = partial(waiting, "asking the node", is_color=self.is_color)
        return client


def _remember_data_dir(ctx: click.Context, _parameter: click.Parameter, value: Path | None) -> None:
    if value is not None:
        ctx.ensure_object(Invocation).data_dir = value


def data_dir_option(command: Command) -> Command:
    """Let a command take --data-dir too, for people who put options last."""
    option = click.option(
        "--data-dir",
        type=click.Path(path_type=Path, file_okay=False),
        expose_value=False,
        callback=_remember_data_dir,
        help="Directory with the node's keys and store.",
    )
    return option(command)


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
"""Adds --json, passed as `as_json`."""
