"""What an act is made of: transactions in an order, each made when its turn has come."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from skyops_p2p.adapters.contracts.finding import Contracts
from skyops_p2p.adapters.contracts.refusals import explained
from skyops_p2p.core.chain.facts import Order
from skyops_p2p.core.settlement.amounts import ETH, SKYOPS, format_amount
from skyops_p2p.core.settlement.funds import NO_ACCOUNT
from skyops_p2p.crypto.wallet import Wallet, address_from_bytes
from skyops_p2p.errors import ChainRefusal
from skyops_p2p.ports import Signer
from skyops_p2p.types import Wei

TOKENS = {"SKYOPS": SKYOPS, "ETH": ETH}


@dataclass(frozen=True, slots=True)
class Step:
    """One transaction of an act."""

    name: str
    """Part of the transaction's key: unique within the act."""
    text: str
    """What it does, for people."""
    make: Callable[[], Awaitable[Order | None]]
    """Makes the order when its turn has come; None: it is not needed. Raises ChainRefusal if it would be refused."""


@dataclass(frozen=True, slots=True)
class StepTools:
    """What steps are made with."""

    at: Contracts
    wallet: Wallet
    """Makes the salts of votes."""
    signer: Signer
    """Signs permits."""
    account: bytes
    """The same, 20 bytes."""
    now_unix_s: Callable[[], int]
    """This machine's clock: a chain's own stands still between blocks."""

    def token_account(self, symbol: str) -> bytes:
        """Return the 20 bytes of a token as Settlement knows it."""
        return self.at.places.token if symbol == "SKYOPS" else NO_ACCOUNT

    async def chain_now(self) -> int:
        """Return about what the next block will say, Unix seconds."""
        return max((await self.at.chain.head()).timestamp_unix_s, self.now_unix_s())

    async def need_tokens(self, amount: int) -> None:
        """See to it that the wallet has so many SKYOPS.

        Raises:
            ChainRefusal: `tokens_missing`.
        """
        held = await self.at.token.balance(self.account)
        if held < amount:
            raise ChainRefusal(
                f"the wallet holds {format_amount(held, SKYOPS)} and needs {format_amount(amount, SKYOPS)}",
                code="tokens_missing",
                hint=f"Send {format_amount(amount - held, SKYOPS)} to {address_from_bytes(self.account)}, or take them"
                " out of the deposit: `skyops wallet balance` shows what is where.",
            )

    async def approval(self, spender: bytes, amount: int) -> Order | None:
        """Return the order that lets a contract take so many SKYOPS, or None if it may already."""
        if await self.at.token.allowance(self.account, spender) >= amount:
            return None
        return self.at.token.approve(spender, Wei(amount))

    async def unless_early(self, order: Order, *, what: str, at_unix_s: int) -> Order:
        """Return an order that the contract would take now.

        Raises:
            ChainRefusal: `too_early`, saying from when it works; another one as the contract gives it.
        """
        try:
            await self.at.chain.call(order, sender=address_from_bytes(self.account))
        except ChainRefusal as refusal:
            said = explained(refusal)
            if said.reason != "too_soon":
                raise said from refusal
            raise ChainRefusal(
                f"{what} works from {instant(at_unix_s)} by the chain's clock",
                code="too_early",
                hint="Give the same command then; what was asked for stays asked for.",
            ) from refusal
        return order


def instant(unix_s: int) -> str:
    """Write an instant for people: "2026-03-01 12:00:00 UTC"."""
    return f"{datetime.fromtimestamp(unix_s, UTC):%Y-%m-%d %H:%M:%S} UTC"
