"""`chain …`: the chain that money is on, and the embedded one for test networks."""

import logging
import time
from pathlib import Path
from typing import Any

import click

from skyops_p2p.cli.chain_contracts import contract_rows, needed_endpoints
from skyops_p2p.cli.chain_deploy import deploy
from skyops_p2p.cli.chain_orders import cancel, orders
from skyops_p2p.cli.invocation import Invocation, json_option
from skyops_p2p.cli.output import Column, age, print_json, print_table
from skyops_p2p.cli.waiting import waiting

_dir_option = click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    help="Directory of the embedded chain, if not this user's own.",
)
_block_time_option = click.option(
    "--block-time",
    "block_s",
    default=0.0,
    type=click.FloatRange(0, 3600),
    help="Seconds after which a block is made though nobody sends anything; 0: never.",
)


@click.group()
def chain() -> None:
    """Look at the chain, and run a small one on this machine.

    The embedded chain is for test networks: its development accounts are known to everybody.
    """


@chain.command()
@click.option("--port", default=0, type=click.IntRange(0, 65_535), help="TCP port; 0 picks a free one.")
@click.option("--fresh", is_flag=True, help="Forget the blocks of earlier runs.")
@_block_time_option
@_dir_option
@json_option
@click.pass_obj
def start(
    invocation: Invocation,
    *,
    port: int,
    fresh: bool,
    block_s: float,
    directory: Path | None,
    as_json: bool,
) -> None:
    """Start the embedded chain; it goes on after this command ends."""
    from skyops_p2p.testnet.chain.place import chain_place, start_chain

    chain_id = invocation.load_config()[0].network.chain_id
    with waiting("starting the chain", is_color=invocation.is_color):
        found = start_chain(
            chain_place(directory), port=port, chain_id=chain_id, is_fresh=fresh, block_s=block_s
        )
    if as_json:
        print_json({"url": found.url, "chain_id": found.chain_id, "pid": found.pid})
        return
    click.echo(f"Chain {found.chain_id} runs at {found.url}; `skyops chain stop` stops it, blocks are kept.")


@chain.command()
@_dir_option
def stop(*, directory: Path | None) -> None:
    """Stop the embedded chain; its blocks are kept."""
    from skyops_p2p.testnet.chain.place import chain_place, stop_chain

    place = chain_place(directory)
    with waiting("stopping the chain"):
        stop_chain(place)
    click.echo(f"Stopped the chain in {place.directory}.")


@chain.command(hidden=True)
@click.option("--port", required=True, type=int, help="TCP port.")
@click.option("--chain-id", required=True, type=int, help="Chain id.")
@_block_time_option
@_dir_option
def serve(*, port: int, chain_id: int, block_s: float, directory: Path | None) -> None:
    """Be the embedded chain, in this process."""
    from skyops_p2p.testnet.chain.place import chain_place
    from skyops_p2p.testnet.chain.process import serve_chain

    serve_chain(chain_place(directory), port=port, chain_id=chain_id, block_s=block_s)


@chain.command()
@click.option("--endpoint", "endpoints", multiple=True, help="URL to ask instead of the configured ones.")
@_dir_option
@json_option
@click.pass_obj
def status(
    invocation: Invocation, *, endpoints: tuple[str, ...], directory: Path | None, as_json: bool
) -> int:
    """Ask each endpoint for its chain and last block, and look at the contracts; exit code 7 if none is usable.

    STATE of a contract: ok, its code is what this version of the program was built with; other, it is not; fail, it is
    not there, or bound to the wrong ones. The newest versions are shown; a node stays with those it has found first.
    """
    import trio

    config = invocation.load_config()[0]
    urls = endpoints or config.chain.endpoints or _embedded(directory)
    if not urls:
        urls = needed_endpoints(config).chain.endpoints
    chosen = config.model_copy(update={"chain": config.chain.model_copy(update={"endpoints": urls})})
    logging.getLogger("skyops_p2p.adapters.chain").setLevel(logging.ERROR)  # the rows say what is wrong
    with waiting("asking the chain", is_color=invocation.is_color):
        rows = [trio.run(_look, url, config.network.chain_id) for url in urls]
        is_usable = any(row["state"] == "ok" for row in rows)
        contracts = trio.run(contract_rows, chosen) if is_usable and config.payment.directory else []
    if as_json:
        print_json({"endpoints": rows, "contracts": contracts})
    else:
        columns = [
            Column("ENDPOINT", is_cut=True),
            Column("STATE"),
            Column("CHAIN", is_right=True),
            Column("BLOCK", is_right=True),
            Column("AGE", is_right=True),
            Column("LATENCY", is_right=True),
            Column("WHAT IS WRONG", is_wrapped=True),
        ]
        print_table(columns, [_row(row) for row in rows], is_color=invocation.is_color)
        _print_contracts(contracts, is_color=invocation.is_color)
    return 0 if is_usable and all(row["state"] != "fail" for row in contracts) else 7


def _print_contracts(rows: list[dict[str, Any]], *, is_color: bool) -> None:
    if not rows:
        click.echo("No contracts: payment.directory is empty, so nothing is paid.")
        return
    columns = [
        Column("CONTRACT"),
        Column("STATE"),
        Column("VERSION", is_right=True),
        Column("ADDRESS", is_cut=True),
        Column("WHAT IS WRONG", is_wrapped=True),
    ]
    cells = []
    for row in rows:
        wrong = f"{row['message']} ({row['error']})" if "error" in row else "-"
        cells.append((row["contract"], row["state"], str(row["version"]), row["address"], wrong))
    print_table(columns, cells, is_color=is_color)
    newer = [row["contract"] for row in rows if row["is_newer"]]
    if newer:
        click.echo(
            f"A newer version is published of {', '.join(newer)}. This node stays with those it found first, "
            "which hold its money; docs/chain.md says how one moves."
        )


def _embedded(directory: Path | None) -> tuple[str, ...]:
    from skyops_p2p.testnet.chain.place import chain_place, find_chain

    found = find_chain(chain_place(directory))
    return () if found is None else (found.url,)


async def _look(url: str, chain_id: int) -> dict[str, Any]:
    """Ask one endpoint; what is wrong with it is part of the answer."""
    import trio

    from skyops_p2p.adapters.chain import open_chain
    from skyops_p2p.adapters.chain.endpoint import shown_url
    from skyops_p2p.errors import ChainError

    row: dict[str, Any] = {"endpoint": shown_url(url), "state": "fail", "chain_id": chain_id}
    try:
        async with open_chain([url], chain_id=chain_id) as asked:
            await asked.head()
            began = trio.current_time()
            head = await asked.head()
            row["latency_ms"] = round((trio.current_time() - began) * 1000, 1)
    except ChainError as error:
        return row | {"error": error.code, "message": error.message}
    age_s = max(time.time() - head.timestamp_unix_s, 0.0)
    return row | {
        "state": "ok",
        "block": head.number,
        "hash": "0x" + head.hash.hex(),
        "age_s": round(age_s, 1),
    }


def _row(row: dict[str, Any]) -> tuple[str, ...]:
    if row["state"] != "ok":
        wrong = f"{row['message']} ({row['error']})"
        return row["endpoint"], "fail", "-", "-", "-", "-", wrong
    latency = f"{row['latency_ms']} ms"
    return row["endpoint"], "ok", str(row["chain_id"]), str(row["block"]), age(row["age_s"]), latency, "-"


chain.add_command(deploy)
chain.add_command(orders)
chain.add_command(cancel)
