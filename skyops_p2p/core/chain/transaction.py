"""The life of one transaction: signed and journalled, offered, in a block, and ended once that block is deep enough.

Its nonce never changes, so whatever is offered again, at most one of its attempts is ever executed. A reorganisation
puts it back to OFFERED: pools do not take transactions back by themselves. If its nonce is used up so deep that no
reorganisation brings it back, and by none of its attempts, somebody else signs with the same key: `nonce_taken`.

What waits can be cancelled: a further attempt with the same nonce pays more and does nothing. Which of the attempts a
block takes is the chain's to say, so a cancelled order may be executed all the same; it then ends as any other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from skyops_p2p import limits
from skyops_p2p.core.chain.facts import Block, Fees, Order, Receipt
from skyops_p2p.core.chain.fees import raised_fees
from skyops_p2p.core.machine import Effect, Event, Machine, Table, to
from skyops_p2p.types import MonotonicS, Wei

_LOOKS_UNTIL_TAKEN = 3
"""Looks at which none of its attempts has a receipt, until its nonce counts as taken: endpoints behind one address may
not all be as far."""


class TransactionState(Enum):
    """Where a transaction is."""

    SIGNED = "signed"
    OFFERED = "offered"
    MINED = "mined"
    ENDED = "ended"


class Ending(Enum):
    """How a transaction ended."""

    CONFIRMED = "confirmed"
    """Executed, and deep enough."""
    REVERTED = "reverted"
    """In a block that is deep enough, but without effect."""
    NONCE_TAKEN = "nonce_taken"
    """Another transaction of the same account has its nonce: a second process has the key. It is never executed."""
    CANCELLED = "cancelled"
    """Its nonce was used up by an attempt that does nothing, as its owner wished. It is never executed."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A signed form of a transaction."""

    raw: bytes
    hash: bytes
    fees: Fees
    is_cancel: bool = False
    """It only uses up the nonce: no value, to the account itself."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended."""

    key: str
    ending: Ending
    transaction_hash: bytes
    """Of the attempt that was executed; of the last one if none was."""
    block_number: int
    """0 if none was executed."""
    gas_used: int
    fee_wei: Wei


@dataclass(frozen=True, slots=True)
class WaitingOrder:
    """An order that has not ended, for people."""

    key: str
    state: TransactionState
    nonce: int
    newest: Attempt
    attempts: int
    is_at_bound: bool
    """It can pay no more, and waits until fees fall."""
    taken_back: int = 0
    """How often a reorganisation has taken its block away."""


# --- events -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Looked(Event):
    """The chain was looked at."""

    head: Block
    nonce: int
    """The account's next nonce after the head."""
    deep_nonce: int
    """The same as many blocks earlier as confirmations are wanted."""


@dataclass(frozen=True, slots=True)
class CancelWanted(Event):
    """Its owner does not want it any more."""

    base_fee_wei: Wei
    """Of the last block."""


@dataclass(frozen=True, slots=True)
class Replaced(Event):
    """A further attempt is in the journal."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class ReceiptFound(Event):
    """A block of the chain has one of the attempts."""

    receipt: Receipt
    head_number: int


@dataclass(frozen=True, slots=True)
class ReceiptMissing(Event):
    """No block of the chain has any of the attempts."""

    deep_nonce: int


# --- effects ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Offer(Effect):
    """Give an attempt to the chain; a refusal changes nothing, as it is offered again."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class AskReceipts(Effect):
    """Look for the receipts of the attempts, and answer with ReceiptFound or ReceiptMissing."""

    hashes: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Replace(Effect):
    """Sign it again with other fees, journal that, and answer with Replaced."""

    fees: Fees
    is_cancel: bool = False
    """Sign what does nothing instead of the order."""


@dataclass(frozen=True, slots=True)
class End(Effect):
    """Journal the outcome and tell whoever waits."""

    outcome: Outcome


class Transaction(Machine[TransactionState]):
    """One transaction.

    Args:
        key: Whoever ordered it knows it by this.
        order: What it does.
        nonce: The account's.
        attempts: Signed forms, oldest first, all in the journal; at least one.
        confirmations: Blocks above its own that make it final, 0 to CHAIN_REORG_BLOCKS_MAX.
        fee_wei_max: The owner's bound for one gas.
    """

    TRANSITIONS: ClassVar[Table] = {
        (TransactionState.SIGNED, Looked): to(TransactionState.OFFERED),
        (TransactionState.OFFERED, Looked): to(TransactionState.OFFERED),
        (TransactionState.OFFERED, CancelWanted): to(TransactionState.OFFERED),
        (TransactionState.OFFERED, Replaced): to(TransactionState.OFFERED),
        (TransactionState.OFFERED, ReceiptFound): to(TransactionState.MINED, TransactionState.ENDED),
        (TransactionState.OFFERED, ReceiptMissing): to(TransactionState.OFFERED, TransactionState.ENDED),
        (TransactionState.MINED, Looked): to(TransactionState.MINED),
        (TransactionState.MINED, ReceiptFound): to(TransactionState.MINED, TransactionState.ENDED),
        (TransactionState.MINED, ReceiptMissing): to(TransactionState.OFFERED),
    }

    def __init__(
        self,
        key: str,
        order: Order,
        *,
        nonce: int,
        gas: int,
        attempts: Sequence[Attempt],
        confirmations: int,
        fee_wei_max: Wei,
    ) -> None:
        super().__init__(TransactionState.SIGNED)
        self.key = key
        self.order = order
        self.nonce = nonce
        self.gas = gas
        self.attempts = list(attempts)
        self.outcome: Outcome | None = None
        self.block_number: int | None = None
        """Where it is while MINED."""
        self.taken_back = 0
        """How often a reorganisation has taken its block away, as far as this process has seen."""
        self._confirmations = confirmations
        self._fee_wei_max = fee_wei_max
        self._offered_at = MonotonicS(0.0)
        self._raised_at = MonotonicS(0.0)
        self._looks_missing = 0

    @property
    def is_at_bound(self) -> bool:
        """Whether it can pay no more: it waits until fees fall."""
        last = self.attempts[-1].fees
        raised = raised_fees(last, base_fee_wei=Wei(0), fee_wei_max=self._fee_wei_max)
        return raised is None or len(self.attempts) > limits.CHAIN_BUMPS_MAX

    def view(self) -> WaitingOrder:
        """Return what people see of it while it waits."""
        newest = self.attempts[-1]
        return WaitingOrder(
            self.key,
            self.state,
            self.nonce,
            newest,
            len(self.attempts),
            self.is_at_bound,
            self.taken_back,
        )

    @property
    def is_cancelled(self) -> bool:
        """Whether its newest attempt does nothing."""
        return self.attempts[-1].is_cancel

    def check_invariants(self) -> None:
        """Raise AssertionError if the fields contradict each other."""
        assert 1 <= len(self.attempts) <= 2 + limits.CHAIN_BUMPS_MAX  # the wish to cancel may be one more
        cancels = [attempt.is_cancel for attempt in self.attempts]
        assert cancels == sorted(cancels), "an order came back after it was cancelled"
        assert (self.outcome is not None) == (self.state is TransactionState.ENDED)
        assert (self.block_number is not None) == (self.state is TransactionState.MINED)

    def _on_looked(self, event: Looked, now: MonotonicS) -> Sequence[Effect]:
        was_signed = self.state is TransactionState.SIGNED
        if was_signed:
            self.state = TransactionState.OFFERED
            self._raised_at = now
        if self.state is TransactionState.MINED or event.nonce > self.nonce:
            # Newest first: it is the likeliest.
            return [AskReceipts(tuple(attempt.hash for attempt in reversed(self.attempts)))]
        self._looks_missing = 0
        is_next = event.nonce == self.nonce
        if is_next and now - self._raised_at >= limits.CHAIN_BUMP_AFTER_S:
            fees = self._raised(event.head.base_fee_wei)
            if fees is not None:
                return [Replace(fees, is_cancel=self.is_cancelled)]
        if was_signed or now - self._offered_at >= limits.CHAIN_RESEND_S:
            return self._offer(now)
        return []

    def _raised(self, base_fee_wei: Wei) -> Fees | None:
        if len(self.attempts) > limits.CHAIN_BUMPS_MAX:
            return None
        paid = self.attempts[-1].fees
        return raised_fees(paid, base_fee_wei=base_fee_wei, fee_wei_max=self._fee_wei_max)

    def _on_cancel_wanted(self, event: CancelWanted, _now: MonotonicS) -> Sequence[Effect]:
        """Have it replaced, whatever it has waited; no effect if it is cancelled already, or may pay no more."""
        if self.is_cancelled:
            return []
        paid = self.attempts[-1].fees
        fees = raised_fees(paid, base_fee_wei=event.base_fee_wei, fee_wei_max=self._fee_wei_max)
        return [] if fees is None else [Replace(fees, is_cancel=True)]

    def _on_replaced(self, event: Replaced, now: MonotonicS) -> Sequence[Effect]:
        self.attempts.append(event.attempt)
        self._raised_at = now
        return self._offer(now)

    def _on_receipt_found(self, event: ReceiptFound, _now: MonotonicS) -> Sequence[Effect]:
        receipt = event.receipt
        self._looks_missing = 0
        if event.head_number - receipt.block_number < self._confirmations:
            self.state = TransactionState.MINED
            self.block_number = receipt.block_number
            return []
        ending = Ending.CONFIRMED if receipt.is_success else Ending.REVERTED
        cancels = {attempt.hash for attempt in self.attempts if attempt.is_cancel}
        if receipt.transaction_hash in cancels:
            ending = Ending.CANCELLED
        return self._end(
            Outcome(
                self.key,
                ending,
                receipt.transaction_hash,
                receipt.block_number,
                receipt.gas_used,
                receipt.fee_wei,
            )
        )

    def _on_receipt_missing(self, event: ReceiptMissing, now: MonotonicS) -> Sequence[Effect]:
        if self.state is TransactionState.MINED:
            self.state = TransactionState.OFFERED
            self.block_number = None
            self.taken_back += 1
            self._raised_at = now
            return self._offer(now)
        if event.deep_nonce <= self.nonce:
            return []
        self._looks_missing += 1
        if self._looks_missing < _LOOKS_UNTIL_TAKEN:
            return []
        return self._end(Outcome(self.key, Ending.NONCE_TAKEN, self.attempts[-1].hash, 0, 0, Wei(0)))

    def _offer(self, now: MonotonicS) -> list[Effect]:
        self._offered_at = now
        return [Offer(self.attempts[-1])]

    def _end(self, outcome: Outcome) -> list[Effect]:
        self.state = TransactionState.ENDED
        self.block_number = None
        self.outcome = outcome
        return [End(outcome)]
