"""`status`, `peers`, `map`, `ping` and `join`: questions and requests to the running node."""

import time
from typing import TYPE_CHECKING

import click

from skyops_p2p.cli.invocation import Invocation, data_dir_option, json_option
from skyops_p2p.cli.output import (
    Column,
    age,
    credits_text,
    gpu_text,
    paint,
    print_fields,
    print_json,
    print_table,
    short_peer,
)
from skyops_p2p.cli.waiting import waiting

if TYPE_CHECKING:
    from skyops_p2p.node.views import NodeView, StatusView

STATES = ("pending", "active", "suspect", "inactive", "slashed")


@click.command()
@click.argument("job", required=False)
@click.option("-w", "--watch", is_flag=True, help="With JOB: stay and show what happens, until it has ended.")
@data_dir_option
@json_option
@click.pass_obj
def status(invocation: Invocation, job: str | None, *, watch: bool, as_json: bool) -> int:
    """Show the running node: who it is, where it listens, what it sees; or how JOB stands, and what to do.

    JOB is an id, a unique beginning of one, or a name. With --watch the exit code is 0 if it succeeded, 11 if it
    failed, 12 if it was cancelled.
    """
    if job is not None:
        from skyops_p2p.cli.job_status import show_job

        return show_job(invocation, job, watch=watch, as_json=as_json)
    if watch:
        raise click.UsageError("--watch goes with a job; `skyops events -f` follows the node.")
    view = invocation.client().status()
    if as_json:
        print_json(view)
        return 0
    _print_node(view, invocation)
    return 0


def _print_node(view: "StatusView", invocation: Invocation) -> None:
    counts = ", ".join(f"{count} {state}" for state, count in view.map_counts.items() if count)
    gpus = gpu_text((gpu.model, gpu.vram_mib) for gpu in view.gpus)
    kind = "worker" if view.is_worker else "peer (offers no compute)"
    print_fields(
        [
            ("peer id", view.peer_id),
            ("wallet", view.wallet),
            ("network", view.network + (" (test network)" if view.is_testnet else "")),
            ("role", kind),
            ("gpus", gpus + (f" ({view.hardware_source})" if view.gpus else "")),
            ("up for", age(view.uptime_s)),
            ("connections", str(view.connections)),
            ("map", counts or "empty"),
            ("sessions", str(view.sessions)),
            ("software", view.agent),
            *(("address", addr) for addr in view.listen),
        ]
    )
    for warning in view.warnings:
        click.echo(paint("warning", "yellow", is_color=invocation.is_color) + f": {warning}")


@click.command()
@data_dir_option
@json_option
@click.pass_obj
def peers(invocation: Invocation, *, as_json: bool) -> None:
    """List the links to peers: state, direction, address, and why."""
    views = invocation.client().peers()
    if as_json:
        print_json({"peers": views})
        return
    if not views:
        click.echo("No peers yet. Join some with `skyops run --join ADDRESS`.")
        return
    columns = [
        Column("PEER"),
        Column("STATE"),
        Column("DIR"),
        Column("ADDRESS", is_cut=True),
        Column("FAILS", is_right=True),
        Column("WHY", is_wrapped=True),
    ]
    rows = [
        (
            short_peer(view.peer_id),
            view.state,
            ("out" if view.is_outbound else "in") if view.state == "connected" else "-",
            view.addrs[0] if view.addrs else "-",
            str(view.failures),
            view.reason,
        )
        for view in views
    ]
    print_table(columns, rows, is_color=invocation.is_color)


@click.command("map")
@click.option(
    "--gpu", default="", metavar="TEXT", help='Part of a GPU model\'s name, e.g. "a100" or "rtx 4090".'
)
@click.option(
    "--vram", default=0.0, type=click.FloatRange(0, 65536), help="At least this many GiB on one GPU."
)
@click.option("--region", default="", help='Region code, e.g. "eu".')
@click.option("--runtime", default="", help='Runtime that can be started: "wasm", "docker", "native".')
@click.option("--label", default="", help='A label, "key=value".')
@click.option("--price-max", type=click.FloatRange(0), help="At most this many credits an hour.")
@click.option(
    "--state", "states", multiple=True, type=click.Choice(STATES), help="Only these states; may be repeated."
)
@click.option("--workers", is_flag=True, help="Only nodes that offer compute.")
@click.option(
    "--sort",
    default="peer",
    type=click.Choice(["price", "vram", "seen", "rtt", "peer", "state"]),
    help="Order of the list.",
)
@click.option("--search", is_flag=True, help="Ask the DHT too, for nodes that this node has not heard of.")
@click.option("--limit", default=200, type=click.IntRange(1, 20_000), help="At most this many nodes.")
@data_dir_option
@json_option
@click.pass_obj
def node_map(
    invocation: Invocation,
    /,
    *,
    vram: float,
    price_max: float | None,
    workers: bool,
    search: bool,
    as_json: bool,
    **fields: object,
) -> None:
    """List the nodes of the network as this node knows them, filtered and sorted."""
    from skyops_p2p.node.views import MapQuery

    query = MapQuery.model_validate(
        {
            **fields,
            "vram_gib": vram,
            "price_max": None if price_max is None else round(price_max * 1_000_000),
            "workers_only": workers,
        }
    )
    client = invocation.client()
    found = 0
    if search:
        with waiting("searching the DHT", is_color=invocation.is_color):
            found = client.search(query)
    views = client.map(query)
    if as_json:
        print_json({"nodes": views, "found_in_dht": found})
        return
    if not views:
        click.echo("No node matches. `skyops map` without options shows all.")
        return
    print_table(MAP_COLUMNS, map_rows(views), is_color=invocation.is_color)


MAP_COLUMNS = (
    Column("PEER"),
    Column("STATE"),
    Column("GPU", is_cut=True),
    Column("REGION"),
    Column("RUNTIMES", is_cut=True),
    Column("FREE", is_right=True),
    Column("PRICE/H", is_right=True),
    Column("SEEN", is_right=True),
    Column("RTT", is_right=True),
    Column("LABELS", is_cut=True),
)


def map_rows(views: "tuple[NodeView, ...]") -> list[tuple[str, ...]]:
    """Return the rows of the map table; our own node is marked with an asterisk."""
    return [
        (
            short_peer(view.peer_id) + ("*" if view.is_self else ""),
            view.state,
            gpu_text((gpu.model, gpu.vram_mib) for gpu in view.gpus),
            view.region or "-",
            ",".join(runtime.partition(" ")[0] for runtime in view.runtimes) or "-",
            f"{view.slots_free}/{view.slots}" if view.is_worker else "-",
            credits_text(view.price_microcredits_per_hour) if view.is_worker else "-",
            age(0.0 if view.is_self else view.seen_s_ago),
            f"{view.round_trip_ms:.0f}ms" if view.round_trip_ms is not None else "-",
            ",".join(view.labels) or "-",
        )
        for view in views
    ]


@click.command()
@click.argument("peer")
@click.option("-c", "--count", default=1, type=click.IntRange(1, 1000), help="How many pings.")
@data_dir_option
@json_option
@click.pass_obj
def ping(invocation: Invocation, peer: str, *, count: int, as_json: bool) -> None:
    """Measure the round trip to PEER, a peer id or a unique beginning or end of one."""
    client = invocation.client()
    target = peer
    trips_ms: list[float] = []
    for number in range(count):
        if number:
            time.sleep(0.2)
        with waiting(f"waiting for {short_peer(target)}", is_color=invocation.is_color):
            target, round_trip_s = client.ping(target)
        trips_ms.append(round_trip_s * 1000.0)
        if not as_json:
            click.echo(f"answer from {short_peer(target)}: {trips_ms[-1]:.2f} ms")
    if as_json:
        print_json({"peer_id": target, "round_trips_ms": trips_ms})
    elif count > 1:
        mean = sum(trips_ms) / count
        click.echo(f"{count} pings: least {min(trips_ms):.2f}, mean {mean:.2f}, most {max(trips_ms):.2f} ms")


@click.command()
@click.argument("address")
@data_dir_option
@json_option
@click.pass_obj
def join(invocation: Invocation, address: str, *, as_json: bool) -> None:
    """Connect the running node to ADDRESS, a multiaddr that ends in /p2p/ID."""
    with waiting(f"calling {address}", is_color=invocation.is_color):
        peer = invocation.client().join(address)
    if as_json:
        print_json({"peer_id": peer})
    else:
        click.echo(f"connected to {peer}")
