"""`demo`: one thing to watch."""

import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skyops_p2p.cli.campaigns import end_in_order
from skyops_p2p.cli.invocation import Invocation, json_option
from skyops_p2p.cli.output import Column, ProgressLine, paint, print_fields, print_json, print_table
from skyops_p2p.errors import ConfigError, TestnetError

if TYPE_CHECKING:
    from skyops_p2p.testnet.demo_stage import Demo, Outcome

_TIMES_A_LINE = 4


@click.command()
@click.option(
    "--nodes",
    "count",
    default=8,
    type=click.IntRange(2, 63),
    help="How many workers; at least 5 where one lies.",
)
@click.option("--scenario", "name", default="worker-crash", show_default=True, help="What goes wrong.")
@click.option("--list", "is_list", is_flag=True, help="Tell what scenarios there are, and end.")
@click.option(
    "--into",
    type=click.Path(path_type=Path, file_okay=False),
    help="A new directory that the model and its loss curve are put into.",
)
@click.option("--keep", is_flag=True, help="Leave the network running at the end.")
@json_option
@click.pass_obj
def demo(
    invocation: Invocation,
    *,
    count: int,
    name: str,
    is_list: bool,
    into: Path | None,
    keep: bool,
    as_json: bool,
) -> int:
    """Watch a network come up on this machine, train on it, lose the worker and go on. Takes two minutes or three.

    Everything is real: processes, sockets, signatures, sandboxes, money on a chain of its own, a training on
    handwritten digits that is killed half-way and resumed by another worker, whose wrong result is found out by two
    more. Nothing is left behind unless --keep or --into is given. --scenario has other things go wrong.
    """
    from skyops_p2p.testnet.demo import SCENARIOS, run_stages
    from skyops_p2p.testnet.demo_stage import Demo
    from skyops_p2p.testnet.places import place_of

    if is_list:
        _list(as_json=as_json, is_color=invocation.is_color)
        return 0
    if name not in SCENARIOS:
        hint = f"There are: {', '.join(SCENARIOS)}."
        raise ConfigError(f"there is no scenario {name!r}", code="scenario_unknown", hint=hint)
    end_in_order()
    network = f"demo-{secrets.token_hex(2)}"
    started = time.monotonic()
    outcomes = []
    with ProgressLine(is_shown=not as_json) as progress:
        target = into.absolute() if into is not None else None
        chosen = SCENARIOS[name]
        state = Demo(
            place_of(network, None),
            network,
            count,
            progress.show,
            target,
            confirmations=chosen.confirmations,
            cast=chosen.cast,
        )
        for position, outcome in enumerate(run_stages(state, keep=keep, stages=chosen.stages), start=1):
            outcomes.append(outcome)
            if not as_json:
                progress.clear()
                _tell(position, outcome, is_color=invocation.is_color)
    took_s = time.monotonic() - started
    failed = [outcome for outcome in outcomes if not outcome.is_done]
    if as_json:
        print_json(_record(name, state, outcomes, took_s=took_s))
        return TestnetError.exit_code if failed else 0
    _summarise(name, state, outcomes, took_s=took_s)
    if keep and state.testnet is not None:
        _tell_kept(network, state)
    if failed:
        raise TestnetError(
            f"the demonstration failed at {failed[0].name!r}: {failed[0].told}", code="demo_failed"
        )
    return 0


def _list(*, as_json: bool, is_color: bool) -> None:
    from skyops_p2p.testnet.demo import SCENARIOS

    if as_json:
        rows = [
            {"name": name, "title": one.title, "stages": [stage.name for stage in one.stages]}
            for name, one in SCENARIOS.items()
        ]
        print_json({"scenarios": rows})
        return
    columns = [Column("SCENARIO"), Column("WHAT HAPPENS", is_wrapped=True)]
    print_table(columns, [(name, one.title) for name, one in SCENARIOS.items()], is_color=is_color)


def _tell(number: int, outcome: "Outcome", *, is_color: bool) -> None:
    mark = (
        paint("ok", "green", is_color=is_color)
        if outcome.is_done
        else paint("FAILED", "red", is_color=is_color)
    )
    click.echo(f"{number:2}. {outcome.title.ljust(44)} {outcome.took_s:6.1f} s  {mark}")
    for line in outcome.told.splitlines():
        click.echo(f"     {line}")


def _summarise(name: str, state: "Demo", outcomes: Sequence["Outcome"], *, took_s: float) -> None:
    """Print all that has happened on one screen."""
    from skyops_p2p.core.settlement.amounts import SKYOPS, format_amount

    click.echo()
    times = [f"{one.name:<9} {one.took_s:6.1f} s" for one in outcomes]
    for first in range(0, len(times), _TIMES_A_LINE):
        click.echo("   ".join(times[first : first + _TIMES_A_LINE]).rstrip())
    figures, fields = state.figures, []
    if "accuracy" in figures:
        fields.append(("accuracy", f"{figures['accuracy']:.1%}"))
    if "paid_wei" in figures:
        fields.append(("paid", format_amount(int(str(figures["paid_wei"])), SKYOPS)))
    aside: Any = figures.get("set_aside_wei")
    if aside:
        texts = [format_amount(int(aside[when]), SKYOPS) for when in ("before", "after")]
        fields.append(("deposit", " -> ".join(texts)))
    if state.into is not None and "result" in figures:
        fields.append(("result", f"{figures['result']} (loss.svg is its curve)"))
    print_fields(fields)
    if all(outcome.is_done for outcome in outcomes):
        click.echo(f"All of it happened ({name}), in {took_s:.1f} s.")


def _tell_kept(network: str, state: "Demo") -> None:
    click.echo(f"The network is still up: skyops testnet status --name {network}")
    click.echo(f"Join it:                 skyops run --join {network}")
    if state.requester is not None:
        click.echo(f"Its requester:           skyops --data-dir {state.requester.data_dir} ps")
    click.echo(f"End it with:             skyops testnet down --name {network}")


def _record(name: str, state: "Demo", outcomes: Sequence["Outcome"], *, took_s: float) -> dict[str, Any]:
    stages = [
        {
            "name": item.name,
            "title": item.title,
            "is_done": item.is_done,
            "took_s": round(item.took_s, 3),
            "told": item.told,
            "code": item.error.code if item.error is not None else "",
        }
        for item in outcomes
    ]
    return {
        "is_done": all(item.is_done for item in outcomes),
        "scenario": name,
        "took_s": round(took_s, 3),
        "nodes": state.node_count,
        "network": state.name,
        "job_id": state.job.job_id if state.job is not None else "",
        "figures": state.figures,
        "stages": stages,
    }
