"""`testnet chaos`: a campaign of faults against a test network that works."""

import secrets
import signal
from dataclasses import asdict
from pathlib import Path

import click

from skyops_p2p.cli.invocation import json_option
from skyops_p2p.cli.output import ProgressLine, print_json
from skyops_p2p.errors import TestnetError

REPORT_NAME = "report.md"


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

    for number in (signal.SIGTERM, signal.SIGHUP):  # as Ctrl-C: the network is taken down
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            signal.signal(number, signal.default_int_handler)
    seed = secrets.randbelow(10**6) if seed is None else seed
    command = f"skyops testnet chaos --seed {seed} --jobs {jobs} --nodes {nodes}"
    name = f"chaos-{secrets.token_hex(2)}"
    with ProgressLine(is_shown=not as_json) as progress:
        progress.show(command)
        plan = make_plan(seed, jobs=jobs, nodes=nodes)
        campaign = Campaign(plan, place_of(name, None), name, progress=progress.show)
        try:
            ended = campaign.run()
        except KeyboardInterrupt:
            keep = False
            raise
        finally:
            if campaign.testnet is not None and not keep:
                progress.show("taking the network down")
                campaign.testnet.down()
    has_picture = False
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        has_picture = draw(ended, folder / PICTURE_NAME)
    text = report(ended, command=command, has_picture=has_picture)
    if folder is not None:
        (folder / REPORT_NAME).write_text(text, encoding="utf-8")
    if as_json:
        breaches = [asdict(breach) for breach in ended.breaches]
        print_json({"seed": seed, "took_s": round(ended.ended_s, 3), "breaches": breaches})
        return TestnetError.exit_code if breaches else 0
    click.echo(text)
    if keep:
        click.echo(f"The network is still up: skyops testnet status --name {name}")
    if ended.breaches:
        raise TestnetError(
            f"{len(ended.breaches)} things do not hold, the first: {ended.breaches[0].text}",
            code="chaos_failed",
            hint=f"{command} does the same again; with --keep the nodes and their logs stay.",
        )
    return 0
