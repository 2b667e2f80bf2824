"""What the chain says of pairs and stakes, looked up round by round and remembered.

Never more than REPUTATION_LOOKS_MAX looks in one round, the longest overdue first, so that a node with many receipts
asks the chain at a steady pace. Spec: protocol/08-reputation.md, "Evidence".
"""

import logging
from collections.abc import Callable, Iterable

import trio

from skyops_p2p import limits
from skyops_p2p.core.reputation.conduct import EPOCH_MS
from skyops_p2p.core.reputation.deals import WEI_PER_MICRO, PairMoney
from skyops_p2p.core.reputation.ratings import Pair
from skyops_p2p.core.reputation.voices import Stake
from skyops_p2p.errors import ChainError
from skyops_p2p.ports import Money

log = logging.getLogger(__name__)

Key = Pair | bytes
"""A pair, or an account."""


class ChainLooks:
    """Remembers what the chain has said.

    Args:
        money: Asks it.
        clock: Monotonic seconds.
    """

    def __init__(self, money: Money, *, clock: Callable[[], float] = trio.current_time) -> None:
        self.money: dict[Pair, PairMoney] = {}
        """(requester, worker) -> what was seen last; what was never looked up is not there."""
        self.stakes: dict[bytes, Stake] = {}
        """Account -> the same."""
        self.is_away = False
        """Whether the chain did not answer the last time."""
        self._port = money
        self._clock = clock
        self._seen_at: dict[Key, float] = {}
        self._news_at: dict[Key, float] = {}
        """Pair -> when its newest receipt came, as long as it is looked at more often for that."""
        self._rounds = 0

    def seen(self) -> tuple[dict[Pair, tuple[int, int]], dict[bytes, Stake]]:
        """Return what scores depend on: two of these are equal if nothing has changed."""
        money = {pair: (its.redeemed, its.funded) for pair, its in self.money.items()}
        return money, dict(self.stakes)

    def hasten(self, pair: Pair) -> None:
        """Look at a pair's money in the next round, and then more often than others': it has a new receipt.

        The older that is, the less often, so that a market's receipts cost the chain some dozen looks each.
        """
        self._seen_at.pop(pair, None)
        self._news_at[pair] = self._clock()

    async def renew(self, pairs: Iterable[Pair], accounts: Iterable[bytes]) -> bool:
        """Look up what is due of these, and forget all others.

        Args:
            pairs: Whose money counts.
            accounts: Whose stake counts.

        Returns:
            Whether some of it was never looked up yet, and another round should follow at once.
        """
        self._rounds += 1
        wanted: list[Key] = [*dict.fromkeys(pairs), *dict.fromkeys(accounts)]
        now = self._clock()
        self._forget_others(set(wanted), now)
        due = [key for key in wanted if self._is_due(key, now)]
        due.sort(key=lambda key: self._seen_at.get(key, float("-inf")))
        limiter = trio.CapacityLimiter(limits.REPUTATION_LOOKS_AT_ONCE_MAX)
        self.is_away = False
        async with trio.open_nursery() as nursery:
            for key in due[: limits.REPUTATION_LOOKS_MAX]:
                nursery.start_soon(self._look, key, limiter)
        return not self.is_away and any(key not in self._seen_at for key in wanted)

    def _is_due(self, key: Key, now: float) -> bool:
        age = now - self._news_at.get(key, float("-inf"))
        every_s = max(limits.REPUTATION_LOOK_SOON_S, age / limits.REPUTATION_LOOKS_PER_AGE)
        every_s = min(every_s, limits.REPUTATION_LOOK_S)
        return self._seen_at.get(key, float("-inf")) + every_s <= now

    async def _look(self, key: Key, limiter: trio.CapacityLimiter) -> None:
        async with limiter:
            if self.is_away:
                return
            try:
                with trio.fail_after(limits.REPUTATION_LOOK_WAIT_S):
                    if isinstance(key, bytes):
                        await self._look_at_stake(key)
                    else:
                        await self._look_at_pair(key)
            except (ChainError, trio.TooSlowError) as error:
                self.is_away = True
                log.info("reputation_look_failed error=%s", getattr(error, "code", "timeout"))
                return
        self._seen_at[key] = self._clock()

    async def _look_at_pair(self, pair: Pair) -> None:
        funds = await self._port.pair_funds(*pair)
        self.money[pair] = PairMoney(funds.redeemed, funds.redeemed + funds.allotted, self._rounds)

    async def _look_at_stake(self, account: bytes) -> None:
        found = await self._port.stake_of(account)
        since_epoch = found.registered_at_unix_s * 1000 // EPOCH_MS
        self.stakes[account] = Stake(
            found.amount // WEI_PER_MICRO, since_epoch, found.is_slashed, found.registered_at_unix_s
        )

    def _forget_others(self, wanted: set[Key], now: float) -> None:
        self._seen_at = {key: at for key, at in self._seen_at.items() if key in wanted}
        oldest = now - limits.REPUTATION_LOOK_S * limits.REPUTATION_LOOKS_PER_AGE
        self._news_at = {key: at for key, at in self._news_at.items() if key in wanted and at > oldest}
        self.money = {pair: its for pair, its in self.money.items() if pair in wanted}
        self.stakes = {account: its for account, its in self.stakes.items() if account in wanted}
