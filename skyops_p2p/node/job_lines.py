"""On which line of a job file each field stands. Pure text.

A path is a tuple of names and indices as text. TOML's own reader tells no positions, so its text is scanned line by
line, and what stands inside an inline table gets the line of the table. JSON's and YAML's readers take the last of two
equal keys without a word, so such keys are noted here.
"""

import json
import re
from bisect import bisect
from dataclasses import dataclass, field

import yaml

Path = tuple[str, ...]

_TABLE = re.compile(r"^\s*(\[\[?)\s*([A-Za-z0-9_.\s\"'-]+?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(r"^\s*([A-Za-z0-9_\"'-]+(?:\s*\.\s*[A-Za-z0-9_\"'-]+)*)\s*=")
_LONG_QUOTES = ('"""', "'''")
_SPACE = re.compile(r"[ \t\n\r]*")


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the fields of one file stand."""

    lines: dict[Path, int] = field(default_factory=dict)
    """Line of each field, from 1; the first one where a key is doubled."""
    doubled: list[Path] = field(default_factory=list)
    """Fields that stand there twice."""

    def note(self, path: Path, line: int) -> None:
        """Remember a key."""
        if path in self.lines:
            self.doubled.append(path)
        else:
            self.lines[path] = line

    def line_of(self, path: Path) -> int | None:
        """Return the line of a field, else that of the nearest table around it; None if nothing is known."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.lines:
                return self.lines[path[:length]]
        return None


def toml_layout(text: str) -> Layout:
    """Return where the tables, the entries of arrays of tables and the keys of a valid TOML text stand."""
    layout = Layout()
    lines = layout.lines
    counts: dict[Path, int] = {}
    table: Path = ()
    open_quotes = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if open_quotes:
            open_quotes = "" if line.count(open_quotes) % 2 else open_quotes
            continue
        open_quotes = next((quotes for quotes in _LONG_QUOTES if line.count(quotes) % 2), "")
        if found := _TABLE.match(line):
            table = _toml_table(_toml_path(found[2]), counts, is_array=found[1] == "[[")
            lines.setdefault(table, number)
        elif found := _KEY.match(line):
            lines.setdefault(table + _toml_path(found[1]), number)
    return layout


def _toml_table(name: Path, counts: dict[Path, int], *, is_array: bool) -> Path:
    """Return the path of a table header; `counts` holds how many entries each array of tables has so far."""
    path: Path = ()
    for index, part in enumerate(name):
        path = (*path, part)
        if is_array and index == len(name) - 1:
            counts[path] = counts.get(path, 0) + 1
        if path in counts:
            path = (*path, str(counts[path] - 1))
    return path


def _toml_path(name: str) -> Path:
    return tuple(part.strip().strip("\"'") for part in name.split("."))


def yaml_layout(root: yaml.Node) -> Layout:
    """Return where the keys and list entries of a composed YAML document stand; its depth is bounded before."""
    layout = Layout()

    def walk(node: yaml.Node, path: Path) -> None:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                inner = (*path, str(key.value))
                layout.note(inner, key.start_mark.line + 1)
                walk(value, inner)
        elif isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                layout.note((*path, str(index)), item.start_mark.line + 1)
                walk(item, (*path, str(index)))

    walk(root, ())
    return layout


def json_layout(text: str) -> Layout:
    """Return where the keys and list entries of a valid JSON text stand; its depth is bounded before."""
    layout = Layout()
    decoder = json.JSONDecoder()
    newlines = [found.start() for found in re.finditer("\n", text)]

    def skip(at: int) -> int:
        found = _SPACE.match(text, at)
        return found.end() if found else at

    def walk(at: int, path: Path) -> int:
        """Walk the value that begins at `at` and return where it ends."""
        if text[at] not in "{[":
            return decoder.raw_decode(text, at)[1]
        is_object, index = text[at] == "{", 0
        at = skip(at + 1)
        while text[at] not in "}]":
            start = at
            name = str(index)
            if is_object:
                name, at = decoder.raw_decode(text, at)
                at = skip(skip(at) + 1)
            layout.note((*path, name), bisect(newlines, start) + 1)
            at = skip(walk(at, (*path, name)))
            at = skip(at + 1) if text[at] == "," else at
            index += 1
        return at + 1

    walk(skip(0), ())
    return layout
