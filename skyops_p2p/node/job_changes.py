"""Changes to a job file that are made on the command line: `--set resources.gpu=2xA100`."""

import tomllib
from collections.abc import Sequence
from typing import Any

from skyops_p2p.errors import ConfigError

Change = tuple[str, str]
"""(dotted field, value as it was typed)."""
_TEXTS = frozenset({"name", "image", "module", "entry_point", "command"})
"""Fields that are texts, whatever the value looks like; so is everything below `env`."""
_HINT = "Write it as --set FIELD=VALUE, for example --set shards=4 or --set resources.memory=16Gi."


def parse_change(text: str) -> Change:
    """Read FIELD=VALUE.

    Raises:
        ConfigError: `set_invalid`.
    """
    field, equals, value = text.partition("=")
    if not equals or not all(field.split(".")):
        raise ConfigError(f"--set {field}: found no field and value", code="set_invalid", hint=_HINT)
    return field, value


def apply_changes(tree: Any, changes: Sequence[Change]) -> Any:
    """Return what a job file says, with some fields replaced; tables that are missing are made.

    A value is read as TOML would read it (numbers, true, lists, quoted texts), else it is the text as it stands.

    Raises:
        ConfigError: `set_invalid`: a field lies below one that is no table and no list.
    """
    for field, value in changes:
        *above, last = field.split(".")
        place = tree
        for name in above:
            place = _step_into(place, name, field)
        _put(place, last, value if _is_text(field) else _read(value), field)
    return tree


def _is_text(field: str) -> bool:
    return field in _TEXTS or field.startswith("env.")


def _read(value: str) -> Any:
    try:
        found = tomllib.loads(f"value = {value}")
    except (ValueError, RecursionError):  # TOMLDecodeError, numbers of thousands of digits, absurd nesting
        return value
    return found["value"] if len(found) == 1 else value


def _step_into(place: Any, name: str, field: str) -> Any:
    if isinstance(place, dict):
        return place.setdefault(name, {})
    return place[_index(place, name, field)]


def _put(place: Any, name: str, value: Any, field: str) -> None:
    if isinstance(place, dict):
        place[name] = value
    else:
        place[_index(place, name, field)] = value


def _index(place: Any, name: str, field: str) -> int:
    """Return which item of a list is meant."""
    if not isinstance(place, list):
        raise ConfigError(
            f"--set {field}: what {name} would be in is no table", code="set_invalid", hint=_HINT
        )
    if not (name.isascii() and name.isdigit() and len(name) < 6 and int(name) < len(place)):
        raise ConfigError(
            f"--set {field}: the list has the items 0 to {len(place) - 1}, not {name}"
            if place
            else f"--set {field}: the list is empty",
            code="set_invalid",
            hint=_HINT,
        )
    return int(name)
