"""The live screen of `skyops run`: who this node is, whom it sees, what happens."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path

import trio
from rich.console import Console, Group
from rich.live import Live
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from skyops_p2p.cli.logs import RecentLines
from skyops_p2p.cli.network import MAP_COLUMNS, map_rows
from skyops_p2p.cli.output import age, rich_table
from skyops_p2p.config import find_data_dir
from skyops_p2p.node.runtime import Node
from skyops_p2p.node.views import MapQuery, NodeView, StatusView

_REFRESH_S = 0.5
_LOG_LINES = 6


async def show_screen(node: Node, recent: RecentLines, *, is_color: bool) -> None:
    """Draw the screen until cancelled."""
    console = Console(file=sys.stdout, no_color=not is_color, highlight=False)
    ask = ask_command(node.config.data_dir)
    query = MapQuery.model_validate({"sort": "state"})
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            views = tuple(sorted(node.map(query), key=lambda view: not view.is_self))
            live.update(
                draw(node.status(), views, recent.lines, height=console.height, ask=ask), refresh=True
            )
            await trio.sleep(_REFRESH_S)


def draw(
    status: StatusView, views: tuple[NodeView, ...], lines: Iterable[str], *, height: int, ask: str
) -> Group:
    """Return the whole screen for a terminal of `height` lines; `ask` is how another terminal asks this node."""
    head = _head(status, ask)
    counts = ", ".join(f"{count} {state}" for state, count in status.map_counts.items() if count)
    room = max(3, height - len(head.rows) - _LOG_LINES - 6)
    shown = views[:room]
    title = f"Node map: {counts or 'empty so far'}"
    if len(shown) < len(views):
        title += f" ({len(views) - len(shown)} more: skyops map)"
    log_lines = list(lines)[-_LOG_LINES:]
    return Group(
        head,
        Rule(Text(title), align="left", style="dim"),
        rich_table(MAP_COLUMNS, map_rows(shown)),
        Rule(Text("Log"), align="left", style="dim"),
        *(Text(line, no_wrap=True, overflow="ellipsis") for line in log_lines),
        Text("Ctrl-C stops cleanly, twice at once.", style="dim"),
    )


def ask_command(data_dir: Path) -> str:
    """Return the command with which another terminal asks this node for its map."""
    is_default = data_dir == find_data_dir(None, os.environ)
    return "skyops map" if is_default else f"skyops --data-dir {data_dir} map"


def _head(status: StatusView, ask: str) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True, min_width=11)
    table.add_column(overflow="fold")
    network = status.network + (" (test network)" if status.is_testnet else "")
    role = "worker" if status.is_worker else "peer, offers no compute"
    table.add_row(
        "Skyops", f"{network}   {role}   up {age(status.uptime_s)}   {status.connections} connections"
    )
    table.add_row("peer id", status.peer_id)
    table.add_row("wallet", status.wallet)
    for number, addr in enumerate(status.listen):
        table.add_row("give others" if number == 0 else "", Text(addr))
    table.add_row("ask it", Text(ask))
    for warning in status.warnings:
        table.add_row(Text("warning", style="yellow"), Text(warning))
    return table
