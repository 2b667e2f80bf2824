"""Plots beside the tables, where matplotlib is installed (`pip install -e '.[bench]'`)."""

from collections.abc import Mapping, Sequence
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


def save_curves(
    name: str,
    curves: Sequence[Curve],
    *,
    title: str,
    across: str,
    up: str,
    is_log: bool = True,
    folder: Path = FOLDER,
) -> bool:
    """Draw curves on two logarithmic or linear axes into FOLDER/NAME.png; return whether matplotlib is there."""
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
    axes.set(title=title, xlabel=across, ylabel=up)
    if is_log:
        axes.set(xscale="log", yscale="log")
        marks = sorted({x for curve in curves for x, _ in curve.points})
        axes.set_xticks(marks, [f"{mark:g}" for mark in marks], minor=False)
        axes.set_xticks([], minor=True)
        axes.yaxis.set_major_formatter(LogFormatter())
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend()
    folder.mkdir(exist_ok=True)
    figure.savefig(folder / f"{name}.png", dpi=110)
    return True


def save_bars(
    name: str, groups: Mapping[str, Mapping[str, float]], *, title: str, across: str, folder: Path = FOLDER
) -> bool:
    """Draw groups of horizontal bars into bench/plots/NAME.png; return whether matplotlib is there to do it.

    Args:
        name: Of the file.
        groups: Group -> bar -> value; the same bars in each.
        title: Above.
        across: What the values are.
        folder: Where the picture goes.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        say("no plot: matplotlib is not installed")
        return False
    bars = list(next(iter(groups.values())))
    figure = Figure(figsize=(9.0, 0.6 + 0.13 * len(groups) * (len(bars) + 1)), layout="constrained")
    axes = figure.subplots()
    height = 1 / (len(bars) + 1)
    for number, bar in enumerate(bars):
        places = [group + number * height for group in range(len(groups))]
        axes.barh(places, [values[bar] for values in groups.values()], height, label=bar)
    axes.set_yticks([group + height * (len(bars) - 1) / 2 for group in range(len(groups))], list(groups))
    axes.set(title=title, xlabel=across)
    axes.invert_yaxis()
    axes.grid(visible=True, axis="x", alpha=0.3)
    axes.legend(loc="lower right")
    folder.mkdir(exist_ok=True)
    figure.savefig(folder / f"{name}.png", dpi=100, metadata={"Software": None})
    return True
