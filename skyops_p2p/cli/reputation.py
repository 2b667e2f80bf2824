"""`reputation`: what this node thinks of whom, why, and what would change it."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from skyops_p2p.cli.invocation import Invocation, data_dir_option, json_option
from skyops_p2p.cli.output import print_json
from skyops_p2p.cli.waiting import waiting

if TYPE_CHECKING:
    from skyops_p2p.node.reputation.views import ReputationView


@click.command()
@click.argument("who", required=False, default="")
@click.option(
    "--explain", is_flag=True, help="Show the parts, the raters, the receipts, and what would change it."
)
@click.option(
    "--plot",
    "target",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Draw the scores, or one account's parts, into a PNG file (needs matplotlib).",
)
@data_dir_option
@json_option
@click.pass_obj
def reputation(invocation: Invocation, who: str, target: Path | None, *, explain: bool, as_json: bool) -> int:
    """Show how far workers and requesters can be relied on, as the running node computes it from receipts.

    WHO is a peer of the map or a wallet; without it everybody that the node knows is listed. Every node with the same
    receipts comes to the same scores.

    Example: skyops reputation 12D3KooW… --explain
    """
    from skyops_p2p.cli.reputation_text import print_account, print_table_of

    if target is not None:
        _check_plots()
    with waiting("asking the node", is_color=invocation.is_color):
        view = invocation.client().payments.reputation(who or ("self" if explain else ""))
    if target is not None:
        _plot(view, target)
        click.echo(f"Wrote {target}.", err=as_json)
    if as_json:
        print_json(view)
    elif view.explanations and (explain or who):
        print_account(view, is_full=explain, is_color=invocation.is_color)
    else:
        print_table_of(view, is_color=invocation.is_color)
    return 0


def _check_plots() -> None:
    """Say that matplotlib is missing before anything is asked.

    Raises:
        ConfigError: `plots_unavailable`.
    """
    import importlib.util

    from skyops_p2p.errors import ConfigError

    if importlib.util.find_spec("matplotlib") is None:
        raise ConfigError(
            "plots need matplotlib, which is not installed",
            code="plots_unavailable",
            hint="`pip install matplotlib` into the environment of skyops; `--json` has the same numbers.",
        )


def _plot(view: "ReputationView", target: Path) -> None:
    from skyops_p2p.cli.reputation_plot import draw
    from skyops_p2p.errors import ConfigError

    try:
        draw(view, target)
    except OSError as error:
        raise ConfigError(
            f"cannot write {target}: {error.strerror}", code="plot_unwritable", hint="Name another file."
        ) from error
