"""The port Chain over an EndpointPool."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from skyops_p2p import limits
from skyops_p2p.adapters.chain import parsing
from skyops_p2p.adapters.chain.endpoint import KNOWN_WORDS, Endpoint
from skyops_p2p.adapters.chain.pool import EndpointPool
from skyops_p2p.core.chain.facts import Block, Log, LogFilter, Order, Receipt
from skyops_p2p.core.chain.following import blocks_to_check, check_logs
from skyops_p2p.errors import ChainError, ChainRefusal
from skyops_p2p.types import WalletAddress, Wei


@asynccontextmanager
async def open_chain(
    urls: Sequence[str],
    *,
    chain_id: int,
    genesis: bytes | None = None,
    timeout_s: float = limits.CHAIN_REQUEST_TIMEOUT_S,
) -> AsyncIterator["JsonRpcChain"]:
    """Open a chain; nothing is asked yet.

    Args:
        urls: Endpoints in the order of preference, 1 to CHAIN_ENDPOINTS_MAX.
        chain_id: What each must have.
        genesis: Hash of block 0 if it is known.
        timeout_s: For one answer of one endpoint.
    """
    pool = EndpointPool(
        [Endpoint(url, timeout_s=timeout_s) for url in urls], chain_id=chain_id, genesis=genesis
    )
    try:
        yield JsonRpcChain(pool)
    finally:
        await pool.aclose()


class JsonRpcChain:
    """A chain; see the port. Methods are documented there."""

    def __init__(self, pool: EndpointPool) -> None:
        self._pool = pool

    @property
    def chain_id(self) -> int:
        """The EVM chain id that every endpoint must have."""
        return self._pool.chain_id

    async def genesis(self) -> bytes:
        """Return the hash of block 0."""
        await self._pool.ask(parsing.quantity, "eth_blockNumber")  # checks the endpoint first
        assert self._pool.genesis is not None
        return self._pool.genesis

    async def head(self) -> Block:
        """Return the last block."""

        def read(answer: Any) -> Block:
            found = parsing.block(answer)
            self._pool.accept_head(found.number)
            return found

        return await self._pool.ask(read, "eth_getBlockByNumber", "latest", False)

    async def block(self, number: int) -> Block | None:
        """Return a block by its number, or None."""

        def read(answer: Any) -> Block | None:
            if answer is None:
                return None
            found = parsing.block(answer)
            if found.number != number:
                raise ChainError(f"block {found.number} came instead of {number}", code="rpc_lied")
            return found

        return await self._pool.ask(read, "eth_getBlockByNumber", hex(number), False)

    async def balance(self, account: WalletAddress) -> Wei:
        """Return what an account holds of the chain's own coin."""
        return Wei(await self._pool.ask(parsing.quantity, "eth_getBalance", account, "latest"))

    async def code(self, account: WalletAddress) -> bytes:
        """Return a contract's code."""
        return await self._pool.ask(parsing.octets, "eth_getCode", account, "latest")

    async def nonce(self, account: WalletAddress, *, at: int | None = None) -> int:
        """Return an account's next nonce."""
        tag = "pending" if at is None else hex(at)
        return await self._pool.ask(parsing.quantity, "eth_getTransactionCount", account, tag)

    async def call(
        self, order: Order, *, sender: WalletAddress | None = None, at: int | None = None
    ) -> bytes:
        """Run an order without keeping its effects."""
        tag = "latest" if at is None else hex(at)
        return await self._pool.ask(parsing.octets, "eth_call", _request(order, sender), tag)

    async def estimate(self, order: Order, *, sender: WalletAddress) -> int:
        """Return the gas that an order takes, about."""
        return await self._pool.ask(parsing.quantity, "eth_estimateGas", _request(order, sender))

    async def suggested_tip(self) -> Wei:
        """Return what makers of blocks ask for one gas."""
        return Wei(await self._pool.ask(parsing.quantity, "eth_maxPriorityFeePerGas"))

    async def offer(self, raw: bytes, *, transaction_hash: bytes) -> None:
        """Give the chain a signed transaction."""

        def read(answer: Any) -> None:
            if parsing.octets(answer, 32) != transaction_hash:
                raise ChainError("another transaction's hash came back", code="rpc_lied")

        try:
            await self._pool.ask(read, "eth_sendRawTransaction", "0x" + raw.hex())
        except ChainRefusal as refusal:
            if not any(words in refusal.message.lower() for words in KNOWN_WORDS):
                raise

    async def receipt(self, transaction_hash: bytes) -> Receipt | None:
        """Return a receipt whose block is in the chain now, or None."""

        def read(answer: Any) -> Receipt | None:
            if answer is None:
                return None
            found = parsing.receipt(answer)
            if found.transaction_hash != transaction_hash:
                raise ChainError("the receipt of another transaction came", code="rpc_lied")
            return found

        found = await self._pool.ask(read, "eth_getTransactionReceipt", "0x" + transaction_hash.hex())
        if found is None:
            return None
        block = await self.block(found.block_number)
        return found if block is not None and block.hash == found.block_hash else None

    async def logs(self, wanted: LogFilter, first: int, last: int) -> tuple[Log, ...]:
        """Return the events of blocks `first` to `last`; see the port.

        Endpoints have bounds of their own: when one finds the range too large, it is halved.
        """
        assert last - first < limits.CHAIN_LOG_BLOCKS_MAX
        found: list[Log] = []
        spans = [(first, last)]
        while spans:  # at most 2 * CHAIN_LOG_BLOCKS_MAX steps: each halves a span or ends it
            low, high = spans.pop()
            try:
                found += await self._logs_of(wanted, low, high)
            except ChainError as error:
                if low == high or error.code not in {"rpc_limited", "chain_refused", "rpc_garbage"}:
                    raise
                middle = (low + high) // 2
                spans += [(middle + 1, high), (low, middle)]
        for number, block_hash in blocks_to_check(found).items():
            block = await self.block(number)
            if block is None or block.hash != block_hash:
                raise ChainError(f"block {number} changed while it was read", code="chain_moved")
        return tuple(found)

    async def _logs_of(self, wanted: LogFilter, first: int, last: int) -> tuple[Log, ...]:
        def read(answer: Any) -> tuple[Log, ...]:
            found = parsing.logs(answer)
            check_logs(found, wanted, first, last)
            return found

        topics = [["0x" + topic.hex() for topic in wanted.topics]] if wanted.topics else []
        query = {
            "address": list(wanted.addresses),
            "topics": topics,
            "fromBlock": hex(first),
            "toBlock": hex(last),
        }
        return await self._pool.ask(read, "eth_getLogs", query)


def _request(order: Order, sender: WalletAddress | None) -> dict[str, str]:
    fields = {"data": "0x" + order.data.hex(), "value": hex(order.value_wei)}
    if order.to is not None:
        fields["to"] = order.to
    if sender is not None:
        fields["from"] = sender
    if order.gas_max is not None:
        fields["gas"] = hex(order.gas_max)
    return fields
