"""`doctor`: what is wrong with this machine or this node, and how to mend it."""

import click

from skyops_p2p.cli.invocation import Invocation, data_dir_option, json_option
from skyops_p2p.cli.output import STATE_STYLES, paint, print_json
from skyops_p2p.cli.waiting import waiting


@click.command()
@data_dir_option
@json_option
@click.pass_obj
def doctor(invocation: Invocation, *, as_json: bool) -> int:
    """Look for what is wrong: Python, keys, store, ports, clock, disk, engines, GPU, reachability, money.

    Exits with 1 if something must be mended.
    """
    from functools import partial

    import trio

    from skyops_p2p.node.doctor import examine
    from skyops_p2p.node.run_file import running_config

    written, _ = invocation.load_config()
    running = running_config(written.data_dir)
    config = running or written
    with waiting("looking at this machine", is_color=invocation.is_color):
        findings = trio.run(
            partial(examine, config, environment=invocation.environment, is_running=running is not None)
        )
    failed = sum(finding.status == "fail" for finding in findings)
    if as_json:
        print_json(
            [{name: getattr(item, name) for name in ("name", "status", "found", "mend")} for item in findings]
        )
        return 1 if failed else 0
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        mark = paint(
            finding.status.ljust(4), STATE_STYLES.get(finding.status, "white"), is_color=invocation.is_color
        )
        click.echo(f"{mark}  {finding.name.ljust(width)}  {finding.found}")
        if finding.mend and finding.status != "ok":
            click.echo(f"{' ' * (width + 8)}-> {finding.mend}")
    warned = sum(finding.status == "warn" for finding in findings)
    click.echo()
    click.echo(f"{len(findings)} checks: {failed} must be mended, {warned} worth a look.")
    return 1 if failed else 0
