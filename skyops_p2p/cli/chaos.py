"""`testnet chaos`: a campaign of faults against a test network that works."""

import secrets
from dataclasses import asdict
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
@click.option("--seed", type=click.IntRange(0), help="Decides jobs and faults; by default one is drawn.")
@click.option("--jobs", default=200, type=click.IntRange(1, 2000), help="How many jobs.")
@click.option("--nodes", default=10, type=click.IntRange(4, 64), help="How many, with requester and broker.")
@click.option(
    "--report",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where report.md and timeline.png go.",
)
@click.option("--keep", is_flag=True, help="Leave the network running at the end.")
@json_option
def chaos(*, seed: int | None, jobs: int, nodes: int, folder: Path | None, keep: bool, as_json: bool) -> int:
    """Run jobs on a network of its own while nodes, network and chain are hurt; then see that nothing is lost.

    The seed gives the plan of jobs and faults. At the end all is healed, everybody is paid, and jobs, payments of both
    sides and the chain's money are compared. Ends with an error if anything does not hold. Ctrl-C takes all down.
    """
    from skyops_p2p.testnet.chaos.campaign import Campaign
    from skyops_p2p.testnet.chaos.picture import draw
    from skyops_p2p.testnet.chaos.plan import make_plan
    from skyops_p2p.testnet.chaos.report import PICTURE_NAME, report
    from skyops_p2p.testnet.places import place_of

    end_in_order()
    make_folder(folder)
    seed = secrets.randbelow(10**6) if seed is None else seed
    command = f"skyops testnet chaos --seed {seed} --jobs {jobs} --nodes {nodes}"
    name = f"chaos-{secrets.token_hex(2)}"
    with ProgressLine(is_shown=not as_json) as progress:
        progress.show(command)
        plan = make_plan(seed, jobs=jobs, nodes=nodes)
        campaign = Campaign(plan, place_of(name, None), name, progress=progress.show)
        ended = run_campaign(campaign, keep=keep, progress=progress.show)
    text = report(ended, command=command, has_picture=False)
    if folder is not None:
        with writing(folder):
            has_picture = draw(ended, folder / PICTURE_NAME)
            shown = report(ended, command=command, has_picture=has_picture)
            (folder / REPORT_NAME).write_text(shown, encoding="utf-8")
    if as_json:
        breaches = [asdict(breach) for breach in ended.breaches]
        print_json({"seed": seed, "took_s": round(ended.ended_s, 3), "breaches": breaches})
        return TestnetError.exit_code if breaches else 0
    click.echo(text)
    tell_kept(name, keep=keep)
    tell_breaches(ended.breaches, code="chaos_failed", command=command)
    return 0
