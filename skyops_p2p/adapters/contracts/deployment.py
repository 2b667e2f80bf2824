"""Puts a new set of contracts on a chain, in the order of contracts/README.md, and publishes it.

The steps are the same for a public chain, where each is journalled and waited for, and for a fresh test chain, where
they follow each other unseen: an Executor says how one is carried out. Every step has a name that never changes, so
that a deployment which was killed goes on where it stopped: what the journal has is not sent again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from skyops_p2p.adapters.contracts.artifacts import artifact
from skyops_p2p.adapters.contracts.finding import PUBLISHED, check_wiring, contracts_at
from skyops_p2p.core.chain.endings import confirmed
from skyops_p2p.adapters.contracts.refusals import explained
from skyops_p2p.core.chain.facts import Order
from skyops_p2p.core.settlement.funds import ContractSet
from skyops_p2p.crypto.wallet import address_from_bytes, address_to_bytes
from skyops_p2p.errors import ChainRefusal
from skyops_p2p.ports import Chain, Sender, Store
from skyops_p2p.types import Wei

_DONE_NAME = "contracts-deployed-{}"
"""In the store: how many deployments were finished, and the Directory of the last."""
_NUMBER_BYTES = 4


STEP_COUNT = 7 + 2 + len(PUBLISHED)
"""Transactions of a deployment."""
GIVEN_COIN = Wei(100 * 10**18)
"""To whoever begins on a test chain."""
GIVEN_TOKENS = Wei(100_000 * 10**18)


@dataclass(frozen=True, slots=True)
class DeploymentTerms:
    """What is chosen when contracts are deployed; the deployer becomes the governor. Accounts are 20 bytes."""

    holder: bytes
    """Gets the whole supply of SKYOPS."""
    supply: Wei
    faucet: Wei
    """What the faucet gives, once a day and account; above 0 on test networks only."""
    guardian: bytes
    bonus_pool: bytes
    verification_fund: bytes


class Executor(Protocol):
    """Carries out the steps of one account."""

    @property
    def account(self) -> bytes:
        """Who deploys, 20 bytes."""

    async def create(self, step: str, data: bytes) -> bytes:
        """Deploy a contract and return its account."""

    async def execute(self, step: str, order: Order) -> None:
        """Send an order."""


class JournalledExecutor:
    """Waits for each step; after a restart it goes on by itself.

    Args:
        chain: Where the steps' receipts are.
        sender: Of the deployer.
        number: Of the deployment, from 1: part of the steps' keys.
        progress: Told what was done.
    """

    def __init__(self, chain: Chain, sender: Sender, *, number: int, progress: Callable[[str], None]) -> None:
        self._chain = chain
        self._sender = sender
        self._number = number
        self._progress = progress
        self.gas_used = 0
        """By the steps so far."""
        self.fee_wei = 0

    @property
    def account(self) -> bytes:
        """Who deploys."""
        return address_to_bytes(self._sender.account)

    async def create(self, step: str, data: bytes) -> bytes:
        """Deploy a contract and return its account."""
        transaction_hash = await self._do(step, Order(None, data))
        self._progress(step)
        receipt = await self._chain.receipt(transaction_hash)
        if receipt is None or receipt.created is None:
            raise ChainRefusal(f"the chain has lost the receipt of {step}", code="contracts_missing")
        return address_to_bytes(receipt.created)

    async def execute(self, step: str, order: Order) -> None:
        """Send an order and wait for it."""
        await self._do(step, order)
        self._progress(step)

    async def give(self, places: ContractSet, to: bytes) -> None:
        """Give an account coin and SKYOPS from the deployer's, for a first step on a test chain; once."""
        token = contracts_at(self._chain, places).token
        await self._do("give-coin", Order(address_from_bytes(to), value_wei=GIVEN_COIN))
        await self._do("give-tokens", token.transfer(to, GIVEN_TOKENS))

    async def _do(self, step: str, order: Order) -> bytes:
        key = f"deploy-{self._number}-{step}"
        try:
            await self._sender.send(key, order)
        except ChainRefusal as refusal:
            raise explained(refusal) from refusal
        outcome = confirmed(await self._sender.wait(key))
        self.gas_used += outcome.gas_used
        self.fee_wei += outcome.fee_wei
        return outcome.transaction_hash


class StepCounter:
    """Tells how far a deployment is.

    Args:
        tell: Takes a line.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._count = 0

    def done(self, step: str) -> None:
        """Count a step."""
        self._count += 1
        self._tell(f"{self._count} of {STEP_COUNT} transactions done, the last: {step}")


async def deploy_contracts(chain: Chain, executor: Executor, terms: DeploymentTerms) -> ContractSet:
    """Deploy all contracts, bind and publish them; return where they are.

    Args:
        chain: Where.
        executor: Of the deployer, who becomes the governor.
        terms: What is chosen.

    Raises:
        ChainError, ChainRefusal: As the port Sender; what was done stays done.
    """

    async def create(name: str, *values: object) -> bytes:
        return await executor.create(name, artifact(name).creation(*values))

    deployer = executor.account
    token = await create("SkyopsToken", terms.holder, terms.supply, terms.faucet)
    roles = (deployer, terms.guardian, terms.bonus_pool, terms.verification_fund)
    parameters = await create("Parameters", *roles)
    directory = await create("Directory", parameters)
    registry = await create("NodeRegistry", parameters, token)
    settlement = await create("Settlement", parameters, token, registry)
    disputes = await create("Disputes", parameters, registry, settlement)
    reservations = await create("Reservations", parameters, registry, token)
    places = ContractSet(
        chain_id=chain.chain_id,
        directory=directory,
        parameters=parameters,
        token=token,
        settlement=settlement,
        registry=registry,
        disputes=disputes,
        reservations=reservations,
    )
    at = contracts_at(chain, places)
    slashers = at.registry.order("bind_slashers(address,address)", disputes, reservations)
    await executor.execute("bind_slashers", slashers)
    await executor.execute("bind_arbiter", at.settlement.order("bind_arbiter(address)", disputes))
    targets = (parameters, token, settlement, registry, disputes, reservations)
    for name, target in zip(PUBLISHED, targets, strict=True):
        await executor.execute(f"publish-{name}", at.directory.publish(name, target))
    return places


async def deploy_journalled(
    chain: Chain,
    sender: Sender,
    store: Store,
    terms: DeploymentTerms,
    *,
    is_another: bool,
    progress: Callable[[str], None],
) -> tuple[ContractSet, JournalledExecutor]:
    """Deploy with a journal: a deployment that was killed goes on, one that was finished is not made again.

    Args:
        chain: Where.
        sender: Of the deployer.
        store: Remembers the deployments that were finished.
        terms: What is chosen; the same as before, if it goes on.
        is_another: Make another set beside one that was finished.
        progress: Told each step that is done.

    Returns:
        The contracts, and the executor with what it has cost.

    Raises:
        ChainRefusal: `contracts_deployed`: this data directory has finished one on this chain.
        ChainError: `key_reused`: it goes on, but with other terms.
    """
    name = _DONE_NAME.format(chain.chain_id)
    done = await store.value(name) or bytes(_NUMBER_BYTES)
    number, last = int.from_bytes(done[:_NUMBER_BYTES], "big"), done[_NUMBER_BYTES:]
    if last and not is_another:
        address = address_from_bytes(last)
        raise ChainRefusal(
            f"contracts were deployed from here before: their Directory is {address}",
            code="contracts_deployed",
            hint=f'Use them with payment.directory = "{address}", or deploy another set with --another.',
        )
    executor = JournalledExecutor(chain, sender, number=number + 1, progress=progress)
    places = await deploy_contracts(chain, executor, terms)
    await check_wiring(contracts_at(chain, places))
    await store.set_value(name, (number + 1).to_bytes(_NUMBER_BYTES, "big") + places.directory)
    return places, executor
