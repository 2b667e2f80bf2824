"""`events`: what happens, line by line."""

from datetime import UTC, datetime

import click

from skyops_p2p.cli.invocation import Invocation, data_dir_option
from skyops_p2p.cli.output import paint, short_peer


@click.command()
@click.option("-f", "--follow", is_flag=True, help="Go on until Ctrl-C; otherwise stop after --count events.")
@click.option("-n", "--count", default=10, type=click.IntRange(1), help="Without -f: events to wait for.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@data_dir_option
@click.pass_obj
def events(invocation: Invocation, *, follow: bool, count: int, as_json: bool) -> None:
    """Print what happens on the running node, as it happens."""
    for number, event in enumerate(invocation.client().events(), start=1):
        if as_json:
            click.echo(event.model_dump_json())
        else:
            at = datetime.fromtimestamp(event.unix_ms / 1000, UTC).astimezone().strftime("%H:%M:%S")
            kind = paint(event.kind.ljust(7), "cyan", is_color=invocation.is_color)
            click.echo(f"{at}  {kind}  {short_peer(event.peer_id) if event.peer_id else '-':8}  {event.text}")
        if not follow and number >= count:
            break
