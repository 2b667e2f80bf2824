"""The blocks by which witnesses are drawn, looked up on the chain and remembered.

A watch that runs goes by what was seen when it began. For counting, its block is looked up once more when it is over:
then no reorganisation takes it back. Spec: protocol/08b-probes.md, "Draw".
"""

import logging
from collections.abc import Collection

import trio

from skyops_p2p import limits
from skyops_p2p.core.probes.times import ProbeTimes
from skyops_p2p.core.reputation.deals import WEI_PER_MICRO
from skyops_p2p.errors import ChainError
from skyops_p2p.ports import Money, WallClock

log = logging.getLogger(__name__)


class Beacons:
    """Remembers what was seen.

    Args:
        money: Asks the chain.
        times: The network's.
        wall_clock: Says which watches are over.
    """

    def __init__(self, money: Money, times: ProbeTimes, wall_clock: WallClock) -> None:
        self.final: dict[int, bytes] = {}
        """Watch that is over -> hash of its block."""
        self.total: int | None = None
        """Microcredits that all have at stake; None: the chain has never said."""
        self._money = money
        self._times = times
        self._wall_clock = wall_clock
        self._current: tuple[int, bytes] | None = None
        """The watch that runs, and its block."""

    async def current(self, watch: int) -> bytes | None:
        """Return the block of a watch that runs, and renew the total; None: the chain does not answer."""
        try:
            with trio.fail_after(limits.REPUTATION_LOOK_WAIT_S):
                self.total = await self._money.staked() // WEI_PER_MICRO
                if self._current is None or self._current[0] != watch:
                    beacon = await self._money.block_before(self._times.beacon_unix_s(watch))
                    self._current = (watch, beacon)
        except (ChainError, trio.TooSlowError) as error:
            log.info("beacon_not_seen watch=%d error=%s", watch, getattr(error, "code", "timeout"))
        return self._current[1] if self._current is not None and self._current[0] == watch else None

    async def renew(self, watches: Collection[int]) -> bool:
        """Look up what is missing of these, the latest first, and forget all others.

        Returns:
            Whether something new was seen.

        Rules: PRB-2.
        """
        now = self._times.watch_of(self._times.slot_at(self._wall_clock.now_ms()))
        self.final = {watch: its for watch, its in self.final.items() if watch in watches}
        missing = sorted((one for one in watches if one not in self.final and one < now), reverse=True)
        before = len(self.final)
        for watch in missing[: limits.BEACONS_LOOKED_UP_MAX]:
            try:
                with trio.fail_after(limits.REPUTATION_LOOK_WAIT_S):
                    self.final[watch] = await self._money.block_before(self._times.beacon_unix_s(watch))
            except (ChainError, trio.TooSlowError) as error:
                log.info("beacon_not_seen watch=%d error=%s", watch, getattr(error, "code", "timeout"))
                break
        return len(self.final) > before
