"""The port Sender: a journal, an outbox, and a task that carries out what the transactions' machines decide.

One task looks at the chain every `poll_s` seconds while something is on its way. An order gets its nonce and signature
under a lock and is journalled before `send` returns; so it exists whole or not at all, and is offered until it ends.
"""

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio

from skyops_p2p import limits
from skyops_p2p.adapters.chain.journal import Kept, SenderJournal, order_digest
from skyops_p2p.core.chain.facts import Order
from skyops_p2p.core.chain.fees import first_fees
from skyops_p2p.core.chain.outbox import Outbox
from skyops_p2p.core.chain.transaction import (
    AskReceipts,
    Attempt,
    CancelWanted,
    End,
    Ending,
    Looked,
    Offer,
    Outcome,
    ReceiptFound,
    ReceiptMissing,
    Replace,
    Replaced,
    Transaction,
    TransactionState,
    WaitingOrder,
)
from skyops_p2p.core.machine import Effect, Event
from skyops_p2p.errors import ChainError, ChainRefusal
from skyops_p2p.ports import Chain, Signer, Store
from skyops_p2p.types import MonotonicS, WalletAddress, Wei

logger = logging.getLogger(__name__)

_GENESIS_NAME = "chain-genesis-{}"
_CANCEL_GAS = 21_000
"""A transfer of nothing. Source: Ethereum yellow paper, appendix G."""


@dataclass(frozen=True, slots=True)
class SenderTerms:
    """How a sender behaves."""

    confirmations: int
    """Blocks above a transaction's own that make it final, 0 to CHAIN_REORG_BLOCKS_MAX."""
    poll_s: float
    """Seconds between looks while something is on its way."""
    fee_wei_max: Wei
    """Most that one gas may cost."""


@asynccontextmanager
async def open_sender(
    chain: Chain, signer: Signer, store: Store, *, terms: SenderTerms
) -> AsyncIterator["JournalledSender"]:
    """Open the sender of an account, and go on with what an earlier process left.

    The chain need not be there: what is in the journal waits for it.

    Raises:
        StoreError: The journal cannot be read.
    """
    sender = JournalledSender(chain, signer, store, terms=terms)
    await sender.resume()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sender.run)
        try:
            yield sender
        finally:
            nursery.cancel_scope.cancel()


class JournalledSender:
    """Sends transactions of one account; see the port. Opened by `open_sender`."""

    def __init__(self, chain: Chain, signer: Signer, store: Store, *, terms: SenderTerms) -> None:
        self._chain = chain
        self._signer = signer
        self._store = store
        self._terms = terms
        self._journal = SenderJournal(store, chain_id=chain.chain_id, account=signer.account)
        self._outbox = Outbox()
        self._digests: dict[str, bytes] = {}
        """{key: digest of its order}, of open and remembered ones"""
        self._ends: dict[str, trio.Event] = {}
        """{key: set when it ends}, of open ones"""
        self._sending = trio.Lock()
        self._driving = trio.Lock()
        """Held while a machine's effects are performed"""
        self._wake = trio.Event()
        self._is_pinned = False
        self.last_refusal: str | None = None
        """Why the chain did not take what was offered last, for people; None if it did."""

    @property
    def account(self) -> WalletAddress:
        """Who sends."""
        return self._signer.account

    @property
    def signer(self) -> Signer:
        """Signs for the account; see the port."""
        return self._signer

    @property
    def open_count(self) -> int:
        """How many orders have not ended."""
        return len(self._outbox)

    async def resume(self) -> None:
        """Read the journal; once, before anything else."""
        for kept in await self._journal.load():
            self._digests[kept.key] = kept.digest
            if kept.outcome is not None:
                self._outbox.end(kept.outcome, nonce=kept.nonce)
            else:
                self._take(kept)
        if len(self._outbox):
            logger.info("chain_sender_resumed open=%d", len(self._outbox))

    async def send(self, key: str, order: Order) -> None:
        """Have an order executed once; see the port."""
        _check_form(key, order)
        digest = order_digest(order)
        async with self._sending:
            known = self._digests.get(key)
            if known is not None:
                if known != digest:
                    raise ChainError(f"the key {key!r} belongs to another order", code="key_reused")
                return
            self._outbox.check_room()
            await self._pin()
            kept = await self._sign_first(key, order, digest)
            self._digests[key] = digest
            self._take(kept)
        self._wake.set()

    async def cancel(self, key: str) -> None:
        """Have an order that waits do nothing, by a replacement that pays more; see the port."""
        async with self._driving:
            transaction = self._outbox.find(key)
            if transaction is None:
                raise _unknown(key)
            looked = await self._looked()
            await self._drive(transaction, looked, looked)
            if transaction.state is not TransactionState.OFFERED:
                raise ChainRefusal(
                    f"the order {key!r} is in a block already",
                    code="order_in_block",
                    hint="It cannot be called back. `skyops chain orders` shows what still waits.",
                )
            await self._drive(transaction, CancelWanted(looked.head.base_fee_wei), looked)
            if not transaction.is_cancelled:
                raise ChainError(
                    "nodes take a replacement only if it pays 10 % more, and that is more than is allowed",
                    code="fees_too_high",
                    hint="Raise chain.fee_gwei_max, or wait: the order itself is still offered.",
                )
        self._wake.set()

    def waiting(self) -> tuple[WaitingOrder, ...]:
        """Return all open orders, lowest nonce first; see the port."""
        return tuple(transaction.view() for transaction in self._outbox)

    async def wait(self, key: str) -> Outcome:
        """Wait for the end of an order; see the port."""
        event = self._ends.get(key)
        if event is not None:
            await event.wait()
        outcome = self._outbox.outcome(key)
        if outcome is None:
            raise _unknown(key)
        return outcome

    def outcome(self, key: str) -> Outcome | None:
        """Return how an order ended, or None while it has not."""
        return self._outbox.outcome(key)

    def known_keys(self) -> tuple[str, ...]:
        """Return the keys of all orders that are open or remembered; see the port."""
        return tuple(self._digests)

    def newest_hash(self, key: str) -> bytes | None:
        """Return the hash of the transaction that carries an order; see the port."""
        outcome, transaction = self._outbox.outcome(key), self._outbox.find(key)
        if outcome is not None:
            return outcome.transaction_hash
        return None if transaction is None else transaction.attempts[-1].hash

    async def run(self) -> None:
        """Carry out what is in the outbox, until cancelled. A chain that does not answer is asked again."""
        while True:
            if not len(self._outbox):
                await self._wake.wait()
            self._wake = trio.Event()
            try:
                await self._look()
            except ChainError as error:
                self.last_refusal = error.message
                logger.warning("chain_look_failed code=%s open=%d", error.code, len(self._outbox))
            with trio.move_on_after(self._terms.poll_s):
                await self._wake.wait()

    # --- a new order --------------------------------------------------------------------------------------------

    async def _pin(self) -> None:
        """Remember which chain the journal belongs to, so that it is never offered to another one.

        Raises:
            ChainError: `chain_replaced`.
        """
        if self._is_pinned:
            return
        name = _GENESIS_NAME.format(self._chain.chain_id)
        found = await self._chain.genesis()
        kept = await self._store.value(name)
        if kept is None:
            await self._store.set_value(name, found)
        elif kept != found:
            raise ChainError(
                "this data directory belongs to another chain with the same id",
                code="chain_replaced",
                hint="A test chain was begun anew: begin with a new data directory too.",
            )
        self._is_pinned = True

    async def _sign_first(self, key: str, order: Order, digest: bytes) -> Kept:
        chain, account = self._chain, self._signer.account
        gas = order.gas_max
        if gas is None:
            estimate = await chain.estimate(order, sender=account)
            gas = estimate * (100 + limits.CHAIN_GAS_MARGIN_PERCENT) // 100
        if gas > limits.CHAIN_TRANSACTION_GAS_MAX:
            raise ChainError(f"it takes {gas} gas, more than a block takes of one", code="order_too_large")
        head = await chain.head()
        fee_max, tip = self._terms.fee_wei_max, await chain.suggested_tip()
        fees = first_fees(base_fee_wei=head.base_fee_wei, tip_wei=tip, fee_wei_max=fee_max)
        if fees is None:
            raise ChainError(
                f"one gas costs {head.base_fee_wei} wei, more than the {fee_max} that are allowed",
                code="fees_too_high",
                hint="Wait, or raise chain.fee_gwei_max.",
            )
        needed = gas * fees.max_fee_wei + order.value_wei
        balance = await chain.balance(account)
        if balance < needed:
            raise ChainRefusal(
                f"{account} holds {balance} wei of the chain's coin and needs {needed}",
                code="funds_missing",
                hint="Send it some; on a test chain `skyops chain deploy --development` and test networks do.",
            )
        nonce = self._outbox.next_nonce(await chain.nonce(account))
        raw, transaction_hash = await self._signer.sign(
            order, chain_id=chain.chain_id, nonce=nonce, gas=gas, fees=fees
        )
        attempt = Attempt(raw, transaction_hash, fees)
        with trio.CancelScope(shield=True):  # in the journal and here, or in neither
            await self._journal.ordered(key, order, nonce=nonce, gas=gas, attempt=attempt)
        return Kept(key, digest, nonce, order, gas, (attempt,))

    def _take(self, kept: Kept) -> None:
        assert kept.order is not None
        transaction = Transaction(
            kept.key,
            kept.order,
            nonce=kept.nonce,
            gas=kept.gas,
            attempts=kept.attempts,
            confirmations=self._terms.confirmations,
            fee_wei_max=self._terms.fee_wei_max,
        )
        self._outbox.add(transaction)
        self._ends[kept.key] = trio.Event()

    # --- orders on their way ------------------------------------------------------------------------------------

    async def _look(self) -> None:
        looked = await self._looked()
        for transaction in list(self._outbox):
            async with self._driving:
                if transaction.state is not TransactionState.ENDED:  # by whoever cancelled it meanwhile
                    await self._drive(transaction, looked, looked)

    async def _looked(self) -> Looked:
        await self._pin()
        head = await self._chain.head()
        account = self._signer.account
        deep_number = max(head.number - self._terms.confirmations, 0)
        nonce = await self._chain.nonce(account, at=head.number)
        deep_nonce = nonce if deep_number == head.number else await self._chain.nonce(account, at=deep_number)
        return Looked(head, nonce, deep_nonce)

    async def _drive(self, transaction: Transaction, first: Event, looked: Looked) -> None:
        """Feed one machine, and perform what it wants until it wants no more: four steps at most."""
        events: list[Event] = [first]
        while events:
            taken_back = transaction.taken_back
            effects = transaction.handle(events.pop(0), MonotonicS(trio.current_time()))
            transaction.check_invariants()
            if transaction.taken_back > taken_back:
                logger.warning("chain_order_taken_back key=%s nonce=%d", transaction.key, transaction.nonce)
            events += await self._perform(transaction, effects, looked)

    async def _perform(
        self, transaction: Transaction, effects: Sequence[Effect], looked: Looked
    ) -> list[Event]:
        events: list[Event] = []
        for effect in effects:
            match effect:
                case Offer(attempt):
                    await self._offer(transaction, attempt)
                case AskReceipts(hashes):
                    events.append(await self._find_receipt(hashes, looked))
                case Replace():
                    events.append(await self._replace(transaction, effect))
                case End(outcome):
                    await self._end(transaction, outcome)
                case _:
                    raise AssertionError(effect)
        return events

    async def _replace(self, transaction: Transaction, wanted: Replace) -> Replaced:
        order, gas = transaction.order, transaction.gas
        if wanted.is_cancel:
            order, gas = Order(self._signer.account), _CANCEL_GAS
        raw, transaction_hash = await self._signer.sign(
            order, chain_id=self._chain.chain_id, nonce=transaction.nonce, gas=gas, fees=wanted.fees
        )
        attempt = Attempt(raw, transaction_hash, wanted.fees, is_cancel=wanted.is_cancel)
        with trio.CancelScope(shield=True):
            await self._journal.replaced(transaction.key, attempt)
        word = "chain_order_cancelled" if wanted.is_cancel else "chain_fee_raised"
        logger.info("%s key=%s fee_wei=%d", word, transaction.key, wanted.fees.max_fee_wei)
        return Replaced(attempt)

    async def _offer(self, transaction: Transaction, attempt: Attempt) -> None:
        try:
            await self._chain.offer(attempt.raw, transaction_hash=attempt.hash)
        except ChainRefusal as refusal:
            # Whatever the reason, it stands in the journal: the next looks tell whether it is in a block after all,
            # has to pay more, or has lost its nonce.
            self.last_refusal = refusal.message
            logger.warning("chain_offer_refused key=%s code=%s", transaction.key, refusal.code)
            return
        self.last_refusal = None

    async def _find_receipt(self, hashes: tuple[bytes, ...], looked: Looked) -> Event:
        for transaction_hash in hashes:
            receipt = await self._chain.receipt(transaction_hash)
            if receipt is not None:
                return ReceiptFound(receipt, looked.head.number)
        return ReceiptMissing(looked.deep_nonce)

    async def _end(self, transaction: Transaction, outcome: Outcome) -> None:
        level = logging.INFO if outcome.ending is Ending.CONFIRMED else logging.WARNING
        logger.log(level, "chain_transaction_ended key=%s ending=%s", outcome.key, outcome.ending.value)
        digest = self._digests[outcome.key]
        with trio.CancelScope(shield=True):
            await self._journal.ended(outcome, digest=digest, nonce=transaction.nonce)
            for key in self._outbox.end(outcome, nonce=transaction.nonce):
                del self._digests[key]
                await self._journal.forget(key)
        self._ends.pop(outcome.key).set()


def _unknown(key: str) -> ChainError:
    return ChainError(
        f"no order has the key {key!r}",
        code="unknown_order",
        hint="It was never sent from this data directory, or ended long ago and is forgotten.",
    )


def _check_form(key: str, order: Order) -> None:
    if not 0 < len(key) <= limits.CHAIN_KEY_CHARS_MAX:
        raise ChainError(f"a key has 1 to {limits.CHAIN_KEY_CHARS_MAX} characters", code="order_too_large")
    if len(order.data) > limits.CHAIN_DATA_BYTES_MAX:
        raise ChainError(f"{len(order.data)} bytes are too many for a transaction", code="order_too_large")
