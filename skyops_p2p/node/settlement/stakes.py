"""What wallets have at stake, as the chain says it: asked for when somebody needs it, and remembered.

An answer is believed for STAKE_KEPT_S. While the chain does not answer, an older one counts on for STAKE_AWAY_S: what
is at stake takes days to leave, and a slash is rare. After that nothing is known of the wallet, and nobody should count
on it. Rules: AUC-40.
"""

import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable

import trio

from skyops_p2p import limits
from skyops_p2p.errors import SkyopsError
from skyops_p2p.types import Wei

log = logging.getLogger(__name__)

AskStake = Callable[[bytes], Awaitable[Wei]]
"""Asks the chain what a wallet (20 bytes) has at stake; may raise ChainError."""


class StakeBook:
    """Stakes of wallets, at most STAKES_KEPT_MAX.

    Args:
        ask: Asks the chain.
        clock: Monotonic seconds.
    """

    def __init__(self, ask: AskStake, *, clock: Callable[[], float] = trio.current_time) -> None:
        self._ask = ask
        self._clock = clock
        self._answers: OrderedDict[bytes, tuple[Wei, float]] = OrderedDict()
        """{wallet: (its stake, when the chain said so)}, oldest first"""
        self._asking = trio.CapacityLimiter(limits.STAKES_ASKED_AT_ONCE_MAX)

    def of(self, account: bytes) -> Wei | None:
        """Return what a wallet has at stake, unbonding not counted; None: the chain has not said it lately.

        Args:
            account: 20 bytes.
        """
        known = self._answers.get(account)
        if known is None or self._clock() - known[1] > limits.STAKE_AWAY_S:
            return None
        return known[0]

    async def look(self, accounts: Iterable[bytes], *, timeout_s: float = limits.STAKE_LOOK_S) -> None:
        """Ask the chain about wallets whose answer is older than STAKE_KEPT_S.

        Args:
            accounts: The first STAKES_LOOKED_AT_MAX that have to be asked about are.
            timeout_s: For all of them together; what is not answered by then stays as it was.
        """
        now = self._clock()
        wanted = [one for one in dict.fromkeys(accounts) if not self._is_fresh(one, now)]
        with trio.move_on_after(timeout_s):
            async with trio.open_nursery() as nursery:
                for account in wanted[: limits.STAKES_LOOKED_AT_MAX]:
                    nursery.start_soon(self._look_at, account)

    def _is_fresh(self, account: bytes, now: float) -> bool:
        known = self._answers.get(account)
        return known is not None and now - known[1] <= limits.STAKE_KEPT_S

    async def _look_at(self, account: bytes) -> None:
        try:
            async with self._asking:
                stake = await self._ask(account)
        except SkyopsError as error:
            log.info("stake_not_known wallet=%s code=%s", account.hex()[:8], error.code)
            return
        self._answers.pop(account, None)
        self._answers[account] = (stake, self._clock())
        if len(self._answers) > limits.STAKES_KEPT_MAX:
            self._answers.popitem(last=False)
