"""What all contracts have in common: they are asked, and orders are made for them."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from skyops_p2p.adapters.chain.abi import decode_result, encode_call
from skyops_p2p.adapters.contracts.refusals import explained
from skyops_p2p.core.chain.facts import Order
from skyops_p2p.crypto.wallet import address_from_bytes
from skyops_p2p.errors import ChainRefusal
from skyops_p2p.ports import Chain
from skyops_p2p.types import Wei

NOTHING = Wei(0)

T = TypeVar("T")


class Contract:
    """One contract at one account.

    Args:
        chain: Where it is.
        account: 20 bytes.
    """

    def __init__(self, chain: Chain, account: bytes) -> None:
        self._chain = chain
        self.account = account
        self.address = address_from_bytes(account)
        """The same as text."""

    def order(self, signature: str, *values: Any, value_wei: Wei = NOTHING) -> Order:
        """Return an order for one of its functions.

        Args:
            signature: As adapters.chain.abi.encode_call takes it.
            values: One for each type; accounts are 20 bytes.
            value_wei: Coin that goes with it.
        """
        return Order(self.address, encode_call(signature, *values), value_wei)

    async def ask(
        self,
        signature: str,
        returns: Sequence[str],
        *values: Any,
        sender: bytes | None = None,
        at: int | None = None,
    ) -> tuple[Any, ...]:
        """Run one of its functions without effect and return its values.

        Args:
            signature: As adapters.chain.abi.encode_call takes it.
            returns: The types of what it returns.
            values: One for each type of the signature.
            sender: Who would call, 20 bytes.
            at: After this block; None: after the last.

        Raises:
            ChainError: `abi_mismatch`, or as the port Chain.
            ChainRefusal: `call_reverted`, with the contract's reason.
        """
        caller = None if sender is None else address_from_bytes(sender)
        try:
            answer = await self._chain.call(self.order(signature, *values), sender=caller, at=at)
        except ChainRefusal as refusal:
            raise explained(refusal) from refusal
        return decode_result(returns, answer)

    async def number(self, signature: str, *values: Any, at: int | None = None) -> int:
        """Ask for one uint256; see `ask`."""
        (found,) = await self.ask(signature, ["uint256"], *values, at=at)
        return int(found)

    async def account_of(self, signature: str, *values: Any) -> bytes:
        """Ask for one account and return its 20 bytes; see `ask`."""
        (found,) = await self.ask(signature, ["address"], *values)
        return account_bytes(found)


def account_bytes(text: str) -> bytes:
    """Return the 20 bytes of an account as eth-abi decodes it."""
    return bytes.fromhex(text.removeprefix("0x"))


def facts(kind: Callable[..., T], values: Sequence[Any]) -> T:
    """Return a struct of a contract as one of contract_facts, whose fields have the same order.

    Args:
        kind: The class.
        values: As eth-abi decodes the struct; its only texts are accounts.
    """
    return kind(*(account_bytes(value) if isinstance(value, str) else value for value in values))
