"""Opens a network's money as the configuration says: to look, or to use it with a wallet."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from skyops_p2p.adapters.chain import KeySigner, open_chain, open_remote_signer, open_sender
from skyops_p2p.adapters.chain.sender import SenderTerms
from skyops_p2p.adapters.contracts.finding import Contracts, find_contracts
from skyops_p2p.adapters.contracts.money import ContractMoney
from skyops_p2p.config import NodeConfig
from skyops_p2p.crypto.wallet import Wallet, address_to_bytes
from skyops_p2p.errors import ConfigError
from skyops_p2p.ports import Signer, Store
from skyops_p2p.types import WalletAddress, Wei

_GWEI = 10**9


@asynccontextmanager
async def open_contracts(config: NodeConfig, *, store: Store | None = None) -> AsyncIterator[Contracts]:
    """Open the contracts to look at them: without a key, and beside a running node.

    Args:
        config: `payment.directory`, `chain.*`, `network.chain_id`.
        store: Where the contracts that were found are kept; None: they are looked up.

    Raises:
        ConfigError: `payment_not_configured`, `chain_not_configured`.
        ChainError, ChainRefusal: As finding.find_contracts.
    """
    if not config.payment.directory:
        raise ConfigError(
            "this node has no contracts: payment.directory is empty",
            code="payment_not_configured",
            hint="Set it to the Directory of your network; `skyops chain deploy` makes a set of contracts.",
        )
    if not config.chain.endpoints:
        raise ConfigError(
            "payment.directory is set, but no endpoint of the chain",
            code="chain_not_configured",
            hint="Set chain.endpoints, or `skyops chain start`.",
        )
    directory = address_to_bytes(WalletAddress(config.payment.directory))
    async with open_chain(
        config.chain.endpoints, chain_id=config.network.chain_id, timeout_s=config.chain.timeout_s
    ) as chain:
        yield await find_contracts(chain, directory, store)


@asynccontextmanager
async def open_money(config: NodeConfig, wallet: Wallet, store: Store) -> AsyncIterator[ContractMoney]:
    """Open the contracts to use them with a wallet, and go on with what an earlier process has sent.

    The chain need not be there, once this store has found the contracts.

    Args:
        config: As `open_contracts`.
        wallet: Signs.
        store: The node's own; one process holds it, so that one process sends.

    Raises:
        ConfigError, ChainError, ChainRefusal: As `open_contracts`.
        StoreError: The journal cannot be read.
    """
    async with (
        open_contracts(config, store=store) as contracts,
        open_signer(config, wallet) as signer,
        open_sender(contracts.chain, signer, store, terms=sender_terms(config)) as sender,
    ):
        yield ContractMoney(contracts, sender)


@asynccontextmanager
async def open_signer(config: NodeConfig, wallet: Wallet) -> AsyncIterator[Signer]:
    """Open what signs a wallet's transactions: the key here, or the program that `chain.signer` names."""
    if not config.chain.signer:
        yield KeySigner(wallet)
        return
    async with open_remote_signer(config.chain.signer, wallet.address) as signer:
        yield signer


def sender_terms(config: NodeConfig) -> SenderTerms:
    """Return how a node of this configuration sends."""
    chain = config.chain
    return SenderTerms(
        confirmations=chain.confirmations,
        poll_s=chain.poll_s,
        fee_wei_max=Wei(int(chain.fee_gwei_max * _GWEI)),
    )
