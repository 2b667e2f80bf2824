"""Adversaries against our trust rules and four baselines: losses, what attackers win, newcomers; tables and plots.

A simulation of decisions, not of nodes: who bids, who wins, what is checked, what is said of whom. The score is
computed by the production functions. Attackers follow scripts (_attacks.py) and do not adapt.
"""

import argparse
import statistics
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace

from bench.plots import Curve, save_bars, save_curves
from bench.tables import number, print_place, print_table, say
from bench.trust._attacks import ATTACKS, BY_NAME, NO_ATTACK, Attack
from bench.trust._rules import Average, Beta, EigenTrust, NoRule, Ours
from bench.trust._world import Report, Setting, World

RULES: dict[str, Callable[[], NoRule]] = {
    "none": NoRule,
    "average": Average,
    "Beta": Beta,
    "EigenTrust": lambda: EigenTrust(b"honest%04d" % n for n in range(10)),
    "score only": lambda: Ours(has_stake=False),
    "full": lambda: Ours(has_stake=True),
    "score only, fast window": lambda: Ours(has_stake=False, is_fast=True),
    "full, fast window": lambda: Ours(has_stake=True, is_fast=True),
}
COMPARED = ("none", "average", "Beta", "EigenTrust", "score only", "full")
FAST = ("score only", "score only, fast window", "full", "full, fast window")
FAST_ATTACKS = ("clique", "on-off", "stealth", "exit scam", "combination")
TENFOLD = replace(BY_NAME["clique"], name="clique, ten times", fakes=10 * BY_NAME["clique"].fakes)
GENTLE = frozenset({"naive", "clique", "whitewash", "badmouth", "whale", "combination"})
"""Attacks whose share of awards has a target."""
WINDOW = 5
"""Epochs that a curve is smoothed over."""


@dataclass(frozen=True, slots=True)
class Task:
    """One world."""

    rule: str
    attack: Attack
    seed: int
    setting: Setting


Found = dict[tuple[str, str], list[Report]]
"""(attack, rule) -> a report for each seed."""


def run(task: Task) -> Report:
    """Let one world pass."""
    rule = RULES[task.rule]()
    return World(rule, task.attack, task.seed, task.setting).run()


def run_all(options: argparse.Namespace) -> Found:
    """Run every attack under every rule, on all cores that were asked for."""
    pairs = [(attack, rule) for attack in (NO_ATTACK, *ATTACKS) for rule in COMPARED]
    pairs += [(BY_NAME[name], rule) for name in FAST_ATTACKS for rule in FAST if rule not in COMPARED]
    pairs += [(TENFOLD, "score only"), (TENFOLD, "full")]
    setting = Setting(options.identities, options.epochs)
    tasks = [
        Task(rule, attack, seed, setting) for attack, rule in pairs for seed in range(1, options.seeds + 1)
    ]
    found: Found = {}
    with ProcessPoolExecutor(options.processes) as pool:
        for task, report in zip(tasks, pool.map(run, tasks), strict=True):
            found.setdefault((task.attack.name, task.rule), []).append(report)
            say(f"{task.attack.name}, {task.rule}, seed {task.seed}")
    return found


def mean(reports: Sequence[Report], part: Callable[[Report], float]) -> float:
    """Return the mean over all seeds."""
    return statistics.fmean(part(report) for report in reports)


def loss(report: Report) -> float:
    """Per cent of all value that was paid for wrong results that nobody noticed."""
    return 100 * report.lost / report.value if report.value else 0.0


def share(report: Report) -> float:
    """Per cent of all value that went to attackers."""
    return 100 * report.to_attackers / report.value if report.value else 0.0


def net(report: Report) -> float:
    """Attackers' income from wrong results, less fees and slashes, per cent of all value."""
    gained = report.income - report.fees - report.slashed
    return 100 * gained / report.value if report.value else 0.0


def late_loss(report: Report) -> float:
    """Loss in the last quarter."""
    return 100 * report.lost_late / report.value_late if report.value_late else 0.0


def honest_slashed(report: Report) -> float:
    """Per cent of all value that honest workers' stakes lost."""
    return 100 * report.honest_slashed / report.value if report.value else 0.0


def checked(report: Report) -> float:
    """Per cent of jobs whose result was checked."""
    return 100 * report.checked / report.jobs if report.jobs else 0.0


def newcomers(report: Report) -> float:
    """Per cent of the value since they came that went to honest newcomers."""
    whole = report.value_since_newcomers
    return 100 * report.newcomers / whole if whole else 0.0


def gini(report: Report) -> float:
    """Gini of what honest workers earned, 0 to 1."""
    values = sorted(report.earnings)
    whole = sum(values)
    if not whole:
        return 0.0
    ranked = sum((2 * rank - len(values) - 1) * value for rank, value in enumerate(values, 1))
    return ranked / (len(values) * whole)


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
            mean(reports, lambda report, name=name: 100 * getattr(report, name) / max(1e-9, report.value))  # type: ignore[misc]
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
        "honest stake slashed %",
        "jobs without a worker %",
    )
    rows = []
    for attack in (NO_ATTACK, *ATTACKS):
        reports = found[attack.name, "full"]
        unserved = mean(reports, lambda one: 100 * one.unserved / max(1, one.unserved + one.jobs))
        values = (mean(reports, late_loss), mean(reports, checked), mean(reports, honest_slashed), unserved)
        rows.append([attack.name, *(number(value) for value in values)])
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

    def worst(names: Sequence[str], part: Callable[[Report], float]) -> tuple[str, float]:
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
    change = 100 * abs(evidence[1] / evidence[0] - 1) if evidence[0] else 0.0
    rows += [
        ("newcomers' share, of that without a rule", ">= 0.9", ratio, ratio >= 0.9),
        ("Gini of honest earnings, no attack", "<= 0.35", mean(calm, gini), mean(calm, gini) <= 0.35),
        ("jobs checked %, no attack", "<= 25", mean(calm, checked), mean(calm, checked) <= 25),
        ("honest stake slashed %, no attack", "<= 0.5", mean(calm, honest_slashed), mean(calm, honest_slashed) <= 0.5),
        ("change of the evidence share with ten times the fakes, %", "<= 5", change, change <= 5),
    ]  # fmt: skip
    print("Targets, all under the full rules but the last:\n")
    print_table(
        ["quantity", "target", "measured", "met"],
        [[name, target, number(value), "yes" if met else "no"] for name, target, value, met in rows],
    )


def draw(found: Found) -> None:
    """Draw the losses, and how they go over time."""
    groups = {
        attack.name: {rule: mean(found[attack.name, rule], loss) for rule in COMPARED} for attack in ATTACKS
    }
    is_drawn = save_bars(
        "trust-loss", groups, title="Value lost to wrong results, by rule", across="% of all value"
    )
    curves = []
    for name, style in (("naive", "-"), ("on-off", "-"), ("exit scam", "-"), ("combination", "-")):
        for rule, line in (("average", ":"), ("score only", "--"), ("full", style)):
            curve = found[name, rule][0].curve
            smooth = [
                (float(at), 100 * statistics.fmean(curve[max(0, at - WINDOW) : at + 1]))
                for at in range(len(curve))
            ]
            curves.append(Curve(f"{name}, {rule}", smooth, line))
    save_curves(
        "trust-time",
        curves,
        title="Loss over time, first seed",
        across="epoch",
        up="% of value",
        is_log=False,
    )
    if is_drawn:
        print("![loss by rule](plots/trust-loss.png) ![loss over time](plots/trust-time.png)\n")


def main(argv: Sequence[str]) -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(prog="python -m bench trust.adversaries", description=__doc__)
    parser.add_argument("--identities", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args(argv)
    found = run_all(options)
    print(
        f"{options.identities} identities, of which 30 % attack with 10 % of all stake, {options.epochs} days, two "
        f"jobs in five days and identity, mean of {options.seeds} seed(s). Cheats bid a fifth lower. Without own "
        "checks three wrong results in ten are noticed. A drawn verifier is the attackers' with the chance of their "
        "stake.\n"
    )
    print_losses(found)
    print_accounts(found)
    print_full(found)
    print_calm(found)
    print_fast(found)
    print_targets(found, print_evidence(found))
    draw(found)
    print_place()
