"""Both chains behind one name: the embedded one and anvil, each a process; and what tests do to them."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio

from skyops_p2p.adapters.chain import JournalledSender, JsonRpcChain, KeySigner, open_chain, open_sender
from skyops_p2p.adapters.chain.endpoint import Endpoint
from skyops_p2p.adapters.chain.sender import SenderTerms
from skyops_p2p.adapters.memory import MemoryDisk, open_memory_store
from skyops_p2p.core.chain.facts import Order
from skyops_p2p.core.chain.transaction import Transaction, TransactionState
from skyops_p2p.crypto.wallet import Wallet
from skyops_p2p.testnet.chain.place import chain_place, start_chain, stop_chain
from skyops_p2p.types import WalletAddress, Wei
from tests.ports.chain.anvil import AnvilMissingError, find_anvil, run_anvil

ALICE = Wallet(bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"))
"""The first development account, which both chains fund."""
BOB = WalletAddress("0x1111111111111111111111111111111111111111")
PATIENCE_S = 60.0
"""For what takes some tenths of a second on a quiet machine: a test that hangs ends with its name."""
GWEI = 10**9

LOG42 = bytes.fromhex("602a60005260aa60206000a100")
"""A contract: whoever calls it makes it log 42 under topic 0xaa."""
LOG42_INIT = bytes.fromhex("600d600c600039600d6000f3") + LOG42


@dataclass(frozen=True)
class World:
    """One chain that runs."""

    kind: str
    url: str

    async def command(self, method: str, *parameters: object) -> object:
        """Have the chain do what only test chains do."""
        endpoint = Endpoint(self.url)
        try:
            return await endpoint.ask(method, *parameters)
        finally:
            await endpoint.aclose()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[JsonRpcChain]:
        async with open_chain([self.url], chain_id=31337) as chain:
            yield chain


def terms(*, confirmations: int = 0, fee_gwei_max: int = 100) -> SenderTerms:
    return SenderTerms(confirmations=confirmations, poll_s=0.05, fee_wei_max=Wei(fee_gwei_max * GWEI))


@asynccontextmanager
async def sending(
    world: World, disk: MemoryDisk, *, confirmations: int = 0, wallet: Wallet = ALICE
) -> AsyncIterator[tuple[JsonRpcChain, JournalledSender]]:
    """Open a chain and a sender over a store that outlives them; for PATIENCE_S at most."""
    with trio.fail_after(PATIENCE_S):
        async with open_memory_store(disk) as store, world.open() as chain:
            signer = KeySigner(wallet)
            async with open_sender(chain, signer, store, terms=terms(confirmations=confirmations)) as sender:
                yield chain, sender


def pay(wei: int) -> Order:
    return Order(BOB, value_wei=Wei(wei), gas_max=21_000)


async def until_state(transaction: Transaction, state: TransactionState) -> None:
    """Wait until a transaction has come to a state; the caller has a deadline."""
    while transaction.state is not state:  # noqa: ASYNC110 - the machine is pure and knows no events of trio
        await trio.sleep(0.02)


async def until_taken_back(transaction: Transaction) -> None:
    """Wait until a sender has seen that a transaction's block is gone; the caller has a deadline."""
    while not transaction.taken_back:  # noqa: ASYNC110 - as above
        await trio.sleep(0.02)


async def until_offered(chain: JsonRpcChain, nonce: int) -> None:
    """Wait until the chain has Alice's transaction with that nonce, in its pool at least."""
    while await nonce_of(chain) <= nonce:  # noqa: ASYNC110 - pools tell nobody
        await trio.sleep(0.02)


async def nonce_of(chain: JsonRpcChain) -> int:
    return await chain.nonce(ALICE.address)


@pytest.fixture(scope="session")
def anvil_program() -> Path:
    """The program; found with the caller's HOME, not with the test's."""
    try:
        return find_anvil()
    except AnvilMissingError as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(f"in CI anvil must be there: {missing}")
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def embedded_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One embedded chain for the session: it takes seconds to start."""
    place = chain_place(tmp_path_factory.mktemp("chain"))
    yield start_chain(place, port=0, chain_id=31337).url
    stop_chain(place)


@pytest.fixture
def anvil(anvil_program: Path, tmp_path: Path) -> Iterator[World]:
    with run_anvil(anvil_program, tmp_path / "anvil.log") as url:
        yield World("anvil", url)


@pytest.fixture(params=["embedded", "anvil"])
def world(request: pytest.FixtureRequest) -> World:
    if request.param == "anvil":
        found: World = request.getfixturevalue("anvil")
        return found
    return World("embedded", request.getfixturevalue("embedded_url"))
