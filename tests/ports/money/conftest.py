"""A chain with contracts, and people whose wallets have coin and SKYOPS: embedded in this process, or anvil."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio

from skyops_p2p.adapters.chain import JsonRpcChain, KeySigner, open_chain, open_sender
from skyops_p2p.adapters.chain.endpoint import Endpoint
from skyops_p2p.adapters.chain.sender import SenderTerms
from skyops_p2p.adapters.contracts.deployment import DeploymentTerms, deploy_contracts
from skyops_p2p.adapters.contracts.finding import Contracts, contracts_at
from skyops_p2p.adapters.contracts.money import ContractMoney
from skyops_p2p.adapters.memory import MemoryDisk, open_memory_store
from skyops_p2p.core.chain.facts import Order
from skyops_p2p.core.settlement.vouchers import PairTerms, sign_voucher
from skyops_p2p.crypto.wallet import Wallet, address_to_bytes
from skyops_p2p.testnet.chain.development import governor as development_governor
from skyops_p2p.testnet.chain.disk import ChainDisk
from skyops_p2p.testnet.chain.evm import EmbeddedChain
from skyops_p2p.testnet.chain.quick import QuickAccount
from skyops_p2p.testnet.chain.rpc import Rpc
from skyops_p2p.testnet.chain.server import serve
from skyops_p2p.types import Wei
from skyops_p2p.wire.messages.settlement import CountsPart, Voucher, VoucherItemPart
from tests.ports.chain.anvil import run_anvil
from tests.ports.chain.conftest import anvil_program

__all__ = ["anvil_program"]

ONE = 10**18
CHAIN_ID = 31337
PATIENCE_S = 300.0
AHEAD_S = 600
"""More than the blocks of one test lie ahead of the machine's clock: a second each."""
ZERO_HASH = bytes(32)


def person(name: str) -> Wallet:
    """Return the wallet of that name, always the same."""
    return Wallet(hashlib.sha256(f"money {name}".encode()).digest())


ALICE, BOB, CAROL = person("alice"), person("bob"), person("carol")
GOVERNOR = development_governor()


def account(wallet: Wallet) -> bytes:
    return address_to_bytes(wallet.address)


@dataclass
class Market:
    """Contracts on a chain that runs."""

    url: str
    chain: JsonRpcChain
    contracts: Contracts
    disks: dict[str, MemoryDisk] = field(default_factory=dict)
    """{wallet: what its sender's journal is on}"""

    @asynccontextmanager
    async def money(self, wallet: Wallet) -> AsyncIterator[ContractMoney]:
        """Open the port for a wallet, with a journal that outlives it."""
        disk = self.disks.setdefault(wallet.address, MemoryDisk())
        terms = SenderTerms(confirmations=0, poll_s=0.02, fee_wei_max=Wei(100 * 10**9))
        async with (
            open_memory_store(disk) as store,
            open_sender(self.chain, KeySigner(wallet), store, terms=terms) as sender,
        ):
            yield ContractMoney(self.contracts, sender)

    async def pass_until(self, unix_s: int) -> None:
        """Let the chain's clock run ahead of an instant; its blocks may be ahead of the machine's clock already."""
        by = unix_s - (await self.chain.head()).timestamp_unix_s + AHEAD_S
        endpoint = Endpoint(self.url)
        try:
            await endpoint.ask("evm_increaseTime", by)
            await endpoint.ask("evm_mine")
        finally:
            await endpoint.aclose()
        assert (await self.chain.head()).timestamp_unix_s >= unix_s

    def voucher(
        self, requester: Wallet, worker: Wallet, cumulative: int, *, root: bytes = ZERO_HASH
    ) -> Voucher:
        """Sign a voucher as a requester does."""
        places = self.contracts.places
        pair: PairTerms = places.pair("skyops", account(requester), account(worker), holdback_bps=1000)
        items = (VoucherItemPart(lane=ZERO_HASH, interval=1, counts=NOTHING_COUNTED),)
        return sign_voucher(pair, requester, cumulative=cumulative, receipts_root=root, items=items)


NOTHING_COUNTED = CountsPart(runtime_ms=0, gpu_ms=0, cpu_ms=0, memory_mib_s=0, moved_bytes=0)


@asynccontextmanager
async def embedded() -> AsyncIterator[str]:
    """Run an embedded chain in this process, in memory."""
    chain = EmbeddedChain(ChainDisk(None), chain_id=CHAIN_ID)
    async with trio.open_nursery() as nursery:
        ports: list[int] = []
        is_ready = trio.Event()

        def ready(port: int) -> None:
            ports.append(port)
            is_ready.set()

        async def run() -> None:
            await serve(Rpc(chain).answer, port=0, is_ready=ready)

        nursery.start_soon(run)
        await is_ready.wait()
        yield f"http://127.0.0.1:{ports[0]}"
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def open_market(url: str) -> AsyncIterator[Market]:
    """Deploy the contracts and give alice, bob and carol 10 of the coin and 10,000 SKYOPS."""
    with trio.fail_after(PATIENCE_S):
        async with open_chain([url], chain_id=CHAIN_ID) as chain:
            governor = QuickAccount(chain, GOVERNOR, nonce=0)
            own = governor.account
            terms = DeploymentTerms(own, Wei(10**9 * ONE), Wei(100 * ONE), own, own, own)
            places = await deploy_contracts(chain, governor, terms)
            contracts = contracts_at(chain, places)
            for wallet in (ALICE, BOB, CAROL):
                await governor.execute("coin", pay(wallet, 10 * ONE))
                await governor.execute("tokens", contracts.token.transfer(account(wallet), Wei(10_000 * ONE)))
            await governor.check()
            yield Market(url, chain, contracts)


def pay(wallet: Wallet, amount: int) -> Order:
    return Order(wallet.address, value_wei=Wei(amount))


@pytest.fixture
async def market(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Market]:
    """On the embedded chain, unless the test is parametrised with "anvil"."""
    if getattr(request, "param", "embedded") == "anvil":
        program = request.getfixturevalue("anvil_program")
        with run_anvil(program, tmp_path / "anvil.log") as url:
            async with open_market(url) as found:
                yield found
        return
    async with embedded() as url, open_market(url) as found:
        yield found
