"""From a redemption that is sent to its confirmation, on the embedded chain and on anvil, by block time.

A worker redeems one voucher after the other through the port that nodes use. At once: each transaction gets a block of
its own; else blocks are mined by the clock, on both chains by the same task. anvil is left out where it is not found.
"""

import argparse
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import trio

from bench.tables import print_place, print_table, say, spread
from skyops_p2p.adapters.chain import KeySigner, open_sender
from skyops_p2p.adapters.chain.endpoint import Endpoint
from skyops_p2p.adapters.chain.sender import SenderTerms
from skyops_p2p.adapters.contracts.money import ContractMoney
from skyops_p2p.adapters.memory import MemoryDisk, open_memory_store
from skyops_p2p.testnet.chain.place import chain_place, start_chain, stop_chain
from skyops_p2p.types import Wei
from tests.ports.chain.anvil import AnvilMissingError, find_anvil, run_anvil
from tests.ports.money.conftest import ALICE, BOB, CHAIN_ID, ONE, Market, account, open_market

CASES = ((0.0, 0), (0.5, 0), (0.5, 2), (2.0, 0), (2.0, 2))
"""(seconds between blocks, 0: at once; confirmations)"""
POLL_S = 0.1
FEE_WEI_MAX = Wei(100 * 10**9)


@contextmanager
def chain_of(kind: str, directory: Path) -> Iterator[str]:
    """Run a chain in a process of its own; give its URL."""
    if kind == "anvil":
        with run_anvil(find_anvil(), directory / "anvil.log") as url:
            yield url
        return
    place = chain_place(directory / "chain")
    try:
        yield start_chain(place, port=0, chain_id=CHAIN_ID).url
    finally:
        stop_chain(place)


@asynccontextmanager
async def mined_every(url: str, block_s: float) -> AsyncIterator[None]:
    """Mine by the clock, not for each transaction; 0 changes nothing."""
    if block_s == 0:
        yield
        return
    endpoint = Endpoint(url)

    async def mine() -> None:
        while True:
            await trio.sleep(block_s)
            await endpoint.ask("evm_mine")

    try:
        await endpoint.ask("evm_setAutomine", False)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(mine)
            yield
            nursery.cancel_scope.cancel()
        await endpoint.ask("evm_setAutomine", True)
    finally:
        await endpoint.aclose()


async def redemptions(market: Market, *, confirmations: int, first: int, count: int) -> list[float]:
    """Redeem vouchers one after the other; return the seconds that each took."""
    terms = SenderTerms(confirmations=confirmations, poll_s=POLL_S, fee_wei_max=FEE_WEI_MAX)
    took = []
    async with (
        open_memory_store(MemoryDisk()) as store,
        open_sender(market.chain, KeySigner(BOB), store, terms=terms) as sender,
    ):
        money = ContractMoney(market.contracts, sender)
        for number in range(first, first + count):
            voucher = market.voucher(ALICE, BOB, number * ONE)
            started = time.perf_counter()
            await money.redeem(f"redeem {number}", [voucher])
            await money.confirm(f"redeem {number}")
            took.append(time.perf_counter() - started)
    return took


async def measure(url: str, kind: str, count: int) -> list[list[str]]:
    """Return the rows of one chain."""
    rows = []
    async with open_market(url) as market:
        async with market.money(ALICE) as money:
            settlement, amount = market.contracts.settlement, Wei(1000 * ONE)
            await money.approve("approve", settlement.account, amount)
            await money.do("deposit", settlement.deposit(market.contracts.places.token, amount))
            await money.allot("allot", account(BOB), amount)
            await money.confirm("allot")
        for number, (block_s, confirmations) in enumerate(CASES):
            say(
                f"{kind}, a block {f'every {block_s} s' if block_s else 'at once'}, {confirmations} confirmations"
            )
            async with mined_every(url, block_s):
                took = await redemptions(
                    market, confirmations=confirmations, first=1 + number * count, count=count
                )
            cadence = f"{block_s:g} s" if block_s else "at once"
            rows.append([kind, cadence, str(confirmations), spread(took)])
    return rows


def main(argv: Sequence[str]) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench chain.latency", description=__doc__)
    parser.add_argument("--count", type=int, default=8, help="redemptions of each row (default 8)")
    options = parser.parse_args(argv)
    rows = []
    for kind in ("embedded", "anvil"):
        with tempfile.TemporaryDirectory() as directory:
            try:
                with chain_of(kind, Path(directory)) as url:
                    rows += trio.run(measure, url, kind, options.count)
            except AnvilMissingError as missing:
                say(f"no anvil: {missing}")
    print_table(["chain", "a block", "confirmations", "s from sent to confirmed, p50 / p99"], rows)
    print_place()
