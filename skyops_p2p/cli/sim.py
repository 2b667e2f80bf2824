"""`sim`: whole networks in this process, under a virtual clock, from one seed."""

import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from skyops_p2p.cli.invocation import json_option
from skyops_p2p.cli.output import ProgressLine, print_json
from skyops_p2p.cli.waiting import waiting

if TYPE_CHECKING:
    from skyops_p2p.simulation.core_world import CoreOutcome
    from skyops_p2p.simulation.scenarios import Report
    from skyops_p2p.simulation.world import Outcome

PROGRESS_EVERY = 50
"""Seeds between two progress lines."""
SCENARIO_NAMES = ("join", "crash", "partition", "chaos")


@click.group()
def sim() -> None:
    """Simulate networks with faults: no sockets, no waiting, and the same seed gives the same run."""


@sim.command("core")
@click.option(
    "--seeds", "count", default=100, type=click.IntRange(1, 1_000_000), help="How many seeds to run."
)
@click.option("--seed", "first", default=0, type=click.IntRange(0), help="The first seed.")
@click.option("--nodes", default=6, type=click.IntRange(2, 64), help="Nodes in each world.")
@json_option
def core(*, count: int, first: int, nodes: int, as_json: bool) -> int:
    """Run the nodes' decisions alone, through crashes, cuts and wrong clocks; milliseconds a seed.

    A failure prints its seed, the commit and the command that replays it.
    """
    from skyops_p2p.simulation.core_world import run_core_seed
    from skyops_p2p.simulation.memo import shared_checks
    from skyops_p2p.simulation.report import BrokenPromiseError

    outcomes: list[CoreOutcome] = []
    failures: list[BrokenPromiseError] = []
    started = time.monotonic()
    with ProgressLine(is_shown=not as_json) as progress, shared_checks():
        for seed in range(first, first + count):
            if (seed - first) % PROGRESS_EVERY == 0:
                progress.show(f"seed {seed}, {len(failures)} failed")
            try:
                outcomes.append(run_core_seed(seed, nodes=nodes))
            except BrokenPromiseError as failure:
                failures.append(failure)
    _tell_core(outcomes, failures, time.monotonic() - started, as_json=as_json)
    return 1 if failures else 0


@sim.command("world")
@click.option("--nodes", default=20, type=click.IntRange(2, 10_000), help="How many nodes.")
@click.option("--seed", default=0, type=click.IntRange(0), help="Decides everything.")
@click.option("--scenario", default="crash", type=click.Choice(SCENARIO_NAMES), help="What happens.")
@click.option("--beat", default=30.0, type=click.FloatRange(0.2, 3600.0), help="Seconds between heartbeats.")
@json_option
def world(*, nodes: int, seed: int, scenario: str, beat: float, as_json: bool) -> int:
    """Run real nodes on simulated links, disks and clocks.

    \b
    join       all start; every map shows them all
    crash      one dies: SUSPECT, INACTIVE; it restarts: ACTIVE
    partition  the network splits and heals
    chaos      two minutes of everything, then calm
    """
    from skyops_p2p.simulation.member import MemberOptions
    from skyops_p2p.simulation.report import BrokenPromiseError
    from skyops_p2p.simulation.scenarios import SCENARIOS
    from skyops_p2p.simulation.world import WorldOptions, simulate

    logging.getLogger("skyops_p2p").setLevel(logging.ERROR)  # crashes and full disks are what is asked for
    options = WorldOptions(
        members=MemberOptions(beat_s=beat),
        tick_s=0.001 if nodes <= 100 else 0.01,
        replay=f"skyops sim world --scenario {scenario} --nodes {nodes} --seed {seed} --beat {beat:g}",
    )
    started = time.monotonic()
    try:
        with waiting(f"simulating {nodes} nodes"):
            outcome = simulate(SCENARIOS[scenario], seed=seed, nodes=nodes, options=options)
    except BrokenPromiseError as failure:
        _tell_failure(failure, as_json=as_json)
        return 1
    _tell_world(outcome, nodes, time.monotonic() - started, as_json=as_json)
    return 0


def _tell_core(
    outcomes: "list[CoreOutcome]", failures: "Sequence[AssertionError]", took_s: float, *, as_json: bool
) -> None:
    slowest_s = max((outcome.converged_after_s for outcome in outcomes), default=0.0)
    faults = (
        {name: sum(outcome.faults[name] for outcome in outcomes) for name in outcomes[0].faults}
        if outcomes
        else {}
    )
    if as_json:
        texts = [str(failure) for failure in failures]
        print_json(
            {
                "seeds": len(outcomes) + len(failures),
                "failures": texts,
                "took_s": round(took_s, 3),
                "slowest_converged_after_s": slowest_s,
                "faults": faults,
                "traces": {str(outcome.seed): outcome.trace for outcome in outcomes},
            }
        )
        return
    for failure in failures:
        click.echo(f"{failure}\n", err=True)
    click.echo(
        f"{len(outcomes)} of {len(outcomes) + len(failures)} seeds kept every promise, in {took_s:.1f} s."
    )
    if not outcomes:
        return
    click.echo(f"After the faults stopped, the slowest took {slowest_s:.0f} virtual seconds to converge.")
    click.echo("Faults: " + ", ".join(f"{count} {name}" for name, count in faults.items() if count))


def _tell_failure(failure: AssertionError, *, as_json: bool) -> None:
    if as_json:
        print_json({"is_kept": False, "failure": str(failure)})
    else:
        click.echo(str(failure), err=True)


def _tell_world(outcome: "Outcome[Report]", nodes: int, took_s: float, *, as_json: bool) -> None:
    if as_json:
        report = {
            "is_kept": True,
            "seed": outcome.seed,
            "nodes": nodes,
            "trace": outcome.trace,
            "trace_entries": outcome.trace_entries,
            "virtual_s": round(outcome.virtual_s, 3),
            "took_s": round(took_s, 3),
        }
        print_json({**report, "report": outcome.result})
        return
    for name, value in outcome.result.items():
        click.echo(f"{name:<20} {value:10.1f}" if name.endswith("_s") else f"{name:<20} {value:10.0f}")
    click.echo(f"{nodes} nodes lived {outcome.virtual_s:.0f} virtual seconds in {took_s:.1f} s.")
    click.echo(f"Seed {outcome.seed}, trace {outcome.trace} ({outcome.trace_entries} entries).")
