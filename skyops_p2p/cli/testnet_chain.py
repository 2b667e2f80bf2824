"""`testnet reorg`: what a chain does now and then, done on purpose."""

from pathlib import Path

import click

from skyops_p2p.cli.testnet_place import open_testnet, place_options
from skyops_p2p.cli.waiting import waiting
from skyops_p2p.errors import TestnetError


@click.command()
@click.option("--blocks", default=1, show_default=True, type=click.IntRange(1, 64), help="How many.")
@click.option("--drop", is_flag=True, help="Have the chain forget their transactions too.")
@place_options
def reorg(*, blocks: int, drop: bool, name: str | None, directory: Path | None) -> None:
    """Have the network's chain take its last blocks back.

    An empty branch, one block longer, takes their place; their transactions wait for the next block. What nodes have
    confirmed is as deep as the topology's `confirmations`: take back no more, or they believe in what is no longer so.
    """
    chain = open_testnet(name, directory).chain
    if chain is None:
        raise TestnetError(
            "this test network has no chain",
            code="no_chain_here",
            hint="Leave `chain = false` out of its topology.",
        )
    with waiting("asking the chain"):
        head = chain.reorganise(blocks, is_dropped=drop)
    click.echo(
        f"taken back: {blocks} block{'s' if blocks > 1 else ''}; block {head} of another branch is the last now"
    )
