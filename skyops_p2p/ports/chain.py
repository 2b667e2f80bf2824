"""The chain port: money only. What is asked of an EVM chain, and how a transaction is sent once and followed.

The node's code is the same over the embedded chain, anvil and any public chain. Every call may raise ChainError, of a
single endpoint: `rpc_unreachable`, `rpc_timeout`, `rpc_garbage`, `rpc_busy`, `rpc_limited`, `rpc_broken`, `rpc_lied`,
`chain_moved`, `chain_wrong`, `chain_replaced`, `chain_went_back`; of several: `chain_unavailable`. All of them may
pass. ChainRefusal is the chain's own answer: the same question gets it again.
"""

from collections.abc import Mapping
from typing import Protocol

from skyops_p2p.core.chain.facts import Block, Fees, Log, LogFilter, Order, Receipt
from skyops_p2p.core.chain.following import LogBatch
from skyops_p2p.core.chain.transaction import Outcome, WaitingOrder
from skyops_p2p.types import WalletAddress, Wei


class StakeCheck(Protocol):
    """Asks the chain whether a wallet's stake suffices; neutral where nothing is paid."""

    async def is_sufficient(self, wallet: WalletAddress) -> bool:
        """Return whether the wallet holds at least the network's minimum stake.

        Raises:
            ChainError: The chain cannot be asked (retryable).
        """


class Chain(Protocol):
    """Reads a chain and gives it signed transactions. Answers are checked for form, and for lies that show."""

    @property
    def chain_id(self) -> int:
        """The EVM chain id that every endpoint must have."""

    async def genesis(self) -> bytes:
        """Return the hash of block 0: two chains with one id are told apart by it."""

    async def head(self) -> Block:
        """Return the last block."""

    async def block(self, number: int) -> Block | None:
        """Return a block by its number, or None if the chain is not as long."""

    async def balance(self, account: WalletAddress) -> Wei:
        """Return what an account holds of the chain's own coin."""

    async def code(self, account: WalletAddress) -> bytes:
        """Return a contract's code; empty for an account without."""

    async def nonce(self, account: WalletAddress, *, at: int | None = None) -> int:
        """Return an account's next nonce.

        Args:
            account: Whose.
            at: After this block; None: after the transactions that wait, too.
        """

    async def call(
        self, order: Order, *, sender: WalletAddress | None = None, at: int | None = None
    ) -> bytes:
        """Run an order without keeping its effects, and return what it returns.

        Args:
            order: `to` is a contract.
            sender: Who would send it.
            at: After this block; None: after the last.

        Raises:
            ChainRefusal: `call_reverted`, with what it returned in `data`.
        """

    async def estimate(self, order: Order, *, sender: WalletAddress) -> int:
        """Return the gas that an order takes, about.

        Raises:
            ChainRefusal: `call_reverted`, `funds_missing`.
        """

    async def suggested_tip(self) -> Wei:
        """Return what makers of blocks ask for one gas, as the endpoint sees it."""

    async def offer(self, raw: bytes, *, transaction_hash: bytes) -> None:
        """Give the chain a signed transaction; one that it has already is no error.

        Raises:
            ChainRefusal: `nonce_low`, `fee_low`, `funds_missing`, `chain_refused`.
        """

    async def receipt(self, transaction_hash: bytes) -> Receipt | None:
        """Return a receipt whose block is in the chain now, or None."""

    async def logs(self, wanted: LogFilter, first: int, last: int) -> tuple[Log, ...]:
        """Return the events of blocks `first` to `last`, in order, each in a block that is in the chain now.

        Args:
            wanted: Which events.
            first: First block.
            last: At most CHAIN_LOG_BLOCKS_MAX blocks in all.
        """


class Signer(Protocol):
    """Signs transactions of one account: a key here, or a device elsewhere."""

    @property
    def account(self) -> WalletAddress:
        """Whose transactions it signs."""

    async def sign(
        self, order: Order, *, chain_id: int, nonce: int, gas: int, fees: Fees
    ) -> tuple[bytes, bytes]:
        """Return a signed transaction of type 2 and its hash."""

    async def sign_typed(self, digest: bytes, document: Mapping[str, object]) -> bytes:
        """Return r, s and v (27 or 28) of the account over a typed document (EIP-712).

        Args:
            digest: 32 bytes; what is signed.
            document: The same as JSON, for a signer that shows or makes it.
        """


class Sender(Protocol):
    """Sends transactions of one account, each once, whatever happens to this process, the endpoints and the chain."""

    @property
    def account(self) -> WalletAddress:
        """Who sends."""

    @property
    def signer(self) -> Signer:
        """Signs for the account."""

    @property
    def last_refusal(self) -> str | None:
        """Why the chain did not take what was offered last, for people; None if it did."""

    async def send(self, key: str, order: Order) -> None:
        """Have an order executed once; returns when it is in the journal, so that kill -9 does not lose it.

        The same key and order again change nothing, also after a restart, while the outcome is remembered
        (CHAIN_ENDED_KEPT_MAX).

        Args:
            key: The caller's name for it, at most CHAIN_KEY_CHARS_MAX characters.
            order: What it does.

        Raises:
            ChainRefusal: `call_reverted`, `funds_missing`: it would fail now; nothing is in the journal.
            ChainError: `outbox_full`, `fees_too_high`, `order_too_large`, `key_reused` (another order has the key).
        """

    async def wait(self, key: str) -> Outcome:
        """Wait for the end of an order; without a deadline of its own, since a chain may rest for hours.

        Raises:
            ChainError: `unknown_order`.
        """

    def outcome(self, key: str) -> Outcome | None:
        """Return how an order ended, or None while it has not."""

    async def cancel(self, key: str) -> None:
        """Have an order that waits do nothing, by a replacement with its nonce that pays more; twice is as once.

        Returns when that is in the journal. The order ends as `cancelled`, or as it would have, if a block takes it
        first.

        Raises:
            ChainRefusal: `order_in_block`: too late.
            ChainError: `unknown_order`, `fees_too_high`, or the chain cannot be asked.
        """

    def waiting(self) -> tuple[WaitingOrder, ...]:
        """Return the orders that have not ended, lowest nonce first."""

    def known_keys(self) -> tuple[str, ...]:
        """Return the keys of all orders that have not ended, or whose outcome is remembered."""

    def newest_hash(self, key: str) -> bytes | None:
        """Return the hash of the transaction that carries an order, of the newest if its fee was raised; None: no order
        has the key."""


class Follower(Protocol):
    """Hands out a contract's events, in order, each at least once, none that a reorganisation could take back."""

    async def next(self) -> LogBatch:
        """Wait for further events; the batch before must be done.

        Raises:
            ChainError: `reorg_too_deep`: nothing more comes until a person has looked.
        """

    async def done(self, batch: LogBatch) -> None:
        """Note for good that a batch was dealt with; without this it comes again after a restart."""
