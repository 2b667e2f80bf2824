"""`config check`, `config show` and `config init`."""

from pathlib import Path

import click

from skyops_p2p.cli.invocation import Invocation, data_dir_option, json_option
from skyops_p2p.cli.output import Column, print_json, print_table


@click.group()
def config() -> None:
    """Check, show or write the settings."""


@config.command()
@click.option("--changed", is_flag=True, help="Only settings that are not at their default.")
@data_dir_option
@json_option
@click.pass_obj
def check(invocation: Invocation, *, changed: bool, as_json: bool) -> None:
    """Print every effective setting and where its value comes from; fail if one is wrong."""
    _, settings = invocation.load_config()
    chosen = [setting for setting in settings if not changed or setting.source != "default"]
    if as_json:
        print_json({item.name: {"value": _json(item.value), "source": item.source} for item in chosen})
        return
    rows = [(setting.name, _text(setting.value), setting.source) for setting in chosen]
    columns = [Column("SETTING"), Column("VALUE", is_wrapped=True), Column("FROM", is_wrapped=True)]
    print_table(columns, rows, is_color=invocation.is_color)


@config.command()
@click.argument("name")
@data_dir_option
@json_option
@click.pass_obj
def show(invocation: Invocation, name: str, *, as_json: bool) -> None:
    """Explain one setting: what it does, what it allows, its value and its source."""
    import difflib

    from skyops_p2p.config import describe_settings
    from skyops_p2p.errors import ConfigError

    described = {setting.name: setting for setting in describe_settings()}
    if name not in described:
        close = difflib.get_close_matches(name, described, n=3)
        meant = f"Did you mean {' or '.join(close)}?" if close else "`skyops config check` lists them all."
        raise ConfigError(f"there is no setting {name!r}", code="setting_unknown", hint=meant)
    setting = described[name]
    _, effective = invocation.load_config()
    current = next(item for item in effective if item.name == name)
    if as_json:
        print_json(
            {
                "name": name,
                "value": _json(current.value),
                "source": current.source,
                "default": _json(setting.default),
                "allowed": setting.allowed,
                "environment": setting.environment,
                "text": setting.text,
            }
        )
        return
    click.echo(f"{name} = {_text(current.value)}   ({current.source})")
    click.echo(f"  {setting.text}")
    click.echo(f"  Allowed: {setting.allowed}. Default: {_text(setting.default)}. {setting.environment}")


@config.command()
@data_dir_option
@click.pass_obj
def init(invocation: Invocation) -> None:
    """Write a config file that explains itself; an existing one is left alone."""
    from skyops_p2p.config import CONFIG_FILE_NAME, render_config

    path = invocation.find_config_file() or invocation.find_data_dir() / CONFIG_FILE_NAME
    write_config(path, render_config())
    click.echo(f"Wrote {path}. Every setting stands in it, commented out at its default.")


def write_config(path: Path, text: str) -> None:
    """Write a new config file; never over an old one.

    Raises:
        ConfigError: `config_exists` or `config_unwritable`.
    """
    from skyops_p2p.errors import ConfigError

    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise ConfigError(
            f"{path} exists already", code="config_exists", hint="Edit it, or move it away first."
        ) from error
    except OSError as error:
        raise ConfigError(
            f"cannot write {path}: {error.strerror}", code="config_unwritable", hint="Check the directory."
        ) from error


def _json(value: object) -> object:
    return value if isinstance(value, (bool, int, float, str, list, tuple, type(None))) else str(value)


def _text(value: object) -> str:
    match value:
        case None | "" | ():
            return "-"
        case bool():
            return "true" if value else "false"
        case tuple() | list():
            return ", ".join(str(item) for item in value)
        case _:
            return str(value)
