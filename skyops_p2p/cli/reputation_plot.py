"""Draws scores with matplotlib, which only `reputation --plot` needs."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skyops_p2p.node.reputation.views import ReputationRowView, ReputationView

BARS_MAX = 40
"""Accounts in one picture; those at the top of the table."""
_COLOURS = {"good": "#2a7f62", "below_gate": "#c98a1b", "banned": "#b3261e", "not_looked_up": "#8a8f98"}


def draw(view: "ReputationView", target: Path) -> None:
    """Write a PNG: a bar for each account, or for each part of the one that was asked for.

    Raises:
        OSError: The file cannot be written.
    """
    import matplotlib as mpl

    mpl.use("Agg")  # without a display
    import matplotlib.pyplot as plt

    if view.explanations:
        names, sizes, colours = _parts(view)
    else:
        rows = view.rows[:BARS_MAX]
        names = [_name(row) for row in rows]
        sizes, colours = [row.score for row in rows], [_COLOURS[row.standing] for row in rows]
    figure, axes = plt.subplots(figsize=(8, 1.2 + 0.32 * max(len(names), 3)))
    _fill(axes, names, sizes, colours, gate=view.gate)
    figure.tight_layout()
    try:
        figure.savefig(target, format="png", dpi=150)
    finally:
        plt.close(figure)


def _fill(axes: Any, names: list[str], sizes: list[int], colours: list[str], *, gate: int) -> None:
    axes.barh(names, sizes, color=colours)
    axes.axvline(gate, color="#444444", linewidth=1, linestyle="--", label=f"gate {gate}")
    axes.set_xlim(0, 1000)
    axes.invert_yaxis()
    axes.set_xlabel("thousandths")
    axes.legend(loc="lower right", frameon=False)
    for place, size in enumerate(sizes):
        axes.text(size + 8, place, str(size), va="center", fontsize=8)


def _parts(view: "ReputationView") -> tuple[list[str], list[int], list[str]]:
    names, sizes = list[str](), list[int]()
    scores = {row.role: row.score for row in view.rows}
    for why in view.explanations:
        parts = {"accuracy": why.accuracy, "availability": why.availability, "efficiency": why.efficiency}
        if why.role == "requester":
            parts = {"accuracy": why.accuracy}
        names += [f"{why.role}: score", *(f"{why.role}: {name}" for name in parts)]
        sizes += [scores[why.role], *(part // 1000 for part in parts.values())]
    return names, sizes, ["#2a7f62" if name.endswith("score") else "#7aa8d6" for name in names]


def _name(row: "ReputationRowView") -> str:
    return f"{row.peer_id[-8:] or row.wallet[:10]} {row.role}"
