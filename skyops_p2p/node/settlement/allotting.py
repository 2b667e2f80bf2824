"""Sets money of the deposit aside for the workers that are paid from it, in the background.

An allotment is what a worker can count on. One transaction is under way for each pair at a time; its name is written
down before it is sent, so that a restart waits for it and sends no second one.
"""

import logging

import trio

from skyops_p2p import limits
from skyops_p2p.core.chain.endings import confirmed
from skyops_p2p.core.settlement.prices import HOUR_S
from skyops_p2p.errors import ChainError, StoreError
from skyops_p2p.node.settlement.payer_pair import PayerPair
from skyops_p2p.node.settlement.tools import PayTools
from skyops_p2p.ports import Store
from skyops_p2p.types import Wei

log = logging.getLogger(__name__)


def wanted_wei(pair: PayerPair, allotment_h: float, available_wei: int) -> Wei:
    """Return what should be set aside for a pair now; 0: nothing.

    It is topped up when what is set aside lasts less than half of the time that it should last, by half of the deposit
    at most, so that another worker finds something too; but lanes that need more get it.

    Args:
        pair: Whose.
        allotment_h: Hours of its present rates that it should last.
        available_wei: What of the deposit can be set aside for it.
    """
    funds, account = pair.funds, pair.account
    goal_wei = int(pair.rate_wei * round(allotment_h * HOUR_S) // HOUR_S)
    if funds is None or goal_wei <= 0:
        return Wei(0)
    left_wei = funds.redeemed + funds.allotted - account.cumulative
    if 2 * left_wei >= goal_wei:
        return Wei(0)
    unit = pair.terms.unit_wei
    least_wei = max(pair.secured_need_wei - funds.redeemed - funds.allotted, 0)
    amount = min(goal_wei - left_wei, max(available_wei // 2, least_wei), available_wei) // unit * unit
    is_worth = 8 * amount >= goal_wei or amount >= least_wei > 0
    return Wei(max(amount, 0) if is_worth else 0)  # less is not worth a transaction


class Allotter:
    """Sets money aside for the pairs of one node.

    Args:
        tools: Of the node.
        store: Keeps the names of what is under way.
    """

    def __init__(self, tools: PayTools, store: Store) -> None:
        self._tools = tools
        self._store = store
        self._busy: set[str] = set()
        self._rest_until: dict[str, float] = {}
        self._pauses_s: dict[str, float] = {}
        """After failures: the next pause, doubled each time."""

    def is_due(self, pair: PayerPair, available_wei: int) -> bool:
        """Tell whether `top_up` would do something."""
        name = pair.key.name
        if name in self._busy or trio.current_time() < self._rest_until.get(name, 0.0):
            return False
        return wanted_wei(pair, self._tools.rules.allotment_h, available_wei) > 0

    async def resume(self, pair: PayerPair) -> None:
        """Wait for what was under way when the node stopped."""
        name = pair.key.name
        self._busy.add(name)
        try:
            stored = await self._store.value(_value(name))
            if stored:
                await self._wait(pair, stored.decode())
        except (ChainError, StoreError) as error:
            log.info("allotment_unknown pair=%s code=%s", name, error.code)
        finally:
            self._busy.discard(name)

    async def top_up(self, pair: PayerPair, available_wei: int) -> None:
        """Set aside what is wanted, and wait until that has ended.

        Args:
            pair: For whom; `is_due` was true.
            available_wei: What of the deposit can be set aside for it.
        """
        name = pair.key.name
        amount = wanted_wei(pair, self._tools.rules.allotment_h, available_wei)
        if name in self._busy or not amount:
            return
        self._busy.add(name)
        try:
            key = f"allot/{name}/{self._tools.ledger.now_ms()}"
            await self._store.set_value(_value(name), key.encode())
            await self._tools.money.allot(key, pair.terms.worker, amount)
            log.info("allotment_sent pair=%s amount_wei=%d", name, amount)
            await self._wait(pair, key)
        except (ChainError, StoreError) as error:
            self._rest(pair, error)
        finally:
            self._busy.discard(name)

    async def _wait(self, pair: PayerPair, key: str) -> None:
        """Wait for the end of a transaction, and look at the money then.

        Raises:
            ChainError: Nobody knows of it, or it changed nothing.
            StoreError: Its end cannot be written down.
        """
        try:
            outcome = await self._tools.money.wait(key)
        except ChainError as error:
            if error.code != "unknown_order":
                raise
            await self._store.set_value(_value(pair.key.name), b"")
            return
        await self._store.set_value(_value(pair.key.name), b"")
        confirmed(outcome)
        self._pauses_s.pop(pair.key.name, None)
        pair.look_now()

    def _rest(self, pair: PayerPair, error: ChainError | StoreError) -> None:
        name = pair.key.name
        pause_s = self._pauses_s.get(name, limits.FUNDS_POLL_S)
        self._rest_until[name] = trio.current_time() + pause_s
        self._pauses_s[name] = min(2 * pause_s, limits.REDEEM_BACKOFF_S_MAX)
        log.warning("allotment_failed pair=%s code=%s", name, error.code)
        self._tools.tell(
            "payment", pair.peer, f"nothing more could be set aside: {error.message} ({error.code})"
        )


def _value(name: str) -> str:
    return f"allotment/{name}"
