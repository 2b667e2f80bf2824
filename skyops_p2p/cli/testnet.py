"""`testnet …`: a real network of processes on this machine, and the means to hurt it."""

import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from skyops_p2p.cli.chaos import chaos
from skyops_p2p.cli.invocation import Invocation, json_option
from skyops_p2p.cli.network import STATES
from skyops_p2p.cli.output import Column, ProgressLine, print_json, print_table, short_peer
from skyops_p2p.cli.testnet_chain import reorg
from skyops_p2p.cli.testnet_place import open_testnet, place_options, place_text
from skyops_p2p.cli.trust import trust
from skyops_p2p.cli.waiting import waiting
from skyops_p2p.errors import TestnetError

if TYPE_CHECKING:
    from skyops_p2p.testnet.launcher import Testnet
    from skyops_p2p.testnet.record import TestnetRecord

CHAIN_NAME = "chain"
"""As testnet.topology has it, which takes long to import; a test compares."""


@click.group()
def testnet() -> None:
    """Run a test network on this machine: real processes, nothing is worth money.

    The nodes go on after this command ends, until `skyops testnet down`.
    """


testnet.add_command(chaos)
testnet.add_command(reorg)
testnet.add_command(trust)


@testnet.command()
@click.option("--nodes", "count", type=int, help="How many nodes; 8 unless a topology says otherwise.")
@click.option("--topology", type=click.Path(path_type=Path, dir_okay=False), help="A topology file (TOML).")
@click.option(
    "--private", is_flag=True, help="Give the network a pre-shared key: strangers cannot even speak to it."
)
@click.option(
    "--chain/--no-chain", "has_chain", default=None, help="With a chain, so that jobs are paid; it is."
)
@click.option("--timeout", "timeout_s", default=120.0, help="Seconds to wait until all nodes see each other.")
@place_options
@json_option
def up(
    *,
    count: int | None,
    topology: Path | None,
    private: bool,
    has_chain: bool | None,
    timeout_s: float,
    name: str | None,
    directory: Path | None,
    as_json: bool,
) -> None:
    """Start a test network and wait until every node sees every other one.

    If it is there already and something of it is dead, that is started again.
    """
    from skyops_p2p.testnet.launcher import Testnet
    from skyops_p2p.testnet.places import place_of
    from skyops_p2p.testnet.startup import bring_back, bring_up
    from skyops_p2p.testnet.topology import default_topology, load_topology

    plan = (
        load_topology(topology, count=count) if topology else default_topology(8 if count is None else count)
    )
    wanted = {"private": private or None, "chain": has_chain}
    chosen = {name: value for name, value in wanted.items() if value is not None}
    plan = plan.model_copy(update={"network": plan.network.model_copy(update=chosen)})
    place = place_of(name, directory)
    started = time.monotonic()
    with ProgressLine(is_shown=not as_json) as progress:
        try:
            network = Testnet.create(place, name=name or place.name, topology=plan)
        except TestnetError as error:
            if error.code != "testnet_exists" or count is not None or topology is not None:
                raise
            network = Testnet(place)
            restarted = bring_back(network, progress=progress.show)
            if not restarted:
                raise
        else:
            restarted = []
            bring_up(network, timeout_s=timeout_s, progress=progress.show)
    took_s = time.monotonic() - started
    record = network.record
    if as_json:
        fields = {"name": record.name, "directory": str(place), "took_s": round(took_s, 3), "network": record}
        print_json(fields | {"restarted": restarted})
        return
    if restarted:
        click.echo(f"started again: {', '.join(restarted)}, after {took_s:.1f} s")
        return
    _tell_up(record, took_s, option=place_text(name, directory), joined=directory or record.name)


def _tell_up(record: "TestnetRecord", took_s: float, *, option: str, joined: Path | str) -> None:
    """Say that a network is up, and what to do with it."""
    paid = "; jobs are paid on a chain of this machine" if record.chain is not None else ""
    seen = f"{len(record.nodes)} nodes of {record.network} see each other"
    if len(record.nodes) == 1:
        seen = f"The one node of {record.network} answers"
    click.echo(f"{seen} after {took_s:.1f} s{paid}.")
    click.echo()
    click.echo("Try next:")
    for command, purpose in (
        (f"skyops testnet status{option}", "what each node is doing"),
        (f"skyops run --join {joined}", "join from another terminal"),
        (f"skyops testnet kill {record.nodes[-1].name}{option}", "kill -9 a node, then look at the map"),
        (f"skyops testnet restart {record.nodes[-1].name}{option}", "bring it back"),
        (f"skyops testnet down{option}", "stop and remove everything"),
    ):
        click.echo(f"  {command.ljust(44)} {purpose}")


@testnet.command()
@click.option(
    "--keep", is_flag=True, help="Stop the nodes but keep their files; `restart` starts them again."
)
@place_options
def down(*, keep: bool, name: str | None, directory: Path | None) -> None:
    """Stop all nodes and remove their files."""
    network = open_testnet(name, directory)
    with waiting("stopping the nodes"):
        alive = network.down(keep=keep)
    kept = f"; files kept in {network.directory}" if keep else " and removed its files"
    click.echo(
        f"Stopped {alive} {'node' if alive == 1 else 'nodes'} of test network {network.record.name!r}{kept}."
    )


@testnet.command()
@place_options
@json_option
@click.pass_obj
def status(invocation: Invocation, *, name: str | None, directory: Path | None, as_json: bool) -> None:
    """Show every node: process, links, what it sees, faults."""
    from dataclasses import asdict

    from skyops_p2p.testnet.survey import survey, survey_chain

    network = open_testnet(name, directory)
    with waiting("asking the nodes", is_color=invocation.is_color):
        reports, chain = survey(network), survey_chain(network)
    record = network.record
    if as_json:
        nodes = [asdict(report) for report in reports]
        print_json(
            {
                "name": record.name,
                "network": record.network,
                "directory": str(network.directory),
                "chain": None if chain is None else asdict(chain),
                "nodes": nodes,
            }
        )
        return
    click.echo(f"Test network {record.name!r} ({record.network}) in {network.directory}")
    if chain is not None:
        where = f"pid {chain.pid}, {chain.url}" if chain.pid else f"`skyops testnet restart {CHAIN_NAME}`"
        click.echo(f"Chain {record.chain_id}: {chain.state}, {where}; contracts {chain.contracts}")
    columns = [
        Column("NODE"),
        Column("STATE"),
        Column("PID", is_right=True),
        Column("PEER"),
        Column("LINKS", is_right=True),
        *(Column(state.upper(), is_right=True) for state in STATES),
        Column("GPU", is_cut=True),
        Column("REGION"),
        Column("FAULTS", is_wrapped=True),
    ]
    rows = [
        (
            report.name,
            report.state,
            str(report.pid),
            short_peer(report.peer_id),
            "-" if report.connections is None else str(report.connections),
            *(str(report.map_counts.get(state) or "-") for state in STATES),
            ", ".join(report.gpus) or "-",
            report.region or "-",
            _faults_text(report.faults),
        )
        for report in reports
    ]
    print_table(columns, rows, is_color=invocation.is_color)


@testnet.command()
@click.argument("node")
@click.option("-f", "--follow", is_flag=True, help="Go on printing until Ctrl-C.")
@click.option("-n", "--lines", default=40, type=click.IntRange(0), help="How many lines to begin with.")
@place_options
def logs(node: str, *, follow: bool, lines: int, name: str | None, directory: Path | None) -> None:
    """Print what NODE has logged; "chain" is the network's chain."""
    from skyops_p2p.testnet.creation import log_path
    from skyops_p2p.testnet.launcher import read_log_tail

    network = open_testnet(name, directory)
    is_chain = node == CHAIN_NAME and network.chain is not None
    path = log_path(network.directory, node if is_chain else network.record.entry(node).name)
    position = path.stat().st_size if path.exists() else 0
    for line in read_log_tail(path, lines=lines):
        click.echo(line)
    while follow and path.exists():
        with path.open(encoding="utf-8", errors="replace") as file:
            file.seek(position)
            fresh = file.read()
            position = file.tell()
        click.echo(fresh, nl=False)
        time.sleep(0.2)


@testnet.command()
@click.argument("nodes", nargs=-1, required=True)
@place_options
def kill(nodes: tuple[str, ...], *, name: str | None, directory: Path | None) -> None:
    """Kill nodes the hard way (SIGKILL), as a power cut would; "chain" is the network's chain."""
    _signal_all(open_testnet(name, directory), nodes, signal.SIGKILL, "killed")


@testnet.command()
@click.argument("nodes", nargs=-1, required=True)
@place_options
def stop(nodes: tuple[str, ...], *, name: str | None, directory: Path | None) -> None:
    """Freeze nodes (SIGSTOP): connections stand, nothing answers. `cont` thaws them."""
    _signal_all(open_testnet(name, directory), nodes, signal.SIGSTOP, "stopped")


@testnet.command()
@click.argument("nodes", nargs=-1, required=True)
@place_options
def cont(nodes: tuple[str, ...], *, name: str | None, directory: Path | None) -> None:
    """Let stopped nodes go on (SIGCONT)."""
    _signal_all(open_testnet(name, directory), nodes, signal.SIGCONT, "continued")


@testnet.command()
@click.argument("nodes", nargs=-1)
@place_options
def restart(nodes: tuple[str, ...], *, name: str | None, directory: Path | None) -> None:
    """Start nodes again, stopping them cleanly first if they live; all dead ones if none is named."""
    from skyops_p2p.testnet.startup import bring_back

    network = open_testnet(name, directory)
    started = time.monotonic()
    chosen = list(dict.fromkeys(nodes))
    with waiting("stopping and starting"):
        if CHAIN_NAME in chosen and network.chain is not None:
            network.chain.stop()
            network.chain.start()
        network.restart(*(node for node in chosen if node != CHAIN_NAME or network.chain is None))
        if not chosen:
            chosen = bring_back(network, progress=lambda _line: None)
    if not chosen:
        click.echo("Nothing is dead. Name what to restart anyway.")
        return
    click.echo(f"restarted {', '.join(chosen)}: all answer after {time.monotonic() - started:.1f} s")


@testnet.command()
@click.argument("groups", nargs=-1, required=True)
@place_options
def partition(groups: tuple[str, ...], *, name: str | None, directory: Path | None) -> None:
    """Cut the network into GROUPS of nodes that do not reach each other.

    Each group is a comma-separated list; nodes not named form one more group. An earlier partition is replaced.

    \b
      skyops testnet partition node-1,node-2             these two | all others
      skyops testnet partition node-1 node-2,node-3      three groups
    """
    from skyops_p2p.testnet.disturbance import parse_groups
    from skyops_p2p.testnet.disturbance import partition as cut

    network = open_testnet(name, directory)
    parsed = parse_groups(groups, network.record)
    with waiting("telling the nodes"):
        cut(network, parsed)
    click.echo("partitioned: " + " | ".join(", ".join(group) for group in parsed))


@testnet.command()
@place_options
def heal(*, name: str | None, directory: Path | None) -> None:
    """End partitions and slowness on all nodes."""
    from skyops_p2p.testnet.disturbance import heal as mend

    network = open_testnet(name, directory)
    with waiting("telling the nodes"):
        mend(network)
    click.echo("healed: all nodes may reach each other at full speed")


@testnet.command()
@click.argument("node")
@click.option("--delay-ms", default=200, type=click.IntRange(0, 60_000), help="Delay of what it sends.")
@click.option(
    "--loss", "loss_percent", default=0.0, type=click.FloatRange(0, 100), help="Percent of messages lost."
)
@place_options
def slow(node: str, *, delay_ms: int, loss_percent: float, name: str | None, directory: Path | None) -> None:
    """Make NODE send late or lose messages; --delay-ms 0 ends it."""
    from skyops_p2p.testnet.disturbance import slow as hinder

    network = open_testnet(name, directory)
    with waiting(f"telling {node}"):
        hinder(network, node, delay_ms=delay_ms, loss_permille=round(loss_percent * 10))
    click.echo(f"{node}: sends {delay_ms} ms late and loses {loss_percent:g} %")


@testnet.command("list")
@json_option
@click.pass_obj
def list_all(invocation: Invocation, *, as_json: bool) -> None:
    """List the named test networks of this user."""
    from skyops_p2p.testnet.launcher import Testnet
    from skyops_p2p.testnet.places import list_existing

    found = [(path, Testnet(path)) for path, _ in list_existing()]
    alive = {path: sum(net.state(entry) != "dead" for entry in net.record.nodes) for path, net in found}
    if as_json:
        print_json(
            [
                {
                    "name": path.name,
                    "network": net.record.network,
                    "directory": str(path),
                    "nodes": len(net.record.nodes),
                    "alive": alive[path],
                }
                for path, net in found
            ]
        )
        return
    if not found:
        click.echo("No test networks. `skyops testnet up` starts one.")
        return
    columns = [
        Column("NAME"),
        Column("NETWORK"),
        Column("ALIVE", is_right=True),
        Column("DIRECTORY", is_wrapped=True),
    ]
    rows = [
        (path.name, net.record.network, f"{alive[path]} of {len(net.record.nodes)}", str(path))
        for path, net in found
    ]
    print_table(columns, rows, is_color=invocation.is_color)


def _signal_all(network: "Testnet", nodes: tuple[str, ...], number: signal.Signals, done: str) -> None:
    chain = network.chain
    for node in nodes:
        if node != CHAIN_NAME or chain is None:
            network.record.entry(node)
    for node in nodes:
        target = chain if node == CHAIN_NAME else None
        was_there = target.signal(number) if target is not None else network.signal(node, number)
        click.echo(f"{node}: {done}" if was_there else f"{node}: was dead already")


def _faults_text(faults: dict[str, object]) -> str:
    parts = []
    blocked = faults.get("blocked")
    if isinstance(blocked, list):
        parts.append(f"cut off from {len(blocked)}")
    if "delay_ms" in faults:
        parts.append(f"{faults['delay_ms']} ms late")
    loss = faults.get("loss_permille")
    if isinstance(loss, int):
        parts.append(f"loses {loss / 10:g} %")
    return ", ".join(parts) or "-"
