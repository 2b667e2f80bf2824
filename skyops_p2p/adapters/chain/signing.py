"""Signs transactions of type 2 (EIP-1559) with a key of this process, through eth-account."""

from collections.abc import Mapping
from typing import Any

from skyops_p2p.core.chain.facts import Fees, Order
from skyops_p2p.crypto.wallet import Wallet
from skyops_p2p.types import WalletAddress


class KeySigner:
    """Signs with a wallet's key.

    Args:
        wallet: The key; it is handed to eth-account and nowhere else.
    """

    def __init__(self, wallet: Wallet) -> None:
        from eth_account import Account  # takes long to import, and only who sends needs it

        self._account: Any = Account.from_key(wallet.secret)
        self._wallet = wallet

    @property
    def account(self) -> WalletAddress:
        """Whose transactions it signs."""
        return self._wallet.address

    async def sign_typed(self, digest: bytes, document: Mapping[str, object]) -> bytes:
        """Return the account's signature over a typed document; see the port."""
        del document
        return self._wallet.sign_digest(digest)

    async def sign(
        self, order: Order, *, chain_id: int, nonce: int, gas: int, fees: Fees
    ) -> tuple[bytes, bytes]:
        """Return a signed transaction and its hash."""
        signed = self._account.sign_transaction(
            {
                "type": 2,
                "chainId": chain_id,
                "nonce": nonce,
                "to": order.to or "",
                "data": order.data,
                "value": order.value_wei,
                "gas": gas,
                "maxFeePerGas": fees.max_fee_wei,
                "maxPriorityFeePerGas": fees.tip_wei,
            }
        )
        return bytes(signed.raw_transaction), bytes(signed.hash)
