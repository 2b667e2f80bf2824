"""What the full trust rules do in other worlds: prices that change with each tender, and five times as many jobs.

The world of `trust.adversaries` has workers that are cheap for ever, and few jobs. Here the same attacks come in four
worlds, so that it shows which of its figures come from the rules and which from the world.
"""

import argparse
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.tables import number, print_place, print_table
from bench.trust._attacks import BY_NAME, NO_ATTACK
from bench.trust._measures import checked, gini, late_checked, late_loss, loss, mean, net, newcomers, share
from bench.trust._runs import Task, run_all
from bench.trust._world import Report, Setting

ATTACKS = tuple(BY_NAME[name] for name in ("clique", "on-off", "stealth", "exit scam", "combination"))
"""Those that come nearest to what a target allows, or beyond it."""
WORLDS: dict[str, tuple[float, bool]] = {
    "fixed prices": (1.0, True),
    "prices anew": (1.0, False),
    "fixed prices, 5 x jobs": (5.0, True),
    "prices anew, 5 x jobs": (5.0, False),
}
"""{name: (busyness, whether prices are fixed)}"""
Found = dict[tuple[str, str, str], list[Report]]
"""(world, attack, rule) -> a report for each seed."""


def find_all(options: argparse.Namespace) -> Found:
    """Run every attack in every world."""
    names, tasks = [], []
    pairs = [(NO_ATTACK, "none"), (NO_ATTACK, "full"), *((attack, "full") for attack in ATTACKS)]
    for world, (busyness, is_fixed) in WORLDS.items():
        setting = Setting(options.identities, options.epochs, busyness, is_fixed)
        for attack, rule in pairs:
            for seed in range(1, options.seeds + 1):
                names.append((world, attack.name, rule))
                tasks.append(Task(rule, attack, seed, setting))
    found: Found = {}
    reports = run_all(tasks, processes=options.processes, kept=options.kept)
    for name, report in zip(names, reports, strict=True):
        found.setdefault(name, []).append(report)
    return found


def print_attacks(found: Found) -> None:
    """Print loss, share and account of the attackers in each world."""
    rows = []
    for attack in ATTACKS:
        cells = []
        for world in WORLDS:
            reports = found[world, attack.name, "full"]
            figures = (
                mean(reports, loss),
                mean(reports, share),
                mean(reports, late_loss),
                mean(reports, net),
            )
            cells.append(" / ".join(number(figure) for figure in figures))
        rows.append([attack.name, *cells])
    print("Full rules: loss % / attackers' share % / loss in the last quarter % / attackers' net %:\n")
    print_table(["attack", *WORLDS], rows)


def print_calm(found: Found) -> None:
    """Print what the rules cost when nobody attacks."""
    parts: tuple[tuple[str, Callable[[str], float]], ...] = (
        ("newcomers' share, of that without a rule", lambda world: _newcomers(found, world)),
        ("Gini of honest earnings, no rule", lambda world: mean(found[world, NO_ATTACK.name, "none"], gini)),
        ("Gini of honest earnings", lambda world: mean(found[world, NO_ATTACK.name, "full"], gini)),
        ("jobs checked %", lambda world: mean(found[world, NO_ATTACK.name, "full"], checked)),
        ("in the last quarter %", lambda world: mean(found[world, NO_ATTACK.name, "full"], late_checked)),
        ("jobs for each honest worker", lambda world: _jobs(found, world)),
    )
    print("Nobody attacks:\n")
    print_table(["", *WORLDS], [[text, *(number(part(world)) for world in WORLDS)] for text, part in parts])


def _newcomers(found: Found, world: str) -> float:
    base = mean(found[world, NO_ATTACK.name, "none"], newcomers)
    return mean(found[world, NO_ATTACK.name, "full"], newcomers) / base if base else 0.0


def _jobs(found: Found, world: str) -> float:
    reports = found[world, NO_ATTACK.name, "full"]
    return statistics.fmean(one.jobs / max(1, len(one.earnings)) for one in reports)


def main(argv: Sequence[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench trust.settings", description=__doc__)
    parser.add_argument("--identities", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--kept", type=Path, help="reports of a run that was broken off, and of this one")
    found = find_all(parser.parse_args(argv))
    print_attacks(found)
    print_calm(found)
    print_place()
