"""The chain port: money only."""

from typing import Protocol

from skyops_p2p.types import WalletAddress


class StakeCheck(Protocol):
    """Asks the chain whether a wallet's stake suffices; neutral until settlement exists."""

    async def is_sufficient(self, wallet: WalletAddress) -> bool:
        """Return whether the wallet holds at least the network's minimum stake.

        Raises:
            ChainError: The chain cannot be asked (retryable).
        """
