"""The money port: what a node asks of the contracts for its own wallet, and what it has them do.

What changes something is sent once for a key, is in the journal when the call returns, and ends when it ends: nobody
waits for a block while a job runs. Every call may raise ChainError (it may pass) or ChainRefusal (it will not).
"""

from collections.abc import Sequence
from typing import Protocol

from skyops_p2p.core.chain.transaction import Outcome
from skyops_p2p.core.settlement.funds import AccountStake, ContractSet, PairFunds, RedemptionQuote
from skyops_p2p.core.settlement.receipts import DoubleHistory
from skyops_p2p.types import Wei
from skyops_p2p.wire.messages.settlement import Voucher


class Money(Protocol):
    """The contracts of one network, used by one wallet."""

    @property
    def contracts(self) -> ContractSet:
        """Where they are."""

    @property
    def account(self) -> bytes:
        """The wallet, 20 bytes."""

    async def pair_funds(self, requester: bytes, worker: bytes) -> PairFunds:
        """Return the SKYOPS of a pair, after the last block."""

    async def stake_of(self, account: bytes) -> AccountStake:
        """Return what a wallet has at stake, after the last block.

        Args:
            account: 20 bytes; of one that never registered all is 0.
        """

    async def staked(self) -> Wei:
        """Return what all wallets have in the registry, what is unbonding among it, after the last block."""

    async def block_before(self, unix_s: int) -> bytes:
        """Return the hash of the last block that is not later than an instant; of block 0 if there is none.

        Args:
            unix_s: Unix seconds; so long ago that no other block can come before it.
        """

    async def coin_price(self) -> int:
        """Return how many SKYOPS one of the chain's coins counts, as the contracts say it (Parameters, key 9)."""

    async def allot(self, key: str, worker: bytes, amount: Wei) -> None:
        """Move SKYOPS of this wallet's deposit to the allotment of one worker.

        Raises:
            ChainRefusal: `call_reverted` (the deposit is too small), `funds_missing` (no coin for the gas).
        """

    async def quote(self, vouchers: Sequence[Voucher]) -> RedemptionQuote:
        """Return what redeeming vouchers would bring now.

        Args:
            vouchers: 1 to VOUCHERS_PER_BATCH_MAX, of this wallet as the worker.
        """

    async def redeem(self, key: str, vouchers: Sequence[Voucher]) -> None:
        """Redeem vouchers of this wallet as the worker, in one transaction.

        Args:
            key: The caller's name for it.
            vouchers: 1 to VOUCHERS_PER_BATCH_MAX, each of another requester.
        """

    async def quote_release(self, requester: bytes) -> RedemptionQuote:
        """Return what `release` would bring now; all zero where nothing is held.

        Raises:
            ChainRefusal: `call_reverted`: it is disputed, or its window is open.
        """

    async def release(self, key: str, requester: bytes) -> None:
        """Have a holdback credited whose window has closed."""

    async def accuse(self, key: str, history: DoubleHistory) -> bool:
        """Show a double history to the contract, which slashes its account; False: it has nothing to slash.

        Raises:
            ChainRefusal: `call_reverted` (it was shown already, or proves nothing), `funds_missing`.
        """

    def outcome(self, key: str) -> Outcome | None:
        """Return how something that was sent ended, or None while it has not."""

    async def wait(self, key: str) -> Outcome:
        """Wait for that end; a chain may rest for hours.

        Raises:
            ChainError: `unknown_order`.
        """
