"""Money for a test network: its contracts, coin and SKYOPS for every wallet, stakes, and deposits.

Everything is paid by the first development account, whose key everybody knows. The contracts come first, so that nodes
find them; wallets are given money while the nodes start.
"""

import fcntl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from skyops_p2p import limits
from skyops_p2p.adapters.chain import open_chain
from skyops_p2p.adapters.contracts.deployment import DeploymentTerms, deploy_contracts
from skyops_p2p.adapters.contracts.finding import Contracts, contracts_at, read_directory
from skyops_p2p.core.chain.facts import Order
from skyops_p2p.crypto.node_key import NodeKey, peer_id_to_bytes
from skyops_p2p.crypto.typed_data import binding_digest
from skyops_p2p.crypto.wallet import Wallet, address_from_bytes, address_to_bytes
from skyops_p2p.errors import TestnetError
from skyops_p2p.ports import Chain
from skyops_p2p.testnet.chain.development import directory_account, governor
from skyops_p2p.testnet.chain.quick import QuickAccount
from skyops_p2p.types import Wei

ONE = 10**18
SUPPLY = Wei(10**9 * ONE)
FAUCET = Wei(1_000 * ONE)
COIN_GIVEN = Wei(100 * ONE)
"""For gas: many years' worth."""
TOKENS_GIVEN = Wei(100_000 * ONE)
STAKED = Wei(1_000 * ONE)
"""With the registration burn; ten times the least stake."""
DEPOSITED = Wei(10_000 * ONE)
_PERMIT_S = 86_400
_MARKS_AT_ONCE = 12
"""One costs 34,000 gas, and the first 60,000: more do not fit into what `quick.CALL_GAS_MAX` allows a transaction."""
_GIVING_LOCK = "giving.lock"
_GIVING_TIMEOUT_S = 60.0
_GIVING_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who is given money."""

    wallet: Wallet
    node_key: NodeKey
    network: str
    """Name of the network that the node's binding is for."""
    is_worker: bool
    """Gets a stake."""


def prepare_contracts(url: str, *, chain_id: int) -> None:
    """Put the contracts on a chain that is new; on one that has them, do nothing.

    Args:
        url: Its JSON-RPC.
        chain_id: Its EVM chain id.

    Raises:
        ChainError, ChainRefusal: The chain cannot be asked, or was used for something else before.
    """

    async def prepare() -> None:
        async with open_chain([url], chain_id=chain_id) as chain:
            account = QuickAccount(chain, governor(), nonce=await chain.nonce(governor().address))
            if await _has_contracts(chain):
                return
            own = account.account
            await deploy_contracts(chain, account, DeploymentTerms(own, SUPPLY, FAUCET, own, own, own))
            await read_directory(chain, directory_account())

    trio.run(prepare)


def give_money(url: str, *, chain_id: int, people: Sequence[Person]) -> None:
    """Give everybody coin, SKYOPS and a deposit, and workers a stake; who has coin was given before.

    Args:
        url: JSON-RPC of a chain that `prepare_contracts` has been at.
        chain_id: Its EVM chain id.
        people: Nobody else sends for them meanwhile.

    Raises:
        ChainError, ChainRefusal: The chain cannot be asked, or refuses.
    """

    async def give() -> None:
        async with open_chain([url], chain_id=chain_id) as chain:
            at = contracts_at(chain, await read_directory(chain, directory_account()))
            bank = QuickAccount(chain, governor(), nonce=await chain.nonce(governor().address))
            poor = [one for one in people if not await chain.balance(one.wallet.address)]
            own = [QuickAccount(chain, one.wallet, nonce=0) for one in poor]
            for one, account in zip(poor, own, strict=True):
                await _give_one(at, bank, account, one)
            workers = [address_to_bytes(one.wallet.address) for one in poor if one.is_worker]
            for first in range(0, len(workers), _MARKS_AT_ONCE):
                await bank.execute("mark", at.registry.mark(workers[first : first + _MARKS_AT_ONCE]))
            if not await _all_have_theirs(at, poor):
                for account in (bank, *own):
                    await account.check()

    trio.run(give)


@contextmanager
def giving(directory: Path) -> Iterator[None]:
    """Wait for whoever gives money on a network; the bank's next nonce belongs to one process at a time.

    Args:
        directory: The chain's.

    Raises:
        TestnetError: `testnet_busy`.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    deadline = time.monotonic() + _GIVING_TIMEOUT_S
    with (directory / _GIVING_LOCK).open("w") as file:
        while not _try_lock(file.fileno()):
            if time.monotonic() > deadline:
                raise TestnetError("another command gives money on this network", code="testnet_busy")
            time.sleep(_GIVING_POLL_S)
        yield


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


async def _give_one(at: Contracts, bank: QuickAccount, own: QuickAccount, person: Person) -> None:
    token, wallet = at.token, person.wallet
    await bank.execute("coin", Order(wallet.address, value_wei=COIN_GIVEN))
    await bank.execute("tokens", token.transfer(own.account, TOKENS_GIVEN))
    deadline = int(time.time()) + _PERMIT_S
    signature = await token.sign_permit(
        wallet, at.settlement.account, DEPOSITED, chain_id=at.chain.chain_id, deadline_unix_s=deadline
    )
    deposit = at.settlement.deposit_with_permit(
        token.account, DEPOSITED, bytes(20), deadline_unix_s=deadline, signature=signature
    )
    await own.execute("deposit", deposit)
    if person.is_worker:
        await own.execute("approve", token.approve(at.registry.account, STAKED))
        await own.execute("register", at.registry.register(_binding(person, at.chain.chain_id), "", STAKED))


async def _all_have_theirs(at: Contracts, people: Sequence[Person]) -> bool:
    """Ask for what matters: it takes less long than to ask for every receipt."""
    for one in people:
        account = address_to_bytes(one.wallet.address)
        if await at.settlement.deposited(account, at.token.account) < DEPOSITED:
            return False
        if one.is_worker and not await at.registry.is_active(account):
            return False
    return True


def _binding(person: Person, chain_id: int) -> bytes:
    """Return the digest of a binding of the node; it says so for a year."""
    now_ms = time.time_ns() // 1_000_000
    return binding_digest(
        wallet=person.wallet.address,
        peer_id=peer_id_to_bytes(person.node_key.peer_id),
        x25519=person.node_key.x25519_public,
        network=person.network,
        chain_id=chain_id,
        issued_unix_ms=now_ms,
        expires_unix_ms=now_ms + limits.BINDING_LIFETIME_MS_MAX,
    )


async def _has_contracts(chain: Chain) -> bool:
    return bool(await chain.code(address_from_bytes(directory_account())))
