"""What a sender has promised, in the local store: written before anything leaves, read after a restart.

One stem for each chain and account, one key for each order. Entries are canonical msgpack: an order with its first
attempt, each further attempt, and at last the outcome, which then stands alone.
"""

from dataclasses import dataclass
from typing import Any

from skyops_p2p.core.chain.facts import Fees, Order
from skyops_p2p.core.chain.transaction import Attempt, Ending, Outcome
from skyops_p2p.crypto.hashing import keccak256, sha256
from skyops_p2p.crypto.wallet import address_from_bytes, address_to_bytes
from skyops_p2p.errors import RemoteProtocolError, StoreError
from skyops_p2p.limits import JOURNAL_ENTRY_BYTES_MAX
from skyops_p2p.ports import Store
from skyops_p2p.types import WalletAddress, Wei
from skyops_p2p.wire import canonical

_ORDERED, _REPLACED, _ENDED = 1, 2, 3


@dataclass(slots=True)
class Kept:
    """What the journal says of one order."""

    key: str
    digest: bytes
    """Of the order, to tell another one under the same key."""
    nonce: int
    order: Order | None = None
    """None once it has ended."""
    gas: int = 0
    attempts: tuple[Attempt, ...] = ()
    outcome: Outcome | None = None


def order_digest(order: Order) -> bytes:
    """Return 32 bytes that name an order."""
    return sha256(canonical.encode(_order_fields(order)))


class SenderJournal:
    """The journal of one account on one chain."""

    def __init__(self, store: Store, *, chain_id: int, account: WalletAddress) -> None:
        self._store = store
        self._stem = f"chain-{chain_id}-{account.lower()}"

    async def load(self) -> list[Kept]:
        """Return all orders, in the order in which they were journalled.

        Raises:
            StoreError: `store_torn`: an entry cannot be read.
        """
        found: dict[str, Kept] = {}
        for entry in await self._store.entries(self._stem):
            try:
                fields = canonical.decode(entry.body, bytes_max=JOURNAL_ENTRY_BYTES_MAX)
                found[entry.key] = _apply(found.get(entry.key), entry.key, fields)
            except (RemoteProtocolError, KeyError, TypeError, ValueError) as error:
                raise StoreError(f"journal entry {entry.number}: {error}", code="store_torn") from error
        return list(found.values())

    async def ordered(self, key: str, order: Order, *, nonce: int, gas: int, attempt: Attempt) -> None:
        """Write an order before it is offered."""
        body = {0: _ORDERED, 1: _order_fields(order), 2: nonce, 3: gas, 4: _attempt_fields(attempt)}
        await self._store.append(self._stem, key, canonical.encode(body))

    async def replaced(self, key: str, attempt: Attempt) -> None:
        """Write a further attempt before it is offered."""
        await self._store.append(
            self._stem, key, canonical.encode({0: _REPLACED, 1: _attempt_fields(attempt)})
        )

    async def ended(self, outcome: Outcome, *, digest: bytes, nonce: int) -> None:
        """Write an outcome, and forget what led to it."""
        body = {
            0: _ENDED,
            1: digest,
            2: nonce,
            3: outcome.ending.value,
            4: outcome.transaction_hash,
            5: outcome.block_number,
            6: outcome.gas_used,
            7: _packed(outcome.fee_wei),
        }
        await self._store.append(self._stem, outcome.key, canonical.encode(body))
        await self._store.compact(self._stem, outcome.key, keep_last=1)

    async def forget(self, key: str) -> None:
        """Forget an order that has ended."""
        await self._store.compact(self._stem, key, keep_last=0)


def _apply(kept: Kept | None, key: str, fields: dict[int, Any]) -> Kept:
    match fields[0]:
        case 1:
            order = _order(fields[1])
            attempts = (_attempt(fields[4]),)
            return Kept(key, order_digest(order), fields[2], order, fields[3], attempts)
        case 2:
            if kept is None:
                raise ValueError("a replacement of nothing")
            kept.attempts = (*kept.attempts, _attempt(fields[1]))
            return kept
        case 3:
            outcome = Outcome(
                key, Ending(fields[3]), fields[4], fields[5], fields[6], Wei(int.from_bytes(fields[7], "big"))
            )
            return Kept(key, fields[1], fields[2], outcome=outcome)
        case other:
            raise ValueError(f"unknown kind {other}")


def _order_fields(order: Order) -> dict[int, Any]:
    to = b"" if order.to is None else address_to_bytes(order.to)
    return {0: to, 1: order.data, 2: _packed(order.value_wei), 3: order.gas_max or 0}


def _order(fields: dict[int, Any]) -> Order:
    to = address_from_bytes(fields[0]) if fields[0] else None
    return Order(to, fields[1], Wei(int.from_bytes(fields[2], "big")), fields[3] or None)


def _attempt_fields(attempt: Attempt) -> dict[int, Any]:
    fields: dict[int, Any] = {
        0: attempt.raw,
        1: _packed(attempt.fees.max_fee_wei),
        2: _packed(attempt.fees.tip_wei),
    }
    return fields | {3: True} if attempt.is_cancel else fields


def _attempt(fields: dict[int, Any]) -> Attempt:
    fees = Fees(Wei(int.from_bytes(fields[1], "big")), Wei(int.from_bytes(fields[2], "big")))
    return Attempt(fields[0], keccak256(fields[0]), fees, is_cancel=fields.get(3, False) is True)


def _packed(wei: int) -> bytes:
    """Return 32 bytes: MessagePack ends at 64 bits."""
    return wei.to_bytes(32, "big")
