"""On which line of a TOML text each key stands.

tomllib tells no positions, and a message that names the line is worth this little scan. It knows tables,
dotted keys and multi-line strings; a key that it does not find (inline tables) is reported without a line.
"""

import re

_TABLE = re.compile(r"^\s*\[\s*([A-Za-z0-9_.\s\"'-]+?)\s*\]\s*(#.*)?$")
_KEY = re.compile(r"^\s*([A-Za-z0-9_\"'-]+(?:\s*\.\s*[A-Za-z0-9_\"'-]+)*)\s*=")
_LONG_QUOTES = ('"""', "'''")


def key_lines(text: str) -> dict[str, int]:
    """Return {dotted name of a table or key: its line, from 1} for a TOML text; the first one wins."""
    lines: dict[str, int] = {}
    table = ""
    open_quotes = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if open_quotes:
            if line.count(open_quotes) % 2:
                open_quotes = ""
            continue
        open_quotes = next((quotes for quotes in _LONG_QUOTES if line.count(quotes) % 2), "")
        if found := _TABLE.match(line):
            table = _plain(found[1])
            lines.setdefault(table, number)
        elif found := _KEY.match(line):
            key = _plain(found[1])
            lines.setdefault(f"{table}.{key}" if table else key, number)
    return lines


def _plain(name: str) -> str:
    """Return a dotted name without quotes and spaces."""
    return ".".join(part.strip().strip("\"'") for part in name.split("."))
