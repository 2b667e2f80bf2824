"""Shows double histories to the contract Disputes, which slashes who has signed them: once each, if there is a stake.

Everybody who has the proof may show it, and only the first one is needed; so each node waits a while of its own, and
looks whether there is still something to slash. An outage of the chain is waited out. Spec: RCP-13.
"""

import logging
from collections.abc import Callable

import trio

from skyops_p2p import limits
from skyops_p2p.core.chain.transaction import Ending
from skyops_p2p.core.settlement.receipts import DoubleHistory
from skyops_p2p.crypto.wallet import address_from_bytes
from skyops_p2p.errors import ChainError, ChainRefusal, StoreError
from skyops_p2p.ports import Entropy
from skyops_p2p.ports.money import Money

log = logging.getLogger(__name__)


class Accuser:
    """Accuses, one account after the other.

    Args:
        money: The contracts.
        entropy: Draws how long this node waits for others.
        tell: Takes a sentence for whoever watches the node.
    """

    def __init__(self, money: Money, entropy: Entropy, tell: Callable[[str], None]) -> None:
        self._money = money
        self._entropy = entropy
        self._tell = tell
        self._send, self._receive = trio.open_memory_channel[DoubleHistory](limits.ACCUSATIONS_MAX)

    def accuse(self, history: DoubleHistory) -> None:
        """Have a double history shown; returns at once. What finds no room is left to others, or a restart."""
        try:
            self._send.send_nowait(history)
        except trio.WouldBlock:
            log.info("accusation_left_out wallet=%s", address_from_bytes(history.account))

    async def run(self) -> None:
        """Show what comes until cancelled. Rules: RCP-13."""
        async for history in self._receive:
            await trio.sleep(self._entropy.uniform() * limits.ACCUSATION_SPREAD_S)
            pause_s = limits.ACCUSATION_BACKOFF_S
            while (code := await self._show(history)) == "chain_unavailable":
                await trio.sleep(pause_s)
                pause_s = min(2 * pause_s, limits.REDEEM_BACKOFF_S_MAX)
            wallet = address_from_bytes(history.account)
            log.info("accusation wallet=%s code=%s", wallet, code)
            self._tell(f"two histories of {wallet}: {TEXTS.get(code, code)}")

    async def _show(self, history: DoubleHistory) -> str:
        """Return what it came to: `slashed`, `not_staked`, or why it was refused."""
        key = f"history/{history.account.hex()}"
        try:
            if self._money.outcome(key) is None and not await self._money.accuse(key, history):
                return "not_staked"
            outcome = await self._money.wait(key)
        except ChainRefusal as refusal:
            return refusal.code
        except (ChainError, StoreError) as error:
            log.info("accusation_waits code=%s", error.code)
            return "chain_unavailable"
        return "slashed" if outcome.ending is Ending.CONFIRMED else "transaction_reverted"


TEXTS = {
    "slashed": "shown to the contract, which has slashed its stake",
    "not_staked": "it has no stake, or lost it already; nothing is to be shown to the contract",
    "funds_missing": "this wallet has no coin for the gas, so others must show it to the contract",
    "call_reverted": "the contract does not take the proof: another node was faster",
    "transaction_reverted": "another node was faster; the gas is spent",
}
"""Code -> what is told."""
