"""The embedded chain itself: py-evm with a pool of waiting transactions, and a block for each one that can run.

Rules are those of Cancun without a consensus: whoever asks for a block gets one. Block times follow the wall clock, but
each lies a second after its parent at least, as the EVM wants; so a burst of transactions runs ahead of the clock.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from eth import constants
from eth.abc import BlockAPI, BlockHeaderAPI, LogAPI, ReceiptAPI, SignedTransactionAPI, StateAPI
from eth.chains.base import MiningChain
from eth.db.atomic import AtomicDB
from eth.exceptions import HeaderNotFound, TransactionNotFound
from eth.vm.forks.cancun import CancunVM
from eth_typing import Address, BlockNumber
from eth_utils.exceptions import ValidationError
from rlp.exceptions import RLPException  # type: ignore[import-untyped] # it ships no annotations

from skyops_p2p import limits
from skyops_p2p.testnet.chain.branches import branch_mark, forget_block, set_head
from skyops_p2p.testnet.chain.calls import CallRequest, estimate_gas, run_call
from skyops_p2p.testnet.chain.disk import ChainDisk
from skyops_p2p.testnet.chain.genesis import first_accounts, genesis
from skyops_p2p.testnet.chain.refusals import Refused

REPLACEMENT_PERCENT = 10
"""How much more a transaction must pay to take the place of a waiting one, as geth and anvil ask."""
POOL_MAX = 4096
"""Waiting transactions; more are refused."""
GAP_MAX = 256
"""How far a nonce may lie ahead of its account's."""


@dataclass(frozen=True, slots=True)
class Mined:
    """A transaction in its block."""

    block: BlockAPI
    index: int
    transaction: SignedTransactionAPI
    receipt: ReceiptAPI
    gas_used: int
    logs_before: int
    """Logs of the block before its first."""


class EmbeddedChain:
    """One chain with one writer.

    Args:
        disk: Its state; an empty one gets a new chain.
        chain_id: Its EVM chain id.
    """

    def __init__(self, disk: ChainDisk, *, chain_id: int) -> None:
        number = chain_id

        class Chain(MiningChain):
            chain_id = number
            vm_configuration = ((BlockNumber(0), CancunVM),)

            def create_header_from_parent(
                self, parent_header: BlockHeaderAPI, **header_params: Any
            ) -> BlockHeaderAPI:
                return super().create_header_from_parent(
                    parent_header, **(header_params | {"gas_limit": parent_header.gas_limit})
                )

        self._disk = disk
        self._kind = Chain
        self.chain_id = chain_id
        self.is_automining = True
        """Whether each transaction that can run gets a block at once."""
        self.ahead_s = 0
        """Seconds that block times run ahead of the wall clock, as a test asked."""
        self._pool: dict[tuple[bytes, int], SignedTransactionAPI] = {}
        """{(sender, nonce): waiting transaction}"""
        if len(disk):
            self._chain: Any = Chain(AtomicDB(disk))
        else:
            self._chain = Chain.from_genesis(AtomicDB(disk), genesis(int(time.time())), first_accounts())
            disk.flush()

    # --- reading ------------------------------------------------------------------------------------------------

    @property
    def head(self) -> BlockHeaderAPI:
        """The last block's header."""
        header: BlockHeaderAPI = self._chain.get_canonical_head()
        return header

    def header(self, number: int) -> BlockHeaderAPI | None:
        """Return a block's header, or None."""
        try:
            header: BlockHeaderAPI = self._chain.get_canonical_block_header_by_number(number)
        except HeaderNotFound:
            return None
        return header

    def hash_of(self, number: int) -> bytes:
        """Return the hash of a block that is there."""
        block_hash: bytes = self._chain.get_canonical_block_header_by_number(number).hash
        return block_hash

    def number_of(self, block_hash: bytes) -> int | None:
        """Return the number of a block of the chain, or None, also for one that was taken back."""
        try:
            number: int = self._chain.get_block_header_by_hash(block_hash).block_number
        except HeaderNotFound:
            return None
        standing = self.header(number)
        return number if standing is not None and standing.hash == block_hash else None

    def block(self, number: int) -> BlockAPI:
        """Return a block that is there, with its transactions."""
        block: BlockAPI = self._chain.get_canonical_block_by_number(number)
        return block

    def state(self, number: int) -> StateAPI:
        """Return the state after a block that is there."""
        state: StateAPI = self._chain.get_vm(self.header(number)).state
        return state

    def pending_nonce(self, account: bytes) -> int:
        """Return the nonce after those of the waiting transactions that follow each other."""
        nonce: int = self.state(self.head.block_number).get_nonce(Address(account))
        while (account, nonce) in self._pool:
            nonce += 1
        return nonce

    def waiting(self, transaction_hash: bytes) -> SignedTransactionAPI | None:
        """Return a transaction that waits, or None."""
        return next((one for one in self._pool.values() if one.hash == transaction_hash), None)

    def mined(self, transaction_hash: bytes) -> Mined | None:
        """Return a transaction with its receipt, or None if no block has it."""
        try:
            number, index = self._chain.chaindb.get_transaction_index(transaction_hash)
        except TransactionNotFound:
            return None
        block = self.block(number)
        return self._mined(block, block.get_receipts(self._chain.chaindb), index)

    def logs(self, first: int, last: int) -> Iterator[tuple[Mined, int, LogAPI]]:
        """Go over the logs of blocks; each with its transaction, and its index in the block."""
        for number in range(first, last + 1):
            header = self.header(number)
            if header is None or not header.bloom:
                continue
            block = self.block(number)
            receipts = block.get_receipts(self._chain.chaindb)
            for index, receipt in enumerate(receipts):
                mined = self._mined(block, receipts, index)
                for offset, log in enumerate(receipt.logs):
                    yield mined, mined.logs_before + offset, log

    def call(self, request: CallRequest, number: int, *, is_next: bool = False) -> bytes:
        """Run a call after a block without keeping its effects.

        Args:
            request: The call.
            number: Of the block.
            is_next: At the time of the block that comes next, not of this one.

        Raises:
            Refused: It reverts, or cannot be paid.
        """
        return run_call(self._vm_after(number, is_next=is_next), request, is_next=is_next)

    def estimate(self, request: CallRequest, number: int, *, is_next: bool = False) -> int:
        """Return gas that suffices, at most about 1,000 too much; see `call`.

        Raises:
            Refused: As `call`.
        """
        return estimate_gas(self._vm_after(number, is_next=is_next), request, is_next=is_next)

    def _vm_after(self, number: int, *, is_next: bool) -> Any:
        """Return the machine after a block, at its time or at that of the block that comes next.

        A chain that makes a block only when there is a transaction would else find every delay not over yet, as long
        as nobody sends one.
        """
        header = self.header(number)
        if header is not None and is_next:
            header = header.copy(timestamp=self._next_time())
        return self._chain.get_vm(header)

    # --- writing ------------------------------------------------------------------------------------------------

    def send(self, raw: bytes) -> bytes:
        """Take a signed transaction; return its hash.

        Raises:
            Refused: It cannot be taken, in the words of geth.
        """
        transaction = self._decoded(raw)
        key = (transaction.sender, transaction.nonce)
        other = self._pool.get(key)
        if other is not None:
            if other.hash == transaction.hash:
                self._mine_waiting()
                raise Refused("already known")
            floor = other.max_fee_per_gas * (100 + REPLACEMENT_PERCENT)
            tip_floor = other.max_priority_fee_per_gas * (100 + REPLACEMENT_PERCENT)
            if (
                transaction.max_fee_per_gas * 100 < floor
                or transaction.max_priority_fee_per_gas * 100 < tip_floor
            ):
                raise Refused("replacement transaction underpriced")
        elif len(self._pool) >= POOL_MAX:
            raise Refused("txpool is full")
        self._pool[key] = transaction
        self._mine_waiting()
        return bytes(transaction.hash)

    def _mine_waiting(self) -> None:
        """Make a block for each transaction that can run, if that is wanted."""
        while self.is_automining and self._runnable():
            self.mine(transactions_max=1)

    def mine(self, *, transactions_max: int = POOL_MAX) -> None:
        """Make a block of the waiting transactions that can run, or an empty one."""
        self._chain.set_header_timestamp(self._next_time())
        taken = 0
        while taken < transactions_max and (runnable := self._runnable()):
            transaction = runnable[0]
            header = self._chain.header
            if header.gas_used + transaction.gas > header.gas_limit:
                break
            del self._pool[transaction.sender, transaction.nonce]
            try:
                self._chain.apply_transaction(transaction)
            except ValidationError:
                continue  # it could be paid when it came, and cannot any more: dropped, as geth does
            taken += 1
        self._chain.mine_block(
            mix_hash=constants.ZERO_HASH32, blob_gas_used=0, extra_data=branch_mark(self._disk)
        )
        self._disk.flush()

    def take_back(self, count: int, *, is_dropped: bool) -> None:
        """Take the last blocks back, as a reorganisation does; whole after kill -9, or not at all.

        Their transactions wait again, until a block is made, or one of them is offered once more. Waiting ones do not
        survive the process, as before.

        Args:
            count: Blocks, from 1 to CHAIN_REORG_BLOCKS_MAX; the first block of the chain stays.
            is_dropped: Their transactions are forgotten instead.

        Raises:
            Refused: There are not as many, or they are too many.
        """
        head = self.head.block_number
        if not 1 <= count <= min(head, limits.CHAIN_REORG_BLOCKS_MAX):
            raise Refused(f"cannot take back {count} of {head} blocks", number=-32602)
        for number in range(head, head - count, -1):
            taken = self.block(number).transactions
            forget_block(self._disk, number, [one.hash for one in taken])
            if not is_dropped:
                self._pool |= {(one.sender, one.nonce): one for one in taken}
        new_head = self.header(head - count)
        assert new_head is not None, "only the last blocks are forgotten"
        set_head(self._disk, head - count, bytes(new_head.hash))
        self._disk.flush()
        self._chain = self._kind(AtomicDB(self._disk))

    def close(self) -> None:
        """Write what is left."""
        self._disk.close()

    def _next_time(self) -> int:
        """Return the time of the next block, Unix s."""
        return max(self.head.timestamp + 1, int(time.time()) + self.ahead_s)

    def _runnable(self) -> list[SignedTransactionAPI]:
        """Return the waiting transactions that could be next in the block being made."""
        state = self._chain.get_vm().state
        base_fee = self._chain.header.base_fee_per_gas
        return [
            one
            for (sender, nonce), one in self._pool.items()
            if nonce == state.get_nonce(sender) and one.max_fee_per_gas >= base_fee
        ]

    def _decoded(self, raw: bytes) -> SignedTransactionAPI:
        vm = self._chain.get_vm()
        try:
            transaction: SignedTransactionAPI = vm.get_transaction_builder().decode(raw)
            transaction.validate()
            sender = transaction.sender
        except (ValidationError, RLPException, ValueError, TypeError, IndexError) as error:
            raise Refused(f"invalid transaction: {error}", number=-32602) from error
        if transaction.chain_id != self.chain_id:
            raise Refused("invalid chain id for signer")
        state = self.state(self.head.block_number)
        nonce = state.get_nonce(sender)
        if transaction.nonce < nonce:
            if self.mined(transaction.hash) is not None:
                raise Refused("already known")
            raise Refused(f"nonce too low: next nonce {nonce}, tx nonce {transaction.nonce}")
        if transaction.nonce > nonce + GAP_MAX:
            raise Refused("nonce too high")
        if transaction.gas < transaction.intrinsic_gas:
            raise Refused("intrinsic gas too low")
        if transaction.gas > limits.CHAIN_TRANSACTION_GAS_MAX:
            raise Refused("transaction gas limit too high")  # EIP-7825, as public chains have it
        if state.get_balance(sender) < transaction.gas * transaction.max_fee_per_gas + transaction.value:
            raise Refused("insufficient funds for gas * price + value")
        return transaction

    def _mined(self, block: BlockAPI, receipts: Sequence[ReceiptAPI], index: int) -> Mined:
        before = receipts[index - 1].gas_used if index else 0
        return Mined(
            block,
            index,
            block.transactions[index],
            receipts[index],
            receipts[index].gas_used - before,
            sum(len(receipt.logs) for receipt in receipts[:index]),
        )
