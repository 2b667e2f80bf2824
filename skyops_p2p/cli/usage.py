"""Wrong usage in the form of every other error: what is wrong, a code, and what to write instead.

click finds it and words it for its own screens; here it is said again, so that people and programs see one form.
"""

import click

from skyops_p2p.errors import ConfigError

CHOICES_SUGGESTED = 2
"""Names suggested for a mistyped one, at most."""


def usage_error(error: click.ClickException) -> ConfigError:
    """Return what click complained of as one of our errors, on one line.

    Args:
        error: Raised while the words of a command line were read, or by a command about its options.
    """
    context = error.ctx if isinstance(error, click.UsageError) else None
    match error:
        case click.NoSuchCommand():
            return _unknown_command(error.command_name, context)
        case click.NoSuchOption():
            return _unknown_option(error.option_name, context)
        case click.MissingParameter():
            return ConfigError(_missing(error), code="argument_missing", hint=_write(context))
        case click.BadOptionUsage() if context is None:
            return ConfigError(
                f"{error.option_name} needs a value",
                code="argument_missing",
                hint=f"Write it after the option: `{error.option_name} VALUE`; --help of the command says which.",
            )
        case click.BadParameter():
            name = _name_of(error)
            told = f"{name}: {_line(error.message)}" if name else _line(error.message)
            return ConfigError(told, code="argument_invalid", hint=_explained(context))
    return ConfigError(_line(error.format_message()), code="usage_wrong", hint=_write(context))


def _unknown_command(name: str, context: click.Context | None) -> ConfigError:
    group = context.command if context is not None else None
    known = group.list_commands(context) if isinstance(group, click.Group) and context is not None else []
    return ConfigError(
        f"there is no command {name!r}{_inside(context)}",
        code="unknown_command",
        hint=f"{_meant(name, known)}{_help(context)} lists them.",
    )


def _unknown_option(name: str, context: click.Context | None) -> ConfigError:
    known = _options(context)
    above = context.parent if context is not None else None
    message = f"there is no option {name}{_inside(context)}"
    while above is not None:
        if name in _options(above):
            rest = context.command_path.removeprefix(above.command_path) if context is not None else ""
            hint = f"It stands before the command: `{above.command_path} {name}{rest}`."
            return ConfigError(message, code="unknown_option", hint=hint)
        above = above.parent
    return ConfigError(
        message, code="unknown_option", hint=f"{_meant(name, known)}{_help(context)} lists them."
    )


def _options(context: click.Context | None) -> list[str]:
    """List the options that a command takes at its own place, with all their names."""
    if context is None:
        return []
    params = context.command.get_params(context)
    return [
        name
        for param in params
        if isinstance(param, click.Option)
        for name in (*param.opts, *param.secondary_opts)
    ]


def _meant(name: str, known: list[str]) -> str:
    import difflib

    # A short name has few letters to be alike in: `-jsn` is held against `--json` without the dashes.
    bare = {word.lstrip("-"): word for word in known}
    close = difflib.get_close_matches(name.lstrip("-"), list(bare), n=CHOICES_SUGGESTED)
    return f"Did you mean {' or '.join(bare[word] for word in close)}? " if close else ""


def _missing(error: click.MissingParameter) -> str:
    choices = error.param.type.choices if error.param and isinstance(error.param.type, click.Choice) else ()
    among = f": one of {', '.join(str(choice) for choice in choices)}" if choices else ""
    return f"{_name_of(error) or 'an argument'} is missing{among}"


def _name_of(error: click.BadParameter) -> str:
    """Return how the person writes the parameter: "--vram", or "PEER"."""
    if isinstance(error.param_hint, str):
        return error.param_hint.strip("'")
    if isinstance(error.param, click.Option):
        return max(error.param.opts, key=len)
    if error.param is not None and error.param.name is not None:
        return error.param.name.upper()
    return ""


def _line(text: str) -> str:
    """Return click's words on one line, as ours begin and end, and without the names of its classes."""
    for theirs, ours in (("valid integer", "whole number"), ("valid float", "number")):
        text = text.replace(f"{theirs} range", ours).replace(theirs, ours)
    text = " ".join(text.split()).removesuffix(".")
    return text[:1].lower() + text[1:]


def _inside(context: click.Context | None) -> str:
    return f" of `{context.command_path}`" if context is not None else ""


def _write(context: click.Context | None) -> str:
    if context is None:
        return _explained(context)
    pieces = context.command.collect_usage_pieces(context)
    return f"Write `{' '.join([context.command_path, *pieces])}`; {_help(context)} explains it."


def _explained(context: click.Context | None) -> str:
    return f"{_help(context)} says what is allowed."


def _help(context: click.Context | None) -> str:
    return f"`{context.command_path if context is not None else 'skyops'} --help`"
