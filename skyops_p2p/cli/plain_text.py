"""Text of strangers on a terminal: what a program or a worker wrote can colour, move, rename or type nothing.

Terminals obey control characters. Those of C0, DEL and C1 are shown as escapes, and so are the marks that turn the
direction of writing; of the sequences that only set colours nothing is left.
"""

import re
from typing import Any, TypeVar

from pydantic import BaseModel

ViewT = TypeVar("ViewT", bound=BaseModel)

_COLOURS = re.compile(r"\x1b\[[0-9;:]*m")
_UNSAFE = re.compile(
    r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufff9-\ufffb]"
)


def plain(text: str) -> str:
    """Return a text with everything that a terminal would obey made visible; tabs stay."""
    return _UNSAFE.sub(_escaped, _COLOURS.sub("", text))


def plain_line(text: str) -> str:
    """Return a line of a log as `plain`; of one that was drawn over itself, the last state, as a terminal shows it."""
    return plain(text.rstrip("\r").rpartition("\r")[2])


def plain_view(view: ViewT) -> ViewT:
    """Return a view whose texts, at any depth, are plain."""
    return type(view).model_validate(_plain_tree(view.model_dump()))


def _plain_tree(value: Any) -> Any:
    match value:
        case str():
            return plain(value)
        case dict():
            return {_plain_tree(key): _plain_tree(item) for key, item in value.items()}
        case list() | tuple():
            return tuple(_plain_tree(item) for item in value)
        case _:
            return value


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
