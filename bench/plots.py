"""Plots beside the tables, where matplotlib is installed (`pip install -e '.[bench]'`)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.tables import say

FOLDER = Path(__file__).parent / "plots"


@dataclass(frozen=True, slots=True)
class Curve:
    """One line of a plot."""

    label: str
    points: Sequence[tuple[float, float]]
    style: str = "o-"
    """Of matplotlib."""


def save_curves(name: str, curves: Sequence[Curve], *, title: str, across: str, up: str) -> bool:
    """Draw curves on two logarithmic axes into bench/plots/NAME.png; return whether matplotlib is there to do it."""
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import LogFormatter
    except ImportError:
        say("no plot: matplotlib is not installed")
        return False
    figure = Figure(figsize=(7.0, 4.2), layout="constrained")
    axes = figure.subplots()
    for curve in curves:
        axes.plot(*zip(*curve.points, strict=True), curve.style, label=curve.label)
    axes.set(xscale="log", yscale="log", title=title, xlabel=across, ylabel=up)
    marks = sorted({x for curve in curves for x, _ in curve.points})
    axes.set_xticks(marks, [f"{mark:g}" for mark in marks], minor=False)
    axes.set_xticks([], minor=True)
    axes.yaxis.set_major_formatter(LogFormatter())
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend()
    FOLDER.mkdir(exist_ok=True)
    figure.savefig(FOLDER / f"{name}.png", dpi=110)
    return True
