"""Sends for one account of a test chain without a journal: signed here, offered, not waited for.

For accounts that nobody else uses meanwhile, on a chain that makes a block for each transaction. What did not work
shows in `check`. An order's gas is not estimated but bounded, which saves most of the time.
"""

from skyops_p2p.adapters.chain import KeySigner
from skyops_p2p.core.chain.facts import Fees, Order
from skyops_p2p.crypto.wallet import Wallet, address_to_bytes
from skyops_p2p.errors import ChainRefusal
from skyops_p2p.ports import Chain
from skyops_p2p.testnet.chain.development import created_account
from skyops_p2p.types import Wei

CREATION_GAS_MAX = 8_000_000
"""More than the largest contract takes."""
CALL_GAS_MAX = 500_000
"""More than any call takes that prepares a test network."""
FEES = Fees(max_fee_wei=Wei(20 * 10**9), tip_wei=Wei(10**9))
"""Blocks of one transaction are nearly empty, so that the base fee only falls."""


class QuickAccount:
    """One account; also an adapters.contracts.deployment.Executor.

    Args:
        chain: A test chain.
        wallet: Signs.
        nonce: Its next one.
    """

    def __init__(self, chain: Chain, wallet: Wallet, *, nonce: int) -> None:
        self._chain = chain
        self._signer = KeySigner(wallet)
        self._nonce = nonce
        self._sent: dict[bytes, str] = {}
        """{hash: step}"""

    @property
    def account(self) -> bytes:
        """Who sends, 20 bytes."""
        return address_to_bytes(self._signer.account)

    async def create(self, step: str, data: bytes) -> bytes:
        """Deploy a contract and return its account."""
        created = created_account(self.account, self._nonce)
        await self._offer(step, Order(None, data, gas_max=CREATION_GAS_MAX))
        return created

    async def execute(self, step: str, order: Order) -> None:
        """Send an order.

        Raises:
            ChainError: The chain cannot be asked.
            ChainRefusal: It does not take the transaction.
        """
        await self._offer(step, order)

    async def check(self) -> None:
        """See to it that all that was sent had its effect; asks for each receipt, which takes longer than sending.

        Raises:
            ChainRefusal: `transaction_reverted`, naming the step.
        """
        for transaction_hash, step in self._sent.items():
            receipt = await self._chain.receipt(transaction_hash)
            if receipt is None or not receipt.is_success:
                raise ChainRefusal(f"the step {step!r} had no effect", code="transaction_reverted")
        self._sent.clear()

    async def _offer(self, step: str, order: Order) -> None:
        raw, transaction_hash = await self._signer.sign(
            order,
            chain_id=self._chain.chain_id,
            nonce=self._nonce,
            gas=order.gas_max or CALL_GAS_MAX,
            fees=FEES,
        )
        self._nonce += 1
        self._sent[transaction_hash] = step
        await self._chain.offer(raw, transaction_hash=transaction_hash)
