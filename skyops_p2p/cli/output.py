"""How commands print: JSON for programs, aligned text for pipes, and tables for terminals."""

import contextlib
import json
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import click

from skyops_p2p.cli.waiting import taken_line

STATE_STYLES = {
    "active": "green",
    "connected": "green",
    "running": "green",
    "ok": "green",
    "succeeded": "green",
    "suspect": "yellow",
    "warn": "yellow",
    "stopped": "yellow",
    "starting": "yellow",
    "waiting": "yellow",
    "cancelled": "yellow",
    "inactive": "red",
    "slashed": "red",
    "fail": "red",
    "failed": "red",
    "dead": "red",
    "banned": "red",
}
"""Colours of state words; the word itself is always printed too."""
_GAP = 2
"""Between columns."""
_WRAPPED_CHARS, _CUT_CHARS = 14, 7
"""Least of a longer cell that is broken into lines, or cut short, for it to be read."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table."""

    title: str
    is_right: bool = False
    """Numbers stand right."""
    is_wrapped: bool = False
    """May be broken into lines on a narrow terminal."""
    is_cut: bool = False
    """May be cut short on a narrow terminal. Columns that are neither keep their width."""


def print_json(value: Any) -> None:
    """Print one JSON document; pydantic views become objects."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=_plain))


def _plain(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    return str(value)


def is_terminal() -> bool:
    """Tell whether standard output goes to a person."""
    return sys.stdout.isatty()


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[str]], *, is_color: bool) -> None:
    """Print rows under headings: with colours on a terminal, else as aligned text.

    On a terminal that is too narrow each row is a block of names and values: nothing is left out.
    """
    materialised = [tuple(row) for row in rows]
    if is_terminal():
        from rich.console import Console

        console = Console(no_color=not is_color, highlight=False)
        if _least_width(columns, materialised) <= console.width:
            console.print(rich_table(columns, materialised))
        else:
            _print_blocks(columns, materialised, is_color=is_color)
    else:
        for line in aligned(columns, materialised):
            click.echo(line)


def rich_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> Any:
    """Return the rows as a rich table; columns that say nothing in any row are left out."""
    from rich.table import Table
    from rich.text import Text

    shown = _shown(columns, rows)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold dim")
    for i in shown:
        column = columns[i]
        width = max(len(column.title), *(len(row[i]) for row in rows)) if rows else len(column.title)
        table.add_column(
            column.title,
            justify="right" if column.is_right else "left",
            no_wrap=not column.is_wrapped,
            overflow="fold" if column.is_wrapped else "ellipsis",
            min_width=len(column.title) if column.is_wrapped or column.is_cut else width,
        )
    for row in rows:
        table.add_row(*(Text(row[i], style=STATE_STYLES.get(row[i], "")) for i in shown))
    return table


def _shown(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> list[int]:
    """List the columns that say something in some row."""
    return [i for i in range(len(columns)) if not rows or any(row[i] != "-" for row in rows)]


def _least_width(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> int:
    """Return how wide a terminal must be for a table whose cells can still be read."""
    needed = 0
    for i in _shown(columns, rows):
        title, full = len(columns[i].title), max((len(row[i]) for row in rows), default=0)
        if columns[i].is_wrapped:
            full = min(full, _WRAPPED_CHARS)
        elif columns[i].is_cut:
            full = min(full, _CUT_CHARS)
        needed += max(title, full) + _GAP
    return needed - _GAP


def _print_blocks(columns: Sequence[Column], rows: Sequence[Sequence[str]], *, is_color: bool) -> None:
    width = max(len(columns[i].title) for i in _shown(columns, rows))
    for number, row in enumerate(rows):
        if number:
            click.echo()
        for i in _shown(columns, rows):
            if row[i] != "-":
                value = paint(row[i], STATE_STYLES.get(row[i], ""), is_color=is_color)
                click.echo(f"{columns[i].title.ljust(width)}  {value}".rstrip())


def aligned(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return lines of plain text whose columns stand under each other."""
    table = [[column.title for column in columns], *rows]
    widths = [max(len(row[i]) for row in table) for i in range(len(columns))]
    lines = []
    for row in table:
        cells = [
            cell.rjust(width) if column.is_right else cell.ljust(width)
            for cell, width, column in zip(row, widths, columns, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def print_fields(fields: Iterable[tuple[str, str]]) -> None:
    """Print names and values in two columns."""
    pairs = list(fields)
    width = max((len(name) for name, _ in pairs), default=0)
    for name, value in pairs:
        click.echo(f"{name.ljust(width)}  {value}")


def paint(text: str, style: str, *, is_color: bool) -> str:
    """Colour a word if standard output is a terminal and colours are wanted."""
    return click.style(text, fg=style) if style and is_color and is_terminal() else text


def short_peer(peer_id: str) -> str:
    """Return the last 8 characters of a peer id: all Ed25519 ids begin alike, and the end can be typed back."""
    return peer_id[-8:]


def age(seconds: float | None) -> str:
    """Return a length of time for a table: "3s", "4m", "2h", "5d"; "-" if unknown."""
    if seconds is None:
        return "-"
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size * 2:
            return f"{int(seconds // size)}{unit}"
    return f"{seconds:.0f}s"


def gpu_text(models: Iterable[tuple[str, int]]) -> str:
    """Return GPUs as "2x A100 80G"; "-" without any. Takes (model, VRAM in MiB) pairs."""
    counts: dict[tuple[str, int], int] = {}
    for gpu in models:
        counts[gpu] = counts.get(gpu, 0) + 1
    parts = [
        (f"{count}x " if count > 1 else "") + f"{model} {round(vram / 1024)}G"
        for (model, vram), count in counts.items()
    ]
    return ", ".join(parts) or "-"


def credits_text(microcredits: int) -> str:
    """Return a price in credits without trailing zeros: "1.25"."""
    text = f"{microcredits // 1_000_000}.{microcredits % 1_000_000:06d}"
    return text.rstrip("0").rstrip(".")


class ProgressLine:
    """One line on standard error that is overwritten while something is waited for, and cleared at the end.

    Without a terminal nothing is shown.

    Args:
        is_shown: False: print nothing.
    """

    def __init__(self, *, is_shown: bool = True) -> None:
        self._is_shown = is_shown and sys.stderr.isatty()
        self._last = ""
        self._held = contextlib.ExitStack()

    def __enter__(self) -> "ProgressLine":
        """Return itself; no spinner turns meanwhile."""
        if self._is_shown:
            self._held.enter_context(taken_line())
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Clear the line."""
        self.clear()
        self._held.close()

    def clear(self) -> None:
        """Clear the line; the next text begins anew."""
        if self._is_shown and self._last:
            click.echo("\r\x1b[K", nl=False, err=True)
        self._last = ""

    def show(self, text: str) -> None:
        """Replace the line; it is cut to the terminal's width, as a wrapped one could not be replaced."""
        if not self._is_shown or text == self._last:
            return
        self._last = text
        width = shutil.get_terminal_size().columns - 3
        click.echo(f"\r\x1b[K{text[:width]} …", nl=False, err=True)
