"""`demo`: one thing to watch."""

import secrets
import signal
import time
from typing import TYPE_CHECKING

import click

from skyops_p2p.cli.invocation import Invocation, json_option
from skyops_p2p.cli.output import ProgressLine, paint, print_json
from skyops_p2p.errors import TestnetError

if TYPE_CHECKING:
    from skyops_p2p.testnet.demo_stage import Outcome


@click.command()
@click.option("--nodes", "count", default=8, type=click.IntRange(2, 64), help="How many nodes.")
@click.option("--keep", is_flag=True, help="Leave the network running at the end.")
@json_option
@click.pass_obj
def demo(invocation: Invocation, *, count: int, keep: bool, as_json: bool) -> int:
    """Watch a network come up on this machine, train on it, lose the worker and go on. Takes about a minute.

    Everything is real: processes, sockets, signatures, sandboxes, a training on handwritten digits that is killed
    half-way and resumed by another worker. Nothing is left behind unless --keep is given.
    """
    from skyops_p2p.testnet.demo import run_stages
    from skyops_p2p.testnet.demo_stage import Demo
    from skyops_p2p.testnet.places import place_of

    for number in (signal.SIGTERM, signal.SIGHUP):  # as Ctrl-C: the network is taken down
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            signal.signal(number, signal.default_int_handler)
    name = f"demo-{secrets.token_hex(2)}"
    started = time.monotonic()
    outcomes = []
    with ProgressLine(is_shown=not as_json) as progress:
        state = Demo(place_of(name, None), name, count, progress.show, progress.show_figures)
        for position, outcome in enumerate(run_stages(state, keep=keep), start=1):
            outcomes.append(outcome)
            if not as_json:
                progress.clear()
                _tell(position, outcome, is_color=invocation.is_color)
    took_s = time.monotonic() - started
    failed = [outcome for outcome in outcomes if not outcome.is_done]
    if as_json:
        stages = [
            {"name": item.name, "is_done": item.is_done, "took_s": round(item.took_s, 3), "told": item.told}
            for item in outcomes
        ]
        print_json({"is_done": not failed, "took_s": round(took_s, 3), "nodes": count, "stages": stages})
    else:
        click.echo()
        if not failed:
            click.echo(f"All of it happened, in {took_s:.1f} s.")
        if keep and state.testnet is not None:
            click.echo(f"The network is still up: skyops testnet status --name {name}")
            click.echo(f"End it with:            skyops testnet down --name {name}")
    if failed and not as_json:
        raise TestnetError(
            f"the demonstration failed at {failed[0].name!r}: {failed[0].told}", code="demo_failed"
        )
    return TestnetError.exit_code if failed else 0


def _tell(number: int, outcome: "Outcome", *, is_color: bool) -> None:
    mark = (
        paint("ok", "green", is_color=is_color)
        if outcome.is_done
        else paint("FAILED", "red", is_color=is_color)
    )
    click.echo(f"{number}. {outcome.title.ljust(44)} {outcome.took_s:6.1f} s  {mark}")
    for line in outcome.told.splitlines():
        click.echo(f"     {line}")
