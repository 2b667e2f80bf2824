"""Match quality in simulation: GPU use, jobs turned away, fairness and price under each award policy, table and plot.

The same jobs come to the same workers under every rule; see simulation/fleet.py. Screening, the order of candidates,
capacity, prices and awards are the production functions. A job that finds no free worker is turned away at once.
"""

import argparse
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

from bench.tables import number, print_place, print_table, say
from skyops_p2p.simulation.fleet import LARGE_GIB
from skyops_p2p.simulation.job_stream import RULES, JobStream, Rule, StreamReport

LOAD, LOW_LOAD = 0.85, 0.3
SHOWN = ("GPU use %", f"> {LARGE_GIB} GiB blocked %", "Gini of jobs", "price / index of least class")
BASELINES = frozenset({"price only", "random"})
PLOT = Path(__file__).parent / "quality.png"
FLAT_RULES = ("composite", "composite without tier", "wrr", "wrr without tier", "price only", "random")
"""Where prices tell nothing of a GPU's class."""


def reports(rule: Rule, options: argparse.Namespace, *, load: float, is_flat: bool) -> list[StreamReport]:
    """Run one rule over all seeds."""
    started = time.process_time()
    runs = [
        JobStream(seed, rule, workers=options.workers, load=load, is_flat=is_flat).run(
            options.jobs, warm_up=options.warm_up
        )
        for seed in range(1, options.seeds + 1)
    ]
    say(
        f"{rule.name}, load {load:g}{', flat prices' if is_flat else ''}: {time.process_time() - started:.0f} CPU s"
    )
    return runs


def blocked(runs: Sequence[StreamReport], *, is_large: bool) -> float:
    """Return the percentage of jobs that were turned away, over all runs."""
    offered = sum(run.offered[is_large] for run in runs)
    return 100 * sum(run.blocked[is_large] for run in runs) / max(1, offered)


def figures(runs: Sequence[StreamReport]) -> dict[str, float]:
    """Return the mean over the runs of each column."""
    mean = statistics.fmean
    return {
        "GPU use %": 100 * mean(run.utilisation for run in runs),
        f"> {LARGE_GIB} GiB blocked %": blocked(runs, is_large=True),
        "others blocked %": blocked(runs, is_large=False),
        "Gini of jobs": mean(run.gini() for run in runs),
        "Gini by strength": mean(run.gini(per_strength=True) for run in runs),
        "top 10 % get %": 100 * mean(run.top_share() for run in runs),
        "price / index of its class": mean(mean(run.price_to_class) for run in runs),
        "price / index of least class": mean(mean(run.price_to_need) for run in runs),
        "bids a job": mean(run.bids / (sum(run.offered.values())) for run in runs),
    }


def table(rules: Sequence[Rule], options: argparse.Namespace, **world: object) -> dict[str, dict[str, float]]:
    """Run some rules, print their table and return its figures by rule."""
    found = {rule.name: figures(reports(rule, options, **world)) for rule in rules}  # type: ignore[arg-type]
    columns = list(next(iter(found.values())))
    print_table(
        ["rule", *columns],
        [[name, *(number(row[column]) for column in columns)] for name, row in found.items()],
    )
    return found


def plot(found: dict[float, dict[str, dict[str, float]]], path: Path) -> bool:
    """Draw the figures, a row of bars for each load; False, and a word why, if there is nothing to draw with."""
    try:
        import matplotlib as mpl
    except ImportError:
        say("no plot: matplotlib is missing, `pip install matplotlib` brings it")
        return False
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(len(found), len(SHOWN), figsize=(16, 4 * len(found)), layout="constrained")
    for row, (load, rules) in zip(axes, found.items(), strict=True):
        colours = ["#3b6ea5" if BASELINES.isdisjoint({name}) else "#b0b0b0" for name in rules]
        for axis, column in zip(row, SHOWN, strict=True):
            values = [figures_of[column] for figures_of in rules.values()]
            bars = axis.barh(list(rules), values, color=colours)
            axis.bar_label(bars, labels=[number(value) for value in values], padding=2, fontsize=8)
            axis.set_title(f"{column}\nload {load:g}", fontsize=10)
            axis.invert_yaxis()
            axis.margins(x=0.15)
            axis.tick_params(labelsize=8)
    figure.suptitle("Match quality: award policies (blue) and baselines (grey)")
    figure.savefig(path, dpi=100, metadata={"Software": None})
    return True


def main(argv: Sequence[str]) -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(prog="python -m bench auction.quality", description=__doc__)
    parser.add_argument("--workers", type=int, default=80)
    parser.add_argument("--jobs", type=int, default=1200, help="that are counted, of each rule and seed")
    parser.add_argument("--warm-up", type=int, default=400, help="jobs before them")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--plot", type=Path, default=PLOT)
    options = parser.parse_args(argv)
    print(
        f"{options.workers} workers, {options.jobs} jobs after {options.warm_up}, mean of {options.seeds} seeds. "
        f"Load {LOAD:g}, prices by class and load, as nodes ask by themselves:\n"
    )
    busy = table(RULES, options, load=LOAD, is_flat=False)
    print(f"Load {LOAD:g}, every GPU about the same price an hour:\n")
    table([rule for rule in RULES if rule.name in FLAT_RULES], options, load=LOAD, is_flat=True)
    print(f"Load {LOW_LOAD:g}, where the rule and not the rush decides who works:\n")
    calm = table(RULES, options, load=LOW_LOAD, is_flat=False)
    if plot({LOAD: busy, LOW_LOAD: calm}, options.plot):
        print("![match quality](auction/quality.png)\n")
    print_place()
