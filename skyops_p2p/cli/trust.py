"""`testnet trust`: a network on which some nodes misbehave, and what the others make of them."""

import secrets
import tempfile
from pathlib import Path

import click

from skyops_p2p.cli.campaigns import (
    REPORT_NAME,
    end_in_order,
    make_folder,
    run_campaign,
    tell_breaches,
    tell_kept,
    writing,
)
from skyops_p2p.cli.invocation import json_option
from skyops_p2p.cli.output import ProgressLine, print_json
from skyops_p2p.errors import TestnetError


@click.command()
@click.option(
    "--seed", type=click.IntRange(0), help="Decides who misbehaves, and the jobs; by default one is drawn."
)
@click.option("--nodes", default=20, type=click.IntRange(6, 64), help="How many, with requesters.")
@click.option("--misbehaving", default=6, type=click.IntRange(0, 31), help="How many of them misbehave.")
@click.option(
    "--jobs", default=40, type=click.IntRange(1, 500), help="How many jobs the honest requesters have."
)
@click.option(
    "--report",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where report.md goes.",
)
@click.option("--keep", is_flag=True, help="Leave the network running at the end.")
@json_option
def trust(
    *,
    seed: int | None,
    nodes: int,
    misbehaving: int,
    jobs: int,
    folder: Path | None,
    keep: bool,
    as_json: bool,
) -> int:
    """Run jobs on a network of its own on which some workers cheat; then see who was found out, and by whom.

    The cheats return wrong results, always or at times, copy commitments, hide results, run their meters fast, sign two
    histories, or deal in receipts with an accomplice. At the end all results are compared with the right answers, and
    the scores of all honest nodes with each other. Ends with an error if anything does not hold. Ctrl-C takes all down.
    """
    from skyops_p2p.testnet.places import place_of
    from skyops_p2p.testnet.trust.campaign import Campaign
    from skyops_p2p.testnet.trust.plan import make_plan, most_misbehaving
    from skyops_p2p.testnet.trust.report import figures, report

    end_in_order()
    if misbehaving > (most := most_misbehaving(nodes)):
        raise click.BadParameter(
            f"of {nodes} nodes at most {most} may misbehave, so that most workers are honest",
            param_hint="--misbehaving",
        )
    make_folder(folder)
    seed = secrets.randbelow(10**6) if seed is None else seed
    command = f"skyops testnet trust --seed {seed} --nodes {nodes} --misbehaving {misbehaving} --jobs {jobs}"
    name = f"trust-{secrets.token_hex(2)}"
    with ProgressLine(is_shown=not as_json) as progress, tempfile.TemporaryDirectory(prefix=name) as results:
        progress.show(command)
        plan = make_plan(seed, nodes=nodes, misbehaving=misbehaving, jobs=jobs)
        place = place_of(name, None)
        campaign = Campaign(plan, place, name, results=Path(results), progress=progress.show)
        ended = run_campaign(campaign, keep=keep, progress=progress.show)
    text = report(ended, command=command)
    if folder is not None:
        with writing(folder):
            (folder / REPORT_NAME).write_text(text, encoding="utf-8")
    if as_json:
        print_json(figures(ended))
        return TestnetError.exit_code if ended.breaches else 0
    click.echo(text)
    tell_kept(name, keep=keep)
    tell_breaches(ended.breaches, code="trust_failed", command=command)
    return 0
