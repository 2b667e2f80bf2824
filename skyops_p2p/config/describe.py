"""What settings there are, in words, and the config file that explains itself. Pure text, no I/O."""

import functools
import json
import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Le, MaxLen, MinLen
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from skyops_p2p.config.models import NodeConfig

ENVIRONMENT_PREFIX = "SKYOPS_"
_TEXT_WIDTH = 100


@dataclass(frozen=True, slots=True)
class SettingDescription:
    """One setting as people see it."""

    name: str
    """Dotted, "network.listen"; without a dot for the few outside any table."""
    kind: str
    """"flag", "whole number", "number", "text", "list", "path" or "choice"."""
    allowed: str
    """What values are admitted, in words, with the bounds."""
    default: object
    text: str
    """What the setting does, with its unit."""

    @property
    def environment(self) -> str:
        """The environment variable that sets it."""
        return ENVIRONMENT_PREFIX + self.name.replace(".", "_").upper()

    @property
    def in_file(self) -> bool:
        """Whether the config file may set it; where the file lies is decided before it is read."""
        return self.name != "data_dir"


@functools.cache
def describe_settings() -> tuple[SettingDescription, ...]:
    """Return every setting, those outside any table first, then in the order of the tables."""
    own: list[SettingDescription] = []
    nested: list[SettingDescription] = []
    for name, field in NodeConfig.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            nested.extend(_describe(f"{name}.{key}", inner) for key, inner in section.model_fields.items())
        else:
            own.append(_describe(name, field))
    return (*own, *nested)


def render_config(values: Mapping[str, object] | None = None) -> str:
    """Return the text of a config file that explains itself.

    Args:
        values: Settings to write in force, by dotted name; all others stand commented out at their default.

    Raises:
        KeyError: A name in `values` is no setting of the file.
    """
    chosen = dict(values or {})
    lines = [
        "# Settings of a Skyops node (TOML). A line that begins with '#' and a name shows a default:",
        "# remove the '#' and change the value. The environment and flags win over this file.",
        "# `skyops config check` prints every effective value and where it came from.",
    ]
    table = ""
    for setting in describe_settings():
        if not setting.in_file:
            continue
        head, dot, key = setting.name.rpartition(".")
        if dot and head != table:
            table = head
            lines += ["", "", f"[{table}]", f"# {_table_text(table)}"]
        lines += [
            "",
            *_wrap(setting.text),
            *_wrap(f"Allowed: {setting.allowed}. Environment: {setting.environment}"),
        ]
        if setting.name in chosen:
            lines.append(f"{key} = {_toml(chosen.pop(setting.name))}")
        else:
            lines.append(f"#{key} = {_toml(setting.default)}")
    if chosen:
        raise KeyError(", ".join(sorted(chosen)))
    return "\n".join(lines) + "\n"


def _describe(name: str, field: FieldInfo) -> SettingDescription:
    kind, allowed = _kind(field.annotation)
    bounds = _bounds(field.metadata)
    default = field.get_default()
    text = " ".join((field.description or "").split())
    return SettingDescription(name, kind, f"{allowed}{bounds}", default, text)


def _kind(annotation: Any) -> tuple[str, str]:
    """Return a setting's kind and what it admits, before bounds."""
    simple = {
        bool: ("flag", "true or false"),
        int: ("whole number", "a whole number"),
        float: ("number", "a number"),
        str: ("text", "a text"),
        Path: ("path", "a path"),
    }
    if annotation in simple:
        return simple[annotation]
    origin = get_origin(annotation)
    if origin is Literal:
        return "choice", "one of " + ", ".join(json.dumps(choice) for choice in get_args(annotation))
    if origin is tuple:
        entry = get_args(annotation)[0]
        if get_origin(entry) is Literal:
            return "list", "a list of " + ", ".join(json.dumps(choice) for choice in get_args(entry))
        return "list", "a list of texts"
    if origin in (Union, types.UnionType) and set(get_args(annotation)) == {Path, type(None)}:
        return "path", "a path, or an empty text for none"
    raise TypeError(f"no words for settings of type {annotation}")


def _bounds(metadata: Iterable[object]) -> str:
    """Return the bounds of a setting in words, beginning with a separator, or nothing."""
    words = []
    for bound in metadata:
        match bound:
            case Ge(ge=low):
                words.append(f"at least {low}")
            case Le(le=high):
                words.append(f"at most {high}")
            case MinLen(min_length=count):
                words.append(f"at least {count} entry" if count == 1 else f"at least {count} entries")
            case MaxLen(max_length=count):
                words.append(f"at most {count} entries")
            case _ if pattern := getattr(bound, "pattern", None):
                words.append(f"matching {pattern}")
    return "".join(f", {word}" for word in words)


def _table_text(table: str) -> str:
    section = NodeConfig.model_fields[table].annotation
    text = (getattr(section, "__doc__", None) or "").strip()
    words = text.partition(": ")[2] or text
    return words[:1].upper() + words[1:]


def _wrap(text: str) -> list[str]:
    """Break a text into comment lines."""
    lines = ["#"]
    for word in text.split():
        if len(lines[-1]) + 1 + len(word) > _TEXT_WIDTH and lines[-1] != "#":
            lines.append("#")
        lines[-1] += f" {word}"
    return lines


def _toml(value: object) -> str:
    """Write a value as TOML; JSON strings and numbers are also TOML ones."""
    match value:
        case None:
            return '""'
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case str() | Path():
            return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
        case list() | tuple():
            return "[" + ", ".join(_toml(item) for item in value) + "]"
        case _:
            raise TypeError(f"no TOML for {type(value).__name__}")
