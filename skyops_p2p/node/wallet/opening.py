"""Opens a wallet's money where no node runs; the store's lock sees to it that one process sends."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from skyops_p2p.adapters.contracts.finding import Contracts
from skyops_p2p.adapters.contracts.opening import open_contracts, open_money
from skyops_p2p.adapters.sqlite import STORE_FILE_NAME, open_sqlite_store
from skyops_p2p.config import NodeConfig
from skyops_p2p.crypto.wallet import Wallet
from skyops_p2p.node.wallet.purse import Purse
from skyops_p2p.node.wallet.workers import workers_of


@asynccontextmanager
async def open_purse(config: NodeConfig, wallet: Wallet) -> AsyncIterator[Purse]:
    """Open the purse of a data directory, and go on with what an earlier process has sent.

    Raises:
        ConfigError: `payment_not_configured`, `chain_not_configured`.
        StoreError: `store_locked`: a node, or another command, has it.
        ChainError, ChainRefusal: The contracts cannot be found.
    """
    config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    async with (
        open_sqlite_store(config.data_dir / STORE_FILE_NAME) as store,
        open_money(config, wallet, store) as money,
    ):
        yield Purse(money, wallet, store, now_unix_s=unix_s)


@asynccontextmanager
async def open_to_look(config: NodeConfig) -> AsyncIterator[tuple[Contracts, tuple[bytes, ...]]]:
    """Open the contracts to look at them, without a key; with the workers for whom this directory may have set
    something aside.

    Raises:
        ConfigError, StoreError, ChainError, ChainRefusal: As `open_purse`.
    """
    config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    async with (
        open_sqlite_store(config.data_dir / STORE_FILE_NAME) as store,
        open_contracts(config, store=store) as at,
    ):
        yield at, await workers_of(store, at.settlement.account)


def unix_s() -> int:
    """Return this machine's clock in whole Unix seconds."""
    return int(time.time())
