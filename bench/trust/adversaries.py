"""Adversaries against our trust rules and four baselines: losses, what attackers win, newcomers; tables and plots.

A simulation of decisions, not of nodes: who bids, who wins, what is checked, what is said of whom. The score is
computed by the production functions. Attackers follow scripts (_attacks.py) and do not adapt.
"""

import argparse
import csv
import io
import statistics
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

from bench.plots import Curve, save_bars, save_curves
from bench.tables import number, print_place, print_table
from bench.trust._attacks import ATTACKS, BY_NAME, NO_ATTACK
from bench.trust._measures import (
    ALL,
    Measure,
    checked,
    gini,
    honest_slashed,
    late_checked,
    late_loss,
    loss,
    mean,
    net,
    newcomers,
    share,
    unserved,
)
from bench.trust._runs import Task, run_all
from bench.trust._world import Report, Setting

COMPARED = ("none", "average", "Beta", "EigenTrust", "score only", "full")
FAST = ("score only", "score only, fast window", "full", "full, fast window")
FAST_ATTACKS = ("clique", "on-off", "stealth", "exit scam", "combination")
TENFOLD = replace(BY_NAME["clique"], name="clique, ten times", fakes=10 * BY_NAME["clique"].fakes)
GENTLE = frozenset({"naive", "clique", "whitewash", "badmouth", "whale", "combination"})
"""Attacks whose share of awards has a target."""
WINDOW = 5
"""Epochs that a curve is smoothed over."""
HERE = Path(__file__).parent
TABLES, FIGURES = "tables.md", "adversaries.csv"
Found = dict[tuple[str, str], list[Report]]
"""(attack, rule) -> a report for each seed."""


def find_all(options: argparse.Namespace) -> Found:
    """Run every attack under every rule."""
    pairs = [(attack, rule) for attack in (NO_ATTACK, *ATTACKS) for rule in COMPARED]
    pairs += [(BY_NAME[name], rule) for name in FAST_ATTACKS for rule in FAST if rule not in COMPARED]
    pairs += [(TENFOLD, "score only"), (TENFOLD, "full")]
    setting = Setting(options.identities, options.epochs)
    tasks = [
        Task(rule, attack, seed, setting) for attack, rule in pairs for seed in range(1, options.seeds + 1)
    ]
    found: Found = {}
    reports = run_all(tasks, processes=options.processes, kept=options.kept)
    for task, report in zip(tasks, reports, strict=True):
        found.setdefault((task.attack.name, task.rule), []).append(report)
    return found


def print_losses(found: Found) -> None:
    """Print loss and attackers' share."""
    print("Value paid for wrong results that nobody noticed, % (value awarded to attackers, %):\n")
    rows = [
        [attack.name, *(f"{number(mean(found[attack.name, rule], loss))} ({mean(found[attack.name, rule], share):.0f})"
                        for rule in COMPARED)]
        for attack in ATTACKS
    ]  # fmt: skip
    print_table(["attack", *COMPARED], rows)


def print_accounts(found: Found) -> None:
    """Print what attackers gained and lost."""
    print(
        "Attackers' account, % of all value: income from wrong results / fees and registrations / slashed = net:\n"
    )

    def cell(reports: Sequence[Report]) -> str:
        parts = [
            statistics.fmean(100 * getattr(report, name) / max(1e-9, report.value) for report in reports)
            for name in ("income", "fees", "slashed")
        ]
        return " / ".join(f"{part:.1f}" for part in parts) + f" = {mean(reports, net):+.1f}"

    print_table(
        ["attack", *COMPARED[1:]],
        [[attack.name, *(cell(found[attack.name, rule]) for rule in COMPARED[1:])] for attack in ATTACKS],
    )


def print_full(found: Found) -> None:
    """Print what the full rules cost and leave."""
    print("Under the full rules:\n")
    columns = (
        "lost in the last quarter %",
        "jobs checked %",
        "in the last quarter %",
        "honest stake slashed %",
        "jobs without a worker %",
    )
    rows = []
    for attack in (NO_ATTACK, *ATTACKS):
        reports = found[attack.name, "full"]
        parts = (late_loss, checked, late_checked, honest_slashed, unserved)
        rows.append([attack.name, *(number(mean(reports, part)) for part in parts)])
    print_table(["attack", *columns], rows)


def print_calm(found: Found) -> None:
    """Print what each rule costs when nobody attacks."""
    print("When nobody attacks:\n")
    base = mean(found[NO_ATTACK.name, "none"], newcomers)
    rows = []
    for rule in COMPARED:
        reports = found[NO_ATTACK.name, rule]
        part = mean(reports, newcomers) / base if base else 0.0
        values = (part, mean(reports, gini), mean(reports, checked), mean(reports, honest_slashed))
        rows.append([rule, *(number(value) for value in values)])
    columns = ("newcomers' share, of that without a rule", "Gini of honest earnings", "jobs checked %",
               "honest stake slashed %")  # fmt: skip
    print_table(["rule", *columns], rows)


def print_fast(found: Found) -> None:
    """Print what a second, faster window changes."""
    print("A second window with a half-life of 5 epochs, loss %:\n")
    rows = [[name, *(number(mean(found[name, rule], loss)) for rule in FAST)] for name in FAST_ATTACKS]
    print_table(["attack", *FAST], rows)


def print_evidence(found: Found) -> tuple[float, float]:
    """Print what ten times the fake receipts change; return the attackers' part of evidence before and after."""
    parts = [
        statistics.fmean(report.evidence or 0.0 for report in found[name, "score only"])
        for name in ("clique", TENFOLD.name)
    ]
    losses = [number(mean(found[name, "full"], loss)) for name in ("clique", TENFOLD.name)]
    print(
        f"Attackers' part of all counted evidence in the end, score only: {100 * parts[0]:.1f} % with the clique's "
        f"fake receipts, {100 * parts[1]:.1f} % with ten times as many. Loss under the full rules: "
        f"{losses[0]} and {losses[1]} %.\n"
    )
    return parts[0], parts[1]


def print_targets(found: Found, evidence: tuple[float, float]) -> None:
    """Print the targets beside what came out; nothing is tuned to them."""
    full = {attack.name: found[attack.name, "full"] for attack in ATTACKS}
    others = [name for name in full if name != "exit scam"]
    cheating = [attack.name for attack in ATTACKS if attack.cheats]
    base = mean(found[NO_ATTACK.name, "none"], newcomers)

    def worst(names: Sequence[str], part: Measure) -> tuple[str, float]:
        name = max(names, key=lambda name: mean(full[name], part))
        return name, mean(full[name], part)

    calm = found[NO_ATTACK.name, "full"]
    tail = [attack for attack in others if not BY_NAME[attack].is_eclipsing]
    rows: list[tuple[str, str, float, bool]] = []
    for text, names, part, most in (
        ("loss %, worst attack but the exit scam", others, loss, 1.0),
        ("loss %, exit scam", ["exit scam"], loss, 3.0),
        ("attackers' share %, worst of six", sorted(GENTLE), share, 2.5),
        ("loss in the last quarter %, worst but exit", tail, late_loss, 0.6),
        ("attackers' net %, worst cheating attack", cheating, net, 0.0),
    ):
        name, value = worst(names, part)
        rows.append((f"{text}: {name}", f"<= {most:g}", value, value <= most))
    ratio = mean(calm, newcomers) / base if base else 0.0
    steady = mean(calm, late_checked)
    change = 100 * abs(evidence[1] / evidence[0] - 1) if evidence[0] else 0.0
    rows += [
        ("newcomers' share, of that without a rule", ">= 0.9", ratio, ratio >= 0.9),
        ("Gini of honest earnings, no attack", "<= 0.35", mean(calm, gini), mean(calm, gini) <= 0.35),
        ("jobs checked % in the last quarter, no attack", "<= 25", steady, steady <= 25),
        ("honest stake slashed %, no attack", "<= 0.5", mean(calm, honest_slashed), mean(calm, honest_slashed) <= 0.5),
        ("change of the evidence share with ten times the fakes, %", "<= 5", change, change <= 5),
    ]  # fmt: skip
    print("Targets, all under the full rules but the last:\n")
    print_table(
        ["quantity", "target", "measured", "met"],
        [[name, target, number(value), "yes" if met else "no"] for name, target, value, met in rows],
    )


def draw(found: Found, folder: Path) -> None:
    """Draw the losses, and how they go over time."""
    groups = {
        attack.name: {rule: mean(found[attack.name, rule], loss) for rule in COMPARED} for attack in ATTACKS
    }
    title = "Value lost to wrong results, by rule"
    is_drawn = save_bars("loss", groups, title=title, across="% of all value", folder=folder)
    curves = []
    for name, style in (("naive", "-"), ("on-off", "-"), ("exit scam", "-"), ("combination", "-")):
        for rule, line in (("average", ":"), ("score only", "--"), ("full", style)):
            curve = found[name, rule][0].curve
            smooth = [
                (float(at), 100 * statistics.fmean(curve[max(0, at - WINDOW) : at + 1]))
                for at in range(len(curve))
            ]
            curves.append(Curve(f"{name}, {rule}", smooth, line))
    title = "Loss over time, first seed"
    save_curves("time", curves, title=title, across="epoch", up="% of value", is_log=False, folder=folder)
    accounts = {
        attack.name: {rule: mean(found[attack.name, rule], net) for rule in COMPARED} for attack in ATTACKS
    }
    title = "What attackers gain, less fees and slashes"
    save_bars("net", accounts, title=title, across="% of all value", folder=folder)
    if is_drawn:
        print(
            "Plots: [loss by rule](trust/loss.png), [loss over time](trust/time.png), "
            "[attackers' net](trust/net.png).\n"
        )


def write_figures(found: Found, path: Path) -> None:
    """Write every measure of every world as CSV."""
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["attack", "rule", "seed", *ALL])
        for (attack, rule), reports in found.items():
            for seed, report in enumerate(reports, 1):
                rows.writerow([attack, rule, seed, *(f"{part(report):.6f}" for part in ALL.values())])


def print_all(found: Found, options: argparse.Namespace) -> None:
    """Print every table."""
    print(
        f"{options.identities} identities, of which 30 % attack with 10 % of all stake, {options.epochs} days, two "
        f"jobs in five days and identity, mean of {options.seeds} worlds each. Cheats bid a fifth lower. Without own "
        "checks three wrong results in ten are noticed. A drawn verifier is the attackers' with the chance of their "
        "stake. Which targets are missed, and why: [trust/README.md](trust/README.md).\n"
    )
    print_losses(found)
    print_accounts(found)
    print_full(found)
    print_calm(found)
    print_fast(found)
    print_targets(found, print_evidence(found))
    draw(found, options.folder)
    print_place()


def main(argv: Sequence[str]) -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(prog="python -m bench trust.adversaries", description=__doc__)
    parser.add_argument("--identities", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=HERE, help="where tables, CSV and plots go")
    parser.add_argument("--kept", type=Path, help="reports of a run that was broken off, and of this one")
    options = parser.parse_args(argv)
    found = find_all(options)
    options.folder.mkdir(parents=True, exist_ok=True)
    write_figures(found, options.folder / FIGURES)
    told = io.StringIO()
    with redirect_stdout(told):
        print_all(found, options)
    print(told.getvalue(), end="")
    beside = told.getvalue().replace("(trust/", "(")
    text = (
        f"# Adversaries against the trust rules\n\n`python -m bench trust.adversaries`\n\n{beside.strip()}\n"
    )
    (options.folder / TABLES).write_text(text, encoding="utf-8")
