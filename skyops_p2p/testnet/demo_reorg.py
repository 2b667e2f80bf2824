"""The demonstration's stage about a reorganisation: a redemption's block is taken back before it is deep enough.

The worker's node has to notice, to offer the same transaction again, and to be paid once.
"""

from concurrent.futures import ThreadPoolExecutor

import trio

from skyops_p2p.adapters.chain import open_chain
from skyops_p2p.adapters.contracts.finding import contracts_at, read_directory
from skyops_p2p.core.settlement.amounts import SKYOPS, format_amount
from skyops_p2p.crypto.wallet import address_to_bytes
from skyops_p2p.node.control_client import ControlClient
from skyops_p2p.node.wallet.purse_views import OrderView
from skyops_p2p.testnet.chain.development import directory_account
from skyops_p2p.testnet.demo_stage import ANSWER_TIMEOUT_S, Demo, failed, wait_until
from skyops_p2p.types import WalletAddress

CONFIRMATIONS = 4
"""Blocks that nodes want above a transaction's own in this scenario."""
_SLACK = 1
"""Blocks that may come while a block is being taken back."""


def take_back(demo: Demo) -> str:
    """Have a worker redeem, take its block back as soon as it is seen, and see it paid all the same, once."""
    name = _payee(demo)
    worker = demo.network.client(name, timeout_s=ANSWER_TIMEOUT_S * demo.slowness)
    wallets = [WalletAddress(one.money.balance().wallet) for one in (demo.client, worker)]
    pair = (address_to_bytes(wallets[0]), address_to_bytes(wallets[1]))
    before = trio.run(_redeemed, demo, pair, None)
    with ThreadPoolExecutor(1) as aside:
        settling = aside.submit(worker.payments.settle)
        mined = _wait_mined(demo, worker)
        block, head, seen = trio.run(_place, demo, pair, mined)
        depth = head - block + 1 + _SLACK
        if depth > CONFIRMATIONS:
            raise failed(f"block {block} is {depth - _SLACK} deep already: too late to take it back")
        assert demo.network.chain is not None, "the demonstration's network has one"
        # Forgotten by the chain: it comes again only if the worker's node offers it again.
        longer = demo.network.chain.reorganise(depth, is_dropped=True)
        after = trio.run(_redeemed, demo, pair, longer)
        if not before == after < seen:
            raise failed(f"redeemed were {before} wei, {seen} in block {block}, and {after} without it")
        wait_until(demo, lambda: _is_told(worker, mined.key), f"{name} tells that its block was taken back")
        settled = settling.result()
    again, _, final = trio.run(_place, demo, pair, mined)
    if settled.transaction_hash != mined.transaction or final != seen:
        raise failed(f"{name} has redeemed {final - before} wei, and promised were {seen - before}")
    return (
        f"{name} had {format_amount(seen - before, SKYOPS)} in block {block}: the chain takes back {depth} blocks, and "
        f"forgets it;\n{name} notices (skyops chain orders: taken back 1 x), offers the same transaction again, and "
        f"waits:\nblock {again}, {CONFIRMATIONS} blocks deep, redeemed once, to the wei."
    )


# --- looking ------------------------------------------------------------------------------------------------------
def _payee(demo: Demo) -> str:
    """Return the worker that has vouchers of the training to redeem."""
    bill = demo.client.payments.billing(demo.training.job_id)
    names = dict.fromkeys(demo.name_of(lane.peer_id) for lane in bill.lanes if lane.paid_wei)
    for name in names:
        if demo.node(name).payments.quote().vouchers:
            return name
    raise failed("no worker of the training has anything to redeem")


def _wait_mined(demo: Demo, worker: ControlClient) -> OrderView:
    """Wait until the redemption is in a block that is not deep enough yet."""
    found: list[OrderView] = []

    def is_mined() -> bool:
        found[:] = [order for order in worker.money.orders().orders if order.state == "mined"]
        return bool(found)

    wait_until(demo, is_mined, "the redemption is in a block")
    return found[0]


def _is_told(worker: ControlClient, key: str) -> bool:
    return any(order.key == key and order.taken_back for order in worker.money.orders().orders)


async def _place(demo: Demo, pair: tuple[bytes, bytes], order: OrderView) -> tuple[int, int, int]:
    """Return the number of an order's block, that of the last one, and what the pair has redeemed after the former."""
    entry = demo.network.record.chain
    assert entry is not None, "a network without a chain has no money"
    async with open_chain([entry.url], chain_id=demo.network.record.chain_id) as chain:
        receipt = await chain.receipt(bytes.fromhex(order.transaction.removeprefix("0x")))
        if receipt is None:
            raise failed("the redemption is in no block")
        head = await chain.head()
    redeemed = await _redeemed(demo, pair, receipt.block_number)
    return receipt.block_number, head.number, redeemed


async def _redeemed(demo: Demo, pair: tuple[bytes, bytes], block: int | None) -> int:
    """Return what the second of two wallets has redeemed of the first's, after a block or the last one, wei."""
    entry = demo.network.record.chain
    assert entry is not None, "a network without a chain has no money"
    async with open_chain([entry.url], chain_id=demo.network.record.chain_id) as chain:
        at = contracts_at(chain, await read_directory(chain, directory_account()))
        funds = await at.settlement.pair(pair[0], pair[1], at.places.token, at=block)
    return funds.redeemed
