"""All transactions of one account that are on their way, and the nonces between them."""

from collections.abc import Iterator

from skyops_p2p import limits
from skyops_p2p.core.chain.transaction import Outcome, Transaction
from skyops_p2p.errors import ChainError, LocalProtocolError


class Outbox:
    """Open transactions in the order of their nonces, and the outcomes of those that ended."""

    def __init__(self) -> None:
        self._open: dict[str, Transaction] = {}
        """{key: transaction}, ascending by nonce"""
        self._ended: dict[str, Outcome] = {}
        """{key: outcome}, oldest first"""
        self._nonce_after_ended = 0

    def __iter__(self) -> Iterator[Transaction]:
        """Go over the open ones, lowest nonce first."""
        return iter(sorted(self._open.values(), key=lambda one: one.nonce))

    def __len__(self) -> int:
        return len(self._open)

    def find(self, key: str) -> Transaction | None:
        """Return an open transaction, or None."""
        return self._open.get(key)

    def outcome(self, key: str) -> Outcome | None:
        """Return how a transaction ended, or None."""
        return self._ended.get(key)

    def check_room(self) -> None:
        """Refuse when too many are open.

        Raises:
            ChainError: `outbox_full`.
        """
        if len(self._open) >= limits.CHAIN_OUTBOX_MAX:
            raise ChainError(
                f"{len(self._open)} transactions of this account wait for the chain already",
                code="outbox_full",
                hint="Wait for some to be confirmed; `skyops chain status` tells whether the chain goes on.",
            )

    def next_nonce(self, chain_nonce: int) -> int:
        """Return the nonce of the next transaction.

        Args:
            chain_nonce: What the chain says, with waiting transactions. It may lag behind what we know, and it is ahead
                of us when somebody else signs with the key.
        """
        after_open = max((one.nonce + 1 for one in self._open.values()), default=0)
        return max(chain_nonce, after_open, self._nonce_after_ended)

    def add(self, transaction: Transaction) -> None:
        """Take a transaction that is in the journal.

        Raises:
            LocalProtocolError: Its key or nonce is in use.
        """
        is_known = transaction.key in self._open or transaction.key in self._ended
        if is_known or any(one.nonce == transaction.nonce for one in self._open.values()):
            raise LocalProtocolError(f"key {transaction.key!r} or nonce {transaction.nonce} is in use")
        self._open[transaction.key] = transaction

    def end(self, outcome: Outcome, *, nonce: int) -> list[str]:
        """Note an outcome; return the keys of ended ones that are forgotten now."""
        self._open.pop(outcome.key, None)
        self._ended[outcome.key] = outcome
        self._nonce_after_ended = max(self._nonce_after_ended, nonce + 1)
        excess = len(self._ended) - limits.CHAIN_ENDED_KEPT_MAX
        forgotten = list(self._ended)[: max(excess, 0)]
        for key in forgotten:
            del self._ended[key]
        return forgotten
